/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The process that watches over one attempt, from its fork to the host's confirmation. */
#ifndef WORKER_SUPERVISOR_H
#define WORKER_SUPERVISOR_H

#include "worker/attempt.h"

/* How a supervisor ends. Anything else, a plugin's exit() included, is an accident. */
enum supervisor_exit {
    SUPERVISOR_CONFIRMED = 111, /* result confirmed, directory removed */
    SUPERVISOR_SPILLED =
        112, /* result in the attempt's directory: nobody was there to take it */
    SUPERVISOR_UNCLEAN = 113, /* result confirmed, but something is left to sweep */
    SUPERVISOR_FAILED = 114   /* could not work at all */
};

/* In the forked child, with the parent's loop and connections given up. Never returns. */
_Noreturn void supervisor_main(struct runtime *rt, struct attempt *at);

#endif
