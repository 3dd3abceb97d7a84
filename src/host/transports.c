/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Transport plugins in the host: loading, pulling messages, replying, settling. */
#include <errno.h>
#include <sys/epoll.h>

#include "host/transports.h"

/* Calls a callback of the transport, so that its name is known if it does not come back. */
#define IN_PLUGIN(t, callback, call)            \
    ({                                          \
        mark_enter((t)->block->name, callback); \
        __auto_type in_plugin_ = (call);        \
        mark_leave();                           \
        in_plugin_;                             \
    })

#define PUMP_BATCH 64
#define BACKOFF_MAX_MS 5000

/* ---- pulling ---- */

void transport_pump_later(struct transport_link *t)
{
    if (t->started)
        loop_defer_run(t->pump);
}

static void transport_back(void *arg)
{
    transport_pump_later(arg);
}

/* The callers of one that is not durable are told that there is no room; and what a former host
 * held is taken in any case. */
static bool transport_has_room(const struct transport_link *t)
{
    return !transport_is_durable(t) || (transport_resumes(t) && !t->resumed) ||
           host_credit(t->host) > 0;
}

static void transport_failed(struct transport_link *t, const struct berth_error *err)
{
    if (t->failures++ == 0)
        log_line(BERTH_LOG_ERR, t->block->name, "its source failed: %s", err->text);
    int64_t delay = 50ll << (t->failures < 8 ? t->failures : 8);
    loop_timer_set(t->backoff, delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS);
}

static void transport_pump(void *arg)
{
    struct transport_link *t = arg;
    for (int i = 0; i < PUMP_BATCH; i++) {
        struct berth_message m = {.size = sizeof m};
        struct berth_error err = {0};
        if (!transport_has_room(t))
            return; /* the end of a task pumps again */
        int rc = IN_PLUGIN(t, "recv", t->plugin->transport.recv(&t->ctx, &m, &err));
        if (rc < 0)
            transport_failed(t, &err);
        if (rc <= 0)
            return;
        t->failures = 0;
        intake_message(t, &m);
    }
    loop_defer_run(t->pump);
}

static void transport_ready(void *arg, uint32_t events)
{
    (void)events;
    transport_pump(arg);
}

/* ---- replying ---- */

static struct ticket *ticket_new(struct transport_link *t, struct waiter *w,
                                 uint64_t message, int how)
{
    struct ticket *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    *k = (struct ticket){.number = ++t->next_ticket,
                         .waiter = w,
                         .message = message,
                         .how = how,
                         .transport = t};
    HASH_ADD(hh, t->tickets, number, sizeof k->number, k);
    return k;
}

static void ticket_free(struct ticket *k)
{
    HASH_DEL(k->transport->tickets, k);
    loop_timer_remove(&k->again);
    buf_free(&k->body);
    free(k->task_id);
    free(k);
}

/* Not tried again: whoever has the task now publishes its result. */
static void ticket_stale(struct ticket *k)
{
    k->transport->host->stats.late++;
    log_line(BERTH_LOG_INFO, k->task_id,
             "its result is set aside: the queue has given the task to another host");
}

/* The reply is out. A result's message is settled and its job let go. */
static void ticket_done(struct ticket *k)
{
    struct transport_link *t = k->transport;
    struct waiter *w = k->waiter;
    if (k->kind == BERTH_REPLY_RESULT && w && w->job)
        job_published(w->job, w);
    else if (k->kind == BERTH_REPLY_RESULT) {
        if (w)
            job_detach(w);
        if (k->message)
            transport_settle(t, k->message, k->how);
        if (k->orphan_job)
            job_orphan_published(k->orphan_job);
    }
    ticket_free(k);
}

