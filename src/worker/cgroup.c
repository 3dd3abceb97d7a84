/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The group of one attempt: made, joined, read, removed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/cgroup_int.h"

static bool is_group_name(const char *name)
{
    size_t n = name ? strlen(name) : 0;
    return n > 0 && n <= NAME_MAX && name[0] != '.' && !strchr(name, '/') &&
           !strchr(name, '\n');
}

static bool is_needed(const struct cgroup_hier *h, const struct cgroup_limits *lim)
{
    return h->use & (CG_TRACK | CG_MEMORY) || (h->use & CG_CPU && lim->cpus > 0) ||
           (h->use & CG_PIDS && lim->pids);
}

const char *cgroup_base_path(const struct cgroup_base *b)
{
    for (unsigned i = 0; i < b->count; i++)
        if (b->hier[i].use & CG_MEMORY)
            return b->hier[i].path;
    return b->count ? b->hier[0].path : "";
}

static struct cgroup *group_new(const struct cgroup_base *b, const char *name)
{
    struct cgroup *g = calloc(1, sizeof *g + strlen(name) + 1);
    if (!g)
        return NULL;
    g->base = b;
    strcpy(g->name, name);
    for (unsigned i = 0; i < CG_HIERARCHIES; i++) {
        g->dir[i] = -1;
        for (int f = 0; f < CG_FILES; f++)
            g->file[i][f] = -1;
    }
    if (asprintf(&g->path, "%s/%s", cgroup_base_path(b), name) < 0) {
        g->path = NULL;
        cgroup_close(g);
        return NULL;
    }
    return g;
}

/* A group of that name was left by a crash: an empty one is replaced, which also clears
 * its counts. */
static int make_dir(int parent, const char *name)
{
    if (mkdirat(parent, name, 0755) == 0)
        return 0;
    if (errno != EEXIST)
        return -errno;
    int r = cgroup_remove_tree(parent, name);
    return r < 0 ? r : mkdirat(parent, name, 0755) < 0 ? -errno : 0;
}

