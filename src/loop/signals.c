/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Signals through one signalfd, and the end of processes through their pidfds. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <utlist.h>

#include "loop/parts.h"

static void signal_dispatch(struct loop *l, const struct signalfd_siginfo *from)
{
    struct loop_signal *s;
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = (int)from->ssi_signo;
    info.si_errno = from->ssi_errno;
    info.si_code = from->ssi_code;
    info.si_pid = (pid_t)from->ssi_pid;
    info.si_uid = from->ssi_uid;
    if (info.si_signo == SIGCHLD)
        info.si_status = from->ssi_status;
    else
        info.si_int = from->ssi_int;
    DL_FOREACH (l->signals, s)
        if (s->fn && s->signo == info.si_signo)
            s->fn(s->arg, &info);
}

static void on_signal_event(void *arg, uint32_t events)
{
    struct signalfd_siginfo infos[8];
    struct loop *l = arg;
    ssize_t n;

    (void)events;
    n = read(l->signal_fd, infos, sizeof(infos));
    for (size_t i = 0; n > 0 && i < (size_t)n / sizeof(infos[0]); i++)
        signal_dispatch(l, &infos[i]);
}

/* Makes the descriptor deliver what signal_set says. */
static int signals_apply(struct loop *l)
{
    int fd = signalfd(l->signal_fd, &l->signal_set, SFD_CLOEXEC | SFD_NONBLOCK);

    if (fd < 0)
        return -errno;
    l->signal_fd = fd;
    if (!l->signal_io)
        l->signal_io = loop_io_add(l, fd, EPOLLIN, on_signal_event, l);
    return l->signal_io ? 0 : -errno;
}

static void signal_block(struct loop *l, int signo)
{
    sigset_t one, before;

    sigemptyset(&one);
    sigaddset(&one, signo);
    pthread_sigmask(SIG_BLOCK, &one, &before);
    if (!sigismember(&before, signo))
        sigaddset(&l->blocked, signo);
}

static void signal_unblock(struct loop *l, int signo)
{
    sigset_t one;

    if (!sigismember(&l->blocked, signo))
        return;
    sigdelset(&l->blocked, signo);
    sigemptyset(&one);
    sigaddset(&one, signo);
    pthread_sigmask(SIG_UNBLOCK, &one, NULL);
}

struct loop_signal *loop_signal_add(struct loop *l, int signo, loop_signal_fn *fn,
                                    void *arg)
{
    struct loop_signal *s = calloc(1, sizeof(*s));
    bool is_new = sigismember(&l->signal_set, signo) == 0;
    int r;

    if (!s)
        return NULL;
    if (sigaddset(&l->signal_set, signo) < 0) {
        free(s);
        return NULL;
    }
    s->loop = l;
    s->signo = signo;
    s->fn = fn;
    s->arg = arg;
    r = is_new ? signals_apply(l) : 0;
    if (r < 0) {
        sigdelset(&l->signal_set, signo);
        free(s);
        errno = -r;
        return NULL;
    }
    if (is_new)
        signal_block(l, signo);
    DL_APPEND(l->signals, s);
    return s;
}

void loop_signal_remove(struct loop_signal **s_ptr)
{
    struct loop_signal *s = *s_ptr, *other;
    struct loop *l;

    if (!s)
        return;
    *s_ptr = NULL;
    l = s->loop;
    s->fn = NULL;
    DL_FOREACH (l->signals, other)
        if (other->fn && other->signo == s->signo)
            break;
    if (!other) {
        sigdelset(&l->signal_set, s->signo);
        signals_apply(l);
        signal_unblock(l, s->signo);
    }
    if (!l->running)
        loop_signals_reap(l);
}

void loop_signals_reap(struct loop *l)
{
    struct loop_signal *s, *next;

    DL_FOREACH_SAFE (l->signals, s, next) {
        if (s->fn)
            continue;
        DL_DELETE(l->signals, s);
        free(s);
    }
}

void loop_signals_fini(struct loop *l, bool forked)
{
    struct loop_signal *s;

    if (l->signal_fd >= 0)
        close(l->signal_fd);
    DL_FOREACH (l->signals, s) {
        s->fn = NULL;
        if (!forked)
            signal_unblock(l, s->signo);
    }
    loop_signals_reap(l);
}

static void on_child_event(void *arg, uint32_t events)
{
    struct loop_child *c = arg;

    (void)events;
    loop_io_remove(&c->io);
    c->fn(c->arg);
}

struct loop_child *loop_child_add(struct loop *l, int pidfd, loop_child_fn *fn, void *arg)
{
    struct loop_child *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->loop = l;
    c->fn = fn;
    c->arg = arg;
    c->io = loop_io_add(l, pidfd, EPOLLIN, on_child_event, c);
    if (!c->io) {
        int code = errno;

        free(c);
        errno = code;
        return NULL;
    }
    DL_APPEND(l->children, c);
    return c;
}

void loop_child_remove(struct loop_child **c_ptr)
{
    struct loop_child *c = *c_ptr;

    if (!c)
        return;
    *c_ptr = NULL;
    loop_io_remove(&c->io);
    DL_DELETE(c->loop->children, c);
    free(c);
}

void loop_children_fini(struct loop *l)
{
    struct loop_child *c, *next;

    DL_FOREACH_SAFE (l->children, c, next)
        free(c);
}
