/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Signalling and killing every process of a group.
 *
 * A pid read from cgroup.procs may belong to somebody else by the time it is used. So
 * each is turned into a pidfd first and the list is read again: what is still listed
 * then is the process that the descriptor holds, or the descriptor's process is dead and
 * the signal goes nowhere.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/str.h"
#include "worker/cgroup_int.h"

#define AT_ONCE 256 /* descriptors held at a time */

struct held {
    pid_t pid[AT_ONCE];
    int fd[AT_ONCE];
    bool listed[AT_ONCE];
    int count, skip, seen;
};

/* Of a group that was removed by halves the hierarchy with all of its processes may be gone. What holds up the
 * rest had joined no more than that when its supervisor died. */
static int tracking(const struct cgroup *g)
{
    int rest = -1;
    for (unsigned i = 0; i < g->base->count; i++) {
        if (g->dir[i] < 0)
            continue;
        if (g->base->hier[i].use & CG_TRACK)
            return (int)i;
        rest = (int)i;
    }
    return g->base->use & CG_TRACK ? rest : -1;
}

static int hold(void *arg, pid_t pid)
{
    struct held *h = arg;
    if (h->seen++ < h->skip)
        return 0;
    if (h->count == AT_ONCE)
        return 1;
    int fd = pidfd_open(pid, 0);
    if (fd < 0)
        return errno == ESRCH ? 0 : -errno;
    h->pid[h->count] = pid;
    h->listed[h->count] = false;
    h->fd[h->count++] = fd;
    return 0;
}

static int confirm(void *arg, pid_t pid)
{
    struct held *h = arg;
    for (int i = 0; i < h->count; i++)
        h->listed[i] |= h->pid[i] == pid;
    return 0;
}

static int deliver(struct held *h, int signo)
{
    int sent = 0, code = 0;
    for (int i = 0; i < h->count; i++) {
        if (h->listed[i] && pidfd_send_signal(h->fd[i], signo, NULL, 0) == 0)
            sent++;
        else if (h->listed[i] && errno != ESRCH)
            code = -errno;
        close(h->fd[i]);
    }
    return sent ? sent : code;
}

int cgroup_signal(struct cgroup *g, int signo)
{
    if (!g || signo < 0 || signo > SIGRTMAX)
        return -EINVAL;
    int at = tracking(g), total = 0;
    if (at < 0)
        return -ENOTSUP;
    struct held h;
    int skip = 0, more;
    do {
        h.count = h.seen = 0;
        h.skip = skip;
        more = cgroup_each_pid(g->dir[at], hold, &h);
        cgroup_each_pid(g->dir[at], confirm, &h);
        skip += h.count;
        int sent = deliver(&h, signo);
        if (sent < 0 && !total)
            return sent;
        total += sent > 0 ? sent : 0;
    } while (more == 1);
    return more < 0 && !total ? more : total;
}

static int count_one(void *arg, pid_t pid)
{
    (void)pid;
    ++*(int *)arg;
    return 0;
}

int cgroup_count(struct cgroup *g)
{
    int at = g ? tracking(g) : -1, n = 0;
    if (at < 0)
        return g ? -ENOTSUP : -EINVAL;
    const struct cgroup_hier *h = &g->base->hier[at];
    if (!h->v2 && h->use & CG_PIDS && cgroup_file_number(g, (unsigned)at, CG_PIDS_NOW) == 0)
        return 0; /* not even zombies, and none below */
    int r = cgroup_each_pid(g->dir[at], count_one, &n);
    return r < 0 && r != -ENOENT && r != -ENODEV ? r : n;
}

static bool is_populated(int dir)
{
    return cgroup_read_key(dir, "cgroup.events", "populated") > 0;
}

/* cgroup.events becomes urgently readable (POLLPRI) at each change. */
static int await_empty(int dir, int64_t until)
{
    cleanup_close int fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
    while (is_populated(dir)) {
        int64_t left = until - now_ms();
        if (left <= 0)
            return -ETIMEDOUT;
        struct pollfd p = {.fd = fd, .events = POLLPRI};
        poll(&p, 1, left > 100 ? 100 : (int)left);
        char c;
        if (fd >= 0 && pread(fd, &c, 1, 0) < 0) /* arms the next report */
            break;
    }
    return 0;
}

static int kill2(struct cgroup *g, int dir, int64_t until)
{
    int r = cgroup_write(dir, "cgroup.kill", "1");
    if (r == -ENOENT) { /* before Linux 5.14 */
        cgroup_write(dir, "cgroup.freeze", "1");
        while (cgroup_signal(g, SIGKILL) > 0 && now_ms() < until) {
            struct timespec pause = {.tv_nsec = 1000000};
            nanosleep(&pause, NULL);
        }
        r = cgroup_write(dir, "cgroup.freeze", "0");
    }
    return r < 0 ? r : await_empty(dir, until);
}

/* No group below may fork either; without a pids controller this is a race that is run
 * until won. */
static int kill1(struct cgroup *g, int dir, int64_t until)
{
    struct timespec pause = {.tv_nsec = 100000};
    if (cgroup_count(g) == 0) /* who could fork? */
        return 0;
    cgroup_write(dir, "pids.max", "0");
    for (;;) {
        int r = cgroup_signal(g, SIGKILL), n = cgroup_count(g);
        if (n <= 0)
            return n;
        if (now_ms() >= until)
            return r < 0 ? r : -ETIMEDOUT;
        nanosleep(&pause, NULL);
        if (pause.tv_nsec < 5000000)
            pause.tv_nsec *= 2;
    }
}

int cgroup_kill(struct cgroup *g, int timeout_ms)
{
    if (!g)
        return -EINVAL;
    int at = tracking(g);
    if (at < 0)
        return -ENOTSUP;
    int64_t until = now_ms() + timeout_ms;
    return g->base->hier[at].v2 ? kill2(g, g->dir[at], until) : kill1(g, g->dir[at], until);
}
