/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Version 2: one hierarchy. A group with controllers for its children may hold no
 * process itself, so below the group that berthd was started in stands
 *
 *   KEY/          controllers on; its cgroup.procs is writable to the workers, because
 *                 moving a process needs that of the nearest common ancestor
 *     daemon/     berthd
 *     tasks/      controllers on; one child per attempt
 *
 * The group around KEY has to be emptied too. At the root of a cgroup namespace (a
 * container) root moves everybody into KEY/daemon, as is customary there.
 *
 * A manager puts a restarted berthd into the group where it was first, and the kernel
 * refuses that while tasks that go on keep controllers on in it. So KEY stands beside that
 * group where its name says that the manager knows (systemd's DelegateSubgroup=daemon).
 * Else root takes the top of the hierarchy, and only a user the very group.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/cgroup_int.h"

#define PERIOD_US 100000

static const struct {
    unsigned use;
    const char *name, *enable;
} controllers[] = {
    {CG_MEMORY, "memory", "+memory"}, {CG_CPU, "cpu", "+cpu"}, {CG_PIDS, "pids", "+pids"}};

/* Is word one of those, separated by blanks, in list? */
static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (!p[n] || p[n] == ' ' || p[n] == '\n'))
            return true;
    return false;
}

static unsigned listed(int dir, const char *file)
{
    char text[512];
    unsigned use = 0;
    if (cgroup_read(dir, file, text, sizeof text) < 0)
        return 0;
    for (size_t i = 0; i < countof(controllers); i++)
        if (has_word(text, controllers[i].name))
            use |= controllers[i].use;
    return use;
}

/* One by one: a kernel without one of them refuses the whole line. Returns what is on
 * afterwards. */
static unsigned enable(int dir, unsigned want, int *ret_code)
{
    for (size_t i = 0; i < countof(controllers); i++) {
        int r = want & controllers[i].use
                    ? cgroup_write(dir, "cgroup.subtree_control", controllers[i].enable)
                    : 0;
        if (r < 0)
            *ret_code = r;
    }
    return listed(dir, "cgroup.subtree_control");
}

static int sub_dir(int parent, const char *name, int *ret_fd)
{
    if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    *ret_fd = openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return *ret_fd < 0 ? -errno : 0;
}

/* Those that cannot move show up as EBUSY later; new ones may come meanwhile. */
static void move_all(int from, int daemon)
{
    char text[4096];
    bool moved = true;
    while (moved && cgroup_read(from, "cgroup.procs", text, sizeof text) > 0) {
        char *save, *end = strrchr(text, '\n');
        if (end)
            *end = '\0'; /* what follows is the beginning of a number */
        moved = false;
        for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save))
            moved |= strcmp(p, "0") && /* one of another pid namespace; to write: ourselves */
                     cgroup_write(daemon, "cgroup.procs", p) == 0;
    }
}

static int give_away(int dir, uid_t uid, gid_t gid, bool whole)
{
    static const char *const files[] = {"cgroup.procs", "cgroup.threads",
                                        "cgroup.subtree_control"};
    if (uid == (uid_t)-1 && gid == (gid_t)-1)
        return 0;
    if (whole && fchownat(dir, "", uid, gid, AT_EMPTY_PATH) < 0)
        return -errno;
    for (size_t i = 0; i < (whole ? countof(files) : 1); i++)
        if (fchownat(dir, files[i], uid, gid, 0) < 0 && errno != ENOENT)
            return -errno;
    return 0;
}

/* KEY, daemon and tasks below own; berthd moves. */
static int make_tree(int own, const char *key, uid_t uid, gid_t gid, int *ret_key,
                     int *ret_tasks)
{
    cleanup_close int base = -1, daemon = -1, tasks = -1;
    int r = sub_dir(own, key, &base);
    if (!r)
        r = sub_dir(base, "daemon", &daemon);
    if (!r)
        r = sub_dir(base, "tasks", &tasks);
    if (!r)
        r = cgroup_write(daemon, "cgroup.procs", "0");
    if (!r)
        r = give_away(base, uid, gid, false);
    if (!r)
        r = give_away(tasks, uid, gid, true);
    if (r < 0)
        return r;
    *ret_key = take_fd(base);
    *ret_tasks = take_fd(tasks);
    return 0;
}

/* Turns on, from the outside in, what there is of want. */
static unsigned enable_all(const struct cgroup_place *place, int own, int base, int tasks,
                           unsigned want, int *ret_code)
{
    unsigned there = listed(own, "cgroup.controllers") & want;
    unsigned on = enable(own, there, ret_code) & there;
    if (on != there && *ret_code == -EBUSY && place->at_root && geteuid() == 0) {
        cleanup_close int daemon = openat(base, "daemon", O_PATH | O_DIRECTORY | O_CLOEXEC);
        move_all(own, daemon);
        on = enable(own, there, ret_code) & there;
    }
    on &= enable(base, on, ret_code);
    return on & enable(tasks, on, ret_code);
}

