/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * HTTP/1.1 itself. libmicrohttpd runs without threads: its epoll descriptor is watched by the host's
 * loop, and server_run lets it work until it has nothing to do.
 *
 * An exchange that has to wait is suspended. libmicrohttpd then forgets its socket, so that a client
 * who goes away would not be noticed: http_conn.c watches for that. MHD_run is never nested: what is
 * ready is only marked, and goes out in the next turn of the loop.
 *
 * Time is bounded twice: idle_timeout without a byte (libmicrohttpd's), and request_timeout for a
 * whole request to come in or an answer to be taken (http_conn.c).
 */
#include "http_server.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http_conn.h"

#define SERVER_TICK_MS 1000
#define SERVER_ROUNDS 4 /* of MHD_run per turn, to leave room for the rest of the host */
#define SERVER_STREAM_BLOCK 16384
/* libmicrohttpd answers a head that does not fit its pool with a page of its own; with this much
 * more than header_limit most oversized heads get our problem details instead. */
#define SERVER_POOL(header_bytes) (4 * (header_bytes) + 4096)

struct http_server {
    struct http_plugin *p;
    const struct http_server_calls *calls;
    struct MHD_Daemon *mhd;
    struct http_conns conns;
    int run_watch, hangup_watch, run_timer, tick_timer;
    bool running;
    bool again; /* a place is free: libmicrohttpd accepts again in its next run, and not before */
    char last_words[160]; /* of libmicrohttpd */
};

/* ---- driving ---- */

static void server_run_later(struct http_server *s);

static void server_run(struct http_server *s)
{
    MHD_UNSIGNED_LONG_LONG left_ms = 1;
    if (s->running)
        return;
    s->running = true;
    s->again = false;
    for (int i = 0; i < SERVER_ROUNDS; i++) {
        MHD_run(s->mhd);
        if (MHD_get_timeout(s->mhd, &left_ms) != MHD_YES || left_ms)
            break;
        left_ms = i + 1 < SERVER_ROUNDS;
    }
    s->running = false;
    if (!left_ms || s->again)
        server_run_later(s);
}

static void server_on_epoll(struct berth_ctx *ctx, int fd, uint32_t events, void *arg)
{
    (void)ctx, (void)fd, (void)events;
    server_run(arg);
}

static void server_on_run_timer(struct berth_ctx *ctx, void *arg)
{
    struct http_server *s = arg;
    (void)ctx;
    s->run_timer = 0;
    server_run(s);
}

/* If there is no memory for a timer, the next tick or event does it. */
static void server_run_later(struct http_server *s)
{
    struct berth_ctx *ctx = s->p->ctx;
    if (s->run_timer > 0 || s->running)
        return;
    s->run_timer = ctx->host->watch_timer(ctx, 0, server_on_run_timer, s);
}

static void server_on_tick(struct berth_ctx *ctx, void *arg)
{
    struct http_server *s = arg;
    s->tick_timer = 0;
    s->calls->tick(s->p);
    http_conns_cut_late(&s->conns);
    server_run(s);
    if (s->conns.list && s->tick_timer <= 0)
        s->tick_timer = ctx->host->watch_timer(ctx, SERVER_TICK_MS, server_on_tick, s);
}

static void server_resume(struct http_conn *c)
{
    if (!c->suspended)
        return;
    c->suspended = false;
    MHD_resume_connection(c->mhd);
    server_run_later(c->server);
}

/* Connections are freed by MHD_run only: those that have just hung up are still there. */
static void server_on_hangup(struct berth_ctx *ctx, int fd, uint32_t events, void *arg)
{
    struct http_server *s = arg;
    struct http_conn *gone[64];
    (void)ctx, (void)fd, (void)events;
    int count = http_conns_hangups(&s->conns, gone, sizeof(gone) / sizeof(gone[0]));
    for (int i = 0; i < count; i++)
        server_resume(gone[i]);
}

/* ---- the answer ---- */

static ssize_t server_read_stream(void *cls, uint64_t pos, char *buf, size_t max)
{
    struct http_conn *c = cls;
    (void)pos;
    if (http_conn_is_gone(c))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    ssize_t n = c->x.stream->read(c->x.stream, buf, max);
    if (n > 0)
        return n;
    if (n < 0)
        return n == -ENODATA ? MHD_CONTENT_READER_END_OF_STREAM
                             : MHD_CONTENT_READER_END_WITH_ERROR;
    MHD_suspend_connection(c->mhd);
    c->suspended = true;
    return 0;
}

static struct MHD_Response *server_response(struct http_conn *c)
{
    struct http_exchange *x = &c->x;
    if (x->stream)
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, SERVER_STREAM_BLOCK,
                                                 server_read_stream, c, NULL);
    struct MHD_Response *response = MHD_create_response_from_buffer(
        x->answer.len, x->answer.data, MHD_RESPMEM_MUST_FREE);
    if (response)
        x->answer = (struct http_buf){0};
    return response;
}

