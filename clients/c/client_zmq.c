/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * berth over ZeroMQ: see berth-zeromq(7) for the protocol. We are a client without a name: what we are owed
 * after a connection was lost is asked for by the task's id.
 */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "base/str.h"

#define ANSWER_MS 5000 /* for an answer; then the line is taken for dead */
#define LOOK_MS 1000 /* how often it is asked about a task whose result is not sent to us */
#define KEY_SIZE 41  /* in Z85, with its NUL */

struct client_link {
    char *endpoint;
    char server_key[KEY_SIZE], public_key[KEY_SIZE], secret_key[KEY_SIZE];
    void *zmq, *socket; /* socket NULL: not connected */
    int64_t heard_ms, pinged_ms, heartbeat_ms, max_message;
    int64_t questions; /* how many there were */
};

struct word {
    char kind[16];
    struct value body;
};

static void hang_up(struct client_link *l)
{
    if (l->socket)
        zmq_close(take_ptr(l->socket));
}

static void zeromq_close(struct client_link *l)
{
    if (!l)
        return;
    hang_up(l);
    if (l->zmq)
        zmq_ctx_term(l->zmq);
    free(l->endpoint);
    free(l);
}

static int silent(struct client_link *l, struct berth_error *err)
{
    hang_up(l);
    return berth_fail(err, ECONNREFUSED, "%s does not answer", l->endpoint);
}

/* ---- the URL: zmq://HOST:PORT or zmq+ipc:///PATH, with ?server_key=KEY ---- */

static int take_key(struct client_link *l, const char *text, struct berth_error *err)
{
    size_t n = 0;
    unsigned byte;
    for (; *text && n < KEY_SIZE - 1; n++) {
        bool coded = *text == '%' && sscanf(text + 1, "%2x", &byte) == 1;
        l->server_key[n] = (char)(coded ? byte : (unsigned char)*text);
        text += coded ? 3 : 1;
    }
    uint8_t raw[32];
    if (*text || n != KEY_SIZE - 1 || !zmq_z85_decode(raw, l->server_key))
        return berth_fail(err, EINVAL, "server_key is not 40 characters of Z85");
    return 0;
}

static int take_url(struct client_link *l, const char *url, const char *secret,
                    struct berth_error *err)
{
    bool ipc = !strncmp(url, "zmq+ipc://", 10);
    const char *rest = strstr(url, "://") + 3, *query = strchr(rest, '?');
    size_t len = query ? (size_t)(query - rest) : strlen(rest);
    if (asprintf(&l->endpoint, "%s://%.*s", ipc ? "ipc" : "tcp", (int)len, rest) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    if (ipc ? *rest != '/' : !memchr(rest, ':', len))
        return berth_fail(err, EINVAL,
                          "'%s' is not like zmq://127.0.0.1:2592 or zmq+ipc:///path", url);
    if (!query)
        return 0;
    if (strncmp(query, "?server_key=", 12) != 0)
        return berth_fail(err, EINVAL, "'%s': behind the '?' there can be server_key", url);
    if (!secret || strlen(secret) != KEY_SIZE - 1 ||
        zmq_curve_public(l->public_key, secret) < 0)
        return berth_fail(err, EPERM,
                          "'%s' wants our secret key, 40 characters of Z85, as the token",
                          url);
    memcpy(l->secret_key, secret, KEY_SIZE);
    return take_key(l, query + 12, err);
}

static int zeromq_open(const char *url, const char *token, const char *ca_file,
                       struct client_link **ret, struct berth_error *err)
{
    struct client_link *l = calloc(1, sizeof *l);
    (void)ca_file;
    if (!l || !(l->zmq = zmq_ctx_new())) {
        zeromq_close(l);
        return berth_fail(err, ENOMEM, "out of memory");
    }
    int rc = take_url(l, url, token, err);
    if (rc < 0) {
        zeromq_close(l);
        return rc;
    }
    *ret = l;
    return 0;
}

/* ---- messages ---- */

static int say(struct client_link *l, const char *kind, const struct value *body,
               struct berth_error *err)
{
    cleanup_buf struct buf data = BUF_INIT;
    if (value_to_msgpack(body, &data) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    if (l->max_message && (int64_t)data.len > l->max_message)
        return berth_fail(err, E2BIG,
                          "the task has %zu bytes, the host takes %lld: stage "
                          "larger input by file",
                          data.len, (long long)l->max_message);
    if (zmq_send(l->socket, kind, strlen(kind), ZMQ_SNDMORE) < 0 ||
        zmq_send(l->socket, data.data, data.len, 0) < 0)
        return silent(l, err);
    return 0;
}

/* One frame: 0 or -ECONNREFUSED. */
static int take_frame(struct client_link *l, struct buf *ret, struct berth_error *err)
{
    zmq_msg_t frame;
    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, l->socket, 0) < 0) {
        zmq_msg_close(&frame);
        return silent(l, err);
    }
    buf_add(ret, zmq_msg_data(&frame), zmq_msg_size(&frame));
    zmq_msg_close(&frame);
    return ret->failed ? berth_fail(err, ENOMEM, "out of memory") : 0;
}

