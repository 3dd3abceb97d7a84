/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* From foreign bytes to an admitted task, or to a refusal that says what is wrong. */
#include <errno.h>

#include "base/crash.h"
#include "host/host_int.h"

struct intake {
    struct host *host;
    struct arena *arena;
    struct task task;
    struct plan plan;
    struct buf body;
    const struct berth_message *message; /* NULL: by berth(1) */
};

/* Who is asking, if that is known, is not for the task to say otherwise. */
static int intake_tenant(struct intake *in, const char *tenant, struct berth_error *err)
{
    if (!tenant)
        return 0;
    if (*in->task.tenant && strcmp(in->task.tenant, tenant) != 0)
        return berth_fail(err, EPERM,
                          "key 'tenant': '%s' is not the sender's, which is '%s'",
                          in->task.tenant, tenant);
    in->task.tenant = tenant;
    return 0;
}

static int intake_limits(struct intake *in, struct berth_error *err)
{
    struct host *h = in->host;
    const struct config *c = h->config;
    struct sched_totals totals;
    sched_totals(h->sched, &totals);
    if (h->draining)
        return berth_fail(err, EAGAIN, "the host is draining: it takes no new tasks");
    if (totals.waiting + totals.delayed >= c->max_queued)
        return berth_fail(err, EAGAIN,
                          "the queue is full (max_queued is %d): try again later",
                          c->max_queued);
    const struct config_tenant *tenant = config_tenant(c, in->task.tenant);
    if (tenant->max_queued &&
        sched_waiting_of_tenant(h->sched, in->task.tenant) >= tenant->max_queued)
        return berth_fail(err, EAGAIN,
                          "tenant '%s' has %d tasks waiting, its limit: try again later",
                          in->task.tenant, tenant->max_queued);
    if (h->disk_full_ms && now_ms() - h->disk_full_ms < 1000)
        return berth_fail(err, ENOSPC, "the disk of the state directory is full");
    return 0;
}

/* The name that the sender's queue has for it, so that it is known again when it comes again. */
static int intake_name(struct intake *in, struct berth_error *err)
{
    const char *id = in->message->id;
    if (!id || !in->task.id_made)
        return 0;
    if (!is_task_id(id, strlen(id)))
        return berth_fail(err, EINVAL, "the transport's id '%s' is not valid", id);
    in->task.id = id;
    in->task.id_made = false;
    return 0;
}

/* The plan knows the operator's limits; this is the machine's. */
static int intake_capacity(struct intake *in, struct berth_error *err)
{
    const struct task_resources *need = &in->plan.resources, *have = &in->host->capacity;
    if (need->cpus > have->cpus)
        return berth_fail(err, EINVAL, "key 'resources.cpus': %g asked, this node has %g",
                          need->cpus, have->cpus);
    if (need->memory_bytes > have->memory_bytes) {
        char asked[16], there[16];
        format_bytes((uint64_t)need->memory_bytes, asked);
        format_bytes((uint64_t)have->memory_bytes, there);
        return berth_fail(err, EINVAL, "key 'resources.memory': %s asked, this node has %s",
                          asked, there);
    }
    if (have->pids > 0 && need->pids > have->pids)
        return berth_fail(err, EINVAL,
                          "key 'resources.pids': %lld asked, this node has %lld",
                          (long long)need->pids, (long long)have->pids);
    if (need->gpus > have->gpus)
        return berth_fail(err, EINVAL,
                          "key 'resources.gpus': %lld asked, this node has %lld",
                          (long long)need->gpus, (long long)have->gpus);
    return 0;
}

/* What the runtime's last probe says about limits that must hold. */
static int intake_require(struct intake *in, struct berth_error *err)
{
    struct runtime_link *r = host_runtime(in->host, in->plan.runtime->name);
    const struct value *enforce = r ? runtime_enforce(r, in->task.executer) : NULL;
    if (!enforce)
        return 0; /* the worker decides */
    for (const char *const *name = in->plan.require; *name; name++)
        if (!strcmp(value_str(enforce, *name, "no"), "no"))
            return berth_fail(
                err, EPERM,
                "'%s' is required, and runtime '%s' cannot enforce it here (see berth "
                "explain)",
                *name, r->block->name);
    return 0;
}

