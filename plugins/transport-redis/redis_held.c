/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The table of tasks held. */
#include "redis_held.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

static void make_key(char key[48], size_t level, const char *entry)
{
    snprintf(key, 48, "%zu/%.43s", level % 8, entry);
}

struct held *held_new(struct held_table *t, size_t level, const char *entry)
{
    struct held *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->message = ++t->last;
    h->level = level;
    snprintf(h->entry, sizeof h->entry, "%s", entry);
    make_key(h->key, level, entry);
    HASH_ADD(by_message, t->by_message, message, sizeof h->message, h);
    HASH_ADD_KEYPTR(by_key, t->by_key, h->key, strlen(h->key), h);
    DL_APPEND(t->fresh, h);
    return h;
}

struct held *held_find(struct held_table *t, uint64_t message)
{
    struct held *h;
    HASH_FIND(by_message, t->by_message, &message, sizeof message, h);
    return h;
}

struct held *held_of_entry(struct held_table *t, size_t level, const char *entry)
{
    char key[48];
    struct held *h;
    make_key(key, level, entry);
    HASH_FIND(by_key, t->by_key, key, strlen(key), h);
    return h;
}

void held_asked(struct held_table *t, struct held *h)
{
    DL_DELETE(t->fresh, h);
    t->asked_count++;
    h->state = HELD_ASKED;
}

size_t held_waiting(const struct held_table *t)
{
    return t->ready_count + t->asked_count;
}

void held_ready(struct held_table *t, struct held *h)
{
    t->asked_count--;
    h->state = HELD_READY;
    DL_APPEND(t->ready[h->level], h);
    t->ready_count++;
}

static void leave_ready(struct held_table *t, struct held *h)
{
    DL_DELETE(t->ready[h->level], h);
    t->ready_count--;
    h->state = HELD_GIVEN;
}

struct held *held_next(struct held_table *t)
{
    for (size_t i = 0; t->ready_count && i < 8; i++) {
        struct held *h = t->ready[i];
        if (!h)
            continue;
        leave_ready(t, h);
        return h;
    }
    return NULL;
}

void held_free(struct held_table *t, struct held *h)
{
    if (h->state == HELD_FRESH)
        DL_DELETE(t->fresh, h);
    else if (h->state == HELD_ASKED)
        t->asked_count--;
    else if (h->state == HELD_READY)
        leave_ready(t, h);
    HASH_DELETE(by_message, t->by_message, h);
    HASH_DELETE(by_key, t->by_key, h);
    free(h->body);
    free(h->task_id);
    free(h->result);
    free(h->reason);
    free(h);
}

void held_counts(struct held *h, const char *counts, uint32_t deliveries)
{
    unsigned a = 0, f = 0, l = 0, d = 0;
    if (deliveries < 1)
        deliveries = 1;
    if (sscanf(counts, "%u:%u:%u:%u", &a, &f, &l, &d) != 4)
        a = f = l = d = 0; /* nobody got further than a first attempt each */
    uint32_t died =
        deliveries > d ? deliveries - (d ? d : 1) : 0;         /* hosts that died with it */
    uint32_t silent = deliveries > d ? deliveries - 1 - d : 0; /* and left no record */
    h->deliveries = deliveries;
    h->attempts = a + silent;
    h->failures = f;
    h->losses = l + died;
}

bool held_tell_counts(const struct held *h, uint32_t attempt, uint32_t failures,
                      uint32_t losses, char *ret, size_t size)
{
    snprintf(ret, size, "%u:%u:%u:%u", attempt, failures, losses, h->deliveries);
    return attempt > 1 || failures || losses;
}

int entry_compare(const char *a, const char *b)
{
    char *a_end, *b_end;
    unsigned long long a_ms = strtoull(a, &a_end, 10), b_ms = strtoull(b, &b_end, 10);
    if (a_ms == b_ms) {
        a_ms = strtoull(a_end + (*a_end == '-'), NULL, 10);
        b_ms = strtoull(b_end + (*b_end == '-'), NULL, 10);
    }
    return (a_ms > b_ms) - (a_ms < b_ms);
}

bool entry_is_later(const char *a, const char *b)
{
    return strtoull(a, NULL, 10) > strtoull(b, NULL, 10);
}