static enum MHD_Result server_send(struct http_conn *c)
{
    struct http_exchange *x = &c->x;
    if (!http_conn_hold(c, x->answer.len)) {
        x->field_count = 0;
        c->server->calls->refuse(c->server->p, x, ENOBUFS);
    }
    struct MHD_Response *response = server_response(c);
    if (!response)
        return MHD_NO;
    enum MHD_Result good = MHD_add_response_header(response, "Cache-Control", "no-store");
    if (good && x->type)
        good = MHD_add_response_header(response, "Content-Type", x->type);
    if (good && x->cut)
        good = MHD_add_response_header(response, "Connection", "close");
    for (unsigned i = 0; good && i < x->field_count; i++)
        good = MHD_add_response_header(response, x->field[i].name, x->field[i].value);
    if (good)
        good = MHD_queue_response(c->mhd, x->status, response);
    MHD_destroy_response(response);
    if (good && !x->stream)
        http_conn_hurry(c);
    return good;
}

bool http_server_hold(struct http_exchange *x, size_t len)
{
    return http_conn_hold((struct http_conn *)x, len);
}

void http_server_ready(struct http_exchange *x)
{
    server_resume((struct http_conn *)x);
}

/* ---- the request ---- */

static enum MHD_Result server_on_header(void *cls, enum MHD_ValueKind kind,
                                        const char *name, const char *value)
{
    (void)kind;
    http_conn_header(cls, name, value);
    return MHD_YES;
}

/* Can the client be told so before it has sent its body? Else it must be let finish, or it would see its
 * connection reset instead of the answer. Where the body ends is not known of a head that is refused. */
static bool server_answers_early(const struct http_conn *c)
{
    const struct http_exchange *x = &c->x;
    return x->status &&
           (x->cut || x->header[HTTP_EXPECT] ||
            (x->header[HTTP_CONTENT_LENGTH] &&
             strtoull(x->header[HTTP_CONTENT_LENGTH], NULL, 10) > http_conn_most_bytes(c)));
}

static enum MHD_Result server_begin(struct http_conn *c, const char *method,
                                    const char *version)
{
    struct http_exchange *x = &c->x;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    c->began = true;
    x->method = method;
    x->http11 = strcmp(version, "HTTP/1.0") > 0;
    x->head_bytes = info ? info->header_size : 0;
    MHD_get_connection_values(c->mhd, MHD_HEADER_KIND, server_on_header, x);
    c->server->calls->head(c->server->p, x);
    bool early = server_answers_early(c);
    /* The parser is lax about what is between chunks: what follows them is never taken for a request. */
    x->cut |= early || x->header[HTTP_TRANSFER_ENCODING];
    return early ? server_send(c) : MHD_YES;
}

struct http_buf http_server_take_body(struct http_exchange *x)
{
    return http_conn_take_body((struct http_conn *)x);
}

