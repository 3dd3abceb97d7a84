/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* One reader per type of key: checks what stands there and says what should. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "config/fields.h"

typedef int string_fn(const struct field_ctx *x, const struct tree *t, const char **ret);

static bool has_range(const struct field *f)
{
    return f->min != 0 || f->max != 0;
}

/* ---- strings ---- */

static int string_any(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    if (t->type != TREE_STR)
        return tree_fail(t, x->path, x->err, EINVAL, "must be a string in double quotes");
    *ret = t->s;
    return 0;
}

static int string_full(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    int r = string_any(x, t, ret);

    return r < 0 || **ret ? r : tree_fail(t, x->path, x->err, EINVAL, "must not be empty");
}

static int string_name(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    int r = string_any(x, t, ret);

    if (r < 0 || is_name(*ret))
        return r;
    return tree_fail(
        t, x->path, x->err, EINVAL,
        "'%.64s' is no name: up to 64 of A-Z a-z 0-9 . _ - , first a letter or digit",
        t->s);
}

static bool is_spelt(const char *s, char extra)
{
    if (*s < 'a' || *s > 'z')
        return false;
    while ((*s >= 'a' && *s <= 'z') || (*s >= '0' && *s <= '9') || *s == extra)
        s++;
    return !*s;
}

static int string_plugin(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    int r = string_any(x, t, ret);

    if (r < 0 || (is_spelt(*ret, '-') && strlen(*ret) <= 32))
        return r;
    return tree_fail(
        t, x->path, x->err, EINVAL,
        "'%.64s' is no plugin name: up to 32 of a-z 0-9 - , first a letter; the "
        "file's name without .so",
        t->s);
}

static int string_word(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    int r = string_any(x, t, ret);

    if (r < 0 || is_spelt(*ret, '_'))
        return r;
    return tree_fail(t, x->path, x->err, EINVAL,
                     "'%.64s' must be written in small letters, like \"sys_admin\"", t->s);
}

/* Copies a path with single slashes and without "." parts; ".." is refused. */
static int path_tidy(const struct field_ctx *x, const struct tree *t, char *out)
{
    const char *s = t->s;
    char *start = out;

    while (*s) {
        size_t n = strcspn(s, "/");
        if (n == 2 && s[0] == '.' && s[1] == '.')
            return tree_fail(t, x->path, x->err, EINVAL, "'..' may not stand in a path");
        if (n && !(n == 1 && *s == '.')) {
            *out++ = '/';
            memcpy(out, s, n);
            out += n;
        }
        s += n + (s[n] == '/');
    }
    if (out == start)
        *out++ = '/';
    *out = '\0';
    return 0;
}

static int string_path(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    size_t max = x->field->max > 0 ? (size_t)x->field->max : 4095;
    int r = string_full(x, t, ret);
    char *tidy;

    if (r < 0)
        return r;
    if (t->s[0] != '/')
        return tree_fail(t, x->path, x->err, EINVAL,
                         "'%.64s' must be an absolute path, starting with '/'", t->s);
    if (strlen(t->s) > max)
        return tree_fail(t, x->path, x->err, EINVAL, "longer than %zu characters", max);
    tidy = arena_str(x->arena, t->s);
    if (!tidy)
        return field_nomem(x);
    *ret = tidy;
    return path_tidy(x, t, tidy);
}

/* A prefix must reach past the host, or "https://a.org" would also allow a.org.evil.net. */
static int string_url(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    int r = string_full(x, t, ret);
    const char *host;

    if (r < 0)
        return r;
    host = !strncmp(t->s, "https://", 8)  ? t->s + 8
           : !strncmp(t->s, "http://", 7) ? t->s + 7
                                          : NULL;
    if (!host || strcspn(host, "/") == 0 || !strchr(host, '/') || strpbrk(host, "@\\ \t#"))
        return tree_fail(t, x->path, x->err, EINVAL,
                         "'%.64s' must be like \"https://host/\" or \"https://host/path/\"",
                         t->s);
    return 0;
}

static int string_require(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    int r = string_any(x, t, ret);

    for (size_t i = 0; r >= 0 && task_require_names[i]; i++)
        if (!strcmp(task_require_names[i], *ret))
            return 0;
    return r < 0 ? r
                 : fields_unknown(t, x->path,
                                  "no such limit; known are memory cpus pids disk "
                                  "network uid read_only time gpus",
                                  *ret, task_require_names, x->err);
}

