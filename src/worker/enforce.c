/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Which limit is held by what. */
#include <string.h>

#include "base/fail.h"
#include "worker/enforce.h"

const char *const limit_names[LIMIT_COUNT + 1] = {
    "memory", "cpus", "pids", "disk", "network", "read_only", "uid", "gpus", "time", NULL};

void probe_default(struct berth_probe *p)
{
    *p = (struct berth_probe){.size = sizeof *p,
                              .memory = BERTH_ENFORCE_CORE,
                              .cpus = BERTH_ENFORCE_CORE,
                              .pids = BERTH_ENFORCE_CORE,
                              .disk = BERTH_ENFORCE_CORE,
                              .network_none = BERTH_ENFORCE_CORE,
                              .read_only = BERTH_ENFORCE_CORE,
                              .uid = BERTH_ENFORCE_CORE,
                              .gpus = BERTH_ENFORCE_CORE};
}

static unsigned engine_level(const struct berth_probe *p, enum limit l)
{
    switch (l) {
    case LIMIT_MEMORY:
        return p->memory;
    case LIMIT_CPUS:
        return p->cpus;
    case LIMIT_PIDS:
        return p->pids;
    case LIMIT_DISK:
        return p->disk;
    case LIMIT_NETWORK:
        return p->network_none;
    case LIMIT_READ_ONLY:
        return p->read_only;
    case LIMIT_UID:
        return p->uid;
    case LIMIT_GPUS:
        return p->gpus;
    default:
        return BERTH_ENFORCE_CORE;
    }
}

/* What the core itself does about it in this view. */
static const char *core_how(const struct runtime *rt, enum limit l,
                            const struct enforce_view *v)
{
    const struct cgroup_base *g = rt->cgroups;
    bool own_uid = v->own_uid && v->isolate & BERTH_ISOLATE_UID;
    switch (l) {
    case LIMIT_MEMORY:
        if (!(v->limits & BERTH_LIMIT_MEMORY))
            return "no";
        return cgroup_has_memory(g) ? cgroup_base_kind(g) : "rlimit";
    case LIMIT_CPUS:
        return v->limits & BERTH_LIMIT_CPU && cgroup_has_cpu(g) ? cgroup_base_kind(g)
                                                                : "no";
    case LIMIT_PIDS:
        if (!(v->limits & BERTH_LIMIT_PIDS))
            return "no";
        return cgroup_has_pids(g) ? cgroup_base_kind(g) : own_uid ? "rlimit" : "no";
    case LIMIT_DISK:
        return v->limits & BERTH_LIMIT_DISK && v->disk ? "tmpfs" : "no";
    case LIMIT_NETWORK:
        return v->isolate & BERTH_ISOLATE_NET ? "namespace" : "no";
    case LIMIT_READ_ONLY:
        return v->isolate & BERTH_ISOLATE_READONLY ? "namespace" : "no";
    case LIMIT_UID:
        return own_uid ? "setuid" : "no";
    case LIMIT_GPUS: /* the environment alone holds nobody */
        return v->isolate & BERTH_ISOLATE_DEVICES ? "namespace" : "no";
    default:
        return "supervisor";
    }
}

const char *enforce_how(const struct runtime *rt, enum limit l,
                        const struct enforce_view *v)
{
    switch (engine_level(&rt->probe, l)) {
    case BERTH_ENFORCE_YES:
        return "engine";
    case BERTH_ENFORCE_CORE:
        return core_how(rt, l, v);
    default:
        return "no";
    }
}

static bool disk_possible(const struct runtime *rt)
{
    return !runtime_is_full(rt) && rt->isolation.can & BERTH_ISOLATE_MOUNT;
}

struct enforce_view enforce_best(const struct runtime *rt)
{
    bool full = runtime_is_full(rt);
    return (struct enforce_view){
        .isolate = full ? 0 : rt->isolation.can,
        .limits = BERTH_LIMIT_ALL,
        .own_uid = !full && rt->isolation.can & BERTH_ISOLATE_UID &&
                   !rt->isolation.by_userns && rt->config->uid_count > 0,
        .disk = disk_possible(rt),
    };
}

struct enforce_view enforce_command(const struct runtime *rt,
                                    const struct berth_command *cmd, bool own_uid)
{
    unsigned isolate = cmd->isolate & rt->isolation.can;
    return (struct enforce_view){
        .isolate = own_uid ? isolate : isolate & ~BERTH_ISOLATE_UID,
        .limits = cmd->limits,
        .own_uid = own_uid,
    };
}

struct value enforce_map(struct arena *a, const struct runtime *rt,
                         const struct enforce_view *v)
{
    struct value map = value_new_map(a);
    for (int l = 0; l < LIMIT_COUNT; l++)
        value_put_str(a, &map, limit_names[l], enforce_how(rt, (enum limit)l, v));
    return map;
}

const char *enforce_unmet(const struct runtime *rt, const struct enforce_view *v,
                          const char *const *require)
{
    for (; require && *require; require++)
        for (int l = 0; l < LIMIT_COUNT; l++)
            if (!strcmp(*require, limit_names[l]) &&
                !strcmp(enforce_how(rt, (enum limit)l, v), "no"))
                return *require;
    return NULL;
}

bool enforce_disk_fits(const struct runtime *rt, const struct task_resources *r)
{
    return disk_possible(rt) && r->disk_bytes > 0 &&
           (r->memory_bytes <= 0 || r->disk_bytes <= r->memory_bytes);
}
