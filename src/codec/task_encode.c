/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A task as the map that says it: just what the sender said, and the id. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "codec/task.h"

static void put_text(struct arena *a, struct value *map, const char *key, const char *s)
{
    if (s && *s)
        value_put(a, map, key, (struct value){.type = VALUE_STR, .s = s, .len = strlen(s)});
}

/* Content is not copied: it may be megabytes. */
static void put_data(struct arena *a, struct value *map, const char *key, const void *data,
                     size_t len, bool is_str)
{
    if (data)
        value_put(
            a, map, key,
            (struct value){.type = is_str ? VALUE_STR : VALUE_BIN, .s = data, .len = len});
}

static void put_list(struct arena *a, struct value *map, const char *key,
                     const char *const *list)
{
    struct value v = value_new_array(a);

    if (!list[0])
        return;
    for (; *list; list++)
        value_add(a, &v,
                  (struct value){.type = VALUE_STR, .s = *list, .len = strlen(*list)});
    value_put(a, map, key, v);
}

static void put_env(struct arena *a, struct value *map, const char *const *env)
{
    struct value v = value_new_map(a);

    if (!env[0])
        return;
    for (; *env; env++) {
        const char *equals = strchr(*env, '=');
        const char *name = arena_mem(a, *env, (size_t)(equals - *env));
        if (name)
            value_put(a, &v, name,
                      (struct value){
                          .type = VALUE_STR, .s = equals + 1, .len = strlen(equals + 1)});
        else
            v = value_new_map(NULL);
    }
    value_put(a, map, "env", v);
}

static void put_set(struct arena *a, struct value *map, const char *key, int64_t n)
{
    if (n >= 0)
        value_put_int(a, map, key, n);
}

static void put_resources(struct arena *a, struct value *map,
                          const struct task_resources *r)
{
    struct value v = value_new_map(a);

    if (r->cpus >= 0 && r->cpus == (double)(int64_t)r->cpus)
        value_put_int(a, &v, "cpus", (int64_t)r->cpus);
    else if (r->cpus >= 0)
        value_put_float(a, &v, "cpus", r->cpus);
    put_set(a, &v, "memory", r->memory_bytes);
    put_set(a, &v, "disk", r->disk_bytes);
    put_set(a, &v, "pids", r->pids);
    put_set(a, &v, "gpus", r->gpus);
    if (v.count)
        value_put(a, map, "resources", v);
}

static struct value file_in(struct arena *a, const struct task_file_in *f)
{
    struct value v = value_new_map(a);

    put_text(a, &v, "path", f->path);
    put_data(a, &v, "data", f->data, f->len, f->data_is_str);
    put_text(a, &v, "from", f->from);
    if (f->mode != 0644)
        value_put_int(a, &v, "mode", f->mode);
    return v;
}

static struct value file_out(struct arena *a, const struct task_file_out *f)
{
    struct value v = value_new_map(a);

    put_text(a, &v, "path", f->path);
    put_text(a, &v, "to", f->to);
    if (f->optional)
        value_put_bool(a, &v, "optional", true);
    return v;
}

static void put_files(struct arena *a, struct value *map, const struct task *t)
{
    struct value files = value_new_map(a), in = value_new_array(a),
                 out = value_new_array(a);

    for (size_t i = 0; i < t->files_in_count; i++)
        value_add(a, &in, file_in(a, &t->files_in[i]));
    for (size_t i = 0; i < t->files_out_count; i++)
        value_add(a, &out, file_out(a, &t->files_out[i]));
    if (t->files_in_count)
        value_put(a, &files, "in", in);
    if (t->files_out_count)
        value_put(a, &files, "out", out);
    if (t->files_in_count || t->files_out_count)
        value_put(a, map, "files", files);
}

struct value task_to_value(struct arena *a, const struct task *t)
{
    struct value v = value_new_map(a);

    value_put_int(a, &v, "v", 1);
    put_text(a, &v, "id", t->id);
    put_text(a, &v, "executer", t->executer);
    put_text(a, &v, "runtime", t->runtime);
    put_text(a, &v, "image", t->image);
    put_list(a, &v, "command", t->command);
    put_list(a, &v, "args", t->args);
    put_env(a, &v, t->env);
    put_data(a, &v, "input", t->input, t->input_len, t->input_is_str);
    put_files(a, &v, t);
    put_resources(a, &v, &t->resources);
    if (t->timeout_ms)
        value_put_int(a, &v, "timeout_ms", t->timeout_ms);
    if (t->deadline_ms)
        value_put_int(a, &v, "deadline_ms", t->deadline_ms);
    put_set(a, &v, "retries", t->retries);
    if (t->priority)
        value_put_int(a, &v, "priority", t->priority);
    put_text(a, &v, "tenant", t->tenant);
    if (t->labels.type == VALUE_MAP)
        value_put(a, &v, "labels", t->labels);
    if (t->network != TASK_NETWORK_UNSET)
        put_text(a, &v, "network", task_network_names[t->network]);
    put_list(a, &v, "require", t->require);
    put_text(a, &v, "trace", t->trace);
    return v;
}

int task_encode(const struct task *t, struct buf *out)
{
    cleanup_arena struct arena *a = arena_new();
    struct value v;

    if (!a)
        return -ENOMEM;
    v = task_to_value(a, t);
    return value_to_msgpack(&v, out);
}
