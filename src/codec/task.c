/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A task read by the schema of its keys. */
#include "codec/task.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "codec/task_read.h"
#include <berth/task.h>
#include <berth/transport.h>

#define DECADE_MS 315576000000 /* ten years */
#define WORDS_TOTAL \
    (1 << 20) /* of arguments and environment; the kernel takes a little more */

const char *const task_network_names[] = {[BERTH_NETWORK_NONE] = "none",
                                          [BERTH_NETWORK_HOST] = "host",
                                          [BERTH_NETWORK_PRIVATE] = "private",
                                          NULL};
const char *const task_require_names[] = {"memory", "cpus",      "pids", "disk", "network",
                                          "uid",    "read_only", "time", "gpus", NULL};
static const char *const no_words[] = {NULL};

bool is_env_name(const char *s, size_t len)
{
    if (!len || isdigit((unsigned char)*s))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!isascii(s[i]) || (!isalnum((unsigned char)s[i]) && s[i] != '_'))
            return false;
    return true;
}

/* Index of s, or -1 after a message with the nearest. */
static int read_choice(const struct read_ctx *x, const char *s, const char *const *names)
{
    char all[128] = "";
    const char *near;

    for (int i = 0; names[i]; i++) {
        if (!strcmp(names[i], s))
            return i;
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "",
                 names[i]);
    }
    near = nearest_name(s, names);
    if (near)
        read_fail(x, "'%.32s' is not known; did you mean '%s'?", s, near);
    else
        read_fail(x, "'%.32s' is not known; known are %s", s, all);
    return -1;
}

static int read_version(const struct read_ctx *x, const struct value *v, void *out)
{
    (void)out;
    if (v->type == VALUE_INT && v->i == 1)
        return 0;
    return v->type == VALUE_INT
               ? read_fail(x, "this berth knows version 1, not %lld", (long long)v->i)
               : read_fail(x, "must be the integer 1, not %s", value_word(v));
}

static int read_id(const struct read_ctx *x, const struct value *v, void *out)
{
    int r = read_str(x, v, out);

    return r < 0 || is_task_id(v->s, v->len)
               ? r
               : read_fail(x, "must be 1 to 128 of A-Z a-z 0-9 . _ : -");
}

static int read_name(const struct read_ctx *x, const struct value *v, void *out)
{
    int r = read_str(x, v, out);

    if (r < 0 || is_name(v->s))
        return r;
    return read_fail(
        x, "'%.64s' is no name: up to 64 of A-Z a-z 0-9 . _ - , first a letter or digit",
        v->s);
}

static int read_command(const struct read_ctx *x, const struct value *v, void *out)
{
    int r = read_list(x, v, out);

    return r < 0 || (v->count && v->items[0].len)
               ? r
               : read_fail(x, "must begin with the program's name");
}

static int read_env(const struct read_ctx *x, const struct value *v, void *out)
{
    const char **list;
    const char *value;

    if (v->type != VALUE_MAP)
        return read_fail(x, "must be a map of strings, not %s", value_word(v));
    list = arena_alloc(x->arena, ((size_t)v->count + 1) * sizeof *list);
    if (!list)
        return read_nomem(x);
    for (uint32_t i = 0; i < v->count; i++) {
        const struct value *key = &v->pairs[i].key, *val = &v->pairs[i].val;
        struct read_ctx at = {.err = x->err, .prefix = "env.", .name = key->s};
        int r;

        if (!is_env_name(key->s, key->len))
            return read_fail(x, "'%.64s' is no name of a variable: [A-Za-z_][A-Za-z0-9_]*",
                             key->s);
        r = read_str_at(&at, "", val, &value);
        if (r < 0)
            return r;
        if (key->len + 1 + val->len > TASK_WORDS_MAX)
            return berth_fail(x->err, E2BIG,
                              "key 'env.%.64s': more than the %d bytes that the "
                              "kernel takes",
                              key->s, TASK_WORDS_MAX);
        list[i] = arena_fmt(x->arena, "%s=%s", key->s, value);
        if (!list[i])
            return read_nomem(x);
    }
    *(const char *const **)out = list;
    return 0;
}

static int read_input(const struct read_ctx *x, const struct value *v, void *out)
{
    struct task *t = out;
    return read_plain(x, v, "'input' and 'input_b64'", &t->input, &t->input_len,
                      &t->input_is_str);
}

