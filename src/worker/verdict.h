/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* From evidence to verdict. Pure logic. */
#ifndef WORKER_VERDICT_H
#define WORKER_VERDICT_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/cgroup.h"
#include "worker/spawn.h"
#include <berth/runtime.h>

struct failure {        /* of anything but the payload itself */
    int verdict, blame; /* BERTH_VERDICT_NONE: nothing failed */
    const char *code;   /* a word; static */
    char text[252];     /* for the user */
    char detail[512];   /* for the operator; "" if there is no more to say */
};

/* All that is known about how an attempt ended. */
struct end {
    bool started;
    bool
        is_engine; /* the process stood for an engine (full form), it was not the payload */
    int cause;     /* timeout, cancelled or preempted, when we ended it; else none */
    const char *cause_code; /* "timeout" "deadline" "cancelled" "shutdown" */
    char cause_text[160];
    struct failure failure;   /* before the start, in the plugin or of the engine */
    struct failure stage_out; /* of collecting the files, after a good end */
    bool reaped;
    struct spawn_status status;
    uint64_t sent;         /* bit n: we sent signal n */
    int64_t unkillable_ms; /* how long something resisted SIGKILL */
    bool unkillable;
    bool cut; /* output was still open when we stopped to listen */
    struct cgroup_usage usage;
    struct berth_evidence engine;
    int64_t queued_ms, started_ms, finished_ms; /* Unix time; 0: not reached */
    int64_t wall_ms;                            /* -1: never ran */
};

struct verdict {
    int verdict, blame;
    int exit_code, signal; /* -1: none */
    const char *code;      /* NULL: no error */
    char text[252];
};

void end_init(struct end *e);
/* The first failure stays: what follows is a consequence. */
void failure_set(struct failure *f, int verdict, int blame, const char *code,
                 const char *format, ...) __attribute__((format(printf, 5, 6)));
void verdict_decide(const struct end *e, struct verdict *ret);
/* Whose signal ended the payload: "berth", "kernel" (out of memory), "other"; NULL if
 * none did. */
const char *verdict_signal_from(const struct end *e);

#endif
