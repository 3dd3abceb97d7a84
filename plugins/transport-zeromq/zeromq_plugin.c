/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The zeromq transport's options and its table. */
#include "zeromq.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include <utlist.h>

static int zeromq_fd(struct berth_ctx *ctx)
{
    const struct zeromq *z = ctx->data;
    return z->wire ? wire_fd(z->wire) : -1;
}

static int zeromq_recv(struct berth_ctx *ctx, struct berth_message *msg,
                       struct berth_error *err)
{
    int rc = serve_recv(ctx->data, msg);
    return rc < 0
               ? ctx->host->fail(ctx, err, -rc, "cannot read the socket: %s", strerror(-rc))
               : rc;
}

static int zeromq_reply(struct berth_ctx *ctx, const struct berth_reply *reply,
                        struct berth_error *err)
{
    (void)err;
    return answer_reply(ctx->data, reply);
}

static int zeromq_settle(struct berth_ctx *ctx, uint64_t message, int how,
                         struct berth_error *err)
{
    (void)how, (void)err;
    answer_settle(ctx->data, message);
    return 0;
}

static void zeromq_drain(struct berth_ctx *ctx, int on)
{
    struct zeromq *z = ctx->data;
    struct peer *p;
    z->draining = on;
    DL_FOREACH (z->peers, p)
        if (p->ready && !p->gone)
            answer_ready(z, p, true);
    ctx->host->wake(ctx);
}

/* ---- options ---- */

static int open_endpoint(struct zeromq *z, struct berth_error *err)
{
    const struct berth_host *host = z->ctx->host;
    const char *mode = host->option(z->ctx, "mode");
    char why[ENDPOINT_WHY];
    z->connect = !strcmp(mode, "connect");
    if (!z->connect && strcmp(mode, "bind") != 0)
        return host->fail(z->ctx, err, EINVAL, "option 'mode': '%s' is not bind or connect",
                          mode);
    if (endpoint_parse(host->option(z->ctx, "endpoint"), z->connect, &z->endpoint, why) < 0)
        return host->fail(z->ctx, err, EINVAL, "option 'endpoint': %s", why);
    snprintf(z->identity, sizeof z->identity, "%.100s-%s", host->host_name(z->ctx),
             host->host_mark(z->ctx));
    return 0;
}

static int open_secret(struct zeromq *z, const char *path, struct berth_error *err)
{
    const struct berth_host *host = z->ctx->host;
    char why[KEYS_WHY];
    if (!wire_has_curve())
        return host->fail(z->ctx, err, ENOTSUP,
                          "curve_key_file is set, but this libzmq was built without CURVE");
    int rc = keys_read_secret(path, z->secret_key, why);
    if (rc < 0)
        return host->fail(z->ctx, err, -rc, "curve_key_file: %s", why);
    if (wire_public_key(z->secret_key, z->public_key) < 0)
        return host->fail(z->ctx, err, EINVAL,
                          "curve_key_file: '%.150s' has no valid secret key", path);
    return 0;
}

/* Each mode has its own second key option. */
static int open_other_keys(struct zeromq *z, const char *clients, struct berth_error *err)
{
    const struct berth_host *host = z->ctx->host;
    const char *key_file = host->option(z->ctx, "curve_key_file");
    char why[KEYS_WHY];
    const char *needed = z->connect ? "curve_server_key" : "curve_clients_file";
    const char *wrong = z->connect ? clients : z->server_key;
    if (wrong)
        return host->fail(z->ctx, err, EINVAL, "%s is for mode = \"%s\"",
                          z->connect ? "curve_clients_file" : "curve_server_key",
                          z->connect ? "bind" : "connect");
    if (!key_file != !(z->connect ? z->server_key : clients))
        return host->fail(z->ctx, err, EINVAL, "%s is set and %s is not: set both or none",
                          key_file ? "curve_key_file" : needed,
                          key_file ? needed : "curve_key_file");
    if (z->connect)
        return !z->server_key || key_is_valid(z->server_key)
                   ? 0
                   : host->fail(z->ctx, err, EINVAL,
                                "curve_server_key is no key: it has 40 characters of Z85");
    int rc = clients ? keys_open(clients, &z->keys, why) : 0;
    return rc < 0 ? host->fail(z->ctx, err, -rc, "curve_clients_file: %s", why) : 0;
}

