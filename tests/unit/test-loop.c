/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The loop: order, and whatever callbacks may do to each other. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../tap.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/str.h"
#include "loop/loop.h"

static struct loop *loop;
static struct buf seen; /* what was called, one letter each */

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

static void note(void *arg)
{
    buf_str(&seen, arg);
}

static void note_io(void *arg, uint32_t events)
{
    (void)events;
    buf_str(&seen, arg);
}

static void start(void)
{
    loop = loop_new();
    seen.len = 0;
    buf_str(&seen, ".");
}

static void finish(void)
{
    loop_free(loop);
    buf_free(&seen);
}

static void run(void)
{
    is_int(loop_run(loop), 0, "the loop runs and stops");
}

static void test_invalid(void)
{
    struct loop_io *io = NULL;
    struct loop_timer *t = NULL;
    struct loop_signal *s = NULL;
    struct loop_child *c = NULL;
    struct loop_defer *d = NULL;
    int fds[2];

    start();
    loop_io_remove(&io);
    loop_timer_remove(&t);
    loop_signal_remove(&s);
    loop_child_remove(&c);
    loop_defer_remove(&d);
    loop_free(NULL);
    loop_free_after_fork(NULL);
    errno = 0;
    ok(!loop_io_add(loop, -1, EPOLLIN, note_io, "") && errno == EBADF, "io: no descriptor");
    errno = 0;
    ok(!loop_child_add(loop, -1, note, "") && errno == EBADF, "child: no descriptor");
    ok(!loop_signal_add(loop, 0, NULL, NULL), "signal 0");
    ok(!loop_signal_add(loop, 9999, NULL, NULL) && errno == EINVAL, "signal 9999");
    ok(pipe(fds) == 0, "pipe");
    io = loop_io_add(loop, fds[0], EPOLLIN, note_io, "");
    errno = 0;
    ok(!loop_io_add(loop, fds[0], EPOLLIN, note_io, "") && errno == EEXIST,
       "a descriptor twice");
    loop_io_remove(&io);
    ok(!io, "removing clears");
    loop_wake(loop);
    loop_stop(loop);
    run();
    close(fds[0]);
    close(fds[1]);
    finish();
}

/* ---- timers ---- */

static struct loop_timer *timers[8];

static void rearm(void *arg)
{
    static int times;

    buf_str(&seen, arg);
    if (++times < 3)
        loop_timer_set(timers[0], 0);
    else
        loop_stop(loop);
}

static void remove_others(void *arg)
{
    note(arg);
    loop_timer_remove(&timers[1]);
    loop_timer_remove(&timers[2]);
    loop_timer_stop(timers[3]);
}

static void test_timers(void)
{
    int64_t begin;

    start();
    begin = now_ms();
    loop_timer_add(loop, 600, stop, NULL); /* far apart, for a machine that is busy or slow */
    loop_timer_add(loop, 300, note, "d");
    loop_timer_add(loop, 4, note, "b");
    loop_timer_add(loop, 4, note, "c");
    loop_timer_add(loop, -5, note, "a");
    loop_timer_add(loop, INT64_MAX, note, "never");
    run();
    is_str(seen.data, ".abcd", "by time, then by the order of arming");
    ok(now_ms() - begin >= 599, "not before their time");
    finish();

    start();
    timers[0] = loop_timer_add(loop, 0, remove_others, "a");
    timers[1] = loop_timer_add(loop, 0, note, "b");
    timers[2] = loop_timer_add(loop, 5, note, "c");
    timers[3] = loop_timer_add(loop, 0, note, "d");
    loop_timer_add(loop, 6, stop, NULL);
    run();
    is_str(seen.data, ".a", "removed and stopped in a callback, they do not fire");
    loop_timer_remove(&timers[0]);
    loop_timer_remove(&timers[3]);
    finish();

    start();
    timers[0] = loop_timer_add(loop, 0, rearm, "r");
    run();
    is_str(seen.data, ".rrr", "arming anew from its own callback");
    loop_timer_remove(&timers[0]);
    finish();
}

static void remove_itself(void *arg)
{
    struct loop_timer **t = arg;

    buf_str(&seen, "x");
    loop_timer_remove(t);
    ok(!*t, "a timer removes itself");
    loop_stop(loop);
}

static struct {
    int64_t latest_ms;
    int fired, early, unordered;
} many;

/* Arming takes time: it is due between the two. */
struct many_timer {
    struct loop_timer *timer;
    int64_t from_ms, to_ms;
};

static void many_fired(void *arg)
{
    struct many_timer *t = arg;

    many.fired++;
    many.early += now_ms() < t->from_ms;
    many.unordered += t->to_ms < many.latest_ms;
    if (t->from_ms > many.latest_ms)
        many.latest_ms = t->from_ms;
    if (many.fired == 3334)
        loop_stop(loop);
}

/* Ten thousand armed, moved, a third of them stopped and a third removed. */
static void test_many_timers(void)
{
    struct many_timer *all = calloc(10000, sizeof(*all));

    start();
    srand(1);
    timers[0] = loop_timer_add(loop, 1000, remove_itself, &timers[0]);
    for (int i = 0; i < 10000; i++)
        all[i].timer = loop_timer_add(loop, rand() % 1000, many_fired, &all[i]);
    for (int i = 0; i < 10000; i++) {
        int64_t delay = 20 + rand() % 50;

        all[i].from_ms = now_ms() + delay;
        loop_timer_set(all[i].timer, delay);
        all[i].to_ms = now_ms() + delay + 1;
        if (i % 3 == 1)
            loop_timer_stop(all[i].timer);
        if (i % 3 == 2)
            loop_timer_remove(&all[i].timer);
    }
    run();
    is_int(many.fired, 3334, "each that was left fires once");
    is_int(many.early, 0, "none early");
    is_int(many.unordered, 0, "in order");
    loop_timer_set(timers[0], 0);
    run();
    finish();
    free(all);
}

