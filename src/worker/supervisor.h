/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The process that watches over an attempt, from its start to the host's confirmation. After that the
 * host may give it another one in the same slot, which saves the fork and the exit; so it
 * has to be as if it were new by then.
 */
#ifndef WORKER_SUPERVISOR_H
#define WORKER_SUPERVISOR_H

#include "worker/attempt.h"

/* How a supervisor ends. Anything else, a plugin's exit() included, is an accident. */
enum supervisor_exit {
    SUPERVISOR_CONFIRMED = 111, /* all results confirmed, nothing left */
    SUPERVISOR_SPILLED =
        112, /* result in the attempt's directory: nobody was there to take it */
    SUPERVISOR_UNCLEAN = 113, /* result confirmed, but something is left to sweep */
    SUPERVISOR_FAILED = 114   /* could not work at all */
};

/*
 * Shared with the worker, which reads it when the supervisor has died: what it was at. One
 * for each supervisor.
 */
struct seat {
    int slot;
    char group[80]; /* of its attempts, one after the other */
    pid_t worker;
    volatile int number; /* the attempt's; 0: none, nothing is left of the last one */
    char id[129];
};
void seat_take(struct seat *seat, struct attempt *at); /* and gives it what is the seat's */
void seat_leave(struct seat *seat);

/* In the forked child, with the parent's loop and connections given up. Never returns. */
_Noreturn void supervisor_main(struct runtime *rt, struct attempt *at, struct seat *seat);

#endif
