/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What the redis transport reads itself. The first byte says what: 'u' the URL of the config, 'r' replies of a server
 * (the second byte: in pieces of that size), 'e' an error reply, 'c' the counts that another host left, 'i' the ids of two
 * entries, anything else a task whose id is looked for.
 */
#include "fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <berth/transport.h>

#include "codec/task.h"
#include "plugins/transport-redis/redis_fault.h"
#include "plugins/transport-redis/redis_held.h"
#include "plugins/transport-redis/redis_peek.h"
#include "plugins/transport-redis/redis_resp.h"
#include "plugins/transport-redis/redis_url.h"

/* ---- URLs ---- */

static void write_hosts(const struct url *u, struct buf *out)
{
    for (size_t i = 0; i < u->count; i++) {
        const struct url_host *h = &u->hosts[i];
        bool v6 = strchr(h->name, ':');
        buf_fmt(out, "%s%s%s%s:%d", i ? "," : "", v6 ? "[" : "", h->name, v6 ? "]" : "",
                h->port);
    }
}

static void write_url(const struct url *u, struct buf *out)
{
    static const char *const schemes[] = {"redis", "unix", "redis-sentinel"};
    static const char *const tls_schemes[] = {"rediss", "unix", "rediss-sentinel"};
    buf_fmt(out, "%s://%s%s", (u->tls ? tls_schemes : schemes)[u->kind], u->user,
            u->user[0] ? "@" : "");
    if (u->kind == URL_UNIX) {
        buf_fmt(out, "%s?db=%d", u->path, u->db);
        return;
    }
    write_hosts(u, out);
    if (u->kind == URL_SENTINEL)
        buf_fmt(out, "/%s", u->master);
    buf_fmt(out, "/%d", u->db);
}

static void check_good_url(const struct url *u)
{
    fuzz_check(u->kind == URL_UNIX ? u->path[0] == '/' : u->count >= 1);
    fuzz_check(u->count <= URL_HOSTS && u->db >= 0 &&
               (u->kind == URL_SENTINEL) == !!u->master[0]);
    for (size_t i = 0; i < u->count; i++)
        fuzz_check(u->hosts[i].name[0] && u->hosts[i].port >= 0 &&
                   u->hosts[i].port <= 65535);
}

static void check_url(const char *text)
{
    struct url u, again;
    char why[252] = "", said[16];
    struct buf out = BUF_INIT;
    if (url_parse(text, &u, why, sizeof why) < 0) {
        fuzz_check(why[0] && memchr(why, '\0', sizeof why));
        fuzz_check(url_parse(text, &u, said, sizeof said) < 0);
        return;
    }
    check_good_url(&u);
    write_url(&u, &out);
    fuzz_check_said(url_parse(out.data, &again, why, sizeof why) == 0, out.data);
    fuzz_check_said(!memcmp(&u, &again, sizeof u), out.data);
    buf_free(&out);
}

/* ---- replies ---- */

static void check_error_text(const char *text)
{
    char host[64] = "", small[4];
    int port = 0;
    enum fault fault = fault_of(text);
    fuzz_check(fault >= FAULT_AGAIN && fault <= FAULT_REFUSED);
    if (fault_address(text, host, sizeof host, &port) == 0)
        fuzz_check(memchr(host, '\0', sizeof host) && port >= 1 && port <= 65535);
    if (fault_address(text, small, sizeof small, &port) == 0)
        fuzz_check(memchr(small, '\0', sizeof small) &&
                   !strncmp(small, host, sizeof small));
}

/* Looked at as if it were of any shape. */
static void check_reply(const struct resp *v)
{
    fuzz_check(v->type <= RESP_ARRAY && resp_is_error(v) == (v->type == RESP_ERROR));
    fuzz_check(resp_str(v) && strlen(resp_str(v)) <= v->len);
    fuzz_check(v->type != RESP_INT || resp_int(v) == v->n);
    resp_int(v);
    if (v->type == RESP_ERROR)
        check_error_text(v->s);
    fuzz_check(v->type == RESP_ARRAY || v->count == 0);
    for (size_t i = 0; i < v->count; i++) {
        fuzz_check(v->items[i] && resp_at(v, i) == v->items[i]);
        check_reply(v->items[i]);
    }
    fuzz_check(resp_at(v, v->count)->type == RESP_NIL);
}

static void check_replies(const uint8_t *data, size_t size, size_t piece)
{
    struct resp_reader *r = resp_reader_new();
    struct resp *v;
    int rc = 0;
    while (r && size && rc == 0) {
        size_t len = piece && piece < size ? piece : size;
        fuzz_must(resp_feed(r, data, len), "resp_feed");
        data += len;
        size -= len;
        while ((rc = resp_next(r, &v)) > 0) {
            check_reply(v);
            resp_free(v);
        }
    }
    resp_reader_free(r);
}

/* ---- what else stands in entries ---- */

static void check_counts(const char *text)
{
    struct held h = {0};
    char again[64];
    held_counts(&h, text, 3);
    uint32_t attempts = h.attempts, failures = h.failures, losses = h.losses;
    held_tell_counts(&h, attempts, failures, losses, again, sizeof again);
    held_counts(&h, again, 3);
    fuzz_check_said(h.attempts == attempts && h.failures == failures && h.losses == losses,
                    again);
}

static void check_entries(char *text)
{
    char *other = strchr(text, ' ');
    if (!other)
        return;
    *other++ = '\0';
    int way = entry_compare(text, other);
    fuzz_check(way == -entry_compare(other, text) && entry_compare(text, text) == 0);
    fuzz_check(!entry_is_later(text, other) || way > 0);
}

/* Where the host reads an id, too, it is the same; a key that is there twice is for the host to judge. */
static void check_peek(const uint8_t *data, size_t size)
{
    char id[PEEK_ID] = "";
    struct arena *a = arena_new();
    struct task task;
    int format = size && data[0] == '{' ? BERTH_FORMAT_JSON : BERTH_FORMAT_MSGPACK;
    if (peek_id(data, size, id)) {
        fuzz_check(peek_is_id(id, strnlen(id, sizeof id)));
        if (a &&
            task_decode(a, (const char *)data, size, format, 1 << 20, &task, NULL) == 0)
            fuzz_check_said(!task.id_made && !strcmp(task.id, id), id);
    } else {
        fuzz_check(!id[0]);
    }
    arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return -1;
    char *text = strndup((const char *)data + 1, size - 1);
    fuzz_must(text ? 0 : -1, "strndup");
    if (data[0] == 'u')
        check_url(text);
    else if (data[0] == 'e')
        check_error_text(text);
    else if (data[0] == 'c')
        check_counts(text);
    else if (data[0] == 'i')
        check_entries(text);
    else if (data[0] == 'r' && size > 1)
        check_replies(data + 2, size - 2, data[1]);
    else
        check_peek(data, size);
    free(text);
    return 0;
}
