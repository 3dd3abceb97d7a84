/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Everything that needs memory, parsing or looking around, done before the clone. */
#include <errno.h>
#include <linux/sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/spawn_int.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_TMP_BYTES (64ull << 20)
#define NEEDS_MOUNT (BERTH_ISOLATE_READONLY | BERTH_ISOLATE_TMP | BERTH_ISOLATE_DEVICES)

static int check_request(const struct spawn_request *r, struct berth_error *err)
{
    if (!r || (!r->run && (!r->argv || !r->argv[0] || !r->argv[0][0])))
        return berth_fail(err, EINVAL, "no program given to start");
    for (int i = 0; i < 3; i++)
        if (r->stdio[i] < 0)
            return berth_fail(err, EINVAL, "no descriptor given for fd %d", i);
    if (r->isolate & NEEDS_MOUNT && !(r->isolate & BERTH_ISOLATE_MOUNT))
        return berth_fail(err, EINVAL,
                          "read-only system, own /tmp and own /dev need own mounts");
    if (r->isolate & BERTH_ISOLATE_UID && r->by_userns)
        return berth_fail(err, EINVAL,
                          "a user namespace of the caller's own cannot change ids");
    if (r->isolate & BERTH_ISOLATE_SECCOMP && !r->filter)
        return berth_fail(err, EINVAL, "no system call filter given");
    if (r->sandbox && (r->run || r->by_userns))
        return berth_fail(err, EINVAL, "a kept sandbox is for programs, and made by root");
    if (list_count(r->bind_rw) > SPAWN_BINDS)
        return berth_fail(err, E2BIG, "more than %d paths to keep writable", SPAWN_BINDS);
    for (const char *const *d = r->devices; d && *d; d++)
        if (strncmp(*d, "/dev/", 5) || strstr(*d, ".."))
            return berth_fail(err, EINVAL, "device '%s' is not a path below /dev", *d);
    return 0;
}

static int add_program(struct spawn_plan *p, size_t *count, const char *dir, int dir_len)
{
    const char *name = p->req->argv[0];
    char **more = realloc(p->programs, (*count + 2) * sizeof *more);
    if (!more)
        return -ENOMEM;
    p->programs = more;
    p->programs[*count + 1] = NULL;
    if (dir_len ? asprintf(&p->programs[*count], "%.*s/%s", dir_len, dir, name) < 0
                : !(p->programs[*count] = strdup(name))) {
        p->programs[*count] = NULL;
        return -ENOMEM;
    }
    ++*count;
    return 0;
}

static int find_programs(struct spawn_plan *p)
{
    size_t count = 0;
    if (p->req->run)
        return 0;
    if (strchr(p->req->argv[0], '/'))
        return add_program(p, &count, "", 0);
    int r = 0;
    const char *s = p->req->search_path ? p->req->search_path : DEFAULT_PATH;
    while (*s && !r) {
        int len = (int)strcspn(s, ":");
        if (len) /* an empty element is the current directory elsewhere */
            r = add_program(p, &count, s, len);
        s += len + (s[len] == ':');
    }
    if (!r && !count)
        p->programs = calloc(1, sizeof *p->programs);
    return p->programs ? r : -ENOMEM;
}

static int parse_cpus(const char *list, cpu_set_t *set)
{
    CPU_ZERO(set);
    for (const char *s = list; *s;) {
        char *end;
        unsigned long first = strtoul(s, &end, 10), last = first;
        if (end == s || *s < '0' || *s > '9')
            return -EINVAL;
        if (*end == '-') {
            s = end + 1;
            last = strtoul(s, &end, 10);
            if (end == s || *s < '0' || *s > '9')
                return -EINVAL;
        }
        if (last < first || last >= CPU_SETSIZE || (*end && (*end != ',' || !end[1])))
            return -EINVAL;
        for (unsigned long i = first; i <= last; i++)
            CPU_SET(i, set);
        s = end + (*end == ',');
    }
    return CPU_COUNT(set) ? 0 : -EINVAL;
}

