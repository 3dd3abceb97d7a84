/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What a runtime plugin sees of a task. */
#ifndef BERTH_TASK_H
#define BERTH_TASK_H

#include <stddef.h>
#include <stdint.h>

#include <berth/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a task may use. 0 means: not limited (for gpus: none). */
struct berth_resources {
    double cpus;           /* cores, may be a fraction */
    uint64_t memory_bytes; /* resident memory of the payload, swap not added */
    uint64_t disk_bytes;   /* of the work directory */
    uint32_t pids;         /* processes and threads */
    uint32_t gpu_count;
    const char *const *gpus; /* gpu_count device names or indices that are the task's own */
};

/* Bits of berth_task.network, exactly one is set. */
enum berth_network {
    BERTH_NETWORK_NONE = 0,    /* no interface but a loopback that is down: the default */
    BERTH_NETWORK_HOST = 1,    /* the node's own */
    BERTH_NETWORK_PRIVATE = 2  /* a network of the runtime's, apart from the node's */
};

/*
 * One attempt of one task, after the host has merged the task with its executer. Read-only; owned
 * by the core; every pointer is valid until the callback that received it returns. Strings are
 * UTF-8 and never NULL unless said. Lists end with NULL.
 */
struct berth_task {
    uint32_t size; /* sizeof(struct berth_task) of the host */
    uint32_t attempt;          /* from 1 */
    const char *id;            /* [A-Za-z0-9._:-]{1,128} */
    const char *executer;      /* its name; "" for an ad-hoc task */
    const char *image;         /* "" if none */
    const char *const *argv;   /* command of the executer, then the task's args; may be empty */
    const char *const *env;    /* "NAME=value": executer's, then task's, no duplicate names */
    const void *input;         /* bytes for standard input; NULL if none */
    size_t input_len;
    struct berth_resources resources;
    int network;               /* enum berth_network */
    int64_t timeout_ms;        /* of this attempt; 0: none */
    const char *tenant;        /* "" if none */
    const char *work_dir;      /* absolute path of the attempt's own directory; the payload's cwd */
    const char *instance;      /* name for a container or microVM: unique, [a-z0-9-]{1,63}, and the
                                  same when asked again, so that cleanup can find what a crash left */
    int32_t uid, gid;          /* ids that the payload shall run as; -1: those of the worker */
    const char *cgroup;        /* path of the attempt's cgroup below its hierarchy; "" if none */
};

#ifdef __cplusplus
}
#endif
#endif
