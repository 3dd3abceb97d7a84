/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The turn of the loop, and the watchers of file descriptors. */
#include "loop/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "base/fail.h"
#include "loop/parts.h"

#define LOOP_BATCH 128

int64_t loop_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

struct loop *loop_new(void)
{
    struct loop *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    l->signal_fd = l->wake_fd = -1;
    sigemptyset(&l->signal_set);
    sigemptyset(&l->blocked);
    l->now_ns = loop_clock_ns();
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        free(l);
        return NULL;
    }
    return l;
}

static void free_ios(struct loop_io **list)
{
    struct loop_io *io, *next;

    DL_FOREACH_SAFE (*list, io, next)
        free(io);
    *list = NULL;
}

static void free_all(struct loop *l, bool forked)
{
    struct loop_defer *d, *next;

    if (!l)
        return;
    loop_signals_fini(l, forked);
    loop_children_fini(l);
    loop_timers_fini(l);
    for (size_t i = 0; i < countof(l->defers); i++)
        DL_FOREACH_SAFE (l->defers[i], d, next)
            free(d);
    free_ios(&l->ios);
    free_ios(&l->removed);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    close(l->epoll_fd);
    free(l);
}

/* The epoll set goes with its last descriptor: no watcher need be taken out of it. */
void loop_free(struct loop *l)
{
    free_all(l, false);
}

void loop_free_after_fork(struct loop *l)
{
    free_all(l, true);
}

static int io_apply(struct loop_io *io, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = io};
    int op = !io->events ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;

    if (events == io->events)
        return 0;
    if (epoll_ctl(io->loop->epoll_fd, op, io->fd, &ev) < 0)
        return -errno;
    io->events = events;
    return 0;
}

struct loop_io *loop_io_add(struct loop *l, int fd, uint32_t events, loop_io_fn *fn,
                            void *arg)
{
    struct loop_io *io = calloc(1, sizeof(*io));
    int r;

    if (!io)
        return NULL;
    io->loop = l;
    io->fd = fd;
    io->fn = fn;
    io->arg = arg;
    r = io_apply(io, events);
    if (r < 0) {
        free(io);
        errno = -r;
        return NULL;
    }
    DL_APPEND(l->ios, io);
    return io;
}

int loop_io_set(struct loop_io *io, uint32_t events)
{
    return io_apply(io, events);
}

void loop_io_remove(struct loop_io **io_ptr)
{
    struct loop_io *io = *io_ptr;

    if (!io)
        return;
    *io_ptr = NULL;
    io_apply(io, 0);
    io->fn = NULL;
    DL_DELETE(io->loop->ios, io);
    if (io->loop->running)
        DL_APPEND(io->loop->removed, io);
    else
        free(io);
}

struct loop_defer *loop_defer_add(struct loop *l, loop_fn *fn, void *arg)
{
    struct loop_defer *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->loop = l;
    d->fn = fn;
    d->arg = arg;
    DL_APPEND(l->defers[DEFER_IDLE], d);
    return d;
}

static void defer_move(struct loop_defer *d, enum defer_state to)
{
    DL_DELETE(d->loop->defers[d->state], d);
    d->state = to;
    DL_APPEND(d->loop->defers[to], d);
}

void loop_defer_run(struct loop_defer *d)
{
    if (d->state == DEFER_IDLE)
        defer_move(d, DEFER_WAITING);
}

void loop_defer_remove(struct loop_defer **d_ptr)
{
    struct loop_defer *d = *d_ptr;

    if (!d)
        return;
    *d_ptr = NULL;
    DL_DELETE(d->loop->defers[d->state], d);
    free(d);
}

/* Those put off while this runs wait in the other list, for the next turn. */
static void run_deferred(struct loop *l)
{
    struct loop_defer *d, *next;

    DL_FOREACH_SAFE (l->defers[DEFER_WAITING], d, next)
        d->state = DEFER_RUNNING;
    l->defers[DEFER_RUNNING] = l->defers[DEFER_WAITING];
    l->defers[DEFER_WAITING] = NULL;
    while ((d = l->defers[DEFER_RUNNING])) {
        defer_move(d, DEFER_IDLE);
        d->fn(d->arg);
    }
}

static void on_wake_event(void *arg, uint32_t events)
{
    struct loop *l = arg;
    eventfd_t count;

    (void)events;
    eventfd_read(l->wake_fd, &count);
    /* Before fn: a wake during it must write again. One before this is seen by fn. */
    atomic_store(&l->woken, false);
    l->wake_fn(l->wake_arg);
}

int loop_on_wake(struct loop *l, loop_fn *fn, void *arg)
{
    l->wake_fn = fn;
    l->wake_arg = arg;
    if (l->wake_fd >= 0)
        return 0;
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wake_fd < 0)
        return -errno;
    l->wake_io = loop_io_add(l, l->wake_fd, EPOLLIN, on_wake_event, l);
    if (!l->wake_io) {
        int code = errno;

        close(take_fd(l->wake_fd));
        return -code;
    }
    return 0;
}

void loop_wake(struct loop *l)
{
    int saved = errno;

    if (l->wake_fd >= 0 && !atomic_exchange(&l->woken, true))
        eventfd_write(l->wake_fd, 1);
    errno = saved;
}

int64_t loop_now_ms(struct loop *l)
{
    if (!l->running)
        l->now_ns = loop_clock_ns();
    return l->now_ns / 1000000;
}

void loop_stop(struct loop *l)
{
    l->stopped = true;
}

static int loop_turn(struct loop *l)
{
    struct epoll_event events[LOOP_BATCH];
    int wait = l->defers[DEFER_WAITING] ? 0 : loop_timers_wait_ms(l);
    int n = epoll_wait(l->epoll_fd, events, LOOP_BATCH, wait);

    if (n < 0 && errno != EINTR)
        return -errno;
    l->now_ns = loop_clock_ns();
    for (int i = 0; i < n; i++) {
        struct loop_io *io = events[i].data.ptr;

        /* an earlier callback of this turn may have removed or changed it */
        if (io->fn && (events[i].events & (io->events | EPOLLERR | EPOLLHUP)) && io->events)
            io->fn(io->arg, events[i].events & (io->events | EPOLLERR | EPOLLHUP));
    }
    loop_timers_run(l);
    run_deferred(l);
    free_ios(&l->removed);
    loop_signals_reap(l);
    return 0;
}

int loop_run(struct loop *l)
{
    int r = 0;

    l->running = true;
    while (!l->stopped && r >= 0)
        r = loop_turn(l);
    l->running = false;
    l->stopped = false;
    return r;
}