static int intake_check(struct intake *in, struct berth_error *err)
{
    int rc = plan_make(in->host->config, &in->task, in->arena, &in->plan, err);
    if (rc == 0)
        rc = intake_capacity(in, err);
    if (rc == 0)
        rc = intake_require(in, err);
    if (rc == 0 && task_encode(&in->task, &in->body) < 0)
        rc = berth_fail(err, ENOMEM, "out of memory");
    if (rc == 0 && in->body.len > in->host->config->max_task_bytes)
        rc = berth_fail(err, E2BIG,
                        "the task has %zu bytes, host.max_task allows %zu: send large "
                        "input by file",
                        in->body.len, in->host->config->max_task_bytes);
    return rc;
}

/* 1: the id is known and the same task; *ret_job or the stored row tells. */
static int intake_known(struct intake *in, struct job **ret_job, struct store_row *row,
                        struct berth_error *err)
{
    const void *body = NULL;
    size_t len = 0;
    if (in->task.id_made)
        return 0;
    *ret_job = job_find(in->host, in->task.id);
    if (*ret_job) {
        if (job_body(*ret_job, in->arena, &body, &len, NULL) < 0)
            return 1;
    } else {
        int rc = store_get(in->host->store, in->task.id, in->arena, row, err);
        if (rc == -ENOENT)
            return 0;
        if (rc < 0)
            return rc;
        body = row->task;
        len = row->task_len;
        if (in->message && in->message->flags & BERTH_MESSAGE_AGAIN && row->state == STORE_DONE) {
            store_delete(in->host->store, row->seq);
            return 0;
        }
    }
    if (len != in->body.len || memcmp(body, in->body.data, len) != 0)
        return berth_fail(err, EEXIST, "id '%s' was used for a different task",
                          in->task.id);
    in->host->stats.deduplicated++;
    return 1;
}

static struct job *intake_new(struct intake *in, const char *transport,
                              struct berth_error *err)
{
    int rc = intake_limits(in, err);
    if (rc < 0)
        return NULL;
    void *body = take_ptr(in->body.data);
    struct job *j = job_new(in->host, &in->task, &in->plan, body, in->body.len);
    in->body = (struct buf){0};
    if (!j) {
        berth_fail(err, ENOMEM, "out of memory");
        return NULL;
    }
    j->transport = host_intern(in->host, transport);
    if (in->message) {
        j->attempt = (int)in->message->attempts;
        j->failures = (int)in->message->failures;
        j->losses = (int)in->message->losses;
    }
    return j;
}

/* A durable source need not wait for the store: it is only told which task the message is. */
static void intake_attach(struct job *j, struct waiter *w)
{
    job_attach(j, w);
    if (w->transport && transport_is_durable(w->transport))
        transport_reply(w, BERTH_REPLY_ACCEPTED, j, NULL);
}

/* A task that ended long ago: its result once more. */
static int intake_old(struct intake *in, struct waiter *w, const struct store_row *row)
{
    struct value result;
    if (row->state != STORE_DONE ||
        value_from_msgpack(in->arena, row->result, row->result_len, &result_limits, &result,
                           NULL) < 0)
        return -EIO;
    struct job done = {.host = in->host,
                       .id = row->id,
                       .state = JOB_FINISHING,
                       .published = true,
                       .attempt = row->attempt,
                       .verdict = row->verdict};
    w->job = &done;
    done.waiters = w;
    if (!w->transport) {
        ctl_reply_accepted(w);
        ctl_reply_result(w, &result);
        free(w);
        return 0;
    }
    HASH_ADD(hh, w->transport->waiters, message, sizeof w->message, w);
    if (!w->on_the_line)
        transport_reply(w, BERTH_REPLY_ACCEPTED, &done, NULL);
    transport_reply(w, BERTH_REPLY_RESULT, &done, &result);
    if (done.waiters)
        done.waiters->job = NULL; /* the transport replies later */
    return 0;
}

