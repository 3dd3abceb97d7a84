/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* One connection: its exchange, its deadline, the body that comes in. Knows no libmicrohttpd. */
#ifndef HTTP_CONN_H
#define HTTP_CONN_H

#include "http.h"

struct MHD_Connection;
struct http_server;

struct http_conn {
    struct http_exchange x; /* first: an exchange is its connection */
    struct http_server *server;
    struct http_conns *all;
    struct MHD_Connection *mhd;
    struct http_conn *prev, *next;             /* all */
    struct http_conn *hurry_prev, *hurry_next; /* those with a deadline, in its order */
    int64_t deadline_ms;                       /* 0: none */
    int fd;
    bool began, complete; /* the exchange: head seen, all of it in */
    bool suspended;
    bool half_closed, dead; /* the client has shut its side; both */
    uint64_t received_bytes;
    size_t held_bytes; /* of a large answer, until it is taken */
};

struct http_conns {
    struct http_plugin *p;
    struct http_conn *list, *hurry;
    unsigned count;
    int hangup_fd;         /* readable when a client hangs up */
    size_t buffered_bytes; /* bodies that come in, and large answers */
};

int http_conns_init(struct http_conns *all, struct http_plugin *p);
void http_conns_fini(struct http_conns *all);
/* Shuts the sockets of those whose deadline is over. */
void http_conns_cut_late(struct http_conns *all);
/* Fills ret_gone with up to max connections that have just hung up; returns how many. */
int http_conns_hangups(struct http_conns *all, struct http_conn **ret_gone, int max);

struct http_conn *http_conn_open(struct http_conns *all, int fd); /* NULL: out of memory */
void http_conn_close(struct http_conn *c);
/* Makes it ready for the next exchange. */
void http_conn_reset(struct http_conn *c);
/* Starts, or starts anew, the time of request_timeout; ends it. */
void http_conn_hurry(struct http_conn *c);
void http_conn_relax(struct http_conn *c);
/* Is there nobody left to answer? */
bool http_conn_is_gone(const struct http_conn *c);

/* Notes a header field if it is one that matters. */
void http_conn_header(struct http_conn *c, const char *name, const char *value);
/* More is cut off, answer or not. */
uint64_t http_conn_most_bytes(const struct http_conn *c);
/* 0 or -E2BIG, -ENOBUFS, -ENOMEM. */
int http_conn_keep_body(struct http_conn *c, const char *data, size_t len);
struct http_buf http_conn_take_body(struct http_conn *c);
/* Books the memory of an answer, until the next reset; false: there is no room for it. */
bool http_conn_hold(struct http_conn *c, size_t len);

#endif
