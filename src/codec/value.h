/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A decoded value: what msgpack and JSON have in common. Foreign bytes become values here, under
 * hard limits, and nothing else in berth parses either format. Values live in the arena that they
 * were decoded or built in; strings and binaries are copied into it.
 */
#ifndef CODEC_VALUE_H
#define CODEC_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include <berth/error.h>

enum value_type { VALUE_NIL, VALUE_BOOL, VALUE_INT, VALUE_UINT, VALUE_FLOAT, VALUE_STR, VALUE_BIN,
                  VALUE_ARRAY, VALUE_MAP };

struct value_pair;
struct value {
    enum value_type type;
    uint32_t count; /* of items or pairs */
    union {
        bool b;
        int64_t i;   /* VALUE_INT: any value that fits */
        uint64_t u;  /* VALUE_UINT: only above INT64_MAX */
        double f;
        struct {
            const char *s; /* NUL after it; may hold NULs only when VALUE_BIN */
            size_t len;
        };
        struct value *items;
        struct value_pair *pairs;
    };
};
struct value_pair {
    struct value key; /* always VALUE_STR */
    struct value val;
};

struct value_limits {
    size_t max_bytes;
    unsigned max_depth; /* a scalar at the top is depth 1; more than 32 is taken as 32 */
    unsigned max_items; /* of all arrays and maps together; a pair is one */
};
extern const struct value_limits value_limits_default; /* 8 MiB, 16, 1000000 */

/*
 * Decode all of data: trailing bytes, map keys that are not strings or occur twice, strings that
 * are not UTF-8 or hold NUL, NaN and infinities, extension types and anything past a limit are
 * refused with -EINVAL (-E2BIG for the limits, -ENOMEM) and the byte offset in the text.
 */
int value_from_msgpack(struct arena *a, const void *data, size_t len, const struct value_limits *lim,
                       struct value *ret, struct berth_error *err);
int value_from_json(struct arena *a, const void *data, size_t len, const struct value_limits *lim,
                    struct value *ret, struct berth_error *err);
/* Encode. JSON: a binary is written as base64 text; a map key "k" with a binary value becomes
 * "k_b64" with base64 text. 0 or -ENOMEM. */
int value_to_msgpack(const struct value *v, struct buf *out);
int value_to_json(const struct value *v, struct buf *out, bool pretty);

/* Looking in. NULL if v is no map or has no such key. */
const struct value *value_get(const struct value *v, const char *key);
/* Lenient readers for our own frames and records: the default if absent or of another type. */
int64_t value_int(const struct value *map, const char *key, int64_t def);
double value_float(const struct value *map, const char *key, double def);
bool value_bool(const struct value *map, const char *key, bool def);
const char *value_str(const struct value *map, const char *key, const char *def);

/* Building. Failure of the arena is remembered in the value: encoding it then gives -ENOMEM. */
struct value value_new_map(struct arena *a);
struct value value_new_array(struct arena *a);
/* Copies; NULL gives nil; bytes that are not UTF-8 become U+FFFD (use a binary to keep them). */
struct value value_new_str(struct arena *a, const char *s);
struct value value_new_bin(struct arena *a, const void *data, size_t len);
struct value value_new_int(int64_t i);
struct value value_new_float(double f);
struct value value_new_bool(bool b);
/* Append, only to a container that was made above or decoded. Keys are not copied: give literals or
 * arena strings. */
void value_put(struct arena *a, struct value *map, const char *key, struct value v);
void value_put_str(struct arena *a, struct value *map, const char *key, const char *s); /* NULL: skip */
void value_put_int(struct arena *a, struct value *map, const char *key, int64_t i);
void value_put_float(struct arena *a, struct value *map, const char *key, double f);
void value_put_bool(struct arena *a, struct value *map, const char *key, bool b);
void value_put_bin(struct arena *a, struct value *map, const char *key, const void *d, size_t n);
void value_add(struct arena *a, struct value *array, struct value v);
struct value value_copy(struct arena *a, const struct value *v); /* deep; nothing shared with v */

/* Strict RFC 4648 with padding. 0, -EINVAL or -ENOMEM. */
int base64_decode(struct arena *a, const char *s, size_t len, char **ret, size_t *ret_len);
void base64_encode(struct buf *out, const void *data, size_t len);

#endif
