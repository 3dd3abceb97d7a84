/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Peers, and what they are owed. A peer is known by its key and its name, and found by its connection; a
 * connection that takes the name of another takes over what that one is owed.
 */
#include "zeromq.h"

#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

/* ---- peers ---- */

struct peer *peer_of_route(struct zeromq *z, const void *route, size_t len,
                           const char *user)
{
    struct peer *p = z->broker;
    if (!z->connect)
        HASH_FIND(by_route, z->peers_by_route, route, len, p);
    return p && p->ready && !strcmp(p->user, user) ? p : NULL;
}

static void make_key(char *ret, size_t size, const char *user, const char *name)
{
    snprintf(ret, size, "%s %s", user, name);
}

struct peer *peer_named(struct zeromq *z, const char *user, const char *name)
{
    struct peer *p = NULL;
    char key[sizeof p->key];
    make_key(key, sizeof key, user, name);
    if (name[0])
        HASH_FIND(by_key, z->peers_by_key, key, strlen(key), p);
    return p;
}

struct peer *peer_new(struct zeromq *z, const char *user, const char *name)
{
    struct peer *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    snprintf(p->user, sizeof p->user, "%s", user);
    snprintf(p->name, sizeof p->name, "%s", name);
    make_key(p->key, sizeof p->key, user, name);
    if (name[0])
        HASH_ADD_KEYPTR(by_key, z->peers_by_key, p->key, strlen(p->key), p);
    DL_APPEND(z->peers, p);
    z->peer_count++;
    return p;
}

bool peer_make_room(struct zeromq *z)
{
    struct peer *p, *longest = NULL;
    DL_FOREACH (z->peers, p)
        if (p->gone && (!longest || p->gone_ms < longest->gone_ms))
            longest = p;
    if (longest)
        peer_drop(z, longest);
    return longest != NULL;
}

static void leave_route(struct zeromq *z, struct peer *p)
{
    if (p->route_len)
        HASH_DELETE(by_route, z->peers_by_route, p);
    p->route_len = 0;
}

void peer_set_route(struct zeromq *z, struct peer *p, const void *route, size_t len)
{
    struct peer *other = NULL;
    if (len > sizeof p->route)
        return;
    if (len)
        HASH_FIND(by_route, z->peers_by_route, route, len, other);
    if (other == p)
        return;
    if (other) /* it has another name now */
        peer_unreachable(z, other);
    leave_route(z, p);
    memcpy(p->route, route, len);
    p->route_len = len;
    if (len)
        HASH_ADD(by_route, z->peers_by_route, route, len, p);
}

void peer_heard(struct zeromq *z, struct peer *p)
{
    p->heard_ms = zeromq_now(z);
    if (!p->gone)
        return;
    p->gone = false;
    peer_send_again(p);
    answer_soon(z);
}

/* Tasks of which nobody would know but the host, if its caller does not come back, must survive from now on. */
static void keep_tasks(struct zeromq *z, struct peer *p)
{
    struct owed *o, *next;
    HASH_ITER (by_id, p->owed, o, next)
        if (o->message && o->state == OWED_GIVEN)
            z->ctx->host->persist(z->ctx, o->message);
}

void peer_lost(struct zeromq *z, struct peer *p)
{
    if (p->gone)
        return;
    p->gone = true;
    p->gone_ms = zeromq_now(z);
    p->answered_bytes = 0;
    p->proof = 0;
    if (!p->durable)
        keep_tasks(z, p);
}

void peer_unreachable(struct zeromq *z, struct peer *p)
{
    leave_route(z, p);
    peer_lost(z, p);
}

void peer_drop(struct zeromq *z, struct peer *p)
{
    struct owed *o, *next;
    HASH_ITER (by_id, p->owed, o, next) {
        if (o->message)
            z->ctx->host->forget(z->ctx, o->message);
        owed_free(z, o);
    }
    leave_route(z, p);
    if (p->name[0])
        HASH_DELETE(by_key, z->peers_by_key, p);
    DL_DELETE(z->peers, p);
    z->peer_count--;
    if (z->broker == p)
        z->broker = NULL;
    free(p);
}

unsigned peer_open(const struct peer *p)
{
    return HASH_CNT(by_id, p->owed);
}

/* ---- what they are owed ---- */

struct owed *owed_find(struct peer *p, const char *id)
{
    struct owed *o;
    HASH_FIND(by_id, p->owed, id, strlen(id), o);
    return o;
}

struct owed *owed_of_message(struct zeromq *z, uint64_t message)
{
    struct owed *o;
    HASH_FIND(by_message, z->owed, &message, sizeof message, o);
    return o;
}

struct owed *owed_new(struct zeromq *z, struct peer *p, const char *id, uint64_t digest)
{
    struct owed *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->peer = p;
    o->digest = digest;
    o->message = ++z->last_message;
    snprintf(o->id, sizeof o->id, "%s", id);
    HASH_ADD_KEYPTR(by_id, p->owed, o->id, strlen(o->id), o);
    HASH_ADD(by_message, z->owed, message, sizeof o->message, o);
    z->open++;
    return o;
}

void owed_settled(struct zeromq *z, struct owed *o)
{
    if (o->message)
        HASH_DELETE(by_message, z->owed, o);
    o->message = 0;
}

static void leave_list(struct owed *o)
{
    struct peer *p = o->peer;
    if (o->state == OWED_UNSENT)
        DL_DELETE(p->unsent, o);
    if (o->state != OWED_SENT)
        return;
    DL_DELETE(p->sent, o);
    p->in_flight--;
    p->in_flight_bytes -= o->bytes;
}

void owed_to_send(struct owed *o)
{
    leave_list(o);
    o->state = OWED_UNSENT;
    DL_APPEND(o->peer->unsent, o);
}

void owed_was_sent(struct zeromq *z, struct owed *o, size_t bytes)
{
    leave_list(o);
    o->state = OWED_SENT;
    o->bytes = bytes;
    o->sent_ms = zeromq_now(z);
    o->peer->in_flight++;
    o->peer->in_flight_bytes += bytes;
    DL_APPEND(o->peer->sent, o);
}

void peer_send_again(struct peer *p)
{
    while (p->sent)
        owed_to_send(p->sent);
}

void owed_free(struct zeromq *z, struct owed *o)
{
    leave_list(o);
    owed_settled(z, o);
    HASH_DELETE(by_id, o->peer->owed, o);
    z->open--;
    free(o);
}
