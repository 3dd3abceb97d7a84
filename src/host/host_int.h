/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the files of the host share. Nothing outside src/host includes this. */
#ifndef HOST_HOST_INT_H
#define HOST_HOST_INT_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <uthash.h>
#include <utlist.h>

#include "base/buf.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "host/host.h"
#include "loop/loop.h"
#include "plan/plan.h"
#include "plugin/loader.h"
#include "sched/sched.h"
#include "store/store.h"
#include "wire/conn.h"
#include "wire/frames.h"

struct host;
struct job;
struct link;
struct ctl_client;
struct log_reader;

/* Somebody who asked for a task and is owed replies: a message of a transport, or berth(1). */
struct waiter {
    struct waiter *next;                /* in job->waiters */
    struct waiter *ctl_prev, *ctl_next; /* in the ctl client's list */
    struct job *job;
    struct transport_link *transport; /* NULL: ctl */
    struct ctl_client *ctl;
    uint64_t message;
    int format;
    bool on_the_line;  /* the result is the acknowledgement */
    bool accepted;     /* ACCEPTED was sent, or is not wanted */
    bool gone;         /* the caller left: settle only */
    UT_hash_handle hh; /* in transport->waiters, by message */
};

enum job_state {
    JOB_NEW,       /* handed to the store, not yet durable */
    JOB_QUEUED,    /* with the scheduler */
    JOB_STARTING,  /* RUN was sent, or a supervisor is known of: booked */
    JOB_RUNNING,   /* its payload runs */
    JOB_RETRYING,  /* the end of an attempt is being stored; another follows */
    JOB_FINISHING, /* its result is being stored and published */
    JOB_STATES
};

struct job {
    struct host *host;
    struct sched_item item; /* priority, tenant, executer, runtime, need, seq */
    const char *id;
    enum job_state state;
    int attempt, failures, losses, retries;
    bool durable; /* must survive: its sender has been told, or will be */
    bool inserted; /* its row was handed to the store */
    bool stored;   /* and is there */
    bool unsaved;  /* in host->unsaved: the row does not say how things are */
    int64_t unsaved_ms; /* monotonic: since when */
    struct job *unsaved_prev, *unsaved_next;
    bool cancel;  /* asked for */
    bool result_stored, published;
    bool disowned;      /* its source has given it to another host: see job_source.c */
    bool awaits_source; /* its result is kept back until the source says whose it is */
    int publish_pending; /* replies that said BERTH_LATER */
    int verdict;
    const char *transport;                                   /* interned; "" for ctl */
    int64_t queued_ms, started_ms, finished_ms, deadline_ms; /* Unix time */
    int64_t timeout_ms;
    void *body; /* msgpack of the task; NULL: only in the store */
    size_t body_len;
    struct buf result; /* msgpack map, when FINISHING */
    struct link *link; /* its supervisor, NULL: none connected */
    bool sweep_sent, spilled;
    int64_t limbo_since_ms; /* monotonic; in flight without a supervisor's connection */
    struct job *limbo_prev, *limbo_next; /* in host->limbo */
    bool in_limbo;
    struct waiter *waiters;
    struct loop_timer *deadline, *again; /* again: the store could not write */
    UT_hash_handle hh;                   /* in host->jobs, by id */
};

/* A connection on RUN_DIR/host.sock: a worker's or a supervisor's, as its hello says. */
struct link {
    struct host *host;
    struct conn *conn;
    struct runtime_link *runtime; /* a worker's */
    struct job *job;              /* a supervisor's */
    bool orphan;                  /* a supervisor's whose worker may not be its parent any more */
    struct link *prev, *next;
    /* A supervisor's: what it could be used for again. */
    struct runtime_link *of; /* NULL: not a supervisor, or of an unknown runtime */
    int slot;
    unsigned probes; /* of its runtime, when it was forked */
    bool again;      /* it offers to take another attempt */
    bool idle;       /* in of->idle */
    int64_t idle_since_ms; /* monotonic */
    struct link *idle_prev, *idle_next;
};

