/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A result for the caller, out of the host's map. */
#include "client.h"

#include <errno.h>
#include <string.h>

struct result {
    struct berth_client_result shown; /* first: this is what the caller has */
    struct arena *arena;
    struct buf msgpack;
};

int client_decode(struct arena *a, const void *data, size_t len, struct value *ret,
                  struct berth_error *err)
{
    struct value_limits lim = value_limits_default;
    lim.max_bytes = CLIENT_RESULT_MAX;
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    return len && *(const char *)data == '{'
               ? value_from_json(a, data, len, &lim, ret, err)
               : value_from_msgpack(a, data, len, &lim, ret, err);
}

int client_refused(const struct value *result, struct berth_error *err)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {
        {"ENOENT", ENOENT}, {"EEXIST", EEXIST}, {"E2BIG", E2BIG}, {"EPERM", EPERM}};
    const struct value *error = value_get(result, "error");
    const char *name = value_str(error, "code", "");
    int code = EINVAL;
    for (size_t i = 0; i < countof(codes); i++)
        if (!strcmp(codes[i].name, name))
            code = codes[i].code;
    return berth_fail(err, code, "%s", value_str(error, "message", "the task was refused"));
}

/* Bytes of a result; a result that came as JSON has them as base64. */
static const char *take_bytes(struct arena *a, const struct value *raw, const char *key,
                              const char *key_b64, size_t *ret_len)
{
    const struct value *v = value_get(raw, key);
    char *data;
    if (v && (v->type == VALUE_BIN || v->type == VALUE_STR)) {
        *ret_len = v->len;
        return v->s;
    }
    v = value_get(raw, key_b64);
    if (v && v->type == VALUE_STR && base64_decode(a, v->s, v->len, &data, ret_len) == 0)
        return data;
    *ret_len = 0;
    return "";
}

static void fill(struct arena *a, const struct value *raw, struct berth_client_result *r)
{
    const struct value *usage = value_get(raw, "usage"), *error = value_get(raw, "error");
    r->id = value_str(raw, "id", "");
    r->verdict = (enum berth_verdict)berth_verdict_parse(value_str(raw, "verdict", ""));
    r->blame = (enum berth_blame)berth_blame_parse(value_str(raw, "blame", ""));
    r->attempt = (int)value_int(raw, "attempt", 0);
    r->exit_code = (int)value_int(raw, "exit_code", -1);
    r->signal = (int)value_int(raw, "signal", 0);
    r->output = take_bytes(a, raw, "output", "output_b64", &r->output_len);
    r->output_truncated = value_bool(raw, "output_truncated", false);
    r->stderr_tail =
        take_bytes(a, raw, "stderr_tail", "stderr_tail_b64", &r->stderr_tail_len);
    r->wall_ms = value_int(usage, "wall_ms", 0);
    r->user_ms = value_int(usage, "user_ms", 0);
    r->sys_ms = value_int(usage, "sys_ms", 0);
    r->peak_memory_bytes = value_int(usage, "peak_memory", 0);
    r->error_code = value_str(error, "code", "");
    r->error_message = value_str(error, "message", "");
    r->executer = value_str(raw, "executer", "");
    r->runtime = value_str(raw, "runtime", "");
    r->host = value_str(raw, "host", "");
    r->queued_ms = value_int(raw, "queued_ms", 0);
    r->started_ms = value_int(raw, "started_ms", 0);
    r->finished_ms = value_int(raw, "finished_ms", 0);
}

int client_result_new(struct arena *take_a, const struct value *raw,
                      struct berth_client_result **ret, struct berth_error *err)
{
    cleanup_arena struct arena *a = take_a;
    struct result *r;
    if (!strcmp(value_str(raw, "verdict", ""), "rejected"))
        return client_refused(raw, err);
    r = calloc(1, sizeof *r);
    if (!r)
        return berth_fail(err, ENOMEM, "out of memory");
    fill(a, raw, &r->shown);
    if (value_to_msgpack(raw, &r->msgpack) < 0) {
        free(r);
        return berth_fail(err, ENOMEM, "out of memory");
    }
    r->shown.msgpack = r->msgpack.data;
    r->shown.msgpack_len = r->msgpack.len;
    r->arena = take_ptr(a);
    *ret = &r->shown;
    return 0;
}

void berth_client_result_free(struct berth_client_result *shown)
{
    struct result *r = (struct result *)shown;
    if (!r)
        return;
    arena_free(r->arena);
    buf_free(&r->msgpack);
    free(r);
}
