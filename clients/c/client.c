/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The verbs: each tries its transport until that answers, the time is over, or the patience. */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

#define HOLD_MS 30000 /* of one request that waits */
#define PATIENCE_MS 60000

struct berth_client {
    const struct client_ops *ops;
    struct client_link *link;
    int64_t patience_ms; /* -1: any time */
};

/* One call of ours: until when, and how long the server has been away. */
struct effort {
    const struct berth_client *c;
    int64_t end_ms;  /* -1: never */
    int64_t away_ms; /* since when; 0: it is there */
    int64_t pause_ms;
};

const char *client_state(const char *name)
{
    static const char *const states[] = {"queued", "starting", "running", "done"};
    for (size_t i = 0; i < countof(states); i++)
        if (!strcmp(states[i], name))
            return states[i];
    return "unknown";
}

static const struct scheme {
    const char *prefix;
    const struct client_ops *ops;
} schemes[] = {
    {"http://", &client_http},      {"https://", &client_http},
    {"http+unix://", &client_http},
#ifdef CLIENT_WITH_REDIS
    {"redis://", &client_redis},    {"rediss://", &client_redis},
    {"unix://", &client_redis},
#endif
#ifdef CLIENT_WITH_ZMQ
    {"zmq://", &client_zmq},        {"zmq+ipc://", &client_zmq},
#endif
};

static int find_ops(const char *url, const struct client_ops **ret, struct berth_error *err)
{
    char known[160] = "";
    for (size_t i = 0; i < countof(schemes); i++) {
        size_t len = strlen(known);
        *ret = schemes[i].ops;
        if (!strncmp(url, schemes[i].prefix, strlen(schemes[i].prefix)))
            return 0;
        snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", schemes[i].prefix);
    }
    return berth_fail(err, EINVAL, "'%s' does not begin with one of %s", url, known);
}

int berth_client_open(const char *url, const struct berth_client_options *options,
                      struct berth_client **ret_client, struct berth_error *err)
{
    struct berth_client_options given = {0};
    const struct client_ops *ops;
    int rc = find_ops(url, &ops, err);
    if (options)
        memcpy(&given, options,
               options->size < sizeof given ? options->size : sizeof given);
    if (rc < 0)
        return rc;
    struct berth_client *c = calloc(1, sizeof *c);
    if (!c)
        return berth_fail(err, ENOMEM, "out of memory");
    c->ops = ops;
    c->patience_ms = given.patience_ms ? given.patience_ms : PATIENCE_MS;
    rc = ops->open(url, given.token ? given.token : getenv("BERTH_TOKEN"),
                   given.ca_file ? given.ca_file : getenv("BERTH_CA_FILE"), &c->link, err);
    if (rc < 0) {
        free(c);
        return rc;
    }
    *ret_client = c;
    return 0;
}

void berth_client_close(struct berth_client *c)
{
    if (!c)
        return;
    c->ops->close(c->link);
    free(c);
}

static struct effort effort_begin(const struct berth_client *c, int64_t timeout_ms)
{
    return (struct effort){.c = c, .end_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms};
}

static int64_t effort_left(const struct effort *e, int64_t most)
{
    int64_t left = e->end_ms < 0 ? most : e->end_ms - now_ms();
    return left < 0 ? 0 : left < most ? left : most;
}

/* After a try that gave rc: true, with a pause, if there shall be another one. */
static bool effort_again(struct effort *e, int rc)
{
    if (rc != -ECONNREFUSED && rc != -EAGAIN) {
        e->away_ms = 0;
        return false;
    }
    int64_t now = now_ms();
    if (!e->away_ms) {
        e->away_ms = now;
        e->pause_ms = 50;
    }
    if ((e->end_ms >= 0 && now >= e->end_ms) ||
        (e->c->patience_ms >= 0 && now - e->away_ms >= e->c->patience_ms))
        return false;
    int64_t pause = effort_left(e, e->pause_ms / 2 + (now * 7919) % (e->pause_ms / 2));
    nanosleep(&(struct timespec){pause / 1000, pause % 1000 * 1000000}, NULL);
    e->pause_ms = e->pause_ms < 1000 ? e->pause_ms * 2 : 2000;
    return true;
}

static int send_task(struct berth_client *c, struct effort *e, struct arena *a,
                     struct value *task, int64_t hold_ms, const char **ret_id,
                     struct value *ret_result, struct berth_error *err)
{
    bool made;
    int rc = client_task_id(a, task, ret_id, &made, err);
    if (rc < 0)
        return rc;
    do {
        *ret_result = (struct value){0};
        rc = c->ops->send(c->link, a, task, made, effort_left(e, hold_ms), ret_result, err);
    } while (effort_again(e, rc));
    return rc;
}

