/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the host tells of itself and its tasks. One table of questions, for transports and berth(1). */
#include <errno.h>

#include "host/host_int.h"

struct question {
    struct host *host;
    const struct berth_query *q;
    struct arena *arena;
    struct value answer; /* a map */
    struct berth_error *err;
};

/* ---- tasks ---- */

static int ask_tasks(struct question *ask)
{
    return list_tasks(ask->host, ask->q, ask->arena, &ask->answer, ask->err);
}

static int no_task(struct question *ask)
{
    return berth_fail(ask->err, ENOENT, "no task '%s'", ask->q->id ? ask->q->id : "");
}

/* The task in question, in memory (*ret_job) or stored. To a tenant those of others do not exist. */
static int find_task(struct question *ask, struct job **ret_job, struct store_row *ret_row)
{
    const struct berth_query *q = ask->q;
    if (!q->id)
        return no_task(ask);
    *ret_job = job_find(ask->host, q->id);
    int rc = 0;
    if (*ret_job)
        job_row(*ret_job, ret_row);
    else
        rc = store_get(ask->host->store, q->id, ask->arena, ret_row, ask->err);
    if (rc == -ENOENT || (rc == 0 && q->tenant && strcmp(q->tenant, ret_row->tenant) != 0))
        return no_task(ask);
    return rc;
}

static int ask_task(struct question *ask)
{
    struct arena *a = ask->arena;
    struct store_row row = {0};
    struct job *j;
    struct value result;
    int rc = find_task(ask, &j, &row);
    if (rc < 0)
        return rc;
    ask->answer = task_value(a, ask->host, &row);
    if ((!j || job_is_done(j)) && row.result &&
        value_from_msgpack(a, row.result, row.result_len, &result_limits, &result, NULL) ==
            0)
        value_put(a, &ask->answer, "result", result);
    return 0;
}

static int ask_result(struct question *ask)
{
    struct store_row row = {0};
    struct job *j;
    int rc = find_task(ask, &j, &row);
    if (rc < 0)
        return rc;
    if ((j && !job_is_done(j)) || !row.result)
        return berth_fail(ask->err, EAGAIN, "task '%s' is not done yet", ask->q->id);
    return value_from_msgpack(ask->arena, row.result, row.result_len, &result_limits,
                              &ask->answer, ask->err);
}

static int ask_cancel(struct question *ask)
{
    struct store_row row = {0};
    struct job *j;
    int rc = find_task(ask, &j, &row);
    if (rc < 0)
        return rc;
    if (!j)
        return berth_fail(ask->err, EALREADY, "task '%s' is done", ask->q->id);
    value_put_str(ask->arena, &ask->answer, "id", arena_str(ask->arena, j->id));
    value_put_str(ask->arena, &ask->answer, "state", job_state_name(j));
    if (job_cancel(j) < 0)
        return berth_fail(ask->err, EALREADY, "task '%s' is done", ask->q->id);
    return 0;
}

/* ---- executers and runtimes ---- */

static struct value strings_value(struct arena *a, const char *const *list)
{
    struct value v = value_new_array(a);
    for (; list && *list; list++)
        value_add(a, &v, value_new_str(a, *list));
    return v;
}

static struct value resources_value(struct arena *a, const struct task_resources *r)
{
    struct value v = value_new_map(a);
    if (r->cpus > 0)
        value_put_float(a, &v, "cpus", r->cpus);
    if (r->memory_bytes > 0)
        value_put_int(a, &v, "memory", r->memory_bytes);
    if (r->pids > 0)
        value_put_int(a, &v, "pids", r->pids);
    if (r->disk_bytes > 0)
        value_put_int(a, &v, "disk", r->disk_bytes);
    if (r->gpus > 0)
        value_put_int(a, &v, "gpus", r->gpus);
    return v;
}

static int ask_executers(struct question *ask)
{
    struct arena *a = ask->arena;
    struct value list = value_new_array(a);
    for (size_t i = 0; i < ask->host->config->executer_count; i++) {
        const struct config_executer *x = &ask->host->config->executers[i];
        struct runtime_link *r = host_runtime(ask->host, x->runtime);
        struct value v = value_new_map(a);
        struct plan p;
        value_put_str(a, &v, "name", x->name);
        value_put_str(a, &v, "runtime", x->runtime);
        value_put_str(a, &v, "image", x->image);
        value_put(a, &v, "command", strings_value(a, x->command));
        if (plan_of_executer(ask->host->config, x, a, &p, NULL) == 0) {
            value_put(a, &v, "resources", resources_value(a, &p.resources));
            value_put_int(a, &v, "timeout_ms", p.timeout_ms);
        }
        value_put_int(a, &v, "max_running", x->max_running);
        value_put_int(a, &v, "running",
                      sched_running_of_executer(ask->host->sched, x->name));
        value_put_int(a, &v, "waiting",
                      sched_waiting_of_executer(ask->host->sched, x->name));
        value_put_bool(a, &v, "healthy", r && r->healthy);
        value_add(a, &list, v);
    }
    value_put(a, &ask->answer, "executers", list);
    return 0;
}

