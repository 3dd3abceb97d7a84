/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * libzmq. Its descriptors are edge-triggered and mean "look"; whoever sends may swallow a wake-up, and has
 * to look afterwards, too. Its threads take no signals: those are the host's.
 */
#include "zeromq_wire.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define SEND_QUEUE 2048 /* messages to one peer; more than its window of results */
#define RECV_QUEUE 256
#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
#define ZAP_FRAMES 7

struct wire {
    void *context, *socket, *zap;
    int fd, zap_fd;
    bool connect;
    zmq_msg_t route, type, body; /* lent by wire_recv */
    bool lent;
};

/* ---- opening ---- */

static int set_int(void *socket, int option, int value)
{
    return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_str(void *socket, int option, const char *value)
{
    return value ? zmq_setsockopt(socket, option, value, strlen(value)) : 0;
}

static int descriptor_of(void *socket)
{
    int fd = -1;
    size_t size = sizeof fd;
    return zmq_getsockopt(socket, ZMQ_FD, &fd, &size) == 0 ? fd : -1;
}

static int set_limits(struct wire *w, const struct wire_config *c)
{
    int64_t max = (int64_t)c->max_bytes;
    int rc = zmq_setsockopt(w->socket, ZMQ_MAXMSGSIZE, &max, sizeof max);
    rc |= set_int(w->socket, ZMQ_SNDHWM, SEND_QUEUE);
    rc |= set_int(w->socket, ZMQ_RCVHWM, RECV_QUEUE);
    rc |= set_int(w->socket, ZMQ_LINGER, 0);
    rc |= set_int(w->socket, ZMQ_IPV6, 1);
    rc |= set_int(w->socket, ZMQ_HANDSHAKE_IVL, 10000);
    /* Not libzmq's heartbeats: they take a peer that reads slowly for dead. */
    rc |= set_int(w->socket, ZMQ_TCP_KEEPALIVE, 1);
    rc |= set_int(w->socket, ZMQ_TCP_KEEPALIVE_IDLE, 60);
    rc |= set_int(w->socket, ZMQ_TCP_KEEPALIVE_INTVL, 15);
    rc |= set_int(w->socket, ZMQ_TCP_KEEPALIVE_CNT, 4);
    return rc;
}

static int set_role(struct wire *w, const struct wire_config *c)
{
    int rc = 0;
    if (c->connect) {
        rc |= set_int(w->socket, ZMQ_IMMEDIATE, 1);
        rc |= set_int(w->socket, ZMQ_RECONNECT_IVL, 100);
        rc |= set_int(w->socket, ZMQ_RECONNECT_IVL_MAX, 2000);
        return rc | set_str(w->socket, ZMQ_ROUTING_ID, c->identity);
    }
    rc |= set_int(w->socket, ZMQ_ROUTER_MANDATORY, 1);
    return rc | set_int(w->socket, ZMQ_USE_FD, *c->take_listen_fd);
}

static int set_curve(struct wire *w, const struct wire_config *c)
{
    if (!c->secret_key)
        return 0;
    int rc = set_str(w->socket, ZMQ_CURVE_PUBLICKEY, c->public_key);
    rc |= set_str(w->socket, ZMQ_CURVE_SECRETKEY, c->secret_key);
    if (c->connect)
        return rc | set_str(w->socket, ZMQ_CURVE_SERVERKEY, c->server_key);
    rc |= set_int(w->socket, ZMQ_CURVE_SERVER, 1);
    rc |= set_str(w->socket, ZMQ_ZAP_DOMAIN, "berth");
    w->zap = zmq_socket(w->context, ZMQ_REP);
    if (!w->zap || set_int(w->zap, ZMQ_LINGER, 0) < 0 || zmq_bind(w->zap, ZAP_ENDPOINT) < 0)
        return -1;
    w->zap_fd = descriptor_of(w->zap);
    return rc;
}

static const char *open_socket(struct wire *w, const struct wire_config *c)
{
    w->context = zmq_ctx_new();
    if (!w->context || zmq_ctx_set(w->context, ZMQ_MAX_SOCKETS, 16) < 0)
        return "cannot start libzmq";
    w->socket = zmq_socket(w->context, c->connect ? ZMQ_DEALER : ZMQ_ROUTER);
    if (!w->socket)
        return "cannot make a socket";
    if (set_limits(w, c) < 0 || set_role(w, c) < 0)
        return "cannot set the socket's options";
    if (set_curve(w, c) < 0)
        return "cannot set the keys";
    w->fd = descriptor_of(w->socket);
    if (c->connect)
        return zmq_connect(w->socket, c->endpoint) < 0 ? "cannot connect" : NULL;
    *c->take_listen_fd = -1;
    return zmq_bind(w->socket, c->endpoint) < 0 ? "cannot bind" : NULL;
}

int wire_open(const struct wire_config *config, struct wire **ret, const char **ret_what)
{
    struct wire *w = calloc(1, sizeof *w);
    sigset_t all, before;
    *ret_what = "out of memory";
    if (!w)
        return -ENOMEM;
    w->fd = w->zap_fd = -1;
    w->connect = config->connect;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    *ret_what = open_socket(w, config);
    int code = zmq_errno();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!*ret_what) {
        *ret = w;
        return 0;
    }
    wire_close(w);
    return code > 0 && code < ZMQ_HAUSNUMERO ? -code : -EIO;
}

static void give_back(struct wire *w)
{
    if (!w->lent)
        return;
    zmq_msg_close(&w->route);
    zmq_msg_close(&w->type);
    zmq_msg_close(&w->body);
    w->lent = false;
}

