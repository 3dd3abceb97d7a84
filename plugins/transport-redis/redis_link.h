/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * One connection: commands go out in order, replies come back in order. Nothing blocks. What is sent is
 * gathered until link_flush.
 *
 * A link that fails calls `down` once, after telling each command that waits for a reply that none will
 * come (reply NULL). All callbacks may close and reopen the link.
 */
#ifndef REDIS_LINK_H
#define REDIS_LINK_H

#include <berth/plugin.h>

#include "redis_bytes.h"
#include "redis_resp.h"
#include "redis_tls.h"

struct link;
typedef void link_reply_fn(struct link *l, const struct resp *reply, void *arg);
typedef void link_up_fn(struct link *l);
typedef void link_down_fn(struct link *l, const char *why);

struct link_call {
    struct link_call *next;
    link_reply_fn *fn;
    void *arg;
};

struct link {
    struct berth_ctx *ctx;
    const char *name; /* in logs */
    void *owner;
    link_up_fn *up; /* connected, and TLS is up */
    link_down_fn *down;
    int64_t timeout_ms; /* without a reply that is owed */
    bool asking;        /* each command behind ASKING: a slot in migration */

    int fd; /* -1: closed */
    int watch;
    bool connecting, writing;
    unsigned serial; /* of the connection */
    struct tls *tls;
    struct resp_reader *reader;
    struct bytes out, plain;
    struct link_call *first, **last;
    int64_t due_ms; /* when the next reply must have come; 0: none is owed */
};

void link_init(struct link *l, struct berth_ctx *ctx, const char *name, void *owner);
/* host is numeric; path, if set, is a Unix socket's. 0 or -errno with why; then down is not called. */
int link_open(struct link *l, const char *host, int port, const char *path,
              struct tls_config *tls, const char *tls_host, char *why, size_t why_size);
void link_close(struct link *l); /* no callback is called */
bool link_is_open(const struct link *l);
/* patience_ms: how long the server may take on purpose (BLOCK). Frees the command's memory. The reply, or
 * NULL, is told in any case: at once if the link is closed. */
void link_send(struct link *l, struct cmd *take_cmd, int64_t patience_ms, link_reply_fn *fn,
               void *arg);
void link_flush(struct link *l);
void link_check(struct link *l); /* now and then: is a reply overdue? */
void link_fail(struct link *l, const char *why);

#endif
