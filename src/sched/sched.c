/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Deciding what starts.
 *
 * A decision goes through levels, lines by rank, and the first few items of each queue in
 * order of seq, and takes the first item that fits. An item that lacks something is stamped
 * when that is first seen. Once its stamp is old enough, and nobody in order before it
 * lacks the same, it becomes s->first: from then on nothing of its priority or below takes
 * of a resource that it lacked, so that this resource can only become free. What it has
 * once lacked stays held until it starts: else two resources could be taken from it in
 * turns for ever.
 */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "sched/internal.h"

enum { LOOK_AT = 8 /* items of a queue, in one decision */ };

struct sched {
    const struct config *config;
    struct pool pool;
    struct parties parties;
    struct level *levels; /* highest first */
    struct delays delays;
    bool paused;
    int waiting, delayed, running;
    unsigned starts; /* counts round */
    int64_t now_ms;
    struct sched_item *first; /* the item with the reservation */
    unsigned held;            /* the resources that are kept for it */
};

struct sched *sched_new(const struct config *c, const struct task_resources *capacity,
                        const char *const *gpus)
{
    struct sched *s = c && capacity ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return NULL;
    s->config = c;
    s->parties.config = c;
    if (pool_init(&s->pool, capacity, gpus) < 0) {
        sched_free(s);
        return NULL;
    }
    return s;
}

static void queues_free(struct line *line)
{
    struct queue *q, *next;
    LL_FOREACH_SAFE (line->queues, q, next)
        free(q);
    free(line);
}

void sched_free(struct sched *s)
{
    if (!s)
        return;
    struct level *l, *next;
    LL_FOREACH_SAFE (s->levels, l, next) {
        for (size_t i = 0; i < l->count; i++)
            queues_free(l->lines[i]);
        free(l->lines);
        free(l);
    }
    delays_fini(&s->delays);
    parties_free(&s->parties);
    pool_fini(&s->pool);
    free(s);
}

static void sched_set_now(struct sched *s, int64_t now_ms)
{
    if (now_ms > s->now_ms)
        s->now_ms = now_ms;
}

/* ---- coming and going ---------------------------------------------------------------- */

static void item_wait(struct sched *s, struct sched_item *it)
{
    struct amounts need = amounts_of(&it->need);
    it->state = ITEM_WAITING;
    it->waiting_since_ms = -1; /* no stamp yet */
    it->priv[3] = pool_can_ever(&s->pool, &need) ? NULL : s;
    if (!item_is_apart(it))
        queue_insert(item_queue(it), it);
    s->waiting++;
}

static int item_delay(struct sched *s, struct sched_item *it)
{
    if (delays_add(&s->delays, it) < 0)
        return -ENOMEM;
    it->state = ITEM_DELAYED;
    s->delayed++;
    return 0;
}

static int item_enter(struct sched *s, struct sched_item *it)
{
    struct queue *q = lines_enter(&s->levels, &s->parties, it);
    if (!q)
        return -ENOMEM;
    struct tenant *t = q->line->tenant;
    it->priv[2] = q;
    if (it->not_before_ms > s->now_ms && item_delay(s, it) < 0) {
        lines_leave(&s->levels, q);
        parties_release_tenant(&s->parties, t);
        return -ENOMEM;
    }
    if (it->state != ITEM_DELAYED)
        item_wait(s, it);
    if (t->waiting + t->running == 0)
        tenant_arrive(&s->parties, t, s->now_ms);
    t->waiting++;
    q->executer->waiting++;
    return 0;
}

static bool is_complete(const struct sched_item *it)
{
    return it && it->state == ITEM_OUT && it->tenant && it->executer && it->runtime;
}

int sched_add(struct sched *s, struct sched_item *it, int64_t now_ms, int64_t not_before_ms)
{
    if (!s || !is_complete(it))
        return -EINVAL;
    sched_set_now(s, now_ms);
    it->not_before_ms = not_before_ms;
    it->slot = -1;
    size_t items = (size_t)(s->waiting + s->delayed + s->running) + 1;
    if (pool_reserve_slots(&s->pool, items) < 0 || pool_alloc_gpus(&s->pool, it) < 0)
        return -ENOMEM;
    int r = item_enter(s, it);
    if (r < 0)
        pool_free_gpus(it);
    return r;
}

/* Out of its queue, which may go with it. */
static void item_leave(struct sched *s, struct sched_item *it)
{
    struct queue *q = item_queue(it);
    if (it->state == ITEM_DELAYED) {
        delays_remove(&s->delays, it);
        s->delayed--;
    } else {
        if (!item_is_apart(it))
            queue_remove(q, it);
        s->waiting--;
    }
    q->line->tenant->waiting--;
    q->executer->waiting--;
    lines_leave(&s->levels, q);
    if (s->first == it)
        s->first = NULL;
}

