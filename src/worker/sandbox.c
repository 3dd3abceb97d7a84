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

int sandbox_hold(const char *path)
{
    return sandbox_or_errno(
        open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
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
    int tree[SPAWN_BINDS];
    bool dir[SPAWN_BINDS];
    int count;
};

static void hold_binds(const struct spawn_plan *plan, struct kept *k)
{
    for (k->count = 0; k->count < list_count(plan->req->bind_rw); k->count++) {
        const char *path = plan->req->bind_rw[k->count];
        struct stat st;
        int tree = sandbox_hold(path);
        child_check(plan, tree, "keep", path);
        child_check(plan, sandbox_or_errno(fstat(tree, &st)), "keep", path);
        child_check(
            plan, set_attributes(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, MOUNT_ATTR_NOSUID),
            "set nosuid on", path);
        k->tree[k->count] = tree;
        k->dir[k->count] = S_ISDIR(st.st_mode);
    }
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return !strncmp(path, dir, n) && path[n] == '/';
}

static void make_points_below(const struct spawn_plan *plan, const struct kept *k,
                              const char *dir)
{
    for (int i = 0; i < k->count; i++)
        if (is_below(plan->req->bind_rw[i], dir))
            sandbox_make_point(plan->req->bind_rw[i], k->dir[i]);
}

/* Covers a directory by an empty one and a file by nothing. What is not there needs no
 * cover. */
static void hide(const struct spawn_plan *plan, const struct kept *k, const char *path)
{
    int r = sandbox_tmpfs(path, "mode=0755,size=64k,nr_inodes=64");
    if (r == -ENOTDIR)
        r = sandbox_or_errno(mount("/dev/null", path, NULL, MS_BIND, NULL));
    else if (r == 0) {
        make_points_below(plan, k, path);
        r = set_attributes(AT_FDCWD, path, 0, MOUNT_ATTR_RDONLY);
    }
    child_check(plan, r == -ENOENT ? 0 : r, "hide", path);
}

static int open_to_all(const char *path)
{
    int r = sandbox_or_errno(mkdir(path, 0755));
    return r < 0 ? r : sandbox_or_errno(chmod(path, 01777));
}

/* File systems are what costs most here: so two directories of one, of which the second
 * then covers the place where both were made. It is not there any more if /var/tmp is a
 * link to /tmp. */
static int share_tmp(const char *options)
{
    int r = sandbox_tmpfs("/tmp", options);
    if (!r)
        r = open_to_all("/tmp/var");
    if (!r)
        r = open_to_all("/tmp/tmp");
    if (!r)
        r = sandbox_or_errno(mount("/tmp/var", "/var/tmp", NULL, MS_BIND, NULL));
    if (!r || r == -ENOENT)
        r = sandbox_or_errno(mount("/tmp/tmp", "/tmp", NULL, MS_BIND, NULL));
    return r == -ENOENT ? 0 : r;
}

/* An own /dev has a /dev/shm already. */
static void private_tmp(const struct spawn_plan *plan, const struct kept *k)
{
    child_check(plan, share_tmp(plan->tmp_options), "mount tmpfs on", "/tmp");
    if (!(plan->req->isolate & BERTH_ISOLATE_DEVICES)) {
        int r = sandbox_tmpfs("/dev/shm", plan->tmp_options);
        child_check(plan, r == -ENOENT ? 0 : r, "mount tmpfs on", "/dev/shm");
    }
    make_points_below(plan, k, "/tmp");
    make_points_below(plan, k, "/var/tmp");
    make_points_below(plan, k, "/dev/shm");
}

/* Root's own files in /proc/sys need no capability to be written. */
static void fresh_proc(const struct spawn_plan *plan)
{
    bool root = plan->req->isolate & BERTH_ISOLATE_UID ? !plan->req->uid : !geteuid();
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (root ? MS_RDONLY : 0);
    child_check(plan, sandbox_or_errno(mount("proc", "/proc", "proc", flags, NULL)),
                "mount", "/proc");
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
    if (req->isolate & BERTH_ISOLATE_TMP)
        private_tmp(plan, &kept);
    if (plan->init)
        fresh_proc(plan);
    for (int i = 0; i < kept.count; i++)
        child_check(plan, sandbox_put(kept.tree[i], req->bind_rw[i]), "put back",
                    req->bind_rw[i]);
}
