/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Frames over a Unix stream socket, between the roles and between berth(1) and the host.
 * A frame is 8 bytes (length of the body, little-endian u32; version u8; type u8; two reserved
 * bytes, 0) and a body, one msgpack map. Version is WIRE_VERSION; a host understands that of the release
 * before as well.
 */
#ifndef WIRE_CONN_H
#define WIRE_CONN_H

#include "codec/value.h"
#include "loop/loop.h"

#define WIRE_VERSION 1
#define WIRE_MAX_BODY (64u << 20)

struct conn;
/* body is valid until the callback returns. The callback may free the connection. */
typedef void conn_frame_fn(void *arg, int type, const struct value *body, struct arena *arena);
/* The peer closed, the connection failed (err->code != 0) or sent nonsense. Called once; free it. */
typedef void conn_closed_fn(void *arg, const struct berth_error *err);

struct conn *conn_new(struct loop *l, int take_fd, conn_frame_fn *frame, conn_closed_fn *closed,
                      void *arg); /* NULL if out of memory; the fd is closed then too */
void conn_free(struct conn *c); /* closes; unsent frames are dropped; NULL is ignored */
/* In a forked child: closes the descriptor and frees, without touching the parent's epoll set. The
 * loop's part of it is freed by loop_free_after_fork, before or after. */
void conn_free_after_fork(struct conn *c);
/* Sends what the socket takes at once and queues the rest; 0 or -errno. After a failure every
 * further send fails the same way; `closed` is called by the loop, never from here. */
int conn_send(struct conn *c, int type, const struct value *body);
int conn_send_raw(struct conn *c, int type, const void *msgpack, size_t len);
/* While corked, conn_send only queues: many small frames go in one call. */
void conn_cork(struct conn *c, bool corked);
int conn_flush(struct conn *c);        /* blocks until all is sent; 0 or -errno */
size_t conn_backlog(const struct conn *c); /* bytes queued and not yet sent */
/* For a peer that is not one of us: a larger frame ends the connection (EMSGSIZE), and while more than
 * out_max bytes wait to be sent no further frame is taken. */
void conn_bound(struct conn *c, size_t in_max, size_t out_max);
/* Stops and resumes reading. Frames that were read already are still delivered. */
void conn_pause(struct conn *c, bool paused);
int conn_fd(const struct conn *c);
int conn_peer(const struct conn *c, pid_t *ret_pid, uid_t *ret_uid); /* SO_PEERCRED */

/* A listening, non-blocking socket, or -errno. A socket that is there already is replaced; anything
 * else at path is an error. Paths of any length work. */
int unix_listen(const char *path, unsigned mode, struct berth_error *err);
int unix_connect(const char *path, struct berth_error *err); /* blocking connect; fd or -errno */

/* Blocking use, for berth(1): sends one frame, or receives one. -ECONNRESET when the peer closed. */
int wire_send(int fd, int type, const struct value *body, struct berth_error *err);
int wire_recv(int fd, struct arena *a, int *ret_type, struct value *ret_body, struct berth_error *err);

#endif
