/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The operator's rules about what tasks bring along. */
#include "plan/policy.h"

#include <errno.h>
#include <fnmatch.h>
#include <string.h>

#include "base/fail.h"
#include <berth/task.h>

/*
 * A "*" alone is everything. Otherwise a wildcard stops at '/' and does not stand for a leading
 * dot: "/opt/tools/<any>" lets nothing out of that directory, neither below nor by "..".
 */
static bool matches(const char *const *patterns, const char *s)
{
    for (; *patterns; patterns++)
        if (!strcmp(*patterns, "*") || !fnmatch(*patterns, s, FNM_PATHNAME | FNM_PERIOD))
            return true;
    return false;
}

/* ---- ad-hoc ---- */

static bool image_allowed(const struct config_adhoc *rule, const char *image)
{
    return *image ? matches(rule->images, image)
                  : !rule->images[0] || matches(rule->images, "");
}

static bool command_allowed(const struct config_adhoc *rule, const struct task *t)
{
    return !t->command[0] || matches(rule->commands, t->command[0]);
}

/* How far a task got with any of the rules: the last hurdle is the one to tell about. */
enum hurdle { AT_RUNTIME, AT_TENANT, AT_IMAGE, AT_COMMAND, AT_NETWORK, PASSED };

static enum hurdle adhoc_hurdle(const struct config_adhoc *rule, const struct task *t)
{
    return strcmp(rule->runtime, t->runtime)                         ? AT_RUNTIME
           : !matches(rule->tenants, t->tenant)                      ? AT_TENANT
           : !image_allowed(rule, t->image)                          ? AT_IMAGE
           : !command_allowed(rule, t)                               ? AT_COMMAND
           : t->network > BERTH_NETWORK_NONE && !rule->allow_network ? AT_NETWORK
                                                                     : PASSED;
}

int policy_adhoc(const struct config *c, const struct task *t, struct berth_error *err)
{
    enum hurdle best = AT_RUNTIME;

    for (size_t i = 0; i < c->adhoc_count; i++) {
        enum hurdle h = adhoc_hurdle(&c->adhoc[i], t);
        if (h > best)
            best = h;
    }
    switch (best) {
    case AT_RUNTIME:
        return berth_fail(err, EPERM,
                          "key 'runtime': ad-hoc tasks are not allowed for runtime '%s'; "
                          "name an executer",
                          t->runtime);
    case AT_TENANT:
        return berth_fail(err, EPERM,
                          "key 'tenant': '%s' may not send ad-hoc tasks for runtime '%s'; "
                          "name an executer",
                          t->tenant, t->runtime);
    case AT_IMAGE:
        return berth_fail(err, EPERM,
                          "key 'image': '%s' is not allowed for ad-hoc tasks of runtime "
                          "'%s'",
                          t->image, t->runtime);
    case AT_COMMAND:
        return berth_fail(err, EPERM,
                          "key 'command': '%.100s' is not allowed for ad-hoc tasks of "
                          "runtime '%s'",
                          t->command[0], t->runtime);
    case AT_NETWORK:
        return berth_fail(err, EPERM,
                          "key 'network': ad-hoc tasks of runtime '%s' get none; name an "
                          "executer that has one",
                          t->runtime);
    case PASSED:
        break;
    }
    return 0;
}

/* ---- environment ---- */

/* These change what the program is or what it sees of berth, and need to be allowed by name. */
static bool is_reserved(const char *name)
{
    static const char *const reserved[] = {"PATH", "HOME", "TMPDIR",
                                           "CUDA_VISIBLE_DEVICES"};

    for (size_t i = 0; i < countof(reserved); i++)
        if (!strcmp(name, reserved[i]))
            return true;
    return !strncmp(name, "LD_", 3) || !strncmp(name, "BERTH_", 6);
}

static bool env_allowed(const struct config_executer *e, const char *name)
{
    bool reserved = is_reserved(name);

    if (!e || !e->env_allow)
        return !reserved;
    for (const char *const *p = e->env_allow; *p; p++)
        if (!(reserved && !strcmp(*p, "*")) && !fnmatch(*p, name, 0))
            return true;
    return false;
}

static int env_check(const struct config_executer *e, const char *setting,
                     struct berth_error *err)
{
    size_t len = strcspn(setting, "=");
    char name[256];

    if (len < sizeof name) {
        memcpy(name, setting, len);
        name[len] = '\0';
        if (env_allowed(e, name))
            return 0;
    }
    if (e)
        return berth_fail(err, EPERM,
                          "key 'env': a task of executer '%s' may not set '%.*s'", e->name,
                          (int)(len < 64 ? len : 64), setting);
    return berth_fail(err, EPERM, "key 'env': an ad-hoc task may not set '%.*s'",
                      (int)(len < 64 ? len : 64), setting);
}

int policy_env(const struct config_executer *e, const struct task *t, struct arena *a,
               const char *const **ret, struct berth_error *err)
{
    static const char *const none[] = {NULL};
    const char *const *own = e ? e->env : none;
    size_t n = 0, m = 0;
    const char **env;

    for (; t->env[n]; n++) {
        int r = env_check(e, t->env[n], err);
        if (r < 0)
            return r;
    }
    while (own[m])
        m++;
    if (!n || !m) {
        *ret = n ? t->env : own;
        return 0;
    }
    env = arena_alloc(a, (n + m + 1) * sizeof *env);
    if (!env)
        return berth_fail(err, ENOMEM, "out of memory");
    memcpy(env, own, m * sizeof *env);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0, len = strcspn(t->env[i], "=") + 1;
        while (env[at] && strncmp(env[at], t->env[i], len))
            at++;
        env[at] = t->env[i]; /* in the executer's place, or behind all */
    }
    *ret = env;
    return 0;
}

/* ---- files ---- */

static bool is_below(const char *path, const char *const *roots)
{
    for (; *roots; roots++) {
        size_t len = strcmp(*roots, "/") ? strlen(*roots) : 0;
        if (!strncmp(path, *roots, len) && path[len] == '/')
            return true;
    }
    return false;
}

static bool has_prefix(const char *url, const char *const *prefixes)
{
    for (; *prefixes; prefixes++)
        if (!strncmp(url, *prefixes, strlen(*prefixes)))
            return true;
    return false;
}

/* The task's schema has refused "..", so a comparison of text is enough here; that no symbolic
 * link leads out of the root is seen to where the file is opened. */
static int place_check(const struct config *c, const char *key, const char *place,
                       const char *const *roots, const char *list, struct berth_error *err)
{
    bool local = place[0] == '/';

    if (local ? is_below(place, roots) : has_prefix(place, c->urls))
        return 0;
    return local ? berth_fail(err, EPERM,
                              "key '%s': '%.100s' is not below a directory of "
                              "host.files.%s",
                              key, place, list)
                 : berth_fail(err, EPERM,
                              "key '%s': '%.100s' does not begin with a prefix of "
                              "host.files.urls",
                              key, place);
}

int policy_files(const struct config *c, const struct task *t, struct berth_error *err)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < t->files_in_count; i++)
        if (t->files_in[i].from)
            r = place_check(c, "files.in.from", t->files_in[i].from, c->in_roots,
                            "in_roots", err);
    for (size_t i = 0; r >= 0 && i < t->files_out_count; i++)
        if (t->files_out[i].to)
            r = place_check(c, "files.out.to", t->files_out[i].to, c->out_roots,
                            "out_roots", err);
    return r;
}
