/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The log stream of a task. */
#ifndef HTTP_LOGS_H
#define HTTP_LOGS_H

#include "http.h"

void http_logs(struct http_plugin *p, struct http_exchange *x);

#endif
