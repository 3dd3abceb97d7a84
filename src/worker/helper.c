/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Forked work with a limit of time. The child writes one struct helper_head and its output
 * to a pipe when it is done; end of file without a whole head means that it died on the
 * way.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <utlist.h>

#include "base/crash.h"
#include "base/fail.h"
#include "worker/helper.h"

struct helper {
    pid_t pid;
    int fd;
    struct loop_io *io;
    struct loop_timer *timer;
    struct buf in;
    bool late, reaped;
    int status; /* valid when reaped */
    helper_done_fn *done;
    void *done_arg;
    struct helper *prev, *next;
};

struct helper_head {
    int rc;
    struct berth_error err;
    struct runtime_said said;
};

static struct helper *helpers; /* of this process */

bool helper_has_pid(pid_t pid)
{
    struct helper *h;
    DL_FOREACH (helpers, h)
        if (h->pid == pid)
            return true;
    return false;
}

bool helper_reaped(pid_t pid, int status)
{
    struct helper *h;
    DL_FOREACH (helpers, h) {
        if (h->pid != pid || h->reaped)
            continue;
        h->reaped = true;
        h->status = status;
        return true;
    }
    return false;
}

void helpers_forget(void)
{
    struct helper *h;
    DL_FOREACH (helpers, h)
        close(h->fd);
    helpers = NULL;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

_Noreturn static void helper_child(struct runtime *rt, int fd, pid_t parent,
                                   helper_work_fn *work, void *arg)
{
    struct buf out = BUF_INIT;
    struct helper_head head = {0};
    sigset_t none;
    CRASH_ROLE(CRASH_HELPER);
    sigemptyset(&none);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    setpgid(0, 0); /* so that what it starts can be killed with it */
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    helpers = NULL;
    mark_use(NULL);
    runtime_said_clear(rt);
    pid_t self = getpid();
    head.rc = work(arg, &out, &head.err);
    if (getpid() != self) /* a plugin forked, and both came back */
        _exit(EXIT_FAILURE);
    if (head.rc >= 0 && out.failed)
        head.rc = berth_fail(&head.err, ENOMEM, "out of memory");
    if (head.rc < 0 && !head.err.code)
        berth_fail(&head.err, -head.rc, "failed without saying why: %s",
                   strerror(-head.rc));
    head.said = rt->said;
    if (write_all(fd, (const char *)&head, sizeof head) == 0)
        write_all(fd, out.data, out.len);
    /* What a plugin forked and left would keep the pipe open, and its reader waiting. */
    if (getpgrp() == self)
        kill(0, SIGKILL);
    _exit(0);
}

static void helper_free(struct helper *h)
{
    DL_DELETE(helpers, h);
    loop_io_remove(&h->io);
    loop_timer_remove(&h->timer);
    close(h->fd);
    buf_free(&h->in);
    free(h);
}

/* Its end of the pipe is closed, so it is dead or has no more to say. */
static int helper_reap(struct helper *h)
{
    kill(-h->pid, SIGKILL);
    if (h->reaped)
        return h->status;
    kill(h->pid, SIGKILL);
    while (waitpid(h->pid, &h->status, 0) < 0 && errno == EINTR)
        ;
    return h->status;
}

static void helper_tell(struct helper *h, int status)
{
    struct helper_end end = {0};
    struct helper_head head;
    if (h->in.len >= sizeof head && !h->in.failed) {
        memcpy(&head, h->in.data, sizeof head);
        end = (struct helper_end){.rc = head.rc,
                                  .err = head.err,
                                  .said = head.said,
                                  .data = h->in.data + sizeof head,
                                  .len = h->in.len - sizeof head};
    } else if (h->late) {
        end.rc = berth_fail(&end.err, ETIMEDOUT, "took too long and was killed");
    } else if (WIFSIGNALED(status)) {
        end.rc = berth_fail(&end.err, ECHILD, "crashed with signal %d (%s)",
                            WTERMSIG(status), strsignal(WTERMSIG(status)));
    } else {
        end.rc = berth_fail(&end.err, ECHILD, "ended its process with status %d",
                            WEXITSTATUS(status));
    }
    helper_done_fn *done = h->done;
    void *arg = h->done_arg;
    struct buf in = h->in;
    h->in = (struct buf)BUF_INIT;
    helper_free(h);
    done(arg, &end);
    buf_free(&in);
}

static void helper_readable(void *arg, uint32_t events)
{
    struct helper *h = arg;
    (void)events;
    char *room = buf_room(&h->in, 16384);
    char spare[4096];
    ssize_t n = read(h->fd, room ? room : spare, room ? 16384 : sizeof spare);
    if (n > 0 && room) {
        h->in.len += (size_t)n;
        return;
    }
    if (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)))
        return;
    helper_tell(h, helper_reap(h));
}

static void helper_late(void *arg)
{
    struct helper *h = arg;
    h->late = true;
    kill(-h->pid, SIGKILL);
    if (!h->reaped)
        kill(h->pid, SIGKILL); /* end of file follows */
}

int helper_start(struct runtime *rt, struct loop *l, int64_t limit_ms, helper_work_fn *work,
                 void *work_arg, helper_done_fn *done, void *done_arg, struct helper **ret,
                 struct berth_error *err)
{
    int fds[2];
    pid_t parent = getpid();
    cleanup_free struct helper *h = calloc(1, sizeof *h);
    if (!h)
        return berth_fail(err, ENOMEM, "out of memory");
    if (pipe2(fds, O_CLOEXEC) < 0)
        return berth_fail_errno(err, errno, "pipe");
    h->pid = fork();
    if (h->pid == 0)
        helper_child(rt, fds[1], parent, work, work_arg);
    int fork_errno = errno;
    close(fds[1]);
    h->fd = fds[0];
    if (h->pid < 0) {
        close(fds[0]);
        return berth_fail_errno(err, fork_errno, "fork");
    }
    fcntl(h->fd, F_SETFL, O_NONBLOCK);
    h->done = done;
    h->done_arg = done_arg;
    DL_APPEND(helpers, h);
    h->io = loop_io_add(l, h->fd, EPOLLIN, helper_readable, h);
    h->timer = limit_ms > 0 ? loop_timer_add(l, limit_ms, helper_late, h) : NULL;
    if (!h->io || (limit_ms > 0 && !h->timer)) {
        struct helper *failed = take_ptr(h);
        helper_cancel(&failed);
        return berth_fail(err, ENOMEM, "out of memory");
    }
    *ret = take_ptr(h);
    return 0;
}

void helper_cancel(struct helper **h)
{
    if (!*h)
        return;
    helper_reap(*h);
    helper_free(*h);
    *h = NULL;
}
