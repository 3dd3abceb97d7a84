/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Bytes that wait: read and not yet taken, or written and not yet out. */
#ifndef STDIO_BYTES_H
#define STDIO_BYTES_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bytes {
    char *data;
    size_t len, cap;
};

/* Room for n more bytes at data + len; 0 or -ENOMEM. */
static inline int bytes_reserve(struct bytes *b, size_t n)
{
    if (b->cap - b->len >= n)
        return 0;
    size_t cap = (b->len + n) * 2;
    char *data = realloc(b->data, cap);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

/* The caller has reserved the room. */
static inline void bytes_put(struct bytes *b, const void *data, size_t len)
{
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

static inline void bytes_drop(struct bytes *b, size_t n)
{
    if (!n)
        return;
    b->len -= n;
    memmove(b->data, b->data + n, b->len);
}

static inline void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

#endif
