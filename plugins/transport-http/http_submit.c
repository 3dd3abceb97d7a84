/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Tasks on their way to the host, and its replies on their way back.
 *
 *   queued   the request is complete; recv has not taken it
 *   taken    the host has it, the client waits: for ACCEPTED, or on the line for RESULT
 *   none     answered, or the client has gone: replies that still come are of no interest
 *
 * On the line, RESULT is the answer. When the wait is over first, the host is asked to make the task
 * durable, and its ACCEPTED is the answer.
 */
#include "http_submit.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <utlist.h>

#include "http_media.h"
#include "http_problem.h"
#include "http_server.h"

static struct http_exchange *submit_find(struct http_plugin *p, uint64_t message)
{
    struct http_exchange *x;
    HASH_FIND(hh, p->taken, &message, sizeof(message), x);
    return x;
}

/* Takes it out of the queue or of the table. */
static void submit_drop(struct http_plugin *p, struct http_exchange *x)
{
    if (x->task_state == HTTP_TASK_QUEUED)
        DL_DELETE(p->queue, x);
    else if (x->task_state == HTTP_TASK_TAKEN)
        HASH_DELETE(hh, p->taken, x);
    if (x->wait_timer > 0)
        p->ctx->host->unwatch(p->ctx, x->wait_timer);
    x->task_state = HTTP_TASK_NONE;
    x->wait_timer = 0;
}

static void submit_answered(struct http_plugin *p, struct http_exchange *x)
{
    submit_drop(p, x);
    http_server_ready(x);
}

/* ---- from the client ---- */

static bool submit_wait(struct http_plugin *p, struct http_exchange *x)
{
    const char *wait = http_target_param(&x->target, "wait");
    long long ms = 0;
    int ret = wait ? http_target_seconds(wait, p->config.max_wait_ms, &ms) : 0;
    if (ret < 0)
        http_problem(x, HTTP_BAD_PARAMETER,
                     "wait '%.40s' is not a number of seconds up to %lld", wait,
                     (long long)p->config.max_wait_ms / 1000);
    x->wait_ms = ms;
    return ret == 0;
}

void http_submit(struct http_plugin *p, struct http_exchange *x)
{
    if (!submit_wait(p, x))
        return;
    if (!x->body.len) {
        http_problem(x, HTTP_INVALID_TASK, "the body is empty: it must be a task");
        return;
    }
    x->lingers = x->wait_ms > 0;
    x->message = ++p->last_message;
    x->task_state = HTTP_TASK_QUEUED;
    DL_APPEND(p->queue, x);
    p->ctx->host->wake(p->ctx);
}

void http_submit_ended(struct http_plugin *p, struct http_exchange *x)
{
    bool taken = x->task_state == HTTP_TASK_TAKEN;
    submit_drop(p, x);
    if (taken)
        p->ctx->host->forget(p->ctx, x->message);
}

void http_submit_drain(struct http_plugin *p)
{
    while (p->queue) {
        struct http_exchange *x = p->queue;
        http_problem(x, HTTP_DRAINING,
                     "the host is draining: send the task to another, or later");
        submit_answered(p, x);
    }
}

/* ---- to the host ---- */

static void submit_202(struct http_exchange *x, const char *id, uint32_t format,
                       struct http_buf *take_body)
{
    http_answer(x, 202, http_media_name[format], take_body);
    http_field(x, "Location", "/v1/tasks/%.128s", id);
}

static void submit_wait_over(struct berth_ctx *ctx, void *arg)
{
    struct http_exchange *x = arg;
    struct http_plugin *p = ctx->data;
    x->wait_timer = 0;
    x->expired = true;
    if (x->accepted) { /* it was durable all along; the body and Location are there */
        x->status = 202;
        submit_answered(p, x);
    } else {
        ctx->host->persist(ctx, x->message);
    }
}

/* A wait whose timer cannot be set is no wait. */
static void submit_start_wait(struct http_plugin *p, struct http_exchange *x)
{
    if (x->wait_ms)
        x->wait_timer = p->ctx->host->watch_timer(p->ctx, x->wait_ms, submit_wait_over, x);
    if (x->wait_timer <= 0)
        x->wait_ms = 0;
}

