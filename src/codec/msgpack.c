/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * msgpack (github.com/msgpack/msgpack/blob/master/spec.md) to values and back; the only
 * user of msgpack-c.
 *
 * msgpack-c believes an array that says it has four thousand million items, and allocates
 * them. So a walk over the bytes comes first. It allocates nothing, follows every length,
 * and refuses whatever is not ours to read; what msgpack-c sees after it is complete and
 * small.
 */
#include <errno.h>
#include <msgpack.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "codec/container.h"

struct walk {
    const uint8_t *data, *p, *end;
    const struct value_limits *lim;
    unsigned depth; /* containers open */
    uint64_t items;
    struct {
        uint64_t left; /* values to come; of a map, keys count too */
        bool map;
    } open[VALUE_DEPTH_MAX];
    struct berth_error *err;
};

enum kind {
    KIND_SCALAR,
    KIND_FLOAT32,
    KIND_FLOAT64,
    KIND_STR,
    KIND_BIN,
    KIND_ARRAY,
    KIND_MAP,
    KIND_EXT,
    KIND_BAD
};

struct head {
    enum kind kind;
    unsigned char extra; /* bytes of length (str, bin, array, map) or of data */
};

/* The first byte from 0xc0 to 0xdf. */
static const struct head heads[32] = {
    {KIND_SCALAR, 0}, {KIND_BAD, 0},    {KIND_SCALAR, 0},  {KIND_SCALAR, 0},
    {KIND_BIN, 1},    {KIND_BIN, 2},    {KIND_BIN, 4},     {KIND_EXT, 0},
    {KIND_EXT, 0},    {KIND_EXT, 0},    {KIND_FLOAT32, 4}, {KIND_FLOAT64, 8},
    {KIND_SCALAR, 1}, {KIND_SCALAR, 2}, {KIND_SCALAR, 4},  {KIND_SCALAR, 8},
    {KIND_SCALAR, 1}, {KIND_SCALAR, 2}, {KIND_SCALAR, 4},  {KIND_SCALAR, 8},
    {KIND_EXT, 0},    {KIND_EXT, 0},    {KIND_EXT, 0},     {KIND_EXT, 0},
    {KIND_EXT, 0},    {KIND_STR, 1},    {KIND_STR, 2},     {KIND_STR, 4},
    {KIND_ARRAY, 2},  {KIND_ARRAY, 4},  {KIND_MAP, 2},     {KIND_MAP, 4},
};

static int walk_fail(const struct walk *w, const uint8_t *at, int code, const char *what)
{
    return berth_fail(w->err, code, "msgpack: %s at byte %zu", what,
                      (size_t)(at - w->data));
}

static uint64_t big_endian(const uint8_t *p, unsigned n)
{
    uint64_t u = 0;

    while (n--)
        u = u << 8 | *p++;
    return u;
}

/* Reads the first byte and what it needs; *ret_n: length, count or the bits of a float. */
static int walk_head(struct walk *w, enum kind *ret_kind, uint64_t *ret_n)
{
    uint8_t c = *w->p++;
    struct head h;

    *ret_kind = KIND_SCALAR;
    *ret_n = 0;
    if (c < 0x80 || c >= 0xe0)
        return 0;
    if (c < 0xc0) {
        *ret_kind = c < 0x90 ? KIND_MAP : c < 0xa0 ? KIND_ARRAY : KIND_STR;
        *ret_n = c < 0xa0 ? c & 15 : c & 31;
        return 0;
    }
    h = heads[c - 0xc0];
    if ((size_t)(w->end - w->p) < h.extra)
        return walk_fail(w, w->p - 1, EINVAL, "data ends in the middle of the value");
    *ret_kind = h.kind;
    *ret_n = big_endian(w->p, h.extra);
    w->p += h.extra;
    return 0;
}

