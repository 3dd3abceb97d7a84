/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The supervisor of an attempt: its talk with the host, its start and its end. What
 * happens in between is in supervise_table.c. It may die at any line: the payload dies with
 * it, and the lock on the attempt's directory, which the kernel lets go, tells the worker
 * and the next host that it is time to sweep.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "base/title.h"
#include "worker/sandbox_keep.h"
#include "worker/supervisor_int.h"

#define CLEANUP_MS 30000
#define SERVE_MAX 256  /* attempts */
#define SANDBOX_MS 200 /* for an empty one to end; it does in any case when this process has ended */

static const char *const state_names[STATE_COUNT] = {
    [STARTING] = "starting", [RUNNING] = "running",  [STOPPING] = "running",
    [KILLING] = "running",   [DRAINING] = "running", [GATHERING] = "running",
    [DONE] = "done",         [IDLE] = "idle"};

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
    value_put_str(a, &body, "transport", s->at->transport);
    value_put_int(a, &body, "failures", s->at->failures);
    value_put_int(a, &body, "losses", s->at->losses);
    if (s->end.started)
        value_put_int(a, &body, "started_ms", s->end.started_ms);
    put_task(s, a, &body);
    host_link_send(s->link, FRAME_TASK_HELLO, &body);
}

/* A moment after the start: of a task that is over by then the result tells it. */
static void send_started(void *arg)
{
    struct supervisor *s = arg;
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = about(s, a);
    value_put_int(a, &body, "started_ms", s->end.started_ms);
    value_put_int(a, &body, "payload_pid", s->payload.pid);
    host_link_send(s->link, FRAME_TASK_STARTED, &body);
}

/* What an attempt may leave in its supervisor is little, but not nothing; and a plugin's
 * leaks are to have an end. */
static bool may_serve_again(const struct supervisor *s)
{
    return !runtime_is_full(s->rt) && !s->rt->plugin->runtime.cleanup && !s->held.disk &&
           !s->bytes_gone && !s->shutting && !s->end.unkillable &&
           s->served + 1 < SERVE_MAX && getppid() == s->seat->worker;
}

void supervisor_send_done(struct supervisor *s)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = about(s, a);
    value_put(a, &body, "result", result_build(s, a));
    value_put_bool(a, &body, "again", may_serve_again(s));
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
static void on_confirm(struct supervisor *s, bool stay)
{
    CRASH_POINT(confirm_taken);
    s->confirmed = true;
    s->stay = stay && s->state == DONE;
    if (s->state != DONE)
        supervisor_stop(s, BERTH_VERDICT_CANCELLED, "cancelled",
                        "the host does not know this attempt", 0);
    supervisor_event(s, EVENT_CONFIRM);
}

static void take(struct supervisor *s, const struct value *body);

static void link_frame(void *arg, int type, const struct value *body, struct arena *a)
{
    struct supervisor *s = arg;
    (void)a;
    if (s->state == IDLE) {
        if (type == FRAME_RUN)
            take(s, body);
        return;
    }
    if (strcmp(value_str(body, "id", ""), s->at->id) != 0 ||
        value_int(body, "attempt", 0) != s->at->number)
        return;
    if (type == FRAME_TASK_CANCEL)
        on_cancel(s, body);
    else if (type == FRAME_TASK_CONFIRM)
        on_confirm(s, value_bool(body, "stay", false));
}

_Noreturn void supervisor_leave(struct supervisor *s)
{
    if (s->spare)
        cgroup_remove(s->spare);
    sandbox_close(&s->sandbox, SANDBOX_MS);
    attempt_spare_remove(s->rt->config, s->seat->group);
    _exit(SUPERVISOR_CONFIRMED);
}

static void on_sigterm(void *arg, const siginfo_t *info)
{
    struct supervisor *s = arg;
    (void)info;
    if (s->state == IDLE)
        supervisor_leave(s);
    s->shutting = true;
    supervisor_stop(s, BERTH_VERDICT_PREEMPTED, "shutdown", "the node is shutting down",
                    -1);
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
    s->tell = loop_timer_add(s->loop, 1000, send_started, s);
    s->link =
        host_link_new(s->loop, s->rt->config->run_dir, link_up, link_down, link_frame, s);
    if (!s->sigterm || !s->tick || !s->tell || !s->link)
        return -1;
    loop_timer_stop(s->tick);
    loop_timer_stop(s->tell);
    return 0;
}

void seat_take(struct seat *seat, struct attempt *at)
{
    at->group = seat->group;
    snprintf(seat->id, sizeof seat->id, "%s", at->id);
    seat->number = at->number;
}

void seat_leave(struct seat *seat)
{
    seat->number = 0;
}

/* As if it were new. */
static void supervisor_clear(struct supervisor *s)
{
    *s = (struct supervisor){
        .rt = s->rt,
        .seat = s->seat,
        .loop = s->loop,
        .link = s->link,
        .tick = s->tick,
        .tell = s->tell,
        .sigterm = s->sigterm,
        .served = s->served,
        .spare = s->spare,
        .sandbox = s->sandbox,
        .no_sandbox = s->no_sandbox,
        .net_fd = s->net_fd,
        .state = IDLE,
        .fault_fd = -1,
        .stop_signal = SIGTERM,
        .out = {{.fd = -1}, {.fd = -1}},
        .payload = {.pidfd = -1, .status_fd = -1},
    };
    end_init(&s->end);
}

