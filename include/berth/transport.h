/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The transport side of the plugin ABI: how tasks arrive and results leave.
 *
 * The host pulls. It promises to call `recv` until it returns 0 after `start`, after every wake-up
 * (the fd of `fd` readable, host->wake) and after every `reply`; it stops early only when it has no
 * room, and calls again when it has. That promise is what makes edge-triggered sources such as
 * ZeroMQ's safe: an fd here means "look", not "readable".
 *
 * Every message has a number of the transport's choice. For each message that `recv` handed over:
 *   reply(ACCEPTED)   the task is durable: the sender may be told so          (not if refused)
 *   reply(STATE)      it started, or waits again                               (0..n)
 *   reply(RESULT)     its end, or its refusal (verdict rejected)               (exactly 1)
 *   settle(...)       the host is done with the message: last call for it      (exactly 1)
 * After host->forget no more replies come, and settle is still called. A message of a durable source
 * that the host has no room for is settled with RETRY, and no reply is made for it.
 * A task may outlive the host: a new host makes the RESULT reply of an old message with message = 0
 * and the task's id, for transports that keep their own queue (BERTH_TRANSPORT_DURABLE); but not if
 * they say that they hand over such messages again (BERTH_TRANSPORT_RESUMES).
 */
#ifndef BERTH_TRANSPORT_H
#define BERTH_TRANSPORT_H

#include <berth/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

enum berth_format { BERTH_FORMAT_MSGPACK = 0, BERTH_FORMAT_JSON = 1 };

/* Bits of berth_message.flags. */
#define BERTH_MESSAGE_ON_THE_LINE 1u /* the caller waits for the result: it is the acknowledgement,
                                        and the task needs no sync to disk before it runs */
#define BERTH_MESSAGE_AGAIN 2u       /* run it although a result of its id may be known */

struct berth_message {
    uint32_t size;
    uint32_t flags;
    uint64_t message;  /* the transport's number, not 0, unique among unsettled messages */
    const void *data;  /* a task, encoded; valid until the next call of `recv` */
    size_t len;
    uint32_t format;       /* enum berth_format of data */
    uint32_t reply_format; /* enum berth_format of the replies' bodies */
    const char *tenant;    /* who is asking, if authentication told; NULL: the task may say */
    /* Since 1.1. For a task that names no id; the same whenever this message comes again. NULL: the
     * host makes one. */
    const char *id;
    /* What other hosts made of it: attempts begun, those blamed on the task, those lost. The host
     * counts on from there, unless it knows the task already. */
    uint32_t attempts, failures, losses;
};

enum berth_reply_kind { BERTH_REPLY_ACCEPTED = 0, BERTH_REPLY_STATE = 1, BERTH_REPLY_RESULT = 2 };

struct berth_reply {
    uint32_t size;
    uint32_t kind;         /* enum berth_reply_kind */
    uint64_t message;      /* 0: see the top of this file */
    uint64_t ticket;       /* for host->replied */
    const char *task_id;   /* "" if the message was too broken to have one */
    uint32_t attempt;      /* that this reply is about; 0: none was made */
    uint32_t verdict;      /* RESULT: enum berth_verdict */
    int error_code;        /* RESULT of a refusal: positive errno (EINVAL, ENOENT, ENOSPC, E2BIG,
                              EPERM, EAGAIN, EEXIST); else 0 */
    uint32_t format;       /* enum berth_format of data */
    const void *data;      /* ACCEPTED, STATE: {id, state, attempt}; RESULT: the result map */
    size_t len;
    const char *error_text; /* RESULT of a refusal: why, one line; else NULL */
    /* Since 1.1: of the attempts so far, as in struct berth_message; and STATE: queued, starting or
     * running. */
    uint32_t failures, losses;
    const char *state;
};
#define BERTH_LATER 1 /* returned by reply: host->replied follows */

enum berth_settle { BERTH_SETTLE_ACK = 0, BERTH_SETTLE_RETRY = 1, BERTH_SETTLE_DROP = 2 };

/* Bits of berth_transport.flags. */
#define BERTH_TRANSPORT_DURABLE 1u /* the sender's queue keeps the task until settle(ACK): the host
                                      need not sync it to disk of its own; ACCEPTED then only says
                                      which id the task has */
