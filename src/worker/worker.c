/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A runtime worker: drops what it was not granted, loads its plugin, and forks a supervisor
 * for each attempt that the host asks for. It keeps nothing that could be lost: when it
 * dies, the supervisors go on, and the next worker finds what they leave by the locks on
 * the attempts' directories.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "base/title.h"
#include "worker/worker.h"
#include "worker/worker_int.h"

#define REAP_MS 50
#define MMAP_FROM (128 * 1024)
#define LOCK_AGAIN_MS 20

/* ---- hello ---- */

struct hello {
    struct worker *w;
    struct arena *a;
    struct value *attempts;
};

static void hello_attempt(struct hello *h, const char *id, int number, pid_t pid)
{
    struct value it = value_new_map(h->a);
    value_put_str(h->a, &it, "id", id);
    value_put_int(h->a, &it, "attempt", number);
    value_put_int(h->a, &it, "pid", pid);
    value_add(h->a, h->attempts, it);
}

/* Supervisors of a worker before this one are known by their locks; their pids are for
 * them to tell. */
static void hello_found(void *arg, const char *dir, const char *id, int number)
{
    struct hello *h = arg;
    struct value record;
    if (worker_has_child(h->w, id, number))
        return;
    int lock = attempt_dir_lock(dir);
    if (lock >= 0)
        close(lock);
    if (lock == -EWOULDBLOCK && attempt_record_read(dir, h->a, &record) == 0 &&
        !strcmp(value_str(&record, "runtime", ""), h->w->rt.block->name))
        hello_attempt(h, id, number, 0);
}

static void send_hello(struct worker *w)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = value_new_map(a), attempts = value_new_array(a);
    struct hello h = {w, a, &attempts};
    for (struct child *c = w->children; c; c = c->hh.next)
        if (c->seat->number)
            hello_attempt(&h, c->seat->id, c->seat->number, c->pid);
    attempt_each(w->rt.config, hello_found, &h);
    value_put_str(a, &body, "runtime", w->rt.block->name);
    value_put_int(a, &body, "pid", getpid());
    value_put_str(a, &body, "plugin", w->rt.block->plugin);
    value_put_str(a, &body, "version", w->rt.plugin ? w->rt.plugin->desc.version : "");
    value_put_int(a, &body, "started_ms", w->started_ms);
    value_put(a, &body, "attempts", attempts);
    host_link_send(w->link, FRAME_WORKER_HELLO, &body);
}

static void link_up(void *arg)
{
    struct worker *w = arg;
    send_hello(w);
    sweep_send_pending(
        w); /* before the probe: an attempt that has ended must not be begun once more */
    probe_send(w);
}

static void link_frame(void *arg, int type, const struct value *body, struct arena *a)
{
    struct worker *w = arg;
    (void)a;
    switch (type) {
    case FRAME_RUN:
        worker_run(w, body);
        return;
    case FRAME_SWEEP:
        sweep_asked(w, body);
        return;
    case FRAME_SWEEP_OTHERS:
        sweep_others(w, body);
        return;
    default:
        log_debug("frame %d from the host is not known", type);
    }
}

/* ---- from outside ---- */

static void on_monitor(void *arg, uint32_t events)
{
    struct worker *w = arg;
    char byte[64];
    (void)events;
    ssize_t n = read(w->monitor_fd, byte, sizeof byte);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        loop_stop(w->loop);
}

static void on_sigterm(void *arg, const siginfo_t *info)
{
    struct worker *w = arg;
    (void)info;
    loop_stop(w->loop);
}

/* One signal may stand for the ends of several. But to ask the kernel for any of thousands
 * of children takes long, so that is done now and then. */
static void on_sigchld(void *arg, const siginfo_t *info)
{
    struct worker *w = arg;
    worker_reap(w, info->si_pid);
    if (!w->reap_due)
        loop_timer_set(w->reap_timer, REAP_MS);
    w->reap_due = true;
}

/* ---- the start ---- */

/*
 * One worker of a runtime speaks to the host. One that was stopped may still have a RUN unread of a host that is
 * gone: the next worker waits for its end, else an attempt could be swept by this one and then begun by
 * that one. Not flock(2): supervisors would inherit it.
 */
