/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Mount steps that the files of the sandbox share; async-signal-safe, 0 or -errno. */
#ifndef WORKER_SANDBOX_INT_H
#define WORKER_SANDBOX_INT_H

#include "worker/spawn_int.h"

int sandbox_or_errno(long r);
/* A detached copy of the mounts at path, without set-user-id: descriptor. */
int sandbox_hold(const struct spawn_plan *plan, const char *path);
int sandbox_put(int tree, const char *path); /* attaches and closes it */
int sandbox_tmpfs(const char *path, const char *options);
void sandbox_make_point(const char *path, bool dir);
void sandbox_devices(const struct spawn_plan *plan);

/* What init gives to the one who keeps its sandbox. */
struct kept_spaces {
    int mnt, pid, uts;
};
/* Of WHERE in WHERE/NAME/work. */
size_t sandbox_where_len(const char *work);
void sandbox_enter(const struct spawn_plan *plan); /* the sandbox's namespaces, mounts copied */

#endif
