/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* From a RUN frame to an attempt with its plan. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fail.h"
#include "base/str.h"
#include "worker/attempt.h"
#include <berth/transport.h>

static uint64_t fnv1a(uint64_t h, const char *s)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return (h ^ 0xff) * 0x100000001b3u; /* ends one string and begins the next */
}

void attempt_instance(const struct config *c, const char *id, int number, char out[64])
{
    char short_id[25];
    size_t n = 0;
    uint64_t h = fnv1a(fnv1a(fnv1a(0xcbf29ce484222325u, c->name), c->state_dir), id);
    for (const char *s = id; *s && n + 1 < sizeof short_id; s++) {
        char ch = *s >= 'A' && *s <= 'Z' ? (char)(*s - 'A' + 'a') : *s;
        bool fits = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9');
        short_id[n++] = fits ? ch : '-';
    }
    short_id[n] = '\0';
    snprintf(out, 64, "berth-%s-%d-%016llx", short_id, number, (unsigned long long)h);
}

void attempt_ids(const struct runtime *rt, int slot, uid_t *ret_uid, gid_t *ret_gid)
{
    struct enforce_view best = enforce_best(rt);
    *ret_uid = (uid_t)-1;
    *ret_gid = (gid_t)-1;
    if (!best.own_uid || slot < 0)
        return;
    *ret_uid = rt->config->uid_base + (uint32_t)slot % rt->config->uid_count;
    *ret_gid = *ret_uid;
}

struct value refusal_value(struct arena *a, const char *id, int number,
                           const struct refusal *why, const char *text)
{
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", id);
    value_put_int(a, &body, "attempt", number);
    value_put_str(a, &body, "verdict", berth_verdict_name(why->verdict));
    value_put_str(a, &body, "blame", berth_blame_name(why->blame));
    value_put_str(a, &body, "code", why->code);
    value_put_str(a, &body, "message", text);
    return body;
}

static int refuse(struct refusal *why, int verdict, int blame, const char *code)
{
    *why = (struct refusal){verdict, blame, code};
    return 0;
}

static int read_gpus(struct attempt *at, const struct value *list)
{
    size_t count = list && list->type == VALUE_ARRAY ? list->count : 0;
    const char **names = arena_alloc(at->arena, (count + 1) * sizeof *names);
    if (!names)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        names[i] =
            arena_str(at->arena, list->items[i].type == VALUE_STR ? list->items[i].s : "");
    at->gpus = names;
    at->gpu_count = count;
    return 0;
}

/* What the frame says, but for the task itself. */
static int read_frame(struct attempt *at, const struct config *c, const struct value *run,
                      struct berth_error *err)
{
    const struct value *task = value_get(run, "task");
    const char *id = value_str(run, "id", "");
    at->number = (int)value_int(run, "attempt", 0);
    at->slot = (int)value_int(run, "slot", -1);
    at->queued_ms = value_int(run, "queued_ms", 0);
    at->failures = value_int(run, "failures", 0);
    at->losses = value_int(run, "losses", 0);
    if (!is_task_id(id, strlen(id)) || at->number < 1 || !task || task->type != VALUE_BIN)
        return berth_fail(err, EPROTO, "the host's RUN frame has no id, attempt or task");
    at->id = arena_str(at->arena, id);
    at->transport = arena_str(at->arena, value_str(run, "transport", ""));
    at->dir =
        arena_fmt(at->arena, "%s/" ATTEMPTS_DIR "/%s.%d", c->state_dir, id, at->number);
    at->work = at->dir ? arena_fmt(at->arena, "%s/work", at->dir) : NULL;
    at->task_bytes = arena_mem(at->arena, task->s, task->len);
    at->task_len = task->len;
    if (!at->id || !at->transport || !at->work || !at->task_bytes ||
        read_gpus(at, value_get(run, "gpus")) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    attempt_instance(c, at->id, at->number, at->instance);
    return 0;
}

static int read_task(struct attempt *at, const struct config *c, struct refusal *why,
                     struct berth_error *err)
{
    /* The host has applied the limit on size to what the sender wrote; encoded anew it
     * may be longer. */
    int rc = task_decode(at->arena, at->task_bytes, at->task_len, BERTH_FORMAT_MSGPACK,
                         2 * c->max_task_bytes + 65536, &at->task, err);
    if (rc == 0)
        rc = plan_make(c, &at->task, at->arena, &at->plan, err);
    if (rc < 0 && rc != -ENOMEM)
        refuse(why, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER, "refused");
    return rc;
}

static int check_runtime(const struct runtime *rt, const struct attempt *at,
                         struct refusal *why, struct berth_error *err)
{
    if (!rt->plugin) {
        refuse(why, BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_RUNTIME, "runtime_not_usable");
        *err = rt->error;
        return -(err->code ? err->code : EIO);
    }
    if (strcmp(at->plan.runtime->name, rt->block->name) != 0) {
        refuse(why, BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE, "wrong_worker");
        return berth_fail(err, EXDEV, "the task belongs to runtime '%s', this is '%s'",
                          at->plan.runtime->name, rt->block->name);
    }
    if (!at->plan.executer && !rt->adhoc_options) {
        refuse(why, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER, "refused");
        return berth_fail(err, EINVAL,
                          "runtime '%s' takes no ad-hoc tasks: it has options without "
                          "a default, which only an executer can give",
                          rt->block->name);
    }
    struct enforce_view best = enforce_best(rt);
    const char *unmet = enforce_unmet(rt, &best, at->plan.require);
    if (unmet) {
        refuse(why, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER, "not_enforceable");
        return berth_fail(err, EOPNOTSUPP,
                          "'%s' is required, and runtime '%s' cannot enforce it here",
                          unmet, rt->block->name);
    }
    return 0;
}

int attempt_new(struct runtime *rt, const struct value *run, struct attempt **ret,
                struct refusal *ret_why, struct berth_error *err)
{
    refuse(ret_why, BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE, "worker_error");
    struct attempt *at = calloc(1, sizeof *at);
    if (!at)
        return berth_fail(err, ENOMEM, "out of memory");
    at->lock_fd = -1;
    at->arena = arena_new();
    int rc = at->arena ? read_frame(at, rt->config, run, err)
                       : berth_fail(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = read_task(at, rt->config, ret_why, err);
    if (rc == 0)
        rc = check_runtime(rt, at, ret_why, err);
    if (rc < 0) {
        attempt_free(at);
        return rc;
    }
    attempt_ids(rt, at->slot, &at->uid, &at->gid);
    *ret = at;
    return 0;
}

void attempt_free(struct attempt *at)
{
    if (!at)
        return;
    if (at->lock_fd >= 0)
        close(at->lock_fd);
    arena_free(at->arena);
    free(at);
}

/* An arena cannot give back a part of itself, but the kernel can take the pages. */
static void forget(const void *data, size_t len)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = ((uintptr_t)data + page - 1) & ~(page - 1);
    uintptr_t to = ((uintptr_t)data + len) & ~(page - 1);
    if (data && to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
}

void attempt_forget_bytes(struct attempt *at)
{
    forget(at->task_bytes, at->task_len);
    forget(at->task.input, at->task.input_len);
    at->task.input = NULL;
    at->task.input_len = 0;
    for (size_t i = 0; i < at->task.files_in_count; i++)
        forget(at->task.files_in[i].data, at->task.files_in[i].len);
}
