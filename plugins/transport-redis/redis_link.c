/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A connection to Redis on the host's loop. */
#define _GNU_SOURCE
#include "redis_link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PIECE 65536

void link_init(struct link *l, struct berth_ctx *ctx, const char *name, void *owner)
{
    *l = (struct link){.ctx = ctx, .name = name, .owner = owner, .fd = -1};
    l->last = &l->first;
}

bool link_is_open(const struct link *l)
{
    return l->fd >= 0;
}

static void ready(struct berth_ctx *ctx, int fd, uint32_t events, void *arg);

/* 0 or -errno. */
static int watch(struct link *l, bool writing)
{
    if (l->watch && l->writing == writing)
        return 0;
    if (l->watch)
        l->ctx->host->unwatch(l->ctx, l->watch);
    l->writing = writing;
    l->watch = l->ctx->host->watch_fd(l->ctx, l->fd, EPOLLIN | (writing ? EPOLLOUT : 0u),
                                      ready, l);
    int rc = l->watch < 0 ? l->watch : 0;
    l->watch = l->watch < 0 ? 0 : l->watch;
    return rc;
}

static void fail_calls(struct link *l, struct link_call *first)
{
    while (first) {
        struct link_call *c = first;
        first = c->next;
        c->fn(l, NULL, c->arg);
        free(c);
    }
}

static struct link_call *take_calls(struct link *l)
{
    struct link_call *first = l->first;
    l->first = NULL;
    l->last = &l->first;
    return first;
}

static void shut(struct link *l)
{
    if (l->watch)
        l->ctx->host->unwatch(l->ctx, l->watch);
    if (l->fd >= 0)
        close(l->fd);
    tls_free(l->tls);
    resp_reader_free(l->reader);
    bytes_free(&l->out);
    bytes_free(&l->plain);
    l->tls = NULL;
    l->reader = NULL;
    l->watch = 0;
    l->fd = -1;
    l->due_ms = 0;
    l->serial++;
}

void link_close(struct link *l)
{
    struct link_call *calls = take_calls(l);
    shut(l);
    fail_calls(l, calls);
}

void link_fail(struct link *l, const char *why)
{
    char text[252];
    if (l->fd < 0)
        return;
    snprintf(text, sizeof text, "%s", why);
    link_close(l);
    l->down(l, text);
}

static void owe(struct link *l, int64_t patience_ms)
{
    l->due_ms = l->ctx->host->now_ms(l->ctx) + l->timeout_ms + patience_ms;
}

void link_check(struct link *l)
{
    if (l->fd < 0 || !l->due_ms || l->ctx->host->now_ms(l->ctx) < l->due_ms)
        return;
    char why[96];
    snprintf(why, sizeof why, "the server has not answered for %lld ms",
             (long long)l->timeout_ms);
    link_fail(l, l->connecting ? "cannot connect: timed out" : why);
}

/* ---- out ---- */

void link_flush(struct link *l)
{
    char why[252];
    size_t done = 0;
    if (l->fd < 0 || l->connecting)
        return;
    if (l->tls && tls_is_up(l->tls) && l->plain.len) {
        if (tls_write(l->tls, l->plain.data, l->plain.len, &l->out, why, sizeof why) < 0) {
            link_fail(l, why);
            return;
        }
        bytes_drop(&l->plain, l->plain.len);
    }
    while (done < l->out.len) {
        ssize_t n =
            send(l->fd, l->out.data + done, l->out.len - done, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            snprintf(why, sizeof why, "cannot send: %s", strerror(errno));
            link_fail(l, why);
            return;
        }
        if (n < 0)
            break;
        done += (size_t)n;
    }
    bytes_drop(&l->out, done);
    if (watch(l, l->out.len > 0) < 0)
        link_fail(l, "cannot watch the connection");
}

static void no_reply(struct link *l, const struct resp *reply, void *arg)
{
    (void)l, (void)reply, (void)arg;
}

static int put_call(struct link *l, const struct cmd *cmd, link_reply_fn *fn, void *arg)
{
    struct link_call *c = malloc(sizeof *c);
    if (!c || cmd_write(cmd, l->tls ? &l->plain : &l->out) < 0) {
        free(c);
        return -ENOMEM;
    }
    *c = (struct link_call){.fn = fn, .arg = arg};
    *l->last = c;
    l->last = &c->next;
    return 0;
}

void link_send(struct link *l, struct cmd *take_cmd, int64_t patience_ms, link_reply_fn *fn,
               void *arg)
{
    struct cmd cmd = *take_cmd, asking = {0};
    int rc = l->fd < 0 ? -ENOTCONN : 0;
    *take_cmd = (struct cmd){0};
    if (rc == 0 && l->asking) {
        cmd_str(&asking, "ASKING");
        rc = put_call(l, &asking, no_reply, NULL);
        cmd_free(&asking);
    }
    if (rc == 0)
        rc = put_call(l, &cmd, fn, arg);
    cmd_free(&cmd);
    if (rc < 0)
        fn(l, NULL, arg);
    else if (!l->due_ms || patience_ms)
        owe(l, patience_ms);
}

