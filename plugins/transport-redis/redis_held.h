/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The tasks that this host has from Redis, and how far it is with each. */
#ifndef REDIS_HELD_H
#define REDIS_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uthash.h>

#include "redis_bytes.h"

enum held_state {
    HELD_FRESH, /* just read */
    HELD_ASKED, /* the server is asked whether its result is out already */
    HELD_READY, /* not yet handed to the host */
    HELD_GIVEN, /* the host has it */
    HELD_ENDED, /* its result is to be sent */
    HELD_SENT,  /* its result is under way */
    HELD_OVER   /* published or set aside; the host settles it */
};

struct held {
    uint64_t message;
    size_t level;
    char entry[44]; /* id in its stream */
    char key[48];   /* "level/entry" */
    enum held_state state;
    bool again; /* requeued: field `again` */
    bool naked; /* no field t */
    bool told;  /* the host knows that it is cancelled */
    bool json;  /* the task; so will be its result */
    char digest[DIGEST];
    char name[129];                                  /* for a task that names no id */
    uint32_t deliveries, attempts, failures, losses; /* attempts...: before us */
    char *body;
    size_t len;
    char *task_id; /* once the host has told */
    /* the result */
    uint64_t ticket;
    uint32_t attempt, verdict;
    int refusal; /* positive errno */
    char *result, *reason;
    size_t result_len;

    struct held *prev, *next; /* among the fresh, the ready of its level, or those that ended */
    UT_hash_handle by_message, by_key;
};

struct held_table {
    struct held *by_message, *by_key;
    struct held *fresh;    /* utlist */
    struct held *ready[8]; /* by level; utlist */
    size_t ready_count, asked_count;
    uint64_t last; /* message */
};

/* HELD_FRESH, in the table and the list of those. NULL: out of memory. */
struct held *held_new(struct held_table *t, size_t level, const char *entry);
struct held *held_find(struct held_table *t, uint64_t message);
struct held *held_of_entry(struct held_table *t, size_t level, const char *entry);
void held_asked(struct held_table *t, struct held *h); /* was fresh */
void held_ready(struct held_table *t, struct held *h); /* was asked: into its list */
/* Those that the host does not have yet. */
size_t held_waiting(const struct held_table *t);
struct held *held_next(struct held_table *t); /* out of the first list; HELD_GIVEN */
void held_free(struct held_table *t, struct held *h); /* out of all but the list of ended */
/* "attempts:failures:losses:deliveries" as some host left it, or ""; with the deliveries of now. */
void held_counts(struct held *h, const char *counts, uint32_t deliveries);
/* The same for the next host; false if the deliveries alone tell as much. */
bool held_tell_counts(const struct held *h, uint32_t attempt, uint32_t failures,
                      uint32_t losses, char *ret, size_t size);
/* < 0, 0 or > 0: ids of entries of one stream. */
int entry_compare(const char *a, const char *b);
/* Ids of entries of different streams, "ms-n": within a millisecond nothing tells which was first. */
bool entry_is_later(const char *a, const char *b);

#endif
