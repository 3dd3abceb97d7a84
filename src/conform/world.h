/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* All of a process that a callback has to leave as it was. */
#ifndef CONFORM_WORLD_H
#define CONFORM_WORLD_H

#include <stdbool.h>
#include <stddef.h>

/* What may differ. */
#define WORLD_NEW_FDS 0x1u /* more descriptors than before */
#define WORLD_THREADS 0x2u /* the number of threads */
#define WORLD_OUTPUT 0x4u  /* what stands on stdout and stderr */

struct world;
struct world *world_new(void); /* NULL if out of memory */
void world_take(struct world *w);
/* Calls tell with one line per difference. base: a look before the plugin had any descriptor; what it opened since
 * is its own to change and close. */
void world_compare(const struct world *base, const struct world *before,
                   const struct world *after, unsigned may_differ,
                   void (*tell)(void *arg, const char *difference), void *arg);
size_t world_fd_count(const struct world *w);
size_t world_thread_count(const struct world *w);

#endif
