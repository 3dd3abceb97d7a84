/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The command that a plugin of the simple form builds. */
#ifndef WORKER_COMMAND_H
#define WORKER_COMMAND_H

#include "base/buf.h"
#include <berth/runtime.h>

struct command {
    struct berth_command cmd; /* what the plugin sees */
    struct arena *arena;
    const char **argv, **env; /* NULL-terminated; NULL while empty */
    size_t argc, envc;
    bool failed; /* memory ran out */
};

struct command *command_new(const char *work_dir); /* NULL if out of memory */
void command_free(struct command *c);
void command_arg(struct command *c, const char *format, va_list ap);
void command_env(struct command *c, const char *name,
                 const char *value); /* the last wins */
/* After the plugin returned: copies what it put into cmd by pointer, so that it may go.
 * 0 or -ENOMEM. */
int command_seal(struct command *c);

#endif
