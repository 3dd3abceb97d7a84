/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The directory of an attempt. The lock comes before the task file, and the task file
 * before the fork: who finds a directory with a free lock knows that nothing of it runs
 * under a supervisor any more.
 *
 * Making and removing files is a large part of what a short task costs. So an attempt
 * leaves its directory, emptied but for lock and task file, to the next one of its
 * supervisor, under a name that no attempt can have. Both changes of name are made with the lock held
 * and what it stands for in place.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/file.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/str.h"
#include "worker/attempt.h"
#include "worker/tree.h"

#define RECORD_MAX (128u << 20)
#define WORK_SIZE 65536 /* a directory that had many entries stays slow */

void files_as(uid_t uid, gid_t gid)
{
    if (gid != (gid_t)-1)
        setfsgid(gid);
    if (uid != (uid_t)-1)
        setfsuid(uid);
}

void files_as_self(void)
{
    setfsuid(geteuid());
    setfsgid(getegid());
}

char *attempt_dir_path(const struct config *c, const char *id, int number)
{
    char *path;
    return asprintf(&path, "%s/" ATTEMPTS_DIR "/%s.%d", c->state_dir, id, number) < 0
               ? NULL
               : path;
}

int attempt_name_parse(const char *name, char id[129], int *ret_number)
{
    const char *dot = strrchr(name, '.');
    int64_t number;
    if (!dot || parse_int(dot + 1, &number) < 0 || number < 1 || number > INT32_MAX ||
        !is_task_id(name, (size_t)(dot - name)))
        return -EINVAL;
    memcpy(id, name, (size_t)(dot - name));
    id[dot - name] = '\0';
    *ret_number = (int)number;
    return 0;
}

static int record_encode(const struct attempt *at, const struct runtime *rt,
                         struct buf *out)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return -ENOMEM;
    struct value map = value_new_map(a), gpus = value_new_array(a);
    for (size_t i = 0; i < at->gpu_count; i++)
        value_add(a, &gpus, value_new_str(a, at->gpus[i]));
    value_put_str(a, &map, "id", at->id);
    value_put_int(a, &map, "attempt", at->number);
    value_put_str(a, &map, "runtime", rt->block->name);
    value_put_int(a, &map, "slot", at->slot);
    value_put_str(a, &map, "group", at->group);
    value_put_int(a, &map, "queued_ms", at->queued_ms);
    value_put(a, &map, "gpus", gpus);
    value_put_bin(a, &map, "task", at->task_bytes, at->task_len);
    return value_to_msgpack(&map, out);
}

