/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What time brings: silence, results that were not acknowledged, debts that are not kept for ever. */
#include "zeromq.h"

#include <utlist.h>

#define ANNOUNCE_MS 1000

static void tick_presence(struct zeromq *z, struct peer *p, int64_t now)
{
    int64_t silent = now - p->heard_ms;
    if (silent >= ZEROMQ_SILENT * z->heartbeat_ms)
        peer_lost(z, p);
    if (silent >= z->heartbeat_ms && now - p->pinged_ms >= z->heartbeat_ms)
        answer_ping(z, p, p->proof ? p->proof : -1);
}

static void tick_results(struct zeromq *z, struct peer *p, int64_t now)
{
    while (p->sent && now - p->sent->sent_ms >= z->resend_ms)
        owed_to_send(p->sent);
    if (p->unsent && !p->gone)
        answer_pump(z, p);
}

/* Who has no name cannot come back; and nobody comes back for nothing. */
static bool is_over(const struct zeromq *z, const struct peer *p, int64_t now)
{
    return p->gone && (!p->name[0] || !p->owed || now - p->gone_ms >= z->keep_ms);
}

static void tick_end(struct zeromq *z, struct peer *p)
{
    if (p->owed && p->name[0])
        z->ctx->host->log(z->ctx, BERTH_LOG_INFO,
                          "client '%s' did not come back: %u tasks of it are open no more, "
                          "what is done of them is in the store",
                          p->name, peer_open(p));
    peer_drop(z, p);
}

void tick_announce(struct zeromq *z)
{
    int64_t now = zeromq_now(z);
    if (now - z->announced_ms < ANNOUNCE_MS && z->announced_ms)
        return;
    z->announced_ms = now;
    answer_ready(z, NULL, z->broker != NULL);
}

/* A broker whose machine has vanished does not say so. */
static void tick_connection(struct zeromq *z, int64_t now)
{
    if (now - z->heard_ms < ZEROMQ_SILENT * z->heartbeat_ms)
        return;
    z->heard_ms = now;
    wire_reconnect(z->wire, z->endpoint.text);
}

static void tick_broker(struct zeromq *z, int64_t now)
{
    const struct peer *p = z->broker;
    tick_connection(z, now);
    if (!p || !p->ready || p->gone)
        tick_announce(z);
    else if (answer_credit(z, p) != z->announced_credit)
        answer_ready(z, z->broker, true);
}

void tick_keys(struct zeromq *z)
{
    char why[KEYS_WHY];
    int rc = z->keys ? keys_refresh(z->keys, why) : 0;
    if (rc > 0)
        z->ctx->host->log(z->ctx, BERTH_LOG_INFO, "curve_clients_file was read again");
    else if (rc < 0)
        z->ctx->host->log(z->ctx, BERTH_LOG_WARN,
                          "curve_clients_file: %s; the keys read before stay in force",
                          why);
}

static void tick(struct berth_ctx *ctx, void *arg)
{
    struct zeromq *z = arg;
    struct peer *p, *next;
    int64_t now = zeromq_now(z);
    z->timer = ctx->host->watch_timer(ctx, ZEROMQ_TICK_MS, tick, z);
    tick_keys(z);
    DL_FOREACH_SAFE (z->peers, p, next) {
        tick_presence(z, p, now);
        tick_results(z, p, now);
        if (is_over(z, p, now))
            tick_end(z, p);
    }
    if (z->connect)
        tick_broker(z, now);
    ctx->host->wake(ctx);
}

void tick_start(struct zeromq *z)
{
    z->timer = z->ctx->host->watch_timer(z->ctx, ZEROMQ_TICK_MS, tick, z);
    z->heard_ms = zeromq_now(z);
    if (z->connect)
        tick_announce(z);
}