static int read_input_b64(const struct read_ctx *x, const struct value *v, void *out)
{
    struct task *t = out;
    return read_base64(x, v, "'input' and 'input_b64'", &t->input, &t->input_len);
}

static int read_labels(const struct read_ctx *x, const struct value *v, void *out)
{
    const char *text;

    if (v->type != VALUE_MAP)
        return read_fail(x, "must be a map of strings, not %s", value_word(v));
    for (uint32_t i = 0; i < v->count; i++) {
        struct read_ctx at = {
            .err = x->err, .prefix = "labels.", .name = v->pairs[i].key.s};
        int r = read_str_at(&at, "", &v->pairs[i].val, &text);
        if (r < 0)
            return r;
    }
    *(struct value *)out = *v;
    return 0;
}

static int read_network(const struct read_ctx *x, const struct value *v, void *out)
{
    const char *name;
    int r = read_str(x, v, &name), i;

    if (r < 0)
        return r;
    i = read_choice(x, name, task_network_names);
    if (i < 0)
        return -EINVAL;
    *(int *)out = i;
    return 0;
}

static int read_require(const struct read_ctx *x, const struct value *v, void *out)
{
    int r = read_list(x, v, out);

    for (uint32_t i = 0; r >= 0 && i < v->count; i++)
        if (read_choice(x, v->items[i].s, task_require_names) < 0)
            return -EINVAL;
    return r;
}

/* https://www.w3.org/TR/trace-context/ section 3.2; later versions may say more at the end. */
static bool is_traceparent(const char *s, size_t len)
{
    static const char shape[] = "hh-hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh-hhhhhhhhhhhhhhhh-hh";
    size_t n = sizeof shape - 1;

    if (len < n || len > 512)
        return false;
    for (size_t i = 0; i < n; i++)
        if (shape[i] == 'h' ? !strchr("0123456789abcdef", s[i]) : s[i] != '-')
            return false;
    if (!strncmp(s, "ff", 2) || strspn(s + 3, "0") >= 32 || strspn(s + 36, "0") >= 16)
        return false;
    return len == n || (strncmp(s, "00", 2) && s[n] == '-');
}

static int read_trace(const struct read_ctx *x, const struct value *v, void *out)
{
    int r = read_str(x, v, out);

    return r < 0 || is_traceparent(v->s, v->len)
               ? r
               : read_fail(
                     x, "is no W3C traceparent: 00-TRACE-PARENT-FLAGS, 32, 16 and 2 small "
                        "hexadecimal digits");
}

#define AT(member) offsetof(struct task_resources, member)
static const struct task_key resource_keys[] = {
    TASK_KEY("cpus", read_cores, AT(cpus), .max = 65536),
    TASK_KEY("memory", read_bytes, AT(memory_bytes), .max = 1LL << 60),
    TASK_KEY("disk", read_bytes, AT(disk_bytes), .max = 1LL << 60),
    TASK_KEY("pids", read_int64, AT(pids), .min = 1, .max = 4194304),
    TASK_KEY("gpus", read_int64, AT(gpus), .min = 0, .max = 1024),
    {0},
};
#undef AT

static int read_resources(const struct read_ctx *x, const struct value *v, void *out)
{
    return read_map(x, "resources.", v, resource_keys, out);
}

#define AT(member) offsetof(struct task, member)
static const struct task_key task_keys[] = {
    TASK_KEY("v", read_version, 0),
    TASK_KEY("id", read_id, AT(id)),
    TASK_KEY("executer", read_name, AT(executer)),
    TASK_KEY("runtime", read_name, AT(runtime)),
    TASK_KEY("image", read_full_str, AT(image)),
    TASK_KEY("command", read_command, AT(command)),
    TASK_KEY("args", read_list, AT(args)),
    TASK_KEY("env", read_env, AT(env)),
    TASK_KEY("input", read_input, 0),
    TASK_KEY("input_b64", read_input_b64, 0),
    TASK_KEY("files", read_files, 0),
    TASK_KEY("resources", read_resources, AT(resources)),
    TASK_KEY("timeout_ms", read_int64, AT(timeout_ms), .min = 1, .max = DECADE_MS),
    TASK_KEY("deadline_ms", read_int64, AT(deadline_ms), .min = 1, .max = 1LL << 52),
    TASK_KEY("retries", read_int, AT(retries), .min = 0, .max = 100),
    TASK_KEY("priority", read_int, AT(priority), .min = -100, .max = 100),
    TASK_KEY("tenant", read_name, AT(tenant)),
    TASK_KEY("labels", read_labels, AT(labels)),
    TASK_KEY("network", read_network, AT(network)),
    TASK_KEY("require", read_require, AT(require)),
    TASK_KEY("trace", read_trace, AT(trace)),
    {0},
};
#undef AT

