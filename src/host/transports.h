/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What transports.c and services.c share. */
#ifndef HOST_TRANSPORTS_H
#define HOST_TRANSPORTS_H

#include "host/host_int.h"

struct ticket { /* a reply on its way */
    uint64_t number;
    struct transport_link *transport;
    struct waiter *waiter;  /* NULL: refusal, or an orphan's result */
    struct job *orphan_job; /* came by this transport, but its message is a former host's */
    uint64_t message;
    int how; /* enum berth_settle, after a RESULT */
    int kind, format, error_code;
    uint32_t attempt, verdict, failures, losses;
    char error_text[252]; /* of a refusal */
    const char *state;
    char *task_id;
    struct buf body;
    struct loop_timer *again;
    UT_hash_handle hh;
};

struct watch { /* what a transport asked of the loop */
    int id;
    struct transport_link *transport;
    int fd;
    struct loop_io *io;
    struct loop_timer *timer;
    berth_fd_fn *fd_fn;
    berth_timer_fn *timer_fn;
    void *arg;
    struct log_reader *reader;
    UT_hash_handle hh;
};

void transport_replied(struct transport_link *t, uint64_t ticket,
                       const struct berth_error *err);

#endif