/* The host before may have died before its store knew of an attempt that is alive. */
static void intake_resume(struct job *j)
{
    int attempt = j->state == JOB_QUEUED ? attempt_found(j->host, j->id) : 0;
    if (attempt > 0)
        adopt_in_flight(j, attempt, -1, NULL);
}

static int intake_accept(struct intake *in, struct waiter *w, const char *transport,
                         struct berth_error *err)
{
    struct job *j = NULL;
    struct store_row row = {0};
    int known = intake_known(in, &j, &row, err);
    if (known < 0)
        return known;
    if (known && !j)
        return intake_old(in, w, &row);
    if (known) {
        intake_attach(j, w);
        job_resume_waiter(j, w);
        return 0;
    }
    j = intake_new(in, transport, err);
    if (!j)
        return -err->code;
    struct transport_link *t = w->transport;
    intake_attach(j, w);
    job_admit(j, w->on_the_line);
    if (t && transport_resumes(t) && !t->resumed)
        intake_resume(j);
    return 0;
}

/* Another host may have the room that this one lacks now. */
static bool intake_is_for_others(const struct transport_link *t, int rc)
{
    return transport_is_durable(t) && (rc == -EAGAIN || rc == -ENOSPC || rc == -ENOMEM);
}

static void intake_refuse(struct transport_link *t, const struct berth_message *m,
                          const char *id, int rc, const struct berth_error *err)
{
    if (intake_is_for_others(t, rc)) {
        log_line(BERTH_LOG_DEBUG, t->block->name, "a task goes back to its queue: %s",
                 err->text);
        transport_settle(t, m->message, BERTH_SETTLE_RETRY);
        return;
    }
    t->refused++;
    t->host->stats.rejected++;
    transport_refuse(t, m, id ? id : m->id ? m->id : "", err);
}

void intake_message(struct transport_link *t, const struct berth_message *m)
{
    struct berth_error err = {0};
    struct intake in = {.host = t->host, .arena = arena_new(), .message = m};
    struct waiter *w = calloc(1, sizeof *w);
    int rc = w && in.arena ? 0 : berth_fail(&err, ENOMEM, "out of memory");
    CRASH_POINT(message_taken);
    t->received++;
    if (rc == 0)
        rc = task_decode(in.arena, m->data, m->len, (int)m->format,
                         t->host->config->max_task_bytes, &in.task, &err);
    if (rc == 0)
        rc = intake_name(&in, &err);
    if (rc == 0)
        rc = intake_tenant(&in, m->tenant, &err);
    if (rc == 0)
        rc = intake_check(&in, &err);
    if (rc == 0) {
        *w = (struct waiter){.transport = t,
                             .message = m->message,
                             .format = (int)m->reply_format,
                             .on_the_line = m->flags & BERTH_MESSAGE_ON_THE_LINE ||
                                            transport_is_durable(t)};
        rc = intake_accept(&in, w, t->block->name, &err);
    }
    if (rc < 0) {
        free(w);
        intake_refuse(t, m, in.task.id, rc, &err);
    }
    buf_free(&in.body);
    arena_free(in.arena);
}

int intake_value(struct ctl_client *c, const struct value *task, struct berth_error *err)
{
    struct host *h = ctl_host(c);
    struct intake in = {.host = h, .arena = arena_new()};
    struct waiter *w = calloc(1, sizeof *w);
    int rc = w && in.arena ? 0 : berth_fail(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = task_from_value(in.arena, task, &in.task, err);
    if (rc == 0)
        rc = intake_check(&in, err);
    if (rc == 0) {
        *w = (struct waiter){.ctl = c};
        rc = intake_accept(&in, w, "", err);
    }
    if (rc < 0) {
        free(w);
        h->stats.rejected++;
    }
    buf_free(&in.body);
    arena_free(in.arena);
    return rc;
}
