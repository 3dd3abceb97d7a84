/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The keys that hold lists of groups: transports, runtimes, executers, tenants, adhoc. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "config/load.h"

#define AT(member) offsetof(struct config_plugin, member)
static const struct field transport_fields[] = {
    KEY("plugin", FIELD_PLUGIN, AT(plugin), .required = true),
    KEY("name", FIELD_NAME, AT(name)),
    KEY("capabilities", FIELD_WORDS, AT(capabilities)),
    KEY("ready", FIELD_MS, AT(ready_ms), .min = 100, .max = LOAD_YEAR_MS),
    {0},
};

static const struct field runtime_fields[] = {
    KEY("plugin", FIELD_PLUGIN, AT(plugin), .required = true),
    KEY("name", FIELD_NAME, AT(name)),
    KEY("capabilities", FIELD_WORDS, AT(capabilities)),
    KEY("groups", FIELD_STRINGS, AT(groups)),
    {0},
};
#undef AT

#define AT(member) offsetof(struct config_executer, member)
static const struct field executer_fields[] = {
    KEY("name", FIELD_NAME, AT(name), .required = true),
    KEY("runtime", FIELD_NAME, AT(runtime), .required = true),
    KEY("image", FIELD_ANY_STR, AT(image)),
    KEY("command", FIELD_STRINGS, AT(command)),
    KEY("env", FIELD_ENV, AT(env)),
    KEY("env_allow", FIELD_STRINGS, AT(env_allow)),
    KEY("allow_args", FIELD_BOOL, AT(allow_args)),
    KEY("resources", FIELD_GROUP, AT(resources), .table = load_resources),
    KEY("max", FIELD_GROUP, AT(max), .table = load_resources),
    KEY("timeout", FIELD_MS, AT(timeout_ms), .max = 10 * LOAD_YEAR_MS),
    KEY("max_timeout", FIELD_MS, AT(max_timeout_ms), .max = 10 * LOAD_YEAR_MS),
    KEY("kill_grace", FIELD_MS, AT(kill_grace_ms), .max = 86400e3),
    KEY("output_max", FIELD_BYTES, AT(output_max_bytes), .max = 0x1p40),
    KEY("retries", FIELD_INT, AT(retries), .max = 100),
    KEY("max_running", FIELD_INT, AT(max_running), .max = LOAD_COUNT_MAX),
    KEY("network", FIELD_NETWORK, AT(network)),
    KEY("allow_network", FIELD_BOOL, AT(allow_network)),
    KEY("require", FIELD_REQUIRE, AT(require)),
    {0},
};
#undef AT

#define AT(member) offsetof(struct config_tenant, member)
static const struct field tenant_fields[] = {
    KEY("name", FIELD_STR, AT(name), .required = true),
    KEY("weight", FIELD_NUMBER, AT(weight), .min = 0.001, .max = 1e6),
    KEY("max_running", FIELD_INT, AT(max_running), .max = LOAD_COUNT_MAX),
    KEY("max_queued", FIELD_INT, AT(max_queued), .max = LOAD_COUNT_MAX),
    {0},
};
#undef AT

#define AT(member) offsetof(struct config_adhoc, member)
static const struct field adhoc_fields[] = {
    KEY("runtime", FIELD_NAME, AT(runtime), .required = true),
    KEY("images", FIELD_STRINGS, AT(images)),
    KEY("commands", FIELD_STRINGS, AT(commands)),
    KEY("tenants", FIELD_STRINGS, AT(tenants)),
    KEY("allow_network", FIELD_BOOL, AT(allow_network)),
    {0},
};
#undef AT

static const char *const any_pattern[] = {"*", NULL};

typedef int entry_fn(struct load *l, const struct tree *t, void *entry);

/* The names in a table, NULL-terminated; NULL if out of memory. */
static const char *const *table_names(struct arena *a, const struct field *table)
{
    const char **names;
    size_t n = 0;

    while (table[n].name)
        n++;
    names = arena_alloc(a, (n + 1) * sizeof *names);
    for (size_t i = 0; names && i < n; i++)
        names[i] = table[i].name;
    return names;
}

