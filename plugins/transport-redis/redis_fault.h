/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What an error reply asks us to do. */
#ifndef REDIS_FAULT_H
#define REDIS_FAULT_H

enum fault {
    FAULT_AGAIN, /* the server cannot now: out of memory, busy, no disk; or says what we do not know */
    FAULT_RECONNECT, /* this is not, or no longer, the server to talk to: look for it anew */
    FAULT_MOVED,     /* the cluster says where it is */
    FAULT_ASK,       /* the same, for the time of a migration */
    FAULT_GROUP,     /* stream or group is gone: make them */
    FAULT_SCRIPT,    /* our scripts are gone: load them */
    FAULT_REFUSED, /* the operator must act: permission, password, a key of the wrong type */
};

enum fault fault_of(const char *error);
/* Of "MOVED 1234 host:port": host may come out empty, which means the one that answered. 0 or -EINVAL. */
int fault_address(const char *error, char *ret_host, unsigned size, int *ret_port);

#endif