/* The part of the node that counts for fairness: where nothing else is asked, its place
 * among max_running, or a little. */
static double item_share(const struct sched *s, const struct sched_item *it)
{
    struct amounts need = amounts_of(&it->need);
    double share = pool_share(&s->pool, &need);
    double least = s->config->max_running > 0 ? 1.0 / s->config->max_running : 0.001;
    return share > least ? share : least;
}

static void item_run(struct sched *s, struct sched_item *it, struct tenant *t,
                     struct executer *e)
{
    it->priv[0] = t;
    it->priv[1] = e;
    it->state = ITEM_BOOKED;
    tenant_start(t, item_share(s, it), s->now_ms);
    e->running++;
    s->running++;
    s->starts++;
}

static struct sched_item *item_start(struct sched *s, struct sched_item *it)
{
    struct executer *e = item_queue(it)->executer;
    struct tenant *t = item_queue(it)->line->tenant;
    item_leave(s, it);
    pool_book(&s->pool, it);
    item_run(s, it, t, e);
    return it;
}

static struct tenant *item_end(struct sched *s, struct sched_item *it)
{
    struct tenant *t = it->priv[0];
    struct executer *e = it->priv[1];
    pool_release(&s->pool, it);
    tenant_end(t, item_share(s, it));
    e->running--;
    s->running--;
    return t;
}

void sched_remove(struct sched *s, struct sched_item *it)
{
    if (!s || !it || it->state == ITEM_OUT)
        return;
    struct tenant *t;
    if (it->state == ITEM_BOOKED) {
        t = item_end(s, it);
    } else {
        t = item_queue(it)->line->tenant;
        item_leave(s, it);
    }
    pool_free_gpus(it);
    it->state = ITEM_OUT;
    parties_release_tenant(&s->parties, t);
}

int sched_adopt(struct sched *s, struct sched_item *it, int slot, const char *const *gpus)
{
    if (!s || !is_complete(it))
        return -EINVAL;
    struct executer *e = parties_executer(&s->parties, it->executer);
    struct tenant *t = parties_tenant(&s->parties, it->tenant);
    size_t items = (size_t)(s->waiting + s->delayed + s->running) + 1;
    int r = e && t ? pool_reserve_slots(&s->pool, items) : -ENOMEM;
    if (r == 0)
        r = pool_adopt(&s->pool, it, slot, gpus);
    if (r < 0) {
        if (t)
            parties_release_tenant(&s->parties, t);
        return r;
    }
    item_run(s, it, t, e);
    return 0;
}

int sched_move(struct sched *s, struct sched_item *it, int slot)
{
    return it->state == ITEM_BOOKED ? pool_move(&s->pool, it, slot) : -EINVAL;
}

/* ---- deciding ------------------------------------------------------------------------ */

static void wake_delayed(struct sched *s)
{
    struct sched_item *it;
    while ((it = delays_first(&s->delays)) && it->not_before_ms <= s->now_ms) {
        delays_remove(&s->delays, it);
        s->delayed--;
        item_wait(s, it);
    }
}

static bool tenant_has_room(const struct tenant *t)
{
    return t->max_running <= 0 || t->running < t->max_running;
}

static bool queue_has_room(const struct queue *q)
{
    const struct executer *e = q->executer;
    return q->runtime->takes_work && (e->max_running <= 0 || e->running < e->max_running);
}

static bool is_held_for_first(const struct sched *s, const struct sched_item *it,
                              const struct amounts *need)
{
    if (!s->first || it->priority > s->first->priority)
        return false;
    struct amounts first = amounts_of(&s->first->need);
    return pool_conflicts(&s->pool, need, &first, s->held);
}

static bool is_ripe(const struct sched *s, const struct sched_item *it)
{
    return s->now_ms - it->waiting_since_ms >= SCHED_WAIT_MS ||
           s->starts - (unsigned)it->passes >= SCHED_PASSES;
}

/* Can it start? lacked: what items before it in order lack; its own is added. */
static bool item_fits(struct sched *s, struct sched_item *it, unsigned *lacked)
{
    struct amounts need = amounts_of(&it->need);
    unsigned lacks = pool_lacks(&s->pool, &need);
    if (!lacks)
        return !is_held_for_first(s, it, &need);
    if (it->waiting_since_ms < 0) {
        it->waiting_since_ms = s->now_ms;
        it->passes = (int)s->starts; /* the count from which its passes are counted */
    }
    if (is_ripe(s, it) && !(lacks & *lacked) &&
        (!s->first || s->first->priority < it->priority)) {
        s->first = it;
        s->held = lacks;
    }
    *lacked |= lacks;
    return false;
}

/* Can the item with the reservation start? It loses it when limits keep it out. */
static bool first_fits(struct sched *s)
{
    struct queue *q = item_queue(s->first);
    if (!queue_has_room(q) || !tenant_has_room(q->line->tenant)) {
        s->first = NULL;
        return false;
    }
    struct amounts need = amounts_of(&s->first->need);
    unsigned lacks = pool_lacks(&s->pool, &need);
    s->held |= lacks;
    return !lacks;
}

