/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Answers and problem details. */
#include "http_problem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char problem_type[] = "application/problem+json";

static const struct problem {
    unsigned status;
    const char *name, *title;
} problem_table[] = {
    [HTTP_BAD_REQUEST] = {400, "bad-request", "The request is malformed"},
    [HTTP_BAD_PARAMETER] = {400, "bad-parameter", "A parameter is wrong"},
    [HTTP_INVALID_TASK] = {400, "invalid-task", "The task is not valid"},
    [HTTP_UNAUTHORIZED] = {401, "unauthorized", "A valid token is needed"},
    [HTTP_FORBIDDEN] = {403, "forbidden", "That is not allowed"},
    [HTTP_NO_ROUTE] = {404, "no-route", "There is nothing at this path"},
    [HTTP_NOT_FOUND] = {404, "not-found", "There is no such thing"},
    [HTTP_METHOD_NOT_ALLOWED] = {405, "method-not-allowed", "The path has no such method"},
    [HTTP_NOT_ACCEPTABLE] = {406, "not-acceptable", "No accepted format can be made"},
    [HTTP_NOT_DONE] = {409, "not-done", "The task is not done"},
    [HTTP_ALREADY_DONE] = {409, "already-done", "The task is done already"},
    [HTTP_CONFLICT] = {409, "conflict", "The id belongs to another task"},
    [HTTP_LENGTH_REQUIRED] = {411, "length-required", "The length of the body is needed"},
    [HTTP_TOO_LARGE] = {413, "too-large", "The task is too large"},
    [HTTP_UNSUPPORTED_MEDIA_TYPE] = {415, "unsupported-media-type",
                                     "The body is in no known format"},
    [HTTP_MISDIRECTED] = {421, "misdirected", "The request is for another host"},
    [HTTP_UNKNOWN_EXECUTER] = {422, "unknown-executer", "There is no such executer"},
    [HTTP_UNMET_REQUIREMENT] = {422, "unmet-requirement",
                                "The task cannot be run as it requires"},
    [HTTP_HEAD_TOO_LARGE] = {431, "head-too-large", "The request's head is too large"},
    [HTTP_INTERNAL] = {500, "internal", "The host failed"},
    [HTTP_NOT_READY] = {503, "not-ready", "The host is not ready"},
    [HTTP_DRAINING] = {503, "draining", "The host takes no new tasks"},
    [HTTP_OVERLOADED] = {503, "overloaded", "The host has no room for more now"},
    [HTTP_NO_SPACE] = {507, "no-space", "The host cannot store the task"},
};

void http_field(struct http_exchange *x, const char *name, const char *format, ...)
{
    va_list ap;
    if (x->field_count == HTTP_FIELD_MAX)
        return;
    struct http_field *field = &x->field[x->field_count++];
    field->name = name;
    va_start(ap, format);
    vsnprintf(field->value, sizeof(field->value), format, ap);
    va_end(ap);
}

void http_answer(struct http_exchange *x, unsigned status, const char *type,
                 struct http_buf *take_body)
{
    struct http_buf body = *take_body;
    *take_body = (struct http_buf){0};
    if (body.data != x->answer.data)
        http_buf_fini(&x->answer);
    x->answer = body;
    x->type = type;
    x->status = status;
}

static int problem_write(struct http_buf *body, const struct http_exchange *x,
                         const struct problem *problem, const char *detail)
{
    int ret = http_buf_printf(body,
                              "{\"type\":\"urn:berth:problem:%s\",\"title\":\"%s\","
                              "\"status\":%u,\"detail\":",
                              problem->name, problem->title, problem->status);
    if (ret == 0)
        ret = http_buf_json(body, detail);
    if (ret == 0 && x->target.path)
        ret = http_buf_str(body, ",\"instance\":");
    if (ret == 0 && x->target.path)
        ret = http_buf_json(body, x->target.path);
    return ret;
}

void http_problem_with(struct http_exchange *x, enum http_problem kind, const char *detail,
                       const char *member, const void *json, size_t len)
{
    const struct problem *problem = &problem_table[kind];
    HTTP_BUF_AUTO body = {0};
    int ret = problem_write(&body, x, problem, detail);
    if (ret == 0 && len)
        ret = http_buf_printf(&body, ",\"%s\":%.*s", member, (int)len, (const char *)json);
    if (ret == 0)
        ret = http_buf_str(&body, "}\n");
    if (ret < 0)
        http_buf_fini(&body); /* the status alone still says it */
    http_answer(x, problem->status, problem_type, &body);
    if (problem->status == 503 || kind == HTTP_NOT_DONE)
        http_field(x, "Retry-After", "%d", kind == HTTP_DRAINING ? 10 : 1);
}

void http_problem(struct http_exchange *x, enum http_problem kind, const char *format, ...)
{
    char detail[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(detail, sizeof(detail), format, ap);
    va_end(ap);
    http_problem_with(x, kind, detail, NULL, NULL, 0);
}

enum http_problem http_problem_of_query(int code)
{
    switch (code) {
    case EINVAL:
    case ERANGE:
        return HTTP_BAD_PARAMETER;
    case ENOENT:
        return HTTP_NOT_FOUND;
    case EPERM:
    case EACCES:
        return HTTP_FORBIDDEN;
    case EALREADY:
        return HTTP_ALREADY_DONE;
    case EAGAIN:
    case EBUSY:
    case ENOBUFS:
    case ENOMEM:
        return HTTP_OVERLOADED;
    default:
        return HTTP_INTERNAL;
    }
}

enum http_problem http_problem_of_refusal(int code)
{
    switch (code) {
    case EINVAL:
    case EBADMSG:
    case EILSEQ:
        return HTTP_INVALID_TASK;
    case E2BIG:
    case EMSGSIZE:
    case EFBIG:
        return HTTP_TOO_LARGE;
    case ENOENT:
        return HTTP_UNKNOWN_EXECUTER;
    case EPERM:
    case EACCES:
        return HTTP_FORBIDDEN;
    case EEXIST:
        return HTTP_CONFLICT;
    case EAGAIN:
    case EBUSY:
    case ENOBUFS:
    case ENOMEM:
        return HTTP_OVERLOADED;
    case ENOSPC:
    case EDQUOT:
        return HTTP_NO_SPACE;
    case EOPNOTSUPP:
    case ERANGE:
    case ENODEV:
        return HTTP_UNMET_REQUIREMENT;
    default:
        return HTTP_INTERNAL;
    }
}
