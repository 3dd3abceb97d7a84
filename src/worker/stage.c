/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Staging in: the image, then the files. Everything in the work directory is made with the
 * payload's file system ids, so it owns what it is given; sources are opened with our own,
 * below the roots that the operator allowed.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fail.h"
#include "base/log.h"
#include "worker/stage.h"

#define FETCH_MAX (UINT64_C(1) << 40) /* where the task's disk is not limited */

int stage_blame(struct supervisor *s, int verdict, int blame, int rc)
{
    struct runtime_said *said = &s->rt->said;
    if (!said->verdict) {
        said->verdict = verdict;
        said->blame = blame;
    }
    return rc;
}

int stage_blame_errno(struct supervisor *s, int rc)
{
    switch (-rc) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
    case EINVAL:
    case EFBIG:
    case ENAMETOOLONG:
    case EEXIST:
        return stage_blame(s, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER, rc);
    default:
        return stage_blame(s, BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE, rc);
    }
}

bool stage_is_url(const char *s)
{
    return !strncmp(s, "http://", 7) || !strncmp(s, "https://", 8);
}

int open_below(int dir_fd, const char *path, int flags, unsigned mode, bool allow_links)
{
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .mode = mode,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
                                      (allow_links ? 0 : RESOLVE_NO_SYMLINKS)};
    int fd = (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
    return fd < 0 ? -errno : fd;
}

