/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The target of a request: path segments and query parameters, decoded and bounded. */
#ifndef HTTP_TARGET_H
#define HTTP_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include <berth/error.h>

#define HTTP_SEGMENT_MAX 6
#define HTTP_PARAM_MAX 12

struct http_param {
    const char *name, *value;
};

struct http_target {
    char *text; /* owned; what was received up to '?', and behind it the decoded parts */
    size_t size;
    const char *path; /* as received */
    const char *segment[HTTP_SEGMENT_MAX];
    unsigned segment_count; /* HTTP_SEGMENT_MAX + 1: there were more */
    struct http_param param[HTTP_PARAM_MAX];
    unsigned param_count;
};

/* Takes a copy of the target as received. The memory is used again by the next call. */
int http_target_set(struct http_target *target, const char *raw);
/* Has it, as received, what no target has: a space or a control character? */
bool http_target_is_bad(const struct http_target *target);
/* The authority of an absolute-form target, cut to size; false if it has another form. */
bool http_target_host(const struct http_target *target, char *ret_host, size_t size);
/* Splits and decodes. -EINVAL: broken escape, escaped NUL, parameter given twice, too many. */
int http_target_parse(struct http_target *target, struct berth_error *err);
/* NULL if it was not given. */
const char *http_target_param(const struct http_target *target, const char *name);
/* Does the path match a pattern such as "/v1/tasks/{id}"? *ret_id is then the part in braces. */
int http_target_matches(const struct http_target *target, const char *pattern,
                        const char **ret_id);
/* The name of a NULL-terminated list that is closest to `name`; NULL if none is close. */
const char *http_target_nearest(const char *name, const char *const *names);
/* Decimal number, nothing else. 0 or -EINVAL, -ERANGE above max. */
int http_target_number(const char *text, unsigned long long max,
                       unsigned long long *ret_value);
/* Seconds with up to three decimals. 0 or -EINVAL, -ERANGE above max_ms. */
int http_target_seconds(const char *text, long long max_ms, long long *ret_ms);
void http_target_fini(struct http_target *target);

#endif