static const char *runtime_detail(const struct runtime_link *r)
{
    return r->link ? r->detail
                   : "its worker is not there: the log of berthd says how it ended";
}

static int ask_runtimes(struct question *ask)
{
    struct arena *a = ask->arena;
    struct value list = value_new_array(a);
    for (size_t i = 0; i < ask->host->config->runtime_count; i++) {
        const struct runtime_link *r = &ask->host->runtimes[i];
        struct value v = value_new_map(a);
        value_put_str(a, &v, "name", r->block->name);
        value_put_str(a, &v, "plugin", r->block->plugin);
        value_put_str(a, &v, "plugin_version", r->plugin_version);
        value_put_str(a, &v, "version", r->version);
        value_put_bool(a, &v, "connected", r->link != NULL);
        value_put_bool(a, &v, "healthy", r->healthy);
        value_put_str(a, &v, "detail", runtime_detail(r));
        if (r->enforce.type == VALUE_MAP)
            value_put(a, &v, "enforce", r->enforce);
        value_put_int(a, &v, "started", (int64_t)r->started);
        value_put_int(a, &v, "failed", (int64_t)r->failed);
        value_add(a, &list, v);
    }
    value_put(a, &ask->answer, "runtimes", list);
    return 0;
}

static void explain_limit(struct arena *a, struct value *limits,
                          const struct value *enforce, const char *name, struct value asked)
{
    struct value v = value_new_map(a);
    value_put(a, &v, "asked", asked);
    value_put_str(a, &v, "enforced", enforce ? value_str(enforce, name, "no") : "unknown");
    value_put(a, limits, name, v);
}

static int ask_explain(struct question *ask)
{
    struct arena *a = ask->arena;
    const char *id = ask->q->id ? ask->q->id : "";
    const struct config_executer *x = config_executer(ask->host->config, id);
    struct plan p;
    if (!x) {
        const char **names =
            arena_alloc(a, (ask->host->config->executer_count + 1) * sizeof *names);
        for (size_t i = 0; names && i < ask->host->config->executer_count; i++)
            names[i] = ask->host->config->executers[i].name;
        const char *near = names ? nearest_name(id, names) : NULL;
        return berth_fail(ask->err, ENOENT, "no executer '%s'%s%s%s", id,
                          near ? "; did you mean '" : "", near ? near : "",
                          near ? "'?" : "");
    }
    int rc = plan_of_executer(ask->host->config, x, a, &p, ask->err);
    if (rc < 0)
        return rc;
    static const char *const networks[] = {"none", "host", "private"};
    struct runtime_link *r = host_runtime(ask->host, x->runtime);
    const struct value *enforce = r ? runtime_enforce(r, x->name) : NULL;
    struct value limits = value_new_map(a);
    explain_limit(a, &limits, enforce, "memory", value_new_int(p.resources.memory_bytes));
    explain_limit(a, &limits, enforce, "cpus", value_new_float(p.resources.cpus));
    explain_limit(a, &limits, enforce, "pids", value_new_int(p.resources.pids));
    explain_limit(a, &limits, enforce, "disk", value_new_int(p.resources.disk_bytes));
    explain_limit(a, &limits, enforce, "gpus", value_new_int(p.resources.gpus));
    explain_limit(a, &limits, enforce, "time", value_new_int(p.timeout_ms));
    explain_limit(a, &limits, enforce, "network", value_new_str(a, networks[p.network]));
    explain_limit(a, &limits, enforce, "read_only", value_new_bool(true));
    explain_limit(a, &limits, enforce, "uid", value_new_bool(true));
    value_put_str(a, &ask->answer, "executer", x->name);
    value_put_str(a, &ask->answer, "runtime", x->runtime);
    value_put_str(a, &ask->answer, "image", x->image);
    value_put(a, &ask->answer, "command", strings_value(a, p.argv));
    value_put_bool(a, &ask->answer, "healthy", r && r->healthy);
    value_put(a, &ask->answer, "limits", limits);
    value_put(a, &ask->answer, "require", strings_value(a, p.require));
    value_put_str(a, &ask->answer, "detail", r ? runtime_detail(r) : "");
    return 0;
}

/* ---- the host itself ---- */

static void put_drain(struct question *ask)
{
    const struct host *h = ask->host;
    value_put_bool(ask->arena, &ask->answer, "draining", h->draining);
    if (h->draining && h->drain_deadline_ms)
        value_put_int(ask->arena, &ask->answer, "drain_deadline_ms", h->drain_deadline_ms);
}

