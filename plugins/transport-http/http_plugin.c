/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The http transport: tasks and questions over HTTP/1.1. See http.h for which file does what. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "http.h"
#include "http_auth.h"
#include "http_listen.h"
#include "http_route.h"
#include "http_server.h"
#include "http_submit.h"

#define PLUGIN_PEM_MAX (1 << 20)
#define PLUGIN_YEAR_MS (365LL * 24 * 3600 * 1000)

static const struct berth_option plugin_options[] = {
    {"listen", BERTH_OPTION_STRING, 0, "127.0.0.1:2591",
     "address: 127.0.0.1:2591, [::1]:2591 or unix:/path"},
    {"socket_mode", BERTH_OPTION_STRING, 0, "0660", "mode of a Unix socket, octal"},
    {"socket_group", BERTH_OPTION_STRING, 0, NULL, "group of a Unix socket"},
    {"token_file", BERTH_OPTION_STRING, 0, NULL,
     "file of bearer tokens, TOKEN or TENANT:TOKEN a line; read again when it changes"},
    {"tls_cert", BERTH_OPTION_STRING, 0, NULL, "file of the certificate chain, PEM"},
    {"tls_key", BERTH_OPTION_STRING, 0, NULL, "file of its private key, PEM"},
    {"behind_proxy", BERTH_OPTION_BOOL, 0, "false",
     "a proxy in front does TLS: allow listening beyond loopback without"},
    {"max_body", BERTH_OPTION_SIZE, 0, "12M", "largest body of a request"},
    {"max_buffered", BERTH_OPTION_SIZE, 0, "256M",
     "all bodies that are being received, together"},
    {"header_limit", BERTH_OPTION_SIZE, 0, "16K", "largest head of a request"},
    {"max_connections", BERTH_OPTION_INT, 0, "1024", "connections at the same time"},
    {"max_connections_per_ip", BERTH_OPTION_INT, 0, "0",
     "the same per address; 0: no limit"},
    {"idle_timeout", BERTH_OPTION_DURATION, 0, "30s",
     "a connection without a byte for so long is closed"},
    {"request_timeout", BERTH_OPTION_DURATION, 0, "2m",
     "longest time for a request to arrive, and for its answer to be taken"},
    {"max_wait", BERTH_OPTION_DURATION, 0, "10m", "longest ?wait="},
    {NULL, 0, 0, NULL, NULL},
};

static const struct {
    const char *name;
    int64_t min, max;
} plugin_ranges[] = {
    {"max_body", 1024, 1LL << 30},
    {"max_buffered", 1024, 1LL << 40},
    {"header_limit", 1024, 1LL << 20},
    {"max_connections", 1, 1000000},
    {"max_connections_per_ip", 0, 1000000},
    {"idle_timeout", 1000, PLUGIN_YEAR_MS},
    {"request_timeout", 1000, PLUGIN_YEAR_MS},
    {"max_wait", 0, PLUGIN_YEAR_MS},
};

static int plugin_check_ranges(struct berth_ctx *ctx, struct berth_error *err)
{
    for (size_t i = 0; i < sizeof(plugin_ranges) / sizeof(plugin_ranges[0]); i++) {
        int64_t value = ctx->host->option_int(ctx, plugin_ranges[i].name);
        if (value < plugin_ranges[i].min || value > plugin_ranges[i].max)
            return ctx->host->fail(
                ctx, err, EINVAL, "%s is %lld, it must be from %lld to %lld",
                plugin_ranges[i].name, (long long)value, (long long)plugin_ranges[i].min,
                (long long)plugin_ranges[i].max);
    }
    return 0;
}

