/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the machine has, read below a root directory so that tests can bring their own. */
#ifndef PLAN_NODE_H
#define PLAN_NODE_H

#include "base/buf.h"
#include "config/config.h"

struct node {
    double cpus;          /* of the affinity mask and the cgroup's quota */
    int64_t memory_bytes; /* of the machine or the cgroup */
    int64_t pids;
    const char *const *gpus; /* device minors, in order; NULL-terminated */
    int64_t gpu_count;
};

/* root: "" for the machine itself. What cannot be found out is 0. -ENOMEM. */
int node_measure(const char *root, struct arena *a, struct node *ret);

/* The machine, measured once per process. */
const struct node *node_machine(void);

/* The machine as far as the config leaves it to tasks. Disk is -1 where the config is silent. */
void node_limits(const struct config *c, struct task_resources *ret);

#endif