static void ticket_send(void *arg)
{
    struct ticket *k = arg;
    struct transport_link *t = k->transport;
    struct berth_error err = {0};
    struct berth_reply reply = {.size = sizeof reply,
                                .kind = (uint32_t)k->kind,
                                .message = k->message,
                                .ticket = k->number,
                                .task_id = k->task_id,
                                .attempt = k->attempt,
                                .verdict = k->verdict,
                                .error_code = k->error_code,
                                .failures = k->failures,
                                .losses = k->losses,
                                .state = k->state,
                                .error_text = k->error_text[0] ? k->error_text : NULL,
                                .format = (uint32_t)k->format,
                                .data = k->body.data,
                                .len = k->body.len};
    int rc = IN_PLUGIN(t, "reply", t->plugin->transport.reply(&t->ctx, &reply, &err));
    transport_pump_later(t);
    if (rc == BERTH_LATER)
        return;
    if (rc == -ESTALE)
        ticket_stale(k);
    else if (rc < 0 && k->kind == BERTH_REPLY_RESULT && transport_is_durable(t)) {
        log_line(BERTH_LOG_WARN, k->task_id,
                 "its result could not be published, trying again: %s", err.text);
        k->again = loop_timer_add(t->host->loop, 1000, ticket_send, k);
        return;
    }
    ticket_done(k);
}

static int reply_encode(const struct value *v, int format, struct buf *out)
{
    return format == BERTH_FORMAT_JSON ? value_to_json(v, out, false)
                                       : value_to_msgpack(v, out);
}

static struct ticket *ticket_make(struct transport_link *t, int kind, struct waiter *w,
                                  uint64_t message, int format, const char *id,
                                  const struct value *body)
{
    struct ticket *k = ticket_new(t, w, message, BERTH_SETTLE_ACK);
    if (!k)
        return NULL;
    k->kind = kind;
    k->format = format;
    k->task_id = strdup(id);
    if (k->task_id && reply_encode(body, format, &k->body) == 0)
        return k;
    ticket_free(k);
    return NULL;
}

static struct value state_body(struct arena *a, const struct job *j)
{
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", j->id);
    value_put_str(a, &body, "state", job_state_name(j));
    value_put_int(a, &body, "attempt", j->attempt);
    return body;
}

void transport_reply(struct waiter *w, int kind, const struct job *j,
                     const struct value *result)
{
    cleanup_arena struct arena *a = arena_new();
    struct value body = result ? *result : a ? state_body(a, j) : (struct value){0};
    struct ticket *k =
        ticket_make(w->transport, kind, w, w->message, w->format, j->id, &body);
    if (!k) {
        log_line(BERTH_LOG_ERR, j->id, "no memory for a reply");
        if (kind == BERTH_REPLY_RESULT && w->job)
            job_published(w->job, w);
        return;
    }
    k->attempt = (uint32_t)j->attempt;
    k->failures = (uint32_t)j->failures;
    k->losses = (uint32_t)j->losses;
    k->state = kind == BERTH_REPLY_STATE ? job_state_name(j) : NULL;
    k->verdict = result ? (uint32_t)j->verdict : 0;
    ticket_send(k);
}

void transport_publish_orphan(struct transport_link *t, struct job *j,
                              const struct value *result)
{
    if (!transport_is_durable(t))
        return;
    struct ticket *k =
        ticket_make(t, BERTH_REPLY_RESULT, NULL, 0, BERTH_FORMAT_MSGPACK, j->id, result);
    if (!k)
        return;
    k->attempt = (uint32_t)j->attempt;
    k->verdict = (uint32_t)j->verdict;
    k->orphan_job = j;
    j->publish_pending++;
    ticket_send(k);
}

void transport_refuse(struct transport_link *t, const struct berth_message *m,
                      const char *id, const struct berth_error *why)
{
    cleanup_arena struct arena *a = arena_new();
    struct job nobody = {
        .host = t->host, .id = id, .item = {.executer = "", .runtime = ""}};
    nobody.queued_ms = unix_ms();
    if (!a)
        return;
    struct value body = result_make(a, &nobody, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER,
                                    strerrorname_np(why->code), why->text);
    struct ticket *k = ticket_make(t, BERTH_REPLY_RESULT, NULL, m->message,
                                   (int)m->reply_format, id, &body);
    if (!k) {
        transport_settle(t, m->message, BERTH_SETTLE_DROP);
        return;
    }
    k->verdict = BERTH_VERDICT_REJECTED;
    k->error_code = why->code ? why->code : EIO;
    snprintf(k->error_text, sizeof k->error_text, "%s", why->text);
    k->how = BERTH_SETTLE_DROP;
    ticket_send(k);
}