/* Whoever can reach it can run programs, and who hears it knows what they say. */
static int open_keys(struct zeromq *z, struct berth_error *err)
{
    const struct berth_host *host = z->ctx->host;
    const char *key_file = host->option(z->ctx, "curve_key_file");
    z->server_key = host->option(z->ctx, "curve_server_key");
    int rc = open_other_keys(z, host->option(z->ctx, "curve_clients_file"), err);
    if (rc < 0 || key_file)
        return rc < 0 ? rc : open_secret(z, key_file, err);
    if (!z->endpoint.exposed)
        return 0;
    return host->fail(z->ctx, err, EPERM,
                      "'%.80s' is beyond this machine: set curve_key_file and %s, or take "
                      "tcp://127.0.0.1:PORT or ipc:///path",
                      z->endpoint.text,
                      z->connect ? "curve_server_key" : "curve_clients_file");
}

static int open_number(struct zeromq *z, const char *name, int64_t least, int64_t most,
                       int64_t *ret, struct berth_error *err)
{
    *ret = z->ctx->host->option_int(z->ctx, name);
    if (*ret >= least && *ret <= most)
        return 0;
    return z->ctx->host->fail(z->ctx, err, EINVAL, "option '%s' must be from %lld to %lld",
                              name, (long long)least, (long long)most);
}

#define YEAR_MS (365LL * 24 * 3600 * 1000)

static int open_numbers(struct zeromq *z, struct berth_error *err)
{
    int64_t message, unread, clients, credit, open;
    int rc = open_number(z, "max_message", 1024, 1 << 30, &message, err);
    if (rc == 0)
        rc = open_number(z, "max_unread", 1024, 1 << 30, &unread, err);
    if (rc == 0)
        rc = open_number(z, "max_clients", 1, 100000, &clients, err);
    if (rc == 0)
        rc = open_number(z, "credit", 1, 10000000, &credit, err);
    if (rc == 0)
        rc = open_number(z, "open_max", 1, 10000000, &open, err);
    if (rc == 0)
        rc = open_number(z, "heartbeat", 100, 600000, &z->heartbeat_ms, err);
    if (rc == 0)
        rc = open_number(z, "resend", 100, YEAR_MS, &z->resend_ms, err);
    if (rc == 0)
        rc = open_number(z, "keep", 0, YEAR_MS, &z->keep_ms, err);
    if (rc < 0)
        return rc;
    z->max_message = (size_t)message;
    z->max_unread = (size_t)unread;
    z->max_clients = (unsigned)clients;
    z->credit = (unsigned)credit;
    z->open_max = (unsigned)open;
    return 0;
}

static int open_listener(struct zeromq *z, struct berth_error *err)
{
    const struct berth_host *host = z->ctx->host;
    char why[ENDPOINT_WHY];
    if (z->connect)
        return 0;
    z->listen_fd = endpoint_listen(&z->endpoint, host->option(z->ctx, "socket_mode"),
                                   host->option(z->ctx, "socket_group"), why);
    return z->listen_fd >= 0
               ? 0
               : host->fail(z->ctx, err, -z->listen_fd, "option 'endpoint': %s", why);
}

/* ---- lifecycle ---- */

static void zeromq_close(struct berth_ctx *ctx)
{
    struct zeromq *z = ctx->data;
    const int ids[] = {z->timer, z->soon, z->zap_watch};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (ids[i] > 0)
            ctx->host->unwatch(ctx, ids[i]);
    while (z->peers)
        peer_drop(z, z->peers);
    wire_close(z->wire);
    if (z->listen_fd >= 0)
        close(z->listen_fd);
    endpoint_unlink(&z->endpoint);
    keys_close(z->keys);
    explicit_bzero(z->secret_key, sizeof z->secret_key);
    free(z);
    ctx->data = NULL;
}

static int zeromq_open(struct berth_ctx *ctx, struct berth_error *err)
{
    if (ctx->host->size <
        offsetof(struct berth_host, host_mark) + sizeof ctx->host->host_mark)
        return ctx->host->fail(ctx, err, ENOSYS, "this berthd is too old for the plugin");
    struct zeromq *z = calloc(1, sizeof *z);
    if (!z)
        return ctx->host->fail(ctx, err, ENOMEM, "out of memory");
    ctx->data = z;
    z->ctx = ctx;
    z->listen_fd = -1;
    int rc = open_endpoint(z, err);
    if (rc == 0)
        rc = open_numbers(z, err);
    if (rc == 0)
        rc = open_keys(z, err);
    if (rc == 0)
        rc = open_listener(z, err);
    if (rc < 0)
        zeromq_close(ctx);
    return rc;
}

