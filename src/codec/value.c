/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Values: building and looking in.
 *
 * Entries stand behind a small header that says how many there is room for and how many are
 * taken. A struct value may be copied; when two copies append, the header's number and the
 * copy's differ for the second one, and it gets entries of its own.
 */
#include "codec/value.h"

#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "codec/container.h"

const struct value_limits value_limits_default = {8u << 20, 16, 1000000};

struct entries {
    _Alignas(max_align_t) uint32_t used;
    uint32_t cap;
};

/* What a value points to whose memory could not be had: empty, but known by its address. */
static struct value failed_items[1];
static struct value_pair failed_pairs[1];
static const char failed_text[] = "";

bool value_has_failed(const struct value *v)
{
    switch (v->type) {
    case VALUE_ARRAY:
        return v->items == failed_items;
    case VALUE_MAP:
        return v->pairs == failed_pairs;
    case VALUE_STR:
    case VALUE_BIN:
        return v->s == failed_text;
    default:
        return false;
    }
}

static void container_fail(struct value *v)
{
    v->count = 0;
    if (v->type == VALUE_ARRAY)
        v->items = failed_items;
    else
        v->pairs = failed_pairs;
}

static size_t entry_size(const struct value *v)
{
    return v->type == VALUE_ARRAY ? sizeof(struct value) : sizeof(struct value_pair);
}

static struct entries *entries_of(const struct value *v)
{
    return v->items ? (struct entries *)(void *)v->items - 1 : NULL;
}

static struct entries *container_grow(struct arena *a, struct value *v, uint32_t cap)
{
    size_t size = entry_size(v);
    struct entries *e = NULL;

    if (a && cap > v->count)
        e = arena_alloc(a, sizeof(*e) + (size_t)cap * size);
    if (!e) {
        container_fail(v);
        return NULL;
    }
    if (v->count)
        memcpy(e + 1, v->items, v->count * size);
    e->used = v->count;
    e->cap = cap;
    v->items = (struct value *)(void *)(e + 1);
    return e;
}

void container_reserve(struct arena *a, struct value *v, uint32_t n)
{
    const struct entries *e = entries_of(v);

    if (n && !value_has_failed(v) && (!e || e->used != v->count || e->cap - e->used < n))
        container_grow(a, v, v->count + n);
}

static bool container_next(struct arena *a, struct value *v, enum value_type type)
{
    struct entries *e;

    if (v->type != type || value_has_failed(v))
        return false;
    e = entries_of(v);
    if (!e || e->used != v->count || e->used == e->cap)
        e = container_grow(a, v, v->count < 4 ? 8 : v->count * 2);
    if (!e)
        return false;
    e->used = ++v->count;
    return true;
}

struct value *container_item(struct arena *a, struct value *array)
{
    return container_next(a, array, VALUE_ARRAY) ? &array->items[array->count - 1] : NULL;
}

struct value_pair *container_pair(struct arena *a, struct value *map)
{
    return container_next(a, map, VALUE_MAP) ? &map->pairs[map->count - 1] : NULL;
}

struct value value_new_map(struct arena *a)
{
    struct value v = {.type = VALUE_MAP};

    if (!a)
        container_fail(&v);
    return v;
}

struct value value_new_array(struct arena *a)
{
    struct value v = {.type = VALUE_ARRAY};

    if (!a)
        container_fail(&v);
    return v;
}

static struct value new_bytes(struct arena *a, enum value_type type, const void *data,
                              size_t len)
{
    /* both formats stop at 32 bits */
    const char *s = a && len <= UINT32_MAX ? arena_mem(a, data, len) : NULL;

    if (!s)
        return (struct value){.type = type, .s = failed_text};
    return (struct value){.type = type, .s = s, .len = len};
}

struct value value_new_str(struct arena *a, const char *s)
{
    cleanup_buf struct buf clean = BUF_INIT;
    size_t len;

