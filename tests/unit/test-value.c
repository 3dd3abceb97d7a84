/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Values: what the decoders refuse. */
#include <errno.h>

#include "../tap.h"
#include "base/fail.h"
#include "base/str.h"
#include "codec/value.h"

#define BYTES(text) text, sizeof(text) - 1

static const char sample_json[] =
    "{\"v\":1,\"id\":\"a-1\",\"args\":[\"x\",\"\xc3\xa4\"],\"env\":{\"A\":\"b\\n\\u0001\"},"
    "\"cpus\":2.5,\"whole\":3.0,\"big\":9223372036854775807,\"small\":-9223372036854775808,"
    "\"t\":true,\"f\":false,\"n\":null,\"e\":[],\"o\":{},\"tiny\":1e-07,\"third\":0.1}";

typedef int decode_fn(struct arena *a, const void *data, size_t len,
                      const struct value_limits *lim, struct value *ret,
                      struct berth_error *err);

/* Decodes from memory of exactly that size, so that a sanitizer sees reads past its end. */
static int try_decode(decode_fn *decode, const char *data, size_t len,
                      const struct value_limits *lim, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_free char *copy = malloc(len ? len : 1);
    struct value v;

    memcpy(copy, data, len);
    return decode(a, copy, len, lim, &v, err);
}

static void refuse(decode_fn *decode, const char *data, size_t len, int code,
                   const char *text, const char *name)
{
    struct berth_error err = {0};
    int r = try_decode(decode, data, len, NULL, &err);

    is_int(r, -code, "refused: %s", name);
    is_int(err.code, code, "code: %s", name);
    has_str(err.text, text, "says why: %s", name);
}

static void test_invalid(void)
{
    cleanup_arena struct arena *a = arena_new();
    struct value v = value_new_int(7), failed;
    cleanup_buf struct buf out = BUF_INIT;
    struct berth_error err = {0};
    size_t n;
    char *s;

    is_int(value_from_msgpack(NULL, "\xc0", 1, NULL, &v, &err), -EINVAL,
           "msgpack: no arena");
    is_int(value_from_msgpack(a, NULL, 1, NULL, &v, &err), -EINVAL, "msgpack: no data");
    is_int(value_from_msgpack(a, "\xc0", 1, NULL, NULL, &err), -EINVAL,
           "msgpack: no result");
    is_int(value_from_msgpack(a, "", 0, NULL, &v, NULL), -EINVAL, "msgpack: empty, no err");
    is_int(value_from_json(NULL, "1", 1, NULL, &v, &err), -EINVAL, "json: no arena");
    is_int(value_from_json(a, NULL, 1, NULL, &v, &err), -EINVAL, "json: no data");
    is_int(value_from_json(a, "1", 1, NULL, NULL, &err), -EINVAL, "json: no result");
    is_int(value_from_json(a, NULL, 0, NULL, &v, &err), -EINVAL, "json: empty");
    is_int(v.i, 7, "result untouched on failure");
    ok(!value_get(NULL, "k") && !value_get(&v, "k") && !value_get(&v, NULL),
       "nothing to get");
    is_int(value_int(NULL, "k", 5), 5, "default of nothing");
    is_str(value_str(&v, "k", "d"), "d", "default of a scalar");
    value_put(a, &v, "k", value_new_int(1));
    value_add(a, &v, value_new_int(1));
    ok(v.type == VALUE_INT && v.i == 7, "appending to a scalar does nothing");
    failed = value_new_map(NULL);
    is_int(value_to_msgpack(&failed, &out), -ENOMEM, "a map without arena has failed");
    is_int(base64_decode(a, NULL, 0, &s, &n), -EINVAL, "base64: no text");
}

