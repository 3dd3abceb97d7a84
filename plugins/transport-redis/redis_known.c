/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Whether the result of what was read is out already: a task that was sent twice, and that another host has run.
 * It is acknowledged then and not run again. All that is read passes here, in its order, before the host gets it;
 * one call asks for a batch. What an answer that was lost held is a stray, and is found as such.
 */
#include "redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#define BATCH 256
#define AGAIN_MS 1000 /* strays are looked for, when the server could not tell */

struct asked {
    struct redis *r;
    size_t count;
    uint64_t messages[BATCH];
};

static void known_one(struct redis *r, struct held *h, const struct resp *answer)
{
    if (!answer) {
        held_free(&r->held, h);
    } else if (resp_int(answer) == 1) {
        r->ctx->host->log(r->ctx, BERTH_LOG_INFO,
                          "entry %s: the result of '%s' is out already", h->entry, h->name);
        held_free(&r->held, h);
    } else {
        held_ready(&r->held, h);
        if (r->draining && r->lease.announced)
            lease_hand_back(r, h);
    }
}

static void known(struct link *l, const struct resp *reply, void *arg)
{
    struct asked *a = arg;
    struct redis *r = a->r;
    bool whole = reply && reply->type == RESP_ARRAY && reply->count == a->count;
    (void)l;
    for (size_t i = 0; i < a->count; i++) {
        struct held *h = held_find(&r->held, a->messages[i]);
        if (h && h->state == HELD_ASKED)
            known_one(r, h, whole ? resp_at(reply, i) : NULL);
    }
    if (reply && !whole) {
        int64_t soon = redis_now(r) + AGAIN_MS;
        r->lease.renew_ms = r->lease.renew_ms < soon ? r->lease.renew_ms : soon;
        session_error(r, reply);
    }
    r->ctx->host->wake(r->ctx);
    free(a);
}

/* The first that were read, of one level. */
static struct asked *gather(struct redis *r, struct held *first, struct cmd *args)
{
    struct held *h;
    size_t level = first->level;
    struct asked *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->r = r;
    DL_FOREACH (first, h) {
        if (a->count == BATCH || h->level != level)
            break;
        a->messages[a->count++] = h->message;
        cmd_str(args, h->entry);
        cmd_str(args, h->again ? "" : h->digest);
    }
    return a;
}

static void known_ask_some(struct redis *r)
{
    struct cmd cmd = {0}, args = {0};
    size_t level = r->held.fresh->level;
    struct asked *a = gather(r, r->held.fresh, &args);
    if (!a) {
        held_free(&r->held, r->held.fresh); /* a stray */
        cmd_free(&args);
        return;
    }
    script_begin(&cmd, SCRIPT_KNOWN, (int)a->count + 2);
    cmd_str(&cmd, r->levels[level].stream);
    cmd_str(&cmd, r->key.attempts);
    for (size_t i = 0; i < a->count; i++) {
        struct held *h = r->held.fresh;
        publish_key(r, h->name, &cmd);
        held_asked(&r->held, h);
    }
    cmd_str(&cmd, REDIS_GROUP);
    cmd_str(&cmd, r->consumer);
    cmd_add(&cmd, &args);
    cmd_free(&args);
    link_send(&r->session.work, &cmd, 0, known, a);
}

void known_ask(struct redis *r)
{
    while (r->held.fresh)
        known_ask_some(r);
    link_flush(&r->session.work);
}
