/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Groups in the base under test, what their files say, and payloads in them. */
#ifndef TESTS_CGROUP_HELP_H
#define TESTS_CGROUP_HELP_H

#include "spawn-help.h"
#include "worker/cgroup_int.h"

static struct cgroup_base *base;
static char key[64];
static unsigned own_uid = BERTH_ISOLATE_UID; /* 0: payloads are a plain user's */

/* The control file's text in whichever hierarchy has it. */
static void control(const struct cgroup *g, const char *v1, const char *v2, char *out,
                    size_t size)
{
    out[0] = '\0';
    for (unsigned i = 0; i < base->count; i++) {
        const char *file = base->hier[i].v2 ? v2 : v1;
        if (g->dir[i] >= 0 && file && cgroup_read(g->dir[i], file, out, size) >= 0)
            break;
    }
    out[strcspn(out, "\n")] = '\0';
}

static struct cgroup *open_group(const char *name, uint64_t memory, double cpus,
                                 uint32_t pids)
{
    struct cgroup *g = NULL;
    struct berth_error err = {0};
    struct cgroup_limits lim = {memory, cpus, pids};
    if (!ok(cgroup_open(base, name, &lim, &g, &err) == 0, "group '%s'", name))
        printf("# %s\n", err.text);
    return g;
}

static void close_group(struct cgroup *g)
{
    is_int(cgroup_remove(g), 0, "removed");
    cgroup_close(g);
}

static void put_in(struct cgroup *g, const char *script, struct result *res)
{
    struct spawn_request req = {
        .cgroup = g, .isolate = own_uid, .uid = TASK_UID, .gid = TASK_UID};
    run_sh(&req, script, res);
}

/* One group for one attempt after the other: each finds it as if it were new. */
static void test_renew(void)
{
    struct result res;
    struct cgroup_usage used;
    struct berth_error err = {0};
    struct cgroup_limits lim = {24 << 20, 0, 5}, more = {32 << 20, 0.5, 7}, none = {0, 0, 0};
    struct cgroup *g = open_group("again", lim.memory_bytes, lim.cpus, lim.pids);
    if (!cgroup_can_renew(g)) {
        ok(!strcmp(cgroup_base_kind(base), "cgroup2"), "only version 2 has to make groups anew");
        close_group(g);
        return;
    }
    put_in(g, "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done", &res);
    is_int(cgroup_kill(g, WAIT_MS), 0, "the first one's rest is killed");
    put_in(g, "head -c 200m /dev/zero | tail >/dev/null", &res);
    cgroup_usage(g, &used);
    is_int(cgroup_renew(&g, &lim, &err), 0, "renewed with the same limits: %s", err.text);
    put_in(g, "(exit 3); exit $?", &res);
    is_int(res.st.value, 3, "it may have processes again");
    cgroup_usage(g, &used);
    ok(used.oom_kills <= 0 && used.pids_refused <= 0, "with none of the counts of before");
    ok(used.peak_memory_bytes < 8 << 20, "nor its peak (%lld)", (long long)used.peak_memory_bytes);
    is_int(cgroup_renew(&g, &more, &err), 0, "with other limits: %s", err.text);
    char text[64];
    if (cgroup_has_memory(base)) {
        control(g, "memory.limit_in_bytes", "memory.max", text, sizeof text);
        is_str(text, "33554432", "memory");
    }
    control(g, "pids.max", "pids.max", text, sizeof text);
    is_str(text, cgroup_has_pids(base) ? "7" : "", "pids");
    is_int(cgroup_renew(&g, &none, &err), 0, "with none: %s", err.text);
    put_in(g, "for i in 1 2 3 4 5 6 7 8 9; do (exit 0) & done; wait; exit 4", &res);
    is_int(res.st.value, 4, "nothing is limited any more");
    is_int(cgroup_kill(g, WAIT_MS), 0, "and it is empty");
    close_group(g);
}

#endif
