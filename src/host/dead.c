/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Questions of berth(1) about dead letters, which the transports keep in their own queues. */
#include <errno.h>

#include "host/host_int.h"

struct dead_ask {
    uint64_t ticket;
    struct transport_link *transport;
    struct ctl_client *client;
    struct dead_ask *prev, *next;
};

static bool has_letters(const struct transport_link *t)
{
    return t->started && t->plugin->transport.dead;
}

/* The one that is named, or the only one. */
static struct transport_link *dead_transport(struct host *h, const char *name,
                                             struct berth_error *err)
{
    struct transport_link *found = NULL;
    for (size_t i = 0; i < h->config->transport_count; i++) {
        struct transport_link *t = &h->transports[i];
        if (!has_letters(t) || (name && strcmp(name, t->block->name) != 0))
            continue;
        if (found) {
            berth_fail(err, EINVAL,
                       "both '%s' and '%s' keep dead letters: say which with --transport",
                       found->block->name, t->block->name);
            return NULL;
        }
        found = t;
    }
    if (!found && name)
        berth_fail(err, ENOENT, "no transport '%s' that keeps dead letters", name);
    else if (!found)
        berth_fail(err, ENOENT, "no transport of this host keeps dead letters");
    return found;
}

static int dead_op(const char *name, struct berth_error *err)
{
    static const char *const names[] = {"list", "requeue", "purge"};
    for (int i = 0; i < (int)countof(names); i++)
        if (!strcmp(name, names[i]))
            return i;
    return berth_fail(err, EINVAL, "'%s' is not one of list, requeue, purge", name);
}

static void ask_free(struct host *h, struct dead_ask *ask)
{
    DL_DELETE(h->dead_asks, ask);
    free(ask);
}

int dead_ask(struct ctl_client *c, const struct value *body, struct berth_error *err)
{
    struct host *h = ctl_host(c);
    int op = dead_op(value_str(body, "op", ""), err);
    struct transport_link *t =
        op < 0 ? NULL : dead_transport(h, value_str(body, "transport", NULL), err);
    if (!t)
        return -err->code;
    struct dead_ask *ask = malloc(sizeof *ask);
    if (!ask)
        return berth_fail(err, ENOMEM, "out of memory");
    *ask = (struct dead_ask){.ticket = ++h->next_dead, .transport = t, .client = c};
    DL_APPEND(h->dead_asks, ask);
    int64_t limit = value_int(body, "limit", 0);
    struct berth_dead dead = {.size = sizeof dead,
                              .op = (uint32_t)op,
                              .ticket = ask->ticket,
                              .id = value_str(body, "id", NULL),
                              .cursor = value_str(body, "cursor", NULL),
                              .limit = limit > 0 && limit <= 1000 ? (uint32_t)limit : 100};
    mark_enter(t->block->name, "dead");
    int rc = t->plugin->transport.dead(&t->ctx, &dead, err);
    mark_leave();
    if (rc < 0)
        ask_free(h, ask);
    return rc;
}

void dead_done(struct transport_link *t, uint64_t ticket, const void *data, size_t len,
               const struct berth_error *err)
{
    struct dead_ask *ask;
    DL_SEARCH_SCALAR(t->host->dead_asks, ask, ticket, ticket);
    if (!ask || ask->transport != t)
        return;
    if (ask->client)
        ctl_answer(ask->client, data, len, err);
    ask_free(t->host, ask);
}

void dead_forget(struct ctl_client *c)
{
    struct dead_ask *ask;
    DL_FOREACH (ctl_host(c)->dead_asks, ask)
        if (ask->client == c)
            ask->client = NULL;
}
