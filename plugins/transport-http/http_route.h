/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The routes, and everything that is checked before one of them runs. */
#ifndef HTTP_ROUTE_H
#define HTTP_ROUTE_H

#include "http.h"

#define HTTP_ROUTE_PUBLIC 1u  /* needs no token */
#define HTTP_ROUTE_TASK_ID 2u /* {id} is a task's */
#define HTTP_ROUTE_BODY 4u    /* has a body, a task */
#define HTTP_ROUTE_RAW 8u     /* makes one format, whatever is accepted */

struct http_route {
    const char *method, *path;
    void (*run)(struct http_plugin *p, struct http_exchange *x);
    const char *what;          /* for host->query */
    const char *const *params; /* NULL-terminated; NULL: none */
    unsigned flags;
};

/* For struct http_server_calls. */
void http_route_head(struct http_plugin *p, struct http_exchange *x);
void http_route_refuse(struct http_plugin *p, struct http_exchange *x, int code);
void http_route_request(struct http_plugin *p, struct http_exchange *x);

#endif
