/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Whose turn it is. A tenant's usage grows by its booked share of the node for each
 * millisecond, and a little for each start, and fades over a minute; the tenant whose usage
 * by weight is smallest is next. So in the long run tenants get the node in the proportion
 * of their weights, however long or large their tasks are, and nobody pays for what
 * happened an hour ago.
 *
 * Dominant share: Ghodsi et al., Dominant Resource Fairness, NSDI 2011.
 */
#include <stdlib.h>
#include <string.h>

#include "sched/internal.h"

enum {
    FADE_MS = 60000,
    START_MS = 10,       /* a start costs as much as running so long */
    TENANTS_KEPT = 1000, /* beyond so many, those without items are forgotten */
};

/* ---- who is there -------------------------------------------------------------------- */

/* A zeroed struct whose last member is the name. */
static void *party_new(size_t size, const char *name)
{
    char *party = calloc(1, size + strlen(name) + 1);
    return party ? strcpy(party + size, name) - size : NULL;
}

#define PARTY_FIND_OR_NEW(head, party, type, key)                           \
    do {                                                                    \
        HASH_FIND_STR(head, key, party);                                    \
        if (party)                                                          \
            return party;                                                   \
        party = party_new(offsetof(struct type, name), key);                \
        if (!party)                                                         \
            return NULL;                                                    \
        HASH_ADD_KEYPTR(hh, head, party->name, strlen(party->name), party); \
        if (!party->hh.tbl) {                                               \
            free(party);                                                    \
            return NULL;                                                    \
        }                                                                   \
    } while (0)

struct tenant *parties_tenant(struct parties *p, const char *name)
{
    struct tenant *t;
    PARTY_FIND_OR_NEW(p->tenants, t, tenant, name);
    const struct config_tenant *c = config_tenant(p->config, name);
    t->weight = c->weight > 0 ? c->weight : 1;
    t->max_running = c->max_running;
    return t;
}

struct executer *parties_executer(struct parties *p, const char *name)
{
    struct executer *e;
    PARTY_FIND_OR_NEW(p->executers, e, executer, name);
    const struct config_executer *c = *name ? config_executer(p->config, name) : NULL;
    e->max_running = c ? c->max_running : 0;
    return e;
}

struct runtime *parties_runtime(struct parties *p, const char *name)
{
    struct runtime *r;
    PARTY_FIND_OR_NEW(p->runtimes, r, runtime, name);
    return r;
}

void parties_release_tenant(struct parties *p, struct tenant *t)
{
    if (t->lines || t->waiting + t->running > 0 || HASH_COUNT(p->tenants) <= TENANTS_KEPT)
        return;
    HASH_DEL(p->tenants, t);
    free(t);
}

void parties_free(struct parties *p)
{
    struct tenant *t, *t_next;
    struct executer *e, *e_next;
    struct runtime *r, *r_next;
    HASH_ITER (hh, p->tenants, t, t_next) {
        HASH_DEL(p->tenants, t);
        free(t);
    }
    HASH_ITER (hh, p->executers, e, e_next) {
        HASH_DEL(p->executers, e);
        free(e);
    }
    HASH_ITER (hh, p->runtimes, r, r_next) {
        HASH_DEL(p->runtimes, r);
        free(r);
    }
}

/* ---- usage --------------------------------------------------------------------------- */

static void tenant_settle(struct tenant *t, int64_t now_ms)
{
    double dt = (double)(now_ms - t->usage_at_ms);
    if (dt > 0) {
        t->usage = (t->usage + t->charged_share * dt) * (FADE_MS / (FADE_MS + dt));
        t->usage_at_ms = now_ms;
    }
    t->charged_share = t->share;
}

double tenant_rank(struct tenant *t, int64_t now_ms)
{
    tenant_settle(t, now_ms);
    return t->usage / t->weight;
}

void tenant_arrive(struct parties *p, struct tenant *t, int64_t now_ms)
{
    double least = -1;
    for (struct tenant *other = p->tenants; other; other = other->hh.next) {
        if (other == t || other->waiting + other->running == 0)
            continue;
        double rank = tenant_rank(other, now_ms);
        least = least < 0 || rank < least ? rank : least;
    }
    if (tenant_rank(t, now_ms) < least)
        t->usage = least * t->weight;
}

void tenant_start(struct tenant *t, double share, int64_t now_ms)
{
    tenant_settle(t, now_ms);
    t->usage += share * START_MS;
    t->share += share;
    t->charged_share = t->share;
    t->running++;
}

/* What it ran since the last decision is charged at the next: the time is known then. */
void tenant_end(struct tenant *t, double share)
{
    t->share -= share;
    if (--t->running == 0)
        t->share = 0; /* whatever rounding has left */
}