/* What is answered at once: results are acknowledged, since they can be asked for again. */
static int answer(struct client_link *l, struct arena *a, const struct word *w,
                  struct berth_error *err)
{
    struct value body = value_new_map(a), ids = value_new_array(a);
    if (!strcmp(w->kind, "PING"))
        return say(l, "PONG", &w->body, err);
    if (strcmp(w->kind, "RESULT") != 0)
        return 0;
    value_add(a, &ids, value_new_str(a, value_str(&w->body, "id", "")));
    value_put(a, &body, "ids", ids);
    return say(l, "RESULT", &body, err);
}

/* The next word: 1, 0 if none came in that time, -errno. */
static int hear(struct client_link *l, struct arena *a, int64_t ms, struct word *ret,
                struct berth_error *err)
{
    cleanup_buf struct buf kind = BUF_INIT, body = BUF_INIT;
    zmq_pollitem_t item = {.socket = l->socket, .events = ZMQ_POLLIN};
    if (zmq_poll(&item, 1, (long)ms) <= 0)
        return 0;
    int rc = take_frame(l, &kind, err), more = 0;
    size_t size = sizeof more;
    if (rc == 0)
        zmq_getsockopt(l->socket, ZMQ_RCVMORE, &more, &size);
    if (rc == 0 && more)
        rc = take_frame(l, &body, err);
    if (rc == 0)
        rc = client_decode(a, body.data, body.len, &ret->body, err);
    if (rc < 0) {
        hang_up(l);
        return rc;
    }
    l->heard_ms = now_ms();
    snprintf(ret->kind, sizeof ret->kind, "%s", kind.data ? kind.data : "");
    rc = answer(l, a, ret, err);
    return rc < 0 ? rc : 1;
}

/* ---- connecting ---- */

