/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Groups of the config read by tables: one row per key, with its type, range and place. */
#ifndef CONFIG_FIELDS_H
#define CONFIG_FIELDS_H

#include "config/config.h"
#include "config/tree.h"

/* What is stored at the offset. */
enum field_type {
    FIELD_STR,     /* const char *; not empty */
    FIELD_ANY_STR, /* const char *; may be empty */
    FIELD_NAME,    /* const char *; is_name() */
    FIELD_PLUGIN,  /* const char *; name rule of plugins */
    FIELD_PATH,    /* const char *; absolute, slashes and dots tidied; max: longest */
    FIELD_INT,     /* int */
    FIELD_INT64,   /* int64_t */
    FIELD_UINT32,  /* uint32_t */
    FIELD_NUMBER,  /* double */
    FIELD_BYTES,   /* int64_t, a number or a string with a unit */
    FIELD_SIZE,    /* the same as size_t */
    FIELD_MS,      /* int64_t, milliseconds or a string with a unit */
    FIELD_BOOL,    /* bool */
    FIELD_STRINGS, /* const char *const *, as are the lists below */
    FIELD_PATHS,   /* like FIELD_PATH each */
    FIELD_URLS,    /* "http(s)://host/…" */
    FIELD_WORDS,   /* [a-z][a-z0-9_]* */
    FIELD_REQUIRE, /* names of limits */
    FIELD_ENV,     /* a list of "NAME=value" or a group */
    FIELD_NETWORK, /* int, enum berth_network */
    FIELD_LEVEL,   /* int, enum berth_log_level */
    FIELD_GROUP,   /* a group with a table of its own, offsets from this offset on */
    FIELD_BY_HAND, /* only known here: somebody else reads it */
    FIELD_TYPES,
};

struct field { /* a table ends with a NULL name */
    const char *name;
    enum field_type type;
    size_t offset;
    double min, max; /* of numbers; both 0: not limited */
    const struct field *table;
    bool required;
};

/* A row of a table: KEY("timeout", FIELD_MS, offset, .max = 1000). */
#define KEY(key, kind, ...)                                  \
    {                                                        \
        .name = (key), .type = (kind), .offset = __VA_ARGS__ \
    }

/*
 * Reads group into base; path is its name in messages. A key that the table does not have goes to
 * rest (nested groups as "outer.inner"), or is refused with the nearest name where rest is NULL.
 */
int fields_read(struct arena *a, const struct tree *group, const char *path,
                const struct field *table, void *base, struct config_keys *rest,
                struct berth_error *err);

/* "PATH.NAME", or NAME where path is ""; NULL if out of memory. */
const char *fields_path(struct arena *a, const char *path, const char *name);

/* Fails about an unknown name, with the nearest known one. what: "no such key". */
int fields_unknown(const struct tree *at, const char *path, const char *what,
                   const char *wrong, const char *const *known, struct berth_error *err);

/* A value of a plugin's key, in the form that the option tables are written in; fills *ret. */
int fields_keep(struct arena *a, const struct tree *t, const char *path,
                struct config_keys *ret, struct berth_error *err);

/* The readers of single types, by enum field_type; see fields_types.c. */
struct field_ctx {
    struct arena *arena;
    const struct tree *at;
    const char *path;
    const struct field *field;
    struct berth_error *err;
};
typedef int field_fn(const struct field_ctx *x, void *ret);
extern field_fn *const field_readers[FIELD_TYPES];

#define field_fail(x, ...) tree_fail((x)->at, (x)->path, (x)->err, EINVAL, __VA_ARGS__)
#define field_nomem(x) berth_fail((x)->err, ENOMEM, "out of memory")

#endif