struct runtime_link {
    struct host *host;
    const struct config_plugin *block;
    struct link *link; /* its worker, NULL: none connected */
    struct link *idle; /* supervisors without an attempt, the last used first */
    unsigned probes;   /* answers so far */
    bool probed, healthy;
    char version[64], detail[252], plugin_version[64];
    struct arena *probe_arena;
    struct value enforce;   /* map, in probe_arena: the best that can be had */
    struct value executers; /* likewise: executer -> map */
    uint64_t started, failed;
};

struct transport_link {
    struct host *host;
    const struct config_plugin *block;
    struct plugin *plugin;
    struct options *options;
    struct berth_ctx ctx;
    struct loop_io *io;
    struct loop_defer *pump;
    struct loop_timer *backoff;
    struct waiter *waiters; /* by message */
    bool open, started;
    bool resumed; /* said so: see BERTH_TRANSPORT_RESUMES */
    atomic_bool woken; /* set by other threads */
    int64_t polled_ms; /* monotonic; 0: never said */
    int failures;      /* of recv, in a row */
    uint64_t received, refused;
    struct watch *watches;
    int next_watch;
    struct ticket *tickets; /* replies under way, by ticket */
    uint64_t next_ticket;
    char mark[16]; /* host->host_mark */
};

struct histogram {
    uint64_t bucket[12]; /* upper bounds in metrics.c */
    uint64_t count;
    double sum_s;
};

struct pace { /* tasks that ended lately: two windows of time */
    int64_t since_ms;
    uint32_t now, before;
};

struct stats {
    uint64_t accepted, rejected, attempts, retries, late, adopted, deduplicated;
    uint64_t finished[BERTH_VERDICT_REJECTED + 1];
    struct histogram wait, run;
};

struct host {
    struct host_start start;
    const struct config *config;
    struct loop *loop;
    struct store *store;
    struct sched *sched;
    struct task_resources capacity;
    const char *const *gpus;
    struct arena *arena; /* lives as long as the host */
    struct interned *strings;
    struct job *jobs, *limbo;
    struct job *unsaved;           /* rows to be written soon */
    struct loop_timer *save_timer; /* set while there are any */
    size_t body_bytes; /* of all jobs' bodies in memory */
    int64_t next_seq;
    struct runtime_link *runtimes;
    struct transport_link *transports;
    struct link *links;
    struct ctl_client *clients;
    int link_fd, ctl_fd;
    struct loop_io *link_io, *ctl_io, *monitor_io, *inotify_io;
    bool accept_rests; /* there were no descriptors: until the next tick */
    unsigned client_count;
    size_t tail_bytes; /* of outputs that log readers hold */
    struct loop_defer *dispatch;
    struct loop_timer *dispatch_later, *limbo_timer, *orphan_timer, *purge_timer, *tick,
        *drain_timer;
    int inotify_fd;
    struct log_reader *readers;
    struct stats stats;
    struct pace pace;
    struct dead_ask *dead_asks; /* questions about dead letters that a transport has not answered */
    uint64_t next_dead;
    pthread_t thread; /* of the loop */
    bool draining, drain_over;
    int64_t drain_deadline_ms; /* 0: none */
    int64_t started_unix_ms,
        disk_full_ms; /* last time the store said ENOSPC; 0: not since it worked */
};

#define ATTEMPT_MAX 1000000000 /* more were never made, whoever says so */

/* A moment that somebody else wrote down: what cannot be one becomes now. */
static inline int64_t past_ms(int64_t ms)
{
    int64_t now = unix_ms();
    return ms >= 0 && ms <= now ? ms : now;
}

/* host.c */
/* A non-blocking descriptor, or -1. Without descriptors it rests, instead of being called for ever. */
int host_accept(struct host *h, int listen_fd, struct loop_io *io);
const char *host_intern(struct host *h,
                        const char *s); /* lives as long as the host; NULL if no memory */
void host_ask_dispatch(struct host *h);

/* job.c: the life of a task */
extern const struct value_limits result_limits;
struct job *job_find(struct host *h, const char *id);
struct job *job_new(struct host *h, const struct task *t, const struct plan *p,
                    void *take_body,
                    size_t body_len); /* state NEW, in host->jobs; NULL if out of memory */
int sane_count(int64_t n); /* of attempts, from a frame or a row that may be damaged */
void jobs_save(void *host);                       /* writes the rows that were put off */
void job_admit(struct job *j, bool on_the_line); /* stores it and sets it going */
struct job *job_restore(struct host *h, const struct store_row *row, const struct task *t,
                        const struct plan *p);