static int walk_bytes(struct walk *w, const uint8_t *at, enum kind kind, uint64_t n)
{
    const char *s = (const char *)w->p;
    size_t good;

    if (n > (size_t)(w->end - w->p))
        return walk_fail(w, at, EINVAL, "data ends in the middle of the value");
    w->p += n;
    if (kind == KIND_BIN || !n)
        return 0;
    good = utf8_prefix(s, n);
    if (good < n)
        return walk_fail(w, (const uint8_t *)s + good, EINVAL, "string that is not utf-8");
    if (memchr(s, '\0', n))
        return walk_fail(w, at, EINVAL, "nul character in the string");
    return 0;
}

static int walk_container(struct walk *w, const uint8_t *at, bool map, uint64_t n)
{
    uint64_t values = map ? 2 * n : n;

    if (values > (size_t)(w->end - w->p))
        return walk_fail(w, at, EINVAL,
                         map ? "map with more pairs than there are bytes"
                             : "array with more items than there are bytes");
    w->items += n;
    if (w->items > w->lim->max_items)
        return berth_fail(w->err, E2BIG, "msgpack: more than %u items at byte %zu",
                          w->lim->max_items, (size_t)(at - w->data));
    if (n) {
        w->open[w->depth].left = values;
        w->open[w->depth++].map = map;
    }
    return 0;
}

static int walk_content(struct walk *w, const uint8_t *at, enum kind kind, uint64_t n)
{
    switch (kind) {
    case KIND_SCALAR:
        return 0;
    case KIND_FLOAT32:
        if ((n & 0x7f800000) != 0x7f800000)
            return 0;
        return walk_fail(w, at, EINVAL, "number that is not finite");
    case KIND_FLOAT64:
        if ((n & 0x7ff0000000000000) != 0x7ff0000000000000)
            return 0;
        return walk_fail(w, at, EINVAL, "number that is not finite");
    case KIND_STR:
    case KIND_BIN:
        return walk_bytes(w, at, kind, n);
    case KIND_ARRAY:
    case KIND_MAP:
        return walk_container(w, at, kind == KIND_MAP, n);
    case KIND_EXT:
        return walk_fail(w, at, EINVAL, "extension type, which berth does not use,");
    default:
        return walk_fail(w, at, EINVAL, "byte that starts no value");
    }
}

/* One value; of a container only its head. */
static int walk_value(struct walk *w)
{
    const uint8_t *at = w->p;
    bool is_key =
        w->depth && w->open[w->depth - 1].map && w->open[w->depth - 1].left % 2 == 0;
    enum kind kind;
    uint64_t n;
    int r;

    if (w->p == w->end)
        return walk_fail(w, at, EINVAL, "data ends where a value should start,");
    if (w->depth + 1 > limit_depth(w->lim))
        return berth_fail(w->err, E2BIG, "msgpack: deeper than %u levels at byte %zu",
                          limit_depth(w->lim), (size_t)(at - w->data));
    if (w->depth)
        w->open[w->depth - 1].left--;
    r = walk_head(w, &kind, &n);
    if (r < 0)
        return r;
    if (is_key && kind != KIND_STR)
        return walk_fail(w, at, EINVAL, "map key that is not a string");
    return walk_content(w, at, kind, n);
}

static int walk_all(struct walk *w)
{
    int r;

    do {
        r = walk_value(w);
        if (r < 0)
            return r;
        while (w->depth && !w->open[w->depth - 1].left)
            w->depth--;
    } while (w->depth);
    if (w->p != w->end)
        return walk_fail(w, w->p, EINVAL, "bytes after the end of the value");
    return 0;
}

/* What converts the objects of msgpack-c, whose strings point into data. */
struct build {
    struct arena *a;
    const char *data;
    struct berth_error *err;
};

/* msgpack-c may give an empty string no address. */
static int duplicate_key(const struct build *b, const msgpack_object_str *key)
{
    if (!key->size)
        return berth_fail(b->err, EINVAL, "msgpack: map key '' for the second time");
    return berth_fail(
        b->err, EINVAL, "msgpack: map key '%.*s' for the second time at byte %zu",
        (int)(key->size < 80 ? key->size : 80), key->ptr, (size_t)(key->ptr - b->data));
}

