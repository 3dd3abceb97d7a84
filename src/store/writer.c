/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The writer thread.
 *
 * The loop appends calls to w->queue; the thread swaps the whole queue out and commits it
 * in slices, one transaction each, so that the longer a commit takes the more the next one
 * holds. Finished calls go to w->finished, and an eventfd tells the loop.
 *
 * What need not be synced is not urgent either: it waits a moment for company, because a
 * transaction costs far more than a row.
 *
 * A slice that cannot be written is tried again call by call, so that only those fail that
 * do not fit on the disk. A call that nobody waits for (done == NULL) is then parked and
 * retried each second; until it is written, later calls for its row are held back, else it
 * would overwrite them.
 */
#include "store/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <time.h>
#include <utlist.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/str.h"
#include "store/rows.h"

enum { SLICE = 1024, RETRY_MS = 1000, LINGER_MS = 2, STACK_BYTES = 512 * 1024 };

struct writer {
    struct db *db;
    int event_fd;
    pthread_t thread;
    atomic_size_t backlog;
    _Atomic uint64_t commits;

    pthread_mutex_t mutex; /* for the next group */
    pthread_cond_t cond;
    struct call_list queue, finished;
    bool urgent; /* something in the queue is */
    bool closing, purge_wanted;
    int64_t purge_before_ms, purge_keep;

    struct call_list parked; /* this group is the thread's */
    int64_t retry_at_ms;
    bool purging;
    int64_t purging_before_ms, purging_excess;
};

void call_list_append(struct call_list *l, struct call *c)
{
    c->next = NULL;
    if (l->head)
        l->last->next = c;
    else
        l->head = c;
    l->last = c;
}

struct call *call_list_pop(struct call_list *l)
{
    struct call *c = l->head;
    if (c)
        l->head = c->next;
    return c;
}

/* All of the list at once. */
static struct call_list list_take(struct call_list *l)
{
    struct call_list taken = *l;
    l->head = NULL;
    return taken;
}

static void list_free(struct call_list *l)
{
    struct call *c;
    while ((c = call_list_pop(l)))
        free(c);
}

/* Of one row, not of the database: concerns no other call, and will not change. */
static bool is_final(int rc)
{
    return rc == 0 || rc == -EEXIST || rc == -ENOENT || rc == -EINVAL;
}

static int call_write(struct writer *w, struct call *c)
{
    if (c->rc == -EINVAL) /* found when it was handed over */
        return c->rc;
    if (c->kind == CALL_DELETE)
        c->rc = rows_delete(w->db, c->row.seq, &c->err);
    else
        c->rc = c->kind == CALL_INSERT ? rows_insert(w->db, &c->row, &c->err)
                                       : rows_update(w->db, &c->row, &c->err);
    return c->rc;
}

static void call_fail(struct call *c, const struct berth_error *err)
{
    if (c->rc != -EINVAL) {
        c->rc = -err->code;
        c->err = *err;
    }
}

static int writer_commit(struct writer *w, int r, struct berth_error *err)
{
    CRASH_POINT(commit);
    if (r == 0)
        r = db_commit(w->db, err);
    CRASH_POINT(committed);
    if (r < 0)
        db_rollback(w->db);
    else
        w->commits++;
    return r;
}

/* One transaction: all or nothing, but for the calls that fail by themselves. */
static int slice_write(struct writer *w, struct call *head, struct berth_error *err)
{
    bool sync = false;
    struct call *c;
    LL_FOREACH (head, c)
        sync |= c->sync;
    int r = db_begin(w->db, sync, err);
    if (r < 0)
        return r;
    LL_FOREACH (head, c) {
        r = call_write(w, c);
        if (!is_final(r)) {
            *err = c->err;
            return writer_commit(w, r, err);
        }
    }
    return writer_commit(w, 0, err);
}

/* The parked call that must be written before c, if there is one. */
static const struct call *call_ahead(const struct writer *w, const struct call *c)
{
    const struct call *p;
    LL_SEARCH_SCALAR(w->parked.head, p, row.seq, c->row.seq);
    return p;
}

static void call_settle(struct writer *w, struct call *c, struct call_list *finished)
{
    if (!is_final(c->rc) && !c->done) {
        if (!w->parked.head)
            w->retry_at_ms = now_ms() + RETRY_MS;
        call_list_append(&w->parked, c);
        return;
    }
    w->backlog--;
    if (c->done)
        call_list_append(finished, c);
    else
        free(c);
}

static void call_write_alone(struct writer *w, struct call *c)
{
    struct berth_error err = {0};
    const struct call *ahead = call_ahead(w, c);
    c->next = NULL;
    if (ahead)
        call_fail(c, &ahead->err);
    else if (slice_write(w, c, &err) < 0)
        call_fail(c, &err);
}

static void writer_post(struct writer *w, struct call_list *finished)
{
    if (!finished->head)
        return;
    struct call *c;
    pthread_mutex_lock(&w->mutex);
    while ((c = call_list_pop(finished)))
        call_list_append(&w->finished, c);
    pthread_mutex_unlock(&w->mutex);
    eventfd_write(w->event_fd, 1);
}

