/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Verdicts by name, as they stand on the wire. */
#include "redis.h"

static const char *const names[] = BERTH_VERDICT_NAMES;
#define COUNT (sizeof names / sizeof names[0])

const char *verdict_name(uint32_t verdict)
{
    return verdict < COUNT ? names[verdict] : "";
}

int verdict_of(const char *name)
{
    for (size_t i = 1; i < COUNT; i++)
        if (!strcmp(names[i], name))
            return (int)i;
    return BERTH_VERDICT_NONE;
}