static bool allow(void *arg, const char *key)
{
    struct zeromq *z = arg;
    tick_keys(z); /* who is refused does not try again */
    return keys_tenant(z->keys, key) != NULL;
}

static void zap(struct berth_ctx *ctx, int fd, uint32_t events, void *arg)
{
    struct zeromq *z = arg;
    (void)ctx, (void)fd, (void)events;
    wire_zap_serve(z->wire, allow, z);
}

static int start_zap(struct zeromq *z, struct berth_error *err)
{
    int fd = wire_zap_fd(z->wire);
    if (fd < 0)
        return 0;
    z->zap_watch = z->ctx->host->watch_fd(z->ctx, fd, EPOLLIN, zap, z);
    if (z->zap_watch < 0)
        return z->ctx->host->fail(z->ctx, err, ENOMEM, "cannot watch who connects");
    zap(z->ctx, fd, 0, z); /* what came before is told of no more */
    return 0;
}

static int zeromq_start(struct berth_ctx *ctx, struct berth_error *err)
{
    struct zeromq *z = ctx->data;
    const char *what;
    bool curve = z->secret_key[0];
    const struct wire_config config = {
        .connect = z->connect,
        .endpoint = z->endpoint.text,
        .take_listen_fd = &z->listen_fd,
        .identity = z->identity,
        .max_bytes = 2 * z->max_message, /* what is a little too large gets an answer */
        .public_key = curve ? z->public_key : NULL,
        .secret_key = curve ? z->secret_key : NULL,
        .server_key = z->server_key,
    };
    int rc = wire_open(&config, &z->wire, &what);
    if (rc < 0)
        return ctx->host->fail(ctx, err, -rc, "%s, '%.100s': %s", what, z->endpoint.text,
                               strerror(-rc));
    rc = start_zap(z, err);
    if (rc < 0)
        return rc;
    if (z->connect)
        ctx->host->polled(ctx); /* from now on it can be overdue */
    tick_start(z);
    ctx->host->log(ctx, BERTH_LOG_INFO, "%s %s%s",
                   z->connect ? "connecting to" : "listening on", z->endpoint.text,
                   curve ? " with CURVE" : "");
    return 0;
}

static const struct berth_option options[] = {
    {"endpoint", BERTH_OPTION_STRING, 0, "tcp://127.0.0.1:2592",
     "where to listen, or the broker: tcp://ADDRESS:PORT or ipc:///path"},
    {"mode", BERTH_OPTION_STRING, 0, "bind",
     "bind: clients connect to us; connect: we connect to a broker"},
    {"socket_mode", BERTH_OPTION_STRING, 0, "0660", "mode of a Unix socket, octal"},
    {"socket_group", BERTH_OPTION_STRING, 0, NULL, "group of a Unix socket"},
    {"curve_key_file", BERTH_OPTION_STRING, 0, NULL,
     "file with our own keys, mode 0600: without, only this machine is served"},
    {"curve_clients_file", BERTH_OPTION_STRING, 0, NULL,
     "bind: file of the keys that may connect; read again when it changes"},
    {"curve_server_key", BERTH_OPTION_STRING, 0, NULL, "connect: the broker's public key"},
    {"max_message", BERTH_OPTION_SIZE, 0, "12M", "largest body of a message"},
    {"max_unread", BERTH_OPTION_SIZE, 0, "2M",
     "bytes of answers that a client has not shown to have read"},
    {"max_clients", BERTH_OPTION_INT, 0, "256", "clients at the same time"},
    {"credit", BERTH_OPTION_INT, 0, "10000",
     "tasks that a client may have open, until it has their results"},
    {"open_max", BERTH_OPTION_INT, 0, "100000", "the same for all clients together"},
    {"heartbeat", BERTH_OPTION_DURATION, 0, "5s",
     "who is silent for so long is asked; for three times as long: is gone"},
    {"resend", BERTH_OPTION_DURATION, 0, "30s",
     "a result that was not acknowledged for so long is sent again"},
    {"keep", BERTH_OPTION_DURATION, 0, "1d",
     "how long is remembered what a client that went away is owed"},
    {0},
};

static const struct berth_transport transport =
    BERTH_TRANSPORT(.fd = zeromq_fd, .recv = zeromq_recv, .reply = zeromq_reply,
                    .settle = zeromq_settle, .drain = zeromq_drain);

BERTH_PLUGIN(.name = "zeromq", .version = "0.1.0",
             .summary = "tasks from ZeroMQ peers, with results that are kept for them",
             .options = options, .open = zeromq_open, .start = zeromq_start,
             .close = zeromq_close, .transport = &transport);
