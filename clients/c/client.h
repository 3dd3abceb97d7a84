/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the files of the client library share. */
#ifndef CLIENT_H
#define CLIENT_H

#include "base/buf.h"
#include "base/fail.h"
#include "codec/value.h"

#include "berth-client.h"

/* Of results, which bring the files that were asked for. */
#define CLIENT_RESULT_MAX (64u << 20)

/* A transport. Each call is one try: -ECONNREFUSED and -EAGAIN say that another may help. */
struct client_link;
struct client_ops {
    int (*open)(const char *url, const char *token, const char *ca_file,
                struct client_link **ret, struct berth_error *err);
    void (*close)(struct client_link *l);
    /* Hands in. hold_ms > 0: wait so long for the result, if one request can do both. *ret is the result,
     * or nil if there is none yet. */
    int (*send)(struct client_link *l, struct arena *a, const struct value *task,
                bool id_made, int64_t hold_ms, struct value *ret, struct berth_error *err);
    /* The result, or nil if there is none after about that long. */
    int (*wait)(struct client_link *l, struct arena *a, const char *id, int64_t ms,
                struct value *ret, struct berth_error *err);
    int (*cancel)(struct client_link *l, const char *id, struct berth_error *err);
    int (*status)(struct client_link *l, const char *id, const char **ret_state,
                  struct berth_error *err);
};
extern const struct client_ops client_http, client_redis, client_zmq;

const char *client_state(const char *name); /* the static name of a state */

/* client_task.c */
int client_task_build(struct arena *a, const struct berth_client_task *task,
                      struct value *ret, struct berth_error *err);
int client_task_decode(struct arena *a, const void *data, size_t len, struct value *ret,
                       struct berth_error *err);
/* Makes sure that there is an id, which *ret_id then is; *ret_made: it was made here. */
int client_task_id(struct arena *a, struct value *task, const char **ret_id, bool *ret_made,
                   struct berth_error *err);

/* client_result.c */
/* MessagePack, or JSON if it begins with '{'. */
int client_decode(struct arena *a, const void *data, size_t len, struct value *ret,
                  struct berth_error *err);
/* Takes over the arena that raw lives in. -errno for the result of a task that was refused. */
int client_result_new(struct arena *take_a, const struct value *raw,
                      struct berth_client_result **ret, struct berth_error *err);
/* Turns the result of a task that was refused into a failure. */
int client_refused(const struct value *result, struct berth_error *err);

#endif
