/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The caller's task as the map that goes on the wire. */
#include "client.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

static void put_list(struct arena *a, struct value *map, const char *key,
                     const char *const *words)
{
    if (!words || !*words)
        return;
    struct value list = value_new_array(a);
    for (; *words; words++)
        value_add(a, &list, value_new_str(a, *words));
    value_put(a, map, key, list);
}

static int put_pairs(struct arena *a, struct value *map, const char *key,
                     const char *const *pairs, struct berth_error *err)
{
    if (!pairs || !*pairs)
        return 0;
    struct value into = value_new_map(a);
    for (; *pairs; pairs++) {
        const char *eq = strchr(*pairs, '=');
        if (!eq || eq == *pairs)
            return berth_fail(err, EINVAL, "%s: '%s' is not NAME=value", key, *pairs);
        value_put_str(a, &into, arena_mem(a, *pairs, (size_t)(eq - *pairs)), eq + 1);
    }
    value_put(a, map, key, into);
    return 0;
}

static void put_amount(struct arena *a, struct value *map, const char *key, int64_t n)
{
    if (n)
        value_put_int(a, map, key, n);
}

static void put_resources(struct arena *a, struct value *task,
                          const struct berth_client_task *t)
{
    struct value map = value_new_map(a);
    if (t->cpus > 0)
        value_put_float(a, &map, "cpus", t->cpus);
    put_amount(a, &map, "memory", (int64_t)t->memory_bytes);
    put_amount(a, &map, "disk", (int64_t)t->disk_bytes);
    put_amount(a, &map, "pids", t->pids);
    put_amount(a, &map, "gpus", t->gpus);
    if (map.count)
        value_put(a, task, "resources", map);
}

static void put_files(struct arena *a, struct value *task,
                      const struct berth_client_task *t)
{
    struct value in = value_new_array(a), out = value_new_array(a), both = value_new_map(a);
    for (size_t i = 0; i < t->file_count; i++) {
        const struct berth_client_file *f = &t->files[i];
        struct value file = value_new_map(a);
        value_put_str(a, &file, "path", f->path);
        if (f->from)
            value_put_str(a, &file, "from", f->from);
        else
            value_put_bin(a, &file, "data", f->data, f->data_len);
        value_add(a, &in, file);
    }
    for (const char *const *path = t->outputs; path && *path; path++) {
        struct value file = value_new_map(a);
        value_put_str(a, &file, "path", *path);
        value_add(a, &out, file);
    }
    if (in.count)
        value_put(a, &both, "in", in);
    if (out.count)
        value_put(a, &both, "out", out);
    if (both.count)
        value_put(a, task, "files", both);
}

static void put_words(struct arena *a, struct value *task,
                      const struct berth_client_task *t)
{
    value_put_str(a, task, "id", t->id);
    value_put_str(a, task, "executer", t->executer);
    value_put_str(a, task, "runtime", t->runtime);
    value_put_str(a, task, "image", t->image);
    value_put_str(a, task, "tenant", t->tenant);
    value_put_str(a, task, "network", t->network);
    value_put_str(a, task, "trace", t->trace);
    put_list(a, task, "command", t->command);
    put_list(a, task, "args", t->args);
    put_list(a, task, "require", t->require);
}

int client_task_build(struct arena *a, const struct berth_client_task *task,
                      struct value *ret, struct berth_error *err)
{
    struct berth_client_task t = {0};
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    memcpy(&t, task, task->size < sizeof t ? task->size : sizeof t);
    if (!t.executer == !t.runtime)
        return berth_fail(err, EINVAL,
                          "a task names an executer, or a runtime with a "
                          "command: one of the two");
    *ret = value_new_map(a);
    put_words(a, ret, &t);
    if (t.input_len)
        value_put_bin(a, ret, "input", t.input, t.input_len);
    put_amount(a, ret, "timeout_ms", t.timeout_ms);
    put_amount(a, ret, "deadline_ms", t.deadline_ms);
    put_amount(a, ret, "priority", t.priority);
    if (t.retries)
        value_put_int(a, ret, "retries", t.retries < 0 ? 0 : t.retries);
    put_resources(a, ret, &t);
    put_files(a, ret, &t);
    int rc = put_pairs(a, ret, "env", t.env, err);
    return rc < 0 ? rc : put_pairs(a, ret, "labels", t.labels, err);
}

int client_task_decode(struct arena *a, const void *data, size_t len, struct value *ret,
                       struct berth_error *err)
{
    int rc = client_decode(a, data, len, ret, err);
    if (rc == 0 && ret->type != VALUE_MAP)
        rc = berth_fail(err, EINVAL, "it is not a map");
    return rc < 0 ? berth_wrap(err, "the task cannot be read") : 0;
}

/* The id goes first, whether it was given or made: Redis compares tasks by their bytes. */
int client_task_id(struct arena *a, struct value *task, const char **ret_id, bool *ret_made,
                   struct berth_error *err)
{
    const struct value *given = value_get(task, "id");
    struct value first = value_new_map(a);
    char id[27];
    *ret_made = !given;
    if (given && (given->type != VALUE_STR || !is_task_id(given->s, given->len)))
        return berth_fail(err, EINVAL, "the id must be 1 to 128 of A-Z a-z 0-9 . _ : -");
    make_ulid(id);
    value_put_str(a, &first, "id", given ? given->s : id);
    for (uint32_t i = 0; i < task->count; i++)
        if (strcmp(task->pairs[i].key.s, "id") != 0)
            value_put(a, &first, task->pairs[i].key.s, task->pairs[i].val);
    *task = first;
    *ret_id = value_str(task, "id", "");
    return **ret_id ? 0 : berth_fail(err, ENOMEM, "out of memory");
}
