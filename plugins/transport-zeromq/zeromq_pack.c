/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* MessagePack, as https://github.com/msgpack/msgpack/blob/master/spec.md has it. */
#include "zeromq_pack.h"

#include <errno.h>
#include <string.h>

/* ---- writing ---- */

static void put(struct pack *p, const void *data, size_t len)
{
    if (len > sizeof p->data - p->len)
        return;
    memcpy(p->data + p->len, data, len);
    p->len += len;
}

static void put_byte(struct pack *p, unsigned byte)
{
    unsigned char b = (unsigned char)byte;
    put(p, &b, 1);
}

static void put_number(struct pack *p, uint64_t n, int bytes)
{
    while (bytes-- > 0)
        put_byte(p, (unsigned)(n >> 8 * bytes) & 0xff);
}

void pack_map(struct pack *p, unsigned count)
{
    put_byte(p, 0x80 | (count & 15));
}

void pack_str(struct pack *p, const char *s)
{
    size_t len = strlen(s);
    if (len + 3 > sizeof p->data - p->len)
        len = 0;
    if (len < 32) {
        put_byte(p, 0xa0 | (unsigned)len);
    } else if (len < 256) {
        put_byte(p, 0xd9);
        put_number(p, len, 1);
    } else {
        put_byte(p, 0xda);
        put_number(p, len, 2);
    }
    put(p, s, len);
}

void pack_int(struct pack *p, uint64_t n)
{
    if (n < 128) {
        put_byte(p, (unsigned)n);
    } else if (n <= UINT32_MAX) {
        put_byte(p, 0xce);
        put_number(p, n, 4);
    } else {
        put_byte(p, 0xcf);
        put_number(p, n, 8);
    }
}

void pack_bool(struct pack *p, bool on)
{
    put_byte(p, on ? 0xc3 : 0xc2);
}

/* ---- reading ---- */

static int take_number(struct reader *r, int bytes, uint64_t *ret)
{
    if (r->end - r->at < bytes)
        return -EPROTO;
    for (*ret = 0; bytes > 0; bytes--)
        *ret = *ret << 8 | *r->at++;
    return 0;
}

static int take_bytes(struct reader *r, uint64_t len, struct item *ret)
{
    if ((uint64_t)(r->end - r->at) < len)
        return -EPROTO;
    ret->s = (const char *)r->at;
    ret->len = (size_t)len;
    r->at += len;
    return 0;
}

static int read_sized(struct reader *r, int width, int extra, struct item *ret)
{
    uint64_t len;
    if (take_number(r, width, &len) < 0)
        return -EPROTO;
    return take_bytes(r, len + (unsigned)extra, ret);
}

static int read_count(struct reader *r, int width, struct item *ret)
{
    uint64_t count;
    if (take_number(r, width, &count) < 0)
        return -EPROTO;
    ret->count = (uint32_t)count;
    return 0;
}

static int read_integer(struct reader *r, unsigned tag, struct item *ret)
{
    int width = 1 << (tag & 3); /* cc..cf unsigned, d0..d3 signed */
    uint64_t n;
    if (take_number(r, width, &n) < 0)
        return -EPROTO;
    if (tag >= 0xd0 && width < 8 && n >> (8 * width - 1))
        n |= UINT64_MAX << 8 * width; /* a sign to extend */
    if (tag < 0xd0 && n > INT64_MAX)
        ret->type = ITEM_FLOAT;
    ret->n = (int64_t)n;
    return 0;
}

/* The tags from c0 to df. */
static int read_tagged(struct reader *r, unsigned tag, struct item *ret)
{
    static const unsigned char type_of[32] = {
        ITEM_NIL,   ITEM_NIL /* c1 is none */,
        ITEM_BOOL,  ITEM_BOOL,
        ITEM_BIN,   ITEM_BIN,
        ITEM_BIN,   ITEM_EXT,
        ITEM_EXT,   ITEM_EXT,
        ITEM_FLOAT, ITEM_FLOAT,
        ITEM_INT,   ITEM_INT,
        ITEM_INT,   ITEM_INT,
        ITEM_INT,   ITEM_INT,
        ITEM_INT,   ITEM_INT,
        ITEM_EXT,   ITEM_EXT,
        ITEM_EXT,   ITEM_EXT,
        ITEM_EXT,   ITEM_STR,
        ITEM_STR,   ITEM_STR,
        ITEM_ARRAY, ITEM_ARRAY,
        ITEM_MAP,   ITEM_MAP,
    };
    ret->type = type_of[tag - 0xc0];
    switch (tag) {
    case 0xc0:
        return 0;
    case 0xc1:
        return -EPROTO;
    case 0xc2:
    case 0xc3:
        ret->n = tag == 0xc3;
        return 0;
    case 0xca:
    case 0xcb:
        return take_bytes(r, tag == 0xca ? 4 : 8, ret);
    }
    if (tag <= 0xc6)
        return read_sized(r, 1 << (tag - 0xc4), 0, ret);
    if (tag <= 0xc9)
        return read_sized(r, 1 << (tag - 0xc7), 1, ret);
    if (tag <= 0xd3)
        return read_integer(r, tag, ret);
    if (tag <= 0xd8)
        return take_bytes(r, (1u << (tag - 0xd4)) + 1, ret);
    if (tag <= 0xdb)
        return read_sized(r, 1 << (tag - 0xd9), 0, ret);
    return read_count(r, tag & 1 ? 4 : 2, ret);
}

int item_read(struct reader *r, struct item *ret)
{
    *ret = (struct item){.type = ITEM_INT};
    if (r->at == r->end)
        return -EPROTO;
    unsigned tag = *r->at++;
    if (tag >= 0xc0 && tag < 0xe0)
        return read_tagged(r, tag, ret);
    if (tag < 0x80 || tag >= 0xe0) {
        ret->n = (signed char)tag;
        return 0;
    }
    if (tag < 0xa0) {
        ret->type = tag < 0x90 ? ITEM_MAP : ITEM_ARRAY;
        ret->count = tag & 15;
        return 0;
    }
    ret->type = ITEM_STR;
    return take_bytes(r, tag & 31, ret);
}

/* Without recursion, so that depth costs nothing; each item has a byte at least. */
int item_skip(struct reader *r)
{
    struct item it;
    for (uint64_t left = 1; left; left--) {
        if (left > (uint64_t)(r->end - r->at) || item_read(r, &it) < 0)
            return -EPROTO;
        if (it.type == ITEM_ARRAY)
            left += it.count;
        else if (it.type == ITEM_MAP)
            left += 2 * (uint64_t)it.count;
    }
    return 0;
}

bool item_is(const struct item *it, const char *text)
{
    return it->type == ITEM_STR && it->len == strlen(text) && !memcmp(it->s, text, it->len);
}

bool item_copy(const struct item *it, char *ret, size_t size)
{
    if (it->type != ITEM_STR || it->len >= size || memchr(it->s, '\0', it->len))
        return false;
    memcpy(ret, it->s, it->len);
    ret[it->len] = '\0';
    return true;
}

const char *item_type_name(enum item_type type)
{
    static const char *const names[] = {"nil",    "bool",      "integer", "float", "string",
                                        "binary", "extension", "array",   "map"};
    return names[type];
}
