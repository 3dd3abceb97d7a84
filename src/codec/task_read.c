/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Readers of the types that occur in a task. */
#include "codec/task_read.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"

#define KEYS_MAX 32 /* of one table, for the list of names in a message */

const char *value_word(const struct value *v)
{
    static const char *const words[] = {
        [VALUE_NIL] = "nil",         [VALUE_BOOL] = "a boolean", [VALUE_INT] = "an integer",
        [VALUE_UINT] = "an integer", [VALUE_FLOAT] = "a float",  [VALUE_STR] = "a string",
        [VALUE_BIN] = "binary data", [VALUE_ARRAY] = "a list",   [VALUE_MAP] = "a map",
    };

    return words[v->type];
}

int read_fail(const struct read_ctx *x, const char *format, ...)
{
    char text[sizeof x->err->text];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return berth_fail(x->err, EINVAL, "key '%s%.64s': %s", x->prefix, x->name, text);
}

int read_nomem(const struct read_ctx *x)
{
    return berth_fail(x->err, ENOMEM, "out of memory");
}

static int read_unknown(const struct read_ctx *x, const struct task_key *table)
{
    const char *names[KEYS_MAX + 1] = {0}, *near;

    for (size_t i = 0; table[i].name && i < KEYS_MAX; i++)
        names[i] = table[i].name;
    near = nearest_name(x->name, names);
    return near ? read_fail(x, "unknown key; did you mean '%s'?", near)
                : read_fail(x, "unknown key");
}

