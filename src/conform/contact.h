/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A plugin that is loaded in a trial, and each call of a callback: what the process was like
 * before and after, and whether the result is one that the headers allow. A callback has
 * two checks however often it is called, made when the first fault is seen or at the end.
 */
#ifndef CONFORM_CONTACT_H
#define CONFORM_CONTACT_H

#include "conform/lender.h"
#include "conform/world.h"

#define CALLEES_MAX 16
#define RULE_LEAVES "berth/plugin.h, \"What a callback leaves as it was\""
#define RULE_ERROR "berth/error.h, \"Functions that can fail\""

struct subject { /* what the command line says */
    const char *path;
    struct config_keys options, executer_options;
    const char *image;
    const char *const *argv; /* of the task; ends with NULL */
    const char *feed;        /* shell command that sends tasks to the transport, or NULL */
    int messages;            /* to wait for */
    int limit_seconds;       /* of one callback */
    char work_dir[64];
};

struct callee {
    const char *name;
    unsigned calls, faults[2];
};

/* What a trial is about: passes that an earlier one has told are not told again. */
enum stage { STAGE_LOAD, STAGE_OPEN, STAGE_WORK };

struct contact {
    struct lender lender; /* first: callbacks of the lender find the contact by it */
    const struct subject *subject;
    enum stage stage;
    struct plugin *plugin;
    struct world *base, *before, *after; /* base: before open */
    struct callee callees[CALLEES_MAX];
    struct callee *current;
    struct berth_error err; /* for the callback */
    int64_t entered_ms;
    pid_t pid;
    bool is_open, is_started;
};

/* Loads it and resolves the options. False: a check has failed, and there is nothing to test. */
bool contact_load(struct contact *c, enum stage stage, const struct subject *s);
/* open and start. False: a check has failed, or there is nothing more to test. */
bool contact_open(struct contact *c);
void contact_close(struct contact *c);
bool contact_has_faults(const struct contact *c);
void contact_end(struct contact *c); /* makes the checks of all callees that had no fault */

void contact_enter(struct contact *c, const char *callback);
/* may_differ: of world.h. max: largest good result. */
int contact_leave(struct contact *c, unsigned may_differ, int max, int rc);
void contact_leave_void(struct contact *c,
                        unsigned may_differ); /* of one without a result */
/* A fault of the callback that is being called, or was called last. */
void contact_fault(struct contact *c, bool of_result, const char *where, const char *format,
                   ...) __attribute__((format(printf, 4, 5)));

/* Calls it: err is &c->err. */
#define CALL(c, callback, may_differ, max, call)  \
    ({                                            \
        contact_enter(c, callback);               \
        int call_ = (call);                       \
        contact_leave(c, may_differ, max, call_); \
    })

/* Four looks at a number that must not grow for ever. */
struct growth {
    long at[4];
    int count;
};
void growth_look(struct growth *g, long value);
bool growth_is_steady(const struct growth *g, long least);
long heap_bytes(void); /* allocated now; 0: not known in this build */

#endif
