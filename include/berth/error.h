/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* How a failure is told, across the plugin border and inside the host. */
#ifndef BERTH_ERROR_H
#define BERTH_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Functions that can fail return 0 or a positive value on success and a negative errno value on
 * failure. The last parameter is a struct berth_error that the caller owns; it may be NULL. It is
 * written only on failure. The text is one line, lower case, without a full stop, and says what
 * was wrong, where, and what would be right. The layout is frozen: 256 bytes, nothing to free.
 */
struct berth_error {
    int code;       /* positive errno value, 0 if nothing failed */
    char text[252]; /* NUL-terminated UTF-8, cut to fit */
};

/* Whose fault the end of an attempt is. Only BERTH_BLAME_TASK uses up one of the task's retries. */
enum berth_blame {
    BERTH_BLAME_NONE = 0,
    BERTH_BLAME_TASK = 1,
    BERTH_BLAME_RUNTIME = 2,
    BERTH_BLAME_NODE = 3,
    BERTH_BLAME_TRANSPORT = 4,
    BERTH_BLAME_CALLER = 5
};

/* How an attempt, or a task as a whole, ended. */
enum berth_verdict {
    BERTH_VERDICT_NONE = 0,
    BERTH_VERDICT_SUCCEEDED = 1,
    BERTH_VERDICT_FAILED = 2,        /* exit status other than 0, or a signal that was not ours */
    BERTH_VERDICT_TIMEOUT = 3,       /* timeout_ms of the attempt or deadline_ms of the task */
    BERTH_VERDICT_OOM = 4,           /* with the kernel's count as proof, never from 137 alone */
    BERTH_VERDICT_CANCELLED = 5,     /* somebody asked for it */
    BERTH_VERDICT_IMAGE_ERROR = 6,   /* image missing, not pullable, corrupt, wrong architecture */
    BERTH_VERDICT_RUNTIME_ERROR = 7, /* the engine or the kernel refused to start it */
    BERTH_VERDICT_PLUGIN_ERROR = 8,  /* the runtime plugin crashed or broke its contract */
    BERTH_VERDICT_LOST = 9,          /* its supervisor died, or the machine did */
    BERTH_VERDICT_PREEMPTED = 10,    /* drain, shutdown, end of the node's walltime */
    BERTH_VERDICT_REJECTED = 11      /* never started: bad task, unknown executer, limit, policy */
};
/* Initializer of an array: what they are called on the wire, in that order. Since 1.1. */
#define BERTH_VERDICT_NAMES                                                          \
    {                                                                                \
        "", "succeeded", "failed", "timeout", "oom", "cancelled", "image_error",     \
            "runtime_error", "plugin_error", "lost", "preempted", "rejected"         \
    }

#ifdef __cplusplus
}
#endif
#endif
