/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Values to JSON text, straight into the buffer: results pass here by the thousand. */
#include "codec/value.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/container.h"

struct writer {
    struct buf *out;
    bool pretty;
    bool failed;
    unsigned depth;
};

static void put(struct writer *w, const char *s, size_t len)
{
    struct buf *out = w->out;

    if (out->len + len < out->cap && !out->failed) {
        memcpy(out->data + out->len, s, len);
        out->len += len;
    } else {
        buf_add(out, s, len);
    }
}

static void put_uint(struct writer *w, uint64_t u, bool minus)
{
    char digits[24], *p = digits + sizeof(digits);

    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (minus)
        *--p = '-';
    put(w, p, (size_t)(digits + sizeof(digits) - p));
}

static void put_int(struct writer *w, int64_t i)
{
    put_uint(w, i < 0 ? -(uint64_t)i : (uint64_t)i, i < 0);
}

/* The shorter of the usual two that reads back the same; JSON has no infinities. */
static void put_float(struct writer *w, double f)
{
    char text[40], *comma;

    if (!isfinite(f)) {
        put(w, "null", 4);
        return;
    }
    if (fabs(f) < 1e15 && f == (double)(int64_t)f && !(f == 0 && signbit(f))) {
        put_int(w, (int64_t)f);
        put(w, ".0", 2);
        return;
    }
    snprintf(text, sizeof(text), "%.15g", f);
    if (strtod(text, NULL) != f)
        snprintf(text, sizeof(text), "%.17g", f);
    if ((comma = strchr(text, ','))) /* the caller's locale */
        *comma = '.';
    if (!strpbrk(text, ".e"))
        strcat(text, ".0");
    put(w, text, strlen(text));
}

static bool is_plain(unsigned char c)
{
    return c >= ' ' && c != '"' && c != '\\';
}

static void put_escape(struct writer *w, unsigned char c)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char text[8];

    for (size_t i = 0; i + 1 < sizeof(names); i += 2) {
        if ((unsigned char)names[i] == c) {
            text[0] = '\\';
            text[1] = names[i + 1];
            put(w, text, 2);
            return;
        }
    }
    snprintf(text, sizeof(text), "\\u%04x", c);
    put(w, text, 6);
}

static void put_escaped(struct writer *w, const char *s, size_t len)
{
    size_t run;

    while (len) {
        for (run = 0; run < len && is_plain((unsigned char)s[run]);)
            run++;
        put(w, s, run);
        if (run < len)
            put_escape(w, (unsigned char)s[run++]);
        s += run;
        len -= run;
    }
}

/* ASCII that needs no escape, as nearly all strings are; false: it is not, or there is no room. */
static bool put_ascii(struct writer *w, const char *s, size_t len, const char *tail)
{
    size_t tail_len = strlen(tail);
    char *to = buf_room(w->out, len + tail_len + 2);

    if (!to)
        return false;
    *to++ = '"';
    for (size_t i = 0; i < len; i++) {
        if (!is_plain((unsigned char)s[i]) || (unsigned char)s[i] >= 0x80)
            return false;
        *to++ = s[i];
    }
    memcpy(to, tail, tail_len);
    to[tail_len] = '"';
    w->out->len += len + tail_len + 2;
    return true;
}

/* tail: behind the text and inside the quotes. */
static void put_str(struct writer *w, const char *s, size_t len, const char *tail)
{
    struct buf clean = BUF_INIT;

    if (put_ascii(w, s, len, tail))
        return;
    put(w, "\"", 1);
    if (is_utf8(s, len)) {
        put_escaped(w, s, len);
    } else {
        buf_utf8(&clean, s, len);
        w->failed |= clean.failed;
        put_escaped(w, clean.data, clean.len);
        buf_free(&clean);
    }
    put(w, tail, strlen(tail));
    put(w, "\"", 1);
}

static void put_line(struct writer *w)
{
    if (!w->pretty)
        return;
    put(w, "\n", 1);
    for (unsigned i = 0; i < w->depth; i++)
        put(w, "  ", 2);
}

static void put_value(struct writer *w, const struct value *v);

static void put_array(struct writer *w, const struct value *v)
{
    put(w, "[", 1);
    w->depth++;
    for (uint32_t i = 0; i < v->count; i++) {
        if (i)
            put(w, ",", 1);
        put_line(w);
        put_value(w, &v->items[i]);
    }
    w->depth--;
    if (v->count)
        put_line(w);
    put(w, "]", 1);
}

static void put_map(struct writer *w, const struct value *v)
{
    const struct value_pair *p = v->pairs;

    put(w, "{", 1);
    w->depth++;
    for (uint32_t i = 0; i < v->count; i++, p++) {
        if (i)
            put(w, ",", 1);
        put_line(w);
        put_str(w, p->key.s, p->key.len, p->val.type == VALUE_BIN ? "_b64" : "");
        put(w, ": ", w->pretty ? 2 : 1);
        put_value(w, &p->val);
    }
    w->depth--;
    if (v->count)
        put_line(w);
    put(w, "}", 1);
}

static void put_value(struct writer *w, const struct value *v)
{
    w->failed |= value_has_failed(v);
    switch (v->type) {
    case VALUE_NIL:
        put(w, "null", 4);
        break;
    case VALUE_BOOL:
        put(w, v->b ? "true" : "false", v->b ? 4 : 5);
        break;
    case VALUE_INT:
        put_int(w, v->i);
        break;
    case VALUE_UINT:
        put_uint(w, v->u, false);
        break;
    case VALUE_FLOAT:
        put_float(w, v->f);
        break;
    case VALUE_STR:
        put_str(w, v->s, v->len, "");
        break;
    case VALUE_BIN:
        put(w, "\"", 1);
        base64_encode(w->out, v->s, v->len);
        put(w, "\"", 1);
        break;
    case VALUE_ARRAY:
        put_array(w, v);
        break;
    case VALUE_MAP:
        put_map(w, v);
        break;
    }
}

int value_to_json(const struct value *v, struct buf *out, bool pretty)
{
    struct writer w = {.out = out, .pretty = pretty};
    size_t before = out->len;

    buf_room(out, VALUE_ROOM);
    put_value(&w, v);
    if (w.failed || out->failed) {
        out->len = before;
        return -ENOMEM;
    }
    out->data[out->len] = '\0';
    return 0;
}