/* A hard limit that is lower already cannot be raised, and holds as well. */
static void add_limit(struct spawn_plan *p, int resource, rlim_t value)
{
    struct rlimit now;
    if (getrlimit(resource, &now) == 0 && now.rlim_max != RLIM_INFINITY &&
        value > now.rlim_max)
        value = now.rlim_max;
    p->limit_of[p->limit_count] = resource;
    p->limit[p->limit_count++] = (struct rlimit){value, value};
}

static void fill_limits(struct spawn_plan *p)
{
    const struct spawn_request *r = p->req;
    add_limit(p, RLIMIT_CORE, 1); /* 0 would still feed a program in core_pattern: core(5) */
    if (r->rlimit_as)
        add_limit(p, RLIMIT_AS, r->rlimit_as);
    if (r->rlimit_nproc)
        add_limit(p, RLIMIT_NPROC, r->rlimit_nproc);
    if (r->rlimit_nofile)
        add_limit(p, RLIMIT_NOFILE, r->rlimit_nofile);
    if (r->rlimit_fsize)
        add_limit(p, RLIMIT_FSIZE, r->rlimit_fsize);
}

static uint64_t namespaces(const struct spawn_request *r)
{
    uint64_t ns = r->by_userns ? CLONE_NEWUSER : 0;
    if (r->sandbox)
        return r->isolate & BERTH_ISOLATE_IPC ? CLONE_NEWIPC : 0;
    if (r->isolate & BERTH_ISOLATE_MOUNT)
        ns |= CLONE_NEWNS;
    if (r->isolate & BERTH_ISOLATE_PID)
        ns |= CLONE_NEWPID | CLONE_NEWNS; /* /proc has to follow */
    if (r->isolate & BERTH_ISOLATE_IPC)
        ns |= CLONE_NEWIPC;
    if (r->isolate & BERTH_ISOLATE_UTS)
        ns |= CLONE_NEWUTS;
    if (r->isolate & BERTH_ISOLATE_NET && (r->net_fd <= 0 || r->by_userns))
        ns |= CLONE_NEWNET;
    return ns == CLONE_NEWUSER ? 0 : ns;
}

int plan_fill(struct spawn_plan *p, const struct spawn_request *req,
              struct berth_error *err)
{
    *p = (struct spawn_plan){
        .req = req, .report_fd = -1, .status_fd = -1, .parent = getpid()};
    int r = check_request(req, err);
    if (r < 0)
        return r;
    if (req->cpu_list && parse_cpus(req->cpu_list, &p->cpus) < 0)
        return berth_fail(err, EINVAL, "cpu list '%s' is not of the form 0-3,8",
                          req->cpu_list);
    if (find_programs(p) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    fill_limits(p);
    p->namespaces = namespaces(req);
    p->init = req->isolate & BERTH_ISOLATE_PID && !req->sandbox;
    snprintf(p->uid_map, sizeof p->uid_map, "%u %u 1", geteuid(), geteuid());
    snprintf(p->gid_map, sizeof p->gid_map, "%u %u 1", getegid(), getegid());
    uint64_t tmp = req->tmp_bytes ? req->tmp_bytes : DEFAULT_TMP_BYTES;
    /* Empty files have no size, but take memory of the kernel's. */
    unsigned long long files = tmp / 1024 + 1024;
    snprintf(p->tmp_options, sizeof p->tmp_options, "mode=1777,size=%llu,nr_inodes=%llu",
             (unsigned long long)tmp, files);
    snprintf(p->dev_options, sizeof p->dev_options, "mode=0755,size=%llu,nr_inodes=%llu",
             (unsigned long long)tmp, files);
    return 0;
}

void plan_fini(struct spawn_plan *p)
{
    for (char **s = p->programs; s && *s; s++)
        free(*s);
    free(p->programs);
}
