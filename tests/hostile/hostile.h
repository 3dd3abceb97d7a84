/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The parts of a program that is up to no good: see main.c. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define countof(a) (sizeof(a) / sizeof *(a))

typedef int hostile_fn(int argc, char **argv); /* argv[0] is its own name */

/* procs.c: processes that do not want to end */
hostile_fn hostile_bomb, hostile_deaf, hostile_flee, hostile_stop_self, hostile_at_parent,
    hostile_disguise, hostile_linger, hostile_limit_init;

/* fill.c: too much of everything */
hostile_fn hostile_flood, hostile_close_all, hostile_steal_output, hostile_descriptors,
    hostile_memory, hostile_disk, hostile_inodes, hostile_deep, hostile_pipes, hostile_keep;

/* gain.c, reach.c: what must not be possible */
hostile_fn hostile_gain, hostile_reach, hostile_whoami;

/* frozen.c: a file system that never answers (not a payload: the test mounts it) */
hostile_fn hostile_frozen;

/* One attempt at something forbidden, in a process of its own; says how it went. Done is
 * not negative. */
void hostile_try(const char *name, const char *what, long (*act)(const char *what));

#endif
