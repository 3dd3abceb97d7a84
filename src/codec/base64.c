/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Base64 as in RFC 4648, section 4: padded, no line breaks, nothing else. */
#include "codec/value.h"

#include <errno.h>
#include <string.h>

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct buf *out, const void *data, size_t len)
{
    const unsigned char *in = data;
    size_t size = len > SIZE_MAX / 2 ? SIZE_MAX : (len + 2) / 3 * 4;
    char *to = buf_room(out, size);
    uint32_t group;

    if (!to || !len)
        return;
    for (; len >= 3; len -= 3, in += 3, to += 4) {
        group = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        to[0] = digits[group >> 18];
        to[1] = digits[group >> 12 & 63];
        to[2] = digits[group >> 6 & 63];
        to[3] = digits[group & 63];
    }
    if (len) {
        group = (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0);
        to[0] = digits[group >> 18];
        to[1] = digits[group >> 12 & 63];
        to[2] = len == 2 ? digits[group >> 6 & 63] : '=';
        to[3] = '=';
    }
    out->len += size;
    out->data[out->len] = '\0';
}

#define NO_DIGIT 0x80u

static void fill_reverse(unsigned char reverse[256])
{
    memset(reverse, NO_DIGIT, 256);
    for (unsigned i = 0; i < 64; i++)
        reverse[(unsigned char)digits[i]] = (unsigned char)i;
}

/* Three bytes of four digits; false if one is no digit. */
static bool decode_group(const unsigned char reverse[256], const unsigned char *s,
                         unsigned char out[3])
{
    unsigned a = reverse[s[0]], b = reverse[s[1]], c = reverse[s[2]], d = reverse[s[3]];

    out[0] = (unsigned char)(a << 2 | b >> 4);
    out[1] = (unsigned char)(b << 4 | c >> 2);
    out[2] = (unsigned char)(c << 6 | d);
    return !((a | b | c | d) & NO_DIGIT);
}

int base64_decode(struct arena *a, const char *s, size_t len, char **ret, size_t *ret_len)
{
    unsigned char reverse[256], last[4], tail[3], *to;
    size_t pad = 0, whole;
    char *out;

    if (!s || len % 4)
        return -EINVAL;
    if (len)
        pad = s[len - 2] == '=' && s[len - 1] == '=' ? 2 : s[len - 1] == '=';
    fill_reverse(reverse);
    out = arena_alloc(a, len / 4 * 3 + 1);
    if (!out)
        return -ENOMEM;
    to = (unsigned char *)out;
    whole = len - (pad ? 4 : 0);
    for (size_t i = 0; i < whole; i += 4, to += 3)
        if (!decode_group(reverse, (const unsigned char *)s + i, to))
            return -EINVAL;
    if (pad) {
        memcpy(last, s + whole, 4);
        memset(last + 4 - pad, 'A', pad);
        /* bits that the padding leaves over must be 0, so that one binary has one text */
        if (!decode_group(reverse, last, tail) || tail[3 - pad])
            return -EINVAL;
        memcpy(to, tail, 3 - pad);
    }
    *ret = out;
    *ret_len = len / 4 * 3 - pad;
    return 0;
}
