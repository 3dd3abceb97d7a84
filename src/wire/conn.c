/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Framed connections on the loop.
 *
 * Frames are taken straight out of a buffer on the stack, which all connections share in
 * turn; only the beginning of a frame that is not complete is kept, so an idle connection
 * holds no memory. What is kept grows with what arrives, never with what a header promises.
 *
 * The callbacks may free the connection: while one runs, conn_free only marks it.
 */
#include "wire/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/crash.h"
#include "base/fail.h"
#include "wire/header.h"

#define CONN_READ 65536
#define CONN_KEEP 4096 /* larger buffers are given back when empty */

struct conn {
    struct loop_io *io;
    int fd;
    conn_frame_fn *frame;
    conn_closed_fn *closed;
    void *arg;
    struct buf in;  /* the beginning of one frame */
    struct buf out; /* frames; the first `sent` bytes have gone */
    size_t sent;
    size_t in_max, out_max; /* see conn_bound */
    int send_error;         /* -errno of the send that failed, or 0 */
    bool paused;
    bool corked;
    bool ended; /* nothing more is read */
    bool busy;  /* a callback runs */
    bool freed; /* by it */
};

static void conn_on_event(void *arg, uint32_t events);

static bool conn_is_full(const struct conn *c)
{
    return conn_backlog(c) > c->out_max;
}

static void conn_watch(struct conn *c)
{
    uint32_t events = c->paused || c->ended || conn_is_full(c) ? 0 : EPOLLIN;
    int r;

    if (!c->io)
        return;
    if (c->out.len && !c->ended && !c->corked)
        events |= EPOLLOUT;
    r = loop_io_set(c->io, events);
    if (r < 0 && !c->send_error)
        c->send_error = r;
}

struct conn *conn_new(struct loop *l, int take_fd, conn_frame_fn *frame,
                      conn_closed_fn *closed, void *arg)
{
    struct conn *c = l && take_fd >= 0 && frame && closed ? calloc(1, sizeof(*c)) : NULL;

    if (c) {
        *c = (struct conn){.fd = take_fd,
                           .frame = frame,
                           .closed = closed,
                           .arg = arg,
                           .in_max = WIRE_MAX_BODY,
                           .out_max = SIZE_MAX};
        c->io = loop_io_add(l, take_fd, EPOLLIN, conn_on_event, c);
    }
    if (!c || !c->io) {
        if (take_fd >= 0)
            close(take_fd);
        free(c);
        return NULL;
    }
    return c;
}

static void conn_release(struct conn *c)
{
    if (c->fd >= 0)
        close(take_fd(c->fd));
    buf_free(&c->in);
    buf_free(&c->out);
    if (c->busy)
        c->freed = true;
    else
        free(c);
}

void conn_free(struct conn *c)
{
    if (!c)
        return;
    loop_io_remove(&c->io);
    conn_release(c);
}

void conn_free_after_fork(struct conn *c)
{
    if (!c)
        return;
    c->io = NULL;
    conn_release(c);
}

static void buf_empty(struct buf *b)
{
    if (b->cap > CONN_KEEP)
        buf_free(b);
    else
        b->len = 0;
}

/* ---- sending ---- */

static int conn_send_fail(struct conn *c, int code)
{
    c->send_error = -code;
    buf_free(&c->out);
    c->sent = 0;
    return -code;
}

/* 1 if all is sent, 0 if the socket is full, -errno. */
static int conn_send_some(struct conn *c)
{
    while (c->sent < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent,
                         MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n >= 0) {
            c->sent += (size_t)n;
            continue;
        }
        if (errno == EAGAIN)
            return 0;
        if (errno != EINTR)
            return conn_send_fail(c, errno);
    }
    buf_empty(&c->out);
    c->sent = 0;
    return 1;
}

/* What has gone is removed when it is the larger part, so few bytes are moved. */
static void conn_compact(struct conn *c)
{
    if (c->sent > c->out.len / 2) {
        buf_drop(&c->out, c->sent);
        c->sent = 0;
    }
}