static int load_plugin(struct load *l, const struct tree *t, const char *list,
                       const struct field *table, struct config_plugin *p)
{
    int r;

    p->file = t->file;
    p->line = t->line;
    p->ready_ms = 30 * 1000;
    p->groups = load_none;
    p->keys.own = table_names(l->arena, table);
    if (!p->keys.own)
        return berth_fail(l->err, ENOMEM, "out of memory");
    r = fields_read(l->arena, t, list, table, p, &p->keys, l->err);
    if (!p->name)
        p->name = p->plugin;
    p->capabilities_given = p->capabilities != NULL;
    if (!p->capabilities)
        p->capabilities = load_none;
    return r;
}

static int load_transport(struct load *l, const struct tree *t, void *entry)
{
    return load_plugin(l, t, "transports", transport_fields, entry);
}

static int load_runtime(struct load *l, const struct tree *t, void *entry)
{
    return load_plugin(l, t, "runtimes", runtime_fields, entry);
}

static int load_executer(struct load *l, const struct tree *t, void *entry)
{
    struct config_executer *e = entry;
    const struct config *c = l->config;
    int r;

    *e = (struct config_executer){.file = t->file,
                                  .line = t->line,
                                  .image = "",
                                  .command = load_none,
                                  .env = load_none,
                                  .allow_args = true,
                                  .resources = TASK_RESOURCES_UNSET,
                                  .max = TASK_RESOURCES_UNSET,
                                  .timeout_ms = c->defaults.timeout_ms,
                                  .kill_grace_ms = c->defaults.kill_grace_ms,
                                  .output_max_bytes = c->defaults.output_max_bytes,
                                  .retries = c->defaults.retries,
                                  .network = TASK_NETWORK_UNSET,
                                  .require = load_none,
                                  .keys.own = table_names(l->arena, executer_fields)};
    if (!e->keys.own)
        return berth_fail(l->err, ENOMEM, "out of memory");
    r = fields_read(l->arena, t, "executers", executer_fields, e, &e->keys, l->err);
    if (r >= 0 && e->max_timeout_ms && !tree_get(t, "timeout") &&
        (!e->timeout_ms || e->timeout_ms > e->max_timeout_ms))
        e->timeout_ms = e->max_timeout_ms;
    return r;
}

static int load_tenant(struct load *l, const struct tree *t, void *entry)
{
    struct config_tenant *tenant = entry;

    tenant->weight = 1;
    return fields_read(l->arena, t, "tenants", tenant_fields, tenant, NULL, l->err);
}

static int load_adhoc(struct load *l, const struct tree *t, void *entry)
{
    struct config_adhoc *adhoc = entry;

    *adhoc = (struct config_adhoc){
        .images = load_none, .commands = any_pattern, .tenants = any_pattern};
    return fields_read(l->arena, t, "adhoc", adhoc_fields, adhoc, NULL, l->err);
}

/* Reads the list, if it is there, into a new array of entries. */
static int load_list(struct load *l, const char *name, size_t size, entry_fn *one,
                     void *ret_items, size_t *ret_count)
{
    const struct tree *list = tree_get(l->root, name);
    size_t count = list ? list->count : 0;
    char *items = arena_alloc(l->arena, (count + 1) * size);

    if (!items)
        return berth_fail(l->err, ENOMEM, "out of memory");
    if (list && list->type != TREE_LIST)
        return tree_fail(list, name, l->err, EINVAL,
                         "must be a list of groups: ( { … }, { … } )");
    for (size_t i = 0; i < count; i++) {
        int r = one(l, &list->items[i], items + i * size);
        if (r < 0)
            return r;
    }
    memcpy(ret_items, &items, sizeof items);
    *ret_count = count;
    return 0;
}

int load_entries(struct load *l)
{
    struct config *c = l->config;
    int r = load_list(l, "transports", sizeof *c->transports, load_transport,
                      &c->transports, &c->transport_count);

    if (r >= 0)
        r = load_list(l, "runtimes", sizeof *c->runtimes, load_runtime, &c->runtimes,
                      &c->runtime_count);
    if (r >= 0)
        r = load_list(l, "executers", sizeof *c->executers, load_executer, &c->executers,
                      &c->executer_count);
    if (r >= 0)
        r = load_list(l, "tenants", sizeof *c->tenants, load_tenant, &c->tenants,
                      &c->tenant_count);
    return r < 0 ? r
                 : load_list(l, "adhoc", sizeof *c->adhoc, load_adhoc, &c->adhoc,
                             &c->adhoc_count);
}