static enum MHD_Result server_on_body(struct http_conn *c, const char *data, size_t len)
{
    struct http_exchange *x = &c->x;
    c->received_bytes += len;
    if (c->received_bytes > http_conn_most_bytes(c))
        return MHD_NO;
    if (x->status || !x->body_limit)
        return MHD_YES;
    int ret = http_conn_keep_body(c, data, len);
    if (ret < 0) {
        struct http_buf body = http_conn_take_body(c);
        http_buf_fini(&body);
        c->server->calls->refuse(c->server->p, x, -ret);
    }
    return MHD_YES;
}

static enum MHD_Result server_on_request(void *cls, struct MHD_Connection *mhd,
                                         const char *url, const char *method,
                                         const char *version, const char *data, size_t *len,
                                         void **ctx)
{
    struct http_conn *c = *ctx;
    (void)cls, (void)mhd, (void)url;
    if (!c)
        return MHD_NO;
    if (!c->began)
        return server_begin(c, method, version);
    if (*len) {
        size_t n = *len;
        *len = 0;
        return server_on_body(c, data, n);
    }
    if (!c->complete) {
        c->complete = true;
        http_conn_relax(c);
        if (!c->x.status)
            c->server->calls->request(c->server->p, &c->x);
    }
    if (c->x.status)
        return server_send(c);
    if (http_conn_is_gone(c))
        return MHD_NO;
    MHD_suspend_connection(mhd);
    c->suspended = true;
    return MHD_YES;
}

/* The only place that sees the target as it was sent, before it is unescaped. */
static void *server_on_target(void *cls, const char *uri, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct http_conn *c = info ? info->socket_context : NULL;
    (void)cls;
    return c && http_target_set(&c->x.target, uri) == 0 ? c : NULL;
}

static void server_on_completed(void *cls, struct MHD_Connection *mhd, void **ctx,
                                enum MHD_RequestTerminationCode how)
{
    struct http_conn *c = *ctx;
    (void)cls, (void)mhd, (void)how;
    if (!c)
        return;
    *ctx = NULL;
    if (c->began)
        c->server->calls->ended(c->server->p, &c->x);
    http_conn_reset(c);
    http_conn_hurry(c);
}

/* ---- connections ---- */

static struct http_conn *server_connect(struct http_server *s, struct MHD_Connection *mhd)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct http_conn *c = info ? http_conn_open(&s->conns, info->connect_fd) : NULL;
    if (!c)
        return NULL;
    c->server = s;
    c->mhd = mhd;
    if (s->tick_timer <= 0)
        s->tick_timer =
            s->p->ctx->host->watch_timer(s->p->ctx, SERVER_TICK_MS, server_on_tick, s);
    return c;
}

static void server_on_connection(void *cls, struct MHD_Connection *mhd,
                                 void **socket_context,
                                 enum MHD_ConnectionNotificationCode what)
{
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = server_connect(cls, mhd);
    } else {
        struct http_server *s = cls;
        s->again |= s->conns.count >= s->p->config.max_connections;
        http_conn_close(*socket_context);
        *socket_context = NULL;
    }
}

__attribute__((format(printf, 2, 0))) static void
server_on_log(void *cls, const char *format, va_list ap)
{
    struct http_server *s = cls;
    vsnprintf(s->last_words, sizeof(s->last_words), format, ap);
    s->last_words[strcspn(s->last_words, "\n")] = '\0';
    s->p->ctx->host->log(s->p->ctx, BERTH_LOG_DEBUG, "libmicrohttpd: %s", s->last_words);
}

/* ---- start and stop ---- */

/* A failed start may have closed the socket that it was given, or not: is `own` still the same? */
static void server_close_own(int own, int fd)
{
    struct stat a, b;
    if (fstat(own, &a) == 0 && fstat(fd, &b) == 0 && a.st_ino == b.st_ino &&
        a.st_dev == b.st_dev)
        close(own);
}