int conn_send(struct conn *c, int type, const struct value *body)
{
    bool idle;
    int r;

    if (!c || !body || type < 0 || type > 255)
        return -EINVAL;
    if (c->send_error)
        return c->send_error;
    idle = !c->out.len;
    conn_compact(c);
    r = frame_add(&c->out, type, body);
    if (r < 0) {
        c->out.failed = false;
        return r;
    }
    /* when others wait before it, the loop sends it in its turn */
    CRASH_POINT(frame_send);
    r = idle && !c->corked ? conn_send_some(c) : 1;
    CRASH_POINT(frame_sent);
    conn_watch(c);
    return r < 0 ? r : 0;
}

/* Queues what is left of a frame of which `gone` bytes were sent. */
static int conn_queue_raw(struct conn *c, const unsigned char *header, const void *data,
                          size_t len, size_t gone)
{
    if (gone == WIRE_HEADER + len)
        return 0;
    conn_compact(c);
    if (!buf_room(&c->out, WIRE_HEADER + len)) {
        c->out.failed = false;
        /* half a frame is out: nothing that follows would be understood */
        return gone ? conn_send_fail(c, ENOMEM) : -ENOMEM;
    }
    if (gone < WIRE_HEADER)
        buf_add(&c->out, header + gone, WIRE_HEADER - gone);
    gone = gone < WIRE_HEADER ? 0 : gone - WIRE_HEADER;
    buf_add(&c->out, (const char *)data + gone, len - gone);
    conn_watch(c);
    return 0;
}

int conn_send_raw(struct conn *c, int type, const void *msgpack, size_t len)
{
    unsigned char header[WIRE_HEADER];
    struct iovec parts[2] = {{header, WIRE_HEADER}, {(void *)(uintptr_t)msgpack, len}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = 0;

    if (!c || !msgpack || !len || type < 0 || type > 255)
        return -EINVAL;
    if (len > WIRE_MAX_BODY)
        return -EMSGSIZE;
    if (c->send_error)
        return c->send_error;
    header_write(header, type, len);
    if (!c->out.len) {
        do
            n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno != EAGAIN)
            return conn_send_fail(c, errno);
    }
    return conn_queue_raw(c, header, msgpack, len, n < 0 ? 0 : (size_t)n);
}

void conn_cork(struct conn *c, bool corked)
{
    if (c->corked == corked)
        return;
    c->corked = corked;
    if (!corked && !c->send_error)
        conn_send_some(c);
    conn_watch(c);
}

int conn_flush(struct conn *c)
{
    struct pollfd p;
    int r;

    if (!c)
        return -EINVAL;
    if (c->send_error)
        return c->send_error;
    p = (struct pollfd){.fd = c->fd, .events = POLLOUT};
    while ((r = conn_send_some(c)) == 0)
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return conn_send_fail(c, errno);
    conn_watch(c);
    return r < 0 ? r : 0;
}

size_t conn_backlog(const struct conn *c)
{
    return c->out.len - c->sent;
}

/* ---- receiving ---- */

static void conn_end(struct conn *c, const struct berth_error *err)
{
    c->ended = true;
    conn_watch(c);
    c->closed(c->arg, err);
}

static void conn_fail(struct conn *c, int code, const char *what)
{
    struct berth_error err = {0};

    berth_fail_errno(&err, code, "%s", what);
    conn_end(c, &err);
}

static void conn_deliver(struct conn *c, int type, const void *data, size_t len)
{
    cleanup_arena struct arena *a = arena_new();
    struct berth_error err = {0};
    struct value body;

    if (!a)
        conn_fail(c, ENOMEM, "cannot read a frame");
    else if (body_read(a, type, data, len, &body, &err) < 0)
        conn_end(c, &err);
    else
        c->frame(c->arg, type, &body, a);
}

static bool conn_goes_on(const struct conn *c)
{
    return !c->freed && !c->ended;
}

/* False if it is no header that may come here: the connection has ended then. */
static bool conn_header(struct conn *c, const char *data, int *ret_type, size_t *ret_body)
{
    struct berth_error err = {0};

    if (header_read((const unsigned char *)data, ret_type, ret_body, &err) == 0 &&
        *ret_body > c->in_max)
        berth_fail(&err, EMSGSIZE, "frame of type %d with %zu bytes, the limit is %zu",
                   *ret_type, *ret_body, c->in_max);
    if (err.code)
        conn_end(c, &err);
    return !err.code;
}