void transport_replied(struct transport_link *t, uint64_t number,
                       const struct berth_error *err)
{
    struct ticket *k;
    HASH_FIND(hh, t->tickets, &number, sizeof number, k);
    if (!k)
        return;
    transport_pump_later(t);
    if (err && err->code == ESTALE)
        ticket_stale(k);
    else if (err && err->code && k->kind == BERTH_REPLY_RESULT && transport_is_durable(t)) {
        k->again = loop_timer_add(t->host->loop, 1000, ticket_send, k);
        return;
    }
    ticket_done(k);
}

void transport_settle(struct transport_link *t, uint64_t message, int how)
{
    struct berth_error err = {0};
    if (IN_PLUGIN(t, "settle",
                  t->plugin->transport.settle(&t->ctx, message, how, &err)) < 0)
        log_line(BERTH_LOG_WARN, t->block->name, "cannot settle a message: %s", err.text);
}

/* ---- start and end ---- */

static int transport_load(struct host *h, struct transport_link *t, size_t i,
                          struct berth_error *err)
{
    int rc = plugin_load(h->start.transport_fds[i], h->start.transport_paths[i], &t->plugin,
                         err);
    if (rc < 0)
        return rc;
    if (!t->plugin->desc.transport)
        return berth_fail(err, EINVAL,
                          "plugin '%s' is a runtime: it belongs under runtimes",
                          t->block->plugin);
    char owner[128];
    snprintf(owner, sizeof owner, "transport '%s'", t->block->name);
    rc = options_resolve(t->plugin->desc.options, &t->block->keys, owner, &t->options, err);
    if (rc == 0 && t->plugin->desc.open)
        rc = IN_PLUGIN(t, "open", t->plugin->desc.open(&t->ctx, err));
    t->open = rc == 0;
    return rc < 0 ? berth_wrap(err, "transport '%s'", t->block->name) : 0;
}

int transports_load(struct host *h, struct berth_error *err)
{
    size_t n = h->config->transport_count;
    h->transports = calloc(n ? n : 1, sizeof *h->transports);
    if (!h->transports)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        struct transport_link *t = &h->transports[i];
        t->host = h;
        t->block = &h->config->transports[i];
        t->ctx.host = &transport_services;
        t->pump = loop_defer_add(h->loop, transport_pump, t);
        t->backoff = loop_timer_add(h->loop, 0, transport_back, t);
        if (!t->pump || !t->backoff)
            return berth_fail(err, ENOMEM, "out of memory");
        loop_timer_stop(t->backoff);
        int rc = transport_load(h, t, i, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int transports_start(struct host *h, struct berth_error *err)
{
    for (size_t i = 0; i < h->config->transport_count; i++) {
        struct transport_link *t = &h->transports[i];
        int rc = 0;
        if (t->plugin->desc.start)
            rc = IN_PLUGIN(t, "start", t->plugin->desc.start(&t->ctx, err));
        if (rc < 0)
            return berth_wrap(err, "transport '%s'", t->block->name);
        int fd = -1;
        if (t->plugin->transport.fd)
            fd = IN_PLUGIN(t, "fd", t->plugin->transport.fd(&t->ctx));
        if (fd >= 0)
            t->io = loop_io_add(h->loop, fd, EPOLLIN, transport_ready, t);
        t->started = true;
        transport_pump_later(t);
    }
    return 0;
}

void transports_drain(struct host *h, bool on)
{
    for (size_t i = 0; i < h->config->transport_count; i++) {
        struct transport_link *t = &h->transports[i];
        if (!t->plugin->transport.drain)
            continue;
        mark_enter(t->block->name, "drain");
        t->plugin->transport.drain(&t->ctx, on);
        mark_leave();
    }
}

/* Only at an orderly end. Callers that wait on the line go away; what they asked for becomes durable. */
void transports_close(struct host *h)
{
    for (size_t i = 0; i < h->config->transport_count; i++) {
        struct transport_link *t = &h->transports[i];
        if (t->open && t->plugin->desc.close) {
            mark_enter(t->block->name, "close");
            t->plugin->desc.close(&t->ctx);
            mark_leave();
        }
        t->open = false;
    }
}