static int plugin_configure(struct http_plugin *p, struct berth_error *err)
{
    struct berth_ctx *ctx = p->ctx;
    const struct berth_host *host = ctx->host;
    int ret = plugin_check_ranges(ctx, err);
    p->config = (struct http_config){
        .listen = host->option(ctx, "listen"),
        .socket_mode = host->option(ctx, "socket_mode"),
        .socket_group = host->option(ctx, "socket_group"),
        .token_file = host->option(ctx, "token_file"),
        .tls_cert = host->option(ctx, "tls_cert"),
        .tls_key = host->option(ctx, "tls_key"),
        .behind_proxy = host->option_int(ctx, "behind_proxy") != 0,
        .max_body_bytes = (size_t)host->option_int(ctx, "max_body"),
        .max_buffered_bytes = (size_t)host->option_int(ctx, "max_buffered"),
        .header_bytes = (size_t)host->option_int(ctx, "header_limit"),
        .max_connections = (unsigned)host->option_int(ctx, "max_connections"),
        .max_connections_per_ip = (unsigned)host->option_int(ctx, "max_connections_per_ip"),
        .idle_ms = host->option_int(ctx, "idle_timeout"),
        .request_ms = host->option_int(ctx, "request_timeout"),
        .max_wait_ms = host->option_int(ctx, "max_wait"),
    };
    if (ret == 0 && p->config.max_buffered_bytes < p->config.max_body_bytes)
        return host->fail(ctx, err, EINVAL,
                          "max_buffered (%zu) must be at least max_body (%zu)",
                          p->config.max_buffered_bytes, p->config.max_body_bytes);
    return ret;
}

/* Whoever can reach it can run programs. */
static int plugin_check_exposure(struct http_plugin *p, struct berth_error *err)
{
    const struct http_config *config = &p->config;
    const struct berth_host *host = p->ctx->host;
    if (!config->tls_cert != !config->tls_key)
        return host->fail(p->ctx, err, EINVAL, "%s is set and %s is not: set both or none",
                          config->tls_cert ? "tls_cert" : "tls_key",
                          config->tls_cert ? "tls_key" : "tls_cert");
    int exposed = http_listen_is_exposed(config->listen, err);
    if (exposed <= 0)
        return exposed;
    if (!config->token_file)
        return host->fail(
            p->ctx, err, EPERM,
            "'%.60s' can be reached from outside: set token_file = \"/path\" (a line "
            "TENANT:TOKEN per client, mode 0600), or listen on 127.0.0.1",
            config->listen);
    if (!config->tls_cert && !config->behind_proxy)
        return host->fail(
            p->ctx, err, EPERM,
            "'%.60s' would carry tokens in the clear: set tls_cert and tls_key, or "
            "behind_proxy = true if a proxy does TLS, or listen on 127.0.0.1",
            config->listen);
    return 0;
}

static void plugin_read_tokens(struct http_plugin *p)
{
    struct berth_error err = {0};
    int ret = p->auth ? http_auth_refresh(p->auth, &err) : 0;
    if (ret > 0)
        p->ctx->host->log(p->ctx, BERTH_LOG_INFO, "token_file '%s' was read again",
                          p->config.token_file);
    else if (ret < 0)
        p->ctx->host->log(p->ctx, BERTH_LOG_WARN,
                          "%s; the tokens read before stay in force", err.text);
}

static const struct http_server_calls plugin_calls = {
    .head = http_route_head,
    .refuse = http_route_refuse,
    .request = http_route_request,
    .ended = http_submit_ended,
    .tick = plugin_read_tokens,
};

/* Reads a PEM file while the host still may; NULL path: none. */
static int plugin_pem(struct berth_ctx *ctx, const char *option, const char *path,
                      struct http_buf *ret_text, struct berth_error *err)
{
    char block[4096];
    size_t n;
    if (!path)
        return 0;
    FILE *file = fopen(path, "re");
    if (!file)
        return ctx->host->fail(ctx, err, errno, "cannot read %s '%.120s': %s", option, path,
                               strerror(errno));
    int ret = 0;
    while (ret == 0 && ret_text->len < PLUGIN_PEM_MAX &&
           (n = fread(block, 1, sizeof(block), file)))
        ret = http_buf_add(ret_text, block, n);
    if (ret == 0)
        ret = http_buf_add(ret_text, "", 1);
    bool failed = ferror(file) != 0;
    fclose(file);
    explicit_bzero(block, sizeof(block));
    if (ret == 0 && !failed && strstr(ret_text->data, "-----BEGIN "))
        return 0;
    return ctx->host->fail(ctx, err, failed ? EIO : EINVAL, "%s '%.120s' is no PEM file",
                           option, path);
}

