/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Removing a tree made by somebody hostile. Depth is the hard part: a payload can nest
 * directories deeper than any stack or number of descriptors. So below TREE_DEPTH a
 * directory is moved up to the top, and the top is walked again until it is empty.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/attempt.h"
#include "worker/tree.h"

#define TREE_DEPTH 64

struct walk {
    int top_fd;
    unsigned moved; /* counts names for what was moved up */
    int rc;         /* first error of this round */
};

static void walk_error(struct walk *w, int code)
{
    if (!w->rc && code != ENOENT)
        w->rc = -code;
}

static void walk_dir(struct walk *w, int fd, int depth);

static void walk_up(struct walk *w, int parent_fd, const char *name)
{
    char up[32];
    do
        snprintf(up, sizeof up, ".up-%u", w->moved++);
    while (faccessat(w->top_fd, up, F_OK, AT_SYMLINK_NOFOLLOW) == 0);
    if (renameat(parent_fd, name, w->top_fd, up) < 0)
        walk_error(w, errno);
}

/* The owner may have shut itself out. By way of a descriptor, so that no link is
 * followed. */
static void walk_unlock(int parent_fd, const char *name)
{
    char path[40];
    cleanup_close int fd =
        openat(parent_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (chmod(path, 0700) < 0)
        return; /* the next step fails and says why */
}

static void walk_entry(struct walk *w, int parent_fd, const char *name, int depth)
{
    if (unlinkat(parent_fd, name, 0) == 0)
        return;
    if (errno != EISDIR && errno != EPERM) {
        walk_error(w, errno);
        return;
    }
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0)
        return;
    int remove_errno = errno;
    walk_unlock(parent_fd, name);
    if (depth >= TREE_DEPTH) {
        walk_up(w, parent_fd, name);
        return;
    }
    int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        walk_error(w, errno == ENOTDIR ? remove_errno : errno);
        return;
    }
    walk_dir(w, fd, depth + 1);
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0)
        walk_error(w, errno);
}

/* Takes fd. */
static void walk_dir(struct walk *w, int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    if (!dir) {
        walk_error(w, errno);
        close(fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            walk_entry(w, dirfd(dir), e->d_name, depth);
    closedir(dir);
}

/* One round over all that is below top. */
static int walk_round(int dir_fd, const char *name, unsigned *moved)
{
    struct walk w = {.moved = *moved};
    walk_unlock(dir_fd, name);
    cleanup_close int top =
        openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (top < 0)
        return -errno;
    w.top_fd = top;
    int fd = dup(top);
    if (fd < 0)
        return -errno;
    walk_dir(&w, fd, 0);
    bool again = w.moved != *moved;
    *moved = w.moved;
    return w.rc ? w.rc : again;
}

static int walk_all(int dir_fd, const char *name)
{
    unsigned moved = 0;
    int rc;
    do
        rc = walk_round(dir_fd, name, &moved);
    while (rc > 0);
    return rc;
}

int tree_remove(int dir_fd, const char *name, uid_t uid, gid_t gid)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(st.st_mode))
        return unlinkat(dir_fd, name, 0) < 0 ? -errno : 0;
    int rc = -EACCES;
    if (uid != (uid_t)-1) {
        files_as(uid, gid);
        rc = walk_all(dir_fd, name);
        files_as_self();
    }
    if (rc < 0)
        rc = walk_all(dir_fd, name);
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return rc < 0 ? rc : -errno;
    return 0;
}
