/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The keys of one block, resolved against a plugin's option table. */
#include "plugin/loader.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "plugin/option.h"

struct slot {
    const struct berth_option *spec;
    const char **values; /* count of them; NULL when not set */
    size_t count;
    int64_t i;
    double f;
};

struct options {
    struct arena *arena;
    size_t count;
    struct slot slots[];
};

static const struct {
    const char *name, *words;
} types[] = {
    [BERTH_OPTION_STRING] = {"string", "a string"},
    [BERTH_OPTION_INT] = {"int", "a whole number"},
    [BERTH_OPTION_BOOL] = {"bool", "true or false"},
    [BERTH_OPTION_FLOAT] = {"float", "a number"},
    [BERTH_OPTION_SIZE] = {"size", "a size such as 512M"},
    [BERTH_OPTION_DURATION] = {"duration", "a duration such as 1.5s"},
    [BERTH_OPTION_LIST] = {"list", "a list such as [ \"a\", \"b\" ]"},
};

const char *option_type_name(uint32_t type)
{
    return type < countof(types) ? types[type].name : NULL;
}

const char *option_type_words(uint32_t type)
{
    return types[type].words;
}

static int parse_size(const char *text, int64_t *ret)
{
    uint64_t bytes;
    int r = parse_bytes(text, &bytes);
    if (r < 0)
        return r;
    if (bytes > INT64_MAX)
        return -EINVAL;
    *ret = (int64_t)bytes;
    return 0;
}

static int parse_truth(const char *text, int64_t *ret)
{
    bool b;
    int r = parse_bool(text, &b);
    if (r == 0)
        *ret = b;
    return r;
}

int option_parse(const struct berth_option *option, const char *text, int64_t *ret_int,
                 double *ret_float)
{
    int64_t i = 0;
    double f = 0;
    int r = 0;
    switch (option->type) {
    case BERTH_OPTION_STRING:
    case BERTH_OPTION_LIST:
        break;
    case BERTH_OPTION_INT:
        r = parse_int(text, &i);
        break;
    case BERTH_OPTION_BOOL:
        r = parse_truth(text, &i);
        break;
    case BERTH_OPTION_FLOAT:
        r = parse_float(text, &f);
        break;
    case BERTH_OPTION_SIZE:
        r = parse_size(text, &i);
        break;
    case BERTH_OPTION_DURATION:
        r = parse_duration(text, &i);
        break;
    default:
        r = -EINVAL;
    }
    if (r < 0)
        return -EINVAL;
    *ret_int = i;
    *ret_float = option->type == BERTH_OPTION_FLOAT ? f : (double)i;
    return 0;
}

static struct slot *slot_find(const struct options *o, const char *name)
{
    for (size_t i = 0; o && name && i < o->count; i++)
        if (!strcmp(o->slots[i].spec->name, name))
            return (struct slot *)&o->slots[i];
    return NULL;
}

static int slot_reserve(struct options *o, struct slot *s, size_t count)
{
    s->values = arena_alloc(o->arena, (count + 1) * sizeof(*s->values));
    s->count = 0;
    return s->values ? 0 : -ENOMEM;
}

static int slot_add(struct options *o, struct slot *s, const char *text, size_t len)
{
    const char *copy = arena_mem(o->arena, text, len);
    if (!copy)
        return -ENOMEM;
    s->values[s->count++] = copy;
    return 0;
}

/* A default for a list is "a, b"; the empty string is the empty list. */
static int slot_split(struct options *o, struct slot *s, const char *text)
{
    size_t parts = 1;
    for (const char *c = text; *c; c++)
        parts += *c == ',';
    int r = slot_reserve(o, s, parts);
    while (r == 0 && *text) {
        text += strspn(text, " ,");
        size_t len = strcspn(text, ",");
        size_t trimmed = len;
        while (trimmed && text[trimmed - 1] == ' ')
            trimmed--;
        if (trimmed)
            r = slot_add(o, s, text, trimmed);
        text += len;
    }
    return r;
}

