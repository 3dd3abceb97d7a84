/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The zeromq transport: what its files share. berth-zeromq(7) has the protocol.
 *
 *   wire      the socket, and who may connect        (libzmq; nothing below knows it)
 *   body      the bodies of messages, checked        pack: MessagePack
 *   endpoint  where to listen; keys: files of keys
 *   peer      who speaks to us, and the tasks that it has open
 *   serve     what peers say
 *   answer    what they are told; results go out as each takes them
 */
#ifndef ZEROMQ_ZEROMQ_H
#define ZEROMQ_ZEROMQ_H

#include <string.h>

#define UTHASH_SIZE_T_ unsigned
#include <berth/transport.h>
#include <uthash.h>

#include "zeromq_body.h"
#include "zeromq_endpoint.h"
#include "zeromq_keys.h"
#include "zeromq_wire.h"

#define ZEROMQ_TICK_MS 200
#define ZEROMQ_SILENT 3 /* heartbeats without a word: gone */

enum owed_state {
    OWED_GIVEN,    /* the host has it */
    OWED_ACCEPTED, /* and has said that it is durable */
    OWED_UNSENT,   /* its result is there, and is to be sent */
    OWED_SENT      /* and was sent; the peer has not acknowledged it */
};

/* A task that a peer has open: from SUBMIT until the peer has its result. No result is kept here. */
struct owed {
    struct peer *peer;
    enum owed_state state;
    char id[BODY_ID];
    uint64_t digest;          /* of the task */
    uint64_t message;         /* 0: the host is done with it */
    size_t bytes;             /* SENT: of its result */
    int64_t sent_ms;          /* SENT */
    struct owed *prev, *next; /* UNSENT, SENT: in the peer's list */
    UT_hash_handle by_id, by_message;
};

struct peer {
    char user[WIRE_KEY];  /* its key; "" without CURVE */
    char name[BODY_NAME]; /* as READY said; "": it cannot come back */
    char tenant[KEYS_TENANT];
    unsigned char route[WIRE_ROUTE];
    size_t route_len; /* 0: no connection (bind) */
    bool ready, gone; /* gone: it is silent, or its connection is lost */
    bool events, durable;
    unsigned window; /* results sent and not acknowledged */
    int64_t heard_ms, pinged_ms, gone_ms;
    unsigned in_flight; /* SENT */
    size_t in_flight_bytes;
    size_t answered_bytes;      /* of STATUS, since it last proved that it reads */
    int64_t proof;              /* number of the PING that asked for the proof; 0 none */
    struct owed *owed;          /* by id */
    struct owed *unsent, *sent; /* utlist, oldest first */
    char key[WIRE_KEY + BODY_NAME];
    struct peer *prev, *next; /* all; utlist */
    UT_hash_handle by_route, by_key;
};

struct zeromq {
    struct berth_ctx *ctx;
    /* from the options */
    bool connect;
    struct endpoint endpoint;
    int listen_fd;
    char secret_key[KEYS_KEY], public_key[KEYS_KEY];
    const char *server_key;
    struct keys *keys; /* NULL: no CURVE, or connect */
    size_t max_message, max_unread;
    unsigned max_clients, credit, open_max;
    int64_t heartbeat_ms, resend_ms, keep_ms;
    char identity[200];

    struct wire *wire;
    struct peer *peers, *peers_by_route, *peers_by_key;
    struct owed *owed;   /* by message */
    struct peer *broker; /* connect: the one */
    unsigned peer_count;
    unsigned open; /* all tasks of all peers */
    uint64_t last_message;
    int64_t last_proof;
    bool draining;
    int timer, zap_watch, soon; /* soon: results are to be sent */
    /* connect */
    int64_t announced_ms; /* READY was sent */
    int64_t heard_ms;     /* the broker's last word, or a new connection */
    unsigned announced_credit;
};

static inline int64_t zeromq_now(const struct zeromq *z)
{
    return z->ctx->host->now_ms(z->ctx);
}

/* peer.c */
struct peer *peer_of_route(struct zeromq *z, const void *route, size_t len,
                           const char *user);
struct peer *peer_named(struct zeromq *z, const char *user,
                        const char *name); /* NULL: none */
struct peer *peer_new(struct zeromq *z, const char *user,
                      const char *name); /* NULL: no memory */
/* Gives up who has been gone for longest; false: all are here. */
bool peer_make_room(struct zeromq *z);
void peer_set_route(struct zeromq *z, struct peer *p, const void *route, size_t len);
void peer_heard(struct zeromq *z, struct peer *p);
void peer_lost(struct zeromq *z, struct peer *p);        /* until it is heard again */
void peer_unreachable(struct zeromq *z, struct peer *p); /* its connection is no more */
void peer_drop(struct zeromq *z, struct peer *p);        /* with all that it is owed */
unsigned peer_open(const struct peer *p);
struct owed *owed_find(struct peer *p, const char *id);
struct owed *owed_of_message(struct zeromq *z, uint64_t message);
struct owed *owed_new(struct zeromq *z, struct peer *p, const char *id, uint64_t digest);
void owed_free(struct zeromq *z, struct owed *o);
void owed_settled(struct zeromq *z, struct owed *o); /* the host is done with its message */
void owed_to_send(struct owed *o);                   /* UNSENT, behind the others */
void owed_was_sent(struct zeromq *z, struct owed *o, size_t bytes);
void peer_send_again(struct peer *p); /* what was sent and not acknowledged */

/* serve.c */
int serve_recv(struct zeromq *z, struct berth_message *msg);

/* answer.c */
int answer_reply(struct zeromq *z, const struct berth_reply *reply);
void answer_settle(struct zeromq *z, uint64_t message);
void answer_send(struct zeromq *z, struct peer *p, enum body_type type, const void *body,
                 size_t len);
void answer_ready(struct zeromq *z, struct peer *p, bool resumed);
void answer_ping(struct zeromq *z, struct peer *p, int64_t n); /* n < 0: without */
void answer_status(struct zeromq *z, struct peer *p, const char *id);
void answer_cancel(struct zeromq *z, struct peer *p, const char *id);
void answer_accepted(struct zeromq *z, const struct owed *o); /* once more */
struct complaint {
    const char *code;  /* as berth-zeromq(7) lists them */
    bool again;        /* it may be sent again as it is, later */
    enum body_type of; /* what it answers */
    const char *id;    /* "" or NULL none */
};
void answer_error(struct zeromq *z, const void *route, size_t route_len,
                  const struct complaint *c, const char *text);
void answer_error_to(struct zeromq *z, struct peer *p, const struct complaint *c,
                     const char *text);
void answer_pump(struct zeromq *z, struct peer *p); /* results, as many as it takes now */
void answer_soon(struct zeromq *z);                 /* the same for all, from the loop */
unsigned answer_credit(struct zeromq *z, const struct peer *p);

/* tick.c */
void tick_start(struct zeromq *z);
void tick_keys(struct zeromq *z); /* reads the list of clients again if it has changed */
void tick_announce(struct zeromq *z); /* connect: READY to the broker */

#endif