int http_submit_recv(struct berth_ctx *ctx, struct berth_message *msg,
                     struct berth_error *err)
{
    struct http_plugin *p = ctx->data;
    struct http_exchange *x = p->queue;
    (void)err;
    http_buf_fini(&p->lent);
    if (!x)
        return 0;
    DL_DELETE(p->queue, x);
    x->task_state = HTTP_TASK_TAKEN;
    HASH_ADD(hh, p->taken, message, sizeof(x->message), x);
    submit_start_wait(p, x);
    p->lent = http_server_take_body(x);
    memcpy(p->lent_tenant, x->tenant, sizeof(p->lent_tenant));
    msg->flags = x->wait_ms ? BERTH_MESSAGE_ON_THE_LINE : 0;
    msg->message = x->message;
    msg->data = p->lent.data;
    msg->len = p->lent.len;
    msg->format = x->body_format;
    msg->reply_format = x->format;
    msg->tenant = p->lent_tenant[0] ? p->lent_tenant : NULL;
    return 1;
}

/* ---- back ---- */

static const char *submit_why(const struct berth_reply *reply)
{
    size_t with_text = offsetof(struct berth_reply, error_text) + sizeof(reply->error_text);
    if (reply->size >= with_text && reply->error_text && reply->error_text[0])
        return reply->error_text;
    return strerror(reply->error_code);
}

static void submit_refused(struct http_exchange *x, const struct berth_reply *reply)
{
    bool json = reply->format == BERTH_FORMAT_JSON;
    http_problem_with(x, http_problem_of_refusal(reply->error_code), submit_why(reply),
                      "result", reply->data, json ? reply->len : 0);
}

/* The task is done, and only its result is too much now. */
static void submit_no_room(struct http_plugin *p, struct http_exchange *x, const char *id)
{
    http_problem(
        x, HTTP_OVERLOADED,
        "no memory for the result now: max_buffered, %zu bytes, is used up: the task "
        "is done, get /v1/tasks/%.128s/result",
        p->config.max_buffered_bytes, id);
    http_field(x, "Location", "/v1/tasks/%.128s", id);
}

/* The client who waits on the line is not answered yet; what it would get is kept. */
static void submit_accepted(struct http_plugin *p, struct http_exchange *x,
                            const struct berth_reply *reply, struct http_buf *take_body)
{
    if (x->accepted)
        return;
    x->accepted = true;
    submit_202(x, reply->task_id, reply->format, take_body);
    if (!x->wait_ms || x->expired)
        submit_answered(p, x);
    else
        x->status = 0;
}

int http_submit_reply(struct berth_ctx *ctx, const struct berth_reply *reply,
                      struct berth_error *err)
{
    struct http_plugin *p = ctx->data;
    struct http_exchange *x = submit_find(p, reply->message);
    HTTP_BUF_AUTO body = {0};
    if (!x || reply->kind == BERTH_REPLY_STATE)
        return 0;
    if (http_buf_add(&body, reply->data, reply->len) < 0)
        return ctx->host->fail(ctx, err, ENOMEM, "out of memory for an answer");
    if (reply->kind == BERTH_REPLY_ACCEPTED) {
        submit_accepted(p, x, reply, &body);
        return 0;
    }
    x->field_count = 0;
    if (reply->error_code && reply->verdict == BERTH_VERDICT_REJECTED)
        submit_refused(x, reply);
    else if (!http_server_hold(x, body.len))
        submit_no_room(p, x, reply->task_id);
    else
        http_answer(x, 200, http_media_name[reply->format], &body);
    submit_answered(p, x);
    return 0;
}

/* Comes without an answer only if the host could not make one. */
int http_submit_settle(struct berth_ctx *ctx, uint64_t message, int how,
                       struct berth_error *err)
{
    struct http_plugin *p = ctx->data;
    struct http_exchange *x = submit_find(p, message);
    (void)how, (void)err;
    if (!x)
        return 0;
    x->field_count = 0;
    http_problem(x, HTTP_OVERLOADED,
                 "the host could not answer: ask for the task by its id");
    submit_answered(p, x);
    return 0;
}