static int slot_default(struct options *o, struct slot *s, struct berth_error *err)
{
    const char *value = s->spec->value;
    if (s->spec->type == BERTH_OPTION_LIST)
        return slot_split(o, s, value) < 0 ? berth_fail(err, ENOMEM, "out of memory") : 0;
    if (slot_reserve(o, s, 1) < 0 || slot_add(o, s, value, strlen(value)) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    if (option_parse(s->spec, value, &s->i, &s->f) < 0)
        return berth_fail(err, EINVAL, "default '%s' of option '%s' is not %s", value,
                          s->spec->name, option_type_words(s->spec->type));
    return 0;
}

static int wrong_type(const struct config_key *key, const struct berth_option *spec,
                      const char *owner, const char *value, struct berth_error *err)
{
    if (spec->flags & BERTH_OPTION_SECRET || !value)
        return berth_fail(err, EINVAL, "%s:%d: %s: key '%s' takes %s", key->file, key->line,
                          owner, key->name, option_type_words(spec->type));
    return berth_fail(err, EINVAL, "%s:%d: %s: key '%s' takes %s, not '%s'", key->file,
                      key->line, owner, key->name, option_type_words(spec->type), value);
}

static int slot_set(struct options *o, struct slot *s, const struct config_key *key,
                    const char *owner, struct berth_error *err)
{
    size_t n = 0;
    while (key->values && key->values[n])
        n++;
    bool list = s->spec->type == BERTH_OPTION_LIST;
    if (key->is_list != list)
        return wrong_type(key, s->spec, owner, key->is_list || !n ? NULL : key->values[0],
                          err);
    if (!list && n != 1)
        return wrong_type(key, s->spec, owner, NULL, err);
    if (slot_reserve(o, s, n) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        if (slot_add(o, s, key->values[i], strlen(key->values[i])) < 0)
            return berth_fail(err, ENOMEM, "out of memory");
    if (!list && option_parse(s->spec, key->values[0], &s->i, &s->f) < 0)
        return wrong_type(key, s->spec, owner, key->values[0], err);
    return 0;
}

/* All keys that could be meant: the plugin's, and those that the config reads itself. NULL
 * on failure. */
static const char **known_names(const struct options *o, const struct config_keys *keys)
{
    size_t own = 0;
    while (keys->own && keys->own[own])
        own++;
    const char **names = arena_alloc(o->arena, (o->count + own + 1) * sizeof(*names));
    for (size_t i = 0; names && i < o->count; i++)
        names[i] = o->slots[i].spec->name;
    if (names && own)
        memcpy(names + o->count, keys->own, own * sizeof(*names));
    return names;
}

static int unknown_key(const struct options *o, const struct config_keys *keys,
                       const struct config_key *key, const char *owner,
                       struct berth_error *err)
{
    const char **names = known_names(o, keys);
    if (!names)
        return berth_fail(err, ENOMEM, "out of memory");
    const char *near = nearest_name(key->name, names);
    if (near)
        return berth_fail(err, EINVAL, "%s:%d: %s: unknown key '%s', did you mean '%s'?",
                          key->file, key->line, owner, key->name, near);
    if (!o->count)
        return berth_fail(err, EINVAL, "%s:%d: %s: unknown key '%s', its plugin has none",
                          key->file, key->line, owner, key->name);
    cleanup_buf struct buf all = BUF_INIT;
    for (size_t i = 0; i < o->count; i++)
        buf_fmt(&all, "%s%s", i ? ", " : "", names[i]);
    return berth_fail(err, EINVAL, "%s:%d: %s: unknown key '%s', its plugin has %s",
                      key->file, key->line, owner, key->name, all.len ? all.data : "");
}

static int options_fill(struct options *o, const struct config_keys *keys,
                        const char *owner, struct berth_error *err)
{
    for (size_t i = 0; keys && i < keys->count; i++) {
        const struct config_key *key = &keys->items[i];
        struct slot *s = slot_find(o, key->name);
        int r = s ? slot_set(o, s, key, owner, err) : unknown_key(o, keys, key, owner, err);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < o->count; i++) {
        struct slot *s = &o->slots[i];
        if (s->values)
            continue;
        if (s->spec->flags & BERTH_OPTION_REQUIRED)
            return berth_fail(err, EINVAL, "%s: key '%s' is missing (%s)", owner,
                              s->spec->name, s->spec->help ? s->spec->help : "required");
        int r = s->spec->value ? slot_default(o, s, err) : 0;
        if (r < 0)
            return r;
    }
    return 0;
}

int options_resolve(const struct berth_option *table, const struct config_keys *keys,
                    const char *owner, struct options **ret, struct berth_error *err)
{
    if (!owner || !ret)
        return berth_fail(err, EINVAL, "options_resolve needs an owner and a result");
    size_t count = 0;
    while (table && table[count].name)
        count++;
    struct options *o = calloc(1, sizeof(*o) + count * sizeof(o->slots[0]));
    if (!o || !(o->arena = arena_new())) {
        free(o);
        return berth_fail(err, ENOMEM, "out of memory");
    }
    o->count = count;
    for (size_t i = 0; i < count; i++)
        o->slots[i].spec = &table[i];
    int r = options_fill(o, keys, owner, err);
    if (r < 0) {
        options_free(o);
        return r;
    }
    *ret = o;
    return 0;
}

void options_free(struct options *o)
{
    if (!o)
        return;
    arena_free(o->arena);
    free(o);
}

const char *options_str(const struct options *o, const char *name)
{
    const struct slot *s = slot_find(o, name);
    return s && s->count && s->spec->type != BERTH_OPTION_LIST ? s->values[0] : NULL;
}

int64_t options_int(const struct options *o, const char *name)
{
    const struct slot *s = slot_find(o, name);
    return s ? s->i : 0;
}

double options_float(const struct options *o, const char *name)
{
    const struct slot *s = slot_find(o, name);
    return s ? s->f : 0;
}

size_t options_count(const struct options *o, const char *name)
{
    const struct slot *s = slot_find(o, name);
    return s ? s->count : 0;
}

const char *options_item(const struct options *o, const char *name, size_t i)
{
    const struct slot *s = slot_find(o, name);
    return s && i < s->count ? s->values[i] : NULL;
}
