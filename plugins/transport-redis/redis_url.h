/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Where the server is, as the option `url` says. */
#ifndef REDIS_URL_H
#define REDIS_URL_H

#include <stdbool.h>
#include <stddef.h>

#define URL_HOSTS 8

struct url_host {
    char name[254];
    int port;
};

struct url {
    enum { URL_TCP, URL_UNIX, URL_SENTINEL } kind;
    bool tls;
    int db;
    char user[128];   /* "" for the default user */
    char path[108];   /* UNIX */
    char master[128]; /* SENTINEL: name of the group of servers */
    struct url_host hosts[URL_HOSTS];
    size_t count;
};

/* 0, or -EINVAL with what is wrong with it in `why`. A password in it is wrong. */
int url_parse(const char *text, struct url *ret, char *why, size_t why_size);

#endif
