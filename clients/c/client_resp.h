/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A connection to Redis that is waited for. URLs, replies and TLS are read by what the redis transport
 * reads them by.
 */
#ifndef CLIENT_RESP_H
#define CLIENT_RESP_H

#include <stdint.h>

#include "redis_bytes.h"
#include "redis_resp.h"
#include "redis_tls.h"
#include "redis_url.h"

#include <berth/error.h>

struct resp_place {
    struct url url;
    char *password; /* NULL: none */
    struct tls_config *tls;
};

struct resp_conn {
    int fd; /* -1: closed */
    struct tls *tls;
    struct resp_reader *reader;
    struct bytes out, plain;
};

int resp_place_init(struct resp_place *p, const char *url, const char *password,
                    const char *ca_file, struct berth_error *err);
void resp_place_fini(struct resp_place *p);
/* Connects if need be, sends, and waits for the reply, which is never an error. Frees the command's memory.
 * On failure the connection is closed, unless the server said what is wrong. */
int resp_call(struct resp_conn *c, const struct resp_place *p, struct cmd *take_cmd,
              struct resp **ret, struct berth_error *err);
/* The next message of a subscription: 1, 0 if there is none in that time, -errno. */
int resp_read(struct resp_conn *c, int64_t ms, struct resp **ret, struct berth_error *err);
void resp_close(struct resp_conn *c);

#endif
