/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The listening socket: TCP or Unix, bound while the host still may. */
#ifndef HTTP_LISTEN_H
#define HTTP_LISTEN_H

#include <stdbool.h>

#include <berth/error.h>

struct http_listen;

/* text: "127.0.0.1:2591", "[::1]:2591", "localhost:2591" or "unix:/path"; mode (octal) and group
 * (NULL: as it is) are for the last. A stale Unix socket is replaced, a live one is not. */
int http_listen_open(const char *text, const char *mode, const char *group,
                     struct http_listen **ret_listen, struct berth_error *err);
/* -EINVAL if text is no address; else whether others than this machine's own users can reach it. */
int http_listen_is_exposed(const char *text, struct berth_error *err);
int http_listen_fd(const struct http_listen *listen);
bool http_listen_is_unix(const struct http_listen *listen);
/* What was bound, with the port that the kernel chose for port 0. */
const char *http_listen_name(const struct http_listen *listen);
void http_listen_close(struct http_listen *listen);

#endif
