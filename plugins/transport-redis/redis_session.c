/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Finding the server, greeting it, and coming back. The three connections live and die together: whatever
 * happens to one of them, all are closed, and after a pause that grows (with jitter, so that a fleet does not
 * come back as one) the server is looked for anew. What we hold stays; what was under way is asked again.
 */
#define _GNU_SOURCE
#include "redis.h"
#include "redis_fault.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define PAUSE_MAX_MS 5000
#define PING_MS 1000

static void session_try(struct berth_ctx *ctx, void *arg);
static void session_down(struct redis *r, const char *why);

bool session_is_up(const struct redis *r)
{
    return r->session.state == SESSION_UP;
}

static void session_problem(struct redis *r, const char *what)
{
    struct session *s = &r->session;
    if (!strcmp(s->problem, what))
        return;
    snprintf(s->problem, sizeof s->problem, "%s", what);
    r->ctx->host->log(r->ctx, BERTH_LOG_WARN, "%s; trying on", what);
}

/* Only that tasks can be read makes us ready: so long as we read, it is for the reads to tell. */
void session_heard(struct redis *r)
{
    struct session *s = &r->session;
    s->failures = 0;
    s->heard_ms = redis_now(r);
    if (!r->reading && !r->read_failed)
        r->ctx->host->polled(r->ctx);
}

void session_well(struct redis *r)
{
    struct session *s = &r->session;
    session_heard(r);
    if (!s->problem[0] || r->ended)
        return;
    s->problem[0] = '\0';
    r->ctx->host->log(r->ctx, BERTH_LOG_INFO, "the server works again");
}

/* Short against half a lease: after an outage all hosts shall be back before one takes over from another. */
static int64_t pause_ms(const struct redis *r)
{
    uint32_t dice = 0;
    int failures = r->session.failures;
    int64_t cap = r->lease_ms / 5 < PAUSE_MAX_MS ? r->lease_ms / 5 : PAUSE_MAX_MS;
    int64_t most = 50ll << (failures < 8 ? failures : 8);
    most = most < cap ? most : cap;
    if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) < 0)
        dice = (uint32_t)failures * 2654435761u;
    return most / 2 + (int64_t)(dice % (uint32_t)(most / 2 + 1));
}

static void session_again(struct redis *r, int64_t delay_ms)
{
    struct session *s = &r->session;
    if (!s->timer)
        s->timer = r->ctx->host->watch_timer(r->ctx, delay_ms, session_try, r);
}

static void session_down(struct redis *r, const char *why)
{
    struct session *s = &r->session;
    char text[252];
    if (s->state == SESSION_DOWN)
        return;
    s->state = SESSION_DOWN;
    snprintf(text, sizeof text, "%s", why);
    s->read_up = s->control_up = false;
    find_stop(&s->find);
    link_close(&s->work);
    link_close(&s->read);
    link_close(&s->control);
    publish_lost(r);
    if (text[0])
        session_problem(r, text);
    session_again(r, text[0] || s->failures ? pause_ms(r) : 0);
    s->failures++;
}

static void link_down(struct link *l, const char *why)
{
    struct redis *r = l->owner;
    char text[252];
    r->session.moved_host[0] = '\0';
    r->session.asking = false;
    snprintf(text, sizeof text, "%.200s", why);
    session_down(r, text);
}

/* ---- errors ---- */

static void ignore(struct link *l, const struct resp *reply, void *arg)
{
    (void)l, (void)reply, (void)arg;
}

static void made_group(struct link *l, const struct resp *reply, void *arg)
{
    struct redis *r = arg;
    (void)l;
    if (reply && reply->type == RESP_ERROR && strncmp(reply->s, "BUSYGROUP", 9) != 0)
        session_error(r, reply);
}

static void make_groups(struct redis *r, link_reply_fn *fn)
{
    for (size_t i = 0; i < r->level_count; i++) {
        struct cmd cmd = {0};
        cmd_words(&cmd, "XGROUP CREATE");
        cmd_str(&cmd, r->levels[i].stream);
        cmd_words(&cmd, REDIS_GROUP " 0 MKSTREAM");
        link_send(&r->session.work, &cmd, 0, fn, r);
    }
}

static void load_scripts(struct redis *r, link_reply_fn *fn)
{
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        struct cmd cmd = {0};
        script_load(&cmd, (enum script)i);
        link_send(&r->session.work, &cmd, 0, fn, r);
    }
}

static void session_moved(struct redis *r, const char *error, bool ask)
{
    struct session *s = &r->session;
    char host[254];
    int port;
    if (fault_address(error, host, sizeof host, &port) < 0) {
        session_down(r, error);
        return;
    }
    snprintf(s->moved_host, sizeof s->moved_host, "%s", host[0] ? host : s->name);
    s->moved_port = port;
    s->asking = ask;
    r->ctx->host->log(r->ctx, BERTH_LOG_INFO, "the cluster has the queue at %s:%d",
                      s->moved_host, port);
    session_down(r, s->failures > 3 ? error
                                    : ""); /* two that send us to and fro get a pause */
}

