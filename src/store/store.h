/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The durable store: SQLite, in WAL mode, in the state directory. The only user of
 * libsqlite3.
 *
 * Writes are handed to a thread that commits what has gathered in one transaction (group
 * commit), synced to disk when one of them asks for it, and reports on the loop. Writes
 * take effect in the order of the calls. Reads are synchronous, on the caller's thread, and
 * see what is committed.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "loop/loop.h"
#include <berth/error.h>

enum store_state {
    STORE_QUEUED = 0,
    STORE_STARTING = 1,
    STORE_RUNNING = 2,
    STORE_DONE = 3
};

struct store_row {
    int64_t seq; /* assigned by the caller, rising; order of arrival */
    const char *id;
    int state;    /* enum store_state */
    int attempt;  /* latest; 0: none yet */
    int failures; /* attempts blamed on the task */
    int losses;   /* attempts lost for free */
    int slot;     /* of the running attempt; -1: none */
    int priority;
    const char *tenant, *executer, *runtime;
    const char *transport;                      /* name of the transport that it came by */
    bool cancel;                                /* asked for */
    int verdict;                                /* when done */
    int64_t queued_ms, started_ms, finished_ms; /* Unix time; 0: not yet */
    int64_t not_before_ms;                      /* a retry waits until then */
    const void *task;                           /* msgpack, as task_encode wrote it */
    size_t task_len;
    const void *result; /* msgpack map; NULL until done */
    size_t result_len;
};

struct store;
/* rc: 0 or -errno; err is never NULL. */
typedef void store_done_fn(void *arg, int rc, const struct berth_error *err);
/* Other than 0 stops the walk. */
typedef int store_row_fn(void *arg, const struct store_row *row);

/* Opens or creates dir/berth.db and takes dir/store.lock; -EWOULDBLOCK when another process
 * holds it. A damaged database is an error that says what to do, never replaced. */
int store_open(const char *dir, struct loop *l, struct store **ret,
               struct berth_error *err);
/* Waits for what was handed over; callbacks no longer run. Not for use in a callback. */
void store_close(struct store *s);

/* Inserts a task. -EEXIST through done when the id is there. sync: durable before done is
 * called. */
void store_insert(struct store *s, const struct store_row *row, bool sync,
                  store_done_fn *done, void *arg);
/* Overwrites all but id, task, queued_ms of the row with this seq. result is written if not
 * NULL. */
void store_update(struct store *s, const struct store_row *row, bool sync,
                  store_done_fn *done, void *arg);
/* Removes the row with this seq, if it is there. Not synced: it may be back after a crash of the machine. */
void store_delete(struct store *s, int64_t seq);
/* done may be NULL: then a failure is retried until it succeeds or the store is closed; but
 * -EEXIST and -ENOENT (no such seq) are final. */
/* done with -ENOSPC: the disk is full; nothing of that call was written; later calls may
 * succeed. While a call without done waits to be retried, later calls for the same seq fail
 * as it did. Strings and blobs are copied. Out of memory: done is called at once with
 * -ENOMEM. */

size_t store_backlog(const struct store *s);   /* calls handed over and not yet committed */
uint64_t store_commits(const struct store *s); /* transactions committed since store_open */

/* Reads. 0, -ENOENT or -errno; the row's strings are in the arena. */
int store_get(struct store *s, const char *id, struct arena *a, struct store_row *ret,
              struct berth_error *err);
int store_get_task(struct store *s, int64_t seq, struct arena *a, const void **ret_task,
                   size_t *ret_len, struct berth_error *err);
/* All tasks that are not done, in order of seq. The row is valid within the call. */
int store_walk_open(struct store *s, store_row_fn *fn, void *arg, struct berth_error *err);

struct store_filter {
    int state;                     /* -1: any */
    const char *tenant, *executer; /* NULL: any */
    int64_t before_seq;            /* newest first, below this; 0: from the newest */
    int limit;
};
/* Rows without task and result. */
int store_list(struct store *s, const struct store_filter *f, store_row_fn *fn, void *arg,
               struct berth_error *err);
int64_t store_max_seq(struct store *s); /* 0 if empty */

/* Deletes done tasks older than before_ms, and the oldest done beyond keep_count (below 0:
 * not limited); a batch at a time, between writes. */
void store_purge(struct store *s, int64_t before_ms, int64_t keep_count);

#endif
