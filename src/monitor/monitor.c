/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The monitor: forks the host and one worker per runtime, and forks them again when they die. It keeps the
 * capabilities that it may have to hand to a worker, and speaks to nobody but them. Supervisors whose worker died
 * become its children; it reaps them and leaves them alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "base/title.h"
#include "host/host.h"
#include "monitor/monitor_int.h"
#include "worker/worker.h"

#define STOP_MS 5000    /* host and workers may take so long to end */
#define STEADY_MS 10000 /* a role that lived so long is restarted at once */
#define BACKOFF_MAX_MS 1000

static void role_start(struct role *r);
static void monitor_stop(struct monitor *m);

static const char *role_name(const struct role *r)
{
    return r->block ? r->block->name : "host";
}

/* ---- in the child ---- */

static void child_close_others(struct monitor *m, const struct role *mine)
{
    loop_free_after_fork(m->loop);
    close(m->lock_fd);
    for (size_t i = 0; i < m->role_count; i++) {
        struct role *r = &m->roles[i];
        if (r->fd >= 0)
            close(r->fd);
        if (r != mine && r->plugin_fd >= 0)
            close(r->plugin_fd);
    }
    for (size_t i = 0; mine->block && i < m->config->transport_count; i++)
        close(m->transport_fds[i]);
}

static void child_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        if (s != SIGPIPE)
            signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static struct priv_drop child_drop(const struct monitor *m, const struct role *r)
{
    return (struct priv_drop){.change_ids = m->is_root,
                              .uid = m->uid,
                              .gid = m->gid,
                              .groups = r->groups,
                              .group_count = r->group_count,
                              .keep = r->grants};
}

static _Noreturn void child_main(struct role *r, int fd)
{
    struct monitor *m = r->monitor;
    child_close_others(m, r);
    child_signals();
    if (r->block) {
        struct worker_start start = {.config = m->config,
                                     .block = r->block,
                                     .cgroups = m->cgroups,
                                     .drop = child_drop(m, r),
                                     .plugin_fd = r->plugin_fd,
                                     .plugin_path = r->plugin_path,
                                     .mark = r->mark,
                                     .monitor_fd = fd};
        worker_main(&start);
    }
    struct host_start start = {.config = m->config,
                               .drop = child_drop(m, r),
                               .transport_fds = m->transport_fds,
                               .transport_paths = m->transport_paths,
                               .mark = r->mark,
                               .monitor_fd = fd,
                               .first = !m->served && !m->reloaded,
                               .restarts = r->restarts};
    host_main(&start);
}

/* ---- roles ---- */

static void role_again(void *arg)
{
    role_start(arg);
}

static void role_ended(struct role *r, int status)
{
    struct monitor *m = r->monitor;
    CRASH_POINT(role_ended);
    bool steady = now_ms() - r->started_ms > STEADY_MS;
    char how[400];
    r->pid = 0;
    loop_io_remove(&r->io);
    close(take_fd(r->fd));
    monitor_kill_orphans(m);
    if (m->stopping)
        return;
    role_end_text(r, status, how, sizeof how);
    if (!r->block && !m->served && !m->reloaded) { /* it would not start the next time either */
        log_err("the host could not start: it ended with %s", how);
        m->status = 1;
        monitor_stop(m);
        return;
    }
    r->restarts = r->restarts + 1;
    int64_t delay = steady || r->restarts < 2 ? 0 : 100ll * r->restarts;
    delay = delay < BACKOFF_MAX_MS ? delay : BACKOFF_MAX_MS;
    log_warn("%s ended with %s, starting it again in %lld ms", role_name(r), how,
             (long long)delay);
    loop_timer_set(r->again, delay);
}

static void monitor_reap(void *arg, const siginfo_t *info)
{
    struct monitor *m = arg;
    int status;
    pid_t pid;
    (void)info;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        monitor_forget_child(m, pid);
        for (size_t i = 0; i < m->role_count; i++)
            if (m->roles[i].pid == pid)
                role_ended(&m->roles[i], status);
    }
}

static void monitor_stop(struct monitor *m)
{
    m->stopping = true;
    loop_stop(m->loop);
}

static void monitor_reload(struct monitor *m)
{
    struct berth_error err = {0};
    char answer[300] = "ok\n";
    const char *path = strcmp(m->config->path, "(built in)") ? m->config->path : NULL;
    int rc = path ? monitor_check(m, path, NULL, &err) : 0;
    if (rc < 0) {
        log_err("reload refused, the old config stays: %s", err.text);
        snprintf(answer, sizeof answer, "error %s\n", err.text);
    }
    if (m->roles[0].fd >= 0 && write(m->roles[0].fd, answer, strlen(answer)) < 0)
        log_warn("the host could not be told of the reload: %s", strerror(errno));
    if (rc < 0)
        return;
    log_info("reloading");
    m->reloading = true;
    monitor_stop(m);
}

