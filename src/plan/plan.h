/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The plan: a task merged with its executer and the operator's limits; what will really be run. Made by
 * the host to admit and schedule a task, and again by the worker, from its own copy of the config:
 * a host that was taken over cannot talk a worker out of what the operator wrote.
 */
#ifndef PLAN_PLAN_H
#define PLAN_PLAN_H

#include "codec/task.h"
#include "config/config.h"
#include <berth/task.h>

struct plan {
    const struct config_executer *executer; /* NULL: ad-hoc */
    const struct config_plugin *runtime;
    const char *image;
    const char *const *argv;  /* executer's command + task's args; may be empty */
    const char *const *env;   /* "NAME=value", no duplicate names; nothing inherited */
    struct task_resources resources; /* nothing is -1: 0 means not limited */
    int64_t timeout_ms;       /* 0: none */
    int64_t kill_grace_ms;
    int64_t output_max_bytes;
    int retries;
    int network;
    const char *const *require; /* executer's and task's together */
};

/*
 * 0, or the reason for a refusal: -ENOENT no such executer (nearest named) or runtime; -EPERM not allowed
 * (ad-hoc, network, environment name, file outside the roots, args); -EINVAL more than executer.max or
 * than the node has. Strings are the task's, the config's or in the arena.
 *
 * Environment names that a task may set without env_allow: [A-Za-z_][A-Za-z0-9_]*, except PATH,
 * HOME, LD_*, BERTH_*, CUDA_VISIBLE_DEVICES and TMPDIR.
 */
int plan_make(const struct config *c, const struct task *t, struct arena *a, struct plan *ret,
              struct berth_error *err);

/* The plan of a task that asks for nothing but this executer. */
int plan_of_executer(const struct config *c, const struct config_executer *x, struct arena *a,
                     struct plan *ret, struct berth_error *err);

/* What the machine has: cpus of the affinity mask and quota, memory of the cgroup or the machine, pids, GPUs of
 * /proc/driver/nvidia/gpus. config.capacity and config.gpus override. */
void node_capacity(const struct config *c, struct arena *a, struct task_resources *ret,
                   const char *const **ret_gpus);

#endif
