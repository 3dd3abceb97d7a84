/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The config file as a tree, before it means anything: between libconfig and the tables. */
#ifndef CONFIG_TREE_H
#define CONFIG_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include <berth/error.h>

enum tree_type { TREE_GROUP, TREE_LIST, TREE_INT, TREE_FLOAT, TREE_BOOL, TREE_STR };

struct tree {
    const char *name; /* "" for an item of a list */
    enum tree_type type;
    const char *file;
    int line;
    int64_t i; /* also TREE_BOOL */
    double f;
    const char *s;
    const struct tree *items; /* of a group or a list, in the file's order */
    size_t count;
};

/* Parses text, which was read from file (for messages, and as the place that '@include' starts
 * from; NULL: the built-in config). Everything is copied into the arena. -EINVAL "FILE:LINE: …", -ENOMEM. */
int tree_parse(struct arena *a, const char *file, const char *text, size_t len,
               struct tree *ret, struct berth_error *err);

/* Refuses what libconfig would misread without a word, or answer by ending the process: see the
 * top of config_scan.c. dir: where '@include' starts from, NULL: not allowed. */
int tree_scan(struct arena *a, const char *file, const char *dir, const char *text,
              size_t len, struct berth_error *err);

/* Reads a config file; -EPERM if berthd is root and others can write to it. */
int tree_read_text(const char *path, char **ret_text, size_t *ret_len,
                   struct berth_error *err);

/* Item of a group by name, or NULL. */
const struct tree *tree_get(const struct tree *group, const char *name);

/* "FILE:LINE: key 'PATH': text" and -code. */
int tree_fail(const struct tree *at, const char *path, struct berth_error *err, int code,
              const char *format, ...) __attribute__((format(printf, 5, 6)));

#define TREE_MAX_BYTES (1 << 20)
#define TREE_MAX_DEPTH 32

#endif
