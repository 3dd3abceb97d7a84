/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Who waits: levels (priority), in each of them lines (tenant), in each of those queues
 * (executer and runtime), in each of those items by seq. Items of one queue start under the
 * same limits, so a decision looks at the first few of each queue and never at the rest.
 */
#include <stdlib.h>
#include <utlist.h>

#include "sched/internal.h"

static struct level *level_get(struct level **levels, int priority)
{
    struct level **at = levels;
    while (*at && (*at)->priority > priority)
        at = &(*at)->next;
    if (*at && (*at)->priority == priority)
        return *at;
    struct level *new = calloc(1, sizeof(*new));
    if (!new)
        return NULL;
    new->priority = priority;
    new->next = *at;
    *at = new;
    return new;
}

static void level_free_empty(struct level **levels, struct level *l)
{
    if (l->count > 0)
        return;
    LL_DELETE(*levels, l);
    free(l->lines);
    free(l);
}

static struct line *line_get(struct level *l, struct tenant *t)
{
    for (struct line *line = t->lines; line; line = line->next_of_tenant)
        if (line->level == l)
            return line;
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 4;
        struct line **lines = reallocarray(l->lines, cap, sizeof(struct line *));
        if (!lines)
            return NULL;
        l->lines = lines;
        l->cap = cap;
    }
    struct line *new = calloc(1, sizeof(*new));
    if (!new)
        return NULL;
    new->level = l;
    new->tenant = t;
    new->next_of_tenant = t->lines;
    t->lines = new;
    l->lines[l->count++] = new;
    return new;
}

static void line_free_empty(struct line *line)
{
    if (line->queues)
        return;
    struct level *l = line->level;
    size_t i = 0;
    while (l->lines[i] != line)
        i++;
    l->lines[i] = l->lines[--l->count];
    LL_DELETE2(line->tenant->lines, line, next_of_tenant);
    free(line);
}

static struct queue *queue_get(struct line *line, struct executer *e, struct runtime *r)
{
    struct queue *q;
    LL_FOREACH (line->queues, q)
        if (q->executer == e && q->runtime == r)
            return q;
    q = calloc(1, sizeof(*q));
    if (!q)
        return NULL;
    q->line = line;
    q->executer = e;
    q->runtime = r;
    LL_PREPEND(line->queues, q);
    return q;
}

static struct queue *enter(struct level **levels, struct level *l, struct tenant *t,
                           struct executer *e, struct runtime *r)
{
    struct line *line = line_get(l, t);
    if (line) {
        struct queue *q = queue_get(line, e, r);
        if (q)
            return q;
        line_free_empty(line);
    }
    level_free_empty(levels, l);
    return NULL;
}

struct queue *lines_enter(struct level **levels, struct parties *p,
                          const struct sched_item *it)
{
    struct executer *e = parties_executer(p, it->executer);
    struct runtime *r = parties_runtime(p, it->runtime);
    struct tenant *t = parties_tenant(p, it->tenant);
    struct level *l = e && r && t ? level_get(levels, it->priority) : NULL;
    struct queue *q = l ? enter(levels, l, t, e, r) : NULL;
    if (q)
        q->users++;
    else if (t)
        parties_release_tenant(p, t);
    return q;
}

void lines_leave(struct level **levels, struct queue *q)
{
    struct line *line = q->line;
    struct level *l = line->level;
    if (--q->users > 0)
        return;
    LL_DELETE(line->queues, q);
    free(q);
    line_free_empty(line);
    level_free_empty(levels, l);
}

static void queue_set_next(struct queue *q, struct sched_item *it, struct sched_item *next)
{
    if (it)
        it->priv[1] = next;
    else
        q->head = next;
}

static void queue_set_prev(struct queue *q, struct sched_item *it, struct sched_item *prev)
{
    if (it)
        it->priv[0] = prev;
    else
        q->tail = prev;
}

static void queue_link(struct queue *q, struct sched_item *prev, struct sched_item *it,
                       struct sched_item *next)
{
    it->priv[0] = prev;
    it->priv[1] = next;
    queue_set_next(q, prev, it);
    queue_set_prev(q, next, it);
}

void queue_insert(struct queue *q, struct sched_item *it)
{
    /* From both ends: a new item belongs to the tail, a retry near the head. */
    struct sched_item *front = q->head, *back = q->tail;
    while (back && back->seq > it->seq && front->seq <= it->seq) {
        front = front->priv[1];
        back = back->priv[0];
    }
    if (!back || back->seq <= it->seq)
        queue_link(q, back, it, back ? back->priv[1] : q->head);
    else
        queue_link(q, front->priv[0], it, front);
}

void queue_remove(struct queue *q, struct sched_item *it)
{
    queue_set_next(q, it->priv[0], it->priv[1]);
    queue_set_prev(q, it->priv[1], it->priv[0]);
}