static void slice_run(struct writer *w, struct call_list slice)
{
    struct call_list finished = {0};
    struct berth_error err = {0};
    struct call *c;
    int r = 0;
    if (w->parked.head)
        LL_FOREACH (slice.head, c)
            r = call_ahead(w, c) ? -EAGAIN : r;
    if (r == 0)
        r = slice_write(w, slice.head, &err);
    if (r == -ENOSPC)
        db_checkpoint(w->db); /* may free the log for what comes now */
    while ((c = call_list_pop(&slice))) {
        if (r == -EBUSY) /* each would wait as long again */
            call_fail(c, &err);
        else if (r < 0)
            call_write_alone(w, c);
        call_settle(w, c, &finished);
    }
    writer_post(w, &finished);
}

static void calls_run(struct writer *w, struct call_list calls)
{
    while (calls.head) {
        struct call_list slice = {0};
        for (int n = 0; n < SLICE && calls.head; n++)
            call_list_append(&slice, call_list_pop(&calls));
        slice_run(w, slice);
    }
}

/* One batch, so that writes can go between two. Gives up on failure: the caller asks again
 * in time. */
static void purge_run(struct writer *w)
{
    int n = 0;
    int r = db_begin(w->db, false, NULL);
    if (r == 0) {
        n = rows_purge(w->db, w->purging_before_ms, &w->purging_excess, NULL);
        r = writer_commit(w, n < 0 ? n : 0, NULL);
    }
    w->purging = r == 0 && n > 0;
}

static void purge_start(struct writer *w, int64_t before_ms, int64_t keep)
{
    w->purging = true;
    w->purging_before_ms = before_ms;
    w->purging_excess = keep < 0 ? 0 : rows_count_done(w->db) - keep;
}

static bool wait_until(struct writer *w, int64_t at_ms)
{
    struct timespec until = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};
    return pthread_cond_timedwait(&w->cond, &w->mutex, &until) != ETIMEDOUT;
}

/* With the mutex. */
static void writer_wait(struct writer *w)
{
    while (!w->queue.head && !w->closing && !w->purge_wanted && !w->purging) {
        if (!w->parked.head)
            pthread_cond_wait(&w->cond, &w->mutex);
        else if (!wait_until(w, w->retry_at_ms))
            return;
    }
    int64_t linger_ms = now_ms() + LINGER_MS;
    while (w->queue.head && !w->urgent && !w->closing && wait_until(w, linger_ms))
        ;
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    bool closing = false;
    while (!closing) {
        pthread_mutex_lock(&w->mutex);
        writer_wait(w);
        struct call_list calls = list_take(&w->queue);
        w->urgent = false;
        bool purge = w->purge_wanted;
        int64_t before_ms = w->purge_before_ms, keep = w->purge_keep;
        w->purge_wanted = false;
        closing = w->closing; /* nothing is handed over after it */
        pthread_mutex_unlock(&w->mutex);

        if (w->parked.head && (closing || now_ms() >= w->retry_at_ms))
            calls_run(w, list_take(&w->parked));
        calls_run(w, calls);
        if (purge)
            purge_start(w, before_ms, keep);
        if (w->purging)
            purge_run(w);
    }
    return NULL;
}

/* ---- the other side ------------------------------------------------------------------ */

void writer_add(struct writer *w, struct call *take_c)
{
    w->backlog++;
    pthread_mutex_lock(&w->mutex);
    bool wake = !w->queue.head || take_c->sync;
    w->urgent |= take_c->sync;
    call_list_append(&w->queue, take_c);
    if (wake)
        pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

void writer_purge(struct writer *w, int64_t before_ms, int64_t keep_count)
{
    pthread_mutex_lock(&w->mutex);
    w->purge_wanted = true;
    w->purge_before_ms = before_ms;
    w->purge_keep = keep_count;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
}

struct call_list writer_take_finished(struct writer *w)
{
    pthread_mutex_lock(&w->mutex);
    struct call_list finished = list_take(&w->finished);
    pthread_mutex_unlock(&w->mutex);
    return finished;
}

size_t writer_backlog(const struct writer *w)
{
    return w->backlog;
}

uint64_t writer_commits(const struct writer *w)
{
    return w->commits;
}

static int writer_start(struct writer *w)
{
    pthread_attr_t attr;
    sigset_t all, old;
    sigfillset(&all); /* signals are the loop's */
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int code = pthread_create(&w->thread, &attr, writer_main, w);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return -code;
}

static void writer_destroy(struct writer *w)
{
    pthread_cond_destroy(&w->cond);
    pthread_mutex_destroy(&w->mutex);
    free(w);
}

int writer_new(struct db *d, int event_fd, struct writer **ret, struct berth_error *err)
{
    struct writer *w = calloc(1, sizeof(*w));
    if (!w)
        return berth_fail(err, ENOMEM, "out of memory");
    w->db = d;
    w->event_fd = event_fd;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->cond, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&w->mutex, NULL);
    int r = writer_start(w);
    if (r < 0) {
        writer_destroy(w);
        return berth_fail_errno(err, -r, "cannot start the store's thread");
    }
    *ret = w;
    return 0;
}

void writer_free(struct writer *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mutex);
    w->closing = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    list_free(&w->finished);
    list_free(&w->parked);
    writer_destroy(w);
}