void session_error(struct redis *r, const struct resp *error)
{
    if (!error || error->type != RESP_ERROR || !session_is_up(r))
        return;
    switch (fault_of(error->s)) {
    case FAULT_MOVED:
        session_moved(r, error->s, false);
        return;
    case FAULT_ASK:
        session_moved(r, error->s, true);
        return;
    case FAULT_RECONNECT:
        session_down(r, error->s);
        return;
    case FAULT_GROUP:
        session_problem(r, "the group or a stream was gone: it is made anew");
        make_groups(r, made_group);
        break;
    case FAULT_SCRIPT:
        load_scripts(r, ignore);
        break;
    default:
        session_problem(r, error->s);
    }
    link_flush(&r->session.work);
}

/* ---- greeting ---- */

/* Read each time, so that a changed password is found. Cleared by the caller. */
static int read_secret(const char *path, const char *variable, char *ret, size_t size)
{
    ret[0] = '\0';
    if (path) {
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
        if (fd >= 0)
            close(fd);
        ret[n > 0 ? n : 0] = '\0';
        ret[strcspn(ret, "\r\n")] = '\0';
        return ret[0] ? 0 : -1;
    }
    const char *value = variable ? secure_getenv(variable) : NULL;
    snprintf(ret, size, "%s", value ? value : "");
    return variable && !value ? -1 : 0;
}

static int greet_auth(struct redis *r, struct link *l, link_reply_fn *fn)
{
    char secret[512];
    struct cmd cmd = {0};
    if (read_secret(r->password_file, r->password_env, secret, sizeof secret) < 0) {
        session_down(r, r->password_file ? "cannot read a password from password_file"
                                         : "the variable of password_env is not set");
        return -1;
    }
    if (!secret[0])
        return 0;
    cmd_str(&cmd, "AUTH");
    if (r->url.user[0])
        cmd_str(&cmd, r->url.user);
    cmd_str(&cmd, secret);
    explicit_bzero(secret, sizeof secret);
    link_send(l, &cmd, 0, fn, r);
    return 1;
}

/* The number of replies to come, or -1: the session is down. */
static int greet(struct redis *r, struct link *l, link_reply_fn *fn)
{
    struct cmd cmd = {0};
    int n = greet_auth(r, l, fn);
    if (n >= 0 && r->url.db) {
        cmd_str(&cmd, "SELECT");
        cmd_int(&cmd, r->url.db);
        link_send(l, &cmd, 0, fn, r);
        n++;
    }
    return n;
}

static void greeted_reader(struct link *l, const struct resp *reply, void *arg)
{
    struct redis *r = arg;
    (void)l;
    if (reply && resp_is_error(reply))
        session_down(r, reply->s);
}

static void reader_up(struct link *l)
{
    struct redis *r = l->owner;
    if (greet(r, l, greeted_reader) < 0)
        return;
    if (l == &r->session.read) {
        r->session.read_up = true;
        take_more(r);
    } else {
        r->session.control_up = true;
        control_read(r);
    }
}

static void open_link(struct redis *r, struct link *l)
{
    struct session *s = &r->session;
    char why[252];
    bool is_unix = r->url.kind == URL_UNIX;
    l->asking = s->asking;
    if (link_open(l, s->address, s->port, is_unix ? r->url.path : NULL, r->tls, s->name,
                  why, sizeof why) < 0)
        session_down(r, why);
}

static void session_arrived(struct redis *r)
{
    r->session.state = SESSION_UP;
    lease_begin(r);
    if (session_is_up(r))
        open_link(r, &r->session.control);
    if (session_is_up(r) && !r->draining)
        open_link(r, &r->session.read);
}

static void greeted(struct link *l, const struct resp *reply, void *arg)
{
    struct redis *r = arg;
    struct session *s = &r->session;
    (void)l;
    if (!reply || s->state != SESSION_GREETING)
        return;
    bool refused = reply->type == RESP_ERROR && strncmp(reply->s, "BUSYGROUP", 9) != 0;
    enum fault fault = refused ? fault_of(reply->s) : FAULT_AGAIN;
    if (fault == FAULT_MOVED || fault == FAULT_ASK) {
        session_moved(r, reply->s, fault == FAULT_ASK);
    } else if (refused && strncmp(reply->s, "OOM", 3) != 0) {
        session_down(r, reply->s); /* without memory leases can still be renewed */
    } else if (--s->greetings == 0) {
        session_arrived(r);
    }
}

/* A sentinel may not know yet that its master is none any more. Who may not ask finds out by READONLY. */
static void role_said(struct link *l, const struct resp *reply, void *arg)
{
    static const struct resp fine = {.type = RESP_NIL};
    struct redis *r = arg;
    if (reply && reply->type == RESP_ARRAY &&
        strcmp(resp_str(resp_at(reply, 0)), "master") != 0)
        session_down(r, "the server that sentinel named is not a master");
    else if (reply)
        greeted(l, &fine, r);
}

