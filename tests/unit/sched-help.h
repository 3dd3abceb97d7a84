/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the tests of the scheduler share: a small node, its config, items, and ways to start and end them. */
#ifndef TESTS_SCHED_HELP_H
#define TESTS_SCHED_HELP_H

#include <errno.h>
#include <math.h>

#include "base/fail.h"
#include "sched/sched.h"
#include "tests/tap.h"


static struct config_tenant tenants[] = {
    {.name = "one", .weight = 1},
    {.name = "three", .weight = 3},
    {.name = "few", .weight = 1, .max_running = 2},
    {.name = "*", .weight = 1},
};
static struct config_executer executers[] = {
    {.name = "e", .runtime = "r"},
    {.name = "two", .runtime = "r", .max_running = 2},
    {.name = "sick", .runtime = "sick"},
};
static struct config config = {.tenants = tenants,
                               .tenant_count = countof(tenants),
                               .executers = executers,
                               .executer_count = countof(executers)};
static const struct task_resources node = {
    .cpus = 8, .memory_bytes = 8 << 20, .pids = 1000};
static const char *const gpu_names[] = {"g0", "g1", "g2", NULL};

__attribute__((unused)) static struct sched *new_sched(void)
{
    struct sched *s = sched_new(&config, &node, gpu_names);
    sched_set_runtime(s, "r", true);
    return s;
}

__attribute__((unused)) static struct sched_item item(int64_t seq, const char *tenant, double cpus)
{
    return (struct sched_item){.seq = seq,
                               .tenant = tenant,
                               .executer = "e",
                               .runtime = "r",
                               .need = {.cpus = cpus}};
}

/* "1 4 2": the seqs of all that starts now. */
__attribute__((unused)) static const char *starts(struct sched *s, int64_t now_ms)
{
    static char text[4096];
    struct sched_item *it;
    size_t len = 0;
    text[0] = '\0';
    while ((it = sched_next(s, now_ms)))
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%lld", len ? " " : "",
                                (long long)it->seq);
    return text;
}

__attribute__((unused)) static void add_all(struct sched *s, struct sched_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (sched_add(s, &items[i], 0, 0) < 0)
            abort();
}

__attribute__((unused)) static void remove_all(struct sched *s, struct sched_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sched_remove(s, &items[i]);
}

__attribute__((unused)) static bool is_empty(const struct sched *s)
{
    struct sched_totals t;
    sched_totals(s, &t);
    return t.waiting == 0 && t.delayed == 0 && t.running == 0 && t.booked.cpus == 0 &&
           t.booked.memory_bytes == 0 && t.booked.disk_bytes == 0 && t.booked.pids == 0 &&
           t.booked.gpus == 0;
}

__attribute__((unused)) static void end(struct sched *s, struct sched_item *items, size_t n)
{
    remove_all(s, items, n);
    ok(is_empty(s), "all is given back");
    sched_free(s);
}

#endif