static int open_own(const struct cgroup_place *place)
{
    char path[800];
    snprintf(path, sizeof path, "%s%s", place->mount, place->own);
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int add_at(struct cgroup_base *b, const struct cgroup_place *place, unsigned want,
                  const char *key, uid_t uid, gid_t gid, char *why)
{
    cleanup_close int own = open_own(place), base = -1, tasks = -1;
    int r = own < 0 ? -errno : make_tree(own, key, uid, gid, &base, &tasks);
    if (r < 0) {
        snprintf(why, WHY_SIZE, "cannot make groups in '%.60s%.60s': %s", place->mount,
                 place->own, strerror(-r));
        return r;
    }
    int code = 0;
    unsigned on = enable_all(place, own, base, tasks, want, &code);
    if (code)
        snprintf(why, WHY_SIZE, "cannot hand controllers on in '%.60s%.60s': %s",
                 place->mount, place->own,
                 code == -EBUSY ? "other processes are in it" : strerror(-code));
    char sub[800];
    snprintf(sub, sizeof sub, "%s/%s/tasks", place->own, key);
    r = cgroup_base_add(b, place, sub, on | CG_TRACK, true);
    return r < 0 ? r : (int)on;
}

static bool cut_tail(char *path, const char *tail)
{
    size_t len = strlen(path), n = strlen(tail);
    if (len < n || strcmp(path + len - n, tail))
        return false;
    path[len - n] = '\0';
    return true;
}

/* 0 if the top has nothing to offer, and then nothing is added. */
static int add_at_top(struct cgroup_base *b, struct cgroup_place top, unsigned want,
                      const char *key, uid_t uid, gid_t gid, char *why)
{
    top.own[0] = '\0';
    cleanup_close int root = open_own(&top);
    if (!(listed(root, "cgroup.controllers") & want))
        return 0;
    unsigned count = b->count, use = b->use;
    int on = add_at(b, &top, want, key, uid, gid, why);
    if (on <= 0 && b->count > count) {
        struct cgroup_hier *last = &b->hier[--b->count];
        close(last->fd);
        free(last->path);
        b->use = use;
    }
    return on > 0 ? on : 0;
}

int cgroup2_add(struct cgroup_base *b, const struct cgroup_place *place, unsigned want,
                const char *key, uid_t uid, gid_t gid, char *why)
{
    struct cgroup_place at = *place;
    char tail[256];
    snprintf(tail, sizeof tail, "/%s/daemon", key); /* of an older daemon: a re-exec */
    bool subgroup = cut_tail(at.own, tail) || cut_tail(at.own, "/daemon");
    if (!subgroup && at.own[0] && geteuid() == 0) {
        int on = add_at_top(b, at, want, key, uid, gid, why);
        if (on)
            return on;
    }
    int on = add_at(b, &at, want, key, uid, gid, why);
    return on < 0 && subgroup ? add_at(b, place, want, key, uid, gid, why) : on;
}

static int limit_write(int dir, const char *file, const char *value, bool optional,
                       struct berth_error *err)
{
    int r = cgroup_write(dir, file, value);
    if (r == -ENOENT && optional)
        return 0;
    return r < 0 ? berth_fail_errno(err, -r, "cgroup: cannot write '%s' to %s", value, file)
                 : 0;
}

static int limit_memory(int dir, uint64_t bytes, struct berth_error *err)
{
    char value[32];
    snprintf(value, sizeof value, "%llu", (unsigned long long)bytes);
    int r = limit_write(dir, "memory.max", value, false, err);
    if (!r)
        r = limit_write(dir, "memory.swap.max", "0", true, err);
    if (!r)
        r = limit_write(dir, "memory.oom.group", "1", true, err);
    return r;
}

int cgroup2_limit(int dir, unsigned use, const struct cgroup_limits *lim,
                  struct berth_error *err)
{
    char value[48];
    int r = 0;
    if (use & CG_MEMORY && lim->memory_bytes)
        r = limit_memory(dir, lim->memory_bytes, err);
    if (!r && use & CG_CPU && lim->cpus > 0) {
        double quota = lim->cpus * PERIOD_US;
        snprintf(value, sizeof value, "%lld %d", quota < 1000 ? 1000 : (long long)quota,
                 PERIOD_US);
        r = limit_write(dir, "cpu.max", value, false, err);
    }
    if (!r && use & CG_PIDS && lim->pids) {
        snprintf(value, sizeof value, "%u", lim->pids);
        r = limit_write(dir, "pids.max", value, false, err);
    }
    return r;
}

void cgroup2_usage(int dir, unsigned use, struct cgroup_usage *ret)
{
    int64_t user = cgroup_read_key(dir, "cpu.stat", "user_usec");
    int64_t sys = cgroup_read_key(dir, "cpu.stat", "system_usec");
    if (user >= 0 && sys >= 0) {
        ret->user_ms = user / 1000;
        ret->sys_ms = sys / 1000;
    }
    if (use & CG_MEMORY) {
        int64_t peak = cgroup_read_number(dir, "memory.peak"); /* since Linux 5.19 */
        int64_t kills = cgroup_read_key(dir, "memory.events", "oom_kill");
        ret->peak_memory_bytes = peak < 0 ? -1 : peak;
        ret->oom_kills = kills < 0 ? -1 : kills;
    }
    if (use & CG_PIDS) {
        int64_t refused = cgroup_read_key(dir, "pids.events", "max");
        ret->pids_refused = refused < 0 ? -1 : refused;
    }
}
