/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The keys that stand once: host = { … } and plugin_path. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "config/load.h"
#include <berth/plugin.h>

/* A socket's path has 107 bytes, and the names below run_dir need some. */
#define RUN_DIR_MAX 84

const char *const load_none[] = {NULL};

#define AT(member) offsetof(struct task_resources, member)
const struct field load_resources[] = {
    KEY("cpus", FIELD_NUMBER, AT(cpus), .max = 65536),
    KEY("memory", FIELD_BYTES, AT(memory_bytes), .max = 0x1p60),
    KEY("disk", FIELD_BYTES, AT(disk_bytes), .max = 0x1p60),
    KEY("pids", FIELD_INT64, AT(pids), .max = 4194304),
    KEY("gpus", FIELD_INT64, AT(gpus), .max = 1024),
    {0},
};
#undef AT

#define AT(member) offsetof(struct config, member)
#define IN(member) (AT(defaults.member) - AT(defaults))
static const struct field host_defaults[] = {
    KEY("resources", FIELD_GROUP, IN(resources), .table = load_resources),
    KEY("timeout", FIELD_MS, IN(timeout_ms), .max = 10 * LOAD_YEAR_MS),
    KEY("kill_grace", FIELD_MS, IN(kill_grace_ms), .max = 86400e3),
    KEY("output_max", FIELD_BYTES, IN(output_max_bytes), .max = 0x1p40),
    KEY("retries", FIELD_INT, IN(retries), .max = 100),
    {0},
};

static const struct field host_retention[] = {
    KEY("age", FIELD_MS, AT(retention_ms), .max = 100 * LOAD_YEAR_MS),
    KEY("count", FIELD_INT64, AT(retention_count), .max = LOAD_COUNT_MAX),
    {0},
};

static const struct field host_files[] = {
    KEY("in_roots", FIELD_PATHS, AT(in_roots)),
    KEY("out_roots", FIELD_PATHS, AT(out_roots)),
    KEY("urls", FIELD_URLS, AT(urls)),
    {0},
};

static const struct field host_fields[] = {
    KEY("name", FIELD_NAME, AT(name)),
    KEY("state_dir", FIELD_PATH, AT(state_dir)),
    KEY("run_dir", FIELD_PATH, AT(run_dir), .max = RUN_DIR_MAX),
    KEY("user", FIELD_STR, AT(user)),
    KEY("group", FIELD_STR, AT(group)),
    KEY("ctl_group", FIELD_STR, AT(ctl_group)),
    KEY("log_level", FIELD_LEVEL, AT(log_level)),
    KEY("max_task", FIELD_SIZE, AT(max_task_bytes), .min = 1024, .max = 0x1p30),
    KEY("max_queued", FIELD_INT, AT(max_queued), .min = 1, .max = LOAD_COUNT_MAX),
    KEY("max_running", FIELD_INT, AT(max_running), .max = LOAD_COUNT_MAX),
    KEY("resources", FIELD_GROUP, AT(capacity), .table = load_resources),
    KEY("gpus", FIELD_STRINGS, AT(gpus)),
    KEY("defaults", FIELD_GROUP, AT(defaults), .table = host_defaults),
    KEY("max_losses", FIELD_INT, AT(max_losses), .max = 1000),
    KEY("retry_delay", FIELD_MS, AT(retry_delay_ms), .max = 60e3),
    KEY("adopt", FIELD_MS, AT(adopt_ms), .min = 1000, .max = 86400e3),
    KEY("retention", FIELD_GROUP, 0, .table = host_retention),
    KEY("uid_base", FIELD_UINT32, AT(uid_base), .min = 1, .max = 4294967293.0),
    KEY("uid_count", FIELD_UINT32, AT(uid_count), .min = 1, .max = 4294967293.0),
    KEY("files", FIELD_GROUP, 0, .table = host_files),
    {0},
};

static const struct field root_fields[] = {
    KEY("host", FIELD_GROUP, 0, .table = host_fields),
    KEY("plugin_path", FIELD_PATHS, AT(plugin_path)),
    KEY("transports", FIELD_BY_HAND, 0),
    KEY("runtimes", FIELD_BY_HAND, 0),
    KEY("executers", FIELD_BY_HAND, 0),
    KEY("tenants", FIELD_BY_HAND, 0),
    KEY("adhoc", FIELD_BY_HAND, 0),
    {0},
};

static const char *host_name(struct arena *a)
{
    char name[65] = "";

    if (gethostname(name, sizeof name - 1) < 0 || !is_name(name))
        return "localhost";
    return arena_str(a, name);
}

static int host_set_defaults(struct load *l)
{
    struct config *c = l->config;

    c->name = host_name(l->arena);
    config_default_dirs(l->arena, &c->state_dir, &c->run_dir);
    c->log_level = BERTH_LOG_INFO;
    c->max_task_bytes = 8 << 20;
    c->max_queued = 100000;
    c->capacity = (struct task_resources)TASK_RESOURCES_UNSET;
    c->defaults.resources =
        (struct task_resources){.cpus = 1, .memory_bytes = 512 << 20, .pids = 256};
    c->defaults.timeout_ms = 3600 * 1000;
    c->defaults.kill_grace_ms = 10 * 1000;
    c->defaults.output_max_bytes = 1 << 20;
    c->max_losses = 3;
    c->retry_delay_ms = 1000;
    c->adopt_ms = 30 * 1000;
    c->retention_ms = 7 * 86400 * 1000LL;
    c->retention_count = 100000;
    c->uid_base =
        1879048192; /* the first range that systemd's UIDS-GIDS document calls unused */
    c->uid_count = 65536;
    c->in_roots = c->out_roots = c->urls = c->plugin_path = load_none;
    return c->name && c->state_dir && c->run_dir
               ? 0
               : berth_fail(l->err, ENOMEM, "out of memory");
}

/* The installed directory is always searched, last. */
static int host_plugin_path(struct load *l)
{
    const char *const *given = l->config->plugin_path;
    const char **list;
    size_t n = 0;

    while (given[n])
        n++;
    list = arena_alloc(l->arena, (n + 2) * sizeof *list);
    if (!list)
        return berth_fail(l->err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        list[i] = given[i];
        if (!strcmp(given[i], BERTH_PLUGINDIR))
            return 0;
    }
    list[n] = BERTH_PLUGINDIR;
    l->config->plugin_path = list;
    return 0;
}

int load_host(struct load *l)
{
    int r = host_set_defaults(l);

    if (r >= 0)
        r = fields_read(l->arena, l->root, "", root_fields, l->config, NULL, l->err);
    return r < 0 ? r : host_plugin_path(l);
}
