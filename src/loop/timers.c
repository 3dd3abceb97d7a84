/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Timers: a heap ordered by time, then by the order of arming. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <utlist.h>

#include "loop/parts.h"

#define NS_PER_MS 1000000

static bool is_before(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void heap_place(struct timer_heap *h, struct loop_timer *t, size_t i)
{
    h->at[i] = t;
    t->place = i;
}

static void heap_up(struct timer_heap *h, struct loop_timer *t, size_t i)
{
    for (; i > 1 && is_before(t, h->at[i / 2]); i /= 2)
        heap_place(h, h->at[i / 2], i);
    heap_place(h, t, i);
}

static void heap_down(struct timer_heap *h, struct loop_timer *t, size_t i)
{
    size_t child;

    for (; (child = 2 * i) <= h->count; i = child) {
        if (child < h->count && is_before(h->at[child + 1], h->at[child]))
            child++;
        if (!is_before(h->at[child], t))
            break;
        heap_place(h, h->at[child], i);
    }
    heap_place(h, t, i);
}

static void heap_add(struct timer_heap *h, struct loop_timer *t)
{
    DL_DELETE(h->idle, t);
    heap_up(h, t, ++h->count);
}

static void heap_remove(struct timer_heap *h, struct loop_timer *t)
{
    size_t i = t->place;
    struct loop_timer *last = h->at[h->count--];

    t->place = 0;
    DL_APPEND(h->idle, t);
    if (last == t)
        return;
    if (i > 1 && is_before(last, h->at[i / 2]))
        heap_up(h, last, i);
    else
        heap_down(h, last, i);
}

static int heap_reserve(struct timer_heap *h)
{
    size_t cap = h->cap ? h->cap * 2 : 32;
    struct loop_timer **at;

    if (h->timers + 1 < h->cap)
        return 0;
    at = realloc(h->at, cap * sizeof(*at));
    if (!at)
        return -ENOMEM;
    h->at = at;
    h->cap = cap;
    return 0;
}

struct loop_timer *loop_timer_add(struct loop *l, int64_t delay_ms, loop_fn *fn, void *arg)
{
    struct loop_timer *t;

    if (heap_reserve(&l->timers) < 0 || !(t = calloc(1, sizeof(*t))))
        return NULL;
    t->loop = l;
    t->fn = fn;
    t->arg = arg;
    l->timers.timers++;
    DL_APPEND(l->timers.idle, t);
    loop_timer_set(t, delay_ms);
    return t;
}

/* By the clock, not the turn's time: a long callback must not make its timers early. */
void loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
    struct timer_heap *h = &t->loop->timers;
    int64_t delay_ns;

    if (delay_ms < 0)
        delay_ms = 0;
    loop_timer_stop(t);
    if (__builtin_mul_overflow(delay_ms, (int64_t)NS_PER_MS, &delay_ns) ||
        __builtin_add_overflow(loop_clock_ns(), delay_ns, &t->at_ns))
        t->at_ns = INT64_MAX;
    t->order = h->order++;
    heap_add(h, t);
}

void loop_timer_stop(struct loop_timer *t)
{
    if (t->place)
        heap_remove(&t->loop->timers, t);
}

void loop_timer_remove(struct loop_timer **t_ptr)
{
    struct loop_timer *t = *t_ptr;

    if (!t)
        return;
    *t_ptr = NULL;
    loop_timer_stop(t);
    DL_DELETE(t->loop->timers.idle, t);
    t->loop->timers.timers--;
    free(t);
}

void loop_timers_run(struct loop *l)
{
    struct timer_heap *h = &l->timers;
    uint64_t order = h->order;
    struct loop_timer *t;

    while (h->count) {
        t = h->at[1];
        if (t->at_ns > l->now_ns || t->order >= order)
            return;
        heap_remove(h, t);
        t->fn(t->arg);
    }
}

int loop_timers_wait_ms(const struct loop *l)
{
    int64_t ms;

    if (!l->timers.count)
        return -1;
    ms = l->timers.at[1]->at_ns - loop_clock_ns();
    if (ms <= 0)
        return 0;
    ms = (ms - 1) / NS_PER_MS + 1; /* up: a turn before its time would be for nothing */
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

void loop_timers_fini(struct loop *l)
{
    struct timer_heap *h = &l->timers;
    struct loop_timer *t, *next;

    for (size_t i = 1; i <= h->count; i++)
        free(h->at[i]);
    DL_FOREACH_SAFE (h->idle, t, next)
        free(t);
    free(h->at);
}
