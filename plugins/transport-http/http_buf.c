/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A growing byte buffer. */
#include "http_buf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int buf_reserve(struct http_buf *buf, size_t more)
{
    if (buf->size - buf->len >= more)
        return 0;
    if (more > SIZE_MAX / 2 - buf->len)
        return -ENOMEM;
    size_t size = buf->size ? buf->size * 2 : 512;
    while (size < buf->len + more)
        size *= 2;
    char *data = realloc(buf->data, size);
    if (!data)
        return -ENOMEM;
    buf->data = data;
    buf->size = size;
    return 0;
}

int http_buf_add(struct http_buf *buf, const void *data, size_t len)
{
    if (buf_reserve(buf, len) < 0)
        return -ENOMEM;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    return 0;
}

int http_buf_str(struct http_buf *buf, const char *text)
{
    return http_buf_add(buf, text, strlen(text));
}

int http_buf_printf(struct http_buf *buf, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int len = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (len < 0 || buf_reserve(buf, (size_t)len + 1) < 0)
        return -ENOMEM;
    va_start(ap, format);
    vsnprintf(buf->data + buf->len, (size_t)len + 1, format, ap);
    va_end(ap);
    buf->len += (size_t)len;
    return 0;
}

/* Length of the UTF-8 sequence at s (RFC 3629: no surrogates, nothing overlong), 0 if it is none. */
static size_t buf_utf8(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t len;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        len = 2;
    else if (s[0] >= 0xe0 && s[0] <= 0xef)
        len = 3;
    else if (s[0] >= 0xf0 && s[0] <= 0xf4)
        len = 4;
    else
        return 0;
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return len;
}

static int buf_json_char(struct http_buf *buf, const unsigned char **s)
{
    unsigned char c = **s;
    size_t len = 1;
    if (c >= 0x80) {
        len = buf_utf8(*s);
        if (!len) {
            (*s)++;
            return http_buf_str(buf, "\xef\xbf\xbd");
        }
    } else if (c < 0x20 || c == 0x7f) {
        (*s)++;
        return http_buf_printf(buf, "\\u%04x", c);
    } else if ((c == '"' || c == '\\') && http_buf_add(buf, "\\", 1) < 0) {
        return -ENOMEM;
    }
    int ret = http_buf_add(buf, *s, len);
    *s += len;
    return ret;
}

int http_buf_json(struct http_buf *buf, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    if (http_buf_add(buf, "\"", 1) < 0)
        return -ENOMEM;
    while (*s)
        if (buf_json_char(buf, &s) < 0)
            return -ENOMEM;
    return http_buf_add(buf, "\"", 1);
}

int http_buf_write(void *arg, const void *data, size_t len)
{
    return http_buf_add(arg, data, len);
}

void http_buf_fini(struct http_buf *buf)
{
    free(buf->data);
    *buf = (struct http_buf){0};
}
