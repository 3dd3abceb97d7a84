/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Rules for transports. The host here answers each message at once: accepted, a state, a
 * result, settled; every fourth is refused. Its results mean nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "conform/rules.h"
#include "conform/trial.h"

#define PROTOCOL "berth/transport.h, top of the file"
#define MESSAGE "berth/transport.h, struct berth_message"
#define CALLBACKS "berth/transport.h, struct berth_transport"
#define MAY (WORLD_NEW_FDS | WORLD_THREADS)
#define MESSAGES_MAX 4096 /* unsettled */
#define TAKEN_MAX 20000   /* by one trial: a source may never be empty */
#define LOOK 16           /* idle rounds per look at memory and descriptors */
#define LEAST_LEAK 64     /* bytes per round */
#define FEEDS_WARM 12     /* times that the feeding command is run before memory counts, */
#define FEEDS_LOOK 4      /* and then per look */
#define PATIENCE_MS 20000

struct message {
    uint64_t number;
    uint32_t flags, format;
    bool forgotten, wants_accepted, accepted;
};

struct service {
    struct contact contact; /* first */
    struct message unsettled[MESSAGES_MAX];
    int count, taken, settled;
    uint64_t last_ticket,
        pending;      /* pending: ticket of a reply that comes later; 0: none */
    const void *data; /* of the newest message, and what it was */
    char *copy;
    size_t len;
};

static struct message *find(struct service *v, uint64_t number)
{
    for (int i = 0; i < v->count; i++)
        if (v->unsettled[i].number == number)
            return &v->unsettled[i];
    return NULL;
}

/* ---- what the plugin tells ---- */

static void replied(struct lender *l, uint64_t ticket, const struct berth_error *err)
{
    struct service *v = (struct service *)l;
    (void)err;
    if (!v->pending || ticket != v->pending)
        contact_fault(
            &v->contact, true, "berth/plugin.h, host->replied",
            "ticket %llu is of no reply that returned BERTH_LATER, or was told twice",
            (unsigned long long)ticket);
    else
        v->pending = 0;
}

static void forgotten(struct lender *l, uint64_t number)
{
    struct service *v = (struct service *)l;
    struct message *m = find(v, number);
    if (!m || m->forgotten)
        contact_fault(&v->contact, true, "berth/plugin.h, host->forget",
                      "message %llu is not there, or was forgotten before",
                      (unsigned long long)number);
    else
        m->forgotten = true;
}

static void persisted(struct lender *l, uint64_t number)
{
    struct service *v = (struct service *)l;
    struct message *m = find(v, number);
    if (!m || !(m->flags & BERTH_MESSAGE_ON_THE_LINE))
        contact_fault(&v->contact, true, "berth/plugin.h, host->persist",
                      "message %llu is not there, or was not on the line",
                      (unsigned long long)number);
    else
        m->wants_accepted = true;
}

/* ---- taking ---- */

static void check_data(struct service *v)
{
    if (v->data && v->len && memcmp(v->data, v->copy, v->len) != 0)
        contact_fault(&v->contact, true, MESSAGE,
                      "the data of a message changed before the next call of 'recv'");
    free(v->copy);
    v->copy = NULL;
    v->data = NULL;
}

static void check_message(struct service *v, const struct berth_message *m)
{
    struct contact *c = &v->contact;
    if (!m->message || find(v, m->message))
        contact_fault(c, true, MESSAGE, "its number is %llu, which %s",
                      (unsigned long long)m->message,
                      m->message ? "an unsettled message has already" : "none may have");
    if (!m->data && m->len)
        contact_fault(c, true, MESSAGE, "it has %zu bytes of data at NULL", m->len);
    if (m->flags & ~BERTH_MESSAGE_ON_THE_LINE || m->size != sizeof *m)
        contact_fault(c, true, MESSAGE, "flags 0x%x or size %u is unknown", m->flags,
                      m->size);
    if (m->format > BERTH_FORMAT_JSON || m->reply_format > BERTH_FORMAT_JSON)
        contact_fault(c, true, MESSAGE, "format %u or reply_format %u is unknown",
                      m->format, m->reply_format);
    if (m->tenant && !is_name(m->tenant))
        contact_fault(c, true, MESSAGE, "'%.100s' is no tenant's name", m->tenant);
}

