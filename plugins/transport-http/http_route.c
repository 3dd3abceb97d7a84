/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The routes. Before one runs, and before its body is read: is the head well-formed and for this host,
 * is there such a path, may the client, has the path the method, are the parameters known, can the
 * answer be made in a format that is accepted, is the body one.
 */
#include "http_route.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "http_auth.h"
#include "http_logs.h"
#include "http_media.h"
#include "http_problem.h"
#include "http_query.h"
#include "http_submit.h"

static const char *const list_params[] = {"state", "tenant", "executer",
                                          "limit", "cursor", NULL};
static const char *const log_params[] = {"stream", "offset", "follow", NULL};
static const char *const submit_params[] = {"wait", NULL};

/* Rows of one path stand together. GET answers HEAD too. */
static const struct http_route route_table[] = {
    {"GET", "/v1/tasks", http_query_tasks, "tasks", list_params, 0},
    {"POST", "/v1/tasks", http_submit, NULL, submit_params, HTTP_ROUTE_BODY},
    {"GET", "/v1/tasks/{id}", http_query, "task", NULL, HTTP_ROUTE_TASK_ID},
    {"DELETE", "/v1/tasks/{id}", http_query_cancel, "cancel", NULL, HTTP_ROUTE_TASK_ID},
    {"GET", "/v1/tasks/{id}/result", http_query_result, "result", NULL, HTTP_ROUTE_TASK_ID},
    {"GET", "/v1/tasks/{id}/logs", http_logs, NULL, log_params,
     HTTP_ROUTE_TASK_ID | HTTP_ROUTE_RAW},
    {"GET", "/v1/executers", http_query, "executers", NULL, 0},
    {"GET", "/v1/executers/{name}/explain", http_query, "explain", NULL, 0},
    {"GET", "/v1/runtimes", http_query, "runtimes", NULL, 0},
    {"GET", "/v1/stats", http_query, "stats", NULL, 0},
    {"GET", "/stats", http_query, "stats", NULL, 0},
    {"GET", "/metrics", http_query_metrics, "metrics", NULL, HTTP_ROUTE_RAW},
    {"GET", "/healthz", http_query, "health", NULL, HTTP_ROUTE_PUBLIC},
    {"GET", "/readyz", http_query_ready, "ready", NULL, HTTP_ROUTE_PUBLIC},
};
#define ROUTE_COUNT (sizeof(route_table) / sizeof(route_table[0]))

/* ---- the head ---- */

/* Without a token, a web page whose name was made to resolve to loopback (DNS rebinding) could
 * command berth through its visitor's browser: names of this machine only. */
static bool route_host_is_ours(const char *host)
{
    char name[64];
    struct in6_addr addr;
    bool bracketed = *host == '[';
    size_t len = strcspn(host += bracketed, bracketed ? "]" : ":");
    const char *port = host + len + (bracketed && host[len]);
    if (len >= sizeof(name) || (*port && *port != ':') || (bracketed && !host[len]))
        return false;
    memcpy(name, host, len);
    name[len] = '\0';
    if (bracketed)
        return inet_pton(AF_INET6, name, &addr) == 1;
    return !strcasecmp(name, "localhost") || inet_pton(AF_INET, name, &addr) == 1;
}

/* What says where the body ends must be beyond doubt: a proxy in front that reads it otherwise would
 * take a part of this body for the next request, or the reverse (RFC 9112 section 11.2). */
static bool route_check_framing(struct http_exchange *x)
{
    const char *length = x->header[HTTP_CONTENT_LENGTH];
    const char *encoding = x->header[HTTP_TRANSFER_ENCODING];
    if (x->repeated)
        http_problem(x, HTTP_BAD_REQUEST,
                     "a header field that may come once came more than once");
    else if (x->bad_field)
        http_problem(x, HTTP_BAD_REQUEST,
                     "a header field is not of the form 'Name: value' in one line");
    else if (length && encoding)
        http_problem(x, HTTP_BAD_REQUEST,
                     "Content-Length and Transfer-Encoding exclude each other");
    else if (encoding && (strcasecmp(encoding, "chunked") != 0 || !x->http11))
        http_problem(x, HTTP_BAD_REQUEST,
                     "Transfer-Encoding is '%.40s' in HTTP/1.%d: only chunked is known, in "
                     "HTTP/1.1",
                     encoding, x->http11);
    return !x->status;
}

