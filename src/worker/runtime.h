/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A runtime as its worker knows it: the loaded plugin, its options, what can be held
 * here. Every supervisor inherits it over the fork. */
#ifndef WORKER_RUNTIME_H
#define WORKER_RUNTIME_H

#include "plugin/loader.h"
#include "priv/priv.h"
#include "worker/spawn.h"
#include "worker/worker.h"

/* What the plugin said through host->blame in the callback that is running. */
struct runtime_said {
    int verdict, blame; /* 0: nothing */
    char detail[512];
};

struct runtime {
    const struct config *config;
    const struct config_plugin *block;
    struct plugin *plugin; /* NULL: it could not be had, and error says why */
    struct berth_error error;
    bool plugin_open;     /* its `open` succeeded */
    struct berth_ctx ctx; /* what callbacks get; its address identifies the runtime */
    struct options *options;
    struct options *
        *executer_options; /* one per executer of the config, NULL for other runtimes' */
    struct options *adhoc_options; /* NULL: executer_options has a required key */
    struct cgroup_base *cgroups;
    struct isolation isolation;
    struct seccomp_filter *filter; /* NULL: not to be had here */
    struct berth_probe probe;      /* the latest; all _CORE before the first */
    struct runtime_said said;
};

/* Loads and opens the plugin. Always returns; rt->plugin tells, rt->error says why not. */
void runtime_open(struct runtime *rt, const struct worker_start *start);
void runtime_close(struct runtime *rt);
bool runtime_is_full(const struct runtime *rt); /* the full form: `run` */

/* The service table that runtime plugins get. */
extern const struct berth_host runtime_host;
/* Options of the task's executer; NULL if it has none. */
const struct options *runtime_task_options(const struct runtime *rt, const char *executer);
void runtime_said_clear(struct runtime *rt);

#endif