/* The queue whose next item is the oldest; NULL when all that may be looked at was. */
static struct queue *line_oldest(struct line *line)
{
    struct queue *q, *oldest = NULL;
    LL_FOREACH (line->queues, q)
        if (q->cursor && (!oldest || q->cursor->seq < oldest->cursor->seq))
            oldest = q;
    return oldest;
}

static struct sched_item *line_pick(struct sched *s, struct line *line, unsigned *lacked)
{
    struct queue *q;
    while ((q = line_oldest(line))) {
        struct sched_item *it = q->cursor;
        if (item_fits(s, it, lacked))
            return it;
        q->cursor = ++q->looked_at < LOOK_AT ? item_next(it) : NULL;
    }
    return NULL;
}

/* Sets up what line_pick goes through; nothing if the tenant has no room. */
static void line_prepare(struct sched *s, struct line *line)
{
    struct queue *q;
    bool room = tenant_has_room(line->tenant);
    LL_FOREACH (line->queues, q) {
        q->cursor = room && queue_has_room(q) ? q->head : NULL;
        q->looked_at = 0;
    }
    q = line_oldest(line);
    line->rank = tenant_rank(line->tenant, s->now_ms);
    line->first_seq = q ? q->cursor->seq : INT64_MAX;
}

static bool line_is_before(const struct line *a, const struct line *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->first_seq < b->first_seq;
}

/* By insertion: between two decisions the order hardly changes. */
static void level_sort(struct level *l)
{
    for (size_t i = 1; i < l->count; i++) {
        struct line *line = l->lines[i];
        size_t k = i;
        for (; k > 0 && line_is_before(line, l->lines[k - 1]); k--)
            l->lines[k] = l->lines[k - 1];
        l->lines[k] = line;
    }
}

static struct sched_item *level_pick(struct sched *s, struct level *l, unsigned *lacked)
{
    if (s->first && s->first->priority == l->priority && first_fits(s))
        return s->first;
    for (size_t i = 0; i < l->count; i++)
        line_prepare(s, l->lines[i]);
    level_sort(l);
    for (size_t i = 0; i < l->count; i++) {
        struct sched_item *it = line_pick(s, l->lines[i], lacked);
        if (it)
            return it;
    }
    return NULL;
}

struct sched_item *sched_next(struct sched *s, int64_t now_ms)
{
    unsigned lacked = 0;
    sched_set_now(s, now_ms);
    wake_delayed(s);
    if (s->paused || (s->config->max_running > 0 && s->running >= s->config->max_running))
        return NULL;
    for (struct level *l = s->levels; l; l = l->next) {
        struct sched_item *it = level_pick(s, l, &lacked);
        if (it)
            return item_start(s, it);
    }
    return NULL;
}

int64_t sched_next_ms(struct sched *s, int64_t now_ms)
{
    const struct sched_item *it = delays_first(&s->delays);
    if (!it)
        return -1;
    return it->not_before_ms > now_ms ? it->not_before_ms - now_ms : 0;
}

void sched_set_runtime(struct sched *s, const char *runtime, bool takes_work)
{
    struct runtime *r = parties_runtime(&s->parties, runtime);
    if (r)
        r->takes_work = takes_work;
}

void sched_set_paused(struct sched *s, bool paused)
{
    s->paused = paused;
}

/* ---- counts -------------------------------------------------------------------------- */

void sched_totals(const struct sched *s, struct sched_totals *ret)
{
    const int64_t *booked = s->pool.booked.of;
    *ret = (struct sched_totals){
        .waiting = s->waiting,
        .delayed = s->delayed,
        .running = s->running,
        .capacity = s->pool.given,
        .booked = {.cpus = (double)booked[R_CPUS] / 1e6,
                   .memory_bytes = booked[R_MEMORY],
                   .disk_bytes = booked[R_DISK],
                   .pids = booked[R_PIDS],
                   .gpus = booked[R_GPUS]},
    };
}

int sched_waiting_of_tenant(const struct sched *s, const char *tenant)
{
    const struct tenant *t;
    HASH_FIND_STR(s->parties.tenants, tenant, t);
    return t ? t->waiting : 0;
}

static const struct executer *sched_executer(const struct sched *s, const char *name)
{
    const struct executer *e;
    HASH_FIND_STR(s->parties.executers, name, e);
    return e;
}

int sched_running_of_executer(const struct sched *s, const char *executer)
{
    const struct executer *e = sched_executer(s, executer);
    return e ? e->running : 0;
}

int sched_waiting_of_executer(const struct sched *s, const char *executer)
{
    const struct executer *e = sched_executer(s, executer);
    return e ? e->waiting : 0;
}