/* The host of an absolute-form target counts, not the field (RFC 9112 section 3.2.2). */
static bool route_check_host(struct http_plugin *p, struct http_exchange *x)
{
    char named[256];
    const char *host = x->header[HTTP_HOST];
    if (x->http11 && !host)
        http_problem(x, HTTP_BAD_REQUEST, "HTTP/1.1 needs a Host field");
    if (http_target_host(&x->target, named, sizeof(named)))
        host = named;
    if (!x->status && p->check_host && host && !route_host_is_ours(host))
        http_problem(x, HTTP_MISDIRECTED,
                     "without a token_file only 'localhost' and addresses are served, "
                     "not '%.100s'",
                     host);
    return !x->status;
}

static bool route_check_head(struct http_plugin *p, struct http_exchange *x)
{
    if (x->head_bytes > p->config.header_bytes)
        http_problem(x, HTTP_HEAD_TOO_LARGE, "the head is %zu bytes, header_limit is %zu",
                     x->head_bytes, p->config.header_bytes);
    else if (route_check_framing(x) && http_target_is_bad(&x->target))
        http_problem(x, HTTP_BAD_REQUEST,
                     "the target has a space or a control character: escape it as %%20");
    x->cut = x->status || !route_check_host(p, x);
    return !x->status;
}

/* ---- path, token, method ---- */

static bool route_is_method(const struct http_route *route, const char *method)
{
    return !strcmp(route->method, method) ||
           (!strcmp(route->method, "GET") && !strcmp(method, "HEAD"));
}

/* Sets x->route, or *ret_path to the first route of the path if that has no such method. */
static void route_find(struct http_exchange *x, const struct http_route **ret_path)
{
    *ret_path = NULL;
    for (size_t i = 0; i < ROUTE_COUNT && !x->route; i++) {
        const struct http_route *route = &route_table[i];
        if (!http_target_matches(&x->target, route->path, &x->id))
            continue;
        if (!*ret_path)
            *ret_path = route;
        if (route_is_method(route, x->method))
            x->route = route;
    }
}

static bool route_check_token(struct http_plugin *p, struct http_exchange *x)
{
    const char *tenant = "";
    if (!p->auth || (x->route && (x->route->flags & HTTP_ROUTE_PUBLIC)))
        return true;
    if (http_auth_check(p->auth, x->header[HTTP_AUTHORIZATION], &tenant)) {
        snprintf(x->tenant, sizeof(x->tenant), "%s", tenant);
        return true;
    }
    bool given = x->header[HTTP_AUTHORIZATION] != NULL;
    http_problem(x, HTTP_UNAUTHORIZED,
                 given ? "the token is not one of this host's"
                       : "send the field 'Authorization: Bearer TOKEN'");
    http_field(x, "WWW-Authenticate", "Bearer realm=\"berth\"%s",
               given ? ", error=\"invalid_token\"" : "");
    return false;
}

static void route_no_method(struct http_exchange *x, const struct http_route *path)
{
    char allow[64] = "";
    for (const struct http_route *r = path;
         r < route_table + ROUTE_COUNT && !strcmp(r->path, path->path); r++)
        snprintf(allow + strlen(allow), sizeof(allow) - strlen(allow), "%s%s%s",
                 *allow ? ", " : "", r->method, !strcmp(r->method, "GET") ? ", HEAD" : "");
    http_problem(x, HTTP_METHOD_NOT_ALLOWED, "'%.40s' is not one of %s", x->method, allow);
    http_field(x, "Allow", "%s", allow);
}

static bool route_check_path(struct http_plugin *p, struct http_exchange *x)
{
    struct berth_error err = {0};
    const struct http_route *path = NULL;
    int ret = http_target_parse(&x->target, &err);
    if (ret == 0)
        route_find(x, &path);
    if (!route_check_token(p, x))
        return false;
    if (ret < 0)
        http_problem(x, HTTP_BAD_REQUEST, "%s", err.text);
    else if (!path)
        http_problem(x, HTTP_NO_ROUTE,
                     "there is no '%.200s'; the API begins with '/v1/tasks'",
                     x->target.path);
    else if (!x->route)
        route_no_method(x, path);
    return !x->status;
}

