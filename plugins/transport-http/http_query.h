/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Routes that put a question to the host and pass its answer on. */
#ifndef HTTP_QUERY_H
#define HTTP_QUERY_H

#include "http.h"

void http_query(struct http_plugin *p, struct http_exchange *x);
void http_query_tasks(struct http_plugin *p, struct http_exchange *x);
void http_query_result(struct http_plugin *p, struct http_exchange *x);
void http_query_cancel(struct http_plugin *p, struct http_exchange *x);
void http_query_metrics(struct http_plugin *p, struct http_exchange *x);
void http_query_ready(struct http_plugin *p, struct http_exchange *x);
/* Is the task one that the token may see? Answers if not. */
bool http_query_is_theirs(struct http_plugin *p, struct http_exchange *x);

#endif
