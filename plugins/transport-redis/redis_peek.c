/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What is not understood has no id here, and nothing is lost by that: the id serves to look for a result that is
 * out already, and that counts only if it is of the very same bytes.
 */
#include "redis_peek.h"

#include <stdint.h>
#include <string.h>

bool peek_is_id(const char *s, size_t len)
{
    static const char ok[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:-";
    if (len < 1 || len >= PEEK_ID)
        return false;
    for (size_t i = 0; i < len; i++)
        if (!s[i] || !strchr(ok, s[i]))
            return false;
    return true;
}

static bool keep(const char *s, size_t len, char ret[PEEK_ID])
{
    if (!peek_is_id(s, len))
        return false;
    memcpy(ret, s, len);
    ret[len] = '\0';
    return true;
}

/* ---- msgpack ---- */

struct span {
    const unsigned char *at, *end;
};

/* An object's head: how many bytes of data follow it, and how many objects. */
struct head {
    bool str, map;
    uint64_t bytes, objects;
};

static bool take_number(struct span *s, size_t width, uint64_t *ret)
{
    uint64_t n = 0;
    if ((size_t)(s->end - s->at) < width)
        return false;
    while (width--)
        n = n << 8 | *s->at++;
    *ret = n;
    return true;
}

static bool take_long(struct span *s, unsigned char type, struct head *h)
{
    static const unsigned char widths[] = {1, 2, 4, 1, 2, 4}; /* c4..c9: bin, ext */
    static const unsigned char plain[] = {4, 8, 1, 2, 4, 8, 1, 2, 4, 8}; /* ca..d3 */
    static const unsigned char fixext[] = {2, 3, 5, 9, 17};              /* d4..d8 */
    if (type <= 0xc3)
        return type != 0xc1;
    if (type <= 0xc9) {
        bool ok = take_number(s, widths[type - 0xc4], &h->bytes);
        h->bytes += type >= 0xc7;
        return ok;
    }
    if (type <= 0xd8) {
        h->bytes = type <= 0xd3 ? plain[type - 0xca] : fixext[type - 0xd4];
        return true;
    }
    if (type <= 0xdb) {
        h->str = true;
        return take_number(s, (size_t)1 << (type - 0xd9), &h->bytes);
    }
    h->map = type >= 0xde;
    bool ok = take_number(s, type & 1 ? 4 : 2, &h->objects);
    h->objects <<= h->map;
    return ok;
}

static bool take_head(struct span *s, struct head *h)
{
    *h = (struct head){0};
    if (s->at == s->end)
        return false;
    unsigned char type = *s->at++;
    bool ok = true;
    if (type >= 0xc0 && type < 0xe0) {
        ok = take_long(s, type, h);
    } else if (type >= 0xa0 && type < 0xc0) {
        h->str = true;
        h->bytes = type & 0x1f;
    } else if (type >= 0x80 && type < 0xa0) {
        h->map = type < 0x90;
        h->objects = (uint64_t)(type & 0x0f) << h->map;
    }
    return ok && h->bytes <= (uint64_t)(s->end - s->at);
}

static bool skip(struct span *s)
{
    struct head h;
    uint64_t left = 1;
    while (left--) {
        if (!take_head(s, &h))
            return false;
        s->at += h.bytes;
        left += h.objects;
    }
    return true;
}

static bool peek_msgpack(struct span s, char ret[PEEK_ID])
{
    struct head map, key;
    if (!take_head(&s, &map) || !map.map)
        return false;
    for (uint64_t left = map.objects / 2; left--;) {
        if (!take_head(&s, &key))
            return false;
        bool id = key.str && key.bytes == 2 && !memcmp(s.at, "id", 2);
        s.at += key.bytes;
        if (id)
            return take_head(&s, &key) && key.str &&
                   keep((const char *)s.at, (size_t)key.bytes, ret);
        if (key.objects || !skip(&s))
            return false;
    }
    return false;
}

/* ---- JSON ---- */

static const char *skip_blanks(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
        p++;
    return p;
}

/* From behind the first quote to the last one; NULL: there is none. */
static const char *string_end(const char *p, const char *end)
{
    while (p < end && *p != '"')
        p += *p == '\\' ? 2 : 1;
    return p < end ? p : NULL;
}

/* Of a key that was just found, with what is behind its last quote. */
static bool keep_value(const char *p, const char *end, char ret[PEEK_ID])
{
    p = skip_blanks(p, end);
    if (p == end || *p != ':')
        return false;
    p = skip_blanks(p + 1, end);
    if (p == end || *p != '"')
        return false;
    const char *last = string_end(p + 1, end);
    return last && keep(p + 1, (size_t)(last - p - 1), ret);
}

static bool peek_json(const char *p, const char *end, char ret[PEEK_ID])
{
    bool at_key = false;
    for (size_t depth = 0; p < end; p++) {
        const char *last;
        switch (*p) {
        case '{':
        case '[':
            at_key = ++depth == 1;
            break;
        case '}':
        case ']':
            if (depth-- <= 1)
                return false;
            break;
        case ',':
            at_key = depth == 1;
            break;
        case '"':
            last = string_end(p + 1, end);
            if (!last)
                return false;
            if (at_key && last - p == 3 && !memcmp(p, "\"id", 3))
                return keep_value(last + 1, end, ret);
            at_key = false;
            p = last;
            break;
        default:
            break;
        }
    }
    return false;
}

bool peek_id(const void *task, size_t len, char ret[PEEK_ID])
{
    const char *p = task;
    if (!len)
        return false;
    if (*p == '{')
        return peek_json(p, p + len, ret);
    struct span s = {.at = task, .end = (const unsigned char *)task + len};
    return peek_msgpack(s, ret);
}
