/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The payload's view of the file system. Paths that stay are taken hold of as detached
 * mounts first, then everything is covered or made read-only, then they are put back at
 * the same place on top. What is mounted after the read-only pass is writable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/sandbox_int.h"

int sandbox_or_errno(long r)
{
    return r < 0 ? -errno : (int)r;
}

int sandbox_put(int tree, const char *path)
{
    int r = sandbox_or_errno(move_mount(tree, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH));
    close(tree);
    return r;
}

int sandbox_tmpfs(const char *path, const char *options)
{
    return sandbox_or_errno(mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options));
}

static int set_attributes(int fd, const char *path, unsigned flags, uint64_t set)
{
    struct mount_attr attr = {.attr_set = set};
    return sandbox_or_errno(mount_setattr(fd, path, flags, &attr, sizeof attr));
}

int sandbox_hold(const struct spawn_plan *plan, const char *path)
{
    int tree =
        open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    child_check(plan, sandbox_or_errno(tree), "keep", path);
    child_check(plan,
                set_attributes(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_NOSUID),
                "set nosuid on", path);
    return tree;
}

/* Directories above path, and path itself, where they are missing. Failures show when it
 * is mounted on. */
void sandbox_make_point(const char *path, bool dir)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part)
        return;
    memcpy(part, path, len + 1);
    for (char *s = strchr(part + 1, '/'); s; s = strchr(s + 1, '/')) {
        *s = '\0';
        mkdir(part, 0755);
        *s = '/';
    }
    if (dir)
        mkdir(part, 0755);
    else
        mknod(part, S_IFREG | 0644, 0);
}

struct kept {
    const char *path[SPAWN_BINDS];
    int tree[SPAWN_BINDS];
    bool dir[SPAWN_BINDS];
    int count;
};

static void hold_binds(const struct spawn_plan *plan, struct kept *k)
{
    for (k->count = 0; k->count < list_count(plan->req->bind_rw); k->count++) {
        const char *path = plan->req->bind_rw[k->count];
        struct stat st;
        int tree = sandbox_hold(plan, path);
        child_check(plan, sandbox_or_errno(fstat(tree, &st)), "keep", path);
        k->path[k->count] = path;
        k->tree[k->count] = tree;
        k->dir[k->count] = S_ISDIR(st.st_mode);
    }
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return !strncmp(path, dir, n) && path[n] == '/';
}

static void make_points_below(const struct kept *k, const char *dir)
{
    for (int i = 0; i < k->count; i++)
        if (is_below(k->path[i], dir))
            sandbox_make_point(k->path[i], k->dir[i]);
}

/* Covers a directory by an empty one and a file by nothing. What is not there needs no
 * cover. */
static void hide(const struct spawn_plan *plan, const struct kept *k, const char *path)
{
    int r = sandbox_tmpfs(path, "mode=0755,size=64k,nr_inodes=64");
    if (r == -ENOTDIR)
        r = sandbox_or_errno(mount("/dev/null", path, NULL, MS_BIND, NULL));
    else if (r == 0) {
        make_points_below(k, path);
        r = set_attributes(AT_FDCWD, path, 0, MOUNT_ATTR_RDONLY);
    }
    child_check(plan, r == -ENOENT ? 0 : r, "hide", path);
}

static int bind_if_there(const char *from, const char *to)
{
    int r = sandbox_or_errno(mount(from, to, NULL, MS_BIND, NULL));
    return r == -ENOENT ? 0 : r;
}

/* File systems are what costs most here: so directories of one, of which the last then
 * covers the place where all were made. It is not there any more if /var/tmp is a link to
 * /tmp. */
static void share_tmp(const struct spawn_plan *plan)
{
    static const char *const dirs[][2] = {
        {"/tmp/shm", "/dev/shm"}, {"/tmp/var", "/var/tmp"}, {"/tmp/tmp", "/tmp"}};
    int r = 0;
    umask(0);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && !r; i++)
        r = sandbox_or_errno(mkdir(dirs[i][0], 01777));
    umask(022);
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs && !r; i++)
        r = bind_if_there(dirs[i][0], dirs[i][1]);
    child_check(plan, r, "mount tmpfs on", "/tmp");
}

