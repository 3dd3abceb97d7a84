/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The event loop: file descriptors (epoll, level-triggered), timers (a heap), signals (signalfd),
 * the end of processes (pidfd) and work put off to the end of the turn. One loop per process, used
 * from one thread; loop_wake is the only function that another thread may call.
 * A callback may add and remove anything, itself included: what was removed is not called again in
 * the same turn. Removing takes the watcher's address and clears it; NULL is ignored.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct loop;
struct loop_io;
struct loop_timer;
struct loop_signal;
struct loop_child;
struct loop_defer;

typedef void loop_io_fn(void *arg, uint32_t epoll_events);
typedef void loop_fn(void *arg);
typedef void loop_signal_fn(void *arg, const siginfo_t *info); /* ssi_* mapped: signo, pid, uid */
typedef void loop_child_fn(void *arg);

struct loop *loop_new(void); /* NULL and errno on failure */
void loop_free(struct loop *l); /* and all watchers that are left; do not remove those afterwards */
/* In a forked child: the same, without touching the parent's epoll set. Call it before anything
 * else there: to remove a watcher in the child would remove the parent's. */
void loop_free_after_fork(struct loop *l);
int loop_run(struct loop *l); /* until loop_stop; 0 or -errno */
void loop_stop(struct loop *l);

/* Adding returns NULL and errno on failure. Events 0: not watched at all, not for EPOLLHUP either. */
struct loop_io *loop_io_add(struct loop *l, int fd, uint32_t events, loop_io_fn *fn, void *arg);
int loop_io_set(struct loop_io *io, uint32_t events); /* no system call if nothing changes */
void loop_io_remove(struct loop_io **io);             /* before the fd is closed */

/* Fires once, at now + delay_ms (CLOCK_MONOTONIC); 0 fires in the next turn. */
struct loop_timer *loop_timer_add(struct loop *l, int64_t delay_ms, loop_fn *fn, void *arg);
/* Arms it anew; works on one that fired and from its own callback. A fired timer stays allocated. */
void loop_timer_set(struct loop_timer *t, int64_t delay_ms);
void loop_timer_stop(struct loop_timer *t);
void loop_timer_remove(struct loop_timer **t);

/* Blocks the signal in the calling thread and delivers it here. Children must restore the mask. */
struct loop_signal *loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn, void *arg);
void loop_signal_remove(struct loop_signal **s);

/* Fires once when the process behind pidfd has ended; does not reap. The pidfd stays the caller's. */
struct loop_child *loop_child_add(struct loop *l, int pidfd, loop_child_fn *fn, void *arg);
void loop_child_remove(struct loop_child **c);

/* Runs at the end of this turn (or of the next, if called from a deferred function), before the
 * loop sleeps; once per loop_defer_run, however often that is called. */
struct loop_defer *loop_defer_add(struct loop *l, loop_fn *fn, void *arg);
void loop_defer_run(struct loop_defer *d);
void loop_defer_remove(struct loop_defer **d);

/* Makes the loop call fn (set once, at start) soon. Thread-safe, async-signal-safe. */
int loop_on_wake(struct loop *l, loop_fn *fn, void *arg);
void loop_wake(struct loop *l);

int64_t loop_now_ms(struct loop *l); /* CLOCK_MONOTONIC at the start of this turn */

#endif
