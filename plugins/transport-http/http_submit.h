/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Tasks on their way to the host, and its replies on their way back. */
#ifndef HTTP_SUBMIT_H
#define HTTP_SUBMIT_H

#include "http.h"

/* The route, and the end of any exchange (see http_server.h). */
void http_submit(struct http_plugin *p, struct http_exchange *x);
void http_submit_ended(struct http_plugin *p, struct http_exchange *x);
/* Answers those that the host has not taken yet: it will not. */
void http_submit_drain(struct http_plugin *p);

/* For struct berth_transport. */
int http_submit_recv(struct berth_ctx *ctx, struct berth_message *msg,
                     struct berth_error *err);
int http_submit_reply(struct berth_ctx *ctx, const struct berth_reply *reply,
                      struct berth_error *err);
int http_submit_settle(struct berth_ctx *ctx, uint64_t message, int how,
                       struct berth_error *err);

#endif