static int server_start_mhd(struct http_server *s, int fd, const char *cert,
                            const char *key, struct berth_error *err)
{
    const struct http_config *config = &s->p->config;
    struct berth_ctx *ctx = s->p->ctx;
    static char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)cert},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)key},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, priorities},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own < 0)
        return ctx->host->fail(ctx, err, errno, "cannot duplicate the listening socket: %s",
                               strerror(errno));
    s->mhd = MHD_start_daemon(
        flags | (cert ? MHD_USE_TLS : 0), 0, NULL, NULL, server_on_request, s,
        MHD_OPTION_EXTERNAL_LOGGER, server_on_log, s, MHD_OPTION_LISTEN_SOCKET, own,
        MHD_OPTION_CONNECTION_LIMIT, config->max_connections,
        MHD_OPTION_PER_IP_CONNECTION_LIMIT, config->max_connections_per_ip,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)((config->idle_ms + 999) / 1000),
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, SERVER_POOL(config->header_bytes),
        MHD_OPTION_URI_LOG_CALLBACK, server_on_target, s, MHD_OPTION_NOTIFY_COMPLETED,
        server_on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, server_on_connection, s,
        MHD_OPTION_ARRAY, cert ? tls : none, MHD_OPTION_END);
    if (s->mhd)
        return 0;
    server_close_own(own, fd);
    return ctx->host->fail(ctx, err, EINVAL, "cannot start the server: %s",
                           s->last_words[0] ? s->last_words
                                            : "libmicrohttpd does not say why");
}

static int server_watch(struct http_server *s, struct berth_error *err)
{
    struct berth_ctx *ctx = s->p->ctx;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_EPOLL_FD);
    int fd = info ? info->epoll_fd : -1;
    s->run_watch = ctx->host->watch_fd(ctx, fd, EPOLLIN, server_on_epoll, s);
    s->hangup_watch =
        ctx->host->watch_fd(ctx, s->conns.hangup_fd, EPOLLIN, server_on_hangup, s);
    if (s->run_watch > 0 && s->hangup_watch > 0) {
        server_run_later(s); /* adds the listening socket to its epoll set */
        return 0;
    }
    int code = s->run_watch > 0 ? -s->hangup_watch : -s->run_watch;
    return ctx->host->fail(ctx, err, code, "cannot watch the server's sockets: %s",
                           strerror(code));
}

int http_server_start(struct http_plugin *p, int fd, const char *cert, const char *key,
                      const struct http_server_calls *calls,
                      struct http_server **ret_server, struct berth_error *err)
{
    struct http_server *s = calloc(1, sizeof(*s));
    if (!s)
        return p->ctx->host->fail(p->ctx, err, ENOMEM, "out of memory for the server");
    s->p = p;
    s->calls = calls;
    int ret = http_conns_init(&s->conns, p);
    if (ret < 0)
        p->ctx->host->fail(p->ctx, err, -ret, "cannot make an epoll set: %s",
                           strerror(-ret));
    if (ret == 0)
        ret = server_start_mhd(s, fd, cert, key, err);
    if (ret == 0)
        ret = server_watch(s, err);
    if (ret < 0) {
        http_server_stop(s);
        return ret;
    }
    *ret_server = s;
    return 0;
}

/* libmicrohttpd aborts if a connection is suspended when it stops. */
void http_server_stop(struct http_server *s)
{
    if (!s)
        return;
    struct berth_ctx *ctx = s->p->ctx;
    s->running = true; /* nothing runs later any more */
    for (struct http_conn *c = s->conns.list; c; c = c->next) {
        c->dead = true;
        server_resume(c);
    }
    const int ids[] = {s->run_watch, s->hangup_watch, s->run_timer, s->tick_timer};
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        if (ids[i] > 0)
            ctx->host->unwatch(ctx, ids[i]);
    s->run_timer = s->tick_timer = 0;
    if (s->mhd)
        MHD_stop_daemon(s->mhd);
    http_conns_fini(&s->conns);
    free(s);
}