static void monitor_told(void *arg, uint32_t events)
{
    struct role *r = arg;
    char line[64];
    (void)events;
    ssize_t n = read(r->fd, line, sizeof line);
    if (n <= 0) {
        loop_io_remove(&r->io); /* its end is reaped soon */
        return;
    }
    if (r->block)
        return;
    if (line[0] == 'Y')
        r->monitor->served = true;
    else if (line[0] == 'R')
        monitor_reload(r->monitor);
    else if (line[0] == 'S' && write(r->fd, "ok\n", 3) == 3)
        monitor_stop(r->monitor);
}

static void role_start(struct role *r)
{
    struct monitor *m = r->monitor;
    int fds[2];
    if (m->stopping)
        return;
    r->started_ms = now_ms();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0) {
        log_err("cannot start %s: %s", role_name(r), strerror(errno));
        loop_timer_set(r->again, BACKOFF_MAX_MS);
        return;
    }
    CRASH_POINT(role_fork);
    fflush(NULL);
    mark_clear(r->mark);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        child_main(r, fds[1]);
    }
    close(fds[1]);
    if (pid < 0) {
        log_err("cannot start %s: %s", role_name(r), strerror(errno));
        close(fds[0]);
        loop_timer_set(r->again, BACKOFF_MAX_MS);
        return;
    }
    r->pid = pid;
    r->fd = fds[0];
    CRASH_POINT(role_forked);
    r->io = loop_io_add(m->loop, r->fd, EPOLLIN, monitor_told, r);
}

/* ---- start and end ---- */

static void monitor_signal(void *arg, const siginfo_t *info)
{
    if (info->si_signo == SIGHUP)
        monitor_reload(arg);
    else
        monitor_stop(arg);
}

/* Host and workers go; supervisors and payloads are not ours to stop. */
static void monitor_end_roles(struct monitor *m)
{
    int64_t end = now_ms() + STOP_MS;
    CRASH_POINT(roles_end);
    for (size_t i = 0; i < m->role_count; i++)
        if (m->roles[i].pid)
            kill(m->roles[i].pid, SIGTERM);
    CRASH_POINT(roles_told);
    for (bool left = true; left;) {
        left = false;
        monitor_reap(m, NULL);
        for (size_t i = 0; i < m->role_count; i++) {
            left |= m->roles[i].pid != 0;
            if (m->roles[i].pid && now_ms() > end)
                kill(m->roles[i].pid, SIGKILL);
        }
        if (left)
            poll(NULL, 0, 5);
    }
    monitor_kill_orphans(m);
}

static int monitor_exec_again(struct monitor *m)
{
    char fd[16];
    snprintf(fd, sizeof fd, "%d", m->lock_fd);
    setenv("BERTH_LOCK_FD", fd, 1);
    fcntl(m->lock_fd, F_SETFD, 0);
    child_signals();
    CRASH_POINT(exec_again);
    execv(m->self, m->argv);
    log_err("cannot start '%s' again: %s", m->self, strerror(errno));
    return 1;
}

static int monitor_watch(struct monitor *m, struct berth_error *err)
{
    static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
    m->loop = loop_new();
    if (!m->loop)
        return berth_fail_errno(err, errno, "cannot set up the event loop");
    for (size_t i = 0; i < countof(stops); i++)
        if (!loop_signal_add(m->loop, stops[i], monitor_signal, m))
            return berth_fail(err, ENOMEM, "out of memory");
    m->watch = loop_timer_add(m->loop, 0, role_watch, m);
    if (!m->watch || !loop_signal_add(m->loop, SIGCHLD, monitor_reap, m))
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < m->role_count; i++) {
        m->roles[i].again = loop_timer_add(m->loop, 0, role_again, &m->roles[i]);
        if (!m->roles[i].again)
            return berth_fail(err, ENOMEM, "out of memory");
    }
    return 0;
}

int monitor_main(const struct config *config, char **argv)
{
    struct berth_error err = {0};
    struct monitor m = {.config = config, .argv = argv, .lock_fd = -1};
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    m.self = n > 0 ? strndup(self, (size_t)n) : NULL;
    CRASH_ROLE(CRASH_MONITOR);
    title_set("berthd: monitor");
    log_init("monitor", config->log_level);
    signal(SIGPIPE, SIG_IGN);
    monitor_note_children(&m);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (!m.self || monitor_set_up(&m, &err) < 0 || monitor_watch(&m, &err) < 0) {
        log_err("cannot start: %s", err.text);
        return 1;
    }
    CRASH_POINT(set_up);
    log_info("berthd %s with config %s, state in %s", PACKAGE_VERSION, config->path,
             config->state_dir);
    loop_run(m.loop);
    monitor_end_roles(&m);
    CRASH_POINT(roles_gone);
    if (m.reloading)
        return monitor_exec_again(&m);
    log_info("stopped; running payloads go on");
    return m.status;
}
