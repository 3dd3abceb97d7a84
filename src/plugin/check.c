/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The config against the plugins that it names. */
#include "plugin/loader.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "priv/priv.h"

static bool has_all(capset set, capset wanted)
{
    return (wanted & ~set) == 0;
}

/* The line to write: what is granted already, then what is missing. */
static int not_granted(const struct plugin *p, const struct config_plugin *block,
                       capset granted, capset wanted, struct berth_error *err)
{
    cleanup_buf struct buf line = BUF_INIT;
    char missing[128];
    size_t n = 0;
    capset_format(wanted & ~granted, missing, sizeof(missing));
    for (size_t i = 0; block->capabilities && block->capabilities[i]; i++)
        buf_fmt(&line, "%s\"%s\"", n++ ? ", " : "", block->capabilities[i]);
    for (size_t i = 0; p->desc.capabilities[i]; i++) {
        const char *const one[] = {p->desc.capabilities[i], NULL};
        capset bit;
        if (capset_parse(one, &bit, NULL) == 0 && !has_all(granted, bit))
            buf_fmt(&line, "%s\"%s\"", n++ ? ", " : "", one[0]);
    }
    return berth_fail(
        err, EPERM, "%s:%d: '%s' is not granted '%s', write: capabilities = [ %s ];",
        block->file, block->line, block->name, missing, line.len ? line.data : "");
}

int plugin_check_grants(const struct plugin *p, const struct config_plugin *block,
                        struct berth_error *err)
{
    capset wanted, granted = 0;
    if (!p || !block)
        return berth_fail(err, EINVAL, "plugin_check_grants needs a plugin and its block");
    if (!block->capabilities_given || !p->desc.capabilities)
        return 0;
    int r = capset_parse(p->desc.capabilities, &wanted, err);
    if (r < 0)
        return r;
    if (block->capabilities)
        r = capset_parse(block->capabilities, &granted, err);
    if (r < 0)
        return berth_wrap(err, "%s:%d: key 'capabilities'", block->file, block->line);
    return has_all(granted, wanted) ? 0 : not_granted(p, block, granted, wanted, err);
}

static int check_kind(const struct plugin *p, const struct config_plugin *block,
                      bool runtime, struct berth_error *err)
{
    if (runtime == !!p->desc.runtime)
        return 0;
    return berth_fail(err, EINVAL, "%s:%d: plugin '%s' is a %s: list it under %ss",
                      block->file, block->line, block->plugin,
                      runtime ? "transport" : "runtime", runtime ? "transport" : "runtime");
}

/* Puts the place of the entry before a message that does not name one yet. */
static int at(int r, const char *file, int line, struct berth_error *err)
{
    if (r < 0 && err && strncmp(err->text, file, strlen(file)) != 0)
        berth_wrap(err, "%s:%d", file, line);
    return r;
}

static int check_keys(const struct berth_option *table, const struct config_keys *keys,
                      const char *kind, const char *name, struct berth_error *err)
{
    struct options *o = NULL;
    cleanup_free char *owner = NULL;
    if (asprintf(&owner, "%s '%s'", kind, name) < 0) {
        owner = NULL;
        return berth_fail(err, ENOMEM, "out of memory");
    }
    int r = options_resolve(table, keys, owner, &o, err);
    options_free(o);
    return r;
}

static int load_block(const struct config *c, const struct config_plugin *block,
                      struct plugin **ret, struct berth_error *err)
{
    cleanup_free char *path = NULL;
    int fd = plugin_find(c->plugin_path, block->plugin, &path, err);
    return fd < 0 ? fd : plugin_load(fd, path, ret, err);
}

static int check_block(const struct config *c, const struct config_plugin *block,
                       bool runtime, struct plugin **ret, struct berth_error *err)
{
    int r = load_block(c, block, ret, err);
    if (r == 0)
        r = check_kind(*ret, block, runtime, err);
    if (r == 0)
        r = check_keys((*ret)->desc.options, &block->keys,
                       runtime ? "runtime" : "transport", block->name, err);
    /* Where this process has nothing to give, the plugin does without, and says so in its
     * probe. */
    if (r == 0 && capset_permitted())
        r = plugin_check_grants(*ret, block, err);
    return at(r, block->file, block->line, err);
}

static int check_transports(const struct config *c, struct berth_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->transport_count; i++) {
        struct plugin *p = NULL;
        r = check_block(c, &c->transports[i], false, &p, err);
        plugin_free(p);
    }
    return r;
}

static int check_executers(const struct config *c, struct plugin *const *plugins,
                           struct berth_error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < c->executer_count; i++) {
        const struct config_executer *e = &c->executers[i];
        const struct config_plugin *block = config_runtime(c, e->runtime);
        if (!block)
            r = berth_fail(err, EINVAL, "executer '%s': no runtime '%s'", e->name,
                           e->runtime);
        else
            r = check_keys(plugins[block - c->runtimes]->desc.executer_options, &e->keys,
                           "executer", e->name, err);
        r = at(r, e->file, e->line, err);
    }
    return r;
}

int plugins_check(const struct config *c, struct berth_error *err)
{
    if (!c)
        return berth_fail(err, EINVAL, "plugins_check needs a config");
    int r = check_transports(c, err);
    struct plugin **plugins = calloc(c->runtime_count + 1, sizeof(struct plugin *));
    if (!plugins)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; r == 0 && i < c->runtime_count; i++)
        r = check_block(c, &c->runtimes[i], true, &plugins[i], err);
    if (r == 0)
        r = check_executers(c, plugins, err);
    for (size_t i = 0; i < c->runtime_count; i++)
        plugin_free(plugins[i]);
    free(plugins);
    return r;
}