static void work_up(struct link *l)
{
    struct redis *r = l->owner;
    struct cmd cmd = {0};
    int n = greet(r, l, greeted);
    if (n < 0)
        return;
    if (r->url.kind == URL_SENTINEL) {
        cmd_str(&cmd, "ROLE");
        link_send(l, &cmd, 0, role_said, r);
        n++;
    }
    r->session.greetings = n + (int)r->level_count + SCRIPT_COUNT;
    load_scripts(r, greeted);
    make_groups(r, greeted);
}

/* ---- finding ---- */

static void session_found(struct find *f, const char *address, int port, const char *name,
                          const char *why)
{
    struct redis *r = f->owner;
    struct session *s = &r->session;
    if (!*address) {
        s->moved_host[0] = '\0';
        session_down(r, why);
        return;
    }
    snprintf(s->address, sizeof s->address, "%s", address);
    snprintf(s->name, sizeof s->name, "%s", name);
    s->port = port;
    s->state = SESSION_GREETING;
    open_link(r, &s->work);
}

static void session_try(struct berth_ctx *ctx, void *arg)
{
    struct redis *r = arg;
    struct session *s = &r->session;
    (void)ctx;
    s->timer = 0;
    if (s->state != SESSION_DOWN)
        return;
    s->state = SESSION_FINDING;
    if (r->url.kind == URL_UNIX) {
        s->state = SESSION_GREETING;
        open_link(r, &s->work);
    } else {
        find_start(&s->find, s->moved_host, s->moved_port);
    }
}

/* ---- the beat ---- */

static void ponged(struct link *l, const struct resp *reply, void *arg)
{
    struct redis *r = arg;
    (void)l;
    if (reply && resp_is_error(reply))
        session_error(r, reply);
    else if (reply)
        session_heard(r);
}

static void session_ping(struct redis *r)
{
    struct session *s = &r->session;
    struct cmd cmd = {0};
    if (redis_now(r) - s->pinged_ms < PING_MS)
        return;
    s->pinged_ms = redis_now(r);
    cmd_str(&cmd, "PING");
    link_send(&s->work, &cmd, 0, ponged, r);
}

static void session_tick(struct berth_ctx *ctx, void *arg)
{
    struct redis *r = arg;
    struct session *s = &r->session;
    s->tick = ctx->host->watch_timer(ctx, REDIS_TICK_MS, session_tick, r);
    link_check(&s->find.sentinel);
    link_check(&s->work);
    link_check(&s->read);
    link_check(&s->control);
    if (!session_is_up(r))
        return;
    session_ping(r);
    lease_tick(r);
    if (session_is_up(r))
        publish_tick(r);
    if (session_is_up(r))
        control_read(r);
    if (session_is_up(r))
        take_more(r);
    link_flush(&s->work);
}

static void prepare_link(struct redis *r, struct link *l, const char *name, link_up_fn *up)
{
    link_init(l, r->ctx, name, r);
    l->up = up;
    l->down = link_down;
    l->timeout_ms = r->timeout_ms;
}

void session_start(struct redis *r)
{
    struct session *s = &r->session;
    char secret[256];
    prepare_link(r, &s->work, "work", work_up);
    prepare_link(r, &s->read, "read", reader_up);
    prepare_link(r, &s->control, "control", reader_up);
    find_init(&s->find, r->ctx, &r->url, r->tls, session_found, r, r->timeout_ms);
    if (r->sentinel_password_file &&
        read_secret(r->sentinel_password_file, NULL, secret, sizeof secret) == 0)
        snprintf(s->find.sentinel_password, sizeof s->find.sentinel_password, "%s", secret);
    s->tick = r->ctx->host->watch_timer(r->ctx, REDIS_TICK_MS, session_tick, r);
    session_again(r, 0);
}

void session_close(struct redis *r)
{
    struct session *s = &r->session;
    s->state = SESSION_DOWN;
    if (!s->tick)
        return; /* never started */
    find_stop(&s->find);
    link_flush(&s->work);
    link_close(&s->work);
    link_close(&s->read);
    link_close(&s->control);
    r->ctx->host->unwatch(r->ctx, s->timer);
    r->ctx->host->unwatch(r->ctx, s->tick);
}

/* A read that waits is ended with its connection. If it got something in this very moment, that is found at the
 * next renewal of our leases. */
void session_drain(struct redis *r, bool on)
{
    struct session *s = &r->session;
    r->draining = on;
    if (!session_is_up(r))
        return;
    if (on) {
        s->read_up = false;
        link_close(&s->read);
        lease_hand_back_ready(r);
        r->lease.renew_ms = 0;
    } else {
        open_link(r, &s->read);
    }
}
