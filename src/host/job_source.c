/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Tasks that their sender's queue keeps until the result is out (BERTH_TRANSPORT_DURABLE). The queue
 * decides whose they are. A task that it has given to another host is disowned: what runs is ended, what
 * it leaves is dropped, and its row goes, so that it is new if it ever comes again.
 *
 * After a restart nothing of such a source (BERTH_TRANSPORT_RESUMES) goes on before the source has spoken:
 * what waits is held, and a result is kept back, until the message comes again or `resumed` says that it
 * will not. What runs, runs on.
 */
#include "host/job_int.h"

bool transport_is_durable(const struct transport_link *t)
{
    return t->plugin->transport.flags & BERTH_TRANSPORT_DURABLE;
}

bool transport_resumes(const struct transport_link *t)
{
    return transport_is_durable(t) && t->plugin->transport.flags & BERTH_TRANSPORT_RESUMES;
}

static struct transport_link *job_source(const struct job *j)
{
    for (size_t i = 0; i < j->host->config->transport_count; i++) {
        struct transport_link *t = &j->host->transports[i];
        if (!strcmp(t->block->name, j->transport))
            return transport_resumes(t) ? t : NULL;
    }
    return NULL;
}

bool job_has_source(const struct job *j)
{
    return job_source(j) != NULL;
}

bool job_is_wanted(const struct job *j)
{
    struct waiter *w;
    LL_FOREACH (j->waiters, w)
        if (!w->gone)
            return true;
    return false;
}

bool job_is_held(const struct job *j)
{
    struct transport_link *t = job_source(j);
    return t && !t->resumed && !job_is_wanted(j);
}

static void set_aside(struct job *j)
{
    j->host->stats.late++;
    log_line(BERTH_LOG_INFO, j->id,
             "its result is set aside: the queue has given the task to another host");
}

bool job_awaits(struct job *j)
{
    struct transport_link *t = job_source(j);
    if (!t)
        return false;
    if (t->resumed) {
        set_aside(j);
        return true;
    }
    j->awaits_source = true;
    j->publish_pending++;
    return true;
}

/* Writes are done in order: nothing else is under way for this job. */
static void drop_stored(void *arg, int rc, const struct berth_error *err)
{
    struct job *j = arg;
    (void)rc, (void)err;
    job_confirm(j);
    j->published = j->disowned = false;
    if (job_is_wanted(j)) { /* it came again */
        job_release(j);
        return;
    }
    store_delete(j->host->store, j->item.seq);
    logs_job_changed(j->host, j->id);
    job_free(j);
}

void job_drop(struct job *j)
{
    job_out_of_limbo(j);
    if (j->item.state)
        sched_remove(j->host->sched, &j->item);
    loop_timer_remove(&j->deadline);
    host_ask_dispatch(j->host);
    ctl_event(j->host, j, "revoked", "the queue has given it to another host");
    j->disowned = true;
    j->state = JOB_RETRYING; /* no more than waiting, to all others */
    job_save(j, false, drop_stored);
}

void job_disown(struct job *j)
{
    if (j->disowned)
        return;
    switch (j->state) {
    case JOB_FINISHING:
        if (!j->awaits_source)
            return; /* its publication is under way, and fenced */
        j->awaits_source = false;
        set_aside(j);
        j->publish_pending--;
        job_close_if_done(j);
        return;
    case JOB_STARTING:
    case JOB_RUNNING:
        j->host->stats.late++;
        log_line(BERTH_LOG_INFO, j->id,
                 "is ended here: the queue has given it to another host");
        j->disowned = true;
        if (j->link)
            link_cancel(j->link, j, BERTH_VERDICT_CANCELLED);
        return;
    case JOB_RETRYING:
        j->disowned = true;
        return;
    default:
        job_drop(j);
    }
}

void job_check_owner(struct job *j)
{
    struct transport_link *t = job_source(j);
    if (t && t->resumed && !job_is_wanted(j))
        job_disown(j);
}

void jobs_resumed(struct transport_link *t)
{
    struct job *j, *next;
    HASH_ITER (hh, t->host->jobs, j, next)
        if (job_source(j) == t && !job_is_wanted(j))
            job_disown(j);
}

/* True if all who want it are durable sources. */
static bool can_go_back(const struct job *j)
{
    struct waiter *w;
    if (j->state != JOB_QUEUED || !j->waiters)
        return false;
    LL_FOREACH (j->waiters, w)
        if (!w->transport || !transport_is_durable(w->transport))
            return false;
    return true;
}

bool job_hand_back(struct job *j)
{
    if (!can_go_back(j))
        return false;
    while (j->waiters) {
        struct transport_link *t = j->waiters->transport;
        uint64_t message = j->waiters->message;
        job_detach(j->waiters);
        transport_settle(t, message, BERTH_SETTLE_RETRY);
    }
    job_drop(j);
    return true;
}

void jobs_hand_back(struct host *h)
{
    struct job *j, *next;
    HASH_ITER (hh, h->jobs, j, next)
        job_hand_back(j);
}
