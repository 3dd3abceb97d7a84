/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The loop's insides, shared by its files. */
#ifndef LOOP_PARTS_H
#define LOOP_PARTS_H

#include <stdatomic.h>
#include <stddef.h>

#include "loop/loop.h"

struct loop_io {
    struct loop *loop;
    int fd;
    uint32_t events; /* 0: not in the epoll set */
    loop_io_fn *fn;  /* NULL once removed */
    void *arg;
    struct loop_io *prev, *next;
};

struct loop_timer {
    struct loop *loop;
    int64_t at_ns;
    uint64_t order; /* of arming: equal times fire in that order */
    size_t place;   /* in the heap, from 1; 0: not armed */
    loop_fn *fn;
    void *arg;
    struct loop_timer *prev, *next;
};

struct loop_signal {
    struct loop *loop;
    int signo;
    loop_signal_fn *fn; /* NULL once removed */
    void *arg;
    struct loop_signal *prev, *next;
};

struct loop_child {
    struct loop *loop;
    struct loop_io *io;
    loop_child_fn *fn;
    void *arg;
    struct loop_child *prev, *next;
};

enum defer_state { DEFER_IDLE, DEFER_WAITING, DEFER_RUNNING };

struct loop_defer {
    struct loop *loop;
    enum defer_state state; /* also the list that it is in */
    loop_fn *fn;
    void *arg;
    struct loop_defer *prev, *next;
};

struct timer_heap {
    struct loop_timer **at; /* [1..count] */
    size_t count, cap; /* cap suffices for all timers there are, so arming cannot fail */
    size_t timers;
    uint64_t order;
    struct loop_timer *idle; /* list of those that are not armed */
};

struct loop {
    int epoll_fd;
    bool stopped;
    bool running;
    int64_t now_ns;

    struct loop_io *ios;
    struct loop_io *removed; /* freed when no event of this turn can name them any more */
    struct timer_heap timers;
    struct loop_child *children;
    struct loop_defer *defers[3]; /* by state */

    int signal_fd;
    sigset_t signal_set; /* those that signal_fd delivers */
    sigset_t blocked;    /* those among them that were not blocked before */
    struct loop_io *signal_io;
    struct loop_signal *signals; /* removed ones too, until the turn ends */

    int wake_fd;
    atomic_bool woken;
    struct loop_io *wake_io;
    loop_fn *wake_fn;
    void *wake_arg;
};

int64_t loop_clock_ns(void);

/* Calls what was due at l->now_ns; timers armed meanwhile wait for the next turn. */
void loop_timers_run(struct loop *l);
int loop_timers_wait_ms(
    const struct loop *l); /* until the first is due; -1: none is armed */
void loop_timers_fini(struct loop *l);

void loop_signals_reap(struct loop *l); /* frees removed ones */
void loop_signals_fini(struct loop *l, bool forked);
void loop_children_fini(struct loop *l);

#endif