void job_attach(struct job *j, struct waiter *w);
void job_resume_waiter(struct job *j,
                       struct waiter *w); /* of a task that was known already */
void job_detach(struct waiter *w);        /* from its job and its transport; frees */
void job_persist(struct job *j);          /* it must survive after all */
void job_booked(struct job *j);           /* the scheduler gave it its turn */
int job_cancel(struct job *j);            /* 0 or -EALREADY */
void job_release(struct job *j);          /* held back until now: it may run */
/* What links and workers tell. */
void job_hello(struct job *j, struct link *l, const struct value *body);
void job_started(struct job *j, const struct value *body);
void job_ended(struct job *j, const struct value *result);
void job_lost(struct job *j, const char *why);
void job_refused(struct job *j, const struct value *body);
void job_into_limbo(struct job *j);
void job_out_of_limbo(struct job *j);
void job_published(struct job *j, struct waiter *w); /* w's RESULT is out: settle it */
void job_orphan_published(struct job *j); /* its result reached the sender's queue */
int job_body(struct job *j, struct arena *a, const void **ret, size_t *ret_len,
             struct berth_error *err);
void job_row(const struct job *j, struct store_row *row);
bool job_is_waiting(const struct job *j); /* no attempt of it is known */
bool job_is_done(const struct job *j); /* its result may be shown */
const char *
job_state_name(const struct job *j); /* for callers: queued, starting, running or done */

/* job_source.c: tasks that their sender's queue keeps until the result is out */
bool transport_is_durable(const struct transport_link *t);
bool transport_resumes(const struct transport_link *t);
bool job_has_source(const struct job *j);
void job_check_owner(struct job *j);     /* disowns it if its source has spoken of others */
bool job_is_held(const struct job *j);   /* not to run before its source has spoken */
bool job_awaits(struct job *j);          /* its result must wait for that; or it is set aside */
bool job_is_wanted(const struct job *j); /* somebody waits for it who has not gone */
void job_disown(struct job *j);          /* frees it, or ends its attempt first */
void job_drop(struct job *j);            /* its end, unless somebody wants it by then */
void jobs_resumed(struct transport_link *t);
void jobs_hand_back(struct host *h); /* what waits, to the queues that it came from */
bool job_hand_back(struct job *j);   /* frees it; false: it stays */

/* drain.c */
void drain_begin(struct host *h, int64_t deadline_ms); /* from now; 0: none */
void drain_end(struct host *h);
void drain_look(void *host); /* timer: the deadline */
void drain_resume(struct host *h); /* when transports have started */

/* credit.c */
uint32_t host_credit(struct host *h);
void host_pace(struct host *h); /* a task has ended */

/* dead.c: dead letters of the transports */
struct dead_ask;
int dead_ask(struct ctl_client *c, const struct value *body, struct berth_error *err);
void dead_done(struct transport_link *t, uint64_t ticket, const void *data, size_t len,
               const struct berth_error *err);
void dead_forget(struct ctl_client *c); /* the client has gone */

/* verdict.c: ends that the host itself decides */
struct value result_make(struct arena *a, const struct job *j, int verdict, int blame,
                         const char *code, const char *message);

/* intake.c */
void intake_message(struct transport_link *t, const struct berth_message *m);
int intake_value(struct ctl_client *c, const struct value *task, struct berth_error *err);

/* dispatch.c */
void dispatch_run(void *host);

/* links.c: workers and supervisors */
int links_open(struct host *h, struct berth_error *err);
struct runtime_link *host_runtime(struct host *h, const char *name);
/* How each limit is held for tasks of this executer ("": any), as the worker says; NULL: it has not yet. */
const struct value *runtime_enforce(const struct runtime_link *r, const char *executer);
/* The number of an attempt that somebody speaks of; 0: it is none. */
int link_attempt_of(const struct value *body);
void link_confirm(struct link *l, const char *id, int attempt, bool stay);
void link_free(struct link *l);
void link_cancel(struct link *l, const struct job *j, int verdict);
void runtime_sweep(struct runtime_link *r, struct job *j);
void links_sweep_others(void *host); /* timer: what no task in flight stands for is removed from the node */

