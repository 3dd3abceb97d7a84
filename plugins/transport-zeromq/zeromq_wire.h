/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The socket, and who may connect to it. Nothing else names libzmq. */
#ifndef ZEROMQ_WIRE_H
#define ZEROMQ_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_KEY 41    /* a key in Z85, with its NUL */
#define WIRE_ROUTE 256 /* of a connection */

struct wire;

struct wire_config {
    bool connect;         /* DEALER; else ROUTER */
    const char *endpoint; /* for libzmq */
    int *take_listen_fd;  /* bind: the listening socket; -1 when it was taken */
    const char *identity; /* connect: what the broker sees; NULL none */
    size_t max_bytes;     /* of a frame; who sends a larger one is disconnected */
    /* CURVE; NULL none */
    const char *public_key, *secret_key, *server_key; /* server_key: connect only */
};

struct wire_in {       /* valid until the next call of wire_recv */
    const void *route; /* bind: of its connection */
    size_t route_len;
    const char *type;
    size_t type_len;
    const void *body;
    size_t body_len;
    int frames;       /* after the route; only with 2 are type and body set */
    const char *user; /* CURVE, bind: the client's public key; else "" */
};

/* Whether a client with this key may connect. */
typedef bool wire_allow_fn(void *arg, const char *key);

/* Starts libzmq's threads. 0 or -errno, *ret_what says what failed. */
int wire_open(const struct wire_config *config, struct wire **ret, const char **ret_what);
void wire_close(struct wire *w); /* NULL: nothing. Does not wait for peers. */
/* connect: a new connection in place of one that may be dead. */
void wire_reconnect(struct wire *w, const char *endpoint);
int wire_fd(const struct wire *w); /* readable: look, at both */
/* bind with CURVE: answers those who ask to connect. zap_fd: -1 none. */
int wire_zap_fd(const struct wire *w);
void wire_zap_serve(struct wire *w, wire_allow_fn *allow, void *arg);
/* 1 got one, 0 none, -errno. */
int wire_recv(struct wire *w, struct wire_in *ret);
/* Never waits. 0, -EAGAIN: no room for it, -EHOSTUNREACH: nobody is there. */
int wire_send(struct wire *w, const void *route, size_t route_len, const char *type,
              const void *body, size_t len);
bool wire_has_curve(void);
int wire_public_key(const char *secret, char ret[WIRE_KEY]); /* 0 or -EINVAL */

#endif
