/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The name that ps(1) and top(1) show for a role of berthd. */
#ifndef BASE_TITLE_H
#define BASE_TITLE_H

/* Call first in main: remembers the memory of the arguments and moves the environment
 * out of the way. */
void title_init(int argc, char **argv);
/* Sets the title of this process, and as much of it as fits as the name of its thread.
 * Works, for the thread's name only, without title_init. */
void title_set(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
