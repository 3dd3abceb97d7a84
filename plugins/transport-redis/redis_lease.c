/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Leases. An entry is ours as long as it is in the pending list under our name and was renewed less than a
 * lease ago. All are renewed in one call, a third of the way through. The same call tells what was taken from
 * us, which is revoked, and what the list has under our name though we know nothing of it: a reply that was
 * lost, or what this host had before it was restarted. That is fetched.
 *
 * What others have not renewed is taken over. After an outage nobody has renewed anything, so for half a
 * lease nothing is taken: those who live come back first. Nor does the server carry out, when it comes back, what
 * was sent to it meanwhile.
 */
#include "redis.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define STRAYS 64
#define SWEEP_MAX 32
#define TIDY_MS 3600000
#define GONE_MS \
    (7 * 24 *   \
     3600000ll) /* a consumer that was not heard of for so long, and holds nothing */

struct asked { /* about one stream */
    struct redis *r;
    size_t level;
};

static struct asked *asked_new(struct redis *r, size_t level)
{
    struct asked *a = malloc(sizeof *a);
    if (a)
        *a = (struct asked){.r = r, .level = level};
    return a;
}

static void script_for(struct redis *r, struct cmd *c, enum script which, size_t level,
                       const char *second_key)
{
    script_begin(c, which, second_key ? 2 : 1);
    cmd_str(c, r->levels[level].stream);
    if (second_key)
        cmd_str(c, second_key);
    cmd_str(c, REDIS_GROUP);
    cmd_str(c, r->consumer);
}

/* ---- strays ---- */

/* All renewals and fetches of this round are in. */
static void round_done(struct redis *r)
{
    struct lease *l = &r->lease;
    if (l->renewals || l->fetches || l->resumed)
        return;
    if (l->more) {
        l->more = false;
        l->renew_ms = 0; /* and on */
        return;
    }
    l->resumed = true;
    r->ctx->host->wake(r->ctx);
}

void lease_announce(struct redis *r)
{
    struct lease *l = &r->lease;
    if (!l->resumed || l->announced || held_waiting(&r->held))
        return;
    l->announced = true;
    r->ctx->host->resumed(r->ctx);
}

static void fetched(struct link *link, const struct resp *reply, void *arg)
{
    struct asked a = *(struct asked *)arg;
    (void)link;
    free(arg);
    a.r->lease.fetches--;
    if (!reply)
        return;
    if (resp_is_error(reply)) {
        session_error(a.r, reply);
        return;
    }
    for (size_t i = 0; i < reply->count; i++)
        take_entry(a.r, a.level, resp_at(reply, i));
    known_ask(a.r);
    round_done(a.r);
}

static void handed_back(struct link *l, const struct resp *reply, void *arg)
{
    (void)l;
    if (reply && resp_is_error(reply))
        session_error(arg, reply);
}

/* A drained host does not begin with them. Else they count as a delivery where they may have killed the
 * host: at its first look. */
static void fetch(struct redis *r, size_t level, const struct resp *strays)
{
    struct cmd cmd = {0};
    size_t n = 0;
    bool back = r->draining && r->lease.announced;
    struct asked *a = asked_new(r, level);
    if (!a)
        return;
    script_for(r, &cmd, back ? SCRIPT_HAND_BACK : SCRIPT_FETCH, level,
               back ? r->key.control : r->key.attempts);
    cmd_str(&cmd, back || !r->lease.announced ? "1" : "0");
    for (size_t i = 0; i < strays->count; i++) {
        const char *entry = resp_str(resp_at(strays, i));
        if (held_of_entry(&r->held, level, entry))
            continue;
        cmd_str(&cmd, entry);
        n++;
    }
    if (n && !back) {
        r->lease.fetches++;
        link_send(&r->session.work, &cmd, 0, fetched, a);
        return;
    }
    free(a);
    if (n)
        link_send(&r->session.work, &cmd, 0, handed_back, r);
    cmd_free(&cmd);
}

/* ---- renewing ---- */

/* Taken by another host, or deleted. */
static void lose(struct redis *r, size_t level, const char *entry)
{
    struct held *h = held_of_entry(&r->held, level, entry);
    if (!h || (h->state != HELD_GIVEN && h->state != HELD_READY && h->state != HELD_ASKED))
        return; /* it ended meanwhile: the publication finds out */
    r->ctx->host->log(r->ctx, BERTH_LOG_WARN, "entry %s is no longer ours", entry);
    if (h == r->handed)
        r->handed = NULL;
    uint64_t message = h->state == HELD_GIVEN ? h->message : 0;
    held_free(&r->held, h);
    if (message)
        r->ctx->host->revoke(r->ctx, message);
}

static void renewed(struct link *link, const struct resp *reply, void *arg)
{
    struct asked a = *(struct asked *)arg;
    struct redis *r = a.r;
    (void)link;
    free(arg);
    r->lease.renewals--;
    if (!reply)
        return;
    if (resp_is_error(reply)) {
        r->lease.renew_ms = redis_now(r) + REDIS_TICK_MS;
        session_error(r, reply);
        return;
    }
    const struct resp *lost = resp_at(reply, 0), *strays = resp_at(reply, 1);
    for (size_t i = 0; i < lost->count; i++)
        lose(r, a.level, resp_str(resp_at(lost, i)));
    if (strays->count)
        fetch(r, a.level, strays);
    r->lease.more |= strays->count == STRAYS;
    r->lease.server_ms = resp_int(resp_at(reply, 2));
    session_heard(r);
    round_done(r);
    link_flush(&r->session.work);
}

