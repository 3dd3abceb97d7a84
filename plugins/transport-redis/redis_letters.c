/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Dead letters: listed, put back into their queue, deleted. Answers are small msgpack maps. */
#include "redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct letters_ask {
    struct redis *r;
    uint64_t ticket;
    uint32_t op, limit;
    char id[129], last[44];
    long long count;
};

/* ---- msgpack ---- */

static void pack_head(struct bytes *b, unsigned char small, unsigned small_max,
                      unsigned char large, size_t n)
{
    unsigned char head[5] = {large, (unsigned char)(n >> 24), (unsigned char)(n >> 16),
                             (unsigned char)(n >> 8), (unsigned char)n};
    if (n <= small_max)
        head[0] = (unsigned char)(small | n);
    bytes_put(b, head, n <= small_max ? 1 : sizeof head);
}

static void pack_map(struct bytes *b, size_t n)
{
    pack_head(b, 0x80, 15, 0xdf, n);
}

static void pack_array(struct bytes *b, size_t n)
{
    pack_head(b, 0x90, 15, 0xdd, n);
}

static void pack_str(struct bytes *b, const char *s)
{
    size_t len = strlen(s);
    pack_head(b, 0xa0, 31, 0xdb, len);
    bytes_put(b, s, len);
}

static void pack_int(struct bytes *b, long long n)
{
    unsigned char head[9] = {0xd3};
    for (int i = 0; i < 8; i++)
        head[1 + i] = (unsigned char)((unsigned long long)n >> (56 - 8 * i));
    bytes_put(b, head, sizeof head);
}

/* ---- answers ---- */

static void answer(struct letters_ask *ask, struct bytes *b)
{
    struct berth_error err = {.code = b->failed ? ENOMEM : 0, .text = "out of memory"};
    struct berth_ctx *ctx = ask->r->ctx;
    ctx->host->dead_done(ctx, ask->ticket, b->data, b->len, b->failed ? &err : NULL);
    bytes_free(b);
    free(ask);
}

static void fail(struct letters_ask *ask, const struct resp *reply)
{
    struct berth_error err = {.code = EIO};
    struct berth_ctx *ctx = ask->r->ctx;
    snprintf(err.text, sizeof err.text, "%s",
             reply && reply->type == RESP_ERROR ? reply->s
                                                : "the connection to Redis was lost");
    session_error(ask->r, reply);
    ctx->host->dead_done(ctx, ask->ticket, NULL, 0, &err);
    free(ask);
}

static const char *field(const struct resp *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->count; i += 2)
        if (!strcmp(resp_str(resp_at(fields, i)), name))
            return resp_str(resp_at(fields, i + 1));
    return "";
}

static void pack_letter(struct bytes *b, const struct resp *letter)
{
    static const char *const texts[] = {"id",   "reason", "verdict",
                                        "host", "stream", "entry"};
    const char *id = resp_str(resp_at(letter, 0));
    const struct resp *fields = resp_at(letter, 1);
    pack_map(b, 9);
    pack_str(b, "letter");
    pack_str(b, id);
    pack_str(b, "ms");
    pack_int(b, strtoll(id, NULL, 10));
    pack_str(b, "attempts");
    pack_int(b, strtoll(field(fields, "attempts"), NULL, 10));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pack_str(b, texts[i]);
        pack_str(b, field(fields, texts[i]));
    }
}

static void listed(struct link *l, const struct resp *reply, void *arg)
{
    struct letters_ask *ask = arg;
    struct bytes b = {0};
    (void)l;
    if (resp_is_error(reply)) {
        fail(ask, reply);
        return;
    }
    bool more = reply->count && reply->count == ask->limit;
    pack_map(&b, more ? 2 : 1);
    pack_str(&b, "letters");
    pack_array(&b, reply->count);
    for (size_t i = 0; i < reply->count; i++)
        pack_letter(&b, resp_at(reply, i));
    if (more) {
        pack_str(&b, "next");
        pack_str(&b, resp_str(resp_at(resp_at(reply, reply->count - 1), 0)));
    }
    answer(ask, &b);
}

static void list(struct letters_ask *ask, const char *cursor)
{
    struct redis *r = ask->r;
    struct cmd cmd = {0};
    char from[64] = "-";
    if (cursor && *cursor)
        snprintf(from, sizeof from, "(%.50s", cursor);
    script_begin(&cmd, SCRIPT_LETTERS, 1);
    cmd_str(&cmd, r->key.dead);
    cmd_str(&cmd, from);
    cmd_int(&cmd, ask->limit);
    link_send(&r->session.work, &cmd, 0, listed, ask);
}

static void move(struct letters_ask *ask, const char *from);

static void moved(struct link *l, const struct resp *reply, void *arg)
{
    struct letters_ask *ask = arg;
    struct bytes b = {0};
    char next[64];
    (void)l;
    if (resp_is_error(reply)) {
        fail(ask, reply);
        return;
    }
    ask->count += resp_int(resp_at(reply, 0));
    snprintf(next, sizeof next, "%.60s", resp_str(resp_at(reply, 1)));
    snprintf(ask->last, sizeof ask->last, "%.43s", resp_str(resp_at(reply, 2)));
    if (next[0]) {
        move(ask, next);
        return;
    }
    pack_map(&b, 1);
    pack_str(&b, "count");
    pack_int(&b, ask->count);
    answer(ask, &b);
}

static void move(struct letters_ask *ask, const char *from)
{
    struct redis *r = ask->r;
    struct cmd cmd = {0};
    script_begin(&cmd, SCRIPT_MOVE_LETTERS, 1);
    cmd_str(&cmd, r->key.dead);
    cmd_int(&cmd, ask->op == BERTH_DEAD_REQUEUE);
    cmd_str(&cmd, ask->id);
    cmd_str(&cmd, r->key.prefix);
    cmd_str(&cmd, from);
    cmd_str(&cmd, ask->last);
    link_send(&r->session.work, &cmd, 0, moved, ask);
}

int letters_ask(struct redis *r, const struct berth_dead *question, struct berth_error *err)
{
    if (!session_is_up(r))
        return r->ctx->host->fail(r->ctx, err, EAGAIN, "Redis cannot be reached now: %s",
                                  r->session.problem);
    struct letters_ask *ask = calloc(1, sizeof *ask);
    if (!ask)
        return r->ctx->host->fail(r->ctx, err, ENOMEM, "out of memory");
    *ask = (struct letters_ask){
        .r = r, .ticket = question->ticket, .op = question->op, .limit = question->limit};
    snprintf(ask->id, sizeof ask->id, "%s", question->id ? question->id : "");
    if (question->op == BERTH_DEAD_LIST)
        list(ask, question->cursor);
    else
        move(ask, "-");
    link_flush(&r->session.work);
    return 0;
}