static void new_tmp(const struct spawn_plan *plan)
{
    child_check(plan, sandbox_tmpfs("/tmp", plan->tmp_options), "mount tmpfs on", "/tmp");
}

static void make_tmp_points(const struct kept *k)
{
    make_points_below(k, "/tmp");
    make_points_below(k, "/var/tmp");
    make_points_below(k, "/dev/shm");
}

/* Root's own files in /proc/sys need no capability to be written. */
static void fresh_proc(const struct spawn_plan *plan)
{
    bool root = plan->req->isolate & BERTH_ISOLATE_UID ? !plan->req->uid : !geteuid();
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (root ? MS_RDONLY : 0);
    /* A payload may have passed a descriptor of it on, and others will follow. */
    const char *options = plan->req->keep_sock > 0 ? "hidepid=2" : NULL;
    child_check(plan, sandbox_or_errno(mount("proc", "/proc", "proc", flags, options)),
                "mount", "/proc");
}

static void put_back(const struct spawn_plan *plan, const struct kept *k)
{
    for (int i = 0; i < k->count; i++)
        child_check(plan, sandbox_put(k->tree[i], k->path[i]), "put back", k->path[i]);
}

void sandbox_mount(const struct spawn_plan *plan)
{
    const struct spawn_request *req = plan->req;
    struct kept kept;
    child_check(plan, sandbox_or_errno(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)),
                "make private", "/");
    hold_binds(plan, &kept);
    for (int i = 0; req->isolate & BERTH_ISOLATE_MOUNT && i < list_count(req->hide); i++)
        hide(plan, &kept, req->hide[i]);
    if (req->isolate & BERTH_ISOLATE_READONLY)
        child_check(plan,
                    set_attributes(AT_FDCWD, "/", AT_RECURSIVE,
                                   MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID),
                    "make read-only", "/");
    if (req->isolate & BERTH_ISOLATE_DEVICES)
        sandbox_devices(plan);
    if (plan->init)
        fresh_proc(plan);
    if (req->keep_sock > 0) /* the rest is each payload's */
        return;
    if (req->isolate & BERTH_ISOLATE_TMP) {
        new_tmp(plan);
        share_tmp(plan);
        make_tmp_points(&kept);
    }
    put_back(plan, &kept);
}

size_t sandbox_where_len(const char *work)
{
    size_t n = strlen(work);
    for (int slashes = 0; n > 0 && slashes < 2;)
        slashes += work[--n] == '/';
    return n;
}

/* A directory with nothing but NAME/work in it, detached and read-only. */
static int make_where(const struct spawn_plan *plan)
{
    static const char there[] = "/tmp/where";
    const char *work = plan->req->bind_rw[0], *rest = work + sandbox_where_len(work);
    char point[PATH_MAX];
    size_t len = strlen(rest);
    child_check(plan, sizeof there + len > sizeof point ? -ENAMETOOLONG : 0, "keep", work);
    memcpy(point, there, sizeof there);
    memcpy(point + sizeof there - 1, rest, len + 1);
    sandbox_make_point(point, true);
    int tree = sandbox_hold(plan, there);
    child_check(plan, set_attributes(tree, "", AT_EMPTY_PATH, MOUNT_ATTR_RDONLY),
                "make read-only", work);
    return tree;
}

/* What is not the template's: all that can be written. */
void sandbox_join(const struct spawn_plan *plan)
{
    const char *work = plan->req->bind_rw[0];
    size_t len = sandbox_where_len(work);
    char where[PATH_MAX];
    struct kept kept;
    hold_binds(plan, &kept);
    sandbox_enter(plan);
    new_tmp(plan);
    int tree = make_where(plan);
    share_tmp(plan);
    memcpy(where, work, len); /* make_where has looked at its length */
    where[len] = '\0';
    kept.path[0] = where;
    make_tmp_points(&kept);
    child_check(plan, sandbox_put(tree, where), "mount", work);
    kept.path[0] = work;
    put_back(plan, &kept);
}