void wire_close(struct wire *w)
{
    if (!w)
        return;
    give_back(w);
    if (w->socket)
        zmq_close(w->socket);
    if (w->zap)
        zmq_close(w->zap);
    while (w->context && zmq_ctx_term(w->context) < 0 && zmq_errno() == EINTR)
        ;
    free(w);
}

void wire_reconnect(struct wire *w, const char *endpoint)
{
    if (zmq_disconnect(w->socket, endpoint) == 0)
        zmq_connect(w->socket, endpoint);
}

int wire_fd(const struct wire *w)
{
    return w->fd;
}

/* ---- messages ---- */

static int take_frame(void *socket, zmq_msg_t *m)
{
    int rc;
    zmq_msg_init(m);
    while ((rc = zmq_msg_recv(m, socket, ZMQ_DONTWAIT)) < 0 && zmq_errno() == EINTR)
        ;
    if (rc >= 0)
        return 0;
    zmq_msg_close(m);
    return -zmq_errno();
}

/* The rest of a message, whose frames are all here: the first of them is kept, then the second. */
static int take_rest(struct wire *w)
{
    zmq_msg_t *last = &w->route, extra;
    int frames = 0;
    zmq_msg_init(&w->type);
    zmq_msg_init(&w->body);
    if (w->connect)
        frames = 1; /* there is no route: what came first is the type */
    while (zmq_msg_more(last)) {
        last = frames == 0 ? &w->type : frames == 1 ? &w->body : &extra;
        if (take_frame(w->socket, last) < 0)
            break;
        frames++;
        if (last == &extra) {
            bool more = zmq_msg_more(&extra);
            zmq_msg_close(&extra);
            zmq_msg_init(&extra);
            if (!more)
                break;
            last = &w->route; /* which has the mark, too */
        }
    }
    return frames;
}

int wire_recv(struct wire *w, struct wire_in *ret)
{
    *ret = (struct wire_in){.route = "", .type = "", .body = "", .user = ""};
    give_back(w);
    int rc = take_frame(w->socket, &w->route);
    if (rc < 0)
        return rc == -EAGAIN ? 0 : rc;
    w->lent = true;
    ret->frames = take_rest(w);
    zmq_msg_t *type = w->connect ? &w->route : &w->type;
    if (!w->connect) {
        ret->route = zmq_msg_data(&w->route);
        ret->route_len = zmq_msg_size(&w->route);
    }
    if (ret->frames != 2)
        return 1;
    ret->type = zmq_msg_data(type);
    ret->type_len = zmq_msg_size(type);
    ret->body = zmq_msg_data(&w->body);
    ret->body_len = zmq_msg_size(&w->body);
    const char *user = w->zap ? zmq_msg_gets(&w->body, "User-Id") : NULL;
    ret->user = user ? user : "";
    return 1;
}

static int send_frame(struct wire *w, const void *data, size_t len, int flags)
{
    int rc;
    while ((rc = zmq_send(w->socket, data, len, flags | ZMQ_DONTWAIT)) < 0 &&
           zmq_errno() == EINTR)
        ;
    return rc < 0 ? -zmq_errno() : 0;
}

int wire_send(struct wire *w, const void *route, size_t route_len, const char *type,
              const void *body, size_t len)
{
    int rc = w->connect ? 0 : send_frame(w, route, route_len, ZMQ_SNDMORE);
    if (rc == 0)
        rc = send_frame(w, type, strlen(type), ZMQ_SNDMORE);
    return rc == 0 ? send_frame(w, body, len, 0) : rc;
}

/* ---- CURVE, https://rfc.zeromq.org/spec/27/ ---- */

bool wire_has_curve(void)
{
    return zmq_has("curve") != 0;
}

int wire_public_key(const char *secret, char ret[WIRE_KEY])
{
    return zmq_curve_public(ret, secret) == 0 ? 0 : -EINVAL;
}

int wire_zap_fd(const struct wire *w)
{
    return w->zap_fd;
}

static void zap_frame(struct wire *w, const char *text, size_t len, bool last)
{
    zmq_send(w->zap, text, len, ZMQ_DONTWAIT | (last ? 0 : ZMQ_SNDMORE));
}

static void zap_answer(struct wire *w, zmq_msg_t *request, const char *key)
{
    zap_frame(w, "1.0", 3, false);
    zap_frame(w, zmq_msg_data(request), zmq_msg_size(request), false);
    zap_frame(w, key ? "200" : "400", 3, false);
    zap_frame(w, key ? "OK" : "not in the list", key ? 2 : 15, false);
    zap_frame(w, key ? key : "", key ? strlen(key) : 0, false);
    zap_frame(w, "", 0, true);
}

/* version, request, domain, address, identity, mechanism, credentials */
static int zap_take(struct wire *w, zmq_msg_t frames[ZAP_FRAMES])
{
    int n = 0;
    while (n < ZAP_FRAMES && take_frame(w->zap, &frames[n]) == 0)
        if (!zmq_msg_more(&frames[n++]))
            break;
    return n;
}

void wire_zap_serve(struct wire *w, wire_allow_fn *allow, void *arg)
{
    zmq_msg_t frames[ZAP_FRAMES];
    char key[WIRE_KEY];
    int n;
    while ((n = zap_take(w, frames)) > 0) {
        bool good = n == ZAP_FRAMES && zmq_msg_size(&frames[6]) == 32 &&
                    zmq_z85_encode(key, zmq_msg_data(&frames[6]), 32) && allow(arg, key);
        if (n > 1)
            zap_answer(w, &frames[1], good ? key : NULL);
        while (n > 0)
            zmq_msg_close(&frames[--n]);
    }
}
