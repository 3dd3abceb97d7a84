/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth through Redis: see berth-redis(7) for the keys. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "client_resp.h"

#define LOOK_MS 1000 /* how often a result is looked for whose announcement did not come */
#define EVENTS "10000" /* for how many of them the state of a task is looked for */

struct client_link {
    struct resp_place place;
    struct resp_conn work, hear; /* hear: subscribed to `done` once it is open */
    char *prefix;                /* berth:{Q}: */
    char *tasks;
};

static void redis_close(struct client_link *l)
{
    if (!l)
        return;
    resp_close(&l->work);
    resp_close(&l->hear);
    resp_place_fini(&l->place);
    free(l->prefix);
    free(l->tasks);
    free(l);
}

/* Takes NAME=VALUE out of the query; the value is allocated, or NULL. */
static char *take_query(char *url, const char *name)
{
    size_t len = strlen(name);
    for (char *at = strchr(url, '?'); at && *at; at += 1 + strcspn(at + 1, "&")) {
        if (strncmp(at + 1, name, len) != 0 || at[1 + len] != '=')
            continue;
        size_t size = strcspn(at + 1, "&");
        char *value = strndup(at + 2 + len, size - len - 1);
        char *next = at + 1 + size; /* '&' or the end */
        if (*next)
            memmove(at + 1, next + 1, strlen(next));
        else
            *at = '\0';
        return value;
    }
    return NULL;
}

