/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A connection to the host that comes back by itself: hosts are restarted, workers and
 * supervisors stay. */
#ifndef WORKER_HOST_LINK_H
#define WORKER_HOST_LINK_H

#include "wire/conn.h"
#include "wire/frames.h"

struct host_link;
typedef void host_link_up_fn(void *arg);   /* connected: say hello */
typedef void host_link_down_fn(void *arg); /* may be NULL */

/* Down at first; host_link_retry makes the first try. Lost connections are tried again
 * from the loop: 50 ms, doubled up to 1 s, for ever. NULL if out of memory. run_dir must
 * stay. */
struct host_link *host_link_new(struct loop *l, const char *run_dir, host_link_up_fn *up,
                                host_link_down_fn *down, conn_frame_fn *frame, void *arg);
bool host_link_is_up(const struct host_link *k);
/* Up, and the host has not closed it: what was read of it may be of a host that is no more. */
bool host_link_is_heard(const struct host_link *k);
int host_link_send(struct host_link *k, int type,
                   const struct value *body); /* -ENOTCONN while down */
void host_link_cork(struct host_link *k, bool corked); /* see conn_cork; nothing while it is down */
int host_link_flush(
    struct host_link *k); /* blocks until all is sent; -ENOTCONN while down */
void host_link_retry(struct host_link *k); /* now, if down */
void host_link_free(struct host_link *k);
void host_link_free_after_fork(
    struct host_link *k); /* in a child: leaves the parent's loop alone */

#endif
