/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A trial: a few checks in a process of their own, since the plugin under test may crash,
 * hang, or close everything. What was found goes through shared memory to the parent, which
 * prints it, and adds a failed check if the process did not reach its end.
 */
#ifndef CONFORM_TRIAL_H
#define CONFORM_TRIAL_H

#include <stdbool.h>

typedef void trial_fn(void *arg);

/* In the parent. Runs fn; limit: seconds that one callback may take. feed: shell command to
 * be run over and over from trial_feed on, or NULL. True if every check of it passed. */
bool trial_run(const char *subject, int limit_seconds, const char *feed, trial_fn *fn,
               void *arg);
void trial_skip(const char *what, const char *why);
int trials_end(void); /* prints the plan; the exit status */

/* In the trial. where: header and section, or man page, that has the rule. */
bool expect(bool good, const char *where, const char *rule, ...)
    __attribute__((format(printf, 3, 4)));
/* What was seen; of the last check, if that failed. */
void seen(const char *format, ...) __attribute__((format(printf, 1, 2)));
void expect_skip(const char *why, const char *rule, ...)
    __attribute__((format(printf, 2, 3)));
/* A remark that stands by itself. */
void remark(const char *format, ...) __attribute__((format(printf, 1, 2)));

void trial_feed(void);     /* the source may be fed from now on */
int trial_feeds(void);     /* how often the feeding command has ended */
void trial_tell(int fact); /* one number for the parent, see trial_told */
int trial_told(void);      /* of the last trial; 0 if it told nothing */

#endif
