/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * JSON (RFC 8259) to values; the only user of jansson.
 *
 * jansson builds a whole tree before anybody can count, so a scan over the text comes
 * first: it follows nothing but strings, brackets and commas, allocates nothing, and
 * refuses what is past a limit. Whether the text is JSON at all, jansson decides.
 */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/fail.h"
#include "codec/container.h"

struct scan {
    const char *text, *p, *end;
    const struct value_limits *lim;
    unsigned depth;
    uint64_t items;
    bool expect; /* the next token is an item of the innermost container */
    struct berth_error *err;
};

/* Behind the closing quote, or at the end. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

static int scan_item(struct scan *s)
{
    s->expect = false;
    if (++s->items > s->lim->max_items)
        return berth_fail(s->err, E2BIG, "json: more than %u items at byte %zu",
                          s->lim->max_items, (size_t)(s->p - s->text));
    if (s->depth + 1 > limit_depth(s->lim))
        return berth_fail(s->err, E2BIG, "json: deeper than %u levels at byte %zu",
                          limit_depth(s->lim), (size_t)(s->p - s->text));
    return 0;
}

static int scan_token(struct scan *s)
{
    char c = *s->p;
    int r = 0;

    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        s->p++;
        return 0;
    }
    if (s->expect && c != ']' && c != '}' && c != ',')
        r = scan_item(s);
    if (r < 0)
        return r;
    if (c == '"') {
        s->p = skip_string(s->p, s->end);
        return 0;
    }
    if (c == '[' || c == '{') {
        s->depth++;
        s->expect = true;
    } else if ((c == ']' || c == '}') && s->depth) {
        s->depth--;
        s->expect = false;
    } else if (c == ',') {
        s->expect = true;
    }
    s->p++;
    return 0;
}

static int scan_all(struct scan *s)
{
    int r = 0;

    if (limit_depth(s->lim) < 1)
        return berth_fail(s->err, E2BIG, "json: deeper than 0 levels");
    while (s->p < s->end && r >= 0)
        r = scan_token(s);
    return r;
}

static int build_value(struct arena *a, const json_t *j, struct value *ret);

static int build_str(struct arena *a, const char *s, size_t len, struct value *ret)
{
    char *copy = arena_mem(a, s, len);

    if (!copy)
        return -ENOMEM;
    *ret = (struct value){.type = VALUE_STR, .s = copy, .len = len};
    return 0;
}

static int build_array(struct arena *a, const json_t *j, struct value *ret)
{
    size_t n = json_array_size(j);
    struct value *item;
    int r = 0;

    *ret = value_new_array(a);
    container_reserve(a, ret, (uint32_t)n);
    for (size_t i = 0; i < n && r >= 0; i++) {
        item = container_item(a, ret);
        r = item ? build_value(a, json_array_get(j, i), item) : -ENOMEM;
    }
    return r;
}

static int build_map(struct arena *a, json_t *j, struct value *ret)
{
    struct value_pair *p;
    const char *key;
    int r = 0;

    *ret = value_new_map(a);
    container_reserve(a, ret, (uint32_t)json_object_size(j));
    for (void *i = json_object_iter(j); i && r >= 0; i = json_object_iter_next(j, i)) {
        p = container_pair(a, ret);
        if (!p)
            return -ENOMEM;
        key = json_object_iter_key(i);
        r = build_str(a, key, strlen(key), &p->key);
        if (r >= 0)
            r = build_value(a, json_object_iter_value(i), &p->val);
    }
    return r;
}

/* Recurses no deeper than the scan allowed. */
static int build_value(struct arena *a, const json_t *j, struct value *ret)
{
    switch (json_typeof(j)) {
    case JSON_TRUE:
    case JSON_FALSE:
        *ret = value_new_bool(json_is_true(j));
        return 0;
    case JSON_INTEGER:
        *ret = value_new_int(json_integer_value(j));
        return 0;
    case JSON_REAL:
        *ret = value_new_float(json_real_value(j));
        return 0;
    case JSON_STRING:
        return build_str(a, json_string_value(j), json_string_length(j), ret);
    case JSON_ARRAY:
        return build_array(a, j, ret);
    case JSON_OBJECT:
        return build_map(a, (json_t *)(uintptr_t)j, ret);
    default:
        *ret = (struct value){.type = VALUE_NIL};
        return 0;
    }
}

static void decref(json_t **j)
{
    json_decref(*j);
}

static int load_fail(struct berth_error *err, const json_error_t *e)
{
    if (json_error_code(e) == json_error_out_of_memory)
        return berth_fail(err, ENOMEM, "out of memory");
    return berth_fail(err, EINVAL, "json: line %d, byte %d: %s", e->line, e->position,
                      e->text);
}

int value_from_json(struct arena *a, const void *data, size_t len,
                    const struct value_limits *lim, struct value *ret,
                    struct berth_error *err)
{
    struct scan s = {
        .text = data, .p = data, .lim = lim ? lim : &value_limits_default, .err = err};
    __attribute__((cleanup(decref))) json_t *j = NULL;
    json_error_t e;
    struct value v;
    int r;

    if (!a || (!data && len) || !ret)
        return berth_fail(err, EINVAL, "json: no data");
    if (len > s.lim->max_bytes)
        return berth_fail(err, E2BIG, "json: %zu bytes, the limit is %zu", len,
                          s.lim->max_bytes);
    s.end = s.text + len;
    r = scan_all(&s);
    if (r < 0)
        return r;
    j = json_loadb(data ? data : "", len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    if (!j)
        return load_fail(err, &e);
    r = build_value(a, j, &v);
    if (r < 0)
        return berth_fail(err, -r, "out of memory");
    *ret = v;
    return 0;
}