/* 1 took one, 0 none. */
static int take(struct service *v)
{
    struct contact *c = &v->contact;
    struct berth_message m = {.size = sizeof m};
    check_data(v);
    int rc =
        CALL(c, "recv", MAY, 1, c->plugin->transport.recv(&c->lender.ctx, &m, &c->err));
    if (rc != 1)
        return 0;
    check_message(v, &m);
    v->unsettled[v->count++] =
        (struct message){.number = m.message,
                         .flags = m.flags,
                         .format = m.reply_format,
                         .wants_accepted = !(m.flags & BERTH_MESSAGE_ON_THE_LINE)};
    v->taken++;
    v->data = m.data;
    v->len = m.data ? m.len : 0;
    v->copy = malloc(v->len + 1);
    if (v->copy && v->len)
        memcpy(v->copy, m.data, v->len);
    return 1;
}

/* Until recv returns 0, as the host promises. */
static void pump(struct service *v)
{
    atomic_store(&v->contact.lender.woken, false);
    while (v->count < MESSAGES_MAX && v->taken < TAKEN_MAX && take(v) > 0)
        ;
}

/* ---- answering ---- */

static void wait_replied(struct service *v)
{
    int64_t end = now_ms() + PATIENCE_MS;
    while (v->pending && now_ms() < end)
        lender_serve(&v->contact.lender, 10);
    if (v->pending)
        contact_fault(
            &v->contact, true, CALLBACKS,
            "'reply' returned BERTH_LATER and host->replied did not follow in %d s",
            PATIENCE_MS / 1000);
    v->pending = 0;
}

static void reply(struct service *v, uint64_t number, uint32_t kind, int error_code)
{
    static const char json[] = "{\"v\":1,\"id\":\"conform-1\",\"attempt\":1}";
    static const char msgpack[] = "\x83\xa1v\x01\xa2id\xa9"
                                  "conform-1\xa7"
                                  "attempt\x01";
    struct contact *c = &v->contact;
    struct message *m = find(v, number);
    if (!m || m->forgotten)
        return;
    bool is_json = m->format == BERTH_FORMAT_JSON;
    struct berth_reply r = {.size = sizeof r,
                            .kind = kind,
                            .message = number,
                            .ticket = ++v->last_ticket,
                            .task_id = "conform-1",
                            .attempt = error_code ? 0 : 1,
                            .verdict = kind != BERTH_REPLY_RESULT ? 0
                                       : error_code               ? BERTH_VERDICT_REJECTED
                                                                  : BERTH_VERDICT_SUCCEEDED,
                            .error_code = error_code,
                            .error_text = error_code ? "refused by berth-conform" : NULL,
                            .format = m->format,
                            .data = is_json ? json : msgpack,
                            .len = is_json ? sizeof json - 1 : sizeof msgpack - 1};
    v->pending = r.ticket; /* replied may be called before reply has returned */
    int rc = CALL(c, "reply", MAY, BERTH_LATER,
                  c->plugin->transport.reply(&c->lender.ctx, &r, &c->err));
    if (rc == BERTH_LATER)
        wait_replied(v);
    else if (!v->pending)
        contact_fault(c, true, CALLBACKS,
                      "'reply' returned %d and called host->replied too", rc);
    v->pending = 0;
    pump(v);
}

static void answer(struct service *v, uint64_t number)
{
    struct contact *c = &v->contact;
    bool refuse = ++v->settled % 4 == 0;
    lender_serve(&c->lender, 0); /* its caller may be gone already */
    struct message *m = find(v, number);
    if (!refuse && m && m->wants_accepted)
        reply(v, number, BERTH_REPLY_ACCEPTED, 0);
    if (!refuse)
        reply(v, number, BERTH_REPLY_STATE, 0);
    reply(v, number, BERTH_REPLY_RESULT, refuse ? EINVAL : 0);
    CALL(c, "settle", MAY, INT32_MAX,
         c->plugin->transport.settle(&c->lender.ctx, number,
                                     refuse ? BERTH_SETTLE_DROP : BERTH_SETTLE_ACK,
                                     &c->err));
    m = find(v, number);
    if (m)
        *m = v->unsettled[--v->count];
}

static void pump_and_answer(struct service *v)
{
    pump(v);
    while (v->count)
        answer(v, v->unsettled[0].number);
    check_data(v);
}

