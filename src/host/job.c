/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A task from its arrival to its turn. Nothing is acknowledged before the store has it; a caller on
 * the line is the exception that needs no store: the result is its acknowledgement.
 */
#include "base/crash.h"
#include "host/job_int.h"

#define BODY_BUDGET \
    (32u << 20) /* bytes of queued tasks kept in memory; more stay in the store */
#define SAVE_SOON_MS 50

/* Results are our own writing: only their size is bounded. */
const struct value_limits result_limits = {WIRE_MAX_BODY, 32, 1u << 24};

bool job_is_done(const struct job *j)
{
    return j->state == JOB_FINISHING && (j->published || j->result_stored);
}

bool job_is_waiting(const struct job *j)
{
    return j->state == JOB_QUEUED || (j->state == JOB_NEW && j->stored);
}

const char *job_state_name(const struct job *j)
{
    static const char *const names[JOB_STATES] = {"queued", "queued", "starting", "running",
                                                  "queued"};
    if (j->state != JOB_FINISHING)
        return names[j->state];
    return job_is_done(j) ? "done" : j->attempt ? "running" : "queued";
}

struct job *job_find(struct host *h, const char *id)
{
    struct job *j;
    HASH_FIND_STR(h->jobs, id, j);
    return j;
}

void job_row(const struct job *j, struct store_row *row)
{
    static const int states[JOB_STATES] = {STORE_QUEUED,  STORE_QUEUED, STORE_STARTING,
                                           STORE_RUNNING, STORE_QUEUED, STORE_DONE};
    *row = (struct store_row){.seq = j->item.seq,
                              .id = j->id,
                              .state = states[j->state],
                              .attempt = j->attempt,
                              .failures = j->failures,
                              .losses = j->losses,
                              .slot = j->item.state == 3 ? j->item.slot : -1,
                              .priority = j->item.priority,
                              .tenant = j->item.tenant,
                              .executer = j->item.executer,
                              .runtime = j->item.runtime,
                              .transport = j->transport,
                              .cancel = j->cancel,
                              .verdict = j->verdict,
                              .queued_ms = j->queued_ms,
                              .started_ms = j->started_ms,
                              .finished_ms = j->finished_ms,
                              .task = j->body,
                              .task_len = j->body_len,
                              .result = j->result.data,
                              .result_len = j->result.len};
}

static void job_saved(struct job *j)
{
    if (!j->unsaved)
        return;
    j->unsaved = false;
    DL_DELETE2(j->host->unsaved, j, unsaved_prev, unsaved_next);
}

void job_save(struct job *j, bool sync, store_done_fn *done)
{
    struct store_row row;
    job_row(j, &row);
    job_saved(j);
    if (j->inserted)
        store_update(j->host->store, &row, sync, done, done ? j : NULL);
    else
        store_insert(j->host->store, &row, sync, done, done ? j : NULL);
    j->inserted = true;
}

void job_save_soon(struct job *j)
{
    if (j->unsaved)
        return;
    if (!j->host->unsaved)
        loop_timer_set(j->host->save_timer, SAVE_SOON_MS);
    j->unsaved = true;
    j->unsaved_ms = now_ms();
    DL_APPEND2(j->host->unsaved, j, unsaved_prev, unsaved_next);
}

/* ---- birth ---- */

static bool job_fill(struct job *j, const struct task *t, const struct plan *p)
{
    struct host *h = j->host;
    j->item.priority = t->priority;
    j->item.tenant = strdup(t->tenant); /* the caller's word: there is no end of them */
    j->item.executer = host_intern(h, t->executer);
    j->item.runtime = host_intern(h, p->runtime->name);
    j->item.need = p->resources;
    j->item.slot = -1;
    j->retries = p->retries;
    j->deadline_ms = t->deadline_ms;
    j->timeout_ms = p->timeout_ms;
    return j->item.tenant && j->item.executer && j->item.runtime;
}

void job_free(struct job *j)
{
    struct host *h = j->host;
    job_out_of_limbo(j);
    job_saved(j);
    if (j->item.state)
        sched_remove(h->sched, &j->item);
    while (j->waiters)
        job_detach(j->waiters);
    if (j->link)
        j->link->job = NULL;
    loop_timer_remove(&j->deadline);
    loop_timer_remove(&j->again);
    HASH_DEL(h->jobs, j);
    h->body_bytes -= j->body_len;
    free(j->body);
    buf_free(&j->result);
    free((char *)j->item.tenant);
    free((char *)j->id);
    free(j);
}

struct job *job_new(struct host *h, const struct task *t, const struct plan *p,
                    void *take_body, size_t body_len)
{
    struct job *j = calloc(1, sizeof *j);
    char *id = j ? strdup(t->id) : NULL;
    if (!id) {
        free(j);
        free(take_body);
        return NULL;
    }
    j->host = h;
    j->id = id;
    j->body = take_body;
    j->body_len = body_len;
    j->transport = "";
    j->queued_ms = unix_ms();
    h->body_bytes += body_len;
    HASH_ADD_KEYPTR(hh, h->jobs, j->id, strlen(j->id), j);
    if (job_fill(j, t, p))
        return j;
    job_free(j);
    return NULL;
}

static void job_drop_body(struct job *j)
{
    if (j->host->body_bytes <= BODY_BUDGET || !j->stored)
        return;
    j->host->body_bytes -= j->body_len;
    free(take_ptr(j->body));
    j->body_len = 0;
}

int job_body(struct job *j, struct arena *a, const void **ret, size_t *ret_len,
             struct berth_error *err)
{
    if (!j->body)
        return store_get_task(j->host->store, j->item.seq, a, ret, ret_len, err);
    *ret = j->body;
    *ret_len = j->body_len;
    return 0;
}