static int ask_stats(struct question *ask)
{
    struct arena *a = ask->arena;
    struct host *h = ask->host;
    struct sched_totals t;
    struct value finished = value_new_map(a);
    sched_totals(h->sched, &t);
    for (int v = BERTH_VERDICT_SUCCEEDED; v <= BERTH_VERDICT_REJECTED; v++)
        value_put_int(a, &finished, berth_verdict_name(v), (int64_t)h->stats.finished[v]);
    value_put_str(a, &ask->answer, "host", h->config->name);
    value_put_str(a, &ask->answer, "version", PACKAGE_VERSION);
    value_put_int(a, &ask->answer, "started_ms", h->started_unix_ms);
    value_put_int(a, &ask->answer, "restarts", h->start.restarts);
    put_drain(ask);
    value_put_int(a, &ask->answer, "waiting", t.waiting + t.delayed);
    value_put_int(a, &ask->answer, "running", t.running);
    value_put_int(a, &ask->answer, "accepted", (int64_t)h->stats.accepted);
    value_put_int(a, &ask->answer, "rejected", (int64_t)h->stats.rejected);
    value_put_int(a, &ask->answer, "deduplicated", (int64_t)h->stats.deduplicated);
    value_put_int(a, &ask->answer, "attempts", (int64_t)h->stats.attempts);
    value_put_int(a, &ask->answer, "retries", (int64_t)h->stats.retries);
    value_put_int(a, &ask->answer, "adopted", (int64_t)h->stats.adopted);
    value_put_int(a, &ask->answer, "late", (int64_t)h->stats.late);
    value_put(a, &ask->answer, "finished", finished);
    value_put(a, &ask->answer, "capacity", resources_value(a, &t.capacity));
    value_put(a, &ask->answer, "booked", resources_value(a, &t.booked));
    return 0;
}

static int ask_health(struct question *ask)
{
    value_put_bool(ask->arena, &ask->answer, "healthy", true);
    return 0;
}

static void ready_unless(struct arena *a, struct value *reasons, bool bad,
                         const char *format, const char *name)
{
    if (bad)
        value_add(a, reasons, value_new_str(a, arena_fmt(a, format, name)));
}

bool host_ready(struct host *h, struct arena *a, struct value *reasons)
{
    int64_t now = now_ms();
    *reasons = value_new_array(a);
    ready_unless(a, reasons, h->draining, "draining%s", "");
    ready_unless(a, reasons, h->disk_full_ms, "the disk of the state directory is full%s",
                 "");
    for (size_t i = 0; i < h->config->runtime_count; i++)
        ready_unless(a, reasons, !h->runtimes[i].healthy, "runtime '%s' is not usable",
                     h->runtimes[i].block->name);
    for (size_t i = 0; i < h->config->transport_count; i++) {
        const struct transport_link *t = &h->transports[i];
        ready_unless(a, reasons, !t->started, "transport '%s' has not started",
                     t->block->name);
        ready_unless(a, reasons, t->started && transport_resumes(t) && !t->resumed,
                     "transport '%s' has not reached its source yet", t->block->name);
        ready_unless(a, reasons, t->polled_ms && now - t->polled_ms > t->block->ready_ms,
                     "the source of transport '%s' has not answered for too long",
                     t->block->name);
    }
    return reasons->count == 0;
}

static int ask_ready(struct question *ask)
{
    struct value reasons;
    bool ready = host_ready(ask->host, ask->arena, &reasons);
    value_put_bool(ask->arena, &ask->answer, "ready", ready);
    value_put(ask->arena, &ask->answer, "reasons", reasons);
    return ready ? 0 : berth_fail(ask->err, EAGAIN, "not ready: %s", reasons.items[0].s);
}

static int ask_drain(struct question *ask)
{
    bool knows = ask->q->size >= sizeof *ask->q; /* of ABI 1.0 it ends before */
    if (knows && ask->q->deadline_ms < 0)
        return berth_fail(ask->err, EINVAL, "deadline_ms is %lld: it is a time from now, or 0",
                          (long long)ask->q->deadline_ms);
    drain_begin(ask->host, knows ? ask->q->deadline_ms : 0);
    put_drain(ask);
    return 0;
}

static int ask_undrain(struct question *ask)
{
    drain_end(ask->host);
    put_drain(ask);
    return 0;
}

static const struct {
    const char *what;
    int (*fn)(struct question *ask);
} questions[] = {
    {"tasks", ask_tasks},     {"task", ask_task},           {"result", ask_result},
    {"cancel", ask_cancel},   {"executers", ask_executers}, {"runtimes", ask_runtimes},
    {"explain", ask_explain}, {"stats", ask_stats},         {"health", ask_health},
    {"ready", ask_ready},     {"drain", ask_drain},         {"undrain", ask_undrain},
};

int host_query(struct host *h, const struct berth_query *q, struct buf *out,
               struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct question ask = {.host = h, .q = q, .arena = a, .err = err};
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    if (!strcmp(q->what, "metrics")) {
        metrics_write(h, out);
        return out->failed ? -ENOMEM : 0;
    }
    ask.answer = value_new_map(a);
    for (size_t i = 0; i < countof(questions); i++) {
        if (strcmp(questions[i].what, q->what) != 0)
            continue;
        int rc = questions[i].fn(&ask);
        if (rc < 0 && strcmp(q->what, "ready") != 0)
            return rc;
        int written = q->format == BERTH_FORMAT_JSON
                          ? value_to_json(&ask.answer, out, false)
                          : value_to_msgpack(&ask.answer, out);
        return written < 0 ? berth_fail(err, ENOMEM, "out of memory") : rc;
    }
    return berth_fail(err, EINVAL, "no question '%s'", q->what);
}