static void test_msgpack_refused(void)
{
    decode_fn *d = value_from_msgpack;

    refuse(d, BYTES(""), EINVAL, "ends where a value should start, at byte 0", "nothing");
    refuse(d, BYTES("\xc1"), EINVAL, "starts no value at byte 0", "c1");
    refuse(d, BYTES("\x91\xc1"), EINVAL, "at byte 1", "c1 in an array");
    refuse(d, BYTES("\xc0\xc0"), EINVAL, "after the end of the value at byte 1",
           "trailing");
    refuse(d, BYTES("\xc7\x01\x05x"), EINVAL, "extension type", "ext8");
    refuse(d, BYTES("\xd4\x05x"), EINVAL, "extension type", "fixext");
    refuse(d, BYTES("\x81\x01\x01"), EINVAL, "key that is not a string at byte 1",
           "int key");
    refuse(d, BYTES("\x81\xc4\x01k\x01"), EINVAL, "not a string", "binary key");
    refuse(d, BYTES("\x82\xa1k\x01\x80\x01"), EINVAL, "not a string at byte 4",
           "second key a map");
    refuse(d, BYTES("\x82\xa1k\x01\xa1k\x02"), EINVAL, "'k' for the second time at byte 5",
           "dup");
    refuse(d, BYTES("\xa2\xc3\x28"), EINVAL, "not utf-8 at byte 1", "utf-8");
    refuse(d, BYTES("\x81\xa1\xff\x01"), EINVAL, "not utf-8 at byte 2", "utf-8 in a key");
    refuse(d,
           BYTES("\xa3"
                 "a\0b"),
           EINVAL, "nul character", "nul");
    refuse(d, BYTES("\xca\x7f\xc0\x00\x00"), EINVAL, "not finite", "nan 32");
    refuse(d, BYTES("\xca\xff\x80\x00\x00"), EINVAL, "not finite", "-inf 32");
    refuse(d, BYTES("\xcb\x7f\xf8\0\0\0\0\0\0"), EINVAL, "not finite", "nan 64");
    refuse(d, BYTES("\xcb\x7f\xf0\0\0\0\0\0\0"), EINVAL, "not finite", "inf 64");
    refuse(d, BYTES("\xdd\xff\xff\xff\xff"), EINVAL, "more items than there are bytes",
           "4G items");
    refuse(d, BYTES("\xdf\xff\xff\xff\xff"), EINVAL, "more pairs than there are bytes",
           "4G pairs");
    refuse(d, BYTES("\xdf\x80\x00\x00\x00"), EINVAL, "more pairs than there are bytes",
           "2G pairs");
    refuse(d, BYTES("\xdb\xff\xff\xff\xff"), EINVAL, "ends in the middle", "4G string");
    refuse(d,
           BYTES("\xc6\xff\xff\xff\xff"
                 "abc"),
           EINVAL, "ends in the middle", "4G binary");
    refuse(d, BYTES("\xcf\x01"), EINVAL, "ends in the middle of the value at byte 0",
           "short u64");
}

static void test_json_refused(void)
{
    decode_fn *d = value_from_json;

    refuse(d, BYTES(""), EINVAL, "line 1", "nothing");
    refuse(d, BYTES("{\"a\":1,\"a\":2}"), EINVAL, "duplicate", "duplicate key");
    refuse(d, BYTES("{\n\n\"a\" 1}"), EINVAL, "line 3, byte", "no colon, with its place");
    refuse(d, BYTES("\"\xff\""), EINVAL, "line 1", "utf-8");
    refuse(d, BYTES("\"\\ud800\""), EINVAL, "line 1", "half a surrogate pair");
    refuse(d, BYTES("\"a\\u0000b\""), EINVAL, "\\u0000", "escaped nul");
    refuse(d, BYTES("\"a\0b\""), EINVAL, "line 1", "nul");
    refuse(d, BYTES("{\"a\\u0000b\":1}"), EINVAL, "line 1", "nul in a key");
    refuse(d, BYTES("9223372036854775808"), EINVAL, "too big", "past int64");
    refuse(d, BYTES("-9223372036854775809"), EINVAL, "too big", "past int64, negative");
    refuse(d, BYTES("1e999"), EINVAL, "overflow", "past double");
    refuse(d, BYTES("NaN"), EINVAL, "line 1", "nan");
    refuse(d, BYTES("1 2"), EINVAL, "end of file", "trailing");
    refuse(d, BYTES("[1,]"), EINVAL, "line 1", "comma at the end");
    refuse(d, BYTES("{'a':1}"), EINVAL, "line 1", "single quotes");
    refuse(d, BYTES("]"), EINVAL, "line 1", "closing only");
    refuse(d, BYTES("[}"), EINVAL, "line 1", "wrong bracket");
    refuse(d, BYTES("\"\\"), EINVAL, "line 1", "ends in an escape");
    refuse(d, BYTES("// x\n1"), EINVAL, "line 1", "comment");
}

