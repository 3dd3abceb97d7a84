/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * HTTP/1.1 itself, on libmicrohttpd, driven by the host's loop. Knows connections and exchanges,
 * and nothing of what is behind a path.
 */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "http.h"

struct http_server;

/* What the server asks of those above it; each gets the plugin as its first argument. None of them
 * may call http_server_run. */
struct http_server_calls {
    /* The head is in. May answer; else sets body_limit, and the body is read. */
    void (*head)(struct http_plugin *p, struct http_exchange *x);
    /* A body cannot be kept: E2BIG (body_limit), ENOBUFS (all bodies together), ENOMEM. Answers. */
    void (*refuse)(struct http_plugin *p, struct http_exchange *x, int code);
    /* All of it is in. Answers, or leaves it open and answers later with http_server_ready. */
    void (*request)(struct http_plugin *p, struct http_exchange *x);
    /* The exchange is over, answered or not: nobody may use it any more. */
    void (*ended)(struct http_plugin *p, struct http_exchange *x);
    /* Once a second while there are connections. */
    void (*tick)(struct http_plugin *p);
};

/* fd listens and stays the caller's; cert and key are PEM text or NULL. */
int http_server_start(struct http_plugin *p, int fd, const char *cert, const char *key,
                      const struct http_server_calls *calls,
                      struct http_server **ret_server, struct berth_error *err);
/* An exchange that was left open has its answer, or its stream has more to read. Goes out soon;
 * callable at any time, also from within the calls above. */
void http_server_ready(struct http_exchange *x);
/* Books room for an answer of so many bytes; false: there is none now. A large answer without room is
 * refused when it goes out. */
bool http_server_hold(struct http_exchange *x, size_t len);
/* Takes the body out of the exchange. */
struct http_buf http_server_take_body(struct http_exchange *x);
void http_server_stop(struct http_server *server);

#endif
