/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Verdicts by name, as they stand on the wire. */
#include "redis.h"

static const char *const names[] = {
    [BERTH_VERDICT_NONE] = "",
    [BERTH_VERDICT_SUCCEEDED] = "succeeded",
    [BERTH_VERDICT_FAILED] = "failed",
    [BERTH_VERDICT_TIMEOUT] = "timeout",
    [BERTH_VERDICT_OOM] = "oom",
    [BERTH_VERDICT_CANCELLED] = "cancelled",
    [BERTH_VERDICT_IMAGE_ERROR] = "image_error",
    [BERTH_VERDICT_RUNTIME_ERROR] = "runtime_error",
    [BERTH_VERDICT_PLUGIN_ERROR] = "plugin_error",
    [BERTH_VERDICT_LOST] = "lost",
    [BERTH_VERDICT_PREEMPTED] = "preempted",
    [BERTH_VERDICT_REJECTED] = "rejected",
};
#define COUNT (sizeof names / sizeof names[0])

const char *verdict_name(uint32_t verdict)
{
    return verdict < COUNT && names[verdict] ? names[verdict] : "";
}

int verdict_of(const char *name)
{
    for (size_t i = 1; i < COUNT; i++)
        if (names[i] && !strcmp(names[i], name))
            return (int)i;
    return BERTH_VERDICT_NONE;
}
