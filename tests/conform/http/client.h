/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A client of raw sockets, in one thread with the fake host: whoever waits turns the loop. */
#ifndef FAKE_CLIENT_H
#define FAKE_CLIENT_H

#include "fake_host.h"

struct client {
    struct fake *f;
    int fd;
    char *in; /* received and not yet used */
    size_t len;
    bool closed; /* by the other side */
};

struct answer {
    int status; /* 0: none came */
    char head[4096];
    char *body; /* NUL-terminated */
    size_t len;
};

struct client client_open(struct fake *f);
void client_close(struct client *c);
void client_send(struct client *c, const void *data, size_t len);
void client_text(struct client *c, const char *text);
/* Turns until at least `len` bytes are there, or `text` is (len 0). */
bool client_wait(struct client *c, size_t len, const char *text);
bool client_wait_closed(struct client *c);
/* Reads one answer; head_only: of HEAD. Freed by the next call with the same variable. */
void client_read(struct client *c, struct answer *a, bool head_only);
/* A whole exchange on a connection of its own. headers: lines with CRLF, or "". */
void client_ask(struct fake *f, struct answer *a, const char *method, const char *target,
                const char *headers, const char *body);
/* Value of a field of the answer's head; "" if it is not there. Valid until the next call. */
const char *answer_field(const struct answer *a, const char *name);

#endif
