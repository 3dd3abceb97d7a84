/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Those who are owed an answer for a task: telling them how it goes, and, once, how it ended.
 */
#include "base/crash.h"
#include "host/job_int.h"

void job_attach(struct job *j, struct waiter *w)
{
    w->job = j;
    LL_PREPEND(j->waiters, w);
    if (w->transport)
        HASH_ADD(hh, w->transport->waiters, message, sizeof w->message, w);
    else
        ctl_attach(w);
}

void job_detach(struct waiter *w)
{
    if (w->job)
        LL_DELETE(w->job->waiters, w);
    if (w->transport)
        HASH_DEL(w->transport->waiters, w);
    else
        ctl_detach(w);
    free(w);
}

void job_tell(struct job *j, int kind)
{
    struct waiter *w, *next;
    LL_FOREACH_SAFE (j->waiters, w, next) {
        if (kind == BERTH_REPLY_ACCEPTED) {
            if (w->accepted || w->gone || w->on_the_line)
                continue;
            w->accepted = true;
        }
        if (w->gone)
            continue;
        if (w->transport)
            transport_reply(w, kind, j, NULL);
        else if (kind == BERTH_REPLY_ACCEPTED)
            ctl_reply_accepted(w);
    }
}

static void publish_to(struct job *j, struct waiter *w, const struct value *result)
{
    if (!w->transport) {
        ctl_reply_result(w, result);
        job_detach(w);
        return;
    }
    j->publish_pending++;
    if (w->gone)
        job_published(j, w);
    else
        transport_reply(w, BERTH_REPLY_RESULT, j, result);
}

/* It came while the last write, or another publication, is under way. */
static void publish_once_more(struct job *j, struct waiter *w)
{
    cleanup_arena struct arena *a = arena_new();
    struct value result;
    if (!a || value_from_msgpack(a, j->result.data, j->result.len, &result_limits, &result,
                                 NULL) < 0)
        return;
    if (j->awaits_source && w->transport && !strcmp(w->transport->block->name, j->transport))
        j->awaits_source = false; /* what was pending for it is pending for w */
    else
        j->publish_pending++;
    publish_to(j, w, &result);
    j->publish_pending--;
    job_close_if_done(j);
}

void job_resume_waiter(struct job *j, struct waiter *w)
{
    if (j->state == JOB_FINISHING && j->published) {
        publish_once_more(j, w);
    } else if (j->state == JOB_NEW && j->stored) {
        job_release(j);
    } else if (!w->on_the_line && !j->durable) {
        job_persist(j);
    } else if (j->stored && j->state != JOB_NEW) {
        job_tell(j, BERTH_REPLY_ACCEPTED);
    }
}

void job_confirm(struct job *j)
{
    if (j->spilled)
        adopt_spilled_done(j);
    struct link *l = take_ptr(j->link);
    if (!l)
        return;
    bool stay = idle_wanted(l);
    CRASH_POINT(confirm);
    link_confirm(l, j->id, j->attempt, stay);
    CRASH_POINT(confirmed);
    l->job = NULL;
    if (stay)
        idle_add(l);
}

void job_close_if_done(struct job *j)
{
    if (!j->result_stored || !j->published || j->publish_pending)
        return;
    job_confirm(j);
    logs_job_changed(j->host, j->id);
    job_free(j);
}

void job_published(struct job *j, struct waiter *w)
{
    struct transport_link *t = w->transport;
    uint64_t message = w->message;
    job_detach(w);
    CRASH_POINT(settle);
    transport_settle(t, message, BERTH_SETTLE_ACK);
    CRASH_POINT(settled);
    j->publish_pending--;
    job_close_if_done(j);
}

void job_orphan_published(struct job *j)
{
    j->publish_pending--;
    job_close_if_done(j);
}

/* Replies may complete at once or later; the count keeps the job alive until all have. */
void job_publish(struct job *j, const struct value *result)
{
    struct waiter *w, *next;
    bool origin_served = false;
    j->publish_pending++;
    LL_FOREACH_SAFE (j->waiters, w, next) {
        origin_served |= w->transport && !strcmp(w->transport->block->name, j->transport);
        publish_to(j, w, result);
    }
    if (!origin_served && job_awaits(j))
        origin_served = true;
    for (size_t i = 0; !origin_served && i < j->host->config->transport_count; i++)
        if (!strcmp(j->host->transports[i].block->name, j->transport))
            transport_publish_orphan(&j->host->transports[i], j, result);
    j->published = true;
    j->publish_pending--;
}

void job_refuse_waiters(struct job *j, int rc, const struct berth_error *err)
{
    struct waiter *w, *next;
    struct berth_error why = {.code = -rc};
    snprintf(why.text, sizeof why.text, "not taken: %.230s",
             err ? err->text : strerror(-rc));
    LL_FOREACH_SAFE (j->waiters, w, next) {
        struct berth_message m = {.message = w->message,
                                  .reply_format = (uint32_t)w->format};
        struct transport_link *t = w->transport;
        bool gone = w->gone;
        if (!t) {
            ctl_refuse(w, &why);
            job_detach(w);
            continue;
        }
        job_detach(w);
        if (gone)
            transport_settle(t, m.message, BERTH_SETTLE_DROP);
        else
            transport_refuse(t, &m, j->id, &why);
    }
}
