/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Bearer tokens of a file: one `TOKEN` or `TENANT:TOKEN` a line, `#` begins a comment line. The file
 * is read again when it changes; a broken new version leaves the old tokens in force.
 */
#ifndef HTTP_AUTH_H
#define HTTP_AUTH_H

#include <stdbool.h>

#include <berth/error.h>

struct http_auth;

/* path must outlive it. Refuses a file that its group or others can open. */
int http_auth_open(const char *path, struct http_auth **ret_auth, struct berth_error *err);
/* Looks whether the file has changed. 1: read again; 0: as before; -errno, once per change. */
int http_auth_refresh(struct http_auth *auth, struct berth_error *err);
/* Is this Authorization field (may be NULL) one of ours? *ret_tenant: whose, "" for anybody's;
 * valid until the next refresh. The time taken tells the length of the field, and nothing else. */
bool http_auth_check(const struct http_auth *auth, const char *field,
                     const char **ret_tenant);
void http_auth_close(struct http_auth *auth);

#endif
