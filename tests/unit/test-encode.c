/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Values: what survives a round trip, and what builders remember. */
#include <errno.h>
#include <math.h>

#include "../tap.h"
#include "base/fail.h"
#include "codec/value.h"

static const char sample_json[] =
    "{\"v\":1,\"id\":\"a-1\",\"args\":[\"x\",\"\xc3\xa4\"],\"env\":{\"A\":\"b\\n\\u0001\"},"
    "\"cpus\":2.5,\"whole\":3.0,\"big\":9223372036854775807,\"small\":-9223372036854775808,"
    "\"t\":true,\"f\":false,\"n\":null,\"e\":[],\"o\":{},\"tiny\":1e-07,\"third\":0.1}";

static void test_failure_is_remembered(void)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf out = BUF_INIT;
    struct value map = value_new_map(a), list = value_new_array(a);

    buf_str(&out, "before");
    value_put_int(a, &map, "ok", 1);
    value_put(a, &map, "bin", value_new_bin(a, "", SIZE_MAX));
    is_str(value_get(&map, "bin")->s, "", "a failed binary reads as empty");
    is_int(value_to_msgpack(&map, &out), -ENOMEM, "msgpack: a failed part fails the whole");
    is_int(value_to_json(&map, &out, false), -ENOMEM, "json: the same");
    is_int(out.len, 6, "and the buffer is as before");
    value_add(NULL, &list, value_new_int(1));
    is_int(list.count, 0, "a failed array reads as empty");
    value_add(a, &list, value_new_int(1));
    is_int(value_to_json(&list, &out, false), -ENOMEM, "a failed array stays failed");
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

static void test_round_trip(void)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf packed = BUF_INIT, again = BUF_INIT, text = BUF_INIT,
                           nice = BUF_INIT;
    struct berth_error err = {0};
    struct value v, w;

    sample_to_msgpack(&packed);
    is_int(value_from_msgpack(a, packed.data, packed.len, NULL, &v, &err), 0,
           "decode msgpack");
    is_int(value_to_json(&v, &text, false), 0, "encode json");
    is_str(text.data, sample_json, "json, msgpack, json: the same text");
    is_int(value_to_json(&v, &nice, true), 0, "encode json for people");
    is_int(value_from_json(a, nice.data, nice.len, NULL, &w, &err), 0, "which reads back");
    is_int(value_to_msgpack(&w, &again), 0, "to msgpack again");
    ok(again.len == packed.len && !memcmp(again.data, packed.data, packed.len),
       "the same bytes");
    is_int(value_int(&v, "v", 0), 1, "int");
    ok(value_float(&v, "cpus", 0) == 2.5 && value_float(&v, "v", 0) == 1,
       "float, also of an int");
    ok(value_get(&v, "whole")->type == VALUE_FLOAT, "3.0 stays a float");
    ok(value_int(&v, "small", 0) == INT64_MIN && value_int(&v, "big", 0) == INT64_MAX,
       "extremes");
    ok(value_bool(&v, "t", false) && !value_bool(&v, "f", true) &&
           value_bool(&v, "x", true),
       "bool");
    is_str(value_str(&v, "id", ""), "a-1", "str");
    is_int(value_int(&v, "id", 9), 9, "of another type: the default");
    is_str(value_str(value_get(&v, "env"), "A", ""), "b\n\x01", "escapes");
}

static void test_binary(void)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf packed = BUF_INIT, text = BUF_INIT;
    struct value map = value_new_map(a), list = value_new_array(a), back;
    struct berth_error err = {0};

    value_put_bin(a, &map, "input", "\0\xff\x10", 3);
    value_put_bin(a, &map, "none", NULL, 0);
    value_add(a, &list, value_new_bin(a, "ab", 2));
    value_put(a, &map, "list", list);
    is_int(value_to_json(&map, &text, false), 0, "to json");
    is_str(text.data, "{\"input_b64\":\"AP8Q\",\"none_b64\":\"\",\"list\":[\"YWI=\"]}",
           "binary as base64, under its name with _b64");
    is_int(value_to_msgpack(&map, &packed), 0, "to msgpack");
    is_int(value_from_msgpack(a, packed.data, packed.len, NULL, &back, &err), 0,
           "and back");
    ok(value_get(&back, "input")->type == VALUE_BIN &&
           value_get(&back, "input")->len == 3 &&
           !memcmp(value_get(&back, "input")->s, "\0\xff\x10", 4),
       "the same bytes, with a nul after them");
}

