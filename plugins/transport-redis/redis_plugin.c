/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The redis transport's options and its table. */
#include "redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

static int redis_recv(struct berth_ctx *ctx, struct berth_message *msg,
                      struct berth_error *err)
{
    (void)err; /* a server that cannot be reached is told of by the log and by readiness */
    return take_recv(ctx->data, msg);
}

static int redis_reply(struct berth_ctx *ctx, const struct berth_reply *reply,
                       struct berth_error *err)
{
    return publish_reply(ctx->data, reply, err);
}

static int redis_settle(struct berth_ctx *ctx, uint64_t message, int how,
                        struct berth_error *err)
{
    struct redis *r = ctx->data;
    struct held *h = held_find(&r->held, message);
    (void)err;
    if (!h)
        return 0;
    if (how == BERTH_SETTLE_RETRY) {
        lease_hand_back(r, h);
        link_flush(&r->session.work);
        return 0;
    }
    if (h->state == HELD_ENDED)
        DL_DELETE(r->ended, h);
    if (h == r->handed)
        r->handed = NULL;
    held_free(&r->held, h);
    return 0;
}

static void redis_drain(struct berth_ctx *ctx, int on)
{
    session_drain(ctx->data, on);
}

static int redis_dead(struct berth_ctx *ctx, const struct berth_dead *ask,
                      struct berth_error *err)
{
    return letters_ask(ctx->data, ask, err);
}

/* ---- options ---- */

static bool is_word(const char *s, size_t max)
{
    size_t n =
        strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n >= 1 && n <= max && !s[n];
}

static int open_url(struct redis *r, struct berth_error *err)
{
    const struct berth_host *host = r->ctx->host;
    char why[252];
    const char *url = host->option(r->ctx, "url");
    if (url_parse(url, &r->url, why, sizeof why) < 0)
        return host->fail(r->ctx, err, EINVAL, "option 'url': %s", why);
    r->password_file = host->option(r->ctx, "password_file");
    r->password_env = host->option(r->ctx, "password_env");
    r->sentinel_password_file = host->option(r->ctx, "sentinel_password_file");
    if (r->password_file && r->password_env)
        return host->fail(r->ctx, err, EINVAL,
                          "password_file and password_env: only one of them");
    if (r->url.user[0] && !r->password_file && !r->password_env)
        return host->fail(
            r->ctx, err, EINVAL,
            "option 'url' names user '%s': give password_file or password_env, too",
            r->url.user);
    if (!r->url.tls)
        return 0;
    if (tls_config_new(host->option(r->ctx, "tls_ca"), host->option(r->ctx, "tls_cert"),
                       host->option(r->ctx, "tls_key"), &r->tls, why, sizeof why) < 0)
        return host->fail(r->ctx, err, EINVAL, "option 'url': %s", why);
    return 0;
}

static void make_key(char *ret, size_t size, const struct redis *r, const char *name)
{
    snprintf(ret, size, "%s%s", r->key.prefix, name);
}

static int open_names(struct redis *r, struct berth_error *err)
{
    const struct berth_host *host = r->ctx->host;
    struct redis_keys *k = &r->key;
    r->queue = host->option(r->ctx, "queue");
    if (!is_word(r->queue, 64))
        return host->fail(r->ctx, err, EINVAL,
                          "option 'queue': '%s' is not 1 to 64 of [A-Za-z0-9._-]",
                          r->queue);
    snprintf(k->prefix, sizeof k->prefix, "berth:{%s}:", r->queue);
    make_key(k->results, sizeof k->results, r, "results");
    make_key(k->dead, sizeof k->dead, r, "dead");
    make_key(k->events, sizeof k->events, r, "events");
    make_key(k->control, sizeof k->control, r, "control");
    make_key(k->attempts, sizeof k->attempts, r, "attempts");
    make_key(k->done, sizeof k->done, r, "done");
    make_key(k->result, sizeof k->result, r, "result:");
    snprintf(r->consumer, sizeof r->consumer, "%.100s-%s", host->host_name(r->ctx),
             host->host_mark(r->ctx));
    return 0;
}

static int open_levels(struct redis *r, struct berth_error *err)
{
    const struct berth_host *host = r->ctx->host;
    r->level_count = host->option_count(r->ctx, "priorities");
    if (r->level_count < 1 || r->level_count > REDIS_LEVELS)
        return host->fail(r->ctx, err, EINVAL,
                          "option 'priorities': give 1 to %d names, not %zu", REDIS_LEVELS,
                          r->level_count);
    for (size_t i = 0; i < r->level_count; i++) {
        const char *name = host->option_item(r->ctx, "priorities", i);
        struct level *l = &r->levels[i];
        bool plain = !strcmp(name, "normal");
        if (!is_word(name, sizeof l->name - 1))
            return host->fail(r->ctx, err, EINVAL,
                              "option 'priorities': '%s' is not 1 to 32 of [A-Za-z0-9._-]",
                              name);
        snprintf(l->name, sizeof l->name, "%s", name);
        snprintf(l->stream, sizeof l->stream, "%stasks%s%s", r->key.prefix,
                 plain ? "" : ":", plain ? "" : name);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(r->levels[k].name, name))
                return host->fail(r->ctx, err, EINVAL,
                                  "option 'priorities': '%s' is there twice", name);
    }
    return 0;
}

