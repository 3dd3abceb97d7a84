/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Walks a group of the config by its table. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "config/fields.h"

#define FIELDS_MAX 64 /* keys of one table, for the list of names in a message */

const char *fields_path(struct arena *a, const char *path, const char *name)
{
    return *path ? arena_fmt(a, "%s.%s", path, name) : name;
}

int fields_unknown(const struct tree *at, const char *path, const char *what,
                   const char *wrong, const char *const *known, struct berth_error *err)
{
    const char *near = nearest_name(wrong, known);

    return near ? tree_fail(at, path, err, EINVAL, "%s; did you mean '%s'?", what, near)
                : tree_fail(at, path, err, EINVAL, "%s", what);
}

static int fields_unknown_key(const struct tree *at, const char *path,
                              const struct field *table, struct berth_error *err)
{
    const char *names[FIELDS_MAX + 1] = {0};

    for (size_t i = 0; table[i].name && i < FIELDS_MAX; i++)
        names[i] = table[i].name;
    return fields_unknown(at, path, "unknown key", at->name, names, err);
}

/* ---- keys of plugins ---- */

/* Shortest decimal that reads back as the same number. */
static const char *fields_float(struct arena *a, double f)
{
    char text[40];

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, f);
        if (strtod(text, NULL) == f)
            break;
    }
    return arena_str(a, text);
}

static const char *fields_scalar(struct arena *a, const struct tree *t)
{
    switch (t->type) {
    case TREE_INT:
        return arena_fmt(a, "%lld", (long long)t->i);
    case TREE_BOOL:
        return t->i ? "true" : "false";
    case TREE_FLOAT:
        return fields_float(a, t->f);
    default:
        return t->s;
    }
}

static bool fields_is_scalar(const struct tree *t)
{
    return t->type != TREE_GROUP && t->type != TREE_LIST;
}

/* Growing by one copies; plugins have a handful of keys. */
static struct config_key *fields_new_key(struct arena *a, struct config_keys *keys)
{
    struct config_key *items = arena_alloc(a, (keys->count + 1) * sizeof *items);

    if (!items)
        return NULL;
    if (keys->count)
        memcpy(items, keys->items, keys->count * sizeof *items);
    keys->items = items;
    return &items[keys->count++];
}

int fields_keep(struct arena *a, const struct tree *t, const char *name,
                struct config_keys *ret, struct berth_error *err)
{
    bool list = t->type == TREE_LIST;
    size_t n = list ? t->count : 1;
    struct config_key *key;
    const char **values;

    for (size_t i = 0; t->type == TREE_GROUP && i < t->count; i++) {
        const char *inner = fields_path(a, name, t->items[i].name);
        int r = inner ? fields_keep(a, &t->items[i], inner, ret, err)
                      : berth_fail(err, ENOMEM, "out of memory");
        if (r < 0)
            return r;
    }
    if (t->type == TREE_GROUP)
        return 0;
    key = fields_new_key(a, ret);
    values = arena_alloc(a, (n + 1) * sizeof *values);
    if (!key || !values)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        const struct tree *item = list ? &t->items[i] : t;
        if (!fields_is_scalar(item))
            return tree_fail(item, name, err, EINVAL,
                             "a list may hold only strings and numbers");
        values[i] = fields_scalar(a, item);
        if (!values[i])
            return berth_fail(err, ENOMEM, "out of memory");
    }
    *key = (struct config_key){
        .name = name, .values = values, .is_list = list, .file = t->file, .line = t->line};
    return 0;
}

/* ---- keys of the table ---- */

static const struct field *fields_find(const struct field *table, const char *name)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name))
            return table;
    return NULL;
}

static int fields_read_one(const struct field_ctx *x, void *base)
{
    if (x->field->type == FIELD_BY_HAND)
        return 0;
    if (x->field->type == FIELD_GROUP)
        return fields_read(x->arena, x->at, x->path, x->field->table,
                           (char *)base + x->field->offset, NULL, x->err);
    return field_readers[x->field->type](x, (char *)base + x->field->offset);
}

static int fields_required(const struct tree *group, const char *path,
                           const struct field *table, struct berth_error *err)
{
    for (; table->name; table++)
        if (table->required && !tree_get(group, table->name))
            return tree_fail(group, *path ? path : group->name, err, EINVAL,
                             "'%s' is missing", table->name);
    return 0;
}

int fields_read(struct arena *a, const struct tree *group, const char *path,
                const struct field *table, void *base, struct config_keys *rest,
                struct berth_error *err)
{
    if (group->type != TREE_GROUP)
        return tree_fail(group, path, err, EINVAL, "must be a group: { … }");
    for (size_t i = 0; i < group->count; i++) {
        const struct tree *t = &group->items[i];
        struct field_ctx x = {.arena = a,
                              .at = t,
                              .path = fields_path(a, path, t->name),
                              .field = fields_find(table, t->name),
                              .err = err};
        int r;

        if (!x.path)
            return berth_fail(err, ENOMEM, "out of memory");
        if (x.field)
            r = fields_read_one(&x, base);
        else
            r = rest ? fields_keep(a, t, t->name, rest, err)
                     : fields_unknown_key(t, x.path, table, err);
        if (r < 0)
            return r;
    }
    return fields_required(group, path, table, err);
}