#define BERTH_TRANSPORT_RESUMES 2u /* with DURABLE: after `start` it hands over all messages that the
                                      source still counts as this host's, then calls host->resumed;
                                      tasks of a former host wait for that */

/* What `dead` is asked. The answer comes by host->dead_done, with the same ticket. */
enum berth_dead_op {
    BERTH_DEAD_LIST = 0,    /* {letters: [{letter, id, reason, verdict, attempts, host, ms}],
                               next: cursor or absent} */
    BERTH_DEAD_REQUEUE = 1, /* {count}: back to the queue, to be run anew */
    BERTH_DEAD_PURGE = 2    /* {count}: away for good */
};

struct berth_dead {
    uint32_t size;
    uint32_t op; /* enum berth_dead_op */
    uint64_t ticket;
    const char *id;     /* of the task or of the letter; NULL: all */
    const char *cursor; /* LIST: where the page before ended; NULL: from the oldest on */
    uint32_t limit;     /* LIST: at most so many */
};

struct berth_transport {
    uint32_t size; /* filled by BERTH_TRANSPORT */
    uint32_t flags;
    /* Optional. An fd that becomes readable when `recv` may have something; -1: none, use watches. */
    int (*fd)(struct berth_ctx *ctx);
    /* 1: got one, *msg is filled. 0: nothing now. -errno: the source failed; the host calls again
     * after a back-off, or at the next wake-up. */
    int (*recv)(struct berth_ctx *ctx, struct berth_message *msg, struct berth_error *err);
    /* 0: done. BERTH_LATER: done when host->replied says so. -errno: failed; a RESULT is tried again
     * if the source is durable, but for -ESTALE: another host has the task, its result is set aside. */
    int (*reply)(struct berth_ctx *ctx, const struct berth_reply *reply, struct berth_error *err);
    /* The host is done with the message. For a RESULT that was published `how` is ACK. */
    int (*settle)(struct berth_ctx *ctx, uint64_t message, int how, struct berth_error *err);
    /* Optional. on: the host takes no new tasks from now on, replies still come; not on: it does again. */
    void (*drain)(struct berth_ctx *ctx, int on);
    /* Since 1.1. Optional: what has been given up for dead. 0 or -errno, then no answer follows. */
    int (*dead)(struct berth_ctx *ctx, const struct berth_dead *ask, struct berth_error *err);
};

#define BERTH_TRANSPORT(...) {.size = (uint32_t)sizeof(struct berth_transport), __VA_ARGS__}

/*
 * host->query. The answer is one map in `format`. Parameters that a query does not have are ignored.
 * A `tenant` given to task, result or cancel bounds them to that tenant's tasks: -ENOENT for others.
 *
 *  what          answer                                                  parameters
 *  "tasks"       {tasks: [task summary], next: cursor or absent}          state tenant executer limit cursor
 *  "task"        a task: {id, state, attempt, executer, ..., result?}     id
 *  "result"      the result map; -EAGAIN while the task is not done       id
 *  "cancel"      {id, state}; -ENOENT, -EALREADY if done                  id
 *  "executers"   {executers: [...]}                                       -
 *  "runtimes"    {runtimes: [...]}                                        -
 *  "explain"     what will be enforced for an executer, and what not      id = executer
 *  "stats"       counters and gauges                                      -
 *  "metrics"     Prometheus text exposition format 0.0.4, whatever format  -
 *  "health"      {healthy: true}                                          -
 *  "ready"       {ready, reasons: [..]}; -EAGAIN when not ready           -
 *  "drain"       {draining: true}: no new work is taken; what runs at     deadline_ms
 *                the deadline is stopped as preempted
 *  "undrain"     {draining: false}                                        -
 */
struct berth_query {
    uint32_t size;
    uint32_t format; /* enum berth_format */
    const char *what;
    const char *id;
    const char *state;
    const char *tenant;
    const char *executer;
    const char *cursor;
    uint32_t limit; /* 0: 100; at most 1000 */
    /* since 1.1 */
    int64_t deadline_ms; /* from now; 0: none */
};

#ifdef __cplusplus
}
#endif
#endif