    if (!s)
        return (struct value){.type = VALUE_NIL};
    len = strlen(s);
    if (is_utf8(s, len))
        return new_bytes(a, VALUE_STR, s, len);
    buf_utf8(&clean, s, len);
    if (clean.failed)
        return (struct value){.type = VALUE_STR, .s = failed_text};
    return new_bytes(a, VALUE_STR, clean.data, clean.len);
}

struct value value_new_bin(struct arena *a, const void *data, size_t len)
{
    return new_bytes(a, VALUE_BIN, data, len);
}

struct value value_new_int(int64_t i)
{
    return (struct value){.type = VALUE_INT, .i = i};
}

struct value value_new_float(double f)
{
    return (struct value){.type = VALUE_FLOAT, .f = f};
}

struct value value_new_bool(bool b)
{
    return (struct value){.type = VALUE_BOOL, .b = b};
}

void value_put(struct arena *a, struct value *map, const char *key, struct value v)
{
    struct value_pair *p = container_pair(a, map);

    if (!p)
        return;
    p->key = (struct value){.type = VALUE_STR, .s = key, .len = strlen(key)};
    p->val = v;
}

void value_put_str(struct arena *a, struct value *map, const char *key, const char *s)
{
    if (s)
        value_put(a, map, key, value_new_str(a, s));
}

void value_put_int(struct arena *a, struct value *map, const char *key, int64_t i)
{
    value_put(a, map, key, value_new_int(i));
}

void value_put_float(struct arena *a, struct value *map, const char *key, double f)
{
    value_put(a, map, key, value_new_float(f));
}

void value_put_bool(struct arena *a, struct value *map, const char *key, bool b)
{
    value_put(a, map, key, value_new_bool(b));
}

void value_put_bin(struct arena *a, struct value *map, const char *key, const void *d,
                   size_t n)
{
    value_put(a, map, key, value_new_bin(a, d, n));
}

void value_add(struct arena *a, struct value *array, struct value v)
{
    struct value *item = container_item(a, array);

    if (item)
        *item = v;
}

const struct value *value_get(const struct value *v, const char *key)
{
    size_t len;

    if (!v || v->type != VALUE_MAP || !key)
        return NULL;
    len = strlen(key);
    for (uint32_t i = 0; i < v->count; i++)
        if (v->pairs[i].key.len == len && !memcmp(v->pairs[i].key.s, key, len))
            return &v->pairs[i].val;
    return NULL;
}

int64_t value_int(const struct value *map, const char *key, int64_t def)
{
    const struct value *v = value_get(map, key);

    return v && v->type == VALUE_INT ? v->i : def;
}

double value_float(const struct value *map, const char *key, double def)
{
    const struct value *v = value_get(map, key);

    if (!v)
        return def;
    switch (v->type) {
    case VALUE_FLOAT:
        return v->f;
    case VALUE_INT:
        return (double)v->i;
    case VALUE_UINT:
        return (double)v->u;
    default:
        return def;
    }
}

bool value_bool(const struct value *map, const char *key, bool def)
{
    const struct value *v = value_get(map, key);

    return v && v->type == VALUE_BOOL ? v->b : def;
}

const char *value_str(const struct value *map, const char *key, const char *def)
{
    const struct value *v = value_get(map, key);

    return v && v->type == VALUE_STR ? v->s : def;
}

struct value value_copy(struct arena *a, const struct value *v)
{
    struct value copy = *v;
    switch (v->type) {
    case VALUE_STR:
    case VALUE_BIN:
        copy.s = arena_mem(a, v->s, v->len);
        break;
    case VALUE_ARRAY:
        copy = value_new_array(a);
        for (uint32_t i = 0; i < v->count; i++)
            value_add(a, &copy, value_copy(a, &v->items[i]));
        break;
    case VALUE_MAP:
        copy = value_new_map(a);
        for (uint32_t i = 0; i < v->count; i++)
            value_put(a, &copy, arena_str(a, v->pairs[i].key.s), value_copy(a, &v->pairs[i].val));
        break;
    default:
        break;
    }
    return copy;
}
