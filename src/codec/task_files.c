/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The key 'files': what is staged in and out. Which places are allowed is the plan's business. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "codec/task_read.h"

#define FILES_MAX 1000
#define PLACE_MAX 4000 /* bytes of a path or URL */

struct file_lists {
    const struct value *in, *out;
};

/* A path below the work directory: no way out of it, and one spelling only. */
static int read_path(const struct read_ctx *x, const struct value *v, void *out)
{
    const char *s;
    int r = read_full_str(x, v, out);

    if (r < 0)
        return r;
    if (v->s[0] == '/')
        return read_fail(x, "'%.64s' must be relative to the work directory", v->s);
    if (v->len > PLACE_MAX)
        return read_fail(x, "longer than %d bytes", PLACE_MAX);
    for (s = v->s;;) {
        size_t n = strcspn(s, "/");
        if (!n || (n == 1 && *s == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
            return read_fail(x, "'%.64s' must not hold '.', '..' or an empty part", v->s);
        if (n > 255)
            return read_fail(x, "a part is longer than 255 bytes");
        if (!s[n])
            return 0;
        s += n + 1;
    }
}

static int read_pattern(const struct read_ctx *x, const struct value *v, void *out)
{
    const char *slash, *glob;
    int r = read_path(x, v, out);

    if (r < 0)
        return r;
    slash = strrchr(v->s, '/');
    glob = strpbrk(v->s, "*?[");
    return slash && glob && glob < slash
               ? read_fail(x, "'%.64s': only the part after the last '/' may be a pattern",
                           v->s)
               : 0;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

/* The path of a URL as a server sees it: up to '?' or '#', percent-escapes decoded. */
static void url_path(const char *url, char *out, size_t size)
{
    const char *end = out + size - 1;

    for (; *url && *url != '?' && *url != '#' && out < end; url++) {
        bool escape = *url == '%' && hex_digit(url[1]) >= 0 && hex_digit(url[2]) >= 0;

        *out++ = escape ? (char)(hex_digit(url[1]) << 4 | hex_digit(url[2])) : *url;
        url += escape ? 2 : 0;
    }
    *out = '\0';
}

/* They would let a place that begins like an allowed one point out of it. */
static bool has_dot_part(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, "/\\");

        if ((n == 1 && *s == '.') || (n == 2 && s[0] == '.' && s[1] == '.'))
            return true;
        if (!s[n])
            return false;
        s += n + 1;
    }
}

/* An absolute local path or a URL. */
static int read_place(const struct read_ctx *x, const struct value *v, void *out)
{
    char path[PLACE_MAX + 1];
    size_t scheme;
    int r = read_full_str(x, v, out);

    if (r < 0)
        return r;
    scheme = !strncmp(v->s, "https://", 8) ? 8 : !strncmp(v->s, "http://", 7) ? 7 : 0;
    if (v->s[0] != '/' && !scheme)
        return read_fail(x, "'%.64s' must be an absolute path or an http(s) URL", v->s);
    if (v->len > PLACE_MAX)
        return read_fail(x, "longer than %d bytes", PLACE_MAX);
    if (scheme)
        url_path(v->s + scheme, path, sizeof path);
    if (has_dot_part(scheme ? path : v->s))
        return read_fail(x, "'%.64s' must not hold '.' or '..' as a part", v->s);
    for (const char *p = v->s; scheme && *p; p++)
        if ((unsigned char)*p <= ' ' || *p == '\\' || *p == 0x7f)
            return read_fail(x, "a URL must not hold spaces, control characters or '\\'");
    return 0;
}

static int read_data(const struct read_ctx *x, const struct value *v, void *out)
{
    struct task_file_in *f = out;
    return read_plain(x, v, "'data' and 'data_b64'", &f->data, &f->len, &f->data_is_str);
}

static int read_data_b64(const struct read_ctx *x, const struct value *v, void *out)
{
    struct task_file_in *f = out;
    return read_base64(x, v, "'data' and 'data_b64'", &f->data, &f->len);
}

/* Permission bits as a number, or in octal as a string, as chmod takes them. */
static int read_mode(const struct read_ctx *x, const struct value *v, void *out)
{
    int64_t mode = v->type == VALUE_INT ? v->i : 0;

    if (v->type == VALUE_STR) {
        if (!v->len || v->len > 4 || v->s[strspn(v->s, "01234567")])
            return read_fail(x, "'%.16s' must be octal, like \"0644\"", v->s);
        mode = strtol(v->s, NULL, 8);
    } else if (v->type != VALUE_INT) {
        return read_fail(x, "must be a number or a string like \"0644\", not %s",
                         value_word(v));
    }
    if (mode < 0 || mode > 0777)
        return read_fail(x, "must be 0 to 511 (octal 777)");
    *(int *)out = (int)mode;
    return 0;
}

#define AT(member) offsetof(struct task_file_in, member)
static const struct task_key in_keys[] = {
    TASK_KEY("path", read_path, AT(path)),  TASK_KEY("data", read_data, 0),
    TASK_KEY("data_b64", read_data_b64, 0), TASK_KEY("from", read_place, AT(from)),
    TASK_KEY("mode", read_mode, AT(mode)),  {0},
};
#undef AT
#define AT(member) offsetof(struct task_file_out, member)
static const struct task_key out_keys[] = {
    TASK_KEY("path", read_pattern, AT(path)),
    TASK_KEY("to", read_place, AT(to)),
    TASK_KEY("optional", read_bool, AT(optional)),
    {0},
};
#undef AT

static int read_value(const struct read_ctx *x, const struct value *v, void *out)
{
    if (v->type != VALUE_ARRAY)
        return read_fail(x, "must be a list of maps, not %s", value_word(v));
    if (v->count > FILES_MAX)
        return read_fail(x, "more than %d files", FILES_MAX);
    *(const struct value **)out = v;
    return 0;
}

static const struct task_key list_keys[] = {
    TASK_KEY("in", read_value, offsetof(struct file_lists, in)),
    TASK_KEY("out", read_value, offsetof(struct file_lists, out)),
    {0},
};

/* Where entry i of a list stands, for messages: as a prefix "files.in[2]." and as a name. */
static int entry_ctx(const struct read_ctx *x, const char *list, uint32_t i,
                     struct read_ctx *ret)
{
    *ret = *x;
    ret->prefix = arena_fmt(x->arena, "files.%s[%u].", list, i);
    ret->name = arena_fmt(x->arena, "files.%s[%u]", list, i);
    return ret->prefix && ret->name ? 0 : read_nomem(x);
}

static int entry_read(const struct read_ctx *x, struct read_ctx *at, const struct value *v,
                      const struct task_key *table, void *out)
{
    struct read_ctx top = *x;

    top.prefix = "";
    top.name = at->name;
    return read_map(&top, at->prefix, v, table, out);
}

static int read_in(const struct read_ctx *x, const struct value *list, struct task *t)
{
    struct task_file_in *files = arena_alloc(x->arena, (list->count + 1) * sizeof *files);

    if (!files)
        return read_nomem(x);
    for (uint32_t i = 0; i < list->count; i++) {
        struct read_ctx at;
        int r = entry_ctx(x, "in", i, &at);

        files[i].mode = 0644;
        if (r >= 0)
            r = entry_read(x, &at, &list->items[i], in_keys, &files[i]);
        if (r < 0)
            return r;
        at.prefix = "";
        if (!files[i].path)
            return read_fail(&at, "'path' is missing");
        if (!files[i].data == !files[i].from)
            return read_fail(&at,
                             "exactly one of 'data', 'data_b64' and 'from' must be given");
        for (uint32_t j = 0; j < i; j++)
            if (!strcmp(files[i].path, files[j].path))
                return read_fail(&at, "path '%.64s' is given twice", files[i].path);
    }
    t->files_in = files;
    t->files_in_count = list->count;
    return 0;
}

static int read_out(const struct read_ctx *x, const struct value *list, struct task *t)
{
    struct task_file_out *files = arena_alloc(x->arena, (list->count + 1) * sizeof *files);

    if (!files)
        return read_nomem(x);
    for (uint32_t i = 0; i < list->count; i++) {
        struct read_ctx at;
        int r = entry_ctx(x, "out", i, &at);

        if (r >= 0)
            r = entry_read(x, &at, &list->items[i], out_keys, &files[i]);
        if (r < 0)
            return r;
        at.prefix = "";
        if (!files[i].path)
            return read_fail(&at, "'path' is missing");
    }
    t->files_out = files;
    t->files_out_count = list->count;
    return 0;
}

int read_files(const struct read_ctx *x, const struct value *v, void *out)
{
    struct file_lists lists = {0};
    int r = read_map(x, "files.", v, list_keys, &lists);

    if (r >= 0 && lists.in)
        r = read_in(x, lists.in, out);
    if (r >= 0 && lists.out)
        r = read_out(x, lists.out, out);
    return r;
}
