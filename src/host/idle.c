/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Supervisors that have done with an attempt and wait for the next one: to fork one, and its end, cost more
 * than to run a short task. Each stays in the slot that it was forked for. It has nothing that could be
 * lost, and ends when its connection does.
 */
#include "host/host_int.h"

#define IDLE_MS 5000

/* Only from a worker that is there: it has to see it die. What it inherited of the runtime
 * must be true still. */
bool idle_wanted(const struct link *l)
{
    return l->again && l->of && l->of->link && l->of->healthy && l->probes == l->of->probes;
}

void idle_add(struct link *l)
{
    l->idle = true;
    l->idle_since_ms = now_ms();
    DL_PREPEND2(l->of->idle, l, idle_prev, idle_next);
}

void idle_remove(struct link *l)
{
    l->idle = false;
    DL_DELETE2(l->of->idle, l, idle_prev, idle_next);
}

struct link *idle_take(struct runtime_link *r, struct job *j)
{
    struct link *l;
    DL_FOREACH2(r->idle, l, idle_next)
    if (sched_move(j->host->sched, &j->item, l->slot) == 0) {
        idle_remove(l);
        return l;
    }
    return NULL;
}

void idle_dismiss(struct runtime_link *r)
{
    while (r->idle)
        link_free(r->idle);
}

void idle_tick(struct host *h)
{
    int64_t before = now_ms() - IDLE_MS;
    for (size_t i = 0; i < h->config->runtime_count; i++) {
        struct runtime_link *r = &h->runtimes[i];
        /* the list's first knows its last */
        while (r->idle && r->idle->idle_prev->idle_since_ms <= before)
            link_free(r->idle->idle_prev);
    }
}