static int make_names(struct client_link *l, const char *queue, const char *level,
                      const char *url, struct berth_error *err)
{
    bool normal = !level || !strcmp(level, "normal");
    if (!queue || !is_name(queue))
        return berth_fail(err, EINVAL,
                          "'%s' names no queue; put it behind a '?': "
                          "redis://127.0.0.1:6379/0?queue=jobs",
                          url);
    if (level && !is_name(level))
        return berth_fail(err, EINVAL, "'%s' is no name of a level", level);
    if (asprintf(&l->prefix, "berth:{%s}:", queue) < 0 ||
        asprintf(&l->tasks, "%stasks%s%s", l->prefix, normal ? "" : ":",
                 normal ? "" : level) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    return 0;
}

static int redis_open(const char *url, const char *token, const char *ca_file,
                      struct client_link **ret, struct berth_error *err)
{
    cleanup_free char *text = strdup(url), *queue = NULL, *level = NULL;
    struct client_link *l = calloc(1, sizeof *l);
    if (!text || !l) {
        free(l);
        return berth_fail(err, ENOMEM, "out of memory");
    }
    l->work.fd = l->hear.fd = -1;
    queue = take_query(text, "queue");
    level = take_query(text, "level");
    int rc = make_names(l, queue, level, url, err);
    if (rc == 0)
        rc = resp_place_init(&l->place, text, token, ca_file, err);
    if (rc < 0) {
        redis_close(l);
        return rc;
    }
    *ret = l;
    return 0;
}

/* ---- tasks ---- */

static void cmd_key(struct cmd *cmd, const struct client_link *l, const char *name,
                    const char *id)
{
    char key[sizeof "berth:{}:result:" + 64 + BERTH_CLIENT_ID_SIZE];
    snprintf(key, sizeof key, "%s%s%s", l->prefix, name, id);
    cmd_str(cmd, key);
}

/* A task that used the id before, and has a result, must be the same. */
static int check_used(struct client_link *l, const char *id, const struct buf *task,
                      struct berth_error *err)
{
    struct cmd cmd = {0};
    struct resp *reply;
    char digest[DIGEST];
    cmd_str(&cmd, "HGET");
    cmd_key(&cmd, l, "result:", id);
    cmd_str(&cmd, "digest");
    int rc = resp_call(&l->work, &l->place, &cmd, &reply, err);
    if (rc < 0)
        return rc;
    bytes_digest(task->data, task->len, digest);
    if (reply->type == RESP_STRING && strcmp(resp_str(reply), digest) != 0)
        rc = berth_fail(err, EEXIST, "id '%s' was used for a different task", id);
    resp_free(reply);
    return rc;
}

static int redis_send(struct client_link *l, struct arena *a, const struct value *task,
                      bool id_made, int64_t hold_ms, struct value *ret,
                      struct berth_error *err)
{
    cleanup_buf struct buf body = BUF_INIT;
    struct cmd cmd = {0};
    struct resp *reply;
    (void)a, (void)hold_ms, (void)ret;
    if (value_to_msgpack(task, &body) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = id_made ? 0 : check_used(l, value_str(task, "id", ""), &body, err);
    if (rc < 0)
        return rc;
    cmd_str(&cmd, "XADD");
    cmd_str(&cmd, l->tasks);
    cmd_words(&cmd, "* t");
    cmd_data(&cmd, body.data, body.len);
    rc = resp_call(&l->work, &l->place, &cmd, &reply, err);
    if (rc == 0)
        resp_free(reply);
    return rc;
}

static int redis_look(struct client_link *l, struct arena *a, const char *id,
                      struct value *ret, struct berth_error *err)
{
    struct cmd cmd = {0};
    struct resp *reply;
    *ret = (struct value){0};
    cmd_str(&cmd, "HGET");
    cmd_key(&cmd, l, "result:", id);
    cmd_str(&cmd, "r");
    int rc = resp_call(&l->work, &l->place, &cmd, &reply, err);
    if (rc < 0)
        return rc;
    if (reply->type == RESP_STRING)
        rc = client_decode(a, reply->s, reply->len, ret, err);
    resp_free(reply);
    return rc < 0 ? berth_wrap(err, "the result of %s", id) : 0;
}

static int subscribe(struct client_link *l, struct berth_error *err)
{
    struct cmd cmd = {0};
    struct resp *reply;
    cmd_str(&cmd, "SUBSCRIBE");
    cmd_key(&cmd, l, "done", "");
    int rc = resp_call(&l->hear, &l->place, &cmd, &reply, err);
    if (rc == 0)
        resp_free(reply);
    return rc;
}

/* Until the end of that task is announced, or the time is over. */
static int hear_end(struct client_link *l, const char *id, int64_t end_ms,
                    struct berth_error *err)
{
    int64_t now;
    while ((now = now_ms()) < end_ms) {
        struct resp *message;
        int rc = resp_read(&l->hear, end_ms - now, &message, err);
        if (rc <= 0)
            return rc;
        bool ended = !strcmp(resp_str(resp_at(message, 2)), id);
        resp_free(message);
        if (ended)
            return 0;
    }
    return 0;
}

static int redis_wait(struct client_link *l, struct arena *a, const char *id, int64_t ms,
                      struct value *ret, struct berth_error *err)
{
    int64_t end = now_ms() + ms;
    int rc = redis_look(l, a, id, ret, err);
    while (rc == 0 && ret->type != VALUE_MAP && now_ms() < end) {
        if (l->hear.fd < 0) {
            rc = subscribe(l, err);
        } else {
            int64_t look = now_ms() + LOOK_MS;
            rc = hear_end(l, id, look < end ? look : end, err);
        }
        if (rc == 0)
            rc = redis_look(l, a, id, ret, err);
    }
    return rc;
}

static int redis_cancel(struct client_link *l, const char *id, struct berth_error *err)
{
    struct cmd exists = {0}, cancel = {0};
    struct resp *reply;
    cmd_str(&exists, "EXISTS");
    cmd_key(&exists, l, "result:", id);
    int rc = resp_call(&l->work, &l->place, &exists, &reply, err);
    if (rc < 0)
        return rc;
    bool done = resp_int(reply) != 0;
    resp_free(reply);
    if (done)
        return 1;
    cmd_str(&cancel, "XADD");
    cmd_key(&cancel, l, "control", "");
    cmd_words(&cancel, "MAXLEN ~ 1000 * cancel");
    cmd_str(&cancel, id);
    rc = resp_call(&l->work, &l->place, &cancel, &reply, err);
    if (rc == 0)
        resp_free(reply);
    return rc;
}

/* Field and value follow each other. */
static const char *event_field(const struct resp *event, const char *name)
{
    const struct resp *fields = resp_at(event, 1);
    for (size_t i = 0; i + 1 < fields->count; i += 2)
        if (!strcmp(resp_str(resp_at(fields, i)), name))
            return resp_str(resp_at(fields, i + 1));
    return "";
}

/* Of a task without a result what the latest event tells. */
static int redis_status(struct client_link *l, const char *id, const char **ret_state,
                        struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct cmd cmd = {0};
    struct resp *events;
    struct value result;
    int rc = redis_look(l, a, id, &result, err);
    if (rc < 0)
        return rc;
    *ret_state = client_state(result.type == VALUE_MAP ? "done" : "");
    if (result.type == VALUE_MAP)
        return 0;
    cmd_str(&cmd, "XREVRANGE");
    cmd_key(&cmd, l, "events", "");
    cmd_words(&cmd, "+ - COUNT " EVENTS);
    rc = resp_call(&l->work, &l->place, &cmd, &events, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < events->count; i++)
        if (!strcmp(event_field(resp_at(events, i), "id"), id)) {
            *ret_state = client_state(event_field(resp_at(events, i), "state"));
            break;
        }
    resp_free(events);
    return 0;
}

const struct client_ops client_redis = {.open = redis_open,
                                        .close = redis_close,
                                        .send = redis_send,
                                        .wait = redis_wait,
                                        .cancel = redis_cancel,
                                        .status = redis_status};
