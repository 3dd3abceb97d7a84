/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Reading tasks, as many as the host has room for. One stream is read with a blocking XREADGROUP; of several
 * the first ones are emptied first by a script, which cannot wait, and only when all are empty a blocking
 * read of one task each waits for whatever comes first.
 */
#include "redis.h"
#include "redis_peek.h"

#include <stdio.h>
#include <stdlib.h>

#define BLOCK_MS 1000
#define BATCH_MAX 256
#define BATCH_BYTES (32u << 20)
#define PAUSE_MS 500

static size_t level_of(const struct redis *r, const char *stream)
{
    for (size_t i = 0; i < r->level_count; i++)
        if (!strcmp(r->levels[i].stream, stream))
            return i;
    return r->level_count;
}

/* Whatever the sender put into the entry. */
static int take_fields(struct held *h, const struct resp *fields)
{
    h->naked = true;
    for (size_t i = 0; i + 1 < fields->count; i += 2) {
        const char *name = resp_str(resp_at(fields, i));
        const struct resp *value = resp_at(fields, i + 1);
        if (!strcmp(name, "t") && h->naked) {
            h->naked = false;
            h->len = value->type == RESP_STRING ? value->len : 0;
            h->body = malloc(h->len + 1);
            if (!h->body)
                return -1;
            memcpy(h->body, resp_str(value), h->len + 1);
        } else if (!strcmp(name, "id") && peek_is_id(resp_str(value), value->len)) {
            memcpy(h->name, resp_str(value), value->len + 1);
        } else if (!strcmp(name, "again")) {
            h->again = true;
        }
    }
    return 0;
}

/* The id that the task will have. One that brings none gets the same on every host. */
static void take_name(const struct redis *r, struct held *h)
{
    peek_id(h->body, h->len, h->name);
    const char *level = r->levels[h->level].name;
    bool plain = !strcmp(level, "normal");
    if (!h->name[0])
        snprintf(h->name, sizeof h->name, "%s:%s%s%s", r->queue, plain ? "" : level,
                 plain ? "" : ":", h->entry);
}

void take_entry(struct redis *r, size_t level, const struct resp *entry)
{
    const char *id = resp_str(resp_at(entry, 0));
    const struct resp *fields = resp_at(entry, 1);
    if (level >= r->level_count || !id[0] ||
        strlen(id) >= sizeof((struct held *)0)->entry || fields->type != RESP_ARRAY ||
        held_of_entry(&r->held, level, id))
        return; /* deleted, or here already */
    struct held *h = held_new(&r->held, level, id);
    if (!h)
        return; /* a stray: the next renewal tells of it again */
    if (take_fields(h, fields) < 0) {
        held_free(&r->held, h);
        return;
    }
    take_name(r, h);
    bytes_digest(h->body, h->len, h->digest);
    h->json = h->len && h->body[0] == '{';
    held_counts(h, resp_str(resp_at(entry, 3)), (uint32_t)resp_int(resp_at(entry, 2)));
    r->usual_bytes =
        h->len > r->usual_bytes ? h->len : r->usual_bytes - r->usual_bytes / 16;
}

/* [[stream, [entry...]]...]; the number of entries. */
static size_t take_streams(struct redis *r, const struct resp *reply)
{
    size_t n = 0;
    for (size_t i = 0; i < reply->count; i++) {
        const struct resp *entries = resp_at(resp_at(reply, i), 1);
        size_t level = level_of(r, resp_str(resp_at(resp_at(reply, i), 0)));
        for (size_t k = 0; k < entries->count; k++)
            take_entry(r, level, resp_at(entries, k));
        n += entries->count;
    }
    return n;
}

static void read_waiting(struct redis *r, size_t count);

static bool took(struct redis *r, const struct resp *reply)
{
    r->reading = false;
    if (!reply)
        return false;
    r->read_failed = resp_is_error(reply);
    if (r->read_failed) {
        r->read_again_ms = redis_now(r) + PAUSE_MS;
        session_error(r, reply);
        return false;
    }
    session_well(r);
    if (take_streams(r, reply))
        known_ask(r);
    return true;
}

