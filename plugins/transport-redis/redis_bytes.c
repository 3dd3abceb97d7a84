/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Buffers and commands. */
#include "redis_bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

void bytes_put(struct bytes *b, const void *data, size_t len)
{
    if (len > b->cap - b->len) {
        size_t cap = b->cap ? b->cap : 1024;
        while (cap - b->len < len)
            cap *= 2;
        char *grown = realloc(b->data, cap);
        if (!grown) {
            b->failed = true;
            return;
        }
        b->data = grown;
        b->cap = cap;
    }
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

void bytes_drop(struct bytes *b, size_t len)
{
    if (len)
        memmove(b->data, b->data + len, b->len - len);
    b->len -= len;
    if (!b->len && b->cap > 1u << 20) /* after a burst */
        bytes_free(b);
}

void bytes_digest(const void *data, size_t len, char ret[DIGEST])
{
    uint64_t hash = 0xcbf29ce484222325;
    for (const unsigned char *p = data; len; len--)
        hash = (hash ^ *p++) * 0x100000001b3;
    snprintf(ret, DIGEST, "%016" PRIx64, hash);
}

void cmd_free(struct cmd *c)
{
    bytes_free(&c->args);
    c->count = 0;
}

void cmd_data(struct cmd *c, const void *data, size_t len)
{
    char head[32], *p = head + sizeof head;
    size_t left = len;
    *--p = '\n';
    *--p = '\r';
    do
        *--p = (char)('0' + left % 10);
    while (left /= 10);
    *--p = '$';
    bytes_put(&c->args, p, (size_t)(head + sizeof head - p));
    bytes_put(&c->args, data, len);
    bytes_put(&c->args, "\r\n", 2);
    c->count++;
}

void cmd_str(struct cmd *c, const char *s)
{
    cmd_data(c, s, strlen(s));
}

void cmd_int(struct cmd *c, int64_t n)
{
    char text[24];
    cmd_data(c, text, (size_t)snprintf(text, sizeof text, "%" PRId64, n));
}

void cmd_words(struct cmd *c, const char *words)
{
    for (size_t len; *words; words += len + (words[len] == ' ')) {
        len = strcspn(words, " ");
        cmd_data(c, words, len);
    }
}

void cmd_add(struct cmd *c, const struct cmd *more)
{
    bytes_put(&c->args, more->args.data, more->args.len);
    c->args.failed |= more->args.failed;
    c->count += more->count;
}

int cmd_write(const struct cmd *c, struct bytes *out)
{
    char head[16];
    size_t before = out->len;
    int n = snprintf(head, sizeof head, "*%u\r\n", c->count);
    if (!c->args.failed) {
        bytes_put(out, head, (size_t)n);
        bytes_put(out, c->args.data, c->args.len);
    }
    if (!c->args.failed && !out->failed)
        return 0;
    out->len = before;
    out->failed = false;
    return -ENOMEM;
}
