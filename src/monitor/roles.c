/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What plugins do to the processes that they are loaded in: crashes, hangs, children left behind. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "monitor/monitor_int.h"

#define LOOK_MS 1000
#define CALLBACK_MS 15000 /* on the host's event loop, where none may block */
#define OPEN_MS 30000     /* load, open, start: once per process */

const char *role_end_text(const struct role *r, int status, char *buf, size_t len)
{
    struct mark at;
    int n = WIFSIGNALED(status) ? snprintf(buf, len, "signal %d (%s)", WTERMSIG(status),
                                           strsignal(WTERMSIG(status)))
                                : snprintf(buf, len, "status %d", WEXITSTATUS(status));
    bool in = mark_read(r->mark, &at);
    bool killed =
        WIFSIGNALED(status) && (WTERMSIG(status) == SIGKILL || WTERMSIG(status) == SIGTERM);
    if (n > 0 && (size_t)n < len && at.callback[0] && (in || !killed))
        snprintf(buf + n, len - (size_t)n, " %s '%s' of plugin '%s'", in ? "in" : "after",
                 at.callback, at.plugin);
    return buf;
}

static int64_t limit_of(const struct role *r, const struct mark *at)
{
    static const char *const slow[] = {"load", "berth_plugin_entry", "open", "start"};
    for (size_t i = 0; i < countof(slow); i++)
        if (!strcmp(at->callback, slow[i]))
            return OPEN_MS;
    return r->block ? OPEN_MS : CALLBACK_MS;
}

static void watch_one(struct role *r, int64_t now)
{
    struct mark at;
    if (!r->pid || !mark_read(r->mark, &at)) {
        r->mark_seen_ms = 0;
        return;
    }
    if (!r->mark_seen_ms || at.calls != r->mark_calls) {
        r->mark_seen_ms = now;
        r->mark_calls = at.calls;
        return;
    }
    if (now - r->mark_seen_ms < limit_of(r, &at))
        return;
    log_err("plugin '%s' has not returned from '%s' for %lld s: killing its process",
            at.plugin, at.callback, (long long)(now - r->mark_seen_ms) / 1000);
    kill(r->pid, SIGKILL);
    r->mark_seen_ms = 0;
}

void role_watch(void *arg)
{
    struct monitor *m = arg;
    int64_t now = now_ms();
    for (size_t i = 0; i < m->role_count; i++)
        watch_one(&m->roles[i], now);
    loop_timer_set(m->watch, LOOK_MS);
}

static bool is_ours(const struct monitor *m, pid_t pid)
{
    for (size_t i = 0; i < m->role_count; i++)
        if (m->roles[i].pid == pid)
            return true;
    for (size_t i = 0; i < m->inherited_count; i++)
        if (m->inherited[i] == pid)
            return true;
    return false;
}

/* Calls fn for each child. */
static void each_child(void (*fn)(void *arg, pid_t pid), void *arg)
{
    cleanup_free char *text = NULL;
    size_t len;
    if (read_file("/proc/thread-self/children", 1 << 20, &text, &len) < 0)
        return; /* a kernel that does not tell */
    for (char *p = text, *end;; p = end) {
        pid_t pid = (pid_t)strtol(p, &end, 10);
        if (end == p)
            return;
        fn(arg, pid);
    }
}

static void inherit(void *arg, pid_t pid)
{
    struct monitor *m = arg;
    pid_t *grown = reallocarray(m->inherited, m->inherited_count + 1, sizeof *grown);
    if (!grown)
        return;
    m->inherited = grown;
    m->inherited[m->inherited_count++] = pid;
}

void monitor_note_children(struct monitor *m)
{
    each_child(inherit, m);
}

void monitor_forget_child(struct monitor *m, pid_t pid)
{
    for (size_t i = 0; i < m->inherited_count; i++)
        if (m->inherited[i] == pid)
            m->inherited[i] = 0; /* the number may be another's from now on */
}

static void kill_orphan(void *arg, pid_t pid)
{
    if (is_ours(arg, pid) || getsid(pid) != getsid(0))
        return;
    log_warn("killing process %d, which a plugin had left behind", (int)pid);
    kill(pid, SIGKILL);
}

void monitor_kill_orphans(struct monitor *m)
{
    each_child(kill_orphan, m);
}