int read_map(const struct read_ctx *x, const char *prefix, const struct value *v,
             const struct task_key *table, void *out)
{
    if (v->type != VALUE_MAP)
        return read_fail(x, "must be a map, not %s", value_word(v));
    for (uint32_t i = 0; i < v->count; i++) {
        struct read_ctx in = {.arena = x->arena,
                              .err = x->err,
                              .prefix = prefix,
                              .name = v->pairs[i].key.s,
                              .key = table};
        int r;

        while (in.key->name && strcmp(in.key->name, in.name))
            in.key++;
        r = in.key->name ? in.key->read(&in, &v->pairs[i].val, (char *)out + in.key->offset)
                         : read_unknown(&in, table);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- strings ---- */

int read_str_at(const struct read_ctx *x, const char *behind, const struct value *v,
                const char **ret)
{
    char name[128];
    struct read_ctx at = *x;

    if (v->type == VALUE_STR && strlen(v->s) == v->len) {
        *ret = v->s;
        return 0;
    }
    snprintf(name, sizeof name, "%s%s", x->name, behind);
    at.name = name;
    return v->type == VALUE_STR ? read_fail(&at, "must not hold a NUL")
                                : read_fail(&at, "must be a string, not %s", value_word(v));
}

int read_str(const struct read_ctx *x, const struct value *v, void *out)
{
    return read_str_at(x, "", v, out);
}

int read_full_str(const struct read_ctx *x, const struct value *v, void *out)
{
    int r = read_str_at(x, "", v, out);

    return r < 0 || v->len ? r : read_fail(x, "must not be empty");
}

int read_list(const struct read_ctx *x, const struct value *v, void *out)
{
    const char **list;
    char behind[16];

    if (v->type != VALUE_ARRAY)
        return read_fail(x, "must be a list of strings, not %s", value_word(v));
    list = arena_alloc(x->arena, ((size_t)v->count + 1) * sizeof *list);
    if (!list)
        return read_nomem(x);
    for (uint32_t i = 0; i < v->count; i++) {
        int r = 0;
        if (v->items[i].type == VALUE_STR && v->items[i].len <= TASK_WORDS_MAX) {
            list[i] = v->items[i].s;
        } else {
            snprintf(behind, sizeof behind, "[%u]", i);
            r = read_str_at(x, behind, &v->items[i], &list[i]);
        }
        if (r < 0)
            return r;
        if (v->items[i].len > TASK_WORDS_MAX)
            return berth_fail(
                x->err, E2BIG,
                "key '%s%s[%u]': %zu bytes, but the kernel takes at most %d in one "
                "argument; send it as input or as a file",
                x->prefix, x->name, i, v->items[i].len, TASK_WORDS_MAX);
    }
    *(const char *const **)out = list;
    return 0;
}

/* ---- numbers ---- */

int read_int64(const struct read_ctx *x, const struct value *v, void *out)
{
    const struct task_key *k = x->key;

    if (v->type != VALUE_INT && v->type != VALUE_UINT)
        return read_fail(x, "must be an integer, not %s", value_word(v));
    if (v->type == VALUE_UINT || v->i < k->min || v->i > k->max)
        return read_fail(x, "must be %lld to %lld, not %lld", (long long)k->min,
                         (long long)k->max,
                         v->type == VALUE_UINT ? INT64_MAX : (long long)v->i);
    *(int64_t *)out = v->i;
    return 0;
}

int read_int(const struct read_ctx *x, const struct value *v, void *out)
{
    int64_t n = 0;
    int r = read_int64(x, v, &n);

    if (r >= 0)
        *(int *)out = (int)n;
    return r;
}

int read_bytes(const struct read_ctx *x, const struct value *v, void *out)
{
    uint64_t n = v->type == VALUE_INT && v->i > 0 ? (uint64_t)v->i : 0;

    if (v->type == VALUE_STR && (strlen(v->s) != v->len || parse_bytes(v->s, &n) < 0))
        return read_fail(x, "'%.32s' is no size; send bytes or a string like \"512M\"",
                         v->s);
    if (v->type != VALUE_INT && v->type != VALUE_UINT && v->type != VALUE_STR)
        return read_fail(x, "must be a number of bytes or a string like \"512M\", not %s",
                         value_word(v));
    if (n < 1 || n > (uint64_t)x->key->max)
        return read_fail(x, "must be 1 to %lld bytes", (long long)x->key->max);
    *(int64_t *)out = (int64_t)n;
    return 0;
}

int read_cores(const struct read_ctx *x, const struct value *v, void *out)
{
    double n = v->type == VALUE_FLOAT ? v->f : v->type == VALUE_INT ? (double)v->i : 0;

    if (v->type != VALUE_INT && v->type != VALUE_UINT && v->type != VALUE_FLOAT)
        return read_fail(x, "must be a number, not %s", value_word(v));
    if (!(n >= 0.001 && n <= (double)x->key->max))
        return read_fail(x, "must be 0.001 to %lld", (long long)x->key->max);
    *(double *)out = n;
    return 0;
}

int read_bool(const struct read_ctx *x, const struct value *v, void *out)
{
    if (v->type != VALUE_BOOL)
        return read_fail(x, "must be true or false, not %s", value_word(v));
    *(bool *)out = v->b;
    return 0;
}

static int read_content(const struct read_ctx *x, const char *pair, const void *data,
                        size_t len, const void **ret_data, size_t *ret_len)
{
    if (*ret_data)
        return read_fail(x, "%s exclude each other", pair);
    *ret_data = data;
    *ret_len = len;
    return 0;
}

int read_plain(const struct read_ctx *x, const struct value *v, const char *pair,
               const void **ret_data, size_t *ret_len, bool *ret_is_str)
{
    if (v->type != VALUE_STR && v->type != VALUE_BIN)
        return read_fail(x, "must be a string or binary data, not %s", value_word(v));
    *ret_is_str = v->type == VALUE_STR;
    return read_content(x, pair, v->s ? v->s : "", v->len, ret_data, ret_len);
}

int read_base64(const struct read_ctx *x, const struct value *v, const char *pair,
                const void **ret_data, size_t *ret_len)
{
    const char *text;
    char *data;
    size_t len;
    int r = read_str(x, v, &text);

    if (r < 0)
        return r;
    r = base64_decode(x->arena, v->s, v->len, &data, &len);
    if (r == -ENOMEM)
        return read_nomem(x);
    return r < 0 ? read_fail(x, "is no base64")
                 : read_content(x, pair, data, len, ret_data, ret_len);
}
