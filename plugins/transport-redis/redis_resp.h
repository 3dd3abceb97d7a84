/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Replies of the Redis protocol, read by hiredis, as trees of our own: nothing else names hiredis. */
#ifndef REDIS_RESP_H
#define REDIS_RESP_H

#include <stdbool.h>
#include <stddef.h>

enum resp_type { RESP_NIL, RESP_INT, RESP_STRING, RESP_ERROR, RESP_ARRAY };

struct resp {
    enum resp_type type;
    long long n; /* INT */
    char *s;     /* STRING, ERROR: ends with a NUL beyond len */
    size_t len;
    struct resp **items; /* ARRAY; none is NULL */
    size_t count;
};

struct resp_reader;
struct resp_reader *resp_reader_new(void); /* NULL: out of memory */
void resp_reader_free(struct resp_reader *r);
int resp_feed(struct resp_reader *r, const void *data, size_t len); /* 0 or -ENOMEM */
/* 1: *ret is the next reply, to be freed; 0: it has not all arrived; -EPROTO. */
int resp_next(struct resp_reader *r, struct resp **ret);
void resp_free(struct resp *v);

/* Looking into a reply that may be of any shape: never NULL; what is missing is nil, "" or 0. */
const struct resp *resp_at(const struct resp *v, size_t i);
const char *resp_str(const struct resp *v); /* "" unless a string */
long long resp_int(const struct resp *v);   /* a string is parsed */
bool resp_is_error(const struct resp *v);   /* NULL counts as one */

#endif