static int dial(struct client_link *l, struct berth_error *err)
{
    int linger = 1000, patience = ANSWER_MS;
    l->socket = zmq_socket(l->zmq, ZMQ_DEALER);
    if (!l->socket)
        return berth_fail_errno(err, errno, "cannot make a socket");
    zmq_setsockopt(l->socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(l->socket, ZMQ_SNDTIMEO, &patience, sizeof patience);
    if (*l->server_key) {
        zmq_setsockopt(l->socket, ZMQ_CURVE_SERVERKEY, l->server_key, KEY_SIZE);
        zmq_setsockopt(l->socket, ZMQ_CURVE_PUBLICKEY, l->public_key, KEY_SIZE);
        zmq_setsockopt(l->socket, ZMQ_CURVE_SECRETKEY, l->secret_key, KEY_SIZE);
    }
    if (zmq_connect(l->socket, l->endpoint) == 0)
        return 0;
    int why = errno;
    hang_up(l);
    return berth_fail(err, EINVAL, "cannot connect to '%s': %s", l->endpoint,
                      zmq_strerror(why));
}

/* READY, and the host's. What else comes before that is of an older time. */
static int greet(struct client_link *l, struct arena *a, struct berth_error *err)
{
    struct value hello = value_new_map(a);
    struct word w;
    int64_t end = now_ms() + ANSWER_MS;
    value_put_int(a, &hello, "v", 1);
    l->max_message = 0;
    int rc = l->socket ? 0 : dial(l, err);
    if (rc == 0)
        rc = say(l, "READY", &hello, err);
    while (rc == 0) {
        int64_t left = end - now_ms();
        rc = left > 0 ? hear(l, a, left, &w, err) : 0;
        if (rc == 0)
            return silent(l, err);
        if (rc > 0 && !strcmp(w.kind, "READY")) {
            l->max_message = value_int(&w.body, "max_message", 0);
            l->heartbeat_ms = value_int(&w.body, "heartbeat_ms", ANSWER_MS);
            return 0;
        }
        rc = rc < 0 ? rc : 0;
    }
    return rc;
}

/* Asks after a host that was silent; -ECONNREFUSED when it was so for too long. */
static int feel_pulse(struct client_link *l, struct arena *a, struct berth_error *err)
{
    struct value nothing = value_new_map(a);
    int64_t now = now_ms(), quiet = now - l->heard_ms;
    if (quiet > 3 * l->heartbeat_ms)
        return silent(l, err);
    if (quiet < l->heartbeat_ms || now - l->pinged_ms < l->heartbeat_ms)
        return 0;
    l->pinged_ms = now;
    return say(l, "PING", &nothing, err);
}

/* ---- questions ---- */

static int refused(const struct value *body, struct berth_error *err)
{
    static const struct {
        const char *name;
        int code;
    } codes[] = {{"unknown", ENOENT},  {"too_large", E2BIG}, {"forbidden", EPERM},
                 {"conflict", EEXIST}, {"done", EALREADY},   {"replaced", EPROTO}};
    const char *name = value_str(body, "code", "");
    int code = value_bool(body, "again", false) ? EAGAIN : EINVAL;
    for (size_t i = 0; code != EAGAIN && i < countof(codes); i++)
        if (!strcmp(codes[i].name, name))
            code = codes[i].code;
    return berth_fail(err, code, "%s", value_str(body, "message", name));
}

static bool is_about(const struct word *w, const char *id)
{
    return !strcmp(value_str(&w->body, "id", ""), id);
}

/* A PING goes first: what comes before its PONG is not an answer to what is said now. */
static int say_anew(struct client_link *l, struct arena *a, const char *kind,
                    const struct value *body, struct berth_error *err)
{
    struct value ping = value_new_map(a);
    value_put_int(a, &ping, "n", ++l->questions);
    int rc = l->socket ? 0 : greet(l, a, err);
    if (rc == 0)
        rc = say(l, "PING", &ping, err);
    return rc < 0 ? rc : say(l, kind, body, err);
}

/* Says it, and waits for one of two kinds of answer that are about the id: 0 with *ret, or -errno. */
static int ask(struct client_link *l, struct arena *a, const char *kind,
               const struct value *body, const char *id, const char *want, struct word *ret,
               struct berth_error *err)
{
    int64_t end = now_ms() + ANSWER_MS;
    bool fresh = false;
    int rc = say_anew(l, a, kind, body, err);
    while (rc >= 0) {
        int64_t left = end - now_ms();
        rc = left > 0 ? hear(l, a, left, ret, err) : 0;
        if (rc == 0)
            return silent(l, err);
        if (rc < 0)
            return rc;
        bool failed = !strcmp(ret->kind, "ERROR");
        if (!strcmp(ret->kind, "PONG"))
            fresh = value_int(&ret->body, "n", 0) == l->questions;
        else if (failed && !strcmp(value_str(&ret->body, "code", ""), "not_ready"))
            rc = (rc = greet(l, a, err)) < 0 ? rc : say_anew(l, a, kind, body, err);
        else if (fresh && failed && !strcmp(value_str(&ret->body, "type", ""), kind))
            return refused(&ret->body, err);
        else if (fresh && is_about(ret, id) &&
                 (!strcmp(ret->kind, want) || !strcmp(ret->kind, "RESULT")))
            return 0;
    }
    return rc;
}

/* Listens for the result: *ret is nil if it did not come in that time. */
static int listen_for(struct client_link *l, struct arena *a, const char *id, int64_t ms,
                      struct value *ret, struct berth_error *err)
{
    int64_t end = now_ms() + ms, left;
    struct word w;
    *ret = (struct value){0};
    while ((left = end - now_ms()) > 0) {
        int rc = hear(l, a, left < l->heartbeat_ms ? left : l->heartbeat_ms, &w, err);
        if (rc > 0 && !strcmp(w.kind, "RESULT") && is_about(&w, id)) {
            *ret = w.body;
            return 0;
        }
        if (rc > 0 && !strcmp(value_str(&w.body, "code", ""), "not_ready"))
            return 0; /* it was restarted: who asks for the task greets it */
        if (rc >= 0)
            rc = feel_pulse(l, a, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int zeromq_send(struct client_link *l, struct arena *a, const struct value *task,
                       bool id_made, int64_t hold_ms, struct value *ret,
                       struct berth_error *err)
{
    const char *id = value_str(task, "id", "");
    struct word w;
    (void)id_made;
    int rc = ask(l, a, "SUBMIT", task, id, "ACCEPTED", &w, err);
    if (rc < 0)
        return rc;
    if (strcmp(w.kind, "RESULT") != 0)
        return listen_for(l, a, id, hold_ms, ret, err);
    *ret = w.body;
    return 0;
}

static int zeromq_look(struct client_link *l, struct arena *a, const char *id,
                       struct value *ret, struct berth_error *err)
{
    struct value body = value_new_map(a);
    struct word w;
    value_put_str(a, &body, "id", id);
    int rc = ask(l, a, "STATUS", &body, id, "STATUS", &w, err);
    const struct value *result = rc == 0 ? value_get(&w.body, "result") : NULL;
    if (rc == 0 && !strcmp(w.kind, "RESULT"))
        result = &w.body;
    *ret = result ? *result : (struct value){0};
    return rc;
}

static int zeromq_wait(struct client_link *l, struct arena *a, const char *id, int64_t ms,
                       struct value *ret, struct berth_error *err)
{
    int64_t end = now_ms() + ms, pause = 10;
    int rc = zeromq_look(l, a, id, ret, err);
    while (rc == 0 && ret->type != VALUE_MAP && now_ms() < end) {
        int64_t left = end - now_ms();
        rc = listen_for(l, a, id, pause < left ? pause : left, ret, err);
        if (rc == 0 && ret->type != VALUE_MAP)
            rc = zeromq_look(l, a, id, ret, err);
        pause = pause * 2 < LOOK_MS ? pause * 2 : LOOK_MS;
    }
    return rc;
}

static int zeromq_cancel(struct client_link *l, const char *id, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct value body = value_new_map(a);
    struct word w;
    value_put_str(a, &body, "id", id);
    int rc = ask(l, a, "CANCEL", &body, id, "STATUS", &w, err);
    return rc == -EALREADY ? 1 : rc;
}

static int zeromq_status(struct client_link *l, const char *id, const char **ret_state,
                         struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct value body = value_new_map(a);
    struct word w;
    value_put_str(a, &body, "id", id);
    int rc = ask(l, a, "STATUS", &body, id, "STATUS", &w, err);
    if (rc == 0)
        *ret_state = !strcmp(w.kind, "RESULT")
                         ? client_state("done")
                         : client_state(value_str(&w.body, "state", ""));
    return rc;
}

const struct client_ops client_zmq = {.open = zeromq_open,
                                      .close = zeromq_close,
                                      .send = zeromq_send,
                                      .wait = zeromq_wait,
                                      .cancel = zeromq_cancel,
                                      .status = zeromq_status};