static void test_numbers(void)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf text = BUF_INIT, packed = BUF_INIT;
    struct value list = value_new_array(a), back;
    struct berth_error err = {0};

    value_add(a, &list, (struct value){.type = VALUE_UINT, .u = UINT64_MAX});
    value_add(a, &list, value_new_float(-0.0));
    value_add(a, &list, value_new_float(1e300));
    value_add(a, &list, value_new_float(0.1 + 0.2));
    value_add(a, &list, value_new_float(1e15));
    is_int(value_to_msgpack(&list, &packed), 0, "to msgpack");
    is_int(value_from_msgpack(a, packed.data, packed.len, NULL, &back, &err), 0,
           "and back");
    ok(back.items[0].type == VALUE_UINT && back.items[0].u == UINT64_MAX, "uint64");
    ok(back.items[3].f == 0.1 + 0.2, "float");
    value_add(a, &list, value_new_float(NAN));
    value_add(a, &list, value_new_float(INFINITY));
    is_int(value_to_json(&list, &text, false), 0, "to json");
    is_str(text.data,
           "[18446744073709551615,-0.0,1e+300,0.30000000000000004,1e+15,null,null]",
           "as json writes them");
    is_int(value_from_msgpack(a, "\xcb\x40\x04\0\0\0\0\0\0", 9, NULL, &back, &err), 0,
           "2.5");
    ok(back.type == VALUE_FLOAT && back.f == 2.5, "is 2.5");
    is_int(value_from_msgpack(a, "\xca\x40\x20\0\0", 5, NULL, &back, &err), 0,
           "2.5 in 32 bits");
    ok(back.type == VALUE_FLOAT && back.f == 2.5, "is 2.5 too");
}

static void test_strings(void)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf text = BUF_INIT;
    struct value list = value_new_array(a);

    value_add(a, &list, value_new_str(a, "a\"\\/\b\f\n\r\t\x1f\x7f"));
    value_add(a, &list, value_new_str(a, "\xff"));
    value_add(a, &list, value_new_str(a, NULL));
    value_add(a, &list, (struct value){.type = VALUE_STR, .s = "b\xff", .len = 2});
    is_int(value_to_json(&list, &text, false), 0, "to json");
    is_str(text.data,
           "[\"a\\\"\\\\/"
           "\\b\\f\\n\\r\\t\\u001f\x7f\",\"\xef\xbf\xbd\",null,\"b\xef\xbf\xbd\"]",
           "escapes, and U+FFFD for what is not utf-8");
    text.len = 0;
    list = value_new_array(a);
    value_add(a, &list, value_new_map(a));
    value_put_str(a, &list.items[0], "k", "v");
    value_put_str(a, &list.items[0], "skipped", NULL);
    value_add(a, &list, value_new_array(a));
    is_int(value_to_json(&list, &text, true), 0, "for people");
    is_str(text.data, "[\n  {\n    \"k\": \"v\"\n  },\n  []\n]", "indented");
}

static void test_append(void)
{
    cleanup_arena struct arena *a = arena_new();
    struct value one = value_new_array(a), two, map;
    struct berth_error err = {0};
    bool right = true;

    for (int i = 0; i < 1000; i++)
        value_add(a, &one, value_new_int(i));
    two = one;
    value_add(a, &one, value_new_int(1));
    value_add(a, &two, value_new_int(2));
    for (int i = 0; i < 1000; i++)
        right = right && one.items[i].i == i && two.items[i].i == i;
    ok(right, "what was appended is there");
    ok(one.items[1000].i == 1 && two.items[1000].i == 2,
       "copies that append do not disturb");
    value_from_msgpack(a, "\x81\xa1k\x01", 4, NULL, &map, &err);
    value_put_int(a, &map, "l", 2);
    ok(map.count == 2 && value_int(&map, "k", 0) == 1 && value_int(&map, "l", 0) == 2,
       "a decoded map may be appended to");
    value_from_json(a, "{}", 2, NULL, &map, &err);
    value_put_int(a, &map, "l", 2);
    is_int(value_int(&map, "l", 0), 2, "an empty decoded one too");
}

static void test_base64(void)
{
    static const char *const bad[] = {
        "A",    "AA",   "AAA",  "A===",     "====",  "=AAA", "AA=A",
        "AAA*", "AAB=", "AB==", "AA==AAAA", "AAA\n", "AA A", "-_-_"};
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf all = BUF_INIT;
    unsigned char bytes[256];
    size_t len = 99;
    char *back;

    for (size_t i = 0; i < countof(pairs); i++) { /* RFC 4648, section 10 */
        cleanup_buf struct buf out = BUF_INIT;

        base64_encode(&out, pairs[i][0], strlen(pairs[i][0]));
        ok(out.len == strlen(pairs[i][1]) &&
               !memcmp(out.len ? out.data : "", pairs[i][1], out.len),
           "encode '%s'", pairs[i][0]);
        ok(!base64_decode(a, pairs[i][1], strlen(pairs[i][1]), &back, &len) &&
               len == strlen(pairs[i][0]) && !strcmp(back, pairs[i][0]),
           "decode '%s'", pairs[i][1]);
    }
    for (size_t i = 0; i < countof(bad); i++)
        is_int(base64_decode(a, bad[i], strlen(bad[i]), &back, &len), -EINVAL,
               "refuse '%s'", bad[i]);
    for (int i = 0; i < 256; i++)
        bytes[i] = (unsigned char)i;
    base64_encode(&all, bytes, 256);
    ok(!base64_decode(a, all.data, all.len, &back, &len) && len == 256 &&
           !memcmp(back, bytes, 256),
       "all bytes there and back");
}

int main(void)
{
    test_failure_is_remembered();
    test_round_trip();
    test_binary();
    test_numbers();
    test_strings();
    test_append();
    test_base64();
    return tap_done();
}
