/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The host's figures in Prometheus' text exposition format, version 0.0.4. Names are stable: they are changed only with
 * a note in the ChangeLog. (prometheus.io/docs/instrumenting/exposition_formats) */
#include "host/host_int.h"

static const double bounds_s[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600};

void histogram_add(struct histogram *hist, int64_t ms)
{
    double s = ms > 0 ? (double)ms / 1000 : 0;
    size_t i = 0;
    while (i < countof(bounds_s) && s > bounds_s[i])
        i++;
    hist->bucket[i]++;
    hist->count++;
    hist->sum_s += s;
}

static void metric_head(struct buf *out, const char *name, const char *type,
                        const char *help)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metric(struct buf *out, const char *name, const char *type, const char *help,
                   double value)
{
    metric_head(out, name, type, help);
    buf_fmt(out, "%s %.17g\n", name, value);
}

static void metric_histogram(struct buf *out, const char *name, const char *help,
                             const struct histogram *hist)
{
    uint64_t sum = 0;
    metric_head(out, name, "histogram", help);
    for (size_t i = 0; i < countof(bounds_s); i++) {
        sum += hist->bucket[i];
        buf_fmt(out, "%s_bucket{le=\"%g\"} %llu\n", name, bounds_s[i],
                (unsigned long long)sum);
    }
    buf_fmt(out, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.17g\n%s_count %llu\n", name,
            (unsigned long long)hist->count, name, hist->sum_s, name,
            (unsigned long long)hist->count);
}

static void metrics_tasks(struct host *h, struct buf *out)
{
    const struct stats *s = &h->stats;
    struct sched_totals t;
    sched_totals(h->sched, &t);
    metric(out, "berth_tasks_accepted_total", "counter", "Tasks taken in.",
           (double)s->accepted);
    metric(out, "berth_tasks_rejected_total", "counter", "Tasks refused.",
           (double)s->rejected);
    metric(out, "berth_tasks_deduplicated_total", "counter",
           "Submissions of an id already known.", (double)s->deduplicated);
    metric_head(out, "berth_tasks_finished_total", "counter",
                "Tasks that ended, by verdict.");
    for (int v = BERTH_VERDICT_SUCCEEDED; v <= BERTH_VERDICT_REJECTED; v++)
        buf_fmt(out, "berth_tasks_finished_total{verdict=\"%s\"} %llu\n",
                berth_verdict_name(v), (unsigned long long)s->finished[v]);
    metric(out, "berth_attempts_total", "counter", "Attempts begun.", (double)s->attempts);
    metric(out, "berth_retries_total", "counter", "Attempts followed by another.",
           (double)s->retries);
    metric(out, "berth_attempts_adopted_total", "counter",
           "Attempts under way that this host took over.", (double)s->adopted);
    metric(out, "berth_late_results_total", "counter",
           "Results of older attempts set aside.", (double)s->late);
    metric(out, "berth_tasks_waiting", "gauge", "Tasks that could start.", t.waiting);
    metric(out, "berth_tasks_delayed", "gauge", "Tasks that wait for a retry.", t.delayed);
    metric(out, "berth_tasks_running", "gauge", "Attempts that hold resources.", t.running);
    metric_histogram(out, "berth_task_wait_seconds", "From arrival to start.", &s->wait);
    metric_histogram(out, "berth_task_run_seconds", "From start to end.", &s->run);
    metric_head(out, "berth_resources", "gauge", "What this node has, and what is booked.");
    const struct {
        const char *name;
        double capacity, booked;
    } resources[] = {
        {"cpus", t.capacity.cpus, t.booked.cpus},
        {"memory_bytes", (double)t.capacity.memory_bytes, (double)t.booked.memory_bytes},
        {"pids", (double)t.capacity.pids, (double)t.booked.pids},
        {"gpus", (double)t.capacity.gpus, (double)t.booked.gpus}};
    for (size_t i = 0; i < countof(resources); i++)
        buf_fmt(out,
                "berth_resources{resource=\"%s\",kind=\"capacity\"} %.17g\n"
                "berth_resources{resource=\"%s\",kind=\"booked\"} %.17g\n",
                resources[i].name, resources[i].capacity, resources[i].name,
                resources[i].booked);
}

static void metrics_runtimes(struct host *h, struct buf *out)
{
    metric_head(out, "berth_runtime_healthy", "gauge", "Whether the last probe succeeded.");
    for (size_t i = 0; i < h->config->runtime_count; i++)
        buf_fmt(out, "berth_runtime_healthy{runtime=\"%s\"} %d\n",
                h->runtimes[i].block->name, h->runtimes[i].healthy);
    metric_head(out, "berth_runtime_attempts_total", "counter",
                "Attempts begun, by runtime.");
    for (size_t i = 0; i < h->config->runtime_count; i++)
        buf_fmt(out, "berth_runtime_attempts_total{runtime=\"%s\"} %llu\n",
                h->runtimes[i].block->name, (unsigned long long)h->runtimes[i].started);
}

static void metrics_transports(struct host *h, struct buf *out)
{
    int64_t now = now_ms();
    metric_head(out, "berth_transport_messages_total", "counter",
                "Messages received, by transport.");
    for (size_t i = 0; i < h->config->transport_count; i++)
        buf_fmt(out, "berth_transport_messages_total{transport=\"%s\"} %llu\n",
                h->transports[i].block->name,
                (unsigned long long)h->transports[i].received);
    metric_head(out, "berth_transport_last_poll_seconds", "gauge",
                "Since the transport's source last answered.");
    for (size_t i = 0; i < h->config->transport_count; i++)
        if (h->transports[i].polled_ms)
            buf_fmt(out, "berth_transport_last_poll_seconds{transport=\"%s\"} %.3f\n",
                    h->transports[i].block->name,
                    (double)(now - h->transports[i].polled_ms) / 1000);
}

void metrics_write(struct host *h, struct buf *out)
{
    metrics_tasks(h, out);
    metrics_runtimes(h, out);
    metrics_transports(h, out);
    metric(out, "berth_store_backlog", "gauge", "Writes not yet committed.",
           (double)store_backlog(h->store));
    metric(out, "berth_host_restarts_total", "counter",
           "Times the monitor restarted the host.", h->start.restarts);
    metric(out, "berth_host_start_time_seconds", "gauge",
           "Start of this host process, Unix time.", (double)h->started_unix_ms / 1000);
    metric_head(out, "berth_build_info", "gauge", "Version of berth.");
    buf_fmt(out, "berth_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
}
