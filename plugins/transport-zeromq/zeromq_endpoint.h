/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Where to listen, or whom to connect to. */
#ifndef ZEROMQ_ENDPOINT_H
#define ZEROMQ_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define ENDPOINT_WHY 252

struct endpoint {
    char text[300]; /* for libzmq; after endpoint_listen with the port that it is */
    bool ipc;
    bool exposed;                 /* others than this machine can reach it, or listen in */
    struct sockaddr_storage addr; /* bind */
    socklen_t addr_len;
    struct stat made; /* the Unix socket's file, to remove no other one */
};

/* 0, or -EINVAL with what is wrong with it, and what would be right, in `why`. */
int endpoint_parse(const char *text, bool connect, struct endpoint *ret,
                   char why[ENDPOINT_WHY]);
/* A listening socket, or -errno. mode and group (may be NULL) are of a Unix socket. */
int endpoint_listen(struct endpoint *e, const char *mode, const char *group,
                    char why[ENDPOINT_WHY]);
void endpoint_unlink(const struct endpoint *e);

#endif
