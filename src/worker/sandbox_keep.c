/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What is kept is a template: each payload gets its own copy of the mounts, with a /tmp and
 * a work directory of its own in it. A payload may pass a descriptor of its root to a
 * process elsewhere, by any service of the machine that forwards descriptors; in a
 * namespace that two of them were put into, it would lead to the later one's files.
 */
#include "worker/sandbox_keep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fail.h"
#include "worker/sandbox_int.h"

#define CLOSE_MS 200 /* for an init that has nothing to wait for */

struct sandbox {
    struct spawned init;
    struct kept_spaces spaces;
    int own_pids;   /* this process's pid namespace */
    int mounts;     /* becomes urgent when something is mounted or unmounted here */
    struct buf key; /* what it was made for */
};

/* ---- what it is made for ---- */

/* By name and by file: what covers one file does not cover the one that took its place. */
static void key_paths(struct buf *key, const char *const *paths)
{
    for (; paths && *paths; paths++) {
        struct stat st;
        if (stat(*paths, &st) < 0)
            st = (struct stat){0};
        buf_fmt(key, "%s%c%llx:%llx%c", *paths, 0, (unsigned long long)st.st_dev,
                (unsigned long long)st.st_ino, 0);
    }
    buf_add(key, "", 1);
}

static void key_make(struct buf *key, const struct spawn_request *req)
{
    const char *work = req->bind_rw[0];
    buf_fmt(key, "%x %u %u %llu %d %.*s%c", req->isolate, req->uid, req->gid,
            (unsigned long long)req->tmp_bytes, req->net_fd, (int)sandbox_where_len(work),
            work, 0);
    key_paths(key, req->bind_rw + 1);
    key_paths(key, req->hide);
    key_paths(key, req->devices);
}

static bool is_quiet(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) == 0;
}

static bool fits(const struct sandbox *s, const struct buf *key)
{
    return s->key.len == key->len && !memcmp(s->key.data, key->data, key->len) &&
           is_quiet(s->mounts, POLLPRI) && is_quiet(s->init.pidfd, POLLIN);
}

/* ---- making ---- */

static int take_spaces(int sock, struct kept_spaces *ret)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof *ret)];
    } control;
    char byte;
    struct iovec io = {&byte, 1};
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    if (recvmsg(sock, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != 1)
        return -EPROTO;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof *ret))
        return -EPROTO;
    memcpy(ret, CMSG_DATA(c), sizeof *ret);
    return 0;
}

/* bind_rw with WHERE in the place of the work directory. */
static const char **replace_work(const struct spawn_request *req, const char *where)
{
    int n = list_count(req->bind_rw);
    const char **list = calloc((size_t)n + 1, sizeof *list);
    for (int i = 1; list && i < n; i++)
        list[i] = req->bind_rw[i];
    if (list)
        list[0] = where;
    return list;
}

static int start_init(struct sandbox *s, const struct spawn_request *req,
                      struct berth_error *err)
{
    int pair[2];
    const char *work = req->bind_rw[0];
    cleanup_free char *where = strndup(work, sandbox_where_len(work));
    cleanup_free const char **binds = where ? replace_work(req, where) : NULL;
    if (!binds)
        return berth_fail(err, ENOMEM, "out of memory");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return berth_fail_errno(err, errno, "socketpair");
    struct spawn_request own = *req;
    own.keep_sock = pair[1];
    own.bind_rw = binds;
    own.cgroup = NULL;
    int r = spawn(&own, &s->init, NULL, err);
    if (!r && take_spaces(pair[0], &s->spaces) < 0)
        r = berth_fail(err, EPROTO, "init did not hand over its namespaces");
    close(pair[0]);
    close(pair[1]);
    return r;
}

static void sandbox_free(struct sandbox *s)
{
    int fds[] = {s->spaces.mnt, s->spaces.pid, s->spaces.uts, s->own_pids, s->mounts};
    for (size_t i = 0; i < countof(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    buf_free(&s->key);
    free(s);
}

/* What is mounted is looked at before it is copied: a change in between counts as later. */
static int make(struct sandbox *s, const struct spawn_request *req, struct berth_error *err)
{
    s->mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    s->own_pids = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (s->mounts < 0 || s->own_pids < 0)
        return berth_fail_errno(err, errno, "open '/proc/self'");
    return start_init(s, req, err);
}

static int sandbox_new(const struct spawn_request *req, struct buf *take_key,
                       struct sandbox **ret, struct berth_error *err)
{
    struct sandbox *s = calloc(1, sizeof *s);
    if (!s)
        return berth_fail(err, ENOMEM, "out of memory");
    *s = (struct sandbox){
        .init = {.pid = -1, .pidfd = -1, .status_fd = -1},
        .spaces = {-1, -1, -1},
        .own_pids = -1,
        .mounts = -1,
        .key = *take_key,
    };
    *take_key = (struct buf)BUF_INIT;
    int r = make(s, req, err);
    if (r < 0 && s->init.pidfd < 0) {
        sandbox_free(s);
        return r;
    }
    *ret = s;
    return r;
}

/* ---- using ---- */

int sandbox_ready(struct sandbox **s, const struct spawn_request *req,
                  struct berth_error *err)
{
    cleanup_buf struct buf key = BUF_INIT;
    if (!s || !req || !req->bind_rw || !req->bind_rw[0] ||
        !sandbox_where_len(req->bind_rw[0]))
        return berth_fail(err, EINVAL, "no work directory for a sandbox");
    key_make(&key, req);
    if (key.failed)
        return berth_fail(err, ENOMEM, "out of memory");
    int r = *s && !fits(*s, &key) ? sandbox_close(s, CLOSE_MS) : 0;
    if (r < 0)
        return berth_fail(err, -r, "a sandbox cannot be ended");
    if (!*s)
        r = sandbox_new(req, &key, s, err);
    if (r < 0)
        sandbox_close(s, CLOSE_MS);
    return r;
}

void sandbox_kill(struct sandbox *s)
{
    pidfd_send_signal(s->init.pidfd, SIGKILL, NULL, 0);
}

int sandbox_close(struct sandbox **s, int timeout_ms)
{
    struct spawn_status st;
    if (!*s)
        return 0;
    sandbox_kill(*s);
    struct pollfd p = {.fd = (*s)->init.pidfd, .events = POLLIN};
    if (poll(&p, 1, timeout_ms) != 1)
        return -EAGAIN;
    spawn_reap(&(*s)->init, &st);
    sandbox_free(take_ptr(*s));
    return 0;
}

/* ---- around and in the payload's process ---- */

int sandbox_pids(const struct sandbox *s, bool enter)
{
    return sandbox_or_errno(setns(enter ? s->spaces.pid : s->own_pids, CLONE_NEWPID));
}

/* As in a namespace that is new: the payload is process 2, its first child 3. */
static void count_from_here(void)
{
    int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (write(fd, "2", 1) < 0)
        errno = 0; /* without CONFIG_CHECKPOINT_RESTORE the numbers go on */
    close(fd);
}

void sandbox_enter(const struct spawn_plan *plan)
{
    const struct sandbox *s = plan->req->sandbox;
    int r = 0;
    if (plan->req->isolate & BERTH_ISOLATE_UTS)
        r = sandbox_or_errno(setns(s->spaces.uts, CLONE_NEWUTS));
    if (!r)
        r = sandbox_or_errno(setns(s->spaces.mnt, CLONE_NEWNS));
    if (!r)
        r = sandbox_or_errno(unshare(CLONE_NEWNS));
    child_check(plan, r, "enter the sandbox", NULL);
    count_from_here();
}
