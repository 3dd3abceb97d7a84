/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The supervisor of one attempt: its talk with the host, its start and its end. What
 * happens in between is in supervise_table.c. It may die at any line: the payload dies with
 * it, and the lock on the attempt's directory, which the kernel lets go, tells the worker
 * and the next host that it is time to sweep.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "base/title.h"
#include "worker/supervisor_int.h"

#define SIGNAL_MS 5000
#define CLEANUP_MS 30000

static const char *const state_names[STATE_COUNT] = {
    [STARTING] = "starting", [RUNNING] = "running",  [STOPPING] = "running",
    [KILLING] = "running",   [DRAINING] = "running", [GATHERING] = "running",
    [DONE] = "done"};

/* ---- to the host ---- */

static struct value about(const struct supervisor *s, struct arena *a)
{
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", s->at->id);
    value_put_int(a, &body, "attempt", s->at->number);
    return body;
}

static void put_task(const struct supervisor *s, struct arena *a, struct value *body)
{
    struct value record;
    if (!s->bytes_gone) {
        value_put_bin(a, body, "task", s->at->task_bytes, s->at->task_len);
    } else if (attempt_record_read(s->at->dir, a, &record) == 0) {
        const struct value *task = value_get(&record, "task");
        if (task)
            value_put(a, body, "task", *task);
    }
}

static void send_hello(struct supervisor *s)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return; /* the host asks nobody: it finds out by the lock */
    struct value body = about(s, a), gpus = value_new_array(a);
    for (size_t i = 0; i < s->at->gpu_count; i++)
        value_add(a, &gpus, value_new_str(a, s->at->gpus[i]));
    value_put_int(a, &body, "v", WIRE_VERSION);
    value_put_int(a, &body, "pid", getpid());
    value_put_str(a, &body, "runtime", s->rt->block->name);
    value_put_int(a, &body, "slot", s->at->slot);
    value_put(a, &body, "gpus", gpus);
    value_put_str(a, &body, "state", state_names[s->state]);
    value_put_int(a, &body, "queued_ms", s->at->queued_ms);
    if (s->end.started)
        value_put_int(a, &body, "started_ms", s->end.started_ms);
    put_task(s, a, &body);
    host_link_send(s->link, FRAME_TASK_HELLO, &body);
}

void supervisor_send_started(struct supervisor *s)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = about(s, a);
    value_put_int(a, &body, "started_ms", s->end.started_ms);
    value_put_int(a, &body, "payload_pid", s->payload.pid);
    host_link_send(s->link, FRAME_TASK_STARTED, &body);
}

void supervisor_send_done(struct supervisor *s)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = about(s, a);
    value_put(a, &body, "result", result_build(s, a));
    int rc = host_link_send(s->link, FRAME_TASK_DONE, &body);
    if (rc < 0 && rc != -ENOTCONN)
        log_line(BERTH_LOG_WARN, s->at->id, "the result was not sent: %s", strerror(-rc));
}

static void link_up(void *arg)
{
    struct supervisor *s = arg;
    send_hello(s);
    if (s->state == DONE)
        supervisor_send_done(s);
}

static void link_down(void *arg)
{
    supervisor_event(arg, EVENT_LINK_DOWN);
}

/* ---- from the host ---- */

static void on_cancel(struct supervisor *s, const struct value *body)
{
    int verdict = berth_verdict_parse(value_str(body, "verdict", "cancelled"));
    int64_t grace = value_int(body, "grace_ms", -1);
    if (verdict == BERTH_VERDICT_TIMEOUT)
        supervisor_stop(s, verdict, "timeout", "the host says that its time is over",
                        grace);
    else if (verdict == BERTH_VERDICT_PREEMPTED)
        supervisor_stop(s, verdict, "preempted", "preempted by the host", grace);
    else
        supervisor_stop(s, BERTH_VERDICT_CANCELLED, "cancelled", "cancelled", grace);
}

/* Before there is a result it means that none is wanted: the attempt is no longer the
 * task's. */
