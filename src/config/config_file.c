/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* From text to a tree, by libconfig; nothing else names it. */
#include <errno.h>
#include <libconfig.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/str.h"
#include "config/tree.h"

struct file_ctx {
    struct arena *arena;
    const char *file, *dir;
    struct berth_error *err;
    const char *last_raw, *last_full; /* libconfig's name of an included file, and ours */
};

/* libconfig names an included file as the @include line did, and the given text not at all. */
static const char *file_name(struct file_ctx *x, const char *raw)
{
    if (!raw)
        return x->file;
    if (raw != x->last_raw) {
        x->last_raw = raw;
        x->last_full = arena_fmt(x->arena, "%s/%s", x->dir, raw);
    }
    return x->last_full;
}

static int file_convert(struct file_ctx *x, const config_setting_t *s, struct tree *ret);

static int file_convert_items(struct file_ctx *x, const config_setting_t *s,
                              struct tree *ret)
{
    size_t n = (size_t)config_setting_length(s);
    struct tree *items = arena_alloc(x->arena, (n + 1) * sizeof *items);

    if (!items)
        return berth_fail(x->err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        int r = file_convert(x, config_setting_get_elem(s, (unsigned)i), &items[i]);
        if (r < 0)
            return r;
    }
    ret->type = config_setting_is_group(s) ? TREE_GROUP : TREE_LIST;
    ret->items = items;
    ret->count = n;
    return 0;
}

static int file_convert_scalar(struct file_ctx *x, const config_setting_t *s,
                               struct tree *ret)
{
    switch (config_setting_type(s)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        ret->type = TREE_INT;
        ret->i = config_setting_get_int64(s);
        return 0;
    case CONFIG_TYPE_FLOAT:
        ret->type = TREE_FLOAT;
        ret->f = config_setting_get_float(s);
        return isfinite(ret->f) ? 0
                                : tree_fail(ret, ret->name, x->err, EINVAL, "too large");
    case CONFIG_TYPE_BOOL:
        ret->type = TREE_BOOL;
        ret->i = config_setting_get_bool(s);
        return 0;
    default:
        ret->type = TREE_STR;
        ret->s = arena_str(x->arena, config_setting_get_string(s));
        if (!ret->s)
            return berth_fail(x->err, ENOMEM, "out of memory");
        return is_utf8(ret->s, strlen(ret->s)) ? 0
                                               : tree_fail(ret, ret->name, x->err, EINVAL,
                                                           "the string is not valid UTF-8");
    }
}

static int file_convert(struct file_ctx *x, const config_setting_t *s, struct tree *ret)
{
    const char *name = config_setting_name(s);

    ret->name = arena_str(x->arena, name ? name : "");
    ret->file = file_name(x, config_setting_source_file(s));
    ret->line = (int)config_setting_source_line(s);
    if (!ret->name || !ret->file)
        return berth_fail(x->err, ENOMEM, "out of memory");
    return config_setting_is_aggregate(s) ? file_convert_items(x, s, ret)
                                          : file_convert_scalar(x, s, ret);
}

static int file_syntax(struct file_ctx *x, const config_t *cfg)
{
    const char *file = file_name(x, config_error_file(cfg)), *text = config_error_text(cfg);
    bool bare = !text || !strcmp(text, "syntax error");

    return berth_fail(
        x->err, EINVAL, "%s:%d: %s", file ? file : x->file, config_error_line(cfg),
        bare ? "syntax error; look for a missing '=', ',' or quote here or in the line "
               "before"
             : text);
}

/* Directory of a path, as libconfig wants it for includes; NULL if out of memory. */
static const char *file_dir(struct arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return arena_str(a, ".");
    return slash == path ? arena_str(a, "/") : arena_mem(a, path, (size_t)(slash - path));
}

int tree_parse(struct arena *a, const char *file, const char *text, size_t len,
               struct tree *ret, struct berth_error *err)
{
    struct file_ctx x = {.arena = a, .file = file ? file : "(built in)", .err = err};
    config_t cfg;
    int r;

    x.dir = file ? file_dir(a, file) : NULL;
    if (file && !x.dir)
        return berth_fail(err, ENOMEM, "out of memory");
    r = tree_scan(a, x.file, x.dir, text, len, err);
    if (r < 0)
        return r;
    config_init(&cfg);
    if (x.dir)
        config_set_include_dir(&cfg, x.dir);
    r = config_read_string(&cfg, text) ? file_convert(&x, config_root_setting(&cfg), ret)
                                       : file_syntax(&x, &cfg);
    config_destroy(&cfg);
    return r;
}

int tree_read_text(const char *path, char **ret_text, size_t *ret_len,
                   struct berth_error *err)
{
    struct stat st;
    int r;

    if (stat(path, &st) < 0)
        return berth_fail_errno(err, errno, "%s", path);
    if (S_ISDIR(st.st_mode))
        return berth_fail(err, EISDIR, "%s: is a directory, not a config file", path);
    if (!geteuid() && S_ISREG(st.st_mode) && (st.st_mode & S_IWOTH))
        return berth_fail(err, EPERM,
                          "%s: everybody can write to it, and it says what root does; "
                          "chmod o-w",
                          path);
    r = read_file(path, TREE_MAX_BYTES, ret_text, ret_len);
    if (r == -EFBIG)
        return berth_fail(err, EFBIG, "%s: larger than 1 MiB", path);
    return r < 0 ? berth_fail_errno(err, -r, "%s", path) : 0;
}

const struct tree *tree_get(const struct tree *group, const char *name)
{
    for (size_t i = 0; i < group->count; i++)
        if (!strcmp(group->items[i].name, name))
            return &group->items[i];
    return NULL;
}

int tree_fail(const struct tree *at, const char *path, struct berth_error *err, int code,
              const char *format, ...)
{
    char text[sizeof err->text];
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    return berth_fail(err, code, "%s:%d: key '%s': %s", at->file, at->line, path, text);
}
