/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Finds the server to talk to: a name is resolved, a sentinel is asked. */
#ifndef REDIS_FIND_H
#define REDIS_FIND_H

#include "redis_link.h"
#include "redis_resolve.h"
#include "redis_url.h"

struct find;
/* address "": there is none now, why says it. */
typedef void find_fn(struct find *f, const char *address, int port, const char *name,
                     const char *why);

struct find {
    struct berth_ctx *ctx;
    const struct url *url;
    struct tls_config *tls;
    char sentinel_password[256];
    find_fn *fn;
    void *owner;
    size_t next; /* host of the url, in turn */
    struct resolve *resolve;
    bool asking_sentinel; /* what is resolved is a sentinel's name */
    char name[254];
    int port;
    struct link sentinel;
};

void find_init(struct find *f, struct berth_ctx *ctx, const struct url *url,
               struct tls_config *tls, find_fn *fn, void *owner, int64_t timeout_ms);
/* host "": the url's next one. fn is called later, or before this returns. Not for a Unix socket. */
void find_start(struct find *f, const char *host, int port);
void find_stop(struct find *f);

#endif