static int open_verdicts(struct redis *r, struct berth_error *err)
{
    const struct berth_host *host = r->ctx->host;
    for (size_t i = 0; i < host->option_count(r->ctx, "dead_verdicts"); i++) {
        const char *name = host->option_item(r->ctx, "dead_verdicts", i);
        int verdict = verdict_of(name);
        if (verdict == BERTH_VERDICT_NONE)
            return host->fail(r->ctx, err, EINVAL,
                              "option 'dead_verdicts': '%s' is no verdict", name);
        r->dead_verdicts |= 1u << verdict;
    }
    return 0;
}

static int open_number(struct redis *r, const char *name, int64_t least, int64_t *ret,
                       struct berth_error *err)
{
    *ret = r->ctx->host->option_int(r->ctx, name);
    if (*ret >= least)
        return 0;
    return r->ctx->host->fail(r->ctx, err, EINVAL, "option '%s' must be at least %lld",
                              name, (long long)least);
}

static int open_numbers(struct redis *r, struct berth_error *err)
{
    int rc = open_number(r, "lease", 1000, &r->lease_ms, err);
    if (rc == 0)
        rc = open_number(r, "timeout", 100, &r->timeout_ms, err);
    if (rc == 0)
        rc = open_number(r, "result_ttl", 1000, &r->result_ttl_ms, err);
    if (rc == 0)
        rc = open_number(r, "results_max", 1, &r->results_max, err);
    if (rc == 0)
        rc = open_number(r, "dead_max", 1, &r->dead_max, err);
    return rc == 0 ? open_number(r, "events_max", 1, &r->events_max, err) : rc;
}

static void redis_close(struct berth_ctx *ctx)
{
    struct redis *r = ctx->data;
    if (!r)
        return;
    session_close(r);
    control_free(r);
    while (r->held.by_message)
        held_free(&r->held, r->held.by_message);
    tls_config_free(r->tls);
    free(r);
    ctx->data = NULL;
}

static int redis_open(struct berth_ctx *ctx, struct berth_error *err)
{
    if (ctx->host->size <
        offsetof(struct berth_host, dead_done) + sizeof ctx->host->dead_done)
        return ctx->host->fail(ctx, err, ENOSYS, "this berthd is too old for the plugin");
    struct redis *r = calloc(1, sizeof *r);
    if (!r)
        return ctx->host->fail(ctx, err, ENOMEM, "out of memory");
    ctx->data = r;
    r->ctx = ctx;
    int rc = open_url(r, err);
    if (rc == 0)
        rc = open_names(r, err);
    if (rc == 0)
        rc = open_levels(r, err);
    if (rc == 0)
        rc = open_verdicts(r, err);
    if (rc == 0)
        rc = open_numbers(r, err);
    if (rc < 0)
        redis_close(ctx);
    return rc;
}

static int redis_start(struct berth_ctx *ctx, struct berth_error *err)
{
    (void)err;
    ctx->host->polled(ctx); /* from now on it can be overdue */
    session_start(ctx->data);
    return 0;
}

static const struct berth_option options[] = {
    {"url", BERTH_OPTION_STRING, 0, "redis://127.0.0.1:6379/0",
     "the server: redis://, rediss:// (TLS), unix:// or redis-sentinel://"},
    {"queue", BERTH_OPTION_STRING, BERTH_OPTION_REQUIRED, NULL,
     "name of the queue: Q in berth:{Q}:tasks"},
    {"priorities", BERTH_OPTION_LIST, 0, "normal",
     "streams of tasks, the first one first: normal is berth:{Q}:tasks, NAME "
     "berth:{Q}:tasks:NAME"},
    {"password_file", BERTH_OPTION_STRING, 0, NULL,
     "file whose first line is the password"},
    {"password_env", BERTH_OPTION_STRING, 0, NULL,
     "variable of berthd's environment with the password"},
    {"sentinel_password_file", BERTH_OPTION_STRING, 0, NULL, "the same for the sentinels"},
    {"tls_ca", BERTH_OPTION_STRING, 0, NULL,
     "file of the authorities that are trusted; else the system's"},
    {"tls_cert", BERTH_OPTION_STRING, 0, NULL, "file of our own certificate"},
    {"tls_key", BERTH_OPTION_STRING, 0, NULL,
     "file of its key; else in the file of tls_cert"},
    {"lease", BERTH_OPTION_DURATION, 0, "30s",
     "after so long without a word from us others take our tasks"},
    {"timeout", BERTH_OPTION_DURATION, 0, "5s",
     "a server that is silent for so long is given up"},
    {"result_ttl", BERTH_OPTION_DURATION, 0, "1d",
     "how long the key of a result, and its id, is kept"},
    {"results_max", BERTH_OPTION_INT, 0, "100000",
     "about so many results stay in the stream of results"},
    {"dead_max", BERTH_OPTION_INT, 0, "100000", "about so many dead letters are kept"},
    {"events_max", BERTH_OPTION_INT, 0, "100000", "about so many events are kept"},
    {"dead_verdicts", BERTH_OPTION_LIST, 0,
     "failed,timeout,oom,image_error,runtime_error,plugin_error,lost,preempted,rejected",
     "tasks that end so become dead letters, too"},
    {0},
};

static const struct berth_transport transport =
    BERTH_TRANSPORT(.flags = BERTH_TRANSPORT_DURABLE | BERTH_TRANSPORT_RESUMES,
                    .recv = redis_recv, .reply = redis_reply, .settle = redis_settle,
                    .drain = redis_drain, .dead = redis_dead);

BERTH_PLUGIN(.name = "redis", .version = "0.1.0",
             .summary = "tasks from Redis streams, shared by many hosts",
             .options = options, .open = redis_open, .start = redis_start,
             .close = redis_close, .transport = &transport);
