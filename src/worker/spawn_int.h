/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What the parent has worked out before the clone, and the parts of the child that use
 * it. All of the child's functions make only async-signal-safe calls: the child may
 * share the parent's memory.
 */
#ifndef WORKER_SPAWN_INT_H
#define WORKER_SPAWN_INT_H

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>

#include "worker/spawn.h"

#define SPAWN_BINDS 80 /* bind_rw paths at most */

struct spawn_plan {
    const struct spawn_request *req;
    char **programs;     /* full paths to try, NULL-terminated */
    uint64_t namespaces; /* CLONE_NEW* for the first process */
    bool init;           /* the first process is an init */
    int report_read;     /* read end, which the first process must not keep */
    int report_fd; /* write end: a struct spawn_failure, or EOF when the payload runs */
    int status_fd; /* write end, only init has a use for it */
    pid_t parent;
    cpu_set_t cpus; /* if req->cpu_list */
    struct rlimit limit[5];
    int limit_of[5]; /* RLIMIT_* */
    int limit_count;
    char uid_map[40], gid_map[40];
    char tmp_options[96], dev_options[96];
    char *stack; /* with init: lower half the payload's until exec, upper half init's */
    size_t stack_size;
};

/* The strings are those of the plan or the request, at the same address on both sides. */
struct spawn_failure {
    const char *step, *what; /* what may be NULL */
    int code;
};

int plan_fill(struct spawn_plan *plan, const struct spawn_request *req,
              struct berth_error *err);
void plan_fini(struct spawn_plan *plan);

/*
 * clone3. With fn the child runs that on the given stack in the parent's memory;
 * without, or where memory cannot be shared, the child is a copy (and 0 is returned in
 * it if there is no fn).
 */
struct clone_args;
long clone_child(struct clone_args *args, int (*fn)(void *arg), void *arg, void *stack,
                 size_t stack_size);

/* In the child. */
_Noreturn void child_fail(const struct spawn_plan *plan, const char *step, const char *what,
                          int code);
/* Fails if r is negative (-errno). */
void child_check(const struct spawn_plan *plan, int r, const char *step, const char *what);
void child_reset_signals(void);
void child_enter(
    const struct spawn_plan *plan); /* ids in a user namespace, network, mounts */
_Noreturn void child_payload(const struct spawn_plan *plan);
_Noreturn void init_main(const struct spawn_plan *plan);
void sandbox_mount(const struct spawn_plan *plan);
void sandbox_join(const struct spawn_plan *plan);
/* In the parent: where the children of this process begin, in the sandbox or beside it. */
int sandbox_pids(const struct sandbox *s, bool enter);

/* How many of a NULL-terminated list. */
static inline int list_count(const char *const *list)
{
    int n = 0;
    while (list && list[n])
        n++;
    return n;
}

#endif