static int wait_end(struct berth_client *c, struct effort *e, struct arena *a,
                    const char *id, struct value *ret, struct berth_error *err)
{
    for (;;) {
        int rc = c->ops->wait(c->link, a, id, effort_left(e, HOLD_MS), ret, err);
        if (effort_again(e, rc))
            continue;
        if (rc < 0 || ret->type == VALUE_MAP)
            return rc;
        if (e->end_ms >= 0 && now_ms() >= e->end_ms)
            return berth_fail(err, ETIME, "task %s is not done yet", id);
    }
}

static int submit(struct berth_client *c, struct arena *a, struct value *task,
                  char ret_id[BERTH_CLIENT_ID_SIZE], struct berth_error *err)
{
    struct effort e = effort_begin(c, -1);
    struct value result;
    const char *id = "";
    int rc = send_task(c, &e, a, task, 0, &id, &result, err);
    if (ret_id)
        snprintf(ret_id, BERTH_CLIENT_ID_SIZE, "%s", id);
    return rc;
}

/* Takes the arena over. */
static int run(struct berth_client *c, struct arena *take_a, struct value *task,
               int64_t timeout_ms, struct berth_client_result **ret_result,
               struct berth_error *err)
{
    struct effort e = effort_begin(c, timeout_ms);
    struct value result;
    const char *id;
    int rc = send_task(c, &e, take_a, task, HOLD_MS, &id, &result, err);
    if (rc == 0 && result.type != VALUE_MAP)
        rc = wait_end(c, &e, take_a, id, &result, err);
    if (rc == 0)
        return client_result_new(take_a, &result, ret_result, err);
    arena_free(take_a);
    return rc;
}

int berth_client_submit(struct berth_client *c, const struct berth_client_task *task,
                        char ret_id[BERTH_CLIENT_ID_SIZE], struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct value v;
    int rc = client_task_build(a, task, &v, err);
    return rc < 0 ? rc : submit(c, a, &v, ret_id, err);
}

int berth_client_submit_encoded(struct berth_client *c, const void *task, size_t len,
                                char ret_id[BERTH_CLIENT_ID_SIZE], struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct value v;
    int rc = client_task_decode(a, task, len, &v, err);
    return rc < 0 ? rc : submit(c, a, &v, ret_id, err);
}

int berth_client_run(struct berth_client *c, const struct berth_client_task *task,
                     int64_t timeout_ms, struct berth_client_result **ret_result,
                     struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct value v;
    int rc = client_task_build(a, task, &v, err);
    return rc < 0 ? rc : run(c, take_ptr(a), &v, timeout_ms, ret_result, err);
}

int berth_client_run_encoded(struct berth_client *c, const void *task, size_t len,
                             int64_t timeout_ms, struct berth_client_result **ret_result,
                             struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct value v;
    int rc = client_task_decode(a, task, len, &v, err);
    return rc < 0 ? rc : run(c, take_ptr(a), &v, timeout_ms, ret_result, err);
}

static int check_id(const char *id, struct berth_error *err)
{
    return is_task_id(id, strlen(id))
               ? 0
               : berth_fail(err, EINVAL, "'%s' is not 1 to 128 of A-Z a-z 0-9 . _ : -", id);
}

int berth_client_wait(struct berth_client *c, const char *id, int64_t timeout_ms,
                      struct berth_client_result **ret_result, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct effort e = effort_begin(c, timeout_ms);
    struct value result = {0};
    int rc = check_id(id, err);
    if (rc == 0)
        rc = wait_end(c, &e, a, id, &result, err);
    return rc < 0 ? rc : client_result_new(take_ptr(a), &result, ret_result, err);
}

int berth_client_cancel(struct berth_client *c, const char *id, struct berth_error *err)
{
    struct effort e = effort_begin(c, -1);
    int rc = check_id(id, err);
    if (rc < 0)
        return rc;
    do
        rc = c->ops->cancel(c->link, id, err);
    while (effort_again(&e, rc));
    return rc;
}

int berth_client_status(struct berth_client *c, const char *id, const char **ret_state,
                        struct berth_error *err)
{
    struct effort e = effort_begin(c, -1);
    int rc = check_id(id, err);
    if (rc < 0)
        return rc;
    do
        rc = c->ops->status(c->link, id, ret_state, err);
    while (effort_again(&e, rc));
    return rc;
}
