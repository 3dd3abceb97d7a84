/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* One attempt: what was asked, what will be run, and its directory on disk (worker.h
 * says what is in it). */
#ifndef WORKER_ATTEMPT_H
#define WORKER_ATTEMPT_H

#include "plan/plan.h"
#include "worker/enforce.h"
#include "worker/runtime.h"

struct attempt {
    struct arena *arena; /* owns what follows */
    const char *id;
    int number;
    int slot;
    int64_t queued_ms;
    const char *transport; /* that it came by: a host that knows nothing of it asks us */
    int64_t failures, losses; /* of the attempts before; for a host that does not know the task */
    const char *const *gpus; /* NULL-terminated */
    size_t gpu_count;
    const void *task_bytes; /* msgpack; in the arena */
    size_t task_len;
    struct task task;
    struct plan plan;
    const char *dir, *work; /* absolute */
    char instance[64];
    const char *group;      /* name of its cgroup: its supervisor's; NULL: it has none */
    uid_t uid;              /* of the payload; (uid_t)-1: the worker's */
    gid_t gid;
    int lock_fd; /* -1: not made */
};

/* Why a RUN was refused before there was a supervisor. */
struct refusal {
    int verdict, blame;
    const char *code; /* a word, as in a result's error */
};
/* Body of FRAME_WORKER_REFUSED. */
struct value refusal_value(struct arena *a, const char *id, int number,
                           const struct refusal *why, const char *text);

/* Reads a RUN frame and makes the plan from the worker's own config. */
int attempt_new(struct runtime *rt, const struct value *run, struct attempt **ret,
                struct refusal *ret_why, struct berth_error *err);
void attempt_free(
    struct attempt *at); /* closes the lock; leaves the directory; NULL is ignored */
/* Returns the memory of the bytes of the task, input included, to the system. They read
 * as zeros from now on. */
void attempt_forget_bytes(struct attempt *at);

/* ID.N and back. */
int attempt_name_parse(const char *name, char id[129], int *ret_number); /* 0 or -EINVAL */
/* The name of its instance and cgroup: the same whenever asked, different on every node
 * and state directory. */
void attempt_instance(const struct config *c, const char *id, int number, char out[64]);
/* Ids of the payload in a slot; -1 where there is no range or no right to change ids. */
void attempt_ids(const struct runtime *rt, int slot, uid_t *ret_uid, gid_t *ret_gid);

/* Makes directory, lock and task file. -EEXIST: there is one already. After another
 * failure nothing is left. */
int attempt_dir_make(struct attempt *at, const struct runtime *rt, struct berth_error *err);
/* Makes the payload's own directory, owned by it. */
int attempt_work_make(struct attempt *at, struct berth_error *err);
/* Path of the directory; NULL if out of memory. Caller frees. */
char *attempt_dir_path(const struct config *c, const char *id, int number);
/* Takes the lock of a dead attempt: fd; -EWOULDBLOCK its supervisor lives; -ENOENT there
 * is no lock. */
int attempt_dir_lock(const char *dir);
bool attempt_dir_has(const char *dir, const char *file);
/* The record in its task file. */
int attempt_record_read(const char *dir, struct arena *a, struct value *ret);
/* Removes it all; what belongs to the payload is removed as uid, gid. -ENOENT is
 * success. Works in the calling process, whose file system ids it may change for a
 * while. */
int attempt_dir_remove(const char *dir, uid_t uid, gid_t gid);

/* The same for a supervisor that goes on: it keeps the directory, emptied, for its next attempt; the work
 * directory too with keep_work, if nothing is left in it or on it. */
int attempt_dir_retire(struct attempt *at, const struct runtime *rt, bool keep_work);
/* What a supervisor kept so, by the name of its group. */
void attempt_spare_remove(const struct config *c, const char *group);
typedef void attempt_spare_fn(void *arg, const char *group);
void attempt_spare_each(const struct config *c, attempt_spare_fn *found, void *arg);

/* witness.c: which process stands for the payload, for a time when nobody else knows. */
#define ATTEMPT_WITNESS "payload"
int attempt_witness_write(const char *dir, pid_t pid);
/* Kills it and waits; 0 also if it is not there. -ETIMEDOUT: it lives on. */
int attempt_witness_kill(const char *dir, int timeout_ms);

/* Whose the work directory is, for the calls above; -1 if it is ours or not there. */
void attempt_work_owner(const char *dir, uid_t *ret_uid, gid_t *ret_gid);

typedef void attempt_found_fn(void *arg, const char *dir, const char *id, int number);
void attempt_each(const struct config *c, attempt_found_fn *found, void *arg);

/* Access to files as another user, without a change of process credentials: setfsuid(2).
 * -1: stays as it is. */
void files_as(uid_t uid, gid_t gid);
void files_as_self(void);

#endif