static int write_whole(int fd, const struct buf *data)
{
    for (size_t done = 0; done < data->len;) {
        ssize_t n = pwrite(fd, data->data + done, data->len - done, (off_t)done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Not synced: it has to outlive processes, not the machine. */
static int record_write(int dir_fd, const struct buf *record)
{
    cleanup_close int fd = openat(dir_fd, "task", O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    int rc = fd < 0 ? -errno : write_whole(fd, record);
    struct stat st;
    if (rc == 0 && fstat(fd, &st) == 0 && st.st_size == (off_t)record->len)
        return 0; /* to cut nothing off costs as much as to cut off something */
    return rc == 0 && ftruncate(fd, (off_t)record->len) < 0 ? -errno : rc;
}

static int spare_path(const struct config *c, const char *group, char out[PATH_MAX])
{
    int n = snprintf(out, PATH_MAX, "%s/" ATTEMPTS_DIR "/~%s", c->state_dir, group);
    return n >= PATH_MAX ? -ENAMETOOLONG : 0;
}

/* 0; -EEXIST the attempt's directory is there; else there is no spare one. */
static int spare_take(struct attempt *at, const struct runtime *rt,
                      const struct buf *record)
{
    char spare[PATH_MAX];
    if (spare_path(rt->config, at->group, spare) < 0)
        return -ENOENT;
    cleanup_close int dir_fd = open(spare, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return -errno;
    cleanup_close int lock = openat(dir_fd, "lock", O_RDWR | O_CLOEXEC);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    int rc = record_write(dir_fd, record);
    CRASH_POINT(spare_recorded);
    if (rc == 0 && renameat2(AT_FDCWD, spare, AT_FDCWD, at->dir, RENAME_NOREPLACE) < 0)
        rc = -errno;
    CRASH_POINT(spare_renamed);
    if (rc == 0)
        at->lock_fd = take_fd(lock);
    return rc;
}

/* Waits for the lock: the host may look at it at this very moment. */
static int lock_make(struct attempt *at, int dir_fd)
{
    cleanup_close int fd = openat(dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        return -errno;
    at->lock_fd = take_fd(fd);
    return 0;
}

int attempt_dir_make(struct attempt *at, const struct runtime *rt, struct berth_error *err)
{
    cleanup_buf struct buf record = BUF_INIT;
    if (record_encode(at, rt, &record) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = spare_take(at, rt, &record);
    if (rc == 0)
        return 0;
    if (rc == -EEXIST || mkdir(at->dir, 0711) < 0)
        return berth_fail_errno(err, rc == -EEXIST ? EEXIST : errno, "mkdir '%s'", at->dir);
    CRASH_POINT(dir_made);
    cleanup_close int dir_fd = open(at->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = dir_fd < 0 ? -errno : lock_make(at, dir_fd);
    CRASH_POINT(dir_locked);
    if (rc == 0)
        rc = record_write(dir_fd, &record);
    CRASH_POINT(dir_recorded);
    if (rc < 0) {
        attempt_dir_remove(at->dir, (uid_t)-1, (gid_t)-1);
        return berth_fail_errno(err, -rc, "cannot write in '%s'", at->dir);
    }
    return 0;
}

/* What the task was is nobody's business any more. Written over, not cut off: blocks
 * that are kept cost nothing. */
static int record_erase(int dir_fd)
{
    static const char zeros[4096];
    struct stat st;
    cleanup_close int fd = openat(dir_fd, "task", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof zeros) {
        off_t left = st.st_size - at;
        if (pwrite(fd, zeros, left < (off_t)sizeof zeros ? (size_t)left : sizeof zeros,
                   at) < 0)
            return -errno;
    }
    return 0;
}

static const char *const outputs[] = {"stdout", "stdout.pos", "stderr", "stderr.pos",
                                      ATTEMPT_WITNESS};

static bool has_entries(int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    int entries = 0;
    if (!dir) {
        if (copy >= 0)
            close(copy);
        return true;
    }
    while (entries < 3 && readdir(dir))
        entries++;
    closedir(dir);
    return entries > 2;
}

/* The label that SELinux gives to all is not the payload's doing. */
static bool has_attributes(int fd, int parent_fd)
{
    static const char label[] = "security.selinux";
    char list[64];
    int flags = 0, parent_flags = 0;
    ssize_t n = flistxattr(fd, list, sizeof list);
    if (n < 0 ? errno != ENOTSUP
              : n > 0 && !((size_t)n == sizeof label && !memcmp(list, label, sizeof label)))
        return true;
    ioctl(fd, FS_IOC_GETFLAGS, &flags); /* stays 0 where there are none */
    ioctl(parent_fd, FS_IOC_GETFLAGS, &parent_flags);
    return flags != parent_flags;
}

/* As mkdir made it: nothing in it, and nothing on it. */
static bool work_is_pristine(int dir_fd, const struct attempt *at)
{
    struct stat st;
    files_as(at->uid, at->gid); /* nobody else may look into it */
    cleanup_close int fd =
        openat(dir_fd, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    files_as_self();
    return fd >= 0 && fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0700 &&
           st.st_size <= WORK_SIZE &&
           (at->uid == (uid_t)-1 || (st.st_uid == at->uid && st.st_gid == at->gid)) &&
           !has_entries(fd) && !has_attributes(fd, dir_fd);
}

void attempt_spare_remove(const struct config *c, const char *group)
{
    char spare[PATH_MAX];
    uid_t uid;
    gid_t gid;
    if (spare_path(c, group, spare) < 0)
        return;
    attempt_work_owner(spare, &uid, &gid);
    attempt_dir_remove(spare, uid, gid);
}

int attempt_dir_retire(struct attempt *at, const struct runtime *rt, bool keep_work)
{
    char spare[PATH_MAX];
    cleanup_close int fd = open(at->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || spare_path(rt->config, at->group, spare) < 0)
        return attempt_dir_remove(at->dir, at->uid, at->gid);
    for (size_t i = 0; i < countof(outputs); i++)
        unlinkat(fd, outputs[i], 0);
    if (!(keep_work && work_is_pristine(fd, at)) &&
        unlinkat(fd, "work", AT_REMOVEDIR) < 0 && errno != ENOENT)
        return attempt_dir_remove(at->dir, at->uid, at->gid);
    CRASH_POINT(retire_emptied);
    int rc = record_erase(fd);
    CRASH_POINT(retire_erased);
    if (rc < 0 || renameat2(AT_FDCWD, at->dir, AT_FDCWD, spare, RENAME_NOREPLACE) < 0)
        return attempt_dir_remove(at->dir, at->uid, at->gid);
    CRASH_POINT(retire_renamed);
    flock(at->lock_fd, LOCK_UN);
    return 0;
}

/*
 * Without CAP_CHOWN the payload's uid has to make the directory itself, in a place that it
 * can write and nobody else can reach: an open descriptor into a directory that the others
 * cannot search.
 */
static int work_make_as_owner(struct attempt *at)
{
    cleanup_close int dir_fd = open(at->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fchmod(dir_fd, 0700) < 0 || mkdirat(dir_fd, "new", 0700) < 0)
        return -errno;
    cleanup_close int new_fd = openat(dir_fd, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (new_fd < 0 || fchmod(new_fd, 0733) < 0)
        return -errno;
    files_as(at->uid, at->gid);
    int rc = mkdirat(new_fd, "work", 0700) < 0 || fchmodat(new_fd, "work", 0777, 0) < 0
                 ? -errno
                 : 0;
    files_as_self();
    if (rc == 0 && renameat(new_fd, "work", dir_fd, "work") < 0)
        rc = -errno;
    unlinkat(dir_fd, "new", AT_REMOVEDIR);
    cleanup_close int work_fd =
        rc < 0 ? -1 : openat(dir_fd, "work", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    files_as(at->uid, at->gid);
    if (rc == 0 && (work_fd < 0 || fchmod(work_fd, 0700) < 0))
        rc = -errno;
    files_as_self();
    if (fchmod(dir_fd, 0711) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

/* One that the attempt before left: the same owner, else it goes. */
static bool work_is_there(const struct attempt *at)
{
    struct stat st;
    uid_t uid = at->uid == (uid_t)-1 ? geteuid() : at->uid;
    gid_t gid = at->uid == (uid_t)-1 ? getegid() : at->gid;
    if (lstat(at->work, &st) < 0)
        return false;
    if (st.st_uid == uid && st.st_gid == gid)
        return true;
    rmdir(at->work);
    return false;
}

int attempt_work_make(struct attempt *at, struct berth_error *err)
{
    if (work_is_there(at))
        return 0;
    int rc = mkdir(at->work, 0700) < 0 ? -errno : 0;
    if (rc == 0 && at->uid != (uid_t)-1 && chown(at->work, at->uid, at->gid) < 0)
        rc = -errno;
    if (rc == -EPERM && rmdir(at->work) == 0)
        rc = work_make_as_owner(at);
    return rc < 0 ? berth_fail_errno(err, -rc, "cannot make the work directory") : 0;
}

void attempt_work_owner(const char *dir, uid_t *ret_uid, gid_t *ret_gid)
{
    cleanup_free char *path = NULL;
    struct stat st;
    *ret_uid = (uid_t)-1;
    *ret_gid = (gid_t)-1;
    if (asprintf(&path, "%s/work", dir) < 0 || lstat(path, &st) < 0 ||
        st.st_uid == geteuid())
        return;
    *ret_uid = st.st_uid;
    *ret_gid = st.st_gid;
}

int attempt_dir_lock(const char *dir)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/lock", dir) < 0)
        return -ENOMEM;
    cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    return take_fd(fd);
}

bool attempt_dir_has(const char *dir, const char *file)
{
    cleanup_free char *path = NULL;
    return asprintf(&path, "%s/%s", dir, file) >= 0 && access(path, F_OK) == 0;
}

int attempt_record_read(const char *dir, struct arena *a, struct value *ret)
{
    static const struct value_limits limits = {RECORD_MAX, 8, 10000};
    cleanup_free char *path = NULL, *data = NULL;
    size_t len;
    if (asprintf(&path, "%s/task", dir) < 0)
        return -ENOMEM;
    int rc = read_file(path, RECORD_MAX, &data, &len);
    return rc < 0 ? rc : value_from_msgpack(a, data, len, &limits, ret, NULL);
}

int attempt_dir_remove(const char *dir, uid_t uid, gid_t gid)
{
    cleanup_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    unlinkat(fd, "task", 0);
    for (size_t i = 0; i < countof(outputs); i++)
        unlinkat(fd, outputs[i], 0);
    /* the common case costs two calls: nothing was left in the work directory, nothing
     * else is there */
    if (unlinkat(fd, "work", AT_REMOVEDIR) < 0 && errno != ENOENT)
        tree_remove(fd, "work", uid, gid);
    unlinkat(fd, "lock", 0);
    if (rmdir(dir) == 0 || errno == ENOENT)
        return 0;
    return tree_remove(AT_FDCWD, dir, uid, gid);
}

void attempt_spare_each(const struct config *c, attempt_spare_fn *found, void *arg)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/" ATTEMPTS_DIR, c->state_dir) < 0)
        return;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] == '~')
            found(arg, e->d_name + 1);
    if (dir)
        closedir(dir);
}

void attempt_each(const struct config *c, attempt_found_fn *found, void *arg)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/" ATTEMPTS_DIR, c->state_dir) < 0)
        return;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        char id[129];
        int number;
        if (attempt_name_parse(e->d_name, id, &number) < 0)
            continue;
        cleanup_free char *full = attempt_dir_path(c, id, number);
        if (full)
            found(arg, full, id, number);
    }
    if (dir)
        closedir(dir);
}
