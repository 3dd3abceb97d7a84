/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Cancels. Every host reads the whole of the control stream, and remembers what it says, since the task may
 * reach it later. A cancel concerns only tasks that were there before it: so an id can be used again.
 */
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCK_MS 1000
#define CANCELS_MAX 4096

struct cancels {
    char id[129];
    char entry[44]; /* of the control stream */
    UT_hash_handle hh;
};

static void forget_oldest(struct redis *r)
{
    struct cancels *c = r->cancels; /* uthash keeps the order of insertion */
    if (HASH_COUNT(r->cancels) <= CANCELS_MAX)
        return;
    HASH_DEL(r->cancels, c);
    free(c);
}

static void remember(struct redis *r, const char *id, const char *entry)
{
    struct cancels *c;
    HASH_FIND_STR(r->cancels, id, c);
    if (!c) {
        c = calloc(1, sizeof *c);
        if (!c)
            return;
        snprintf(c->id, sizeof c->id, "%s", id);
        HASH_ADD_STR(r->cancels, id, c);
    }
    snprintf(c->entry, sizeof c->entry, "%s", entry);
    forget_oldest(r);
}

static int unread(void *arg, const void *data, size_t len)
{
    (void)arg, (void)data, (void)len;
    return 0;
}

static void cancel(struct redis *r, const char *id)
{
    struct berth_query q = {
        .size = sizeof q, .format = BERTH_FORMAT_MSGPACK, .what = "cancel", .id = id};
    struct berth_error err = {0};
    r->ctx->host->query(r->ctx, &q, unread, NULL, &err);
}

static bool is_cancelled(struct redis *r, const struct held *h)
{
    struct cancels *c;
    HASH_FIND_STR(r->cancels, h->task_id, c);
    return c && !entry_is_later(h->entry, c->entry);
}

/* Asking the host may end a task at once, and with it change the table: begin anew after each. */
static void cancel_now(struct berth_ctx *ctx, void *arg)
{
    struct redis *r = arg;
    struct held *h, *next;
    char ids[16][129];
    size_t n = 0;
    (void)ctx;
    r->cancel_timer = 0;
    HASH_ITER (by_message, r->held.by_message, h, next)
        if (n < 16 && h->state == HELD_GIVEN && h->task_id && !h->told &&
            is_cancelled(r, h)) {
            h->told = true;
            snprintf(ids[n++], sizeof ids[0], "%s", h->task_id);
        }
    for (size_t i = 0; i < n; i++)
        cancel(r, ids[i]);
    if (n == 16)
        r->cancel_timer = ctx->host->watch_timer(ctx, 0, cancel_now, r);
}

static void cancel_soon(struct redis *r)
{
    if (!r->cancel_timer)
        r->cancel_timer = r->ctx->host->watch_timer(r->ctx, 0, cancel_now, r);
}

void control_named(struct redis *r, struct held *h)
{
    if (r->cancels && is_cancelled(r, h))
        cancel_soon(r);
}

static void take_order(struct redis *r, const char *entry, const struct resp *fields)
{
    for (size_t i = 0; i + 1 < fields->count; i += 2) {
        const char *name = resp_str(resp_at(fields, i)),
                   *value = resp_str(resp_at(fields, i + 1));
        if (!strcmp(name, "cancel") && value[0] && strlen(value) <= 128)
            remember(r, value, entry);
        else if (!strcmp(name, "sweep") && r->caught_up && strcmp(value, r->consumer) != 0)
            lease_sweep_soon(r);
    }
}

static void controlled(struct link *l, const struct resp *reply, void *arg)
{
    struct redis *r = arg;
    (void)l;
    r->controlling = false;
    if (!reply)
        return;
    if (resp_is_error(reply)) {
        session_error(r, reply);
        return; /* the next tick tries again */
    }
    const struct resp *entries = resp_at(resp_at(reply, 0), 1);
    for (size_t i = 0; i < entries->count; i++) {
        const struct resp *entry = resp_at(entries, i);
        const char *id = resp_str(resp_at(entry, 0));
        take_order(r, id, resp_at(entry, 1));
        if (id[0])
            snprintf(r->control_id, sizeof r->control_id, "%.43s", id);
    }
    if (entries->count)
        cancel_soon(r);
    else
        r->caught_up = true;
    control_read(r);
}

void control_read(struct redis *r)
{
    struct cmd cmd = {0};
    if (!r->session.control_up || r->controlling || !session_is_up(r))
        return;
    cmd_words(&cmd, "XREAD COUNT 100 BLOCK");
    cmd_int(&cmd, BLOCK_MS);
    cmd_str(&cmd, "STREAMS");
    cmd_str(&cmd, r->key.control);
    cmd_str(&cmd, r->control_id[0] ? r->control_id : "0-0");
    r->controlling = true;
    link_send(&r->session.control, &cmd, BLOCK_MS, controlled, r);
    link_flush(&r->session.control);
}

void control_free(struct redis *r)
{
    struct cancels *c, *next;
    HASH_ITER (hh, r->cancels, c, next) {
        HASH_DEL(r->cancels, c);
        free(c);
    }
}