static void on_confirm(struct supervisor *s)
{
    s->confirmed = true;
    if (s->state != DONE)
        supervisor_stop(s, BERTH_VERDICT_CANCELLED, "cancelled",
                        "the host does not know this attempt", 0);
    supervisor_event(s, EVENT_CONFIRM);
}

static void link_frame(void *arg, int type, const struct value *body, struct arena *a)
{
    struct supervisor *s = arg;
    (void)a;
    if (strcmp(value_str(body, "id", ""), s->at->id) != 0 ||
        value_int(body, "attempt", 0) != s->at->number)
        return;
    if (type == FRAME_TASK_CANCEL)
        on_cancel(s, body);
    else if (type == FRAME_TASK_CONFIRM)
        on_confirm(s);
}

static void on_sigterm(void *arg, const siginfo_t *info)
{
    struct supervisor *s = arg;
    (void)info;
    s->shutting = true;
    supervisor_stop(s, BERTH_VERDICT_PREEMPTED, "shutdown", "the node is shutting down",
                    -1);
}

/* ---- a signal for what an engine holds ---- */

struct engine_signal {
    struct supervisor *s;
    int signo;
};

static int signal_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct engine_signal *e = arg;
    (void)out;
    return e->s->rt->plugin->runtime.signal(&e->s->rt->ctx, &e->s->view, e->signo, err);
}

static void signalled(void *arg, const struct helper_end *end)
{
    struct supervisor *s = arg;
    s->helper = NULL;
    if (end->rc < 0)
        log_line(BERTH_LOG_WARN, s->at->id, "the plugin's signal: %s", end->err.text);
}

int supervisor_signal_engine(struct supervisor *s, int signo)
{
    struct engine_signal e = {s, signo}; /* the helper has its copy of this stack */
    if (!runtime_is_full(s->rt) || !s->rt->plugin->runtime.signal || s->hard_killed)
        return -EOPNOTSUPP;
    helper_cancel(&s->helper);
    s->end.sent |= UINT64_C(1) << signo;
    return helper_start(s->rt, s->loop, SIGNAL_MS, signal_work, &e, signalled, s,
                        &s->helper, NULL);
}

/* ---- the start ---- */

static void staged_in(void *arg, const struct helper_end *end)
{
    struct supervisor *s = arg;
    s->helper = NULL;
    /* What crashes or hangs there is the plugin's `prepare`, if it has one. */
    bool plugin =
        s->rt->plugin->runtime.prepare && (end->rc == -ECHILD || end->rc == -ETIMEDOUT);
    if (end->rc < 0) {
        failure_set(&s->end.failure,
                    end->said.verdict ? end->said.verdict
                    : plugin          ? BERTH_VERDICT_PLUGIN_ERROR
                                      : BERTH_VERDICT_RUNTIME_ERROR,
                    end->said.blame ? end->said.blame
                    : plugin        ? BERTH_BLAME_RUNTIME
                                    : BERTH_BLAME_NODE,
                    end->said.verdict == BERTH_VERDICT_IMAGE_ERROR ? "image" : "stage_in",
                    "%s", end->err.text);
        snprintf(s->end.failure.detail, sizeof s->end.failure.detail, "%s",
                 end->said.detail);
    }
    supervisor_event(s, end->rc < 0 ? EVENT_FAILED : EVENT_STAGED);
}

static void begin(struct supervisor *s)
{
    struct berth_error err = {0};
    int rc = payload_prepare(s);
    if (supervisor_watch_deadline(s) < 0)
        rc = -ENOMEM;
    if (s->state != STARTING) /* the deadline had passed */
        return;
    if (rc == 0 && stage_in_needed(s)) {
        rc = helper_start(s->rt, s->loop, STAGE_LIMIT_MS, stage_in_work, s, staged_in, s,
                          &s->helper, &err);
        if (rc == 0)
            return;
    }
    if (rc < 0)
        failure_set(&s->end.failure, BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE, "start",
                    "%s", err.code ? err.text : "out of memory");
    supervisor_event(s, rc < 0 ? EVENT_FAILED : EVENT_STAGED);
}

