/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* From the scheduler to the workers, or to a supervisor that has done with its last attempt. */
#include "base/crash.h"
#include "host/job_int.h"

#define REUSE_BYTES 32768 /* a larger task leaves too much memory behind */

static struct conn *run_where(struct job *j, struct runtime_link *r, size_t task_len)
{
    struct link *l = task_len <= REUSE_BYTES ? idle_take(r, j) : NULL;
    if (!l)
        return r->link->conn;
    l->again = false;
    l->job = j;
    j->link = l;
    return l->conn;
}

static int run_send(struct job *j, struct runtime_link *r, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    const void *body;
    size_t len;
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = job_body(j, a, &body, &len, err);
    if (rc < 0)
        return rc;
    struct conn *where = run_where(j, r, len);
    struct value run = value_new_map(a), gpus = value_new_array(a);
    for (const char **gpu = j->item.gpus; gpu && *gpu; gpu++)
        value_add(a, &gpus, value_new_str(a, *gpu));
    value_put_str(a, &run, "id", j->id);
    value_put_int(a, &run, "attempt", j->attempt);
    value_put_int(a, &run, "slot", j->item.slot);
    value_put(a, &run, "gpus", gpus);
    value_put_int(a, &run, "queued_ms", j->queued_ms);
    value_put_str(a, &run, "transport", j->transport);
    value_put_int(a, &run, "failures", j->failures);
    value_put_int(a, &run, "losses", j->losses);
    value_put_bin(a, &run, "task", body, len);
    rc = conn_send(where, FRAME_RUN, &run);
    if (rc < 0 && j->link) /* it went; a worker has to look whether it took this along */
        return 0;
    return rc < 0 ? berth_fail_errno(err, -rc, "cannot tell the worker") : 0;
}

static void dispatch_one(struct host *h, struct job *j)
{
    struct berth_error err = {0};
    struct runtime_link *r = host_runtime(h, j->item.runtime);
    job_booked(j);
    CRASH_POINT(run_send);
    if (run_send(j, r, &err) < 0) {
        log_line(BERTH_LOG_ERR, j->id, "cannot be started: %s", err.text);
        job_lost(j, err.text);
        return;
    }
    CRASH_POINT(run_sent);
    r->started++;
    job_save_soon(j);
    CRASH_POINT(run_update);
}

/* Many tasks that start together are one write. */
static void cork_workers(struct host *h, bool corked)
{
    for (size_t i = 0; i < h->config->runtime_count; i++)
        if (h->runtimes[i].link)
            conn_cork(h->runtimes[i].link->conn, corked);
}

/* Deferred to the end of the loop's turn, so that what arrived together is weighed together. */
void dispatch_run(void *arg)
{
    struct host *h = arg;
    int64_t now = now_ms();
    struct sched_item *it;
    if (h->drain_over)
        return;
    cork_workers(h, true);
    while ((it = sched_next(h->sched, now)))
        dispatch_one(h, container_of(it, struct job, item));
    cork_workers(h, false);
    int64_t later = sched_next_ms(h->sched, now);
    if (later >= 0)
        loop_timer_set(h->dispatch_later, later);
}