static void job_deadline(void *arg)
{
    struct job *j = arg;
    if (j->state == JOB_QUEUED) {
        sched_remove(j->host->sched, &j->item);
        job_finish_plain(j, BERTH_VERDICT_TIMEOUT, BERTH_BLAME_CALLER, "deadline",
                         "its deadline passed before it could start");
    }
}

static void job_watch_deadline(struct job *j)
{
    if (!j->deadline_ms || j->deadline)
        return;
    int64_t left = j->deadline_ms - unix_ms();
    j->deadline = loop_timer_add(j->host->loop, left > 0 ? left : 0, job_deadline, j);
}

static void job_queue(struct job *j)
{
    int64_t now = now_ms();
    j->state = JOB_QUEUED;
    if (j->cancel) {
        job_finish_plain(j, BERTH_VERDICT_CANCELLED, BERTH_BLAME_CALLER, "cancelled",
                         "cancelled before it started");
        return;
    }
    if (j->losses > j->host->config->max_losses) {
        char why[96];
        snprintf(why, sizeof why, "lost %d times with the host that had it", j->losses);
        job_finish_plain(j, BERTH_VERDICT_LOST, BERTH_BLAME_NODE, "lost", why);
        return;
    }
    if (sched_add(j->host->sched, &j->item, now, now) < 0) {
        job_finish_plain(j, BERTH_VERDICT_LOST, BERTH_BLAME_NODE, "out_of_memory",
                         "no memory to queue it");
        return;
    }
    job_watch_deadline(j);
    job_drop_body(j);
    host_ask_dispatch(j->host);
}

void job_release(struct job *j)
{
    job_queue(j);
}

static void job_reject(struct job *j, int rc, const struct berth_error *err)
{
    job_refuse_waiters(j, rc, err);
    j->host->stats.rejected++;
    job_free(j);
}

static void admit_stored(void *arg, int rc, const struct berth_error *err)
{
    struct job *j = arg;
    host_disk(j->host, rc, err);
    j->stored = j->inserted = rc == 0;
    if (j->state != JOB_NEW) { /* on the line: it went ahead */
        if (j->stored && j->durable)
            job_tell(j, BERTH_REPLY_ACCEPTED);
        return;
    }
    if (rc < 0) {
        job_reject(j, rc, err);
        return;
    }
    CRASH_POINT(accepted_tell);
    job_tell(j, BERTH_REPLY_ACCEPTED);
    CRASH_POINT(accepted_told);
    job_queue(j);
}

void jobs_save(void *arg)
{
    struct host *h = arg;
    int64_t now = now_ms();
    while (h->unsaved && now - h->unsaved->unsaved_ms >= SAVE_SOON_MS)
        job_save(h->unsaved, false, h->unsaved->inserted ? NULL : admit_stored);
    if (h->unsaved)
        loop_timer_set(h->save_timer, h->unsaved->unsaved_ms + SAVE_SOON_MS - now);
}

void job_admit(struct job *j, bool on_the_line)
{
    j->item.seq = j->host->next_seq++;
    j->durable = !on_the_line;
    j->host->stats.accepted++;
    ctl_event(j->host, j, "queued", NULL);
    CRASH_POINT(task_insert);
    if (j->durable) {
        job_save(j, true, admit_stored);
        CRASH_POINT(task_inserted);
        return;
    }
    job_save_soon(j);
    job_queue(j);
}

/* The task goes on all the same: its callers only cannot be promised that it survives. */
static void persist_stored(void *arg, int rc, const struct berth_error *err)
{
    struct job *j = arg;
    if (rc == 0) {
        j->stored = true;
        job_tell(j, BERTH_REPLY_ACCEPTED);
        return;
    }
    j->durable = false;
    job_refuse_waiters(j, rc, err);
}

void job_persist(struct job *j)
{
    struct waiter *w;
    LL_FOREACH (j->waiters, w)
        w->on_the_line = false;
    if (j->state == JOB_FINISHING)
        return; /* the result is on its way */
    j->durable = true;
    job_save(j, true, persist_stored);
}

void job_booked(struct job *j)
{
    j->state = JOB_STARTING;
    j->attempt++;
    j->sweep_sent = false;
    j->host->stats.attempts++;
    histogram_add(&j->host->stats.wait, unix_ms() - j->queued_ms);
    ctl_event(j->host, j, "starting", NULL);
}

/* A count out of the store, which a damaged disk may have changed. */
int sane_count(int64_t n)
{
    return n < 0 ? 0 : n < ATTEMPT_MAX ? (int)n : ATTEMPT_MAX;
}

struct job *job_restore(struct host *h, const struct store_row *row, const struct task *t,
                        const struct plan *p)
{
    void *body = malloc(row->task_len ? row->task_len : 1);
    if (!body)
        return NULL;
    memcpy(body, row->task, row->task_len);
    struct job *j = job_new(h, t, p, body, row->task_len);
    if (!j)
        return NULL;
    j->item.seq = row->seq;
    j->stored = j->inserted = true;
    j->attempt = sane_count(row->attempt);
    j->failures = sane_count(row->failures);
    j->losses = sane_count(row->losses);
    j->cancel = row->cancel;
    j->queued_ms = past_ms(row->queued_ms);
    j->started_ms = past_ms(row->started_ms);
    j->transport = host_intern(h, row->transport);
    j->durable = !job_is_held(j); /* what its sender keeps needs no sync here */
    if (row->state == STORE_QUEUED && j->durable)
        job_queue(j);
    else if (row->state != STORE_QUEUED)
        j->state = row->state == STORE_RUNNING ? JOB_RUNNING : JOB_STARTING;
    return j;
}
