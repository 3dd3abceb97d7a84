/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * How many tasks to fetch from a queue that other hosts read too: as many as fit beside those that run, and
 * as many as will have ended before more could be fetched; not one that would only wait here while another
 * host is idle.
 */
#include "host/host_int.h"

#define WINDOW_MS 50
#define CREDIT_MAX 1024

void host_pace(struct host *h)
{
    struct pace *p = &h->pace;
    int64_t now = now_ms();
    if (now - p->since_ms >= WINDOW_MS) {
        p->before = now - p->since_ms < 2 * WINDOW_MS ? p->now : 0;
        p->now = 0;
        p->since_ms = now;
    }
    p->now++;
}

static uint32_t tasks_per_window(const struct pace *p)
{
    int64_t age = now_ms() - p->since_ms;
    if (age >= 2 * WINDOW_MS)
        return 0;
    return p->now > p->before || age >= WINDOW_MS ? p->now : p->before;
}

#define MANY 1e6

static double least(double a, double b)
{
    return a < b ? a : b;
}

/* More tasks like those that run; like the default one, if none does. */
static double more(double capacity, double booked, int running, double usual)
{
    double each = running ? booked / running : usual;
    return capacity > 0 && each > 0 ? (capacity - booked) / each : MANY;
}

uint32_t host_credit(struct host *h)
{
    const struct task_resources *usual = &h->config->defaults.resources;
    struct sched_totals t;
    sched_totals(h->sched, &t);
    if (h->draining)
        return 0;
    double n = more(t.capacity.cpus, t.booked.cpus, t.running, usual->cpus);
    n = least(n, more((double)t.capacity.memory_bytes, (double)t.booked.memory_bytes,
                      t.running, (double)usual->memory_bytes));
    n = least(n, more((double)t.capacity.pids, (double)t.booked.pids, t.running,
                      (double)usual->pids));
    if (t.booked.gpus > 0)
        n = least(n, more((double)t.capacity.gpus, (double)t.booked.gpus, t.running, 0));
    if (h->config->max_running > 0)
        n = least(n, h->config->max_running - t.running);
    if (n < 1)
        n = t.running ? 0 : 1; /* an idle node tries whatever comes */
    n = least(n + tasks_per_window(&h->pace), h->config->max_queued) - t.waiting;
    return n < 1 ? 0 : (uint32_t)least(n, CREDIT_MAX);
}
