/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Trying a config before it is used: in a child without privileges, since loading a plugin runs its code. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fail.h"
#include "base/str.h"
#include "monitor/monitor_int.h"
#include "plugin/loader.h"

#define CHECK_MS 30000

struct verdict_frame { /* what the child writes before the capsets */
    int rc;
    struct berth_error err;
};

static int check_wants(const struct config *c, capset *wants, struct berth_error *err)
{
    for (size_t i = 0; i < c->runtime_count; i++) {
        cleanup_free char *path = NULL;
        struct plugin *p;
        int fd = plugin_find(c->plugin_path, c->runtimes[i].plugin, &path, err);
        int rc = fd < 0 ? fd : plugin_load(fd, path, &p, err);
        if (rc == 0 && p->desc.capabilities)
            rc = capset_parse(p->desc.capabilities, &wants[i], err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static _Noreturn void check_child(const struct monitor *m, const char *path, int fd)
{
    struct verdict_frame v = {0};
    struct priv_drop drop = {.change_ids = m->is_root, .uid = m->uid, .gid = m->gid};
    const struct config *c = m->config;
    struct config *fresh;
    if (path) {
        v.rc = config_load(path, &fresh, &v.err);
        c = fresh;
        if (v.rc == 0)
            v.rc = monitor_try(m, c, &v.err);
    }
    if (v.rc == 0)
        v.rc = priv_drop(&drop, &v.err);
    if (v.rc == 0)
        v.rc = plugins_check(c, &v.err);
    size_t n = v.rc == 0 ? c->runtime_count : 0;
    capset *wants = calloc(n + 1, sizeof *wants);
    if (v.rc == 0)
        v.rc = wants ? check_wants(c, wants, &v.err)
                     : berth_fail(&v.err, ENOMEM, "out of memory");
    bool told = write(fd, &v, sizeof v) == sizeof v;
    if (told && v.rc == 0)
        told = write(fd, wants, n * sizeof *wants) == (ssize_t)(n * sizeof *wants);
    _exit(told ? 0 : 1);
}

/* The whole answer, or what there was of it when time was up or the child died. */
static size_t check_read(int fd, void *buf, size_t len)
{
    int64_t end = now_ms() + CHECK_MS;
    size_t have = 0;
    while (have < len) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = end - now_ms();
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            break;
        ssize_t n = read(fd, (char *)buf + have, len - have);
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    return have;
}

int monitor_check(const struct monitor *m, const char *path, capset *ret_wants,
                  struct berth_error *err)
{
    int fds[2];
    struct verdict_frame v = {0};
    struct mark *mark = mark_new(), where;
    if (!mark || pipe(fds) < 0)
        return berth_fail_errno(err, errno, "cannot check the config");
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        mark_use(mark);
        check_child(m, path, fds[1]);
    }
    close(fds[1]);
    size_t have = pid < 0 ? 0 : check_read(fds[0], &v, sizeof v);
    size_t want = ret_wants && v.rc == 0 ? m->config->runtime_count * sizeof *ret_wants : 0;
    bool whole = have == sizeof v && check_read(fds[0], ret_wants, want) == want;
    close(fds[0]);
    int status = 0;
    if (pid > 0) {
        if (!whole)
            kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
    }
    bool in_plugin = mark_read(mark, &where);
    mark_free(mark);
    if (!whole && !in_plugin)
        return berth_fail(err, EIO, "the process that checks the config ended early (%s %d)",
                          WIFSIGNALED(status) ? "signal" : "status",
                          WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (!whole)
        return berth_fail(err, EIO, "plugin '%s' crashed or hung in '%s' when it was loaded (%s %d)",
                          where.plugin, where.callback,
                          WIFSIGNALED(status) ? "signal" : "status",
                          WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (v.rc < 0 && err)
        *err = v.err;
    return v.rc;
}
