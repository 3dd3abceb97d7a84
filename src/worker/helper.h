/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A piece of work that may block, crash or hang, done in a forked child with a limit of
 * time: a plugin's callback, copying files, sweeping. The parent goes on and is called when
 * it has ended.
 */
#ifndef WORKER_HELPER_H
#define WORKER_HELPER_H

#include "base/buf.h"
#include "loop/loop.h"
#include "worker/runtime.h"

struct helper;
/* In the child. 0 or -errno; out goes to the parent. Never needs to free anything. */
typedef int helper_work_fn(void *arg, struct buf *out, struct berth_error *err);

struct helper_end {
    int rc;                   /* of work; -ETIMEDOUT over time; -ECHILD it died */
    struct berth_error err;   /* set when rc < 0 */
    struct runtime_said said; /* what the plugin said about blame in the child */
    const char *data;         /* what work wrote to out; valid within the call */
    size_t len;
};
/* In the parent, from the loop, once. The helper is gone already. */
typedef void helper_done_fn(void *arg, const struct helper_end *end);

/* limit_ms 0: no limit. -errno if it cannot be started: then done is never called. */
int helper_start(struct runtime *rt, struct loop *l, int64_t limit_ms, helper_work_fn *work,
                 void *work_arg, helper_done_fn *done, void *done_arg, struct helper **ret,
                 struct berth_error *err);
/* Kills it, with all that it started, and waits for its end; done is not called. NULL is
 * ignored. */
void helper_cancel(struct helper **h);
bool helper_has_pid(pid_t pid); /* of a helper of this process */
/* For a parent that reaps all its children in one place: false if pid is no helper's. */
bool helper_reaped(pid_t pid, int status);
/* In a forked child: the helpers are the parent's. */
void helpers_forget(void);

#endif