static int string_env(const struct field_ctx *x, const struct tree *t, const char **ret)
{
    int r = string_any(x, t, ret);

    if (r < 0 || (strchr(*ret, '=') && is_env_name(*ret, strcspn(*ret, "="))))
        return r;
    return tree_fail(t, x->path, x->err, EINVAL, "'%.64s' must be like \"NAME=value\"",
                     t->s);
}

#define STRING_READER(kind)                                      \
    static int read_##kind(const struct field_ctx *x, void *ret) \
    {                                                            \
        return string_##kind(x, x->at, ret);                     \
    }
STRING_READER(any)
STRING_READER(full)
STRING_READER(name)
STRING_READER(plugin)
STRING_READER(path)

/* ---- lists of strings ---- */

static int list_read(const struct field_ctx *x, string_fn *item, const char *const **ret)
{
    const struct tree *t = x->at;
    const char **list;

    if (t->type != TREE_LIST)
        return field_fail(x, "must be a list of strings, like [ \"a\", \"b\" ]");
    list = arena_alloc(x->arena, (t->count + 1) * sizeof *list);
    if (!list)
        return field_nomem(x);
    for (size_t i = 0; i < t->count; i++) {
        int r = item(x, &t->items[i], &list[i]);
        if (r < 0)
            return r;
    }
    *ret = list;
    return 0;
}

#define LIST_READER(kind, item)                                  \
    static int read_##kind(const struct field_ctx *x, void *ret) \
    {                                                            \
        return list_read(x, item, ret);                          \
    }
LIST_READER(strings, string_any)
LIST_READER(paths, string_path)
LIST_READER(urls, string_url)
LIST_READER(words, string_word)
LIST_READER(require, string_require)

static int env_group(const struct field_ctx *x, const char *const **ret)
{
    const struct tree *t = x->at;
    const char **list = arena_alloc(x->arena, (t->count + 1) * sizeof *list);

    if (!list)
        return field_nomem(x);
    for (size_t i = 0; i < t->count; i++) {
        const struct tree *item = &t->items[i];
        if (item->type != TREE_STR)
            return tree_fail(item, x->path, x->err, EINVAL,
                             "'%s' must be a string in double quotes", item->name);
        if (!is_env_name(item->name, strlen(item->name)))
            return tree_fail(item, x->path, x->err, EINVAL,
                             "'%.64s' is no name of a variable", item->name);
        list[i] = arena_fmt(x->arena, "%s=%s", item->name, item->s);
        if (!list[i])
            return field_nomem(x);
    }
    *ret = list;
    return 0;
}

static int env_unique(const struct field_ctx *x, const char *const *list)
{
    for (size_t i = 0; list[i]; i++)
        for (size_t j = 0; j < i; j++) {
            size_t n = strcspn(list[i], "=");
            if (!strncmp(list[i], list[j], n + 1))
                return tree_fail(&x->at->items[i], x->path, x->err, EINVAL,
                                 "'%.*s' is given twice", (int)n, list[i]);
        }
    return 0;
}

static int read_env(const struct field_ctx *x, void *ret)
{
    const char *const **list = ret;
    int r;

    if (x->at->type != TREE_GROUP && x->at->type != TREE_LIST)
        return field_fail(x,
                          "must be a group of strings or a list like [ \"NAME=value\" ]");
    r = x->at->type == TREE_GROUP ? env_group(x, list) : list_read(x, string_env, list);
    return r < 0 ? r : env_unique(x, *list);
}

/* ---- numbers ---- */

static int int_read(const struct field_ctx *x, int64_t *ret)
{
    const struct field *f = x->field;

    if (x->at->type != TREE_INT)
        return field_fail(x, "must be a whole number");
    if (has_range(f) && ((double)x->at->i < f->min || (double)x->at->i > f->max))
        return field_fail(x, "must be %.0f to %.0f, not %lld", f->min, f->max,
                          (long long)x->at->i);
    *ret = x->at->i;
    return 0;
}

#define INT_READER(kind, type)                                   \
    static int read_##kind(const struct field_ctx *x, void *ret) \
    {                                                            \
        int64_t n;                                               \
        int r = int_read(x, &n);                                 \
        if (r >= 0)                                              \
            *(type *)ret = (type)n;                              \
        return r;                                                \
    }
INT_READER(int, int)
INT_READER(int64, int64_t)
INT_READER(uint32, uint32_t)