static void on_tick(void *arg)
{
    supervisor_event(arg, EVENT_TICK);
}

/* 0 or -1: without any of these it is better not to start. */
static int set_up(struct supervisor *s)
{
    s->loop = loop_new();
    if (!s->loop)
        return -1;
    s->sigterm = loop_signal_add(s->loop, SIGTERM, on_sigterm, s);
    s->tick = loop_timer_add(s->loop, 1000, on_tick, s);
    s->link =
        host_link_new(s->loop, s->rt->config->run_dir, link_up, link_down, link_frame, s);
    if (!s->sigterm || !s->tick || !s->link)
        return -1;
    loop_timer_stop(s->tick);
    return 0;
}

_Noreturn void supervisor_main(struct runtime *rt, struct attempt *at)
{
    struct supervisor *s = calloc(1, sizeof *s);
    setsid();
    title_set("berthd: task %s", at->id);
    if (!s)
        _exit(SUPERVISOR_FAILED);
    *s = (struct supervisor){.rt = rt,
                             .at = at,
                             .stop_signal = SIGTERM,
                             .fault_fd = -1,
                             .out = {{.fd = -1}, {.fd = -1}}};
    end_init(&s->end);
    s->end.queued_ms = at->queued_ms;
    s->end.is_engine = runtime_is_full(rt);
    if (set_up(s) < 0)
        _exit(SUPERVISOR_FAILED);
    host_link_retry(s->link);
    begin(s);
    loop_run(s->loop);
    _exit(SUPERVISOR_FAILED);
}

/* ---- the end ---- */

/* Whoever sweeps later does the same again; all of it may have been done before. */
static _Noreturn void supervisor_exit(struct supervisor *s, bool clean)
{
    if (s->cgroup && cgroup_remove(s->cgroup) < 0)
        clean = false;
    if (s->held.disk)
        umount2(s->at->work, MNT_DETACH);
    if (clean && attempt_dir_retire(s->at, s->rt) < 0)
        clean = false;
    _exit(clean ? SUPERVISOR_CONFIRMED : SUPERVISOR_UNCLEAN);
}

static int cleanup_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct supervisor *s = arg;
    (void)out;
    return s->rt->plugin->runtime.cleanup(&s->rt->ctx, s->at->instance, err);
}

static void cleaned(void *arg, const struct helper_end *end)
{
    struct supervisor *s = arg;
    s->helper = NULL;
    if (end->rc < 0)
        log_line(BERTH_LOG_WARN, s->at->id, "its instance cannot be removed: %s",
                 end->err.text);
    supervisor_exit(s, end->rc >= 0);
}

void supervisor_finish(struct supervisor *s)
{
    if (s->helper) /* confirmed twice */
        return;
    if (!s->rt->plugin->runtime.cleanup || s->cleaned || !s->end.started)
        supervisor_exit(s, true);
    if (helper_start(s->rt, s->loop, CLEANUP_MS, cleanup_work, s, cleaned, s, &s->helper,
                     NULL) < 0)
        supervisor_exit(s, false);
}

void supervisor_spill(struct supervisor *s)
{
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_arena struct arena *a = arena_new();
    cleanup_free char *path = NULL;
    int rc = -ENOMEM;
    if (a && asprintf(&path, "%s/result", s->at->dir) >= 0) {
        struct value r = result_build(s, a);
        rc = value_to_msgpack(&r, &out);
        if (rc == 0)
            rc = write_file_atomic(path, out.data, out.len, 0640);
    }
    if (rc < 0)
        log_line(BERTH_LOG_ERR, s->at->id, "its result is lost, it cannot be written: %s",
                 strerror(-rc));
    if (s->cgroup)
        cgroup_remove(s->cgroup);
    _exit(rc < 0 ? SUPERVISOR_FAILED : SUPERVISOR_SPILLED);
}