/* ---- in ---- */

static void take_replies(struct link *l)
{
    unsigned serial = l->serial;
    struct resp *v;
    int rc = 0;
    while (serial == l->serial && (rc = resp_next(l->reader, &v)) > 0) {
        struct link_call *c = l->first;
        if (!c) {
            resp_free(v);
            link_fail(l, "the server sent what nobody asked for");
            return;
        }
        l->first = c->next;
        if (!l->first)
            l->last = &l->first;
        l->due_ms = 0;
        if (l->first)
            owe(l, 0);
        c->fn(l, v, c->arg);
        free(c);
        resp_free(v);
    }
    if (serial == l->serial && rc < 0)
        link_fail(l, "the server does not speak the Redis protocol, or sent too much");
}

static void up(struct link *l)
{
    l->due_ms = 0;
    l->up(l);
    link_flush(l);
}

/* 1: something was read; 0: nothing there; the link may have failed. */
static int read_some(struct link *l)
{
    char piece[PIECE], why[252];
    ssize_t n = recv(l->fd, piece, sizeof piece, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n <= 0) {
        snprintf(why, sizeof why, "connection lost: %s",
                 n ? strerror(errno) : "closed by the server");
        link_fail(l, why);
        return 0;
    }
    if (!l->tls) {
        if (resp_feed(l->reader, piece, (size_t)n) < 0)
            link_fail(l, "out of memory");
        return l->fd >= 0;
    }
    struct bytes in = {0};
    bool was_up = tls_is_up(l->tls);
    unsigned serial = l->serial;
    int rc = tls_read(l->tls, piece, (size_t)n, &in, &l->out, why, sizeof why);
    if (rc == 0 && in.len && resp_feed(l->reader, in.data, in.len) < 0)
        rc = snprintf(why, sizeof why, "out of memory") * -1;
    bytes_free(&in);
    if (rc < 0)
        link_fail(l, why);
    else if (!was_up && tls_is_up(l->tls))
        up(l);
    else
        link_flush(l);
    return serial == l->serial;
}

static void connected(struct link *l)
{
    int code = 0;
    char why[252];
    socklen_t len = sizeof code;
    getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &code, &len);
    if (code) {
        snprintf(why, sizeof why, "cannot connect: %s", strerror(code));
        link_fail(l, why);
        return;
    }
    l->connecting = false;
    if (!l->tls)
        up(l);
    else if (tls_start(l->tls, &l->out, why, sizeof why) < 0)
        link_fail(l, why);
    else
        link_flush(l);
}

static void ready(struct berth_ctx *ctx, int fd, uint32_t events, void *arg)
{
    struct link *l = arg;
    unsigned serial = l->serial;
    (void)ctx, (void)fd;
    if (l->connecting) {
        connected(l);
        return;
    }
    if (events & EPOLLOUT)
        link_flush(l);
    if (serial == l->serial && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && read_some(l))
        take_replies(l);
    if (serial == l->serial)
        link_flush(l);
}

/* ---- opening ---- */

static int address_of(const char *host, int port, const char *path,
                      struct sockaddr_storage *ret, socklen_t *ret_len)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM},
                    *found;
    struct sockaddr_un *un = (struct sockaddr_un *)ret;
    char service[8];
    if (path) {
        un->sun_family = AF_UNIX;
        snprintf(un->sun_path, sizeof un->sun_path, "%s", path);
        *ret_len = sizeof *un;
        return 0;
    }
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(host, service, &hints, &found) != 0) /* numeric: asks nobody */
        return -EINVAL;
    memcpy(ret, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int begin_connect(struct link *l, const struct sockaddr_storage *to, socklen_t len)
{
    int on = 1;
    l->fd = socket(to->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0)
        return -errno;
    if (to->ss_family != AF_UNIX) {
        setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(l->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    l->connecting = true;
    if (connect(l->fd, (const struct sockaddr *)to, len) < 0 && errno != EINPROGRESS)
        return -errno;
    return watch(l, true); /* writable once it is connected, which may be now */
}

int link_open(struct link *l, const char *host, int port, const char *path,
              struct tls_config *tls, const char *tls_host, char *why, size_t why_size)
{
    struct sockaddr_storage to = {0};
    socklen_t len;
    link_close(l);
    l->reader = resp_reader_new();
    l->tls = tls ? tls_new(tls, tls_host) : NULL;
    int rc = l->reader && (!tls || l->tls) ? 0 : -ENOMEM;
    if (rc == 0)
        rc = address_of(host, port, path, &to, &len);
    if (rc == 0)
        rc = begin_connect(l, &to, len);
    if (rc == 0) {
        owe(l, 0);
        return 0;
    }
    snprintf(why, why_size, "cannot connect: %s", strerror(-rc));
    link_close(l);
    return rc;
}
