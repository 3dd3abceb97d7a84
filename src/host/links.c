/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * RUN_DIR/host.sock: the workers and supervisors of this node. They connect to whichever host is there; a
 * hello says who they are. Only processes of our own uid, or root, are listened to.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/crash.h"
#include "host/host_int.h"

#define ORPHAN_MS 1000 /* its lock is free a moment after its connection has gone */

struct runtime_link *host_runtime(struct host *h, const char *name)
{
    for (size_t i = 0; i < h->config->runtime_count; i++)
        if (!strcmp(h->runtimes[i].block->name, name))
            return &h->runtimes[i];
    return NULL;
}

const struct value *runtime_enforce(const struct runtime_link *r, const char *executer)
{
    const struct value *own = value_get(&r->executers, executer);
    if (!r->probed || r->enforce.type != VALUE_MAP)
        return NULL;
    return own ? own : &r->enforce;
}

void link_confirm(struct link *l, const char *id, int attempt, bool stay)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", id);
    value_put_int(a, &body, "attempt", attempt);
    value_put_bool(a, &body, "stay", stay);
    conn_send(l->conn, FRAME_TASK_CONFIRM, &body);
}

static void cancel_attempt(struct link *l, const char *id, int attempt, int verdict)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", id);
    value_put_int(a, &body, "attempt", attempt);
    value_put_str(a, &body, "verdict", berth_verdict_name(verdict));
    value_put_int(a, &body, "grace_ms", -1);
    CRASH_POINT(cancel_send);
    conn_send(l->conn, FRAME_TASK_CANCEL, &body);
}

void link_cancel(struct link *l, const struct job *j, int verdict)
{
    cancel_attempt(l, j->id, j->attempt, verdict);
}

void runtime_sweep(struct runtime_link *r, struct job *j)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a || !r->link || j->sweep_sent)
        return;
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", j->id);
    value_put_int(a, &body, "attempt", j->attempt);
    value_put_int(a, &body, "slot", j->item.slot);
    CRASH_POINT(sweep_send);
    j->sweep_sent = conn_send(r->link->conn, FRAME_SWEEP, &body) == 0;
}

/* The next worker is asked again. What was sent to this one, it may never have read. */
static void link_worker_gone(struct job *j)
{
    j->sweep_sent = false;
    if (j->state == JOB_STARTING && !j->link)
        job_into_limbo(j);
}

void link_free(struct link *l)
{
    struct host *h = l->host;
    struct link *other;
    if (l->idle)
        idle_remove(l);
    if (l->runtime && l->runtime->link == l) {
        idle_dismiss(l->runtime);
        l->runtime->link = NULL;
        l->runtime->healthy = false;
        sched_set_runtime(h->sched, l->runtime->block->name, false);
        for (struct job *j = h->jobs; j; j = j->hh.next)
            if (!strcmp(j->item.runtime, l->runtime->block->name))
                link_worker_gone(j);
        DL_FOREACH (h->links, other)
            other->orphan = true;
    }
    if (l->orphan && !l->runtime) /* it may have died before it had removed what it used */
        loop_timer_set(h->orphan_timer, ORPHAN_MS);
    if (l->job) {
        struct job *j = l->job;
        j->link = NULL;
        if (j->state == JOB_STARTING || j->state == JOB_RUNNING)
            job_into_limbo(j);
    }
    DL_DELETE(h->links, l);
    conn_free(l->conn);
    free(l);
}

int link_attempt_of(const struct value *body)
{
    int64_t attempt = value_int(body, "attempt", 0);
    return attempt > 0 && attempt <= ATTEMPT_MAX ? (int)attempt : 0;
}

/* ---- a worker speaks ---- */

static struct job *link_find_job(struct link *l, const struct value *body)
{
    struct job *j = job_find(l->host, value_str(body, "id", ""));
    if (j && j->attempt == value_int(body, "attempt", 0))
        return j;
    return NULL;
}

/* A worker that never met us may hold attempts whose supervisors have not said hello yet. */
static void worker_attempts(struct link *l, const struct value *body)
{
    const struct value *list = value_get(body, "attempts");
    for (uint32_t i = 0; list && list->type == VALUE_ARRAY && i < list->count; i++) {
        const struct value *it = &list->items[i];
        struct job *j = job_find(l->host, value_str(it, "id", ""));
        int attempt = link_attempt_of(it);
        if (j && adopt_is_newer(j, attempt))
            adopt_in_flight(j, attempt, -1, NULL);
    }
}