static void lock_turn(void *arg)
{
    struct worker *w = arg;
    struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (w->lock_fd < 0)
        w->lock_fd = open(w->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (w->lock_fd >= 0 && fcntl(w->lock_fd, F_SETLK, &all) == 0) {
        host_link_retry(w->link);
        return;
    }
    if (!w->lock_waits)
        log_warn("waits for its lock '%s': %s", w->lock_path,
                 w->lock_fd < 0 ? strerror(errno) : "the worker before it has not ended");
    w->lock_waits = true;
    loop_timer_set(w->lock_timer, LOCK_AGAIN_MS);
}

/* Freed memory goes back to the system whatever its size was before: a supervisor
 * inherits what stays. */
static void set_up_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
    mallopt(M_TRIM_THRESHOLD, MMAP_FROM);
}

static int set_up(struct worker *w, const struct worker_start *start,
                  struct berth_error *err)
{
    cleanup_free char *attempts = NULL;
    if (asprintf(&attempts, "%s/" ATTEMPTS_DIR, start->config->state_dir) < 0 ||
        asprintf(&w->lock_path, "%s/worker-%s.lock", start->config->state_dir,
                 start->block->name) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = make_dirs(attempts, 0711);
    if (rc < 0)
        return berth_fail_errno(err, -rc, "cannot make '%s'", attempts);
    w->loop = loop_new();
    if (!w->loop)
        return berth_fail_errno(err, errno, "event loop");
    w->sigterm = loop_signal_add(w->loop, SIGTERM, on_sigterm, w);
    w->sigchld = loop_signal_add(w->loop, SIGCHLD, on_sigchld, w);
    w->monitor = loop_io_add(w->loop, w->monitor_fd, EPOLLIN, on_monitor, w);
    w->fork_defer = loop_defer_add(w->loop, worker_fork_all, w);
    w->answer_defer = loop_defer_add(w->loop, worker_answered, w);
    w->probe_timer = loop_timer_add(w->loop, 0, probe_turn, w);
    w->reap_timer = loop_timer_add(w->loop, 0, worker_reap_all, w);
    w->sweep_timer = loop_timer_add(w->loop, 0, sweep_turn, w);
    w->lock_timer = loop_timer_add(w->loop, 0, lock_turn, w);
    w->link = host_link_new(w->loop, start->config->run_dir, link_up, NULL, link_frame, w);
    if (!w->sigterm || !w->sigchld || !w->monitor || !w->fork_defer || !w->answer_defer ||
        !w->probe_timer || !w->reap_timer || !w->sweep_timer || !w->lock_timer || !w->link)
        return berth_fail(err, ENOMEM, "out of memory");
    return 0;
}

static void open_runtime(struct worker *w, const struct worker_start *start)
{
    runtime_open(&w->rt, start);
    if (w->rt.error.code)
        log_err("%s", w->rt.error.text);
    else if (w->rt.isolation.text[0])
        log_warn("isolation: %s", w->rt.isolation.text);
    if (!cgroup_has_kill(start->cgroups))
        prctl(PR_SET_CHILD_SUBREAPER,
              1); /* orphans of a dead supervisor are to be found here */
}

_Noreturn void worker_main(const struct worker_start *start)
{
    static struct worker w;
    struct berth_error err = {0};
    set_up_memory();
    signal(SIGPIPE, SIG_IGN);
    CRASH_ROLE(CRASH_WORKER);
    title_set("berthd: %s", start->block->name);
    log_init(start->block->name, start->config->log_level);
    mark_use(start->mark);
    w.monitor_fd = start->monitor_fd;
    w.lock_fd = -1;
    w.started_ms = unix_ms();
    if (priv_drop(&start->drop, &err) < 0) {
        log_err("cannot drop privileges: %s", err.text);
        _exit(EXIT_FAILURE);
    }
    umask(022);
    open_runtime(&w, start);
    if (set_up(&w, start, &err) < 0) {
        log_err("%s", err.text);
        _exit(EXIT_FAILURE);
    }
    sweep_all_idle(&w);
    loop_run(w.loop);
    runtime_close(&w.rt);
    _exit(EXIT_SUCCESS);
}
