/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What peers are told. A result is sent when the host has it, if the peer's window has room; else only its id
 * is kept, and the host is asked for it again when its turn comes. Nothing here waits: what a peer's queue
 * does not take is sent later (results), or is for the peer to ask for again (all else).
 */
#include "zeromq.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "zeromq_pack.h"

/* ---- sending ---- */

static int send_to(struct zeromq *z, struct peer *p, enum body_type type, const void *body,
                   size_t len)
{
    if (!z->connect && !p->route_len)
        return -EHOSTUNREACH;
    int rc = wire_send(z->wire, p->route, p->route_len, body_type_name(type), body, len);
    if (rc < 0 && rc != -EAGAIN)
        peer_unreachable(z, p);
    return rc;
}

void answer_send(struct zeromq *z, struct peer *p, enum body_type type, const void *body,
                 size_t len)
{
    send_to(z, p, type, body, len);
}

void answer_ping(struct zeromq *z, struct peer *p, int64_t n)
{
    struct pack body = {.len = 0};
    pack_map(&body, n >= 0);
    if (n >= 0) {
        pack_str(&body, "n");
        pack_int(&body, (uint64_t)n);
    }
    p->pinged_ms = zeromq_now(z);
    answer_send(z, p, BODY_PING, body.data, body.len);
}

/* In bind mode clients wait in the host's queue; a broker is told how many tasks would start soon. */
unsigned answer_credit(struct zeromq *z, const struct peer *p)
{
    uint32_t room;
    unsigned open = p ? peer_open(p) : 0;
    if (z->draining)
        return 0;
    if (!z->connect)
        return z->credit;
    room = z->ctx->host->credit(z->ctx);
    return open + room < z->credit ? open + room : z->credit;
}

void answer_ready(struct zeromq *z, struct peer *p, bool resumed)
{
    struct pack body = {.len = 0};
    unsigned credit = answer_credit(z, z->connect ? z->broker : p);
    pack_map(&body, 7);
    pack_str(&body, "v");
    pack_int(&body, ZEROMQ_VERSION);
    pack_str(&body, "host");
    pack_str(&body, z->ctx->host->host_name(z->ctx));
    pack_str(&body, "resumed");
    pack_bool(&body, resumed);
    pack_str(&body, "credit");
    pack_int(&body, credit);
    pack_str(&body, "draining");
    pack_bool(&body, z->draining);
    pack_str(&body, "max_message");
    pack_int(&body, z->max_message);
    pack_str(&body, "heartbeat_ms");
    pack_int(&body, (uint64_t)z->heartbeat_ms);
    z->announced_credit = credit;
    if (p)
        answer_send(z, p, BODY_READY, body.data, body.len);
    else
        wire_send(z->wire, "", 0, "READY", body.data, body.len);
}

void answer_error(struct zeromq *z, const void *route, size_t route_len,
                  const struct complaint *c, const char *text)
{
    struct pack body = {.len = 0};
    bool id = c->id && c->id[0];
    pack_map(&body, 4u + id);
    pack_str(&body, "code");
    pack_str(&body, c->code);
    pack_str(&body, "message");
    pack_str(&body, text);
    pack_str(&body, "again");
    pack_bool(&body, c->again);
    pack_str(&body, "type");
    pack_str(&body, body_type_name(c->of));
    if (id) {
        pack_str(&body, "id");
        pack_str(&body, c->id);
    }
    wire_send(z->wire, route, route_len, "ERROR", body.data, body.len);
}

void answer_error_to(struct zeromq *z, struct peer *p, const struct complaint *c,
                     const char *text)
{
    if (z->connect || p->route_len)
        answer_error(z, p->route, p->route_len, c, text);
}

static const struct {
    int error;
    const char *code;
    bool again;
} codes[] = {
    {EINVAL, "invalid", false},  {ENOENT, "unknown", false},  {E2BIG, "too_large", false},
    {EPERM, "forbidden", false}, {EEXIST, "conflict", false}, {EALREADY, "done", false},
};

static void explain(struct zeromq *z, struct peer *p, int error, enum body_type of,
                    const char *id, const char *text)
{
    struct complaint c = {.code = "busy", .again = true, .of = of, .id = id};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].error == error) {
            c.code = codes[i].code;
            c.again = codes[i].again;
        }
    answer_error_to(z, p, &c, text && text[0] ? text : strerror(error));
}

/* ---- results ---- */

static bool has_room(const struct zeromq *z, const struct peer *p)
{
    return !p->gone && p->in_flight < p->window &&
           (!p->in_flight || p->in_flight_bytes < z->max_unread);
}

static bool send_result(struct zeromq *z, struct owed *o, const void *data, size_t len)
{
    if (send_to(z, o->peer, BODY_RESULT, data, len) < 0)
        return false;
    owed_was_sent(z, o, len);
    return true;
}

struct answer { /* of the host, on its way to a peer */
    struct zeromq *z;
    struct peer *peer;
    struct owed *owed;
    bool sent;
};

static int send_stored(void *arg, const void *data, size_t len)
{
    struct answer *a = arg;
    a->sent = send_result(a->z, a->owed, data, len);
    return 0;
}