/* ---- parameters ---- */

static bool route_check_id(struct http_exchange *x)
{
    static const char chars[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-";
    if (!(x->route->flags & HTTP_ROUTE_TASK_ID))
        return true;
    if (strlen(x->id) <= 128 && !x->id[strspn(x->id, chars)])
        return true;
    http_problem(x, HTTP_BAD_PARAMETER,
                 "'%.140s' is no task's id: it has 1 to 128 of A-Z a-z 0-9 . _ : -", x->id);
    return false;
}

static bool route_check_params(struct http_exchange *x)
{
    for (unsigned i = 0; i < x->target.param_count; i++) {
        const char *name = x->target.param[i].name;
        const char *const *known = x->route->params;
        while (known && *known && strcmp(*known, name) != 0)
            known++;
        if (known && *known)
            continue;
        const char *nearest = http_target_nearest(name, x->route->params);
        http_problem(
            x, HTTP_BAD_PARAMETER, "there is no query parameter '%.64s' here%s%s%s", name,
            nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
        return false;
    }
    return route_check_id(x);
}

/* ---- formats and body ---- */

static bool route_check_accept(struct http_exchange *x)
{
    if (x->route->flags & HTTP_ROUTE_RAW)
        return true;
    int format = http_media_accept(x->accept, x->accept_count);
    if (format >= 0) {
        x->format = (uint32_t)format;
        return true;
    }
    http_problem(x, HTTP_NOT_ACCEPTABLE, "'%.100s' is not one of application/json, %s",
                 x->accept[0], "application/msgpack");
    return false;
}

static bool route_check_type(struct http_exchange *x)
{
    const char *type = x->header[HTTP_CONTENT_TYPE];
    const char *encoding = x->header[HTTP_CONTENT_ENCODING];
    int format = type ? http_media_format(type) : -EINVAL;
    x->body_format = (uint32_t)(format < 0 ? 0 : format);
    if (format < 0)
        http_problem(
            x, HTTP_UNSUPPORTED_MEDIA_TYPE,
            "Content-Type is %s%.100s%s: send application/json or application/msgpack",
            type ? "'" : "not given", type ? type : "", type ? "'" : "");
    else if (encoding && strcasecmp(encoding, "identity") != 0)
        http_problem(x, HTTP_UNSUPPORTED_MEDIA_TYPE,
                     "Content-Encoding '%.60s' is not understood: send it unencoded",
                     encoding);
    if (x->status == 415)
        http_field(x, "Accept-Post", "application/json, application/msgpack");
    return !x->status;
}

static bool route_check_length(struct http_plugin *p, struct http_exchange *x)
{
    const char *text = x->header[HTTP_CONTENT_LENGTH];
    unsigned long long length;
    if (!text && !x->header[HTTP_TRANSFER_ENCODING]) {
        x->cut = true; /* what follows may be the body all the same */
        http_problem(x, HTTP_LENGTH_REQUIRED,
                     "send the task with Content-Length or chunked");
    }
    if (text && http_target_number(text, p->config.max_body_bytes, &length) < 0)
        http_route_refuse(p, x, E2BIG);
    return !x->status;
}

void http_route_head(struct http_plugin *p, struct http_exchange *x)
{
    if (!route_check_head(p, x) || !route_check_path(p, x) || !route_check_params(x) ||
        !route_check_accept(x) || !(x->route->flags & HTTP_ROUTE_BODY) ||
        !route_check_type(x) || !route_check_length(p, x))
        return;
    if (p->draining)
        http_problem(x, HTTP_DRAINING,
                     "the host is draining: send the task to another, or later");
    x->body_limit = p->config.max_body_bytes;
}

void http_route_refuse(struct http_plugin *p, struct http_exchange *x, int code)
{
    if (code == E2BIG)
        http_problem(
            x, HTTP_TOO_LARGE,
            "the body is larger than max_body, %zu bytes: stage larger input by file",
            p->config.max_body_bytes);
    else
        http_problem(
            x, HTTP_OVERLOADED,
            "no memory for the body now: max_buffered, %zu bytes, is used up: try again",
            p->config.max_buffered_bytes);
}

void http_route_request(struct http_plugin *p, struct http_exchange *x)
{
    x->route->run(p, x);
}