static void renew(struct redis *r, size_t level)
{
    struct cmd cmd = {0};
    struct held *h, *next;
    struct asked *a = asked_new(r, level);
    if (!a)
        return;
    script_for(r, &cmd, SCRIPT_RENEW, level, NULL);
    cmd_int(&cmd, STRAYS);
    HASH_ITER (by_message, r->held.by_message, h, next)
        if (h->level == level && h->state != HELD_SENT && h->state != HELD_OVER)
            cmd_str(&cmd, h->entry);
    r->lease.renewals++;
    link_send(&r->session.work, &cmd, 0, renewed, a);
}

/* ---- taking over ---- */

static void swept(struct link *link, const struct resp *reply, void *arg)
{
    struct asked a = *(struct asked *)arg;
    struct redis *r = a.r;
    (void)link;
    free(arg);
    if (!reply || resp_is_error(reply)) {
        session_error(r, reply);
        return;
    }
    const struct resp *entries = resp_at(reply, 1);
    char *cursor = r->lease.cursor[a.level];
    snprintf(cursor, sizeof r->lease.cursor[0], "%.40s", resp_str(resp_at(reply, 0)));
    for (size_t i = 0; i < entries->count; i++)
        take_entry(r, a.level, resp_at(entries, i));
    if (entries->count) {
        r->ctx->host->log(r->ctx, BERTH_LOG_INFO,
                          "took over %zu tasks whose lease was over", entries->count);
        known_ask(r);
    }
    if (strcmp(cursor, "0-0") != 0 || entries->count)
        lease_sweep_soon(r);
}

static void sweep(struct redis *r, size_t level, uint32_t credit)
{
    struct cmd cmd = {0};
    struct asked *a = asked_new(r, level);
    const char *cursor = r->lease.cursor[level];
    if (!a)
        return;
    script_for(r, &cmd, SCRIPT_SWEEP, level, r->key.attempts);
    cmd_int(&cmd, r->lease_ms);
    cmd_str(&cmd, cursor[0] ? cursor : "0-0");
    cmd_int(&cmd, credit < SWEEP_MAX ? credit : SWEEP_MAX);
    cmd_int(&cmd, r->lease.server_ms);
    link_send(&r->session.work, &cmd, 0, swept, a);
}

static void sweep_all(struct redis *r)
{
    uint32_t credit = r->ctx->host->credit(r->ctx);
    r->lease.sweep_ms = redis_now(r) + r->lease_ms / 3;
    if (r->draining || credit <= held_waiting(&r->held))
        return;
    for (size_t i = 0; i < r->level_count; i++)
        sweep(r, i, credit - (uint32_t)held_waiting(&r->held));
}

void lease_sweep_soon(struct redis *r)
{
    int64_t soon = redis_now(r) + REDIS_TICK_MS;
    if (r->lease.sweep_ms > soon)
        r->lease.sweep_ms = soon;
}

/* ---- handing back ---- */

void lease_hand_back(struct redis *r, struct held *take_h)
{
    struct cmd cmd = {0};
    script_for(r, &cmd, SCRIPT_HAND_BACK, take_h->level, r->key.control);
    cmd_str(&cmd, r->draining ? "1" : "0");
    cmd_str(&cmd, take_h->entry);
    if (take_h == r->handed)
        r->handed = NULL;
    held_free(&r->held, take_h);
    if (session_is_up(r))
        link_send(&r->session.work, &cmd, 0, handed_back, r);
    cmd_free(&cmd); /* without a connection it is a stray after the next one is made */
}

void lease_hand_back_ready(struct redis *r)
{
    struct held *h, *next;
    HASH_ITER (by_message, r->held.by_message, h, next)
        if (h->state == HELD_READY)
            lease_hand_back(r, h);
    link_flush(&r->session.work);
}

/* ---- the clock ---- */

static void tidied(struct link *l, const struct resp *reply, void *arg)
{
    (void)l, (void)arg;
    if (reply && reply->type == RESP_INT && reply->n)
        ((struct redis *)arg)
            ->ctx->host->log(((struct redis *)arg)->ctx, BERTH_LOG_INFO,
                             "%lld consumers that are long gone were forgotten", reply->n);
}

static void tidy(struct redis *r)
{
    r->lease.tidy_ms = redis_now(r) + TIDY_MS;
    for (size_t i = 0; i < r->level_count; i++) {
        struct cmd cmd = {0};
        script_for(r, &cmd, SCRIPT_TIDY, i, NULL);
        cmd_int(&cmd, GONE_MS);
        link_send(&r->session.work, &cmd, 0, tidied, r);
    }
}

void lease_begin(struct redis *r)
{
    struct lease *l = &r->lease;
    int64_t now = redis_now(r);
    l->renewals = l->fetches = 0;
    l->server_ms = 0;
    l->more = l->resumed = false;
    l->renew_ms = 0;
    l->sweep_ms = l->quiet_ms = now + r->lease_ms / 2;
    l->tidy_ms = now + r->lease_ms;
    lease_tick(r);
}

void lease_tick(struct redis *r)
{
    struct lease *l = &r->lease;
    int64_t now = redis_now(r), heard = r->session.heard_ms;
    if (heard && now - heard > r->lease_ms / 2)
        l->quiet_ms = now + r->lease_ms / 2; /* an outage that broke no connection */
    if (now >= l->renew_ms && !l->renewals && !l->fetches) {
        l->renew_ms = now + r->lease_ms / 3;
        for (size_t i = 0; i < r->level_count && session_is_up(r); i++)
            renew(r, i);
    }
    if (now >= l->sweep_ms && now >= l->quiet_ms && l->resumed && session_is_up(r))
        sweep_all(r);
    if (now >= l->tidy_ms && session_is_up(r))
        tidy(r);
    link_flush(&r->session.work);
}
