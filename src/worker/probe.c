/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Is the engine there, and what can be held here? Asked at start and then periodically. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "worker/worker_int.h"

#define PROBE_LIMIT_MS 10000
#define PROBE_EVERY_MS 30000
#define PROBE_AGAIN_MS 5000 /* while it fails */

static int probe_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct worker *w = arg;
    struct berth_probe p;
    probe_default(&p);
    int rc = w->rt.plugin->runtime.probe(&w->rt.ctx, &p, err);
    p.version[sizeof p.version - 1] = p.detail[sizeof p.detail - 1] = '\0';
    if (rc >= 0)
        buf_add(out, &p, sizeof p);
    return rc;
}

void probe_send(struct worker *w)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a || !w->probed)
        return;
    struct value body = value_new_map(a);
    const char *groups = cgroup_base_text(w->rt.cgroups), *spaces = w->rt.isolation.text;
    value_put_bool(a, &body, "ok", !w->probe_error.code);
    if (w->probe_error.code)
        value_put_str(a, &body, "error", w->probe_error.text);
    value_put_str(a, &body, "version", w->rt.probe.version);
    value_put_str(a, &body, "detail", w->rt.probe.detail);
    if (w->rt.plugin) {
        struct enforce_view best = enforce_best(&w->rt);
        value_put(a, &body, "enforce", enforce_map(a, &w->rt, &best));
        struct value executers;
        if (w->explained.len &&
            value_from_msgpack(a, w->explained.data, w->explained.len,
                               &value_limits_default, &executers, NULL) == 0)
            value_put(a, &body, "executers", executers);
        value_put_str(
            a, &body, "missing",
            arena_fmt(a, "%s%s%s", groups, *groups && *spaces ? "; " : "", spaces));
    }
    host_link_send(w->link, FRAME_WORKER_PROBE, &body);
}

static void probe_result(struct worker *w, const struct berth_error *err)
{
    w->probed = true;
    w->probe_error = *err;
    loop_timer_set(w->probe_timer, err->code ? PROBE_AGAIN_MS : PROBE_EVERY_MS);
    probe_send(w);
    if (!w->probe_error.code)
        explain_start(w);
}

static void probed(void *arg, const struct helper_end *end)
{
    struct worker *w = arg;
    struct berth_error err = end->err;
    w->probe = NULL;
    if (end->rc >= 0 && end->len == sizeof w->rt.probe)
        memcpy(&w->rt.probe, end->data, sizeof w->rt.probe);
    else if (end->rc >= 0)
        berth_fail(&err, EPROTO, "the probe said nothing");
    if (end->rc == -ECHILD || end->rc == -ETIMEDOUT)
        berth_wrap(&err, "probe of plugin '%s'", w->rt.block->plugin);
    probe_result(w, &err);
}

void probe_turn(void *arg)
{
    struct worker *w = arg;
    struct berth_error err = {0};
    if (!w->rt.plugin) {
        probe_result(w, &w->rt.error);
        return;
    }
    if (w->probe)
        return;
    if (!w->rt.plugin->runtime.probe ||
        helper_start(&w->rt, w->loop, PROBE_LIMIT_MS, probe_work, w, probed, w, &w->probe,
                     &err) < 0)
        probe_result(w, &err);
}
