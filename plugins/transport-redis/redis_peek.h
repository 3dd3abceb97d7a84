/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The id that a task names, without reading the rest of it: to read a task is for the host. */
#ifndef REDIS_PEEK_H
#define REDIS_PEEK_H

#include <stdbool.h>
#include <stddef.h>

#define PEEK_ID 129 /* with its NUL */

/* 1 to 128 of [A-Za-z0-9._:-] */
bool peek_is_id(const char *s, size_t len);
/* Of a msgpack map or a JSON object. False: it names none, or cannot be understood. */
bool peek_id(const void *task, size_t len, char ret[PEEK_ID]);

#endif