static size_t nest(char *out, const char *open, unsigned n, const char *inner,
                   const char *close)
{
    char *p = out;

    for (unsigned i = 0; i < n; i++)
        p = stpcpy(p, open);
    p = stpcpy(p, inner);
    for (unsigned i = 0; i < n; i++)
        p = stpcpy(p, close);
    return (size_t)(p - out);
}

static void check_depth(decode_fn *decode, const char *name, const char *open,
                        const char *inner, const char *close)
{
    const struct value_limits most = {1 << 20, 1000, 1000}, one = {100, 1, 10},
                              none = {100, 0, 10};
    cleanup_free char *text = malloc(1 << 20);
    struct berth_error err = {0};
    size_t len;

    len = nest(text, open, 15, inner, close);
    is_int(try_decode(decode, text, len, NULL, &err), 0, "%s: 16 levels", name);
    len = nest(text, open, 16, inner, close);
    is_int(try_decode(decode, text, len, NULL, &err), -E2BIG, "%s: 17 levels", name);
    has_str(err.text, "deeper than 16 levels at byte", "%s: says so", name);
    len = nest(text, open, 31, inner, close);
    is_int(try_decode(decode, text, len, &most, &err), 0, "%s: 32 levels when asked", name);
    len = nest(text, open, 32, inner, close);
    is_int(try_decode(decode, text, len, &most, &err), -E2BIG, "%s: never 33", name);
    len = nest(text, open, 100000, inner, close);
    is_int(try_decode(decode, text, len, &most, &err), -E2BIG, "%s: 100000 levels", name);
    is_int(try_decode(decode, inner, strlen(inner), &one, &err), 0, "%s: scalar, 1", name);
    is_int(try_decode(decode, inner, strlen(inner), &none, &err), -E2BIG, "%s: scalar, 0",
           name);
}

static void test_limits(void)
{
    const struct value_limits three = {10, 16, 3};
    struct berth_error err = {0};

    check_depth(value_from_msgpack, "msgpack arrays", "\x91", "\x01", "");
    check_depth(value_from_msgpack, "msgpack maps", "\x81\xa1k", "\x01", "");
    check_depth(value_from_json, "json arrays", "[", "1", "]");
    check_depth(value_from_json, "json maps", "{\"k\":", "1", "}");
    is_int(try_decode(value_from_msgpack, BYTES("\x92\x91\x01\x01"), &three, &err), 0,
           "3 items");
    is_int(try_decode(value_from_msgpack, BYTES("\x92\x92\x01\x01\x01"), &three, &err),
           -E2BIG, "4 items");
    has_str(err.text, "more than 3 items at byte 1", "says so");
    is_int(try_decode(value_from_json, BYTES("[[1],1]"), &three, &err), 0, "json: 3 items");
    is_int(try_decode(value_from_json, BYTES("[[1,1],1]"), &three, &err), -E2BIG,
           "json: 4 items");
    has_str(err.text, "more than 3 items at byte 7", "says so");
    is_int(try_decode(value_from_json, BYTES("[[ ], {} ]"), &three, &err), 0,
           "empty ones are none");
    is_int(try_decode(value_from_json, BYTES("[\",,,[[\"] "), &three, &err), 0,
           "in a string");
    is_int(try_decode(value_from_json, BYTES("           "), &three, &err), -E2BIG,
           "json: 11 bytes");
    is_int(try_decode(value_from_msgpack,
                      BYTES("\xaa"
                            "0123456789"),
                      &three, &err),
           -E2BIG, "msgpack: 11 bytes");
    has_str(err.text, "11 bytes, the limit is 10", "says so");
}

