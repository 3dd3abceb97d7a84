/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Items that wait for a time: a binary heap; an item's place in it is in priv[3]. */
#include <errno.h>
#include <stdlib.h>

#include "sched/internal.h"

static bool is_before(const struct sched_item *a, const struct sched_item *b)
{
    return a->not_before_ms != b->not_before_ms ? a->not_before_ms < b->not_before_ms
                                                : a->seq < b->seq;
}

static void delays_put(struct delays *d, size_t i, struct sched_item *it)
{
    d->items[i] = it;
    it->priv[3] = (void *)i;
}

static void delays_up(struct delays *d, size_t i, struct sched_item *it)
{
    for (; i > 0 && is_before(it, d->items[(i - 1) / 2]); i = (i - 1) / 2)
        delays_put(d, i, d->items[(i - 1) / 2]);
    delays_put(d, i, it);
}

static void delays_down(struct delays *d, size_t i, struct sched_item *it)
{
    for (size_t child; (child = 2 * i + 1) < d->count; i = child) {
        if (child + 1 < d->count && is_before(d->items[child + 1], d->items[child]))
            child++;
        if (!is_before(d->items[child], it))
            break;
        delays_put(d, i, d->items[child]);
    }
    delays_put(d, i, it);
}

void delays_fini(struct delays *d)
{
    free(d->items);
}

int delays_add(struct delays *d, struct sched_item *it)
{
    if (d->count == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 64;
        struct sched_item **items = reallocarray(d->items, cap, sizeof(*items));
        if (!items)
            return -ENOMEM;
        d->items = items;
        d->cap = cap;
    }
    delays_up(d, d->count++, it);
    return 0;
}

void delays_remove(struct delays *d, struct sched_item *it)
{
    size_t i = (size_t)it->priv[3];
    struct sched_item *last = d->items[--d->count];
    if (last == it)
        return;
    if (i > 0 && is_before(last, d->items[(i - 1) / 2]))
        delays_up(d, i, last);
    else
        delays_down(d, i, last);
}

struct sched_item *delays_first(const struct delays *d)
{
    return d->count ? d->items[0] : NULL;
}
