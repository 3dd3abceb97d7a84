/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * One connection. Hang-ups are found by an epoll set of their own, edge-triggered, in which a
 * connection is from its first moment: that costs one system call per connection and none per request.
 */
#include "http_conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define CONN_SMALL 16384 /* answers up to so much need no room */

int http_conns_init(struct http_conns *all, struct http_plugin *p)
{
    all->p = p;
    all->hangup_fd = epoll_create1(EPOLL_CLOEXEC);
    return all->hangup_fd < 0 ? -errno : 0;
}

void http_conns_fini(struct http_conns *all)
{
    if (all->hangup_fd >= 0)
        close(all->hangup_fd);
}

void http_conns_cut_late(struct http_conns *all)
{
    int64_t now = all->p->ctx->host->now_ms(all->p->ctx);
    while (all->hurry && all->hurry->deadline_ms <= now) {
        shutdown(all->hurry->fd, SHUT_RDWR); /* the server sees the end, and closes */
        http_conn_relax(all->hurry);
    }
}

int http_conns_hangups(struct http_conns *all, struct http_conn **ret_gone, int max)
{
    struct epoll_event events[max];
    int count = epoll_wait(all->hangup_fd, events, max, 0), gone = 0;
    for (int i = 0; i < count; i++) {
        struct http_conn *c = events[i].data.ptr;
        c->half_closed = true;
        c->dead |= (events[i].events & (EPOLLHUP | EPOLLERR)) != 0;
        if (http_conn_is_gone(c))
            ret_gone[gone++] = c;
    }
    return gone;
}

/* Is it the client whose turn it is, and nothing of value under way? */
static bool conn_is_spare(const struct http_conn *c)
{
    return !c->began || c->x.status;
}

/* Whoever takes the last place costs another one its: who has kept us waiting for longest, first among those
 * without a good request under way. So connections that do nothing cannot keep others out; those that wait
 * for a result or for output are not in the list. */
static void conns_make_room(struct http_conns *all, const struct http_conn *newcomer)
{
    struct http_conn *c;
    DL_FOREACH2(all->hurry, c, hurry_next)
    if (c != newcomer && conn_is_spare(c))
        break;
    if (!c && all->hurry != newcomer)
        c = all->hurry;
    if (!c)
        return;
    shutdown(c->fd, SHUT_RDWR);
    http_conn_relax(c);
}

struct http_conn *http_conn_open(struct http_conns *all, int fd)
{
    struct http_conn *c = calloc(1, sizeof(*c));
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.ptr = c};
    if (!c || epoll_ctl(all->hangup_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
        free(c);
        return NULL;
    }
    c->all = all;
    c->fd = fd;
    DL_PREPEND(all->list, c);
    http_conn_hurry(c);
    if (++all->count >= all->p->config.max_connections)
        conns_make_room(all, c);
    return c;
}

void http_conn_close(struct http_conn *c)
{
    if (!c)
        return;
    epoll_ctl(c->all->hangup_fd, EPOLL_CTL_DEL, c->fd, NULL);
    http_conn_relax(c);
    DL_DELETE(c->all->list, c);
    c->all->count--;
    http_conn_reset(c);
    http_target_fini(&c->x.target);
    free(c);
}

void http_conn_reset(struct http_conn *c)
{
    struct http_exchange *x = &c->x;
    struct http_target target = x->target;
    struct http_buf body = http_conn_take_body(c);
    http_buf_fini(&body);
    http_buf_fini(&x->answer);
    if (x->stream)
        x->stream->free(x->stream);
    *x = (struct http_exchange){.target = target};
    c->began = c->complete = false;
    c->received_bytes = 0;
    c->all->buffered_bytes -= c->held_bytes;
    c->held_bytes = 0;
}

void http_conn_relax(struct http_conn *c)
{
    if (c->deadline_ms)
        DL_DELETE2(c->all->hurry, c, hurry_prev, hurry_next);
    c->deadline_ms = 0;
}

/* All deadlines are equally far, so that appending keeps the list in order. */
void http_conn_hurry(struct http_conn *c)
{
    struct http_plugin *p = c->all->p;
    http_conn_relax(c);
    c->deadline_ms = p->ctx->host->now_ms(p->ctx) + p->config.request_ms;
    DL_APPEND2(c->all->hurry, c, hurry_prev, hurry_next);
}

bool http_conn_is_gone(const struct http_conn *c)
{
    return c->dead || (c->half_closed && c->x.lingers);
}

/* RFC 9110 section 5.1: a token, with nothing between it and the colon. The parser lets others pass, and
 * appends a folded line to the name: where that is one that frames the body, a proxy in front may have
 * understood it, and would see another end of this request than we do. */
static bool conn_is_bad_field(const char *name, const char *value)
{
    static const char chars[] =
        "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    static const char *const framing[] = {"Content-Length", "Transfer-Encoding"};
    if (!*name || name[strspn(name, chars)] || (value && strpbrk(value, "\r\n")))
        return true;
    for (size_t i = 0; i < sizeof(framing) / sizeof(framing[0]); i++)
        if (!strncasecmp(name, framing[i], strlen(framing[i])) && name[strlen(framing[i])])
            return true;
    return false;
}

void http_conn_header(struct http_conn *c, const char *name, const char *value)
{
    static const char *const names[HTTP_HEADER_COUNT] = {
        [HTTP_AUTHORIZATION] = "Authorization",
        [HTTP_CONTENT_ENCODING] = "Content-Encoding",
        [HTTP_CONTENT_LENGTH] = "Content-Length",
        [HTTP_CONTENT_TYPE] = "Content-Type",
        [HTTP_EXPECT] = "Expect",
        [HTTP_HOST] = "Host",
        [HTTP_TRANSFER_ENCODING] = "Transfer-Encoding",
    };
    struct http_exchange *x = &c->x;
    x->bad_field |= conn_is_bad_field(name, value);
    if (!strcasecmp(name, "Accept") && x->accept_count < HTTP_ACCEPT_MAX)
        x->accept[x->accept_count++] = value ? value : "";
    for (unsigned i = 0; i < HTTP_HEADER_COUNT; i++) {
        if (strcasecmp(name, names[i]) != 0)
            continue;
        if (x->header[i])
            x->repeated |= 1u << i;
        x->header[i] = value ? value : "";
    }
}

uint64_t http_conn_most_bytes(const struct http_conn *c)
{
    return 4 * (uint64_t)c->all->p->config.max_body_bytes;
}

/* Grows with what really came, not with what the client says will come. */
int http_conn_keep_body(struct http_conn *c, const char *data, size_t len)
{
    if (c->x.body.len + len > c->x.body_limit)
        return -E2BIG;
    if (c->all->buffered_bytes + len > c->all->p->config.max_buffered_bytes)
        return -ENOBUFS;
    if (http_buf_add(&c->x.body, data, len) < 0)
        return -ENOMEM;
    c->all->buffered_bytes += len;
    return 0;
}

struct http_buf http_conn_take_body(struct http_conn *c)
{
    struct http_buf body = c->x.body;
    c->all->buffered_bytes -= body.len;
    c->x.body = (struct http_buf){0};
    return body;
}

bool http_conn_hold(struct http_conn *c, size_t len)
{
    if (len <= CONN_SMALL || c->held_bytes)
        return true;
    if (c->all->buffered_bytes + len > c->all->p->config.max_buffered_bytes)
        return false;
    c->held_bytes = len;
    c->all->buffered_bytes += len;
    return true;
}
