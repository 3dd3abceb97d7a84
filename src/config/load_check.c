/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What several keys of the config must agree on: names, references, ranges. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "config/load.h"

/* The tree of an entry's key, or of the entry where the key is not written. */
static const struct tree *check_at(const struct load *l, const char *list, size_t i,
                                   const char *key)
{
    const struct tree *entry = &tree_get(l->root, list)->items[i];
    const struct tree *t = tree_get(entry, key);

    return t ? t : entry;
}

/* No two entries of a list have one name, which stands at offset in each. */
static int check_unique(const struct load *l, const char *list, const void *items,
                        size_t count, size_t size, size_t offset)
{
    const char *first = items;
    char path[64];

    for (size_t i = 0; i < count; i++) {
        const char *name = *(const char *const *)(first + i * size + offset);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(name, *(const char *const *)(first + j * size + offset)))
                continue;
            snprintf(path, sizeof path, "%s.name", list);
            return tree_fail(check_at(l, list, i, "name"), path, l->err, EINVAL,
                             "'%s' is there already, in line %d", name,
                             check_at(l, list, j, "name")->line);
        }
    }
    return 0;
}

static int check_names(const struct load *l)
{
    const struct config *c = l->config;
    int r = check_unique(l, "transports", c->transports, c->transport_count,
                         sizeof *c->transports, offsetof(struct config_plugin, name));

    if (r >= 0)
        r = check_unique(l, "runtimes", c->runtimes, c->runtime_count, sizeof *c->runtimes,
                         offsetof(struct config_plugin, name));
    if (r >= 0)
        r = check_unique(l, "executers", c->executers, c->executer_count,
                         sizeof *c->executers, offsetof(struct config_executer, name));
    return r < 0 ? r
                 : check_unique(l, "tenants", c->tenants, c->tenant_count,
                                sizeof *c->tenants, offsetof(struct config_tenant, name));
}

static int check_runtime(const struct load *l, const char *list, size_t i, const char *name)
{
    const struct config *c = l->config;
    const char **known;
    char path[64], what[160];

    if (config_runtime(c, name))
        return 0;
    known = arena_alloc(l->arena, (c->runtime_count + 1) * sizeof *known);
    if (!known)
        return berth_fail(l->err, ENOMEM, "out of memory");
    for (size_t j = 0; j < c->runtime_count; j++)
        known[j] = c->runtimes[j].name;
    snprintf(path, sizeof path, "%s.runtime", list);
    snprintf(what, sizeof what, "no runtime '%s' in 'runtimes'", name);
    return fields_unknown(check_at(l, list, i, "runtime"), path, what, name, known, l->err);
}

static int check_max(const struct load *l, size_t i)
{
    const struct task_resources *r = &l->config->executers[i].resources;
    const struct task_resources *max = &l->config->executers[i].max;
    const char *what = max->cpus > 0 && r->cpus > max->cpus ? "cpus"
                       : max->memory_bytes > 0 && r->memory_bytes > max->memory_bytes
                           ? "memory"
                       : max->disk_bytes > 0 && r->disk_bytes > max->disk_bytes ? "disk"
                       : max->pids > 0 && r->pids > max->pids                   ? "pids"
                       : max->gpus >= 0 && r->gpus > max->gpus                  ? "gpus"
                                                                                : NULL;

    return what ? tree_fail(check_at(l, "executers", i, "resources"), "executers.resources",
                            l->err, EINVAL, "'%s' is more than 'max.%s' allows", what, what)
                : 0;
}

static int check_executer(const struct load *l, size_t i)
{
    const struct config_executer *e = &l->config->executers[i];
    int r = check_runtime(l, "executers", i, e->runtime);

    if (r < 0)
        return r;
    if (e->command[0] && !*e->command[0])
        return tree_fail(check_at(l, "executers", i, "command"), "executers.command",
                         l->err, EINVAL, "the program's name must not be empty");
    if (e->max_timeout_ms && (!e->timeout_ms || e->timeout_ms > e->max_timeout_ms))
        return tree_fail(check_at(l, "executers", i, "timeout"), "executers.timeout",
                         l->err, EINVAL, "is more than 'max_timeout' allows");
    return check_max(l, i);
}

static int check_tenant(const struct load *l, size_t i)
{
    const char *name = l->config->tenants[i].name;

    if (is_name(name) || !strcmp(name, "*"))
        return 0;
    return tree_fail(
        check_at(l, "tenants", i, "name"), "tenants.name", l->err, EINVAL,
        "'%.64s' is no name: up to 64 of A-Z a-z 0-9 . _ - , or \"*\" for all others",
        name);
}

/* Payload ids must not reach 0, nor the last two numbers, which mean "none" to the kernel. */
static int check_uids(const struct load *l)
{
    const struct config *c = l->config;
    const struct tree *host = tree_get(l->root, "host");
    const struct tree *t = host ? tree_get(host, "uid_count") : NULL;
    uint64_t end = (uint64_t)c->uid_base + c->uid_count;

    if (end <= 4294967294u && (c->uid_base > 65535 || end <= 65534))
        return 0;
    if (!t)
        t = tree_get(host, "uid_base");
    return tree_fail(
        t, "host.uid_count", l->err, EINVAL,
        "the range %u to %llu must not hold 65534, 65535 or anything above 4294967293",
        c->uid_base, (unsigned long long)end - 1);
}

static int check_gpus(const struct load *l)
{
    const struct tree *t = tree_get(l->root, "host");

    t = t ? tree_get(t, "gpus") : NULL;
    for (size_t i = 0; t && i < t->count; i++) {
        if (!*t->items[i].s)
            return tree_fail(&t->items[i], "host.gpus", l->err, EINVAL,
                             "a name must not be empty");
        for (size_t j = 0; j < i; j++)
            if (!strcmp(t->items[i].s, t->items[j].s))
                return tree_fail(&t->items[i], "host.gpus", l->err, EINVAL,
                                 "'%s' is given twice", t->items[i].s);
    }
    return 0;
}

int load_check(struct load *l)
{
    const struct config *c = l->config;
    int r = check_names(l);

    for (size_t i = 0; r >= 0 && i < c->executer_count; i++)
        r = check_executer(l, i);
    for (size_t i = 0; r >= 0 && i < c->tenant_count; i++)
        r = check_tenant(l, i);
    for (size_t i = 0; r >= 0 && i < c->adhoc_count; i++)
        r = check_runtime(l, "adhoc", i, c->adhoc[i].runtime);
    if (r >= 0)
        r = check_uids(l);
    return r < 0 ? r : check_gpus(l);
}