static int read_number(const struct field_ctx *x, void *ret)
{
    double n = x->at->type == TREE_INT ? (double)x->at->i : x->at->f;

    if (x->at->type != TREE_INT && x->at->type != TREE_FLOAT)
        return field_fail(x, "must be a number");
    if (has_range(x->field) && !(n >= x->field->min && n <= x->field->max))
        return field_fail(x, "must be %g to %g, not %g", x->field->min, x->field->max, n);
    *(double *)ret = n;
    return 0;
}

static int read_bytes(const struct field_ctx *x, void *ret)
{
    const struct tree *t = x->at;
    const struct field *f = x->field;
    char low[16], high[16];
    uint64_t n = 0;
    int r = t->type == TREE_STR ? parse_bytes(t->s, &n) : 0;

    if (t->type != TREE_INT && t->type != TREE_STR)
        return field_fail(x, "must be a number of bytes or a string like \"512M\"");
    if (r == -ERANGE)
        n = UINT64_MAX;
    else if (r < 0)
        return field_fail(
            x, "'%.64s' is no size; write a number of bytes or a string like \"512M\"",
            t->s);
    if (t->type == TREE_INT && t->i < 0)
        return field_fail(x, "must not be negative");
    if (t->type == TREE_INT)
        n = (uint64_t)t->i;
    if (n > INT64_MAX || (has_range(f) && ((double)n < f->min || (double)n > f->max))) {
        format_bytes((uint64_t)f->min, low);
        format_bytes(has_range(f) ? (uint64_t)f->max : INT64_MAX, high);
        return field_fail(x, "must be %s to %s", low, high);
    }
    *(int64_t *)ret = (int64_t)n;
    return 0;
}

static int read_size(const struct field_ctx *x, void *ret)
{
    int64_t n;
    int r = read_bytes(x, &n);

    if (r >= 0)
        *(size_t *)ret = (size_t)n;
    return r;
}

static int read_ms(const struct field_ctx *x, void *ret)
{
    const struct tree *t = x->at;
    const struct field *f = x->field;
    char low[16], high[16];
    int64_t n = t->i;
    int r = t->type == TREE_STR ? parse_duration(t->s, &n) : 0;

    if (t->type != TREE_INT && t->type != TREE_STR)
        return field_fail(x, "must be a number of milliseconds or a string like \"90s\"");
    if (r == -ERANGE)
        n = INT64_MAX;
    else if (r < 0)
        return field_fail(
            x, "'%.64s' is no duration; write milliseconds or a string like \"90s\"", t->s);
    if ((double)n < f->min || (double)n > f->max) {
        format_duration((int64_t)f->min, low);
        format_duration((int64_t)f->max, high);
        return field_fail(x, "must be %s to %s", low, high);
    }
    *(int64_t *)ret = n;
    return 0;
}

/* ---- choices ---- */

static int read_bool(const struct field_ctx *x, void *ret)
{
    if (x->at->type != TREE_BOOL)
        return field_fail(x, "must be true or false, without quotes");
    *(bool *)ret = x->at->i != 0;
    return 0;
}

static int read_network(const struct field_ctx *x, void *ret)
{
    for (int i = 0; x->at->type == TREE_STR && task_network_names[i]; i++)
        if (!strcmp(x->at->s, task_network_names[i])) {
            *(int *)ret = i;
            return 0;
        }
    return field_fail(x, "must be \"none\", \"host\" or \"private\"");
}

static int read_level(const struct field_ctx *x, void *ret)
{
    int level = x->at->type == TREE_STR ? log_level_parse(x->at->s) : -1;

    if (level < 0)
        return field_fail(x, "must be \"err\", \"warn\", \"info\" or \"debug\"");
    *(int *)ret = level;
    return 0;
}

field_fn *const field_readers[FIELD_TYPES] = {
    [FIELD_STR] = read_full,      [FIELD_ANY_STR] = read_any,
    [FIELD_NAME] = read_name,     [FIELD_PLUGIN] = read_plugin,
    [FIELD_PATH] = read_path,     [FIELD_INT] = read_int,
    [FIELD_INT64] = read_int64,   [FIELD_UINT32] = read_uint32,
    [FIELD_NUMBER] = read_number, [FIELD_BYTES] = read_bytes,
    [FIELD_SIZE] = read_size,     [FIELD_MS] = read_ms,
    [FIELD_BOOL] = read_bool,     [FIELD_STRINGS] = read_strings,
    [FIELD_PATHS] = read_paths,   [FIELD_URLS] = read_urls,
    [FIELD_WORDS] = read_words,   [FIELD_REQUIRE] = read_require,
    [FIELD_ENV] = read_env,       [FIELD_NETWORK] = read_network,
    [FIELD_LEVEL] = read_level,
};
