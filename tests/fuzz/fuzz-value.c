/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * msgpack or JSON from anybody. What is taken can be written again, and reads as the same:
 * JSON -> value -> JSON and JSON -> value -> msgpack -> value -> JSON are one text.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

static void check_again(struct arena *a, const struct value *v, const struct buf *first)
{
    cleanup_buf struct buf json = BUF_INIT, pretty = BUF_INIT, second = BUF_INIT;
    struct value copy = value_copy(a, v);
    fuzz_check(value_to_msgpack(&copy, &second) == 0);
    fuzz_check(second.len == first->len && !memcmp(second.data, first->data, first->len));
    fuzz_check(value_to_json(v, &json, false) == 0);
    fuzz_check(value_to_json(&copy, &pretty, true) == 0);
    fuzz_check(json.len <= pretty.len && strlen(json.data) == json.len);
}

static void look(const struct value *v)
{
    value_int(v, "id", 0);
    value_float(v, "id", 0);
    value_bool(v, "id", false);
    fuzz_check(value_str(v, "id", "none"));
}

static void decode_msgpack(const uint8_t *data, size_t size,
                           const struct value_limits *limits)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf out = BUF_INIT, out2 = BUF_INIT;
    struct berth_error err = {0};
    struct value v, v2;
    int r = value_from_msgpack(a, data, size, limits, &v, &err);
    fuzz_check_error(r, &err);
    if (r < 0)
        return;
    look(&v);
    fuzz_check(value_to_msgpack(&v, &out) == 0);
    r = value_from_msgpack(a, out.data, out.len, limits, &v2, &err);
    /* a short float comes back as a long one, and the limit is on bytes */
    if (r == -E2BIG && out.len > size)
        return;
    fuzz_check_said(r == 0, err.text);
    fuzz_check(value_to_msgpack(&v2, &out2) == 0);
    fuzz_check(out.len == out2.len && !memcmp(out.data, out2.data, out.len));
    check_again(a, &v, &out);
}

static void check_same(const struct buf *a, const struct buf *b)
{
    fuzz_check_said(a->len == b->len && !memcmp(a->data, b->data, a->len), a->data);
}

static void by_json(struct arena *a, const struct buf *text,
                    const struct value_limits *limits)
{
    cleanup_buf struct buf again = BUF_INIT;
    struct berth_error err = {0};
    struct value v;
    int r = value_from_json(a, text->data, text->len, limits, &v, &err);
    if (r == -E2BIG) /* escapes may have made it longer */
        return;
    fuzz_check_said(r == 0, err.text);
    fuzz_check(value_to_json(&v, &again, false) == 0);
    check_same(text, &again);
}

static void by_msgpack(struct arena *a, const struct value *v, const struct buf *text)
{
    cleanup_buf struct buf msgpack = BUF_INIT, again = BUF_INIT;
    struct berth_error err = {0};
    struct value back;
    fuzz_check(value_to_msgpack(v, &msgpack) == 0);
    int r = value_from_msgpack(a, msgpack.data, msgpack.len, NULL, &back, &err);
    fuzz_check_said(r == 0, err.text);
    fuzz_check(value_to_json(&back, &again, false) == 0);
    check_same(text, &again);
}

static void decode_json(const uint8_t *data, size_t size, const struct value_limits *limits)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf text = BUF_INIT;
    struct berth_error err = {0};
    struct value v;
    int r = value_from_json(a, data, size, limits, &v, &err);
    fuzz_check_error(r, &err);
    if (r < 0)
        return;
    fuzz_check(value_to_json(&v, &text, false) == 0);
    by_json(a, &text, limits);
    by_msgpack(a, &v, &text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct value_limits narrow = {512, 4, 24};
    decode_msgpack(data, size, NULL);
    decode_msgpack(data, size, &narrow);
    decode_json(data, size, NULL);
    decode_json(data, size, &narrow);
    return 0;
}
