/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What runs next. Pure logic: no clock, no I/O; the caller says what time it is.
 *
 * Order: higher priority first; among tenants of one priority by fair share (the tenant
 * whose booked share over the last minute, divided by its weight, is smallest); within a
 * tenant in order of arrival. A task starts when its resources fit what is free, its
 * executer, tenant and runtime have room. A task that is passed over while smaller ones
 * start gets a reservation after SCHED_PASSES starts or SCHED_WAIT_MS: until it fits,
 * nothing else of its priority or below that uses the resources it lacks is started. A task
 * that needs more than the capacity waits for ever and holds up nobody. Cost per decision
 * depends on the numbers of priorities, tenants and executers with waiting tasks, not on
 * the number of tasks.
 */
#ifndef SCHED_SCHED_H
#define SCHED_SCHED_H

#include "codec/task.h"
#include "config/config.h"

#define SCHED_PASSES 64
#define SCHED_WAIT_MS 5000

struct sched;
/* Embedded in the caller's task; all but the first six are the scheduler's. */
struct sched_item {
    int priority;
    const char *tenant;   /* must outlive the item */
    const char *executer; /* "" for ad-hoc */
    const char *runtime;
    struct task_resources need; /* nothing -1 */
    int64_t seq;                /* order of arrival; a retry keeps its own */

    int64_t not_before_ms; /* set by sched_add */
    int state;             /* 0 out, 1 waiting, 2 delayed, 3 booked */
    void *priv[4];
    int64_t waiting_since_ms;
    int passes;
    const char **gpus; /* booked: names, NULL-terminated; the scheduler's memory */
    int slot;          /* booked: smallest number no other booked item has */
};

/* NULL if out of memory. c must outlive it. Capacity of 0 or below: not limited; GPUs are
 * those named. */
struct sched *sched_new(const struct config *c, const struct task_resources *capacity,
                        const char *const *gpus);
void sched_free(struct sched *s); /* its items must have been removed */
/* Waits from now on, or from not_before_ms on (same clock as now_ms). -ENOMEM; -EINVAL if
 * it is in already. The first six members must not change until it is removed. */
int sched_add(struct sched *s, struct sched_item *it, int64_t now_ms,
              int64_t not_before_ms);
/* Waiting or booked; frees what it booked. */
void sched_remove(struct sched *s, struct sched_item *it);
/* Books the next task that can start and returns it; NULL: none can. */
struct sched_item *sched_next(struct sched *s, int64_t now_ms);
/* Books what an adopted attempt already uses, whatever is free, also GPUs that are not
 * known. slot -1: a new one. -EEXIST: another item has the slot; -ENOMEM; -EINVAL. For an
 * item that is out. */
int sched_adopt(struct sched *s, struct sched_item *it, int slot, const char *const *gpus);
/* Gives a booked item another slot. -EEXIST: that is taken; -EINVAL: there was never one of
 * that number, or the item is not booked. */
int sched_move(struct sched *s, struct sched_item *it, int slot);
/* Milliseconds until a delayed item becomes ready; -1: none. */
int64_t sched_next_ms(struct sched *s, int64_t now_ms);
/* A runtime takes work or does not (unhealthy, no worker). Unknown to begin with: no. */
void sched_set_runtime(struct sched *s, const char *runtime, bool takes_work);
void sched_set_paused(struct sched *s, bool paused); /* drain */

struct sched_totals {
    int waiting, delayed, running;
    struct task_resources capacity, booked;
};
void sched_totals(const struct sched *s, struct sched_totals *ret);
/* Waiting here counts the delayed too. */
int sched_waiting_of_tenant(const struct sched *s, const char *tenant);
int sched_running_of_executer(const struct sched *s, const char *executer);
int sched_waiting_of_executer(const struct sched *s, const char *executer);

#endif