/* ---- descriptors ---- */

static struct loop_io *ios[2];
static int ends[2];

/* Both are readable; whichever comes first removes the other, and itself. */
static void remove_both(void *arg, uint32_t events)
{
    note_io(arg, events);
    loop_io_remove(&ios[0]);
    loop_io_remove(&ios[1]);
    close(take_fd(ends[0]));
    close(take_fd(ends[1]));
    /* the number comes back at once: the event of the old one must not reach it */
    ends[0] = eventfd(0, EFD_CLOEXEC);
    ios[0] = loop_io_add(loop, ends[0], EPOLLIN, note_io, "wrong");
    loop_timer_add(loop, 0, stop, NULL);
}

static void test_io_removed(void)
{
    start();
    for (int i = 0; i < 2; i++) {
        ends[i] = eventfd(1, EFD_CLOEXEC);
        ios[i] = loop_io_add(loop, ends[i], EPOLLIN, remove_both, "x");
    }
    run();
    is_str(seen.data, ".x", "what was removed is not called in the same turn");
    loop_io_remove(&ios[0]);
    close(ends[0]);
    finish();
}

static void test_io_events(void)
{
    struct loop_io *io;
    int pair[2];

    start();
    ok(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), "socket pair");
    io = loop_io_add(loop, pair[0], 0, note_io, "x");
    close(pair[1]);
    loop_timer_add(loop, 5, stop, NULL);
    run();
    is_str(seen.data, ".", "events 0: not even a hangup is told");
    is_int(loop_io_set(io, EPOLLIN), 0, "watched again");
    is_int(loop_io_set(io, EPOLLIN), 0, "the same again");
    loop_timer_add(loop, 0, stop, NULL);
    run();
    is_str(seen.data, ".x", "and told");
    is_int(loop_io_set(io, 0), 0, "not watched again");
    loop_io_remove(&io);
    close(pair[0]);
    finish();
}

static void drain_one(void *arg, uint32_t events)
{
    int *fd = arg;
    eventfd_t n;

    (void)events;
    eventfd_read(*fd, &n);
    if (++many.fired == 2000)
        loop_stop(loop);
}

static void test_many_fds(void)
{
    struct rlimit limit;
    int fds[2000], made = 0;

    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    start();
    many.fired = 0;
    for (int i = 0; i < 2000; i++) {
        fds[i] = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        made += loop_io_add(loop, fds[i], EPOLLIN, drain_one, &fds[i]) != NULL;
    }
    is_int(made, 2000, "2000 descriptors");
    run();
    is_int(many.fired, 2000, "each is served once");
    finish(); /* and frees the watchers */
    for (int i = 0; i < 2000; i++)
        close(fds[i]);
}

/* ---- deferred work ---- */

static struct loop_defer *defers[3];

static void defer_again(void *arg)
{
    static int times;

    note(arg);
    if (++times == 3)
        loop_stop(loop);
    else
        loop_defer_run(defers[0]);
}

static void defer_all(void *arg)
{
    note(arg);
    for (int i = 0; i < 3; i++) {
        loop_defer_run(defers[1]);
        loop_defer_run(defers[0]);
        loop_defer_run(defers[2]);
    }
}

static void defer_remove(void *arg)
{
    note(arg);
    loop_defer_remove(&defers[1]);
    loop_defer_remove(&defers[2]);
}

static void test_defer(void)
{
    start();
    defers[0] = loop_defer_add(loop, defer_again, "a");
    defers[1] = loop_defer_add(loop, defer_remove, "b");
    defers[2] = loop_defer_add(loop, note, "c");
    loop_timer_add(loop, 0, defer_all, "t");
    run();
    is_str(seen.data, ".tbaaa",
           "after the timers, once each, in order, removable, and in the next turn from "
           "its own");
    loop_defer_remove(&defers[0]);
    finish();
    start();
    loop_defer_run(loop_defer_add(loop, stop, NULL));
    run();
    finish();
}

/* ---- waking ---- */

enum { WAKERS = 3, WAKES = 20000 };
static atomic_int wanted, served;

static void *waker(void *arg)
{
    (void)arg;
    for (int i = 0; i < WAKES; i++) {
        atomic_fetch_add(&wanted, 1);
        loop_wake(loop);
    }
    return NULL;
}

static void on_wake(void *arg)
{
    (void)arg;
    atomic_store(&served, atomic_load(&wanted));
    if (atomic_load(&served) == WAKERS * WAKES)
        loop_stop(loop);
}

static void test_wake(void)
{
    pthread_t threads[WAKERS];

    start();
    is_int(loop_on_wake(loop, on_wake, NULL), 0, "on_wake");
    for (int i = 0; i < WAKERS; i++)
        pthread_create(&threads[i], NULL, waker, NULL);
    run();
    is_int(atomic_load(&served), WAKERS * WAKES, "no wake is lost");
    for (int i = 0; i < WAKERS; i++)
        pthread_join(threads[i], NULL);
    finish();
}

static void test_now(void)
{
    int64_t before;

    start();
    before = now_ms();
    ok(loop_now_ms(loop) >= before, "outside a turn it is the time");
    finish();
}

int main(void)
{
    alarm(60);
    test_invalid();
    test_timers();
    test_many_timers();
    test_io_removed();
    test_io_events();
    test_many_fds();
    test_defer();
    test_wake();
    test_now();
    return tap_done();
}
