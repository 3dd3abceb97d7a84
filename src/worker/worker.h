/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The runtime worker: one plugin, a fork server of supervisors. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include "config/config.h"
#include "plugin/mark.h"
#include "priv/priv.h"
#include "worker/cgroup.h"

struct worker_start {
    const struct config *config;
    const struct config_plugin *block; /* its entry of runtimes */
    struct cgroup_base *cgroups;
    struct priv_drop drop; /* the worker calls priv_drop before it loads the plugin */
    int plugin_fd;         /* opened by the monitor, -1: not found, error in plugin_error */
    const char *plugin_path;
    struct berth_error plugin_error;
    struct mark *mark; /* for the monitor: the callback that the worker itself is in */
    int monitor_fd; /* EOF: the monitor died; the worker ends, supervisors stay */
};
/* Runs in a freshly forked child of the monitor, single-threaded, signals default. Never
 * returns. */
_Noreturn void worker_main(const struct worker_start *start);

/*
 * An attempt's directory: STATE_DIR/attempts/ID.N/ with
 *   lock      held (flock) by the supervisor as long as it lives: the only trusted test of life
 *   task      msgpack {id, attempt, runtime, slot, queued_ms, gpus, task: bin}: written by the
 *             worker before the fork
 *   work/     the payload's own directory, owned by its uid
 *   stdout, stderr (+ .pos)   captured output, see output.h
 *   result    msgpack result map, spilled at shutdown when the host could not be told
 * The directory goes when the host has confirmed the result. ATTEMPTS_DIR/~GROUP is an
 * emptied one, kept by an idle supervisor for its next attempt.
 */
#define ATTEMPTS_DIR "attempts"

#endif