static void worker_sweep_others(struct link *l)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = value_new_map(a), keep = value_new_array(a);
    for (struct job *j = l->host->jobs; j; j = j->hh.next) {
        if (j->state == JOB_NEW || j->state == JOB_QUEUED)
            continue;
        struct value it = value_new_map(a);
        value_put_str(a, &it, "id", j->id);
        value_put_int(a, &it, "attempt", j->attempt);
        value_add(a, &keep, it);
    }
    value_put(a, &body, "keep", keep);
    conn_send(l->conn, FRAME_SWEEP_OTHERS, &body);
}

void links_sweep_others(void *arg)
{
    struct host *h = arg;
    for (size_t i = 0; i < h->config->runtime_count; i++)
        if (h->runtimes[i].link)
            worker_sweep_others(h->runtimes[i].link);
}

/* A connection says once who it is. One that does so again would be two at the same time. */
static bool link_is_known(struct link *l)
{
    if (!l->runtime && !l->job)
        return false;
    log_warn("connection of %s closed: it said hello twice",
             l->runtime ? l->runtime->block->name : l->job->id);
    link_free(l);
    return true;
}

static void worker_hello(struct link *l, const struct value *body)
{
    struct runtime_link *r = host_runtime(l->host, value_str(body, "runtime", ""));
    if (!r) {
        log_warn("a worker of runtime '%s', which the config does not have, was sent away",
                 value_str(body, "runtime", ""));
        link_free(l);
        return;
    }
    if (r->link)
        link_free(r->link);
    l->runtime = r;
    r->link = l;
    r->probed = r->healthy = false;
    snprintf(r->plugin_version, sizeof r->plugin_version, "%s",
             value_str(body, "version", ""));
    worker_attempts(l, body);
    worker_sweep_others(l);
    loop_timer_set(l->host->limbo_timer, 0);
}

static void worker_probe(struct link *l, const struct value *body)
{
    struct runtime_link *r = l->runtime;
    if (!r)
        return;
    bool ok = value_bool(body, "ok", false);
    const struct value *enforce = value_get(body, "enforce");
    const struct value *executers = value_get(body, "executers");
    arena_free(r->probe_arena);
    r->probe_arena = arena_new();
    r->enforce = r->executers = (struct value){0};
    if (enforce && r->probe_arena)
        r->enforce = value_copy(r->probe_arena, enforce);
    if (executers && r->probe_arena)
        r->executers = value_copy(r->probe_arena, executers);
    snprintf(r->version, sizeof r->version, "%s", value_str(body, "version", ""));
    const char *said = value_str(body, ok ? "detail" : "error", "");
    snprintf(r->detail, sizeof r->detail, "%s",
             *said ? said : value_str(body, "missing", ""));
    if (ok != r->healthy || !r->probed)
        log_line(ok ? BERTH_LOG_INFO : BERTH_LOG_ERR, r->block->name, "%s%s%s",
                 ok ? "ready" : "not usable", r->detail[0] ? ": " : "", r->detail);
    r->probed = true;
    r->healthy = ok;
    r->probes++; /* what idle supervisors know of the runtime is out of date */
    idle_dismiss(r);
    sched_set_runtime(l->host->sched, r->block->name, ok);
    host_ask_dispatch(l->host);
}

/* An attempt that the store had not heard of when the host before this one died. */
static struct job *worker_gone_unheard(struct link *l, const struct value *body)
{
    struct job *j = job_find(l->host, value_str(body, "id", ""));
    int attempt = link_attempt_of(body);
    if (!j || !adopt_is_newer(j, attempt))
        return NULL;
    adopt_in_flight(j, attempt, -1, NULL);
    return j;
}

static void worker_frame(struct link *l, int type, const struct value *body)
{
    struct job *j = link_find_job(l, body);
    switch (type) {
    case FRAME_WORKER_PROBE:
        worker_probe(l, body);
        return;
    case FRAME_WORKER_DONE:
        if (j && value_get(body, "result"))
            job_ended(j, value_get(body, "result"));
        return;
    case FRAME_WORKER_GONE:
        if (!j)
            j = worker_gone_unheard(l, body);
        if (j)
            job_lost(j, "its supervisor died");
        return;
    case FRAME_WORKER_SWEPT:
        if (j && value_bool(body, "ok", false))
            job_lost(j, "its supervisor died while the host was away");
        else if (j)
            j->sweep_sent = false;
        return;
    default:
        log_warn("frame %d from worker '%s' is not known", type, l->runtime->block->name);
    }
}

/* ---- a supervisor speaks ---- */

