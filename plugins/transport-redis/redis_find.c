/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* From the url, or from what a cluster said, to an address. */
#include "redis_find.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static void resolve_name(struct find *f, const char *name, int port);

static void not_found(struct find *f, const char *why)
{
    char text[252];
    snprintf(text, sizeof text, "%.251s", why);
    find_stop(f);
    f->fn(f, "", 0, "", text);
}

/* [address, port] as strings, or nil. */
static void sentinel_said(struct link *l, const struct resp *reply, void *arg)
{
    struct find *f = arg;
    char host[254], why[252];
    (void)l;
    if (!reply)
        return; /* sentinel_down follows, or we closed it */
    snprintf(host, sizeof host, "%s", resp_str(resp_at(reply, 0)));
    int port = (int)resp_int(resp_at(reply, 1));
    if (resp_is_error(reply))
        snprintf(why, sizeof why, "sentinel: %.200s", reply->s);
    else
        snprintf(why, sizeof why, "sentinel knows no master '%s'", f->url->master);
    if (!host[0] || port < 1 || port > 65535) {
        not_found(f, why);
        return;
    }
    link_close(&f->sentinel);
    f->asking_sentinel = false;
    resolve_name(f, host, port);
}

static void ignore(struct link *l, const struct resp *reply, void *arg)
{
    (void)l, (void)reply, (void)arg;
}

static void sentinel_up(struct link *l)
{
    struct find *f = l->owner;
    struct cmd cmd = {0};
    if (f->sentinel_password[0]) {
        cmd_str(&cmd, "AUTH");
        cmd_str(&cmd, f->sentinel_password);
        link_send(l, &cmd, 0, ignore, f);
    }
    cmd_words(&cmd, "SENTINEL get-master-addr-by-name");
    cmd_str(&cmd, f->url->master);
    link_send(l, &cmd, 0, sentinel_said, f);
}

static void sentinel_down(struct link *l, const char *why)
{
    char text[252];
    snprintf(text, sizeof text, "sentinel: %s", why);
    not_found(l->owner, text);
}

static void resolved(void *arg, const char *address, const char *why)
{
    struct find *f = arg;
    char text[400];
    f->resolve = NULL;
    if (!*address) {
        snprintf(text, sizeof text, "cannot resolve '%s': %s", f->name, why);
        not_found(f, text);
    } else if (!f->asking_sentinel) {
        f->fn(f, address, f->port, f->name, "");
    } else if (link_open(&f->sentinel, address, f->port, NULL, f->tls, f->name, text,
                         sizeof text) < 0) {
        not_found(f, text);
    }
}

static void resolve_name(struct find *f, const char *name, int port)
{
    unsigned char address[16];
    snprintf(f->name, sizeof f->name, "%s", name);
    f->port = port;
    if (inet_pton(AF_INET, f->name, address) == 1 ||
        inet_pton(AF_INET6, f->name, address) == 1) {
        resolved(f, f->name, "");
        return;
    }
    f->resolve = resolve_start(f->ctx, f->name, resolved, f);
    if (!f->resolve)
        resolved(f, "", "no thread for it");
}

void find_init(struct find *f, struct berth_ctx *ctx, const struct url *url,
               struct tls_config *tls, find_fn *fn, void *owner, int64_t timeout_ms)
{
    *f = (struct find){.ctx = ctx, .url = url, .tls = tls, .fn = fn, .owner = owner};
    link_init(&f->sentinel, ctx, "sentinel", f);
    f->sentinel.up = sentinel_up;
    f->sentinel.down = sentinel_down;
    f->sentinel.timeout_ms = timeout_ms;
}

void find_start(struct find *f, const char *host, int port)
{
    find_stop(f);
    if (host[0]) {
        resolve_name(f, host, port);
        return;
    }
    const struct url_host *h = &f->url->hosts[f->next++ % f->url->count];
    f->asking_sentinel = f->url->kind == URL_SENTINEL;
    resolve_name(f, h->name, h->port);
}

void find_stop(struct find *f)
{
    resolve_cancel(&f->resolve);
    link_close(&f->sentinel);
    f->asking_sentinel = false;
}
