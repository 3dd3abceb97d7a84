/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Loading the one plugin of a worker: grants, options, open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "worker/enforce.h"
#include "worker/runtime.h"

/* A plain user has nothing to grant: what is missing then shows in what the probe says
 * is not enforced. */
static int check_grants(const struct runtime *rt, const struct worker_start *start,
                        struct berth_error *err)
{
    capset wanted = 0;
    const char *const *names = rt->plugin->desc.capabilities;
    if (!names || (!start->drop.change_ids && !capset_permitted()))
        return 0;
    int rc = capset_parse(names, &wanted, err);
    if (rc < 0)
        return berth_wrap(err, "plugin '%s'", rt->plugin->desc.name);
    capset missing = wanted & ~capset_permitted();
    if (!missing)
        return 0;
    char list[100];
    cleanup_buf struct buf line = BUF_INIT;
    capset_format(missing, list, sizeof list);
    for (const char *const *name = names; *name; name++)
        buf_fmt(&line, "%s\"%s\"", name == names ? "" : ", ", *name);
    return berth_fail(err, EPERM,
                      "runtime '%s' lacks %s: write capabilities = [ %s ]; at %s:%d",
                      rt->block->name, list, line.data ? line.data : "", rt->block->file,
                      rt->block->line);
}

static int resolve_executers(struct runtime *rt, struct berth_error *err)
{
    static const struct config_keys none;
    const struct berth_option *table = rt->plugin->desc.executer_options;
    rt->executer_options =
        calloc(rt->config->executer_count + 1, sizeof *rt->executer_options);
    if (!rt->executer_options)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < rt->config->executer_count; i++) {
        const struct config_executer *e = &rt->config->executers[i];
        char owner[96];
        if (strcmp(e->runtime, rt->block->name) != 0)
            continue;
        snprintf(owner, sizeof owner, "executer '%.64s'", e->name);
        int rc = options_resolve(table, &e->keys, owner, &rt->executer_options[i], err);
        if (rc < 0)
            return rc;
    }
    if (options_resolve(table, &none, "ad-hoc task", &rt->adhoc_options, NULL) < 0)
        rt->adhoc_options = NULL; /* refused when one comes, not now */
    return 0;
}

static int resolve_options(struct runtime *rt, struct berth_error *err)
{
    char owner[96];
    snprintf(owner, sizeof owner, "runtime '%.64s'", rt->block->name);
    int rc = options_resolve(rt->plugin->desc.options, &rt->block->keys, owner,
                             &rt->options, err);
    return rc < 0 ? rc : resolve_executers(rt, err);
}

static int call(struct runtime *rt, const char *name,
                int (*callback)(struct berth_ctx *ctx, struct berth_error *err),
                struct berth_error *err)
{
    if (!callback)
        return 0;
    mark_enter(rt->block->name, name); /* the monitor ends a worker that hangs here */
    int rc = callback(&rt->ctx, err);
    mark_leave();
    if (rc < 0 && !err->code)
        berth_fail(err, -rc, "plugin '%s': %s failed without saying why",
                   rt->plugin->desc.name, name);
    return rc < 0 ? rc : 0;
}

static int open_plugin(struct runtime *rt, struct berth_error *err)
{
    int rc = call(rt, "open", rt->plugin->desc.open, err);
    if (rc < 0)
        return rc;
    rt->plugin_open = true;
    rc = call(rt, "start", rt->plugin->desc.start, err);
    if (rc < 0)
        runtime_close(rt);
    return rc;
}

static int load(struct runtime *rt, const struct worker_start *start,
                struct berth_error *err)
{
    if (start->plugin_fd < 0) {
        *err = start->plugin_error;
        return err->code ? -err->code
                         : berth_fail(err, ENOENT, "plugin '%s' was not found",
                                      start->block->plugin);
    }
    int rc = plugin_load(start->plugin_fd, start->plugin_path, &rt->plugin, err);
    if (rc < 0)
        return rc;
    if (!rt->plugin->desc.runtime)
        return berth_fail(err, EINVAL, "plugin '%s' is a transport, not a runtime",
                          rt->plugin->desc.name);
    rc = check_grants(rt, start, err);
    if (rc == 0)
        rc = resolve_options(rt, err);
    return rc < 0 ? rc : open_plugin(rt, err);
}

void runtime_open(struct runtime *rt, const struct worker_start *start)
{
    struct berth_error err = {0};
    *rt = (struct runtime){.config = start->config,
                           .block = start->block,
                           .cgroups = start->cgroups,
                           .ctx.host = &runtime_host};
    probe_default(&rt->probe);
    if (load(rt, start, &err) < 0) {
        rt->error = err;
        rt->plugin = NULL; /* what was mapped stays mapped: plugins are never closed */
        return;
    }
    isolation_probe(&rt->isolation);
    rt->filter = seccomp_filter_new(&err);
    if (!rt->filter) {
        rt->isolation.can &= ~BERTH_ISOLATE_SECCOMP;
        log_warn("no system call filter: %s", err.text);
    }
}

void runtime_close(struct runtime *rt)
{
    if (rt->plugin_open && rt->plugin->desc.close) {
        mark_enter(rt->block->name, "close");
        rt->plugin->desc.close(&rt->ctx);
        mark_leave();
    }
    rt->plugin_open = false;
}

bool runtime_is_full(const struct runtime *rt)
{
    return rt->plugin->runtime.run != NULL;
}
