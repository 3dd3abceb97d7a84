/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The bodies of messages that peers send; berth-zeromq(7) describes them. */
#ifndef ZEROMQ_BODY_H
#define ZEROMQ_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZEROMQ_VERSION 1
#define ZEROMQ_WINDOW 100
#define ZEROMQ_WINDOW_MAX 1000
#define BODY_ID 129
#define BODY_NAME 65
#define BODY_WHY 252

enum body_type {
    BODY_READY,
    BODY_SUBMIT,
    BODY_ACCEPTED,
    BODY_EVENT,
    BODY_RESULT,
    BODY_CANCEL,
    BODY_STATUS,
    BODY_PING,
    BODY_PONG,
    BODY_ERROR,
    BODY_UNKNOWN
};

enum body_type body_type_of(const char *name, size_t len);
const char *body_type_name(enum body_type type); /* "" for UNKNOWN */

struct body {
    int64_t v;              /* READY */
    char client[BODY_NAME]; /* READY; "" none */
    int64_t window;         /* READY */
    bool events, durable;   /* READY */
    char id[BODY_ID];       /* SUBMIT, CANCEL, STATUS; "" none */
    const void *ids;        /* RESULT: what body_next_id reads */
    size_t ids_len;
    uint32_t id_count;
    int64_t n;              /* PING, PONG; -1 none */
    char code[BODY_NAME];   /* ERROR */
    char message[BODY_WHY]; /* ERROR */
};

/*
 * Reads a body of a type that a peer may send. 0; or -EPROTO, -EINVAL with what is wrong and what would be
 * right in `why`. Of SUBMIT only the id is read: the host judges tasks.
 */
int body_read(enum body_type type, const void *data, size_t len, struct body *ret,
              char why[BODY_WHY]);
/* The next id of a RESULT that was read; false: that was all. */
bool body_next_id(struct body *b, char id[BODY_ID]);

#endif
