/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Content negotiation between the two formats: RFC 9110 sections 8.3 and 12.5.1. */
#ifndef HTTP_MEDIA_H
#define HTTP_MEDIA_H

#include <stdint.h>

extern const char *const http_media_name[2]; /* by enum berth_format */

/* The format that a Content-Type names, or -EINVAL. */
int http_media_format(const char *content_type);
/* The format that count Accept fields like best, JSON if they do not care; -ENOENT: neither. */
int http_media_accept(const char *const *accept, unsigned count);

#endif
