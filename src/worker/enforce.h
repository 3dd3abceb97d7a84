/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Which limit is held by what. One mapping, used for what a worker says that it can hold
 * and for what a result says was held: a limit is never silently absent.
 */
#ifndef WORKER_ENFORCE_H
#define WORKER_ENFORCE_H

#include "plan/plan.h"
#include "worker/runtime.h"

enum limit {
    LIMIT_MEMORY,
    LIMIT_CPUS,
    LIMIT_PIDS,
    LIMIT_DISK,
    LIMIT_NETWORK,
    LIMIT_READ_ONLY,
    LIMIT_UID,
    LIMIT_GPUS,
    LIMIT_TIME,
    LIMIT_COUNT
};
extern const char *const limit_names[LIMIT_COUNT + 1]; /* as in `require` */

/* What the core puts around one attempt. */
struct enforce_view {
    unsigned isolate; /* BERTH_ISOLATE_* that are applied */
    unsigned limits;  /* BERTH_LIMIT_* that the core applies */
    bool own_uid;     /* another uid than the worker's */
    bool disk;        /* the size of the work directory can be limited */
};
/* What this command gets of the core; own_uid: the attempt has a uid of its own. */
struct enforce_view enforce_command(const struct runtime *rt,
                                    const struct berth_command *cmd, bool own_uid);
/* The most that an attempt of this runtime can get. */
struct enforce_view enforce_best(const struct runtime *rt);
/* "cgroup2" "cgroup1" "namespace" "rlimit" "tmpfs" "setuid" "engine" "supervisor", or
 * "no". */
const char *enforce_how(const struct runtime *rt, enum limit l,
                        const struct enforce_view *v);
struct value enforce_map(struct arena *a, const struct runtime *rt,
                         const struct enforce_view *v);
/* First name in require that is not held; NULL if all are. */
const char *enforce_unmet(const struct runtime *rt, const struct enforce_view *v,
                          const char *const *require);
/* A tmpfs of the task's size can be its work directory: a namespace for it can be had,
 * and it fits into the memory limit, on whose account the kernel books it. */
bool enforce_disk_fits(const struct runtime *rt, const struct task_resources *r);
void probe_default(struct berth_probe *p); /* everything as the core can */

#endif