static void took_waiting(struct link *l, const struct resp *reply, void *arg)
{
    struct redis *r = arg;
    (void)l;
    if (took(r, reply))
        take_more(r);
}

static void took_at_once(struct link *l, const struct resp *reply, void *arg)
{
    struct redis *r = arg;
    (void)l;
    if (took(r, reply) && !held_waiting(&r->held))
        read_waiting(r, 1);
}

static void read_waiting(struct redis *r, size_t count)
{
    struct cmd cmd = {0};
    cmd_words(&cmd, "XREADGROUP GROUP " REDIS_GROUP);
    cmd_str(&cmd, r->consumer);
    cmd_str(&cmd, "COUNT");
    cmd_int(&cmd, (int64_t)count);
    cmd_str(&cmd, "BLOCK");
    cmd_int(&cmd, BLOCK_MS);
    cmd_str(&cmd, "STREAMS");
    for (size_t i = 0; i < r->level_count; i++)
        cmd_str(&cmd, r->levels[i].stream);
    for (size_t i = 0; i < r->level_count; i++)
        cmd_str(&cmd, ">");
    r->reading = true;
    link_send(&r->session.read, &cmd, BLOCK_MS, took_waiting, r);
    link_flush(&r->session.read);
}

static void read_at_once(struct redis *r, size_t count)
{
    struct cmd cmd = {0};
    script_begin(&cmd, SCRIPT_TAKE, (int)r->level_count);
    for (size_t i = 0; i < r->level_count; i++)
        cmd_str(&cmd, r->levels[i].stream);
    cmd_str(&cmd, REDIS_GROUP);
    cmd_str(&cmd, r->consumer);
    cmd_int(&cmd, (int64_t)count);
    r->reading = true;
    link_send(&r->session.read, &cmd, 0, took_at_once, r);
    link_flush(&r->session.read);
}

/* Room in the host, less what is on its way there. */
static size_t take_count(const struct redis *r)
{
    size_t credit = r->ctx->host->credit(r->ctx), most = BATCH_MAX;
    if (r->usual_bytes)
        most = BATCH_BYTES / r->usual_bytes;
    most = most < 1 ? 1 : most > BATCH_MAX ? BATCH_MAX : most;
    if (credit <= held_waiting(&r->held))
        return 0;
    credit -= held_waiting(&r->held);
    return credit < most ? credit : most;
}

void take_more(struct redis *r)
{
    if (!session_is_up(r) || !r->session.read_up || r->reading || r->draining ||
        !r->lease.announced || !r->lease.resumed || redis_now(r) < r->read_again_ms)
        return;
    size_t count = take_count(r);
    if (count && r->level_count == 1)
        read_waiting(r, count);
    else if (count)
        read_at_once(r, count);
}

static void take_handed(struct redis *r)
{
    if (!r->handed)
        return;
    free(r->handed->body);
    r->handed->body = NULL;
    r->handed = NULL;
}

int take_recv(struct redis *r, struct berth_message *msg)
{
    take_handed(r);
    struct held *h = r->draining && r->lease.announced ? NULL : held_next(&r->held);
    if (!h) {
        lease_announce(r);
        take_more(r);
        return 0;
    }
    r->handed = h;
    msg->message = h->message;
    msg->flags = h->again ? BERTH_MESSAGE_AGAIN : 0;
    msg->data = h->body ? h->body : "";
    msg->len = h->len;
    msg->format = msg->reply_format = h->json ? BERTH_FORMAT_JSON : BERTH_FORMAT_MSGPACK;
    msg->tenant = NULL;
    msg->id = h->name;
    msg->attempts = h->attempts;
    msg->failures = h->failures;
    msg->losses = h->losses;
    return 1;
}
