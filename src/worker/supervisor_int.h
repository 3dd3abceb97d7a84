/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The parts of a supervisor, for its own files only. */
#ifndef WORKER_SUPERVISOR_INT_H
#define WORKER_SUPERVISOR_INT_H

#include "worker/command.h"
#include "worker/helper.h"
#include "worker/host_link.h"
#include "worker/output.h"
#include "worker/supervisor.h"
#include "worker/verdict.h"

enum state {
    STARTING, /* files are staged in, the image is prepared, the payload is made */
    RUNNING,
    STOPPING,  /* it was sent the stop signal and has its grace */
    KILLING,   /* SIGKILL, until nothing is left */
    DRAINING,  /* all is dead; the pipes are read to their ends */
    GATHERING, /* the engine's evidence, files staged out */
    DONE,      /* the host is told until it confirms */
    IDLE,      /* between two attempts */
    STATE_COUNT
};

enum event {
    EVENT_NONE,
    EVENT_STAGED,  /* ready to launch */
    EVENT_FAILED,  /* the start failed; end.failure says why */
    EVENT_STOP,    /* timeout, cancel or shutdown; end.cause says which */
    EVENT_ENDED,   /* the payload's process has ended */
    EVENT_EMPTY,   /* nothing of the attempt runs any more */
    EVENT_DRAINED, /* both pipes are at their ends */
    EVENT_GATHERED,
    EVENT_CONFIRM, /* the host has the result, or does not want it */
    EVENT_TICK,    /* the timer of the state */
    EVENT_LINK_DOWN,
    EVENT_COUNT
};

struct stream {
    struct supervisor *s;
    int fd; /* -1: at its end */
    struct loop_io *io;
    struct output *file; /* NULL: nothing came yet */
    int error;           /* why it could not be made */
    const char *name;
};

struct supervisor {
    /* Stays from attempt to attempt; supervisor_clear resets all the rest. */
    struct runtime *rt;
    struct seat *seat;
    struct loop *loop;
    struct host_link *link;
    struct loop_timer *tick, *tell;
    struct loop_signal *sigterm;
    int served;           /* attempts before this one */
    struct cgroup *spare; /* the last one's, empty; NULL: none */
    struct sandbox *sandbox; /* the same; sandbox_keep.h */
    bool no_sandbox;         /* one could not be made */
    int net_fd;           /* network namespace of those that have no network; 0: none yet */

    struct attempt *at; /* NULL: IDLE */
    enum state state;
    enum event again; /* follows the one that is being handled */
    struct berth_task view;
    struct enforce_view held;
    struct cgroup *cgroup;
    struct command *command; /* only while launching */
    const struct berth_answer *answer; /* the plugin's, in place of all that is below; NULL: none */
    struct spawned payload;  /* pid 0: none */
    struct loop_child *watch;
    int fault_fd; /* full form: what `run` says when it fails */
    int stop_signal;
    bool pid_namespace;
    bool in_sandbox; /* the one that is kept */
    bool hard_killed;
    struct stream out[2];
    struct loop_timer *timeout, *deadline;
    struct helper *helper;
    int gather_step;
    int64_t grace_ms;
    int64_t started_mono_ms, killing_mono_ms;
    bool shutting; /* the machine goes down */
    bool confirmed;
    bool stay;       /* the host may have another attempt for it */
    bool cleaned;    /* the plugin's cleanup succeeded */
    bool bytes_gone; /* the task's bytes were given back; the task file has them */
    struct end end;
    struct buf files; /* msgpack array: what was staged out */
};

#define STAGE_LIMIT_MS \
    (24 * 3600 * 1000LL) /* of all files together, when nothing else ends it */

/* supervise_table.c */
void supervisor_event(struct supervisor *s, enum event e);
/* Somebody wants it ended; the first reason stays. grace_ms -1: the plan's. */
void supervisor_stop(struct supervisor *s, int verdict, const char *code, const char *text,
                     int64_t grace_ms);
int supervisor_watch_deadline(struct supervisor *s);

/* supervisor.c */
void supervisor_send_done(struct supervisor *s);
/* Removes what the attempt used; then ends the process, or returns true: IDLE. May end it later, false. */
bool supervisor_finish(struct supervisor *s);
_Noreturn void supervisor_leave(struct supervisor *s); /* ends the process: it is idle */
_Noreturn void
supervisor_spill(struct supervisor *s); /* leaves the result to the next host, and ends */

/* engine_signal.c */
/* Through the plugin, in a helper; -EOPNOTSUPP: the process gets it. */
int supervisor_signal_engine(struct supervisor *s, int signo);

/* payload.c */
int payload_prepare(
    struct supervisor *s); /* work directory and view; failure is in end.failure */
int payload_launch(struct supervisor *s);
void payload_view(struct supervisor *s); /* the task, as the plugin sees it */
/* Keeps what the plugin said about the failure of that callback. */
int payload_plugin_failed(struct supervisor *s, const char *code,
                          const struct runtime_said *said, const struct berth_error *err);
void payload_signal(struct supervisor *s, int signo);
void payload_kill(struct supervisor *s);
/* Kills what is left after the payload itself. 0 nothing is left; -EAGAIN something is. */
int payload_kill_rest(struct supervisor *s);
void payload_reaped(struct supervisor *s); /* its process has ended: takes the status */

/* payload_sandbox.c */
/* In the sandbox that is kept, or else in one of its own. */
int payload_spawn(struct supervisor *s, struct spawn_request *req, bool *ret_task_fault,
                  struct berth_error *err);
/* After the payload in it: no process is left, and maybe no sandbox. -EAGAIN: something still
 * lives. */
int payload_sandbox_leave(struct supervisor *s);

/* streams.c */
int streams_open(struct supervisor *s, int ret_write_fds[2], struct berth_error *err);
int streams_watch(struct supervisor *s);
bool streams_at_end(const struct supervisor *s);
void streams_cut(struct supervisor *s);
int input_open(const void *data, size_t len,
               struct berth_error *err); /* fd to become stdin */

/* gather.c */
void gather_start(struct supervisor *s);
void gather_next(struct supervisor *s);
void gather_abort(struct supervisor *s);

/* stage.c, stage_out.c: helper work, arg is the supervisor */
bool stage_in_needed(const struct supervisor *s);
int stage_in_work(void *arg, struct buf *out, struct berth_error *err);
bool stage_out_needed(const struct supervisor *s);
int stage_out_work(void *arg, struct buf *out, struct berth_error *err);

/* disk.c */
/* A tmpfs of the task's size over the work directory, in a mount namespace of this
 * process: it goes when the last process of the attempt goes. */
int disk_mount(struct supervisor *s, struct berth_error *err);

/* result.c */
struct value result_build(struct supervisor *s, struct arena *a);

/* orphans.c */
/* With PR_SET_CHILD_SUBREAPER: kills and reaps every child that mine does not claim.
 * Number still there. */
int orphans_kill(bool (*mine)(void *arg, pid_t pid), void *arg);

#endif
