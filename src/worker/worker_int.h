/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The parts of a runtime worker, for its own files only. */
#ifndef WORKER_WORKER_INT_H
#define WORKER_WORKER_INT_H

#include <uthash.h>

#include "worker/attempt.h"
#include "worker/helper.h"
#include "worker/host_link.h"
#include "worker/supervisor.h"

struct child { /* a supervisor that this worker forked */
    pid_t pid;
    struct seat *seat; /* what it is at */
    UT_hash_handle hh;
};

struct run { /* asked for, forked at the end of the turn */
    struct attempt *at;
    struct run *next;
};

struct sweep;

struct worker {
    struct runtime rt;
    struct loop *loop;
    struct host_link *link;
    struct loop_io *monitor;
    int monitor_fd;
    char *lock_path;
    int lock_fd; /* -1: not open yet */
    bool lock_waits;
    struct loop_signal *sigterm, *sigchld;
    struct loop_defer *fork_defer, *answer_defer;
    struct loop_timer *probe_timer, *sweep_timer, *lock_timer;
    struct helper *probe, *explain;
    struct buf explained; /* msgpack: executer -> how its limits are held; "": not asked */
    bool probed;
    struct berth_error probe_error; /* of the last probe; code 0: it went well */
    struct child *children;
    struct run *runs;
    struct sweep *sweeps;
    int sweeping; /* helpers at work */
    struct seat **free_seats;
    size_t free_count, seat_count; /* the latter: all */
    struct loop_timer *reap_timer;
    bool reap_due; /* it is set */
    int64_t started_ms;
};

/* worker_run.c: attempts come and go */
void worker_run(struct worker *w, const struct value *body);
void worker_fork_all(void *arg);
void worker_reap(struct worker *w, pid_t pid);
void worker_reap_all(void *worker);
bool worker_has_child(const struct worker *w, const char *id, int number);
bool worker_owns_pid(void *arg, pid_t pid);
void worker_send_refused(struct worker *w, const char *id, int number,
                         const struct refusal *why, const char *text);

/* answer.c */
/* False: the plugin does not answer this one, it needs a process. */
bool worker_answer(struct worker *w, struct attempt *at);
void worker_answered(void *worker); /* at the end of a turn: sends the answers */

/* sweep.c */
/* A supervisor died (group: its own, or ""): kills and removes what is left, for as long as it takes, then tells
 * the host: refused if why is not NULL, else gone; nothing if quiet. */
void sweep_dead(struct worker *w, const char *id, int number, int slot, const char *group,
                int status, const struct refusal *why, const char *text, bool quiet);
void sweep_asked(struct worker *w, const struct value *body);
void sweep_others(struct worker *w, const struct value *body);
void sweep_send_pending(
    struct worker *w); /* what could not be told while the host was away */
void sweep_turn(void *arg);
/* What a supervisor that had no attempt kept for its next one, by the name of its group. */
void sweep_idle(struct worker *w, const char *name);
void sweep_all_idle(struct worker *w); /* of the workers before this one */

/* probe.c */
void probe_turn(void *arg);
void probe_send(struct worker *w);

/* explain.c */
void explain_start(
    struct worker *w); /* once the plugin has answered a probe; sends the probe again */

#endif