/* ---- the trials ---- */

static bool begin(struct service *v, const struct subject *s)
{
    struct contact *c = &v->contact;
    if (!contact_load(c, STAGE_WORK, s) || !contact_open(c))
        return false;
    c->lender.replied = replied;
    c->lender.forgotten = forgotten;
    c->lender.persisted = persisted;
    return true;
}

static void check_fd(struct contact *c)
{
    int fd[2];
    if (!c->plugin->transport.fd)
        return;
    for (int i = 0; i < 2; i++)
        fd[i] =
            CALL(c, "fd", 0, INT32_MAX, c->plugin->transport.fd(&c->lender.ctx) + 1) - 1;
    if (fd[0] != fd[1] || fd[0] < -1 || (fd[0] >= 0 && fcntl(fd[0], F_GETFD) < 0))
        contact_fault(c, true, CALLBACKS,
                      "'fd' gave %d, then %d: one open descriptor, or -1", fd[0], fd[1]);
}

static void drain(struct contact *c, int on)
{
    if (!c->plugin->transport.drain)
        return;
    contact_enter(c, "drain");
    c->plugin->transport.drain(&c->lender.ctx, on);
    contact_leave_void(c, MAY);
}

struct growths {
    struct growth heap, fds;
};

static void look(struct growths *g, struct contact *c)
{
    world_take(c->after);
    growth_look(&g->heap, heap_bytes());
    growth_look(&g->fds, (long)world_fd_count(c->after));
}

static void check_growths(const struct growths *g, const char *what, int rounds)
{
    expect(!growth_is_steady(&g->heap, rounds * LEAST_LEAK), CALLBACKS,
           "%s takes no more memory each time", what);
    seen("%ld bytes more each time", (g->heap.at[3] - g->heap.at[2]) / rounds);
    expect(!growth_is_steady(&g->fds, 1), CALLBACKS,
           "%s takes no more descriptors each time", what);
    seen("%ld more after %d rounds", g->fds.at[3] - g->fds.at[2], rounds);
}

void rules_idle(void *arg)
{
    static struct service v;
    struct contact *c = &v.contact;
    struct growths g = {{.count = 0}, {.count = 0}};
    if (begin(&v, arg)) {
        check_fd(c);
        pump_and_answer(&v);
        drain(c, 1);
        pump_and_answer(&v);
        drain(c, 0);
        /* With a fault it may go on for ever, or for long. */
        for (int i = 0; i < 4 * LOOK && !contact_has_faults(c); i++) {
            pump_and_answer(&v);
            lender_serve(&c->lender, 1);
            if (i % LOOK == LOOK - 1)
                look(&g, c);
        }
        if (g.heap.count == 4)
            check_growths(&g, "an idle round", LOOK);
        drain(c, 1);
        contact_close(c);
    }
    contact_end(c);
}

void rules_serve(void *arg)
{
    static struct service v;
    const struct subject *s = arg;
    struct contact *c = &v.contact;
    struct growths g = {{.count = 0}, {.count = 0}};
    int feeds = 0, taken = 0;
    if (!begin(&v, s)) {
        contact_end(c);
        return;
    }
    int watch = c->plugin->transport.fd ? c->plugin->transport.fd(&c->lender.ctx) : -1;
    trial_feed();
    for (int64_t end = now_ms() + PATIENCE_MS; now_ms() < end && !contact_has_faults(c);) {
        pump_and_answer(&v);
        lender_serve(&c->lender, watch >= 0 ? 1 : 5);
        if (trial_feeds() == feeds)
            continue;
        feeds = trial_feeds();
        if (feeds >= FEEDS_WARM + FEEDS_LOOK * g.heap.count)
            look(&g, c);
        if (v.taken > taken)
            end = now_ms() + PATIENCE_MS;
        taken = v.taken;
        if (g.heap.count == 4 && v.taken >= s->messages)
            break;
    }
    expect(v.taken >= s->messages || contact_has_faults(c), PROTOCOL,
           "what the feeding command sends comes in through 'recv'");
    seen("%d messages came, %d were to come; the command has ended %d times", v.taken,
         s->messages, feeds);
    check_growths(&g, "a served message", FEEDS_LOOK * v.taken / (feeds ? feeds : 1) + 1);
    drain(c, 1);
    contact_close(c);
    contact_end(c);
}
