/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Files of CURVE keys. berth-zeromq(7) has their format. */
#ifndef ZEROMQ_KEYS_H
#define ZEROMQ_KEYS_H

#include <stdbool.h>
#include <stddef.h>

#define KEYS_KEY 41 /* Z85, with its NUL */
#define KEYS_TENANT 65
#define KEYS_WHY 252

bool key_is_valid(const char *key);

/* The secret key of a file that only its owner may read. 0 or -errno. */
int keys_read_secret(const char *path, char ret[KEYS_KEY], char why[KEYS_WHY]);

struct keys; /* the clients that may connect */
int keys_open(const char *path, struct keys **ret, char why[KEYS_WHY]);
void keys_close(struct keys *k);
/* 1: the file has changed and was read; 0: it has not; -errno: what was read before stays. */
int keys_refresh(struct keys *k, char why[KEYS_WHY]);
/* The tenant of a key, "" if it has none; NULL: the key is not in the list. */
const char *keys_tenant(const struct keys *k, const char *key);

#endif