static void supervise(struct supervisor *s, struct attempt *at)
{
    s->at = at;
    s->state = STARTING;
    s->end.queued_ms = at->queued_ms;
    s->end.is_engine = runtime_is_full(s->rt);
    title_set("berthd: task %s", at->id);
}

_Noreturn void supervisor_main(struct runtime *rt, struct attempt *at, struct seat *seat)
{
    struct supervisor *s = calloc(1, sizeof *s);
    setsid();
    if (!s)
        _exit(SUPERVISOR_FAILED);
    s->rt = rt;
    s->seat = seat;
    if (set_up(s) < 0)
        _exit(SUPERVISOR_FAILED);
    supervisor_clear(s);
    supervise(s, at);
    host_link_retry(s->link);
    begin(s);
    loop_run(s->loop);
    _exit(SUPERVISOR_FAILED);
}

/* ---- the end ---- */

/*
 * A descriptor of the work directory that was passed to a process elsewhere would show it
 * the next task's files. To pass it takes a socket that both can reach; and processes of
 * one uid have no secrets from each other.
 */
static bool nobody_holds_work(const struct supervisor *s)
{
    unsigned apart = BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_NET | BERTH_ISOLATE_TMP;
    return s->at->uid == (uid_t)-1 || (s->held.isolate & apart) == apart;
}

/* Whoever sweeps later does the same again; all of it may have been done before. */
static bool remove_all(struct supervisor *s)
{
    struct cgroup *g = s->cgroup ? s->cgroup : s->spare;
    if (g && !(s->stay && cgroup_can_renew(g)) && cgroup_remove(g) < 0)
        return false;
    if (!s->stay)
        sandbox_close(&s->sandbox, SANDBOX_MS);
    CRASH_POINT(cgroup_removed);
    if (s->held.disk)
        umount2(s->at->work, MNT_DETACH);
    if ((s->stay ? attempt_dir_retire(s->at, s->rt, nobody_holds_work(s))
                 : attempt_dir_remove(s->at->dir, s->at->uid, s->at->gid)) < 0)
        return false;
    CRASH_POINT(retired);
    seat_leave(s->seat);
    return true;
}

static _Noreturn void supervisor_exit(struct supervisor *s, bool clean)
{
    clean = clean && remove_all(s);
    _exit(clean ? SUPERVISOR_CONFIRMED : SUPERVISOR_UNCLEAN);
}

static void supervisor_idle(struct supervisor *s)
{
    loop_timer_stop(s->tick);
    loop_timer_remove(&s->timeout);
    loop_timer_remove(&s->deadline);
    output_close(s->out[0].file);
    output_close(s->out[1].file);
    if (s->cgroup && cgroup_can_renew(s->cgroup))
        s->spare = s->cgroup;
    else
        cgroup_close(s->cgroup);
    buf_free(&s->files);
    command_free(s->command);
    attempt_free(s->at);
    s->served++;
    supervisor_clear(s);
    title_set("berthd: idle %s", s->rt->block->name);
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

bool supervisor_finish(struct supervisor *s)
{
    if (s->helper) /* confirmed twice */
        return false;
    if (s->stay && remove_all(s)) {
        supervisor_idle(s);
        return true;
    }
    s->stay = false;
    if (!s->rt->plugin->runtime.cleanup || s->cleaned || !s->end.started)
        supervisor_exit(s, true);
    if (helper_start(s->rt, s->loop, CLEANUP_MS, cleanup_work, s, cleaned, s, &s->helper,
                     NULL) < 0)
        supervisor_exit(s, false);
    return false;
}

/* ---- another one ---- */

static void send_refused(struct supervisor *s, const char *id, int number,
                         const struct refusal *why, const char *text)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        supervisor_leave(s); /* nothing was begun: the host tries elsewhere */
    struct value body = refusal_value(a, id, number, why, text);
    host_link_send(s->link, FRAME_WORKER_REFUSED, &body);
}

/* From the host, in place of the worker. What needs the worker's view is left to it: this
 * process ends, and the host has it looked after. */
static void take(struct supervisor *s, const struct value *body)
{
    static const struct refusal node = {BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE,
                                        "start"};
    struct berth_error err = {0};
    struct refusal why;
    struct attempt *at;
    if (attempt_new(s->rt, body, &at, &why, &err) < 0) {
        send_refused(s, value_str(body, "id", ""), (int)value_int(body, "attempt", 0), &why,
                     err.text);
        return;
    }
    if (at->slot != s->seat->slot || getppid() != s->seat->worker)
        supervisor_leave(s);
    seat_take(s->seat, at);
    int rc = attempt_dir_make(at, s->rt, &err);
    if (rc < 0)
        seat_leave(s->seat);
    if (rc == -EEXIST)
        supervisor_leave(s);
    if (rc < 0) {
        send_refused(s, at->id, at->number, &node, err.text);
        attempt_free(at);
        return;
    }
    /* A host that came before this look may have found no lock, and has the task run elsewhere. One
     * that comes after it finds the lock. */
    if (!host_link_is_heard(s->link)) {
        attempt_dir_remove(at->dir, at->uid, at->gid);
        supervisor_leave(s);
    }
    supervise(s, at);
    begin(s);
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
        CRASH_POINT(spill_written);
    }
    if (rc < 0)
        log_line(BERTH_LOG_ERR, s->at->id, "its result is lost, it cannot be written: %s",
                 strerror(-rc));
    if (s->cgroup)
        cgroup_remove(s->cgroup);
    _exit(rc < 0 ? SUPERVISOR_FAILED : SUPERVISOR_SPILLED);
}