int stage_root(const char *const *roots, const char *path, const char **ret_rest,
               struct berth_error *err)
{
    for (; roots && *roots; roots++) {
        size_t n = strlen(*roots);
        while (n > 1 && (*roots)[n - 1] == '/')
            n--;
        if (strncmp(path, *roots, n) != 0 || (path[n] != '/' && n > 1))
            continue;
        int fd = open(*roots, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            return berth_fail_errno(err, errno, "root '%s'", *roots);
        *ret_rest = path + n + strspn(path + n, "/");
        return fd;
    }
    return berth_fail(err, EPERM, "'%s' is in no directory that the operator allowed",
                      path);
}

int64_t stage_copy(int from, int to, uint64_t max)
{
    cleanup_free char *block = malloc(1 << 16);
    uint64_t done = 0;
    if (!block)
        return -ENOMEM;
    for (;;) {
        ssize_t n = read(from, block, 1 << 16);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : (int64_t)done;
        if (done + (uint64_t)n > max)
            return -EFBIG;
        for (ssize_t at = 0; at < n;) {
            ssize_t w = write(to, block + at, (size_t)(n - at));
            if (w < 0 && errno != EINTR)
                return -errno;
            at += w > 0 ? w : 0;
        }
        done += (uint64_t)n;
    }
}

/* One stretch of data; what is not there any more is left out. */
static int copy_stretch(int from, int to, off_t at, off_t end, char *block, size_t size)
{
    while (at < end) {
        size_t want = end - at < (off_t)size ? (size_t)(end - at) : size;
        ssize_t n = pread(from, block, want, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        for (ssize_t done = 0; done < n;) {
            ssize_t w = pwrite(to, block + done, (size_t)(n - done), at + done);
            if (w < 0 && errno != EINTR)
                return -errno;
            done += w > 0 ? w : 0;
        }
        at += n;
    }
    return 0;
}

int64_t stage_copy_sparse(int from, int to)
{
    cleanup_free char *block = malloc(1 << 16);
    off_t size = lseek(from, 0, SEEK_END), at = 0, end;
    if (!block || size < 0)
        return block ? -errno : -ENOMEM;
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        end = lseek(from, at, SEEK_HOLE);
        int rc = end < 0 ? -errno : copy_stretch(from, to, at, end, block, 1 << 16);
        if (rc < 0)
            return rc;
        at = end;
    }
    if (errno != ENXIO) /* no more data: lseek(2) */
        return -errno;
    return ftruncate(to, size) < 0 ? -errno : size;
}

/* ---- the image ---- */

static void progress(void *arg, const char *line)
{
    const struct supervisor *s = arg;
    log_line(BERTH_LOG_DEBUG, s->at->id, "image: %s", line);
}

/* At most one `prepare` per image at a time, over all workers and supervisors: by a
 * lock. */
static int prepare_image(struct supervisor *s, struct berth_error *err)
{
    cleanup_free char *path = NULL;
    uint64_t h = 0xcbf29ce484222325u;
    for (const char *c = s->view.image; *c; c++)
        h = (h ^ (unsigned char)*c) * 0x100000001b3u;
    if (asprintf(&path, "%s/image-%s-%016llx.lock", s->rt->config->state_dir,
                 s->rt->block->name, (unsigned long long)h) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    cleanup_close int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return berth_fail_errno(err, errno, "lock of image '%s'", s->view.image);
    int rc = s->rt->plugin->runtime.prepare(&s->rt->ctx, s->view.image, progress, s, err);
    if (rc < 0)
        stage_blame(s, BERTH_VERDICT_IMAGE_ERROR, BERTH_BLAME_RUNTIME, rc);
    return rc;
}

/* ---- files ---- */

/* Directories on the way, then the file, for writing. */
static int make_file(struct supervisor *s, int work_fd, const struct task_file_in *f)
{
    char path[4096];
    if ((size_t)snprintf(path, sizeof path, "%s", f->path) >= sizeof path)
        return -ENAMETOOLONG;
    files_as(s->at->uid, s->at->gid);
    int fd = 0;
    for (char *slash = strchr(path, '/'); slash && fd >= 0;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdirat(work_fd, path, 0755) < 0 && errno != EEXIST)
            fd = -errno;
        *slash = '/';
    }
    if (fd >= 0)
        fd = open_below(work_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600,
                        false);
    if (fd >= 0 && fchmod(fd, (mode_t)(f->mode & 0777)) < 0) {
        int rc = -errno;
        close(fd);
        fd = rc;
    }
    files_as_self();
    return fd;
}

static int stage_inline(const struct task_file_in *f, int to)
{
    for (size_t done = 0; done < f->len;) {
        ssize_t n = write(to, (const char *)f->data + done, f->len - done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int stage_local(struct supervisor *s, const struct task_file_in *f, int to,
                       struct berth_error *err)
{
    struct stat st;
    const char *rest;
    cleanup_close int root = stage_root(s->rt->config->in_roots, f->from, &rest, err);
    if (root < 0)
        return root;
    cleanup_close int from = open_below(root, rest, O_RDONLY | O_NONBLOCK, 0, true);
    if (from < 0)
        return berth_fail_errno(err, -from, "cannot read '%s'", f->from);
    if (fstat(from, &st) < 0 || !S_ISREG(st.st_mode))
        return berth_fail(err, EINVAL, "'%s' is not a file", f->from);
    int64_t n = stage_copy(from, to, UINT64_MAX);
    return n < 0 ? berth_fail_errno(err, (int)-n, "copying '%s'", f->from) : 0;
}

static int stage_file(struct supervisor *s, int work_fd, const struct task_file_in *f,
                      struct berth_error *err)
{
    int64_t disk = s->at->plan.resources.disk_bytes;
    cleanup_close int to = make_file(s, work_fd, f);
    if (to < 0)
        return berth_fail_errno(err, -to, "cannot make '%s'", f->path);
    int rc = 0;
    if (f->data || !f->from)
        rc = stage_inline(f, to);
    else if (stage_is_url(f->from))
        rc = fetch_get(s, f->from, to, disk > 0 ? (uint64_t)disk : FETCH_MAX, err);
    else
        rc = stage_local(s, f, to, err);
    if (rc < 0 && !err->code)
        berth_fail_errno(err, -rc, "cannot write '%s'", f->path);
    return rc < 0 ? berth_wrap(err, "files.in '%.80s'", f->path) : 0;
}

bool stage_in_needed(const struct supervisor *s)
{
    return s->at->task.files_in_count > 0 ||
           (s->rt->plugin->runtime.prepare && *s->view.image);
}

int stage_in_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct supervisor *s = arg;
    (void)out;
    if (s->rt->plugin->runtime.prepare && *s->view.image) {
        int rc = prepare_image(s, err);
        if (rc < 0)
            return rc;
    }
    cleanup_close int work_fd = open(s->at->work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (work_fd < 0)
        return berth_fail_errno(err, errno, "work directory");
    for (size_t i = 0; i < s->at->task.files_in_count; i++) {
        int rc = stage_file(s, work_fd, &s->at->task.files_in[i], err);
        if (rc == -ENOSPC && s->held.disk) /* its own limit, not the node's disk */
            return stage_blame(s, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER, rc);
        if (rc < 0)
            return stage_blame_errno(s, rc);
    }
    return 0;
}
