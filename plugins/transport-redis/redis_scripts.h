/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the server must do in one step, in Lua. All keys of a call share one slot. */
#ifndef REDIS_SCRIPTS_H
#define REDIS_SCRIPTS_H

#include "redis_link.h"

enum script {
    SCRIPT_PUBLISH,
    SCRIPT_COUNTS,
    SCRIPT_RENEW,
    SCRIPT_FETCH,
    SCRIPT_SWEEP,
    SCRIPT_HAND_BACK,
    SCRIPT_TAKE,
    SCRIPT_KNOWN,
    SCRIPT_TIDY,
    SCRIPT_LETTERS,
    SCRIPT_MOVE_LETTERS,
    SCRIPT_COUNT
};

/* Begins "EVALSHA sha keys": keys and arguments follow. */
void script_begin(struct cmd *c, enum script which, int keys);
void script_load(struct cmd *c, enum script which); /* SCRIPT LOAD text */

#endif
