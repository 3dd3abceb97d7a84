/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Error replies: their first word is the code. */
#include "redis_fault.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *word;
    enum fault fault;
} faults[] = {
    {"MOVED", FAULT_MOVED},           {"ASK", FAULT_ASK},
    {"NOGROUP", FAULT_GROUP},         {"UNBLOCKED", FAULT_GROUP},
    {"NOSCRIPT", FAULT_SCRIPT},       {"READONLY", FAULT_RECONNECT},
    {"LOADING", FAULT_RECONNECT},     {"MASTERDOWN", FAULT_RECONNECT},
    {"CLUSTERDOWN", FAULT_RECONNECT}, {"REDIRECT", FAULT_RECONNECT},
    {"NOAUTH", FAULT_RECONNECT},      {"NOPERM", FAULT_REFUSED},
    {"WRONGPASS", FAULT_REFUSED},     {"WRONGTYPE", FAULT_REFUSED},
};

enum fault fault_of(const char *error)
{
    size_t len = strcspn(error, " ");
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        if (strlen(faults[i].word) == len && !strncmp(error, faults[i].word, len))
            return faults[i].fault;
    /* A script of Redis 6 wraps the error of its command. */
    if (strstr(error, "-NOGROUP") || strstr(error, "NOGROUP No such"))
        return FAULT_GROUP;
    if (strstr(error, "-READONLY") || strstr(error, "can't write against a read only"))
        return FAULT_RECONNECT;
    return FAULT_AGAIN;
}

int fault_address(const char *error, char *ret_host, unsigned size, int *ret_port)
{
    const char *slot = strchr(error, ' ');
    const char *at = slot ? strchr(slot + 1, ' ') : NULL;
    const char *colon = at ? strrchr(at, ':') : NULL;
    if (!colon)
        return -EINVAL;
    size_t len = (size_t)(colon - at - 1);
    long port = strtol(colon + 1, NULL, 10);
    if (len >= size || port < 1 || port > 65535)
        return -EINVAL;
    memcpy(ret_host, at + 1, len);
    ret_host[len] = '\0';
    *ret_port = (int)port;
    return 0;
}
