/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Finding and loading the config, and looking things up in it. */
#include "config/config.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "config/load.h"

#define CONFIG_PATH BERTH_SYSCONFDIR "/berth.conf"

/* Which file: the given one, $BERTH_CONFIG, the installed one if it exists; NULL: built in. */
static const char *config_choose(const char *path)
{
    const char *env = getenv("BERTH_CONFIG");

    if (path)
        return path;
    if (env && *env)
        return env;
    return access(CONFIG_PATH, F_OK) < 0 && errno == ENOENT ? NULL : CONFIG_PATH;
}

static int config_parse(struct arena *a, const char *path, struct tree *ret,
                        struct berth_error *err)
{
    cleanup_free char *text = NULL;
    size_t len;
    int r;

    if (!path)
        return tree_parse(a, NULL, config_builtin, strlen(config_builtin), ret, err);
    r = tree_read_text(path, &text, &len, err);
    return r < 0 ? r : tree_parse(a, path, text, len, ret, err);
}

int config_load(const char *path, struct config **ret, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct config *c = a ? arena_alloc(a, sizeof *c) : NULL;
    struct tree root = {0};
    struct load l = {.arena = a, .config = c, .root = &root, .err = err};
    int r;

    if (!c)
        return berth_fail(err, ENOMEM, "out of memory");
    path = config_choose(path);
    r = config_parse(a, path, &root, err);
    if (r >= 0)
        r = load_host(&l);
    if (r >= 0)
        r = load_entries(&l);
    if (r >= 0)
        r = load_check(&l);
    if (r < 0)
        return r;
    c->path = arena_str(a, path ? path : "(built in)");
    if (!c->path)
        return berth_fail(err, ENOMEM, "out of memory");
    c->arena = take_ptr(a);
    *ret = c;
    return 0;
}

void config_free(struct config *c)
{
    if (c)
        arena_free(c->arena);
}

const struct config_executer *config_executer(const struct config *c, const char *name)
{
    for (size_t i = 0; name && i < c->executer_count; i++)
        if (!strcmp(c->executers[i].name, name))
            return &c->executers[i];
    return NULL;
}

const struct config_plugin *config_runtime(const struct config *c, const char *name)
{
    for (size_t i = 0; name && i < c->runtime_count; i++)
        if (!strcmp(c->runtimes[i].name, name))
            return &c->runtimes[i];
    return NULL;
}

const struct config_tenant *config_tenant(const struct config *c, const char *name)
{
    static const struct config_tenant everybody = {.name = "*", .weight = 1};
    const struct config_tenant *others = &everybody;

    for (size_t i = 0; i < c->tenant_count; i++) {
        if (name && !strcmp(c->tenants[i].name, name))
            return &c->tenants[i];
        if (!strcmp(c->tenants[i].name, "*"))
            others = &c->tenants[i];
    }
    return others;
}
