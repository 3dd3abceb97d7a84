/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What supervisors, workers and callers say of a task under way. */
#include "base/crash.h"
#include "host/job_int.h"

/* The store may not have heard of the attempts before, for want of time or of room on the disk. */
static void job_learn(struct job *j, const struct value *body)
{
    int failures = sane_count(value_int(body, "failures", 0));
    int losses = sane_count(value_int(body, "losses", 0));
    j->failures = failures > j->failures ? failures : j->failures;
    j->losses = losses > j->losses ? losses : j->losses;
}

void job_hello(struct job *j, struct link *l, const struct value *body)
{
    if (j->link && j->link != l)
        j->link->job = NULL;
    j->link = l;
    l->job = j;
    job_learn(j, body);
    job_out_of_limbo(j);
    if (!strcmp(value_str(body, "state", ""), "running") && j->state == JOB_STARTING)
        job_started(j, body);
    if (j->cancel || j->disowned)
        link_cancel(l, j, BERTH_VERDICT_CANCELLED);
}

void job_started(struct job *j, const struct value *body)
{
    if (j->state != JOB_STARTING)
        return;
    CRASH_POINT(started_taken);
    j->state = JOB_RUNNING;
    j->started_ms = past_ms(value_int(body, "started_ms", -1));
    job_save_soon(j);
    job_tell(j, BERTH_REPLY_STATE);
    ctl_event(j->host, j, "started", NULL);
    logs_job_changed(j->host, j->id);
}

int job_cancel(struct job *j)
{
    if (j->state == JOB_FINISHING)
        return -EALREADY;
    j->cancel = true;
    ctl_event(j->host, j, "cancel", NULL);
    if (j->state == JOB_QUEUED) {
        sched_remove(j->host->sched, &j->item);
        job_finish_plain(j, BERTH_VERDICT_CANCELLED, BERTH_BLAME_CALLER, "cancelled",
                         "cancelled before it started");
        return 0;
    }
    if (j->durable && j->state != JOB_NEW)
        job_save(j, false, NULL);
    if (j->link)
        link_cancel(j->link, j, BERTH_VERDICT_CANCELLED);
    return 0;
}

void job_into_limbo(struct job *j)
{
    if (j->in_limbo)
        return;
    j->in_limbo = true;
    j->limbo_since_ms = now_ms();
    if (j->link)
        j->link->job = NULL;
    j->link = NULL;
    CRASH_POINT(limbo_entered);
    DL_APPEND2(j->host->limbo, j, limbo_prev, limbo_next);
    loop_timer_set(j->host->limbo_timer, 20);
}

void job_out_of_limbo(struct job *j)
{
    if (!j->in_limbo)
        return;
    j->in_limbo = false;
    DL_DELETE2(j->host->limbo, j, limbo_prev, limbo_next);
}
