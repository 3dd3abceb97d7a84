/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What each executer will really get. The plugin is asked for the command of a task that asks for nothing but the
 * executer, as it will be for a real one; what the core would put around that command is what is told.
 */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "worker/command.h"
#include "worker/enforce.h"
#include "worker/worker_int.h"

#define EXPLAIN_LIMIT_MS 10000

static struct berth_task explain_view(const struct plan *p, const struct config_executer *x)
{
    return (struct berth_task){
        .size = sizeof(struct berth_task),
        .attempt = 1,
        .id = "explain",
        .executer = x->name,
        .image = p->image,
        .argv = p->argv,
        .env = p->env,
        .resources = {.cpus = p->resources.cpus,
                      .memory_bytes = (uint64_t)p->resources.memory_bytes,
                      .disk_bytes = (uint64_t)p->resources.disk_bytes,
                      .pids = (uint32_t)p->resources.pids},
        .network = p->network,
        .timeout_ms = p->timeout_ms,
        .tenant = "",
        .work_dir = "/work",
        .instance = "explain",
        .uid = -1,
        .gid = -1,
        .cgroup = "",
    };
}

static int explain_executer(struct runtime *rt, struct arena *a,
                            const struct config_executer *x, struct enforce_view *ret,
                            struct berth_error *err)
{
    struct enforce_view best = enforce_best(rt);
    struct plan p;
    int rc = plan_of_executer(rt->config, x, a, &p, err);
    *ret = best;
    if (rc < 0 || runtime_is_full(rt))
        return rc;
    struct berth_task view = explain_view(&p, x);
    struct command *c = command_new("/work");
    if (!c)
        return berth_fail(err, ENOMEM, "out of memory");
    rc = rt->plugin->runtime.command(&rt->ctx, &view, &c->cmd, err);
    if (rc >= 0)
        *ret = enforce_command(rt, &c->cmd, best.own_uid);
    ret->disk = best.disk;
    command_free(c);
    return rc;
}

static int explain_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct worker *w = arg;
    const struct config *config = w->rt.config;
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    struct value all = value_new_map(a);
    for (size_t i = 0; i < config->executer_count; i++) {
        const struct config_executer *x = &config->executers[i];
        struct berth_error why = {0};
        struct enforce_view view;
        if (strcmp(x->runtime, w->rt.block->name) != 0)
            continue;
        int rc = explain_executer(&w->rt, a, x, &view, &why);
        struct value map = enforce_map(a, &w->rt, &view);
        if (rc < 0)
            value_put_str(a, &map, "error", why.text);
        value_put(a, &all, x->name, map);
    }
    return value_to_msgpack(&all, out);
}

static void explained(void *arg, const struct helper_end *end)
{
    struct worker *w = arg;
    w->explain = NULL;
    if (end->rc >= 0)
        buf_add(&w->explained, end->data, end->len);
    probe_send(w);
}

void explain_start(struct worker *w)
{
    struct berth_error err;
    if (w->rt.plugin && !w->explain && !w->explained.len)
        helper_start(&w->rt, w->loop, EXPLAIN_LIMIT_MS, explain_work, w, explained, w,
                     &w->explain, &err);
}
