/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Results. What ended in one turn of the loop goes out as one call. The fence is the pending list: only
 * who still has the entry there publishes, and in the same step the entry is acknowledged and removed. A
 * call whose reply never came is made again: the server tells whether it was carried out.
 */
#include "redis.h"
#include "redis_fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define BATCH 128
#define BATCH_BYTES (4u << 20)
#define PAUSE_MS 1000

enum { PUBLISHED = 1, PUBLISHED_BEFORE = 2, ID_WAS_USED = 3 };

struct batch {
    struct redis *r;
    size_t count;
    uint64_t messages[BATCH];
    struct held *held[BATCH]; /* only while it is made */
};

/* ---- the outcome ---- */

static void finish(struct redis *r, struct held *h, int code)
{
    struct berth_error err = {.code = code};
    uint64_t ticket = h->ticket;
    h->state = HELD_OVER;
    free(h->result);
    h->result = NULL;
    snprintf(err.text, sizeof err.text, "%s", code ? "another host has the task" : "");
    r->ctx->host->replied(r->ctx, ticket, code ? &err : NULL);
}

static void again(struct redis *r, struct held *h)
{
    h->state = HELD_ENDED;
    DL_APPEND(r->ended, h);
    r->publish_again_ms = redis_now(r) + PAUSE_MS;
}

static void outcome_of(struct redis *r, struct held *h, const struct resp *outcome)
{
    if (outcome->type == RESP_INT) {
        if (outcome->n == ID_WAS_USED)
            r->ctx->host->log(r->ctx, BERTH_LOG_INFO,
                              "entry %s: a result of id '%s' was published before",
                              h->entry, h->task_id ? h->task_id : h->name);
        finish(r, h, outcome->n >= PUBLISHED && outcome->n <= ID_WAS_USED ? 0 : ESTALE);
        return;
    }
    struct resp error = {
        .type = RESP_ERROR, .s = (char *)resp_str(outcome), .len = outcome->len};
    again(r, h);
    session_error(r, &error);
}

static void published(struct link *l, const struct resp *reply, void *arg)
{
    struct batch *b = arg;
    struct redis *r = b->r;
    bool whole = reply && reply->type == RESP_ARRAY && reply->count == b->count;
    (void)l;
    r->sent--;
    for (size_t i = 0; i < b->count; i++) {
        struct held *h = held_find(&r->held, b->messages[i]);
        if (!h || h->state != HELD_SENT)
            continue;
        if (whole)
            outcome_of(r, h, resp_at(reply, i));
        else
            again(r, h);
    }
    if (!reply)
        r->publish_again_ms = 0; /* as soon as there is a connection */
    else if (!whole)
        session_error(r, reply);
    else
        session_well(r);
    free(b);
}

/* ---- sending ---- */

static const char *mode_of(const struct redis *r, const struct held *h)
{
    if (h->refusal == EEXIST)
        return "2";
    return r->dead_verdicts & 1u << h->verdict ? "1" : "0";
}

static void put_task(const struct redis *r, struct cmd *c, const struct held *h)
{
    cmd_int(c, (int64_t)h->level + 1);
    cmd_str(c, h->entry);
    cmd_str(c, h->task_id);
    cmd_int(c, h->attempt);
    cmd_str(c, verdict_name(h->verdict));
    cmd_str(c, h->digest);
    cmd_str(c, mode_of(r, h));
    cmd_str(c, h->reason ? h->reason : "");
    cmd_data(c, h->result, h->result_len);
}

static struct batch *gather(struct redis *r)
{
    struct batch *b = calloc(1, sizeof *b);
    size_t bytes = 0;
    struct held *h, *next;
    if (!b)
        return NULL;
    b->r = r;
    DL_FOREACH_SAFE (r->ended, h, next) {
        if (b->count == BATCH || (b->count && bytes + h->result_len > BATCH_BYTES))
            break;
        bytes += h->result_len;
        b->held[b->count] = h;
        b->messages[b->count++] = h->message;
        DL_DELETE(r->ended, h);
        h->state = HELD_SENT;
    }
    return b;
}

/* The first and the last entry of a stream, between which the server shall look for those that are ours. */
static void put_range(const struct batch *b, size_t level, struct cmd *c)
{
    const char *first = "", *last = "";
    for (size_t i = 0; i < b->count; i++) {
        const char *entry = b->held[i]->entry;
        if (b->held[i]->level != level)
            continue;
        if (!first[0] || entry_compare(entry, first) < 0)
            first = entry;
        if (!last[0] || entry_compare(entry, last) > 0)
            last = entry;
    }
    cmd_str(c, first);
    cmd_str(c, last);
}

void publish_key(const struct redis *r, const char *id, struct cmd *c)
{
    char key[256];
    snprintf(key, sizeof key, "%s%s", r->key.result, id);
    cmd_str(c, key);
}

static void put_keys(const struct redis *r, const struct batch *b, struct cmd *c)
{
    cmd_str(c, r->key.results);
    cmd_str(c, r->key.dead);
    cmd_str(c, r->key.attempts);
    for (size_t i = 0; i < r->level_count; i++)
        cmd_str(c, r->levels[i].stream);
    for (size_t i = 0; i < b->count; i++)
        publish_key(r, b->held[i]->task_id, c);
}

