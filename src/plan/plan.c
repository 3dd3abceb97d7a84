/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Merging a task with what the operator wrote; see plan.h. */
#include "plan/plan.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "plan/node.h"
#include "plan/policy.h"

static int plan_nomem(struct berth_error *err)
{
    return berth_fail(err, ENOMEM, "out of memory");
}

static size_t count_of(const char *const *list)
{
    size_t n = 0;

    while (list[n])
        n++;
    return n;
}

/* Both lists, one after the other; a list alone is not copied. NULL if out of memory. */
static const char *const *join(struct arena *a, const char *const *x, const char *const *y)
{
    size_t m = count_of(x), n = count_of(y);
    const char **both;

    if (!m || !n)
        return m ? x : y;
    both = arena_alloc(a, (m + n + 1) * sizeof *both);
    if (both) {
        memcpy(both, x, m * sizeof *both);
        memcpy(both + m, y, n * sizeof *both);
    }
    return both;
}

/* ---- who ---- */

static int plan_no_executer(const struct config *c, const char *name, struct arena *a,
                            struct berth_error *err)
{
    const char **names = arena_alloc(a, (c->executer_count + 1) * sizeof *names), *near;

    if (!names)
        return plan_nomem(err);
    for (size_t i = 0; i < c->executer_count; i++)
        names[i] = c->executers[i].name;
    near = nearest_name(name, names);
    return near
               ? berth_fail(err, ENOENT, "no executer '%s'; did you mean '%s'?", name, near)
               : berth_fail(err, ENOENT, "no executer '%s'", name);
}

static int plan_no_runtime(const struct config *c, const char *name, struct arena *a,
                           struct berth_error *err)
{
    const char **names = arena_alloc(a, (c->runtime_count + 1) * sizeof *names), *near;

    if (!names)
        return plan_nomem(err);
    for (size_t i = 0; i < c->runtime_count; i++)
        names[i] = c->runtimes[i].name;
    near = nearest_name(name, names);
    return near ? berth_fail(err, ENOENT, "no runtime '%s'; did you mean '%s'?", name, near)
                : berth_fail(err, ENOENT, "no runtime '%s'", name);
}

static int plan_executer(const struct config *c, const struct task *t, struct arena *a,
                         struct plan *p, struct berth_error *err)
{
    const struct config_executer *e = config_executer(c, t->executer);

    if (!e)
        return plan_no_executer(c, t->executer, a, err);
    p->executer = e;
    p->runtime = config_runtime(c, e->runtime);
    if (!p->runtime)
        return plan_no_runtime(c, e->runtime, a, err);
    if (t->args[0] && !e->allow_args)
        return berth_fail(err, EPERM, "key 'args': executer '%s' takes no arguments",
                          e->name);
    p->image = e->image;
    p->argv = join(a, e->command, t->args);
    p->require = join(a, e->require, t->require);
    p->kill_grace_ms = e->kill_grace_ms;
    p->output_max_bytes = e->output_max_bytes;
    p->retries = t->retries >= 0 ? t->retries : e->retries;
    return p->argv && p->require ? 0 : plan_nomem(err);
}

static int plan_adhoc(const struct config *c, const struct task *t, struct arena *a,
                      struct plan *p, struct berth_error *err)
{
    int r;

    p->runtime = config_runtime(c, t->runtime);
    if (!p->runtime)
        return plan_no_runtime(c, t->runtime, a, err);
    r = policy_adhoc(c, t, err);
    if (r < 0)
        return r;
    p->image = t->image;
    p->argv = join(a, t->command, t->args);
    p->require = t->require;
    p->kill_grace_ms = c->defaults.kill_grace_ms;
    p->output_max_bytes = c->defaults.output_max_bytes;
    p->retries = t->retries >= 0 ? t->retries : c->defaults.retries;
    return p->argv ? 0 : plan_nomem(err);
}

/* ---- how long, and where to ---- */

static int plan_timeout(const struct config *c, const struct task *t, struct plan *p,
                        struct berth_error *err)
{
    int64_t max = p->executer ? p->executer->max_timeout_ms : 0;
    char text[16];

    p->timeout_ms = t->timeout_ms ? t->timeout_ms
                    : p->executer ? p->executer->timeout_ms
                                  : c->defaults.timeout_ms;
    if (!max || (p->timeout_ms && p->timeout_ms <= max))
        return 0;
    format_duration(max, text);
    return berth_fail(err, EINVAL,
                      "key 'timeout_ms': executer '%s' allows at most %lld (%s)",
                      p->executer->name, (long long)max, text);
}

static int plan_network(const struct task *t, struct plan *p, struct berth_error *err)
{
    int own = p->executer && p->executer->network != TASK_NETWORK_UNSET
                  ? p->executer->network
                  : BERTH_NETWORK_NONE;

    p->network = t->network == TASK_NETWORK_UNSET ? own : t->network;
    /* policy_adhoc has looked at ad-hoc tasks; less than what is granted is always fine */
    if (!p->executer || p->network == own || p->network == BERTH_NETWORK_NONE ||
        p->executer->allow_network)
        return 0;
    return berth_fail(err, EPERM,
                      "key 'network': executer '%s' does not allow '%s'; its network is "
                      "'%s'",
                      p->executer->name, task_network_names[p->network],
                      task_network_names[own]);
}

