/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The scheduler's parts: fit (what is free), share (whose turn it is), lines (who waits, in
 * order), delays (who waits for a time). None of them allocates while a decision is made:
 * whatever starting an item takes was set aside when it was added.
 */
#ifndef SCHED_INTERNAL_H
#define SCHED_INTERNAL_H

#include "sched/sched.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

enum sched_state { ITEM_OUT, ITEM_WAITING, ITEM_DELAYED, ITEM_BOOKED };

/* ---- fit.c: resources ---------------------------------------------------------------- */

enum { R_CPUS, R_MEMORY, R_DISK, R_PIDS, R_GPUS, R_COUNT };

struct amounts {
    int64_t of[R_COUNT]; /* cpus in millionths: sums of integers do not drift */
};
struct gpu {
    const char *name;
    int users; /* more than one only by adoption */
};
struct pool {
    struct task_resources given; /* the capacity, as the caller said it */
    struct amounts capacity;     /* 0: not limited; but of gpus: none */
    struct amounts booked;
    struct gpu *gpus;
    size_t gpu_count;
    uint64_t *slots; /* bit set: taken */
    size_t slot_words;
};

int pool_init(struct pool *p, const struct task_resources *capacity,
              const char *const *gpus);
void pool_fini(struct pool *p);
struct amounts amounts_of(const struct task_resources *need);
bool pool_can_ever(const struct pool *p, const struct amounts *need);
/* Bit set (1 << R_…) of what is not free enough. */
unsigned pool_lacks(const struct pool *p, const struct amounts *need);
/* Would need take away what first, which lacks held of it, waits for? */
bool pool_conflicts(const struct pool *p, const struct amounts *need,
                    const struct amounts *first, unsigned held);
/* Part of the node that need takes of the resource of which it takes most; 0 to 1. */
double pool_share(const struct pool *p, const struct amounts *need);
int pool_reserve_slots(struct pool *p,
                       size_t count); /* room for slots below count; -ENOMEM */
/* Room for the names of need.gpus; -ENOMEM. */
int pool_alloc_gpus(const struct pool *p, struct sched_item *it);
void pool_free_gpus(struct sched_item *it);
/* Takes GPUs and the lowest slot that are free. */
void pool_book(struct pool *p, struct sched_item *it);
/* Takes these GPUs and this slot (-1: the lowest). -ENOMEM; -EEXIST: the slot is taken. */
int pool_adopt(struct pool *p, struct sched_item *it, int slot, const char *const *gpus);
int pool_move(struct pool *p, struct sched_item *it, int slot); /* see sched_move */
void pool_release(struct pool *p, struct sched_item *it); /* keeps the memory of it->gpus */

/* ---- share.c: tenants, executers, runtimes ------------------------------------------- */

struct tenant {
    UT_hash_handle hh;
    struct line *lines; /* one for each priority at which it waits */
    double weight;
    int max_running;
    int waiting, running; /* waiting: delayed ones too */
    double share;         /* booked now: the sum of its items' shares */
    double usage;         /* booked over the last minute or so: share × ms */
    double charged_share; /* at which usage grows since usage_at_ms */
    int64_t usage_at_ms;
    char name[];
};
struct executer {
    UT_hash_handle hh;
    int max_running, running, waiting;
    char name[];
};
struct runtime {
    UT_hash_handle hh;
    bool takes_work;
    char name[];
};
struct parties {
    const struct config *config;
    struct tenant *tenants;
    struct executer *executers;
    struct runtime *runtimes;
};

void parties_free(struct parties *p);
/* Found or made; NULL if out of memory. */
struct tenant *parties_tenant(struct parties *p, const char *name);
struct executer *parties_executer(struct parties *p, const char *name);
struct runtime *parties_runtime(struct parties *p, const char *name);
/* Forgets the tenant if nothing of it is left and many are known. */
void parties_release_tenant(struct parties *p, struct tenant *t);
/* Before its first item comes in: it starts level with those that are busy, without credit
 * for the time that it was away. */
void tenant_arrive(struct parties *p, struct tenant *t, int64_t now_ms);
/* Usage by weight, now: the smallest is the next. */
double tenant_rank(struct tenant *t, int64_t now_ms);
void tenant_start(struct tenant *t, double share, int64_t now_ms);
void tenant_end(struct tenant *t, double share);

/* ---- lines.c: who waits -------------------------------------------------------------- */

struct queue {          /* of one priority, tenant, executer and runtime: by seq */
    struct queue *next; /* of the same line */
    struct line *line;
    struct executer *executer;
    struct runtime *runtime;
    struct sched_item *head, *tail;
    int users;                 /* items that wait or are delayed */
    struct sched_item *cursor; /* of a decision: the next to look at */
    int looked_at;
};
struct line { /* of one priority and tenant */
    struct line *next_of_tenant;
    struct level *level;
    struct tenant *tenant;
    struct queue *queues;
    double rank;       /* of a decision */
    int64_t first_seq; /* of a decision: of the oldest item */
};
struct level {          /* of one priority */
    struct level *next; /* lower */
    int priority;
    struct line **lines;
    size_t count, cap;
};

static inline struct sched_item *item_next(const struct sched_item *it)
{
    return it->priv[1];
}
/* Needs more than the node has: in its queue's counts, but not in its list. */
static inline bool item_is_apart(const struct sched_item *it)
{
    return it->priv[3] != NULL;
}
static inline struct queue *item_queue(const struct sched_item *it) /* waiting or delayed */
{
    return it->priv[2];
}

/* The queue where it belongs, counted as used by it; NULL if out of memory. */
struct queue *lines_enter(struct level **levels, struct parties *p,
                          const struct sched_item *it);
/* Ends that; the queue, line and level go when empty. */
void lines_leave(struct level **levels, struct queue *q);
void queue_insert(struct queue *q, struct sched_item *it); /* in order of seq */
void queue_remove(struct queue *q, struct sched_item *it);

/* ---- delays.c: who waits for a time -------------------------------------------------- */

struct delays { /* a heap by not_before_ms, then seq */
    struct sched_item **items;
    size_t count, cap;
};
void delays_fini(struct delays *d);
int delays_add(struct delays *d, struct sched_item *it); /* -ENOMEM */
void delays_remove(struct delays *d, struct sched_item *it);
struct sched_item *delays_first(const struct delays *d); /* NULL: none */

#endif
