/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A client of berth, over HTTP, ZeroMQ or through Redis: berth-client(3).
 *
 * A client is used by one thread at a time; each thread may have its own. It connects when it must, and
 * anew when it must. While a server is away or full it tries again, for as long as its patience lasts.
 *
 * Functions return 0, or a negative errno value with a text in err (which may be NULL):
 *   -EINVAL, -E2BIG  the task, the URL or an argument is wrong     -ETIME         not done yet
 *   -ENOENT          no such executer or task                      -ECONNREFUSED  the server is away
 *   -EEXIST          the id was used for a different task          -EAGAIN        it has no room
 *   -EPERM           not allowed: token, password, policy          -EPROTO        it is no berth
 *   -ENOMEM
 * What failed with -ECONNREFUSED or -EAGAIN may have arrived. Sent again with the same id it does no harm.
 */
#ifndef BERTH_CLIENT_H
#define BERTH_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include <berth/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct berth_client;

#define BERTH_CLIENT_ID_SIZE 129 /* of the longest id, with its NUL */

struct berth_client_options {
    size_t size;       /* of this struct */
    const char *token; /* bearer token of HTTP, password of Redis, secret key of ZeroMQ; NULL: $BERTH_TOKEN */
    const char
        *ca_file; /* authorities to trust, PEM; NULL: $BERTH_CA_FILE, else the system's */
    int64_t patience_ms; /* how long a server may be away; 0: a minute; -1: any time */
};

/*
 * http://HOST:PORT, https://HOST:PORT, http+unix:///PATH; redis://[USER@]HOST:PORT[/DB]?queue=QUEUE
 * [&level=LEVEL], rediss://..., unix://[USER@]/PATH?queue=QUEUE; zmq://HOST:PORT
 * [?server_key=KEY], zmq+ipc:///PATH. Does not connect yet. options may be NULL.
 */
int berth_client_open(const char *url, const struct berth_client_options *options,
                      struct berth_client **ret_client, struct berth_error *err);
void berth_client_close(struct berth_client *c); /* NULL: nothing */

struct berth_client_file {
    const char *path; /* in the work directory */
    const void *data; /* the content, or NULL with */
    size_t data_len;
    const char *from; /* an http(s) URL, or a path on the host's machine that it allows */
};

/* What is NULL or 0 is not said. Lists end with NULL. All of it is only read during the call. */
struct berth_client_task {
    size_t size;    /* of this struct: BERTH_CLIENT_TASK() sets it */
    const char *id; /* NULL: one is made */
    const char *executer;
    const char *runtime, *image; /* instead of an executer, with */
    const char *const *command;
    const char *const *args;
    const void *input;
    size_t input_len;
    const char *const *env;    /* "NAME=value" */
    const char *const *labels; /* "NAME=value" */
    const struct berth_client_file *files;
    size_t file_count;
    const char *const
        *outputs; /* paths or patterns of files that come back in the result */
    double cpus;
    uint64_t memory_bytes, disk_bytes;
    unsigned pids, gpus;
    int64_t timeout_ms;  /* of an attempt */
    int64_t deadline_ms; /* of the task, milliseconds since 1970 */
    int retries;         /* -1: none */
    int priority;        /* -100 to 100 */
    const char *tenant, *network;
    const char *const *require;
    const char *trace;
};
#define BERTH_CLIENT_TASK(...)                                \
    {                                                         \
        .size = sizeof(struct berth_client_task), __VA_ARGS__ \
    }

/* How a task ended. Belongs to the caller, with all it points at, until berth_client_result_free. */
struct berth_client_result {
    const char *id;
    enum berth_verdict verdict;
    enum berth_blame blame;
    int attempt, exit_code, signal; /* exit_code -1: it did not exit */
    const void *output;             /* a NUL follows, which is not counted */
    size_t output_len;
    int output_truncated;
    const char *stderr_tail;
    size_t stderr_tail_len;
    int64_t wall_ms, user_ms, sys_ms, peak_memory_bytes;
    const char *error_code, *error_message; /* "" for a success */
    const char *executer, *runtime, *host;
    int64_t queued_ms, started_ms, finished_ms; /* since 1970 */
    const void *msgpack;                        /* all of it, as the host sent it */
    size_t msgpack_len;
};

/* Hands a task in. It is durable on return: it will run. ret_id gets its id as soon as that is known, so
 * that a failed call can be repeated with it. */
int berth_client_submit(struct berth_client *c, const struct berth_client_task *task,
                        char ret_id[BERTH_CLIENT_ID_SIZE], struct berth_error *err);
/* Submits and waits, in one request where the transport can. timeout_ms -1: to the end. */
int berth_client_run(struct berth_client *c, const struct berth_client_task *task,
                     int64_t timeout_ms, struct berth_client_result **ret_result,
                     struct berth_error *err);
/* The same for a task in the format of the wire: JSON if it begins with '{', else MessagePack. */
int berth_client_submit_encoded(struct berth_client *c, const void *task, size_t len,
                                char ret_id[BERTH_CLIENT_ID_SIZE], struct berth_error *err);
int berth_client_run_encoded(struct berth_client *c, const void *task, size_t len,
                             int64_t timeout_ms, struct berth_client_result **ret_result,
                             struct berth_error *err);

/* Waits for the end, whatever the verdict; -ETIME when the time is over first: the task goes on. A task
 * that was refused is no result but a failure. timeout_ms 0: only looks; -1: to the end. */
int berth_client_wait(struct berth_client *c, const char *id, int64_t timeout_ms,
                      struct berth_client_result **ret_result, struct berth_error *err);
/* Ends a task, waiting or running. 1: it is done already. */
int berth_client_cancel(struct berth_client *c, const char *id, struct berth_error *err);
/* "queued", "starting", "running", "done", or "unknown" where the transport cannot tell. Static. */
int berth_client_status(struct berth_client *c, const char *id, const char **ret_state,
                        struct berth_error *err);
void berth_client_result_free(struct berth_client_result *r); /* NULL: nothing */

#ifdef __cplusplus
}
#endif
#endif
