/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The loop and other processes: signals, their ends, forks. */
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "base/buf.h"
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

/* ---- signals ---- */

static struct loop_signal *signals[2];
static int from_pid, from_signo;

static void on_signal(void *arg, const siginfo_t *info)
{
    note(arg);
    from_pid = info->si_pid;
    from_signo = info->si_signo;
    loop_signal_remove(&signals[0]);
    loop_signal_remove(&signals[1]);
    loop_stop(loop);
}

static bool is_blocked(int signo)
{
    sigset_t set;

    pthread_sigmask(SIG_SETMASK, NULL, &set);
    return sigismember(&set, signo) == 1;
}

static void test_signals(void)
{
    start();
    signals[0] = loop_signal_add(loop, SIGUSR1, on_signal, "1");
    signals[1] = loop_signal_add(loop, SIGUSR1, on_signal, "2");
    loop_signal_add(loop, SIGUSR2, on_signal, "3");
    ok(is_blocked(SIGUSR1) && is_blocked(SIGUSR2), "blocked");
    kill(getpid(), SIGUSR1);
    run();
    is_str(seen.data, ".1", "the first removed the second");
    ok(from_pid == getpid() && from_signo == SIGUSR1, "who and what");
    ok(!is_blocked(SIGUSR1) && is_blocked(SIGUSR2), "unblocked with the last watcher");
    kill(getpid(), SIGUSR2);
    run();
    is_str(seen.data, ".13", "the other one still works");
    finish();
    ok(!is_blocked(SIGUSR2), "the loop leaves the mask as it was");
}

/* ---- processes ---- */

struct child {
    struct loop_child *watch;
    int pidfd, status, *left;
};

static void on_child(void *arg)
{
    struct child *c = arg;
    siginfo_t info = {0};

    is_int(waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED), 0, "it was not reaped");
    c->status = info.si_status;
    loop_child_remove(&c->watch);
    if (!--*c->left)
        loop_stop(loop);
}

static void test_children(void)
{
    struct child children[5];
    int left = 5, hold[2];

    start();
    ok(pipe(hold) == 0, "pipe");
    for (int i = 0; i < 5; i++) {
        pid_t pid = fork();
        char c;

        if (!pid) {
            close(hold[1]);
            _exit(read(hold[0], &c, 1) == 0 ? i + 1 : 99);
        }
        children[i] =
            (struct child){.pidfd = (int)syscall(SYS_pidfd_open, pid, 0), .left = &left};
        children[i].watch = loop_child_add(loop, children[i].pidfd, on_child, &children[i]);
    }
    close(hold[0]);
    close(hold[1]);
    run();
    for (int i = 0; i < 5; i++) {
        is_int(children[i].status, i + 1, "child %d", i);
        close(children[i].pidfd);
    }
    finish();
}

/* The child frees its copy; the parent's watchers must go on. */
static void test_fork(void)
{
    int fd = eventfd(0, EFD_CLOEXEC), status = -1;
    pid_t pid;

    start();
    loop_io_add(loop, fd, EPOLLIN, note_io, "x");
    loop_signal_add(loop, SIGUSR1, on_signal, "s");
    loop_timer_add(loop, 10, stop, NULL);
    pid = fork();
    if (!pid) {
        loop_free_after_fork(loop);
        buf_free(&seen);
        _exit(!is_blocked(SIGUSR1));
    }
    ok(waitpid(pid, &status, 0) == pid && !status,
       "the child is done; its mask is its own matter");
    eventfd_write(fd, 1);
    loop_timer_add(loop, 0, stop, NULL);
    run();
    ok(seen.len > 1 && seen.data[1] == 'x', "the parent's watcher works");
    finish();
    close(fd);
}

int main(void)
{
    alarm(60);
    test_signals();
    test_children();
    test_fork();
    return tap_done();
}