/* Delivers the whole frames in data; returns how many bytes they had. */
static size_t conn_take_frames(struct conn *c, const char *data, size_t len)
{
    size_t at = 0, body;
    int type;

    while (conn_goes_on(c) && len - at >= WIRE_HEADER) {
        if (!conn_header(c, data + at, &type, &body) || len - at - WIRE_HEADER < body)
            break;
        conn_deliver(c, type, data + at + WIRE_HEADER, body);
        at += WIRE_HEADER + body;
    }
    return at;
}

/* How many bytes the kept frame lacks: first its header, then its body. */
static size_t conn_missing(const struct conn *c)
{
    size_t body;
    int type;

    if (c->in.len < WIRE_HEADER)
        return WIRE_HEADER - c->in.len;
    /* it was good when the header was complete */
    header_read((const unsigned char *)c->in.data, &type, &body, NULL);
    return WIRE_HEADER + body - c->in.len;
}

static void conn_received(struct conn *c, const char *data, size_t len)
{
    size_t taken = conn_take_frames(c, data, len);

    if (!conn_goes_on(c) || taken == len)
        return;
    buf_add(&c->in, data + taken, len - taken);
    if (c->in.failed)
        conn_fail(c, ENOMEM, "cannot read a frame");
}

/* The kept frame grew by n bytes. It leaves c before it is delivered: that may free c. */
static void conn_continued(struct conn *c, size_t n)
{
    cleanup_buf struct buf whole = BUF_INIT;
    size_t body;
    int type;

    c->in.len += n;
    if (c->in.len < WIRE_HEADER || !conn_header(c, c->in.data, &type, &body) ||
        c->in.len < WIRE_HEADER + body)
        return;
    whole = c->in;
    c->in = (struct buf)BUF_INIT;
    conn_take_frames(c, whole.data, whole.len);
}

static void conn_read_failed(struct conn *c, ssize_t n)
{
    struct berth_error none = {0};

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0)
        conn_fail(c, errno, "cannot receive");
    else if (c->in.len)
        conn_fail(c, ECONNRESET, "the peer closed in the middle of a frame");
    else
        conn_end(c, &none);
}

/* One read per event: the loop comes back for more, and others get their turn. Of a peer that is bounded it
 * is one frame at most: what it asks for next stays in its socket until this one is answered. */
static void conn_read(struct conn *c)
{
    char fresh[CONN_READ];
    size_t want = sizeof(fresh);
    char *to = fresh;
    ssize_t n;

    if (c->in.len || c->out_max < SIZE_MAX) {
        want = conn_missing(c);
        if (want > CONN_READ && want > c->in.len)
            want = c->in.len < CONN_READ ? CONN_READ : c->in.len;
        to = buf_room(&c->in, want);
    }
    if (!to) {
        conn_fail(c, ENOMEM, "cannot read a frame");
        return;
    }
    n = recv(c->fd, to, want, MSG_DONTWAIT);
    if (n <= 0)
        conn_read_failed(c, n);
    else if (to == fresh)
        conn_received(c, fresh, (size_t)n);
    else
        conn_continued(c, (size_t)n);
}

static void conn_on_event(void *arg, uint32_t events)
{
    struct conn *c = arg;

    c->busy = true;
    if (c->out.len && (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))) {
        conn_send_some(c);
        conn_watch(c);
    }
    if (!c->paused && !conn_is_full(c) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        conn_read(c);
    c->busy = false;
    if (c->freed)
        free(c);
}

/* ---- the rest ---- */

void conn_bound(struct conn *c, size_t in_max, size_t out_max)
{
    c->in_max = in_max;
    c->out_max = out_max;
}

void conn_pause(struct conn *c, bool paused)
{
    c->paused = paused;
    conn_watch(c);
}

int conn_fd(const struct conn *c)
{
    return c->fd;
}

int conn_peer(const struct conn *c, pid_t *ret_pid, uid_t *ret_uid)
{
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
        return -errno;
    if (ret_pid)
        *ret_pid = cred.pid;
    if (ret_uid)
        *ret_uid = cred.uid;
    return 0;
}