static void send_batch(struct redis *r)
{
    struct cmd cmd = {0};
    struct batch *b = gather(r);
    if (!b)
        return;
    script_begin(&cmd, SCRIPT_PUBLISH, (int)(3 + r->level_count + b->count));
    put_keys(r, b, &cmd);
    cmd_str(&cmd, REDIS_GROUP);
    cmd_str(&cmd, r->consumer);
    cmd_int(&cmd, r->result_ttl_ms);
    cmd_int(&cmd, r->results_max);
    cmd_int(&cmd, r->dead_max);
    cmd_str(&cmd, r->key.done);
    cmd_str(&cmd, r->ctx->host->host_name(r->ctx));
    cmd_int(&cmd, (int64_t)r->level_count);
    for (size_t i = 0; i < r->level_count; i++)
        put_range(b, i, &cmd);
    for (size_t i = 0; i < b->count; i++)
        put_task(r, &cmd, b->held[i]);
    r->sent++;
    link_send(&r->session.work, &cmd, 0, published, b);
}

static void publish_all(struct redis *r)
{
    while (session_is_up(r) && r->ended && redis_now(r) >= r->publish_again_ms)
        send_batch(r);
    link_flush(&r->session.work);
}

static void publish_now(struct berth_ctx *ctx, void *arg)
{
    struct redis *r = arg;
    (void)ctx;
    r->publish_timer = 0;
    publish_all(r);
}

/* At the end of this turn of the loop: what else ends in it goes along. */
static void publish_soon(struct redis *r)
{
    if (!r->publish_timer)
        r->publish_timer = r->ctx->host->watch_timer(r->ctx, 0, publish_now, r);
}

void publish_tick(struct redis *r)
{
    publish_all(r);
}

void publish_lost(struct redis *r)
{
    r->publish_again_ms = 0;
}

/* ---- what the host says ---- */

static int set_text(char **text, const char *to)
{
    free(*text);
    *text = strdup(to);
    return *text ? 0 : -ENOMEM;
}

static int take_result(struct held *h, const struct berth_reply *reply)
{
    static const char naked[] = "the entry has no field 't', which would be the task";
    const char *reason =
        reply->error_text ? reply->error_text : verdict_name(reply->verdict);
    h->result = malloc(reply->len + 1);
    if (!h->result || set_text(&h->reason, h->naked ? naked : reason) < 0 ||
        set_text(&h->task_id, reply->task_id[0] ? reply->task_id : h->name) < 0) {
        free(h->result);
        h->result = NULL;
        return -ENOMEM;
    }
    memcpy(h->result, reply->data, reply->len);
    h->result_len = reply->len;
    h->ticket = reply->ticket;
    h->attempt = reply->attempt;
    h->verdict = reply->verdict;
    h->refusal = reply->error_code;
    return 0;
}

static void ignore(struct link *l, const struct resp *reply, void *arg)
{
    (void)l;
    if (reply && resp_is_error(reply))
        session_error(arg, reply);
}

/* The next host goes on counting where this one stopped. */
static void tell_counts(struct redis *r, const struct held *h,
                        const struct berth_reply *reply)
{
    char counts[64];
    struct cmd cmd = {0};
    if (!held_tell_counts(h, reply->attempt, reply->failures, reply->losses, counts,
                          sizeof counts))
        return;
    script_begin(&cmd, SCRIPT_COUNTS, 2);
    cmd_str(&cmd, r->levels[h->level].stream);
    cmd_str(&cmd, r->key.attempts);
    cmd_str(&cmd, REDIS_GROUP);
    cmd_str(&cmd, r->consumer);
    cmd_str(&cmd, h->entry);
    cmd_str(&cmd, counts);
    link_send(&r->session.work, &cmd, 0, ignore, r);
}

static void tell_state(struct redis *r, const struct held *h,
                       const struct berth_reply *reply)
{
    struct cmd cmd = {0};
    if (!session_is_up(r))
        return;
    tell_counts(r, h, reply);
    cmd_str(&cmd, "XADD");
    cmd_str(&cmd, r->key.events);
    cmd_words(&cmd, "MAXLEN ~");
    cmd_int(&cmd, r->events_max);
    cmd_words(&cmd, "* id");
    cmd_str(&cmd, reply->task_id);
    cmd_str(&cmd, "state");
    cmd_str(&cmd, reply->state ? reply->state : "");
    cmd_str(&cmd, "attempt");
    cmd_int(&cmd, reply->attempt);
    cmd_str(&cmd, "host");
    cmd_str(&cmd, r->ctx->host->host_name(r->ctx));
    link_send(&r->session.work, &cmd, 0, ignore, r);
    publish_soon(r);
}

int publish_reply(struct redis *r, const struct berth_reply *reply, struct berth_error *err)
{
    struct held *h = held_find(&r->held, reply->message);
    if (!h)
        return reply->kind == BERTH_REPLY_RESULT
                   ? r->ctx->host->fail(r->ctx, err, ESTALE, "another host has the task")
                   : 0;
    if (reply->kind == BERTH_REPLY_ACCEPTED) {
        if (set_text(&h->task_id, reply->task_id) == 0)
            control_named(r, h);
        return 0;
    }
    if (reply->kind == BERTH_REPLY_STATE) {
        tell_state(r, h, reply);
        return 0;
    }
    if (h->state != HELD_GIVEN || take_result(h, reply) < 0)
        return r->ctx->host->fail(r->ctx, err, ENOMEM, "no memory for a result");
    h->state = HELD_ENDED;
    DL_APPEND(r->ended, h);
    publish_soon(r);
    return BERTH_LATER;
}
