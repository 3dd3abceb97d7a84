/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The growable buffer. */
#include "base/buf.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

#define BUF_MIN 64

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf)BUF_INIT;
}

static bool buf_grow(struct buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : BUF_MIN;
    char *data;

    while (cap < need)
        cap *= 2;
    data = realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

char *buf_room(struct buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n >= PTRDIFF_MAX / 2 - b->len) {
        b->failed = true;
        return NULL;
    }
    if (b->len + n + 1 > b->cap && !buf_grow(b, b->len + n + 1))
        return NULL;
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    char *to;

    if (!len || !(to = buf_room(b, len)))
        return;
    memcpy(to, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_str(struct buf *b, const char *s)
{
    if (s)
        buf_add(b, s, strlen(s));
}

void buf_fmtv(struct buf *b, const char *format, va_list ap)
{
    char *to = buf_room(b, BUF_MIN);
    va_list again;
    int n;

    if (!to)
        return;
    va_copy(again, ap);
    n = vsnprintf(to, b->cap - b->len, format, ap);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n >= b->cap - b->len) {
        if ((to = buf_room(b, (size_t)n)))
            vsnprintf(to, (size_t)n + 1, format, again);
    }
    va_end(again);
    if (!b->failed)
        b->len += (size_t)n;
    else if (b->data)
        b->data[b->len] = '\0';
}

void buf_fmt(struct buf *b, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    buf_fmtv(b, format, ap);
    va_end(ap);
}

void buf_utf8(struct buf *b, const char *s, size_t len)
{
    while (len) {
        size_t good = utf8_prefix(s, len);

        buf_add(b, s, good);
        if (good == len)
            return;
        buf_str(b, "\xef\xbf\xbd");
        s += good + 1;
        len -= good + 1;
    }
}

void buf_drop(struct buf *b, size_t n)
{
    if (n >= b->len) {
        b->len = 0;
        return;
    }
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

int buf_write(void *arg, const void *data, size_t len)
{
    struct buf *b = arg;

    buf_add(b, data, len);
    return b->failed ? -ENOMEM : 0;
}