/* idle.c: supervisors that wait for another attempt */
bool idle_wanted(const struct link *l); /* once its attempt is confirmed */
void idle_add(struct link *l);
void idle_remove(struct link *l);
/* One for this job, which is given its slot; NULL: there is none. It is idle no more. */
struct link *idle_take(struct runtime_link *r, struct job *j);
void idle_dismiss(struct runtime_link *r); /* all */
void idle_tick(struct host *h);            /* those that nobody needed for a while */

/* disk.c: what the store said of its disk (0 or -errno), and a look at it every second */
void host_disk(struct host *h, int rc, const struct berth_error *err);
void host_disk_tick(struct host *h);

/* adopt.c: what an earlier host left */
int adopt_all(struct host *h, struct berth_error *err);
void adopt_limbo(void *host); /* timer: looks at jobs in limbo */
bool attempt_alive(struct host *h, const char *id, int attempt);
int attempt_found(struct host *h, const char *id); /* the latest that is alive; 0: none */
/* A supervisor of a task that this host does not know: takes it in, or NULL if it is to be confirmed. */
struct job *adopt_hello(struct host *h, const struct value *body);
bool adopt_spilled(struct job *j);      /* a result left in its directory was taken */
void adopt_spilled_done(struct job *j); /* it is in the store: the file may go */
/* Is this a later attempt than the one that the store told of? */
bool adopt_is_newer(const struct job *j, int attempt);
/* A task thought to be waiting, or in an attempt before, turns out to have this one under way. */
void adopt_in_flight(struct job *j, int attempt, int slot, const struct value *gpus);

/* transports.c, services.c */
int transports_load(struct host *h, struct berth_error *err); /* load and open */
int transports_start(struct host *h, struct berth_error *err);
void transport_reply(struct waiter *w, int kind, const struct job *j,
                     const struct value *result);
void transport_settle(struct transport_link *t, uint64_t message, int how);
void transport_refuse(struct transport_link *t, const struct berth_message *m,
                      const char *id, const struct berth_error *why);
void transport_publish_orphan(struct transport_link *t, struct job *j,
                              const struct value *result);
void transports_drain(struct host *h, bool on);
void transports_close(struct host *h);
void services_woken(void *host); /* another thread called wake */
void transport_pump_later(struct transport_link *t);
extern const struct berth_host transport_services;

/* listing.c */
struct value task_value(struct arena *a, const struct host *h, const struct store_row *row);
/* Puts "tasks" and, if there are more, "next" into *ret, a map. */
int list_tasks(struct host *h, const struct berth_query *q, struct arena *a,
               struct value *ret, struct berth_error *err);

/* query.c, metrics.c */
int host_query(struct host *h, const struct berth_query *q, struct buf *out,
               struct berth_error *err);
void metrics_write(struct host *h, struct buf *out);
void histogram_add(struct histogram *hist, int64_t ms);
bool host_ready(struct host *h, struct arena *a, struct value *reasons);

/* logs.c */
int logs_init(struct host *h);
struct log_reader *log_reader_new(struct host *h, const char *id, int stream,
                                  uint64_t offset, loop_fn *fn, void *arg,
                                  struct berth_error *err);
int log_reader_read(struct log_reader *r, void *buf, size_t len,
                    uint64_t *ret_offset); /* as host->log_read */
void log_reader_free(struct log_reader *r);
void logs_job_changed(struct host *h, const char *id);

/* ctl.c */
int ctl_open(struct host *h, struct berth_error *err);
struct host *ctl_host(struct ctl_client *c);
void ctl_reply_result(struct waiter *w, const struct value *result);
void ctl_reply_accepted(struct waiter *w);
void ctl_refuse(struct waiter *w, const struct berth_error *why);
void ctl_attach(struct waiter *w); /* so that a client that goes takes its waiters along */
void ctl_detach(struct waiter *w);
void ctl_event(struct host *h, const struct job *j, const char *event, const char *message);
void ctl_tick(struct host *h);
void ctl_monitor_said(struct host *h, const char *line);
void ctl_answer(struct ctl_client *c, const void *data, size_t len,
                const struct berth_error *err); /* to a question asked before */

#endif
