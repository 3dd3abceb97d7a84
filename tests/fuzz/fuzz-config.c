/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A config file, and the options of plugins in it. The file is /proc/self/fd/100, so that it can include
 * itself, as "100", and another as "101".
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "plan/plan.h"
#include "plugin/loader.h"
#include "priv/priv.h"

#define PATH "/proc/self/fd/100"

/* libconfig 1.5 forgets the string that it was reading when the syntax breaks; berthd reads a config only once. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

static const char included[] = "tenants = ( { name = \"in\"; weight = 2; } );\n";

static const struct berth_option every_type[] = {
    {"text", BERTH_OPTION_STRING, 0, "some", "a string"},
    {"secret", BERTH_OPTION_STRING, BERTH_OPTION_SECRET, NULL, "not shown"},
    {"count", BERTH_OPTION_INT, 0, "3", "a number"},
    {"on", BERTH_OPTION_BOOL, 0, "true", "a bool"},
    {"ratio", BERTH_OPTION_FLOAT, 0, "0.5", "a float"},
    {"size", BERTH_OPTION_SIZE, 0, "1M", "a size"},
    {"period", BERTH_OPTION_DURATION, 0, "1.5s", "a duration"},
    {"list", BERTH_OPTION_LIST, 0, "a, b", "a list"},
    {NULL, 0, 0, NULL, NULL},
};

static const struct berth_option required[] = {
    {"text", BERTH_OPTION_STRING, BERTH_OPTION_REQUIRED, NULL, "a string"},
    {NULL, 0, 0, NULL, NULL},
};

static void resolve(const struct berth_option *table, const struct config_keys *keys)
{
    struct berth_error err = {0};
    struct options *o = NULL;
    int r = options_resolve(table, keys, "it", &o, &err);
    fuzz_check_error(r, &err);
    if (r < 0)
        return;
    for (const struct berth_option *t = table; t && t->name; t++) {
        size_t n = options_count(o, t->name);
        fuzz_check(!options_item(o, t->name, n));
        for (size_t i = 0; i < n; i++)
            fuzz_check(options_item(o, t->name, i));
        options_int(o, t->name);
        options_float(o, t->name);
        fuzz_check(t->type == BERTH_OPTION_LIST || !t->value || options_str(o, t->name));
    }
    options_free(o);
}

static void check_plugins(const struct config_plugin *p, size_t count)
{
    for (; count--; p++) {
        struct berth_error err = {0};
        capset set;
        fuzz_check(p->plugin && p->name);
        resolve(every_type, &p->keys);
        resolve(required, &p->keys);
        resolve(NULL, &p->keys);
        fuzz_check_error(capset_parse(p->capabilities, &set, &err), &err);
    }
}

static void check_executers(const struct config *c)
{
    for (size_t i = 0; i < c->executer_count; i++) {
        cleanup_arena struct arena *a = arena_new();
        const struct config_executer *x = &c->executers[i];
        struct berth_error err = {0};
        struct plan p;
        fuzz_check(config_executer(c, x->name) == x && config_runtime(c, x->runtime));
        resolve(every_type, &x->keys);
        fuzz_check_error(plan_of_executer(c, x, a, &p, &err), &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_error err = {0};
    struct config *c = NULL;
    fuzz_file(100, data, size);
    fuzz_file(101, included, strlen(included));
    int r = config_load(PATH, &c, &err);
    fuzz_check_error(r, &err);
    if (r < 0) {
        fuzz_check_said(!strncmp(err.text, "/proc/self/fd/", 14), err.text);
        return 0;
    }
    check_plugins(c->transports, c->transport_count);
    check_plugins(c->runtimes, c->runtime_count);
    check_executers(c);
    fuzz_check(config_tenant(c, "in") && config_tenant(c, "none"));
    config_free(c);
    return 0;
}
