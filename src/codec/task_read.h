/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Maps of foreign origin read by tables: one row per key, with its reader, range and place. */
#ifndef CODEC_TASK_READ_H
#define CODEC_TASK_READ_H

#include "codec/task.h"

struct task_key;
struct read_ctx {
    struct arena *arena;
    struct berth_error *err;
    const char *prefix; /* of the map that is read: "" or "resources." */
    const char *name;   /* of the key */
    const struct task_key *key;
};

/* Checks v and stores it at out. 0, -EINVAL, -E2BIG or -ENOMEM. */
typedef int read_fn(const struct read_ctx *x, const struct value *v, void *out);

struct task_key { /* a table ends with a NULL name */
    const char *name;
    read_fn *read;
    size_t offset;
    int64_t min, max; /* of integers */
};
#define TASK_KEY(key, reader, ...)                             \
    {                                                          \
        .name = (key), .read = (reader), .offset = __VA_ARGS__ \
    }

/* Reads the map v into out; a key that the table does not have is refused, with the nearest. */
int read_map(const struct read_ctx *x, const char *prefix, const struct value *v,
             const struct task_key *table, void *out);

read_fn read_str;      /* const char ** */
read_fn read_full_str; /* const char **, not empty */
read_fn read_int;      /* int, within the key's range */
read_fn read_int64;    /* int64_t, likewise */
read_fn read_bytes;    /* int64_t; a number or a string with a unit */
read_fn read_cores;    /* double */
read_fn read_bool;     /* bool */
read_fn read_list;     /* const char *const **; a list of strings */
read_fn read_files;    /* struct task; see task_files.c */

/* One string at path, which is prefix, name and what the caller puts behind it. */
int read_str_at(const struct read_ctx *x, const char *behind, const struct value *v,
                const char **ret);

/* "key 'PREFIX.NAME': text" and -EINVAL. */
int read_fail(const struct read_ctx *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int read_nomem(const struct read_ctx *x);
const char *value_word(const struct value *v); /* "a string", "a list" */

#define TASK_WORDS_MAX \
    131071 /* bytes of one argument, MAX_ARG_STRLEN of the kernel less its NUL */

/* Content that two keys can bring, of which only one may: text or binary as it is, or base64. pair names them. */
int read_plain(const struct read_ctx *x, const struct value *v, const char *pair,
               const void **ret_data, size_t *ret_len, bool *ret_is_str);
int read_base64(const struct read_ctx *x, const struct value *v, const char *pair,
                const void **ret_data, size_t *ret_len);

#endif
