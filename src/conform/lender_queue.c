/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Services for transports whose source is a queue of several hosts: since 1.1. */
#include "conform/lender.h"

static uint32_t lend_credit(struct berth_ctx *ctx)
{
    lender_on_thread(ctx, "credit");
    return 8;
}

static const char *lend_host_name(struct berth_ctx *ctx)
{
    lender_on_thread(ctx, "host_name");
    return "conform";
}

static const char *lend_host_mark(struct berth_ctx *ctx)
{
    lender_on_thread(ctx, "host_mark");
    return "0123456789ab";
}

static void lend_resumed(struct berth_ctx *ctx)
{
    lender_on_thread(ctx, "resumed");
}

static void lend_revoke(struct berth_ctx *ctx, uint64_t message)
{
    struct lender *l = lender_on_thread(ctx, "revoke");
    if (l->forgotten)
        l->forgotten(l, message);
}

static void lend_dead_done(struct berth_ctx *ctx, uint64_t ticket, const void *data,
                           size_t len, const struct berth_error *err)
{
    (void)ticket, (void)data, (void)len, (void)err;
    lender_on_thread(ctx, "dead_done");
}

void lender_lend_queue(struct berth_host *services)
{
    services->credit = lend_credit;
    services->host_name = lend_host_name;
    services->host_mark = lend_host_mark;
    services->resumed = lend_resumed;
    services->revoke = lend_revoke;
    services->dead_done = lend_dead_done;
}
