/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the monitor does while it still has all its privileges. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "monitor/monitor_int.h"
#include "plugin/loader.h"
#include "worker/worker.h"

/* Where no user 'berth' exists: the number just above the payloads' range needs no entry anywhere. */
static int setup_user(struct monitor *m, struct berth_error *err)
{
    const struct config *c = m->config;
    m->is_root = geteuid() == 0;
    m->uid = geteuid();
    m->gid = getegid();
    if (!m->is_root)
        return 0;
    if (c->user || priv_lookup("berth", NULL, &m->uid, &m->gid, NULL) < 0) {
        char number[16];
        snprintf(number, sizeof number, "%u", c->uid_base + c->uid_count);
        return priv_lookup(c->user ? c->user : number,
                           c->group  ? c->group
                           : c->user ? NULL
                                     : number,
                           &m->uid, &m->gid, err);
    }
    return c->group ? priv_lookup_group(c->group, &m->gid, err) : 0;
}

static int setup_dir(const struct monitor *m, const char *path, mode_t mode,
                     struct berth_error *err)
{
    struct stat st;
    int rc = make_dirs(path, 0755);
    if (rc < 0)
        return berth_fail_errno(err, -rc, "cannot make directory '%s'", path);
    if (stat(path, &st) < 0)
        return berth_fail_errno(err, errno, "cannot look at directory '%s'", path);
    if (st.st_uid != m->uid && chown(path, m->uid, m->gid) < 0)
        return berth_fail_errno(err, errno, "cannot give directory '%s' to uid %u", path,
                                m->uid);
    if ((st.st_mode & 07777) != mode && chmod(path, mode) < 0 && st.st_uid != m->uid)
        return berth_fail_errno(err, errno, "cannot set the mode of directory '%s'", path);
    return 0;
}

