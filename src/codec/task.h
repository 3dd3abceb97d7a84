/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The task as its sender wrote it, checked; and the schema that both formats share (DESIGN: Formats). */
#ifndef CODEC_TASK_H
#define CODEC_TASK_H

#include "codec/value.h"

enum task_network { TASK_NETWORK_UNSET = -1 }; /* else enum berth_network */

struct task_resources {
    double cpus;          /* -1: not asked */
    int64_t memory_bytes; /* -1: not asked */
    int64_t disk_bytes;
    int64_t pids;
    int64_t gpus;
};
#define TASK_RESOURCES_UNSET {.cpus = -1, .memory_bytes = -1, .disk_bytes = -1, .pids = -1, .gpus = -1}

struct task_file_in {
    const char *path; /* relative, below the work directory, no ".." */
    const void *data; /* inline content, or NULL */
    size_t len;
    bool data_is_str; /* it was text, and is written as such again */
    const char *from; /* absolute local path or http(s) URL, or NULL; exactly one of data and from */
    int mode;         /* permission bits, default 0644 */
};
struct task_file_out {
    const char *path; /* relative, below the work directory; may be a glob in its last part */
    const char *to;   /* absolute local path or http(s) URL (PUT); NULL: inline in the result */
    bool optional;    /* its absence is no failure */
};

/* All strings are in the arena; "" where the sender said nothing, lists empty. */
struct task {
    const char *id; /* never "": made when the sender gave none */
    bool id_made;
    const char *executer;
    const char *runtime, *image; /* ad-hoc */
    const char *const *command;  /* ad-hoc; NULL-terminated, never NULL */
    const char *const *args;     /* NULL-terminated, never NULL */
    const char *const *env;      /* "NAME=value", NULL-terminated, never NULL */
    const void *input;
    size_t input_len;
    bool input_is_str;
    const struct task_file_in *files_in;
    size_t files_in_count;
    const struct task_file_out *files_out;
    size_t files_out_count;
    struct task_resources resources;
    int64_t timeout_ms;  /* 0: not said */
    int64_t deadline_ms; /* Unix time; 0: none */
    int retries;         /* -1: not said */
    int priority;        /* -100..100, default 0; higher first */
    const char *tenant;
    struct value labels; /* map of strings, or nil */
    int network;
    const char *const *require; /* names of limits that must be enforced; NULL-terminated */
    const char *trace;          /* W3C traceparent, or "" */
};

/*
 * Checks v against the schema and fills *ret, whose strings point into v's arena. Unknown keys are
 * refused, with the nearest known one in the text. -EINVAL, -E2BIG or -ENOMEM. When the id could be
 * read it is in ret->id even on failure ("" otherwise), so that a refusal can name its task.
 */
int task_from_value(struct arena *a, const struct value *v, struct task *ret, struct berth_error *err);
/* Says again what the sender said, and the id in any case. Points into t; the arena holds the maps. */
struct value task_to_value(struct arena *a, const struct task *t);

/* Bytes of a format (enum berth_format) to a task, by way of a value. */
int task_decode(struct arena *a, const void *data, size_t len, int format, size_t max_bytes,
                struct task *ret, struct berth_error *err);
int task_encode(const struct task *t, struct buf *out); /* msgpack; 0 or -ENOMEM */

extern const char *const task_network_names[]; /* by enum berth_network; NULL-terminated */
extern const char *const task_require_names[]; /* limits that 'require' may name; NULL-terminated */
bool is_env_name(const char *s, size_t len);   /* [A-Za-z_][A-Za-z0-9_]* */

#endif