static int compare_keys(const void *a, const void *b)
{
    const msgpack_object_str *x = *(const msgpack_object_str *const *)a;
    const msgpack_object_str *y = *(const msgpack_object_str *const *)b;

    if (x->size != y->size)
        return x->size < y->size ? -1 : 1;
    return x->size ? memcmp(x->ptr, y->ptr, x->size) : 0;
}

static int check_keys_sorted(const struct build *b, const msgpack_object_map *map)
{
    cleanup_free const msgpack_object_str **keys = calloc(map->size, sizeof(*keys));
    uint32_t i;

    if (!keys)
        return berth_fail(b->err, ENOMEM, "out of memory");
    for (i = 0; i < map->size; i++)
        keys[i] = &map->ptr[i].key.via.str;
    qsort(keys, map->size, sizeof(*keys), compare_keys);
    for (i = 1; i < map->size; i++)
        if (!compare_keys(&keys[i - 1], &keys[i]))
            return duplicate_key(b,
                                 keys[i - 1]->ptr > keys[i]->ptr ? keys[i - 1] : keys[i]);
    return 0;
}

/* Small maps, nearly all there are, are quickest compared each with each. */
static int check_keys(const struct build *b, const msgpack_object_map *map)
{
    const msgpack_object_str *key, *other;

    if (map->size > 24)
        return check_keys_sorted(b, map);
    for (uint32_t i = 1; i < map->size; i++) {
        key = &map->ptr[i].key.via.str;
        for (uint32_t j = 0; j < i; j++) {
            other = &map->ptr[j].key.via.str;
            if (!compare_keys(&key, &other))
                return duplicate_key(b, key);
        }
    }
    return 0;
}

static int build_value(const struct build *b, const msgpack_object *o, struct value *ret);

static int build_bytes(const struct build *b, enum value_type type, const char *s,
                       uint32_t len, struct value *ret)
{
    char *copy = arena_mem(b->a, s, len);

    if (!copy)
        return berth_fail(b->err, ENOMEM, "out of memory");
    *ret = (struct value){.type = type, .s = copy, .len = len};
    return 0;
}

static int build_array(const struct build *b, const msgpack_object_array *array,
                       struct value *ret)
{
    struct value *item;
    int r = 0;

    *ret = value_new_array(b->a);
    container_reserve(b->a, ret, array->size);
    for (uint32_t i = 0; i < array->size && r >= 0; i++) {
        item = container_item(b->a, ret);
        r = item ? build_value(b, &array->ptr[i], item)
                 : berth_fail(b->err, ENOMEM, "out of memory");
    }
    return r;
}

static int build_map(const struct build *b, const msgpack_object_map *map,
                     struct value *ret)
{
    struct value_pair *p;
    int r = check_keys(b, map);

    *ret = value_new_map(b->a);
    container_reserve(b->a, ret, map->size);
    for (uint32_t i = 0; i < map->size && r >= 0; i++) {
        p = container_pair(b->a, ret);
        if (!p)
            return berth_fail(b->err, ENOMEM, "out of memory");
        r = build_value(b, &map->ptr[i].key, &p->key);
        if (r >= 0)
            r = build_value(b, &map->ptr[i].val, &p->val);
    }
    return r;
}

/* Recurses no deeper than the walk allowed. */
static int build_value(const struct build *b, const msgpack_object *o, struct value *ret)
{
    switch (o->type) {
    case MSGPACK_OBJECT_BOOLEAN:
        *ret = value_new_bool(o->via.boolean);
        return 0;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        if (o->via.u64 > INT64_MAX)
            *ret = (struct value){.type = VALUE_UINT, .u = o->via.u64};
        else
            *ret = value_new_int((int64_t)o->via.u64);
        return 0;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        *ret = value_new_int(o->via.i64);
        return 0;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        *ret = value_new_float(o->via.f64);
        return 0;
    case MSGPACK_OBJECT_STR:
        return build_bytes(b, VALUE_STR, o->via.str.ptr, o->via.str.size, ret);
    case MSGPACK_OBJECT_BIN:
        return build_bytes(b, VALUE_BIN, o->via.bin.ptr, o->via.bin.size, ret);
    case MSGPACK_OBJECT_ARRAY:
        return build_array(b, &o->via.array, ret);
    case MSGPACK_OBJECT_MAP:
        return build_map(b, &o->via.map, ret);
    default:
        *ret = (struct value){.type = VALUE_NIL};
        return 0;
    }
}

