/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* SHA-1 (FIPS 180-4), the name that Redis has for a script. Not for anything that needs secrecy. */
#ifndef REDIS_SHA1_H
#define REDIS_SHA1_H

#include <stddef.h>

void sha1_hex(const void *data, size_t len, char ret[41]);

#endif