/* ---- how much ---- */

struct
    amount { /* of one resource, all as double; both byte counts fit exactly below 2^53 */
    const char *name;
    double asked, own, fallback, max, node;
    bool is_bytes, zero_is_none;
};

static void amount_text(const struct amount *m, double n, char out[32])
{
    char bytes[16];

    if (!m->is_bytes) {
        snprintf(out, 32, "%g", n);
        return;
    }
    format_bytes((uint64_t)n, bytes);
    snprintf(out, 32, "%s", bytes);
}

static int amount_fail(const struct amount *m, double n, double limit, const char *whose,
                       struct berth_error *err)
{
    char want[32], have[32];

    amount_text(m, n, want);
    amount_text(m, limit, have);
    return berth_fail(err, EINVAL, "key 'resources.%s': %s is more than %s, %s", m->name,
                      want, have, whose);
}

/* What the task gets: what it asks for, else the executer's, else the host's default. */
static int amount_choose(const struct amount *m, const char *whose, double *ret,
                         struct berth_error *err)
{
    double n = m->asked >= 0 ? m->asked : m->own >= 0 ? m->own : m->fallback;
    bool has_max = m->max > 0 || (m->max == 0 && m->zero_is_none);
    bool endless = n == 0 && !m->zero_is_none;

    if (has_max && (n > m->max || endless)) {
        if (m->asked >= 0)
            return amount_fail(m, n, m->max, whose, err);
        n = m->max;
    }
    if (m->asked < 0 && m->own < 0 && m->node > 0 && n > m->node)
        n = m->node;
    if (n > m->node && (m->node > 0 || m->zero_is_none))
        return amount_fail(m, n, m->node, "which is all that this node has", err);
    *ret = n;
    return 0;
}

static int plan_resources(const struct config *c, const struct task *t, struct arena *a,
                          struct plan *p, struct berth_error *err)
{
    static const struct task_resources unset = TASK_RESOURCES_UNSET;
    const struct task_resources *own = p->executer ? &p->executer->resources : &unset;
    const struct task_resources *max = p->executer ? &p->executer->max : &unset;
    const struct task_resources *ask = &t->resources, *def = &c->defaults.resources;
    struct task_resources node;
    const char *whose = "";
    double got[5];

    node_limits(c, &node);
#define AMOUNT(label, field, ...)                                                \
    {                                                                            \
        .name = (label), .asked = (double)ask->field, .own = (double)own->field, \
        .fallback = (double)def->field, .max = (double)max->field,               \
        .node = (double)node.field, __VA_ARGS__                                  \
    }
    const struct amount amounts[] = {
        AMOUNT("cpus", cpus), AMOUNT("memory", memory_bytes, .is_bytes = true),
        AMOUNT("disk", disk_bytes, .is_bytes = true), AMOUNT("pids", pids),
        AMOUNT("gpus", gpus, .zero_is_none = true)};
#undef AMOUNT
    if (p->executer)
        whose = arena_fmt(a, "the most that executer '%s' allows", p->executer->name);
    if (!whose)
        return plan_nomem(err);
    for (size_t i = 0; i < countof(amounts); i++) {
        int r = amount_choose(&amounts[i], whose, &got[i], err);
        if (r < 0)
            return r;
    }
    p->resources = (struct task_resources){.cpus = got[0],
                                           .memory_bytes = (int64_t)got[1],
                                           .disk_bytes = (int64_t)got[2],
                                           .pids = (int64_t)got[3],
                                           .gpus = (int64_t)got[4]};
    return 0;
}

int plan_make(const struct config *c, const struct task *t, struct arena *a,
              struct plan *ret, struct berth_error *err)
{
    struct plan p = {0};
    int r = *t->executer ? plan_executer(c, t, a, &p, err) : plan_adhoc(c, t, a, &p, err);

    if (r >= 0)
        r = policy_env(p.executer, t, a, &p.env, err);
    if (r >= 0)
        r = plan_resources(c, t, a, &p, err);
    if (r >= 0)
        r = plan_timeout(c, t, &p, err);
    if (r >= 0)
        r = plan_network(t, &p, err);
    if (r >= 0)
        r = policy_files(c, t, err);
    if (r < 0)
        return r;
    *ret = p;
    return 0;
}

int plan_of_executer(const struct config *c, const struct config_executer *x,
                     struct arena *a, struct plan *ret, struct berth_error *err)
{
    static const char *const none[] = {NULL};
    struct task *t = arena_alloc(a, sizeof *t);
    if (!t)
        return berth_fail(err, ENOMEM, "out of memory");
    *t = (struct task){.id = "explain",
                       .executer = x->name,
                       .runtime = "",
                       .image = "",
                       .tenant = "",
                       .trace = "",
                       .command = none,
                       .args = none,
                       .env = none,
                       .require = none,
                       .resources = TASK_RESOURCES_UNSET,
                       .retries = -1,
                       .network = TASK_NETWORK_UNSET};
    return plan_make(c, t, a, ret, err);
}