static int plugin_open_parts(struct http_plugin *p, struct berth_error *err)
{
    int ret = plugin_configure(p, err);
    if (ret == 0)
        ret = plugin_check_exposure(p, err);
    if (ret == 0 && p->config.token_file)
        ret = http_auth_open(p->config.token_file, &p->auth, err);
    if (ret == 0)
        ret = plugin_pem(p->ctx, "tls_cert", p->config.tls_cert, &p->cert, err);
    if (ret == 0)
        ret = plugin_pem(p->ctx, "tls_key", p->config.tls_key, &p->key, err);
    if (ret == 0)
        ret = http_listen_open(p->config.listen, p->config.socket_mode,
                               p->config.socket_group, &p->listen, err);
    return ret;
}

static void plugin_close(struct berth_ctx *ctx)
{
    struct http_plugin *p = ctx->data;
    http_server_stop(p->server);
    http_listen_close(p->listen);
    http_auth_close(p->auth);
    if (p->key.data)
        explicit_bzero(p->key.data, p->key.len);
    http_buf_fini(&p->key);
    http_buf_fini(&p->cert);
    http_buf_fini(&p->lent);
    free(p);
    ctx->data = NULL;
}

static int plugin_open(struct berth_ctx *ctx, struct berth_error *err)
{
    struct http_plugin *p = calloc(1, sizeof(*p));
    if (!p)
        return ctx->host->fail(ctx, err, ENOMEM, "out of memory");
    p->ctx = ctx;
    ctx->data = p;
    int ret = plugin_open_parts(p, err);
    if (ret < 0) {
        plugin_close(ctx);
        return ret;
    }
    p->check_host = !p->auth && !p->config.behind_proxy && !http_listen_is_unix(p->listen);
    return 0;
}

/* The other half is for running tasks, each of which has a connection to the host. */
static void plugin_bound_files(struct http_plugin *p)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
        limit.rlim_cur / 2 >= p->config.max_connections)
        return;
    p->ctx->host->log(
        p->ctx, BERTH_LOG_WARN,
        "max_connections is %u, but only %llu files may be open: %llu clients "
        "are served at the same time",
        p->config.max_connections, (unsigned long long)limit.rlim_cur,
        (unsigned long long)limit.rlim_cur / 2);
    p->config.max_connections = (unsigned)(limit.rlim_cur / 2);
}

static int plugin_start(struct berth_ctx *ctx, struct berth_error *err)
{
    struct http_plugin *p = ctx->data;
    plugin_bound_files(p);
    int ret = http_server_start(p, http_listen_fd(p->listen), p->cert.data, p->key.data,
                                &plugin_calls, &p->server, err);
    if (ret < 0)
        return ret;
    ctx->host->log(ctx, BERTH_LOG_INFO, "listening on %s%s%s", http_listen_name(p->listen),
                   p->cert.data ? " with TLS" : "", p->auth ? ", tokens needed" : "");
    return 0;
}

static void plugin_drain(struct berth_ctx *ctx, int on)
{
    struct http_plugin *p = ctx->data;
    p->draining = on != 0;
    if (on)
        http_submit_drain(p);
}

static const struct berth_transport plugin_transport =
    BERTH_TRANSPORT(.recv = http_submit_recv, .reply = http_submit_reply,
                    .settle = http_submit_settle, .drain = plugin_drain);

BERTH_PLUGIN(.name = "http", .version = "1.0",
             .summary = "tasks and questions over HTTP/1.1", .options = plugin_options,
             .open = plugin_open, .start = plugin_start, .close = plugin_close,
             .transport = &plugin_transport);
