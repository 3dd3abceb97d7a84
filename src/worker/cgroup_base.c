/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Which hierarchies there are, and this daemon's tree in them. A controller is taken
 * from version 1 where it is mounted so, else from version 2. Processes are kept track
 * of in v1's pids where there is one, because a limit on pids is nearly always wanted
 * and a group more costs 60 us per task; with pids.max at 0 killing there is as final as
 * cgroup.kill.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/cgroup_int.h"

#define CG_LIMITS (CG_MEMORY | CG_CPU | CG_PIDS)

static unsigned controller_bits(char *list)
{
    unsigned use = 0;
    char *save;
    for (char *w = strtok_r(list, ",\n", &save); w; w = strtok_r(NULL, ",\n", &save)) {
        use |= !strcmp(w, "memory") ? CG_MEMORY : 0;
        use |= !strcmp(w, "cpu") ? CG_CPU : 0;
        use |= !strcmp(w, "pids") ? CG_PIDS : 0;
    }
    return use;
}

/* This process's group in the hierarchy that has one of the controllers (0: version 2). */
static int own_path(unsigned use, char *out, size_t size)
{
    cleanup_file FILE *f = fopen("/proc/self/cgroup", "re");
    char line[1024];
    while (f && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':');
        char *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (use ? !(controller_bits(list + 1) & use) : strcmp(line, "0:") != 0)
            continue;
        snprintf(out, size, "%s", path);
        return 0;
    }
    return -ENOENT;
}

/* Makes an own path relative to what the mount shows. */
static void relate(struct cgroup_place *p, const char *root, const char *path)
{
    size_t n = strcmp(root, "/") ? strlen(root) : 0;
    bool below = !strncmp(path, root, n) && !strstr(path, "/..");
    snprintf(p->own, sizeof p->own, "%s", below && strcmp(path + n, "/") ? path + n : "");
    char type[sizeof p->mount + 16];
    snprintf(type, sizeof type, "%s/cgroup.type", p->mount);
    p->at_root = !p->own[0] && access(type, F_OK) == 0;
}

/* One line of mountinfo (proc(5)): the bits of a v1 hierarchy, or *ret_v2. */
static unsigned parse_mount(char *line, struct cgroup_place *p, bool *ret_v2)
{
    char root[512], path[512], kind[32], options[512];
    char *rest = strstr(line, " - ");
    *ret_v2 = false;
    if (!rest || sscanf(rest, " - %31s %*s %511s", kind, options) != 2 ||
        sscanf(line, "%*s %*s %*s %511s %255s", root, p->mount) != 2)
        return 0;
    bool v2 = !strcmp(kind, "cgroup2");
    unsigned use = !strcmp(kind, "cgroup") ? controller_bits(options) : 0;
    if ((!v2 && !use) || own_path(use, path, sizeof path) < 0)
        return 0;
    relate(p, root, path);
    *ret_v2 = v2;
    return use;
}

int cgroup_base_add(struct cgroup_base *b, const struct cgroup_place *place,
                    const char *sub, unsigned use, bool v2)
{
    char path[1200];
    snprintf(path, sizeof path, "%s%s", place->mount, sub);
    if (b->count == CG_HIERARCHIES)
        return -ENOSPC;
    cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    char *copy = strdup(sub);
    if (!copy)
        return -ENOMEM;
    b->hier[b->count++] = (struct cgroup_hier){take_fd(fd), use, v2, copy};
    b->use |= use;
    return 0;
}

struct search {
    struct cgroup_base *b;
    const char *key;
    uid_t uid;
    gid_t gid;
    char why[WHY_SIZE];
};

static void add_all(struct search *s, bool v2)
{
    cleanup_file FILE *f = fopen("/proc/self/mountinfo", "re");
    char line[4096];
    while (f && fgets(line, sizeof line, f)) {
        struct cgroup_place place;
        bool is_v2;
        unsigned use = parse_mount(line, &place, &is_v2) & ~s->b->use;
        if (is_v2 != v2)
            continue;
        if (v2 && !(s->b->use & CG_TRACK))
            cgroup2_add(s->b, &place, CG_LIMITS & ~s->b->use, s->key, s->uid, s->gid,
                        s->why);
        else if (use)
            cgroup1_add(s->b, &place, use, s->key, s->uid, s->gid, s->why);
    }
}

static void track_in(struct cgroup_base *b, unsigned use)
{
    for (unsigned i = 0; i < b->count && !(b->use & CG_TRACK); i++)
        if (b->hier[i].use & use) {
            b->hier[i].use |= CG_TRACK;
            b->use |= CG_TRACK;
        }
}

static void say_missing(struct cgroup_base *b, const char *why)
{
    unsigned lacks = CG_LIMITS & ~b->use;
    if (!lacks)
        return;
    snprintf(b->text, sizeof b->text,
             "cannot limit%s%s%s: %.150s; a unit with Delegate=yes can",
             lacks & CG_MEMORY ? " memory" : "", lacks & CG_CPU ? " cpu" : "",
             lacks & CG_PIDS ? " pids" : "",
             *why ? why : "no control group has these controllers");
}

static void dir_name(const char *key, char out[200])
{
    int n = snprintf(out, 200, "%s%.190s", strncmp(key, "berth-", 6) ? "berth-" : "", key);
    for (int i = 0; i < n && i < 199; i++)
        if (out[i] == '/' || out[i] == '\n')
            out[i] = '_';
}

struct cgroup_base *cgroup_base_new(const char *key, uid_t uid, gid_t gid)
{
    char name[200];
    struct cgroup_base *b = calloc(1, sizeof *b);
    if (!b || !key)
        return b;
    dir_name(key, name);
    struct search s = {.b = b, .key = name, .uid = uid, .gid = gid};
    add_all(&s, false);
    track_in(b, CG_PIDS);
    if (!(b->use & CG_TRACK))
        add_all(&s, true);
    track_in(b, ~0u);
    say_missing(b, s.why);
    return b;
}

void cgroup_base_free(struct cgroup_base *b)
{
    if (!b)
        return;
    for (unsigned i = 0; i < b->count; i++) {
        close(b->hier[i].fd);
        free(b->hier[i].path);
    }
    free(b);
}

bool cgroup_has_memory(const struct cgroup_base *b)
{
    return b && b->use & CG_MEMORY;
}

bool cgroup_has_cpu(const struct cgroup_base *b)
{
    return b && b->use & CG_CPU;
}

bool cgroup_has_pids(const struct cgroup_base *b)
{
    return b && b->use & CG_PIDS;
}

bool cgroup_has_kill(const struct cgroup_base *b)
{
    return b && b->use & CG_TRACK;
}

const char *cgroup_base_kind(const struct cgroup_base *b)
{
    if (!b || !b->count)
        return "none";
    return b->hier[0].v2 ? "cgroup2" : "cgroup1";
}

const char *cgroup_base_text(const struct cgroup_base *b)
{
    return b ? b->text : "out of memory";
}