/* What several keys must agree on. */
static int task_check(const struct task *t, struct berth_error *err)
{
    const char *adhoc = *t->runtime     ? "runtime"
                        : *t->image     ? "image"
                        : t->command[0] ? "command"
                                        : NULL;
    size_t words = 0;

    if (*t->executer && adhoc)
        return berth_fail(err, EINVAL,
                          "key '%s': not together with 'executer', which says it already",
                          adhoc);
    if (!*t->executer && !adhoc)
        return berth_fail(err, EINVAL,
                          "key 'executer' is missing (or, for an ad-hoc task, 'runtime' "
                          "and 'image' or 'command')");
    if (adhoc && !*t->runtime)
        return berth_fail(err, EINVAL, "key 'runtime' is missing; an ad-hoc task needs it");
    if (adhoc && !*t->image && !t->command[0])
        return berth_fail(err, EINVAL, "an ad-hoc task needs 'image' or 'command'");
    for (size_t i = 0; t->command[i]; i++)
        words += strlen(t->command[i]) + 1;
    for (size_t i = 0; t->args[i]; i++)
        words += strlen(t->args[i]) + 1;
    for (size_t i = 0; t->env[i]; i++)
        words += strlen(t->env[i]) + 1;
    if (words > WORDS_TOTAL)
        return berth_fail(err, E2BIG,
                          "%zu bytes of arguments and environment, at most %d are "
                          "possible; send more as input or as a file",
                          words, WORDS_TOTAL);
    return 0;
}

static void task_init(struct task *t, const struct value *v)
{
    const struct value *id = value_get(v, "id");

    *t = (struct task){.id = "",
                       .executer = "",
                       .runtime = "",
                       .image = "",
                       .command = no_words,
                       .args = no_words,
                       .env = no_words,
                       .resources = TASK_RESOURCES_UNSET,
                       .retries = -1,
                       .tenant = "",
                       .network = TASK_NETWORK_UNSET,
                       .require = no_words,
                       .trace = ""};
    if (id && id->type == VALUE_STR && is_task_id(id->s, id->len))
        t->id = id->s;
}

static int task_make_id(struct arena *a, struct task *t, struct berth_error *err)
{
    char ulid[27];
    const char *copy;

    if (*t->id)
        return 0;
    make_ulid(ulid);
    copy = arena_str(a, ulid);
    if (!copy)
        return berth_fail(err, ENOMEM, "out of memory");
    t->id = copy;
    t->id_made = true;
    return 0;
}

int task_from_value(struct arena *a, const struct value *v, struct task *ret,
                    struct berth_error *err)
{
    struct read_ctx top = {.arena = a, .err = err, .prefix = ""};
    struct task t;
    const char *id;
    int r;

    task_init(&t, v);
    id = t.id;
    if (v->type != VALUE_MAP)
        r = berth_fail(err, EINVAL, "a task must be a map, not %s", value_word(v));
    else
        r = read_map(&top, "", v, task_keys, &t);
    if (r >= 0)
        r = task_check(&t, err);
    if (r >= 0)
        r = task_make_id(a, &t, err);
    if (r < 0) {
        task_init(&t, v);
        t.id = id;
    }
    *ret = t;
    return r;
}

int task_decode(struct arena *a, const void *data, size_t len, int format, size_t max_bytes,
                struct task *ret, struct berth_error *err)
{
    struct value_limits limits = value_limits_default;
    struct value v = {.type = VALUE_NIL};
    int r;

    limits.max_bytes = max_bytes;
    task_init(ret, &v);
    if (format == BERTH_FORMAT_JSON)
        r = value_from_json(a, data, len, &limits, &v, err);
    else if (format == BERTH_FORMAT_MSGPACK)
        r = value_from_msgpack(a, data, len, &limits, &v, err);
    else
        r = berth_fail(err, EINVAL, "no such format: %d", format);
    return r < 0 ? r : task_from_value(a, &v, ret, err);
}
