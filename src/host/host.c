/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The host process from its first line to its loop. It never relies on having exited well. */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/crash.h"
#include "base/title.h"
#include "host/host_int.h"

#define PURGE_MS 5000
#define TICK_MS 1000

struct interned {
    UT_hash_handle hh;
    char text[];
};

const char *host_intern(struct host *h, const char *s)
{
    struct interned *it;
    size_t len = strlen(s);
    HASH_FIND(hh, h->strings, s, len, it);
    if (it)
        return it->text;
    it = malloc(sizeof *it + len + 1);
    if (!it)
        return NULL;
    memcpy(it->text, s, len + 1);
    HASH_ADD_KEYPTR(hh, h->strings, it->text, len, it);
    return it->text;
}

void host_ask_dispatch(struct host *h)
{
    loop_defer_run(h->dispatch);
    for (size_t i = 0; i < h->config->transport_count; i++)
        if (h->transports[i].started &&
            transport_is_durable(&h->transports[i]))
            transport_pump_later(&h->transports[i]);
}

static void host_dispatch_later(void *arg)
{
    host_ask_dispatch(arg);
}

static void host_purge(void *arg)
{
    struct host *h = arg;
    store_purge(h->store, unix_ms() - h->config->retention_ms, h->config->retention_count);
    loop_timer_set(h->purge_timer, PURGE_MS);
}

int host_accept(struct host *h, int listen_fd, struct loop_io *io)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0 ||
        (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM))
        return fd;
    if (!h->accept_rests)
        log_warn("cannot accept connections, trying again every second: %s",
                 strerror(errno));
    h->accept_rests = true;
    loop_io_set(io, 0);
    return -1;
}

static void host_tick(void *arg)
{
    struct host *h = arg;
    if (h->accept_rests) {
        h->accept_rests = false;
        loop_io_set(h->link_io, EPOLLIN);
        loop_io_set(h->ctl_io, EPOLLIN);
    }
    ctl_tick(h);
    host_disk_tick(h);
    idle_tick(h);
    loop_timer_set(h->tick, TICK_MS);
}

/* The monitor's death is ours; its lines answer a reload. */
static void host_monitor(void *arg, uint32_t events)
{
    struct host *h = arg;
    char line[512];
    (void)events;
    ssize_t n = read(h->start.monitor_fd, line, sizeof line - 1);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        _exit(0);
    if (n > 0) {
        line[n] = '\0';
        line[strcspn(line, "\n")] = '\0';
        ctl_monitor_said(h, line);
    }
}

static void host_signal(void *arg, const siginfo_t *info)
{
    (void)info;
    loop_stop(((struct host *)arg)->loop);
}

static int host_runtimes(struct host *h, struct berth_error *err)
{
    size_t n = h->config->runtime_count;
    h->runtimes = calloc(n ? n : 1, sizeof *h->runtimes);
    if (!h->runtimes)
        return berth_fail(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < n; i++)
        h->runtimes[i] = (struct runtime_link){.host = h, .block = &h->config->runtimes[i]};
    return 0;
}

static int host_timers(struct host *h, struct berth_error *err)
{
    h->dispatch = loop_defer_add(h->loop, dispatch_run, h);
    h->dispatch_later = loop_timer_add(h->loop, 0, host_dispatch_later, h);
    h->limbo_timer = loop_timer_add(h->loop, 0, adopt_limbo, h);
    h->save_timer = loop_timer_add(h->loop, 0, jobs_save, h);
    h->orphan_timer = loop_timer_add(h->loop, 0, links_sweep_others, h);
    h->purge_timer = loop_timer_add(h->loop, 0, host_purge, h);
    h->drain_timer = loop_timer_add(h->loop, 0, drain_look, h);
    h->tick = loop_timer_add(h->loop, TICK_MS, host_tick, h);
    h->monitor_io = loop_io_add(h->loop, h->start.monitor_fd, EPOLLIN, host_monitor, h);
    if (!h->dispatch || !h->dispatch_later || !h->limbo_timer || !h->save_timer ||
        !h->orphan_timer || !h->purge_timer || !h->drain_timer || !h->tick || !h->monitor_io ||
        !loop_signal_add(h->loop, SIGTERM, host_signal, h) ||
        !loop_signal_add(h->loop, SIGINT, host_signal, h) || logs_init(h) < 0 ||
        loop_on_wake(h->loop, services_woken, h) < 0)
        return berth_fail(err, ENOMEM, "cannot set up the event loop");
    return 0;
}

static int host_schedule(struct host *h, struct berth_error *err)
{
    node_capacity(h->config, h->arena, &h->capacity, &h->gpus);
    h->sched = sched_new(h->config, &h->capacity, h->gpus);
    return h->sched ? 0 : berth_fail(err, ENOMEM, "out of memory");
}

/*
 * The order matters: transports bind while the config's grants are held, then everything is given up,
 * then the store and the sockets are opened as the unprivileged user, then threads may start.
 */
static int host_set_up(struct host *h, struct berth_error *err)
{
    struct priv_drop all = {0};
    int rc = host_runtimes(h, err);
    if (rc == 0)
        rc = host_timers(h, err);
    if (rc == 0)
        rc = priv_drop(&h->start.drop, err);
    if (rc == 0)
        rc = transports_load(h, err);
    if (rc == 0)
        rc = priv_drop(&all, err);
    if (rc == 0)
        rc = host_schedule(h, err);
    if (rc == 0)
        rc = store_open(h->config->state_dir, h->loop, &h->store, err);
    CRASH_POINT(store_opened);
    if (rc == 0)
        rc = adopt_all(h, err);
    CRASH_POINT(tasks_restored);
    if (rc == 0)
        rc = links_open(h, err);
    if (rc == 0)
        rc = ctl_open(h, err);
    CRASH_POINT(host_listening);
    if (rc == 0)
        rc = transports_start(h, err);
    if (rc == 0)
        drain_resume(h);
    return rc;
}

/* Each client and each running task has a connection here. The limit for those who use select() is not meant for us. */
static void host_raise_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0)
        log_warn("the limit of open files stays: %s", strerror(errno));
}

_Noreturn void host_main(const struct host_start *start)
{
    struct berth_error err = {0};
    struct host *h = calloc(1, sizeof *h);
    CRASH_ROLE(CRASH_HOST);
    CRASH_POINT(host_begun);
    title_set("berthd: host");
    log_init("host", start->config->log_level);
    mark_use(start->mark);
    if (!h || !(h->loop = loop_new()) || !(h->arena = arena_new())) {
        log_err("out of memory");
        _exit(1);
    }
    h->start = *start;
    h->config = start->config;
    h->thread = pthread_self();
    h->started_unix_ms = unix_ms();
    host_raise_files();
    if (host_set_up(h, &err) < 0) {
        log_err("cannot start: %s", err.text);
        _exit(1);
    }
    log_info("ready: %zu transports, %zu runtimes, %zu executers",
             h->config->transport_count, h->config->runtime_count,
             h->config->executer_count);
    if (write(start->monitor_fd, "Y\n", 2) < 0)
        log_warn("the monitor could not be told: %s", strerror(errno));
    CRASH_POINT(host_ready);
    host_ask_dispatch(h);
    int rc = loop_run(h->loop);
    if (rc < 0) { /* nothing here can be relied on: a plugin closed what is not its own */
        log_err("the event loop failed: %s", strerror(-rc));
        _exit(1);
    }
    CRASH_POINT(host_stop);
    transports_close(h);
    CRASH_POINT(store_close);
    store_close(h->store);
    _exit(0);
}