#define ZONE_CHUNK 4096

int value_from_msgpack(struct arena *a, const void *data, size_t len,
                       const struct value_limits *lim, struct value *ret,
                       struct berth_error *err)
{
    struct walk w = {
        .data = data, .p = data, .lim = lim ? lim : &value_limits_default, .err = err};
    struct build b = {a, data, err};
    msgpack_object object;
    msgpack_zone zone;
    struct value v;
    size_t off = 0;
    int r;

    if (!a || (!data && len) || !ret)
        return berth_fail(err, EINVAL, "msgpack: no data");
    if (len > w.lim->max_bytes)
        return berth_fail(err, E2BIG, "msgpack: %zu bytes, the limit is %zu", len,
                          w.lim->max_bytes);
    w.end = w.data + len;
    r = walk_all(&w);
    if (r < 0)
        return r;
    if (!msgpack_zone_init(&zone, ZONE_CHUNK))
        return berth_fail(err, ENOMEM, "out of memory");
    if (msgpack_unpack(data, len, &off, &zone, &object) == MSGPACK_UNPACK_SUCCESS)
        r = build_value(&b, &object, &v);
    else
        r = berth_fail(err, ENOMEM, "out of memory");
    msgpack_zone_destroy(&zone);
    if (r >= 0)
        *ret = v;
    return r < 0 ? r : 0;
}

static int pack_write(void *arg, const char *data, size_t len)
{
    struct buf *out = arg;

    if (out->len + len >= out->cap || out->failed)
        return buf_write(out, data, len);
    memcpy(out->data + out->len, data, len);
    out->len += len;
    return 0;
}

static int pack_value(msgpack_packer *pk, const struct value *v);

static int pack_array(msgpack_packer *pk, const struct value *v)
{
    int r = msgpack_pack_array(pk, v->count);

    for (uint32_t i = 0; i < v->count && r >= 0; i++)
        r = pack_value(pk, &v->items[i]);
    return r;
}

static int pack_map(msgpack_packer *pk, const struct value *v)
{
    int r = msgpack_pack_map(pk, v->count);

    for (uint32_t i = 0; i < v->count && r >= 0; i++) {
        r = pack_value(pk, &v->pairs[i].key);
        if (r >= 0)
            r = pack_value(pk, &v->pairs[i].val);
    }
    return r;
}

static int pack_value(msgpack_packer *pk, const struct value *v)
{
    int r = 0;

    if (value_has_failed(v))
        return -ENOMEM;
    switch (v->type) {
    case VALUE_NIL:
        return msgpack_pack_nil(pk);
    case VALUE_BOOL:
        return v->b ? msgpack_pack_true(pk) : msgpack_pack_false(pk);
    case VALUE_INT:
        return msgpack_pack_int64(pk, v->i);
    case VALUE_UINT:
        return msgpack_pack_uint64(pk, v->u);
    case VALUE_FLOAT:
        return msgpack_pack_double(pk, v->f);
    case VALUE_STR:
        r = msgpack_pack_str(pk, v->len);
        return r < 0 || !v->len ? r : msgpack_pack_str_body(pk, v->s, v->len);
    case VALUE_BIN:
        r = msgpack_pack_bin(pk, v->len);
        return r < 0 || !v->len ? r : msgpack_pack_bin_body(pk, v->s, v->len);
    case VALUE_ARRAY:
        return pack_array(pk, v);
    case VALUE_MAP:
        return pack_map(pk, v);
    }
    return r;
}

int value_to_msgpack(const struct value *v, struct buf *out)
{
    size_t before = out->len;
    msgpack_packer pk;

    buf_room(out, VALUE_ROOM);
    msgpack_packer_init(&pk, out, pack_write);
    if (pack_value(&pk, v) >= 0 && !out->failed) {
        out->data[out->len] = '\0';
        return 0;
    }
    out->len = before;
    return -ENOMEM;
}