static void sample_to_msgpack(struct buf *out)
{
    cleanup_arena struct arena *a = arena_new();
    struct berth_error err = {0};
    struct value v;

    is_int(value_from_json(a, sample_json, strlen(sample_json), NULL, &v, &err), 0,
           "sample");
    is_int(value_to_msgpack(&v, out), 0, "sample to msgpack");
}

static void test_truncated(void)
{
    cleanup_buf struct buf packed = BUF_INIT;
    unsigned accepted = 0, unplaced = 0;
    size_t len = strlen(sample_json);
    struct berth_error err = {0};

    sample_to_msgpack(&packed);
    for (size_t n = 0; n < packed.len; n++) {
        accepted += try_decode(value_from_msgpack, packed.data, n, NULL, &err) != -EINVAL;
        unplaced += !strstr(err.text, "at byte ");
    }
    for (size_t n = 0; n < len; n++) {
        accepted += try_decode(value_from_json, sample_json, n, NULL, &err) != -EINVAL;
        unplaced += !strstr(err.text, ", byte ");
    }
    is_int(accepted, 0, "cut short anywhere, neither format is accepted");
    is_int(unplaced, 0, "and each refusal names its place");
}

/* Every byte of the sample replaced by every other: nothing may crash, and what is accepted
 * must be writable in both formats. */
static void test_damaged(void)
{
    cleanup_buf struct buf packed = BUF_INIT, out = BUF_INIT;
    struct berth_error err;
    unsigned wrong = 0;
    struct value v;

    sample_to_msgpack(&packed);
    for (size_t n = 0; n < packed.len; n++) {
        char saved = packed.data[n];

        for (int c = 0; c < 256; c++) {
            cleanup_arena struct arena *a = arena_new();

            packed.data[n] = (char)c;
            if (value_from_msgpack(a, packed.data, packed.len, NULL, &v, &err) < 0)
                continue;
            out.len = 0;
            wrong += value_to_json(&v, &out, false) != 0 || !is_utf8(out.data, out.len);
            out.len = 0;
            wrong += value_to_msgpack(&v, &out) != 0 || out.len > packed.len + 16;
        }
        packed.data[n] = saved;
    }
    is_int(wrong, 0, "any one byte damaged");
}

/* 200 000 different keys take a moment; the last one twice is found. */
static void test_big_map(void)
{
    cleanup_arena struct arena *a = arena_new(), *b = arena_new();
    struct value map = value_new_map(a), back;
    cleanup_buf struct buf packed = BUF_INIT;
    struct berth_error err = {0};
    int64_t start = now_ms();

    for (int i = 0; i < 200000; i++)
        value_put_int(a, &map, arena_fmt(a, "%d", i), i);
    is_int(value_to_msgpack(&map, &packed), 0, "a big map");
    is_int(value_from_msgpack(b, packed.data, packed.len, NULL, &back, &err), 0, "is read");
    is_int(value_int(&back, "199999", 0), 199999, "to its end");
    value_put_int(a, &map, "77777", 5);
    packed.len = 0;
    is_int(value_to_msgpack(&map, &packed), 0, "with a key twice");
    is_int(value_from_msgpack(b, packed.data, packed.len, NULL, &back, &err), -EINVAL,
           "it is not");
    has_str(err.text, "'77777' for the second time", "and says which");
    ok(now_ms() - start < 20000, "no time that grows with the square");
}

int main(void)
{
    test_invalid();
    test_msgpack_refused();
    test_json_refused();
    test_limits();
    test_truncated();
    test_damaged();
    test_big_map();
    return tap_done();
}
