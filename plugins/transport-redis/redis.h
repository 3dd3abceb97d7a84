/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The redis transport: what its files share. berth-redis(7) has the formats on the wire.
 *
 *   session   finds the server, keeps three connections to it, comes back after any failure
 *   take      reads tasks                              (connection `read`: a read there may block)
 *   known     drops those whose result is out already  (connection `work`)
 *   held      the tasks that this host has
 *   publish   results, fenced                          (connection `work`, like the next two)
 *   lease     says that we live; takes over from those who do not; finds what a lost reply held
 *   letters   dead letters
 *   control   cancels                                  (connection `control`)
 */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

#define UTHASH_SIZE_T_ unsigned
#include <berth/transport.h>
#include <uthash.h>

#include "redis_find.h"
#include "redis_held.h"
#include "redis_link.h"
#include "redis_scripts.h"

#define REDIS_GROUP "berth"
#define REDIS_LEVELS 8
#define REDIS_TICK_MS 200

struct level { /* a stream of tasks; the first one is served first */
    char name[33];
    char stream[160];
};

struct redis_keys {
    char prefix[96]; /* berth:{Q}: */
    char results[112], dead[112], events[112], control[112], attempts[112], done[112];
    char result[112]; /* prefix of the keys of results */
};

enum session_state { SESSION_DOWN, SESSION_FINDING, SESSION_GREETING, SESSION_UP };

struct session {
    enum session_state state;
    struct link work, read, control;
    bool read_up, control_up;
    struct find find;
    char address[64],
        name[254]; /* where we are: numeric, and what the certificate is for */
    int port;
    char moved_host[254]; /* where the cluster sent us; "" nowhere */
    int moved_port;
    bool asking;
    int greetings; /* replies of the greeting to come */
    int failures;  /* in a row */
    int timer, tick;
    int64_t pinged_ms,
        heard_ms;      /* heard: the last reply to a useful command; 0: none yet */
    char problem[252]; /* the last one logged; "" when all is well */
};

struct lease {
    int64_t renew_ms, sweep_ms, tidy_ms; /* when next */
    int64_t quiet_ms;                    /* no sweep before */
    int64_t server_ms;                   /* the server's time at the last renewal */
    int renewals;                        /* replies to come */
    int fetches;
    bool more;      /* the last renewal could not tell all strays */
    bool resumed;   /* on this connection: what the source holds for us is here */
    bool announced; /* the host has been told, once per process */
    char cursor[REDIS_LEVELS][44];
};

struct cancels; /* control.c */

struct redis {
    struct berth_ctx *ctx;
    /* from the options */
    struct url url;
    struct tls_config *tls;
    const char *password_file, *password_env, *sentinel_password_file;
    const char *queue;
    struct level levels[REDIS_LEVELS];
    size_t level_count;
    struct redis_keys key;
    char consumer[128];
    int64_t lease_ms, timeout_ms, result_ttl_ms;
    int64_t results_max, dead_max, events_max;
    uint32_t dead_verdicts; /* bits */

    struct session session;
    struct lease lease;
    struct held_table held;
    bool draining;
    /* take.c */
    bool reading, read_failed;
    int64_t read_again_ms; /* not before */
    size_t usual_bytes;    /* of a task, lately */
    struct held *handed;   /* its body is the host's until the next call of recv */
    /* publish.c */
    struct held *ended; /* results to be sent; utlist */
    int publish_timer, sent;
    int64_t publish_again_ms;
    /* control.c */
    char control_id[44];
    bool controlling, caught_up;
    struct cancels *cancels;
    int cancel_timer;
};

/* redis_verdict.c */
const char *verdict_name(uint32_t verdict);
int verdict_of(const char *name); /* BERTH_VERDICT_NONE: there is none of that name */

static inline int64_t redis_now(const struct redis *r)
{
    return r->ctx->host->now_ms(r->ctx);
}

/* session.c */
void session_start(struct redis *r);
void session_close(struct redis *r);
/* What an error reply asks for is done here, but for trying again. */
void session_error(struct redis *r, const struct resp *error);
void session_heard(struct redis *r); /* the server did what we asked */
void session_well(struct redis *r); /* a read or a publication has succeeded: all is well */
void session_drain(struct redis *r, bool on);
bool session_is_up(const struct redis *r);

/* take.c */
void take_more(struct redis *r);
int take_recv(struct redis *r, struct berth_message *msg);
/* [id, [field, value...], deliveries?, counts?]; known_ask is to be called then. */
void take_entry(struct redis *r, size_t level, const struct resp *entry);

/* known.c */
void known_ask(struct redis *r); /* about all that is fresh; then it is ready, or gone */

/* publish.c */
/* The key of the result of a task, as an argument. */
void publish_key(const struct redis *r, const char *id, struct cmd *c);
int publish_reply(struct redis *r, const struct berth_reply *reply,
                  struct berth_error *err);
void publish_tick(struct redis *r);
void publish_lost(struct redis *r); /* what was sent may or may not have arrived */

/* lease.c */
void lease_begin(struct redis *r); /* on a new connection */
void lease_tick(struct redis *r);
void lease_announce(struct redis *r); /* nothing is left to be handed to the host */
void lease_hand_back(struct redis *r, struct held *take_h);
void lease_hand_back_ready(struct redis *r);
void lease_sweep_soon(struct redis *r);

/* control.c */
void control_read(struct redis *r);
void control_named(struct redis *r,
                   struct held *h); /* the host has said which task it is */
void control_free(struct redis *r);

/* letters.c */
int letters_ask(struct redis *r, const struct berth_dead *ask, struct berth_error *err);

#endif
