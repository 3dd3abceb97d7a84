/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The tiny host: lends a plugin the services of struct berth_host, on the loop that berthd
 * uses itself, and notices what the plugin does wrong with them. What a test wants to do
 * otherwise it puts into `services`.
 */
#ifndef CONFORM_LENDER_H
#define CONFORM_LENDER_H

#include <pthread.h>
#include <stdatomic.h>

#include "loop/loop.h"
#include "plugin/loader.h"

struct lender_watch;

struct lender {
    struct berth_ctx ctx; /* first: what the callbacks get */
    struct berth_host services;
    const struct berth_option *table,
        *task_table; /* of options, task_options; may be NULL */
    struct options *options, *task_options;
    struct loop *loop;
    pthread_t thread;
    struct lender_watch *watches;
    int next_watch;
    atomic_bool woken;
    struct { /* through host->blame */
        int verdict, blame;
        char detail[512];
    } said;
    /* Told when the plugin breaks a rule with a service; may be NULL. */
    void (*broken)(struct lender *l, const char *what);
    /* Around callbacks that the loop makes, "watch" and "timer"; may be NULL. */
    void (*calling)(struct lender *l, const char *callback, bool begins);
    void (*logged)(struct lender *l, int level, const char *line);
    void (*replied)(struct lender *l, uint64_t ticket, const struct berth_error *err);
    void (*forgotten)(struct lender *l, uint64_t message);
    void (*persisted)(struct lender *l, uint64_t message);
};

/* runtime: which of the services are NULL. 0 or -errno. */
int lender_init(struct lender *l, bool runtime);
void lender_fini(struct lender *l); /* and the options */
/* Serves watches, timers and wake-ups until one of them wakes the host, or for so long. */
void lender_serve(struct lender *l, int64_t ms);
int lender_watch_count(const struct lender *l);
/* For the services themselves. */
struct lender *lender_on_thread(struct berth_ctx *ctx, const char *service);
void lender_lend_queue(struct berth_host *services);

#endif
