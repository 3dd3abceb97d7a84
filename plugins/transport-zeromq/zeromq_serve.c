/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What peers say. */
#include "zeromq.h"

#include <errno.h>
#include <stdio.h>

#define BATCH 64 /* messages that are none for the host, in one call */

struct said {
    struct zeromq *z;
    const struct wire_in *in;
    struct peer *peer; /* NULL: it has not said READY */
    enum body_type type;
    struct body body;
};

static void complain(struct said *s, const char *code, bool again, const char *text)
{
    struct complaint c = {.code = code, .again = again, .of = s->type, .id = s->body.id};
    answer_error(s->z, s->in->route, s->in->route_len, &c, text);
}

/* ---- READY ---- */

static bool may_be(struct said *s, const char **ret_tenant)
{
    *ret_tenant = "";
    if (!s->z->keys)
        return true;
    *ret_tenant = keys_tenant(s->z->keys, s->in->user);
    return *ret_tenant != NULL;
}

static void replaced(struct zeromq *z, struct peer *p)
{
    struct complaint c = {.code = "replaced", .of = BODY_READY};
    answer_error_to(
        z, p, &c,
        "another connection has said READY with this name: names are to be unique");
}

static struct peer *new_peer(struct said *s, const char *name)
{
    struct zeromq *z = s->z;
    struct peer *p = NULL;
    if (z->peer_count < z->max_clients || peer_make_room(z))
        p = peer_new(z, s->in->user, name);
    if (!p)
        complain(s, "busy", true,
                 "as many clients as max_clients allows are here: try again later");
    return p;
}

static bool is_elsewhere(const struct peer *p, const struct wire_in *in)
{
    return p->route_len && !p->gone &&
           (p->route_len != in->route_len ||
            memcmp(p->route, in->route, p->route_len) != 0);
}

static void said_ready(struct said *s, const char *tenant)
{
    struct zeromq *z = s->z;
    const char *name = z->connect ? "broker" : s->body.client;
    struct peer *p = s->peer && !strcmp(s->peer->name, name)
                         ? s->peer
                         : peer_named(z, s->in->user, name);
    bool known = p != NULL;
    if (!p && !(p = new_peer(s, name)))
        return;
    if (is_elsewhere(p, s->in))
        replaced(z, p);
    peer_set_route(z, p, s->in->route, s->in->route_len);
    p->ready = true;
    p->events = s->body.events;
    p->durable = s->body.durable;
    p->window = (unsigned)s->body.window;
    snprintf(p->tenant, sizeof p->tenant, "%s", tenant);
    if (z->connect)
        z->broker = p;
    peer_heard(z, p);
    peer_send_again(p);
    if (!z->connect)
        answer_ready(z, p, known);
    answer_soon(z);
}

/* ---- SUBMIT ---- */

static uint64_t digest_of(const struct wire_in *in)
{
    uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */
    const unsigned char *p = in->body;
    for (size_t i = 0; i < in->body_len; i++)
        hash = (hash ^ p[i]) * 0x100000001b3;
    return hash;
}

/* It was sent before: what was said then is said again. */
static void resent(struct said *s, struct owed *o)
{
    if (o->digest != digest_of(s->in)) {
        complain(s, "conflict", false,
                 "the id was used for a different task: take another for each task");
    } else if (o->state == OWED_ACCEPTED) {
        answer_accepted(s->z, o);
    } else if (o->state == OWED_SENT) {
        owed_to_send(o);
        answer_soon(s->z);
    }
}

static bool may_submit(struct said *s)
{
    char text[160];
    struct zeromq *z = s->z;
    if (peer_open(s->peer) < z->credit &&
        (z->open < z->open_max || (peer_make_room(z) && z->open < z->open_max)))
        return true;
    if (z->open >= z->open_max)
        snprintf(text, sizeof text,
                 "all clients together have %u tasks open, as many as may be", z->open);
    else
        snprintf(
            text, sizeof text,
            "%u tasks are open, and the credit is %u: read results, and acknowledge them",
            peer_open(s->peer), z->credit);
    complain(s, "credit", true, text);
    return false;
}

static bool said_submit(struct said *s, struct berth_message *msg)
{
    struct owed *o = owed_find(s->peer, s->body.id);
    if (o) {
        resent(s, o);
        return false;
    }
    if (!may_submit(s))
        return false;
    o = owed_new(s->z, s->peer, s->body.id, digest_of(s->in));
    if (!o) {
        complain(s, "busy", true, "out of memory");
        return false;
    }
    msg->flags = s->peer->durable ? 0 : BERTH_MESSAGE_ON_THE_LINE;
    msg->message = o->message;
    msg->data = s->in->body;
    msg->len = s->in->body_len;
    msg->format = msg->reply_format = BERTH_FORMAT_MSGPACK;
    msg->tenant = s->peer->tenant[0] ? s->peer->tenant : NULL;
    return true;
}