/* Payloads reach their work directories through these: others may pass, but not look. */
static int setup_dirs(const struct monitor *m, struct berth_error *err)
{
    cleanup_free char *attempts = NULL;
    if (asprintf(&attempts, "%s/" ATTEMPTS_DIR, m->config->state_dir) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = setup_dir(m, m->config->state_dir, 0711, err);
    if (rc == 0)
        rc = setup_dir(m, attempts, 0711, err);
    return rc < 0 ? rc : setup_dir(m, m->config->run_dir, 0755, err);
}

/* One daemon per state directory. A reload hands the lock to the new program image. */
static int setup_lock(struct monitor *m, struct berth_error *err)
{
    cleanup_free char *path = NULL;
    const char *handed = getenv("BERTH_LOCK_FD");
    int64_t fd;
    if (handed && parse_int(handed, &fd) == 0 && fcntl((int)fd, F_SETFD, FD_CLOEXEC) == 0) {
        unsetenv("BERTH_LOCK_FD");
        m->lock_fd = (int)fd;
        m->reloaded = true;
        return 0;
    }
    if (asprintf(&path, "%s/monitor.lock", m->config->state_dir) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    m->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (m->lock_fd < 0)
        return berth_fail_errno(err, errno, "cannot open '%s'", path);
    char pid[16] = "";
    if (flock(m->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = read(m->lock_fd, pid, sizeof pid - 1);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
        return berth_fail(err, EBUSY,
                          "berthd already runs with state directory '%s' (pid %s)",
                          m->config->state_dir, pid);
    }
    int len = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(m->lock_fd, 0) < 0 || pwrite(m->lock_fd, pid, (size_t)len, 0) != len)
        return berth_fail_errno(err, errno, "cannot write '%s'", path);
    return 0;
}

/*
 * Grants. What the operator wrote is given, or it is an error. Where nothing is written, a plugin of the installed
 * directory gets what it wants as far as we have it; a third party's gets nothing.
 */
static int setup_grant(struct monitor *m, struct role *r, capset wants,
                       struct berth_error *err)
{
    capset have = capset_permitted();
    char names[256];
    size_t dir = strlen(BERTH_PLUGINDIR);
    bool shipped = !strncmp(r->plugin_path, BERTH_PLUGINDIR "/", dir + 1) &&
                   !strchr(r->plugin_path + dir + 1, '/');
    if (!m->is_root)
        return 0;
    if (!r->block->capabilities_given) {
        r->grants = shipped ? wants & have : 0;
        if (wants & ~r->grants) {
            capset_format(wants & ~r->grants, names, sizeof names);
            log_line(BERTH_LOG_WARN, r->block->name,
                     "runs without capabilities it asks for: %s", names);
        }
        return 0;
    }
    int rc = capset_parse(r->block->capabilities, &r->grants, err);
    if (rc < 0)
        return berth_wrap(err, "runtime '%s'", r->block->name);
    if (!(r->grants & ~have))
        return 0;
    capset_format(r->grants & ~have, names, sizeof names);
    return berth_fail(
        err, EPERM,
        "runtime '%s': berthd does not have the capabilities to grant: %s (a reload cannot "
        "add any: restart berthd)",
        r->block->name, names);
}

static int setup_groups(struct role *r, const char *const *names, struct berth_error *err)
{
    size_t n = 0;
    while (names && names[n])
        n++;
    r->groups = calloc(n + 1, sizeof *r->groups);
    if (!r->groups)
        return berth_fail(err, ENOMEM, "out of memory");
    for (; r->group_count < n; r->group_count++) {
        int rc = priv_lookup_group(names[r->group_count], &r->groups[r->group_count], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* The host gives its control socket to that group, which only a member may do. */
static int setup_host_groups(struct monitor *m, struct berth_error *err)
{
    const char *const names[] = {m->config->ctl_group, NULL};
    int rc = m->is_root ? setup_groups(&m->roles[0], names, err) : 0;
    return rc < 0 ? berth_wrap(err, "key 'host.ctl_group'") : 0;
}

static int setup_role(struct monitor *m, size_t i, capset wants, struct berth_error *err)
{
    struct role *r = &m->roles[i + 1];
    r->block = &m->config->runtimes[i];
    r->plugin_fd =
        plugin_find(m->config->plugin_path, r->block->plugin, &r->plugin_path, err);
    if (r->plugin_fd < 0)
        return berth_wrap(err, "runtime '%s'", r->block->name);
    int rc = setup_grant(m, r, wants, err);
    if (rc < 0)
        return rc;
    rc = setup_groups(r, r->block->groups, err);
    return rc < 0 ? berth_wrap(err, "runtime '%s'", r->block->name) : 0;
}

static int setup_transports(struct monitor *m, struct berth_error *err)
{
    size_t n = m->config->transport_count;
    m->transport_fds = calloc(n + 1, sizeof *m->transport_fds);
    m->transport_paths = calloc(n + 1, sizeof *m->transport_paths);
    if (!m->transport_fds || !m->transport_paths)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++) {
        char *path = NULL;
        int fd = plugin_find(m->config->plugin_path, m->config->transports[i].plugin, &path,
                             err);
        if (fd < 0)
            return berth_wrap(err, "transport '%s'", m->config->transports[i].name);
        m->transport_fds[i] = fd;
        m->transport_paths[i] = path;
        capset grant = 0;
        int rc = capset_parse(m->config->transports[i].capabilities, &grant, err);
        if (rc < 0)
            return berth_wrap(err, "transport '%s'", m->config->transports[i].name);
        if (m->is_root)
            m->roles[0].grants |= grant;
    }
    return 0;
}

static int setup_roles(struct monitor *m, const capset *wants, struct berth_error *err)
{
    m->role_count = 1 + m->config->runtime_count;
    m->roles = calloc(m->role_count, sizeof *m->roles);
    if (!m->roles)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < m->role_count; i++) {
        m->roles[i].monitor = m;
        m->roles[i].fd = m->roles[i].plugin_fd = -1;
        m->roles[i].mark = mark_new();
        if (!m->roles[i].mark)
            return berth_fail(err, ENOMEM, "out of memory");
    }
    int rc = setup_host_groups(m, err);
    if (rc == 0)
        rc = setup_transports(m, err);
    for (size_t i = 0; rc == 0 && i < m->config->runtime_count; i++)
        rc = setup_role(m, i, wants[i], err);
    return rc;
}

/* The cgroup tree is found again by the state directory, whatever process made it. */
static int setup_cgroups(struct monitor *m, struct berth_error *err)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    char key[32];
    for (const char *s = m->config->state_dir; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 16777619u;
    snprintf(key, sizeof key, "berth-%08x", hash);
    m->cgroups = cgroup_base_new(key, m->is_root ? m->uid : (uid_t)-1,
                                 m->is_root ? m->gid : (gid_t)-1);
    if (!m->cgroups)
        return berth_fail(err, ENOMEM, "out of memory");
    if (*cgroup_base_text(m->cgroups))
        log_warn("limits: %s", cgroup_base_text(m->cgroups));
    return 0;
}

static int setup_drop(struct monitor *m, struct berth_error *err)
{
    static const char *const own[] = {"setuid", "setgid", "setpcap", "kill", NULL};
    struct priv_drop drop = {.keep_bounding = true};
    if (m->is_root) {
        int rc = capset_parse(own, &drop.keep, err);
        if (rc < 0)
            return rc;
        for (size_t i = 0; i < m->role_count; i++)
            drop.keep |= m->roles[i].grants;
        drop.keep &= capset_permitted();
    }
    return priv_drop(&drop, err);
}

static int setup_unchanged(const char *key, bool same, struct berth_error *err)
{
    return same ? 0 : berth_fail(err, EPERM, "key 'host.%s' cannot be changed by a reload: restart berthd", key);
}

/* A reload must not begin what it cannot bring to an end: the lock stays, and lost capabilities do not come back. */
int monitor_try(const struct monitor *m, const struct config *fresh, struct berth_error *err)
{
    struct monitor trial = {.config = fresh};
    const capset *no_wants = calloc(fresh->runtime_count + 1, sizeof *no_wants);
    int rc = no_wants ? setup_user(&trial, err) : berth_fail(err, ENOMEM, "out of memory");
    if (rc == 0)
        rc = setup_unchanged("state_dir", !strcmp(fresh->state_dir, m->config->state_dir), err);
    if (rc == 0)
        rc = setup_unchanged("run_dir", !strcmp(fresh->run_dir, m->config->run_dir), err);
    if (rc == 0)
        rc = setup_unchanged("user", trial.uid == m->uid && trial.gid == m->gid, err);
    return rc < 0 ? rc : setup_roles(&trial, no_wants, err);
}

int monitor_set_up(struct monitor *m, struct berth_error *err)
{
    cleanup_free capset *wants = calloc(m->config->runtime_count + 1, sizeof *wants);
    if (!wants)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = setup_user(m, err);
    if (rc == 0)
        rc = monitor_check(m, NULL, wants, err);
    if (rc == 0)
        rc = setup_dirs(m, err);
    if (rc == 0)
        rc = setup_lock(m, err);
    CRASH_POINT(lock_taken);
    if (rc == 0)
        rc = setup_roles(m, wants, err);
    if (rc == 0)
        rc = setup_cgroups(m, err);
    return rc < 0 ? rc : setup_drop(m, err);
}
