/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Names of hosts to addresses, in a thread of its own: the resolver blocks, and the loop must not. */
#ifndef REDIS_RESOLVE_H
#define REDIS_RESOLVE_H

#include <berth/plugin.h>

struct resolve;
/* address: numeric, "" with `why` if there is none. Not called any more after resolve_cancel. */
typedef void resolve_fn(void *arg, const char *address, const char *why);

/* NULL: cannot be started. One that has called fn is gone. */
struct resolve *resolve_start(struct berth_ctx *ctx, const char *name, resolve_fn *fn,
                              void *arg);
void resolve_cancel(struct resolve **r);

#endif