static int group_make(struct cgroup *g, unsigned i, const struct cgroup_limits *lim,
                      struct berth_error *err)
{
    const struct cgroup_hier *h = &g->base->hier[i];
    int r = make_dir(h->fd, g->name);
    if (r < 0)
        return berth_fail_errno(err, -r, "cgroup: cannot make '%s/%s'", h->path, g->name);
    g->dir[i] = openat(h->fd, g->name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (g->dir[i] < 0) {
        r = -errno;
        unlinkat(h->fd, g->name, AT_REMOVEDIR);
        return berth_fail_errno(err, -r, "cgroup: cannot open '%s/%s'", h->path, g->name);
    }
    if (h->v2)
        return cgroup2_limit(g->dir[i], h->use, lim, err);
    cgroup_file_open(g, i, CG_TASKS); /* here: a child has descriptors of its own */
    return cgroup1_limit(g->dir[i], h->use, lim, err);
}

int cgroup_open(struct cgroup_base *b, const char *name, const struct cgroup_limits *lim,
                struct cgroup **ret, struct berth_error *err)
{
    if (!b || !lim || !ret)
        return berth_fail(err, EINVAL, "cgroup: no base or limits given");
    if (!is_group_name(name))
        return berth_fail(err, EINVAL, "cgroup: '%s' is no name of a group",
                          name ? name : "");
    struct cgroup *g = group_new(b, name);
    if (!g)
        return berth_fail(err, ENOMEM, "cgroup: out of memory");
    g->limits = *lim;
    int r = 0;
    for (unsigned i = 0; i < b->count && !r; i++)
        if (is_needed(&b->hier[i], lim))
            r = group_make(g, i, lim, err);
    if (r < 0) {
        cgroup_remove(g);
        cgroup_close(g);
        return r;
    }
    *ret = g;
    return 0;
}

bool cgroup_can_renew(const struct cgroup *g)
{
    for (unsigned i = 0; i < g->base->count; i++)
        if (g->dir[i] >= 0 && g->base->hier[i].v2)
            return false;
    return true;
}

static bool is_as_new(struct cgroup *g, unsigned i, const struct cgroup_limits *lim)
{
    struct stat st;
    if (fstat(g->dir[i], &st) < 0 || st.st_nlink != 2) /* groups below */
        return false;
    return cgroup1_renew(g, i, lim);
}

static void forget_counts(struct cgroup *g, const struct cgroup_hier *h)
{
    if (h->use & CG_CPU)
        g->seen.user_ms = g->seen.sys_ms = 0;
    if (h->use & CG_MEMORY)
        g->seen.oom_kills = 0;
    if (h->use & CG_PIDS)
        g->seen.pids_refused = 0;
}

static int group_renew(struct cgroup *g, unsigned i, const struct cgroup_limits *lim,
                       struct berth_error *err)
{
    const struct cgroup_hier *h = &g->base->hier[i];
    bool needed = is_needed(h, lim);
    if (g->dir[i] >= 0 && needed && is_as_new(g, i, lim))
        return 0;
    if (g->dir[i] >= 0) {
        int r = cgroup_remove_tree(h->fd, g->name);
        if (r < 0)
            return berth_fail_errno(err, -r, "cgroup: cannot remove '%s/%s'", h->path,
                                    g->name);
        close(take_fd(g->dir[i]));
        cgroup_files_close(g, i);
        forget_counts(g, h);
    }
    return needed ? group_make(g, i, lim, err) : 0;
}

int cgroup_renew(struct cgroup **g, const struct cgroup_limits *lim,
                 struct berth_error *err)
{
    int r = 0;
    for (unsigned i = 0; i < (*g)->base->count && !r; i++)
        r = group_renew(*g, i, lim, err);
    if (r < 0) {
        cgroup_remove(*g);
        cgroup_close(take_ptr(*g));
        return r;
    }
    (*g)->limits = *lim;
    (*g)->before = (*g)->seen;
    return 0;
}

int cgroup_find(struct cgroup_base *b, const char *name, struct cgroup **ret)
{
    if (!b || !ret || !is_group_name(name))
        return -EINVAL;
    struct cgroup *g = group_new(b, name);
    if (!g)
        return -ENOMEM;
    bool found = false;
    for (unsigned i = 0; i < b->count; i++) {
        g->dir[i] = openat(b->hier[i].fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        found |= g->dir[i] >= 0;
    }
    if (!found) {
        cgroup_close(g);
        return -ENOENT;
    }
    *ret = g;
    return 0;
}

static bool listed_before(const struct cgroup_base *b, unsigned i, const char *name)
{
    while (i-- > 0)
        if (faccessat(b->hier[i].fd, name, F_OK, 0) == 0)
            return true;
    return false;
}

int cgroup_each(struct cgroup_base *b, void (*found)(void *arg, const char *name),
                void *arg)
{
    if (!b || !found)
        return -EINVAL;
    for (unsigned i = 0; i < b->count; i++) {
        int fd = openat(b->hier[i].fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = fd < 0 ? NULL : fdopendir(fd);
        if (!d) {
            int r = -errno;
            if (fd >= 0)
                close(fd);
            return r;
        }
        for (struct dirent *e; (e = readdir(d));)
            if (e->d_type == DT_DIR && e->d_name[0] != '.' &&
                !listed_before(b, i, e->d_name))
                found(arg, e->d_name);
        closedir(d);
    }
    return 0;
}

void cgroup_close(struct cgroup *g)
{
    if (!g)
        return;
    for (unsigned i = 0; i < CG_HIERARCHIES; i++) {
        cgroup_files_close(g, i);
        if (g->dir[i] >= 0)
            close(g->dir[i]);
    }
    free(g->path);
    free(g);
}

/*
 * v1: "0" in tasks moves just the calling thread, for which the kernel does not take the
 * lock that holds up every fork and exit of the machine (cgroup.procs does, at twice the
 * cost).
 */
static int join(const struct cgroup *g, bool v1_only)
{
    for (unsigned i = 0; i < g->base->count; i++) {
        bool v2 = g->base->hier[i].v2;
        if (g->dir[i] < 0 || (v2 && v1_only))
            continue;
        int tasks = g->file[i][CG_TASKS];
        int r = tasks >= 0 ? (write(tasks, "0", 1) < 0 ? -errno : 0)
                           : cgroup_write(g->dir[i], v2 ? "cgroup.procs" : "tasks", "0");
        if (r < 0)
            return r;
    }
    return 0;
}

int cgroup_join(struct cgroup *g)
{
    return g ? join(g, false) : -EINVAL;
}

int cgroup_join_rest(const struct cgroup *g)
{
    return g ? join(g, true) : -EINVAL;
}

int cgroup_fd(const struct cgroup *g)
{
    for (unsigned i = 0; g && i < g->base->count; i++)
        if (g->base->hier[i].v2)
            return g->dir[i];
    return -1;
}

const char *cgroup_path(const struct cgroup *g)
{
    return g ? g->path : "";
}

/* Of counters that cannot be put back only the difference counts. */
static void subtract(int64_t *now, int64_t before)
{
    if (*now >= before && before > 0)
        *now -= before;
}

void cgroup_usage(struct cgroup *g, struct cgroup_usage *ret)
{
    *ret = (struct cgroup_usage){-1, -1, -1, -1, -1};
    for (unsigned i = 0; g && i < g->base->count; i++) {
        const struct cgroup_hier *h = &g->base->hier[i];
        if (g->dir[i] < 0)
            continue;
        if (h->v2)
            cgroup2_usage(g->dir[i], h->use, ret);
        else
            cgroup1_usage(g, i, ret);
    }
    if (!g)
        return;
    g->seen = *ret;
    subtract(&ret->user_ms, g->before.user_ms);
    subtract(&ret->sys_ms, g->before.sys_ms);
    subtract(&ret->oom_kills, g->before.oom_kills);
    subtract(&ret->pids_refused, g->before.pids_refused);
}

int cgroup_remove(struct cgroup *g)
{
    int r = 0;
    for (unsigned i = 0; g && i < g->base->count; i++) {
        int one = g->dir[i] < 0 ? 0 : cgroup_remove_tree(g->base->hier[i].fd, g->name);
        if (one < 0)
            r = one;
    }
    return r;
}
