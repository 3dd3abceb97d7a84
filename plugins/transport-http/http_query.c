/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Routes that put a question to the host and pass its answer on. */
#include "http_query.h"

#include <errno.h>
#include <string.h>

#include "http_media.h"
#include "http_problem.h"
#include "http_route.h"

#define QUERY_LIMIT_MAX 1000

/* A token of a tenant asks for that tenant. */
static struct berth_query query_of(const struct http_exchange *x)
{
    return (struct berth_query){.size = sizeof(struct berth_query),
                                .format = x->format,
                                .what = x->route->what,
                                .id = x->id,
                                .tenant = x->tenant[0] ? x->tenant : NULL};
}

static int query_ask(struct http_plugin *p, const struct berth_query *query,
                     struct http_buf *body, struct berth_error *err)
{
    return p->ctx->host->query(p->ctx, query, http_buf_write, body, err);
}

static void query_failed(struct http_exchange *x, int code, const struct berth_error *err)
{
    http_problem(x, http_problem_of_query(code), "%s",
                 err->text[0] ? err->text : strerror(code));
}

static void query_answer(struct http_plugin *p, struct http_exchange *x,
                         const struct berth_query *query, unsigned status, const char *type)
{
    HTTP_BUF_AUTO body = {0};
    struct berth_error err = {0};
    int ret = query_ask(p, query, &body, &err);
    if (ret < 0)
        query_failed(x, -ret, &err);
    else
        http_answer(x, status, type, &body);
}

void http_query(struct http_plugin *p, struct http_exchange *x)
{
    struct berth_query query = query_of(x);
    query_answer(p, x, &query, 200, http_media_name[x->format]);
}

void http_query_tasks(struct http_plugin *p, struct http_exchange *x)
{
    struct berth_query query = query_of(x);
    const char *limit = http_target_param(&x->target, "limit");
    const char *tenant = http_target_param(&x->target, "tenant");
    unsigned long long count = 0;
    if (limit && (http_target_number(limit, QUERY_LIMIT_MAX, &count) < 0 || !count)) {
        http_problem(x, HTTP_BAD_PARAMETER, "limit '%.40s' is not a number from 1 to %d",
                     limit, QUERY_LIMIT_MAX);
        return;
    }
    if (tenant && x->tenant[0] && strcmp(tenant, x->tenant) != 0) {
        http_problem(x, HTTP_FORBIDDEN, "the token is for tenant '%s', not for '%.64s'",
                     x->tenant, tenant);
        return;
    }
    query.limit = (uint32_t)count;
    query.state = http_target_param(&x->target, "state");
    query.executer = http_target_param(&x->target, "executer");
    query.cursor = http_target_param(&x->target, "cursor");
    if (tenant)
        query.tenant = tenant;
    query_answer(p, x, &query, 200, http_media_name[x->format]);
}

void http_query_result(struct http_plugin *p, struct http_exchange *x)
{
    HTTP_BUF_AUTO body = {0};
    struct berth_error err = {0};
    struct berth_query query = query_of(x);
    int ret = query_ask(p, &query, &body, &err);
    if (ret == -EAGAIN)
        http_problem(x, HTTP_NOT_DONE, "task '%s' has no result yet", x->id);
    else if (ret < 0)
        query_failed(x, -ret, &err);
    else
        http_answer(x, 200, http_media_name[x->format], &body);
}

void http_query_cancel(struct http_plugin *p, struct http_exchange *x)
{
    struct berth_query query = query_of(x);
    query_answer(p, x, &query, 202, http_media_name[x->format]);
}

void http_query_metrics(struct http_plugin *p, struct http_exchange *x)
{
    struct berth_query query = query_of(x);
    query_answer(p, x, &query, 200, "text/plain; version=0.0.4; charset=utf-8");
}

void http_query_ready(struct http_plugin *p, struct http_exchange *x)
{
    HTTP_BUF_AUTO body = {0};
    struct berth_error err = {0};
    struct berth_query query = query_of(x);
    int ret = query_ask(p, &query, &body, &err);
    bool json = x->format == BERTH_FORMAT_JSON;
    if (ret == -EAGAIN)
        http_problem_with(x, HTTP_NOT_READY, err.text[0] ? err.text : "not ready",
                          "readiness", body.data, json ? body.len : 0);
    else if (ret < 0)
        query_failed(x, -ret, &err);
    else
        http_answer(x, 200, http_media_name[x->format], &body);
}

bool http_query_is_theirs(struct http_plugin *p, struct http_exchange *x)
{
    HTTP_BUF_AUTO body = {0};
    struct berth_error err = {0};
    struct berth_query query = query_of(x);
    query.what = "task";
    int ret = x->tenant[0] ? query_ask(p, &query, &body, &err) : 0;
    if (ret < 0)
        query_failed(x, -ret, &err);
    return ret >= 0;
}