/* Taken over without its GPUs: the host before had died between RUN and the attempt's record. */
static bool job_lacks_gpus(const struct job *j, const struct value *gpus)
{
    bool booked = j->item.gpus && j->item.gpus[0];
    return j->in_limbo && !booked && gpus && gpus->type == VALUE_ARRAY && gpus->count > 0;
}

static void task_hello(struct link *l, const struct value *body)
{
    l->of = host_runtime(l->host, value_str(body, "runtime", ""));
    l->slot = (int)value_int(body, "slot", -1);
    l->probes = l->of ? l->of->probes : 0;
    const char *id = value_str(body, "id", "");
    int attempt = link_attempt_of(body);
    const struct value *gpus = value_get(body, "gpus");
    struct job *j = job_find(l->host, id);
    l->orphan = !j || j->in_limbo || j->attempt != attempt;
    if (!j)
        j = adopt_hello(l->host, body);
    if (!j || (j->attempt > attempt) ||
        (j->attempt == attempt && (job_is_waiting(j) || j->state == JOB_RETRYING))) {
        if (strcmp(value_str(body, "state", ""), "done") != 0 && j)
            cancel_attempt(l, id, attempt, BERTH_VERDICT_CANCELLED);
        link_confirm(l, id, attempt, false);
        return;
    }
    if (adopt_is_newer(j, attempt) || job_lacks_gpus(j, gpus))
        adopt_in_flight(j, attempt, (int)value_int(body, "slot", -1), gpus);
    CRASH_POINT(hello_taken);
    job_hello(j, l, body);
    job_check_owner(j);
}

static void task_done(struct link *l, const struct value *body)
{
    const char *id = value_str(body, "id", "");
    int attempt = link_attempt_of(body);
    const struct value *result = value_get(body, "result");
    struct job *j = job_find(l->host, id);
    if (!j || j->attempt != attempt || !result) {
        l->host->stats.late++;
        log_line(BERTH_LOG_WARN, id, "a late result of attempt %d was set aside", attempt);
        link_confirm(l, id, attempt, false);
        return;
    }
    l->again = value_bool(body, "again", false);
    CRASH_POINT(done_taken);
    job_ended(j, result);
}

/* It was idle, and is again; if it says so of a runtime that the config does not have, it never was. */
static void task_refused(struct link *l, struct job *j, const struct value *body)
{
    if (j->link != l)
        return;
    j->link = NULL;
    l->job = NULL;
    if (l->of)
        idle_add(l);
    job_refused(j, body);
}

static void link_frame(void *arg, int type, const struct value *body, struct arena *a)
{
    struct link *l = arg;
    struct job *j;
    (void)a;
    switch (type) {
    case FRAME_WORKER_HELLO:
        if (!link_is_known(l))
            worker_hello(l, body);
        return;
    case FRAME_TASK_HELLO:
        if (!link_is_known(l))
            task_hello(l, body);
        return;
    case FRAME_TASK_STARTED:
        j = link_find_job(l, body);
        if (j)
            job_started(j, body);
        return;
    case FRAME_TASK_DONE:
        task_done(l, body);
        return;
    case FRAME_WORKER_REFUSED:
        j = link_find_job(l, body);
        if (j && !l->runtime)
            task_refused(l, j, body);
        else if (j)
            job_refused(j, body);
        return;
    default:
        if (l->runtime)
            worker_frame(l, type, body);
    }
}

static void link_closed(void *arg, const struct berth_error *err)
{
    struct link *l = arg;
    if (err->code)
        log_warn("connection of %s lost: %s",
                 l->runtime ? l->runtime->block->name
                 : l->job   ? l->job->id
                            : "somebody",
                 err->text);
    link_free(l);
}

static void link_accept(void *arg, uint32_t events)
{
    struct host *h = arg;
    (void)events;
    int fd = host_accept(h, h->link_fd, h->link_io);
    if (fd < 0)
        return;
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 ||
        (peer.uid != geteuid() && peer.uid != 0)) {
        close(fd);
        return;
    }
    struct link *l = calloc(1, sizeof *l);
    if (!l) {
        close(fd);
        return;
    }
    l->host = h;
    l->conn = conn_new(h->loop, fd, link_frame, link_closed, l);
    if (!l->conn) {
        free(l);
        return;
    }
    DL_APPEND(h->links, l);
}

int links_open(struct host *h, struct berth_error *err)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/host.sock", h->config->run_dir) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    h->link_fd = unix_listen(path, 0600, err);
    if (h->link_fd < 0)
        return h->link_fd;
    h->link_io = loop_io_add(h->loop, h->link_fd, EPOLLIN, link_accept, h);
    return h->link_io ? 0 : berth_fail(err, ENOMEM, "out of memory");
}