static int ask(struct zeromq *z, const struct peer *p, const char *what, const char *id,
               berth_write_fn *write, void *arg, struct berth_error *err)
{
    struct berth_query q = {.size = sizeof q,
                            .format = BERTH_FORMAT_MSGPACK,
                            .what = what,
                            .id = id,
                            .tenant = p->tenant[0] ? p->tenant : NULL};
    return z->ctx->host->query(z->ctx, &q, write, arg, err);
}

/* False: no more for now. */
static bool send_next(struct zeromq *z, struct peer *p)
{
    struct answer a = {.z = z, .peer = p, .owed = p->unsent};
    struct berth_error err = {0};
    int rc = ask(z, p, "result", a.owed->id, send_stored, &a, &err);
    if (rc == 0)
        return a.sent;
    if (rc != -ENOENT) {
        owed_to_send(
            a.owed); /* its turn comes again, and does not keep the others waiting */
        return false;
    }
    explain(
        z, p, ENOENT, BODY_RESULT, a.owed->id,
        "its result is not kept any more: host.retention in the host's config bounds it");
    owed_free(z, a.owed);
    return true;
}

void answer_pump(struct zeromq *z, struct peer *p)
{
    while (p->unsent && has_room(z, p) && send_next(z, p))
        ;
    z->ctx->host->wake(z->ctx); /* sending may have swallowed a wake-up */
}

static void pump_all(struct berth_ctx *ctx, void *arg)
{
    struct zeromq *z = arg;
    struct peer *p;
    (void)ctx;
    z->soon = 0;
    DL_FOREACH (z->peers, p)
        if (p->unsent && !p->gone)
            answer_pump(z, p);
}

void answer_soon(struct zeromq *z)
{
    if (!z->soon)
        z->soon = z->ctx->host->watch_timer(z->ctx, 0, pump_all, z);
}

/* ---- what the host says ---- */

static void ended(struct zeromq *z, struct owed *o, const struct berth_reply *reply)
{
    struct peer *p = o->peer;
    owed_settled(z, o);
    if (reply->error_code) {
        explain(z, p, reply->error_code, BODY_SUBMIT, o->id, reply->error_text);
        owed_free(z, o);
        return;
    }
    if (p->unsent || !has_room(z, p) || !send_result(z, o, reply->data, reply->len)) {
        owed_to_send(o);
        if (!p->gone)
            answer_soon(z);
    }
}

int answer_reply(struct zeromq *z, const struct berth_reply *reply)
{
    struct owed *o = owed_of_message(z, reply->message);
    if (!o)
        return 0;
    if (reply->kind == BERTH_REPLY_RESULT) {
        ended(z, o, reply);
    } else if (reply->kind == BERTH_REPLY_ACCEPTED) {
        o->state = OWED_ACCEPTED;
        answer_send(z, o->peer, BODY_ACCEPTED, reply->data, reply->len);
    } else if (o->peer->events) {
        answer_send(z, o->peer, BODY_EVENT, reply->data, reply->len);
    }
    return 0;
}

/* Without a result before it only if the host had no memory for one. */
void answer_settle(struct zeromq *z, uint64_t message)
{
    struct owed *o = owed_of_message(z, message);
    if (!o)
        return;
    explain(z, o->peer, ENOMEM, BODY_SUBMIT, o->id,
            "the host could not answer: ask for the task's STATUS, or submit it again");
    owed_free(z, o);
}

/* ---- questions ---- */

static int send_status(void *arg, const void *data, size_t len)
{
    struct answer *a = arg;
    a->peer->answered_bytes += len;
    answer_send(a->z, a->peer, BODY_STATUS, data, len);
    return 0;
}

/* Answers that nobody reads lie in memory: after some bytes a PONG must show that they were read. */
void answer_status(struct zeromq *z, struct peer *p, const char *id)
{
    struct answer a = {.z = z, .peer = p};
    struct berth_error err = {0};
    if (p->answered_bytes > 2 * z->max_unread) {
        explain(z, p, EAGAIN, BODY_STATUS, id,
                "many answers are unread: read them, and answer PING");
        return;
    }
    int rc = ask(z, p, "task", id, send_status, &a, &err);
    if (rc < 0)
        explain(z, p, -rc, BODY_STATUS, id, err.text);
    if (p->answered_bytes <= z->max_unread || p->proof)
        return;
    p->proof = ++z->last_proof;
    answer_ping(z, p, p->proof);
}

/* Asking may end the task at once, and with it bring its result. */
void answer_cancel(struct zeromq *z, struct peer *p, const char *id)
{
    struct answer a = {.z = z, .peer = p};
    struct berth_error err = {0};
    int rc = ask(z, p, "cancel", id, send_status, &a, &err);
    if (rc < 0)
        explain(z, p, -rc, BODY_CANCEL, id, err.text);
}

void answer_accepted(struct zeromq *z, const struct owed *o)
{
    struct pack body = {.len = 0};
    pack_map(&body, 1);
    pack_str(&body, "id");
    pack_str(&body, o->id);
    answer_send(z, o->peer, BODY_ACCEPTED, body.data, body.len);
}
