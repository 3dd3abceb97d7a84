/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Version 1: a hierarchy per controller, each joined only when it is needed. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/cgroup_int.h"

#define PERIOD_US 100000
#define KEEP_BYTES (512 * 1024) /* memory that may be left in a group which is used again */

int cgroup1_add(struct cgroup_base *b, const struct cgroup_place *place, unsigned use,
                const char *key, uid_t uid, gid_t gid, char *why)
{
    char sub[800], path[1100];
    snprintf(sub, sizeof sub, "%s/%s", place->own, key);
    snprintf(path, sizeof path, "%s%s", place->mount, sub);
    if (mkdir(path, 0755) < 0 && errno != EEXIST) {
        int code = errno;
        snprintf(why, WHY_SIZE, "cannot make '%.100s': %s", path, strerror(code));
        return -code;
    }
    /* Groups made inside by uid are uid's own, with their files: the directory is all it
     * needs. */
    if ((uid != (uid_t)-1 || gid != (gid_t)-1) && chown(path, uid, gid) < 0) {
        int code = errno;
        snprintf(why, WHY_SIZE, "cannot give away '%.100s': %s", path, strerror(code));
        return -code;
    }
    if (access(path, W_OK) < 0 && uid == (uid_t)-1) {
        int code = errno;
        snprintf(why, WHY_SIZE, "cannot write in '%.100s': %s", path, strerror(code));
        return -code;
    }
    return cgroup_base_add(b, place, sub, use, false);
}

static int limit_failed(struct berth_error *err, int code, const char *file,
                        const char *value)
{
    return berth_fail_errno(err, -code, "cgroup: cannot write '%s' to %s", value, file);
}

static int limit_memory(int dir, uint64_t bytes, struct berth_error *err)
{
    char value[32];
    snprintf(value, sizeof value, "%llu", (unsigned long long)bytes);
    int r = cgroup_write(dir, "memory.limit_in_bytes", value);
    if (r < 0)
        return limit_failed(err, r, "memory.limit_in_bytes", value);
    r = cgroup_write(dir, "memory.memsw.limit_in_bytes", value);
    if (r < 0 && r != -ENOENT) /* no such file: swap is not accounted */
        return limit_failed(err, r, "memory.memsw.limit_in_bytes", value);
    return 0;
}

static int limit_cpu(int dir, double cpus, struct berth_error *err)
{
    char value[32];
    double quota = cpus * PERIOD_US;
    snprintf(value, sizeof value, "%lld", quota < 1000 ? 1000 : (long long)quota);
    int r =
        cgroup_write(dir, "cpu.cfs_quota_us", value); /* the period is 100 ms by default */
    return r < 0 ? limit_failed(err, r, "cpu.cfs_quota_us", value) : 0;
}

int cgroup1_limit(int dir, unsigned use, const struct cgroup_limits *lim,
                  struct berth_error *err)
{
    int r = 0;
    if (use & CG_MEMORY && lim->memory_bytes)
        r = limit_memory(dir, lim->memory_bytes, err);
    if (!r && use & CG_CPU && lim->cpus > 0)
        r = limit_cpu(dir, lim->cpus, err);
    if (!r && use & CG_PIDS && lim->pids) {
        char value[32];
        snprintf(value, sizeof value, "%u", lim->pids);
        r = cgroup_write(dir, "pids.max", value);
        if (r < 0)
            r = limit_failed(err, r, "pids.max", value);
    }
    return r;
}

/*
 * What a task read stays charged as cache. A little of it does no harm; the peak starts from
 * there. A limit on pids is written anew in any case: killing sets it to 0.
 */
bool cgroup1_renew(struct cgroup *g, unsigned i, const struct cgroup_limits *lim)
{
    unsigned use = g->base->hier[i].use;
    char value[32];
    if (use & CG_MEMORY && (g->limits.memory_bytes != lim->memory_bytes ||
                            cgroup_file_number(g, i, CG_USAGE) > KEEP_BYTES ||
                            cgroup_file_write(g, i, CG_PEAK, "0") < 0))
        return false;
    if (use & CG_CPU && g->limits.cpus != lim->cpus)
        return false;
    if (!(use & CG_PIDS))
        return true;
    if (cgroup_file_number(g, i, CG_PIDS_NOW) != 0) /* somebody else's zombies count */
        return false;
    snprintf(value, sizeof value, "%u", lim->pids);
    return cgroup_file_write(g, i, CG_PIDS_MAX, lim->pids ? value : "max") == 0;
}

void cgroup1_usage(struct cgroup *g, unsigned i, struct cgroup_usage *ret)
{
    unsigned use = g->base->hier[i].use;
    if (use & CG_MEMORY) {
        int64_t peak = cgroup_file_number(g, i, CG_PEAK);
        int64_t kills = cgroup_file_key(g, i, CG_OOM, "oom_kill");
        ret->peak_memory_bytes = peak < 0 ? -1 : peak;
        ret->oom_kills = kills < 0 ? -1 : kills;
    }
    if (use & CG_PIDS) {
        int64_t refused = cgroup_file_key(g, i, CG_PIDS_REFUSED, "max");
        ret->pids_refused = refused < 0 ? -1 : refused;
    }
    if (use & CG_CPU) { /* only where cpuacct is mounted together with cpu */
        int64_t user = cgroup_read_number(g->dir[i], "cpuacct.usage_user");
        int64_t sys = cgroup_read_number(g->dir[i], "cpuacct.usage_sys");
        if (user >= 0 && sys >= 0) {
            ret->user_ms = user / 1000000;
            ret->sys_ms = sys / 1000000;
        }
    }
}
