/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The log stream of a task. Nothing is buffered: bytes are read from the host when the connection can
 * send, so that a client who does not read costs a socket's worth of memory, until idle_timeout.
 */
#include "http_logs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "http_problem.h"
#include "http_query.h"
#include "http_server.h"

struct logs {
    struct http_stream stream; /* first: a stream is its logs */
    struct berth_ctx *ctx;
    struct http_exchange *x;
    int handle;
    bool follow;
};

static ssize_t logs_read(struct http_stream *stream, void *buf, size_t len)
{
    struct logs *logs = (struct logs *)stream;
    int n = logs->ctx->host->log_read(logs->ctx, logs->handle, buf, len);
    return n == 0 && !logs->follow ? -ENODATA : n;
}

static void logs_free(struct http_stream *stream)
{
    struct logs *logs = (struct logs *)stream;
    if (logs->handle > 0)
        logs->ctx->host->log_close(logs->ctx, logs->handle);
    free(logs);
}

static void logs_more(struct berth_ctx *ctx, void *arg)
{
    struct logs *logs = arg;
    (void)ctx;
    http_server_ready(logs->x);
}

struct logs_params {
    int stream;
    unsigned long long offset;
    bool follow;
};

static bool logs_flag(const char *text, bool *ret_value)
{
    *ret_value = !strcmp(text, "1") || !strcmp(text, "true");
    return *ret_value || !strcmp(text, "0") || !strcmp(text, "false");
}

static bool logs_params(struct http_exchange *x, struct logs_params *params)
{
    const char *stream = http_target_param(&x->target, "stream");
    const char *offset = http_target_param(&x->target, "offset");
    const char *follow = http_target_param(&x->target, "follow");
    *params = (struct logs_params){.stream = stream && !strcmp(stream, "stderr") ? 2 : 1};
    if (stream && params->stream == 1 && strcmp(stream, "stdout") != 0)
        http_problem(x, HTTP_BAD_PARAMETER, "stream '%.40s' is not one of stdout, stderr",
                     stream);
    else if (offset && http_target_number(offset, LLONG_MAX, &params->offset) < 0)
        http_problem(x, HTTP_BAD_PARAMETER, "offset '%.40s' is not a number of bytes",
                     offset);
    else if (follow && !logs_flag(follow, &params->follow))
        http_problem(x, HTTP_BAD_PARAMETER, "follow '%.40s' is not one of 0, 1", follow);
    return !x->status;
}

static int logs_open(struct http_plugin *p, struct http_exchange *x,
                     const struct logs_params *params, struct logs **ret_logs,
                     struct berth_error *err)
{
    struct logs *logs = calloc(1, sizeof(*logs));
    if (!logs)
        return -ENOMEM;
    *logs = (struct logs){
        .stream = {logs_read, logs_free}, .ctx = p->ctx, .x = x, .follow = params->follow};
    logs->handle = p->ctx->host->log_open(p->ctx, x->id, params->stream, params->offset,
                                          params->follow ? logs_more : NULL, logs, err);
    if (logs->handle > 0) {
        *ret_logs = logs;
        return 0;
    }
    int ret = logs->handle;
    logs_free(&logs->stream);
    return ret;
}

/* The bytes are the payload's: a browser must not take them for a page of ours. */
void http_logs(struct http_plugin *p, struct http_exchange *x)
{
    struct logs_params params;
    struct logs *logs = NULL;
    struct berth_error err = {0};
    if (!logs_params(x, &params) || !http_query_is_theirs(p, x))
        return;
    int ret = logs_open(p, x, &params, &logs, &err);
    if (ret < 0) {
        http_problem(x, http_problem_of_query(-ret), "%s",
                     err.text[0] ? err.text : strerror(-ret));
        return;
    }
    if (!strcmp(x->method, "HEAD"))
        logs_free(&logs->stream);
    else
        x->stream = &logs->stream;
    x->lingers = params.follow;
    x->status = 200;
    x->type = "application/octet-stream";
    http_field(x, "X-Content-Type-Options", "nosniff");
}