/* ---- the others ---- */

static void said_result(struct said *s)
{
    char id[BODY_ID];
    while (body_next_id(&s->body, id)) {
        struct owed *o = owed_find(s->peer, id);
        if (o && !o->message)
            owed_free(s->z, o);
    }
    if (s->peer->unsent)
        answer_soon(s->z);
}

static void said_pong(struct said *s)
{
    if (!s->peer->proof || s->body.n != s->peer->proof)
        return;
    s->peer->proof = 0;
    s->peer->answered_bytes = 0;
}

static void said_error(struct said *s)
{
    struct zeromq *z = s->z;
    z->ctx->host->log(z->ctx, BERTH_LOG_DEBUG, "'%s' complains: %s: %s",
                      s->peer ? s->peer->name : "?", s->body.code, s->body.message);
    if (!z->connect || strcmp(s->body.code, "not_ready") != 0)
        return;
    if (z->broker)
        z->broker->ready = false;
    tick_announce(z);
}

/* True: it is a message for the host. */
static bool dispatch(struct said *s, struct berth_message *msg)
{
    switch (s->type) {
    case BODY_SUBMIT:
        return said_submit(s, msg);
    case BODY_RESULT:
        said_result(s);
        break;
    case BODY_CANCEL:
        answer_cancel(s->z, s->peer, s->body.id);
        break;
    case BODY_STATUS:
        answer_status(s->z, s->peer, s->body.id);
        break;
    case BODY_PING:
        answer_send(s->z, s->peer, BODY_PONG, s->in->body, s->in->body_len);
        break;
    default:
        said_pong(s);
    }
    return false;
}

/* ---- what is no message ---- */

static bool is_frame_pair(struct said *s)
{
    char text[256];
    const struct wire_in *in = s->in;
    if (in->frames != 2) {
        snprintf(text, sizeof text, "a message has two frames, type and body, not %d%s",
                 in->frames, in->frames == 3 ? ": a REQ socket adds one, use DEALER" : "");
        complain(s, "bad_frames", false, text);
        return false;
    }
    s->type = body_type_of(in->type, in->type_len);
    if (s->type != BODY_UNKNOWN && s->type != BODY_ACCEPTED && s->type != BODY_EVENT)
        return true;
    complain(s, "bad_type", false,
             s->type == BODY_UNKNOWN
                 ? "unknown type: READY, SUBMIT, RESULT, CANCEL, STATUS, PING, PONG and "
                   "ERROR are understood"
                 : "only hosts send this type");
    return false;
}

static bool is_small_enough(struct said *s)
{
    char text[160];
    if (s->in->body_len <= s->z->max_message)
        return true;
    snprintf(text, sizeof text,
             "the body has %zu bytes, max_message allows %zu: send large input by file",
             s->in->body_len, s->z->max_message);
    complain(s, "too_large", false, text);
    return false;
}

/* False: it was answered. */
static bool check(struct said *s, const char **ret_tenant)
{
    char why[BODY_WHY];
    if (!is_frame_pair(s) || !is_small_enough(s))
        return false;
    if (!may_be(s, ret_tenant)) {
        complain(s, "forbidden", false, "the client's key is not in the list any more");
        if (s->peer)
            peer_unreachable(s->z, s->peer);
        return false;
    }
    if (body_read(s->type, s->in->body, s->in->body_len, &s->body, why) < 0) {
        complain(s, "bad_body", false, why);
        return false;
    }
    if (s->peer || s->type == BODY_READY || s->type == BODY_ERROR)
        return true;
    complain(s, "not_ready", true,
             "say READY first: the host does not know this connection");
    return false;
}

/* True: msg is a task for the host. */
static bool serve(struct zeromq *z, const struct wire_in *in, struct berth_message *msg)
{
    struct said s = {.z = z, .in = in, .type = BODY_UNKNOWN};
    const char *tenant;
    s.peer = peer_of_route(z, in->route, in->route_len, in->user);
    if (s.peer)
        peer_heard(z, s.peer);
    if (z->connect) {
        z->heard_ms = zeromq_now(z);
        z->ctx->host->polled(z->ctx);
    }
    if (!check(&s, &tenant))
        return false;
    if (s.type == BODY_READY)
        said_ready(&s, tenant);
    else if (s.type == BODY_ERROR)
        said_error(&s);
    else
        return dispatch(&s, msg);
    return false;
}

int serve_recv(struct zeromq *z, struct berth_message *msg)
{
    struct wire_in in;
    for (int i = 0; i < BATCH; i++) {
        int rc = wire_recv(z->wire, &in);
        if (rc <= 0)
            return rc;
        if (serve(z, &in, msg))
            return 1;
    }
    z->ctx->host->wake(z->ctx);
    return 0;
}
