/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The life of an attempt as a table: state x event. Each action does its few things and
 * names the state that follows; an event that a state does not know is of no matter to it.
 * A result leaves only from GATHERING, and GATHERING is reached only over EMPTY: nothing of
 * the attempt runs when its result is out.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/log.h"
#include "base/str.h"
#include "worker/supervisor_int.h"

#define TELL_MS 2       /* until the host hears that it runs */
#define RETRY_MS 1000   /* between tries to kill, and to clean up */
#define DRAIN_MS 2000   /* all is dead, and pipes still open: by whom is not ours to kill */
#define CONFIRM_MS 5000 /* at shutdown: how long a host that is there may take */
#define FORSAKEN_MS 60000     /* between looks whether the directory is still there */
#define DEADLINE_MAX_MS 60000 /* the wall clock may be set; look again */

typedef enum state action(struct supervisor *s);

static void timed_out(void *arg)
{
    char text[96];
    struct supervisor *s = arg;
    snprintf(text, sizeof text, "ran longer than its limit of %lld ms",
             (long long)s->at->plan.timeout_ms);
    supervisor_stop(s, BERTH_VERDICT_TIMEOUT, "timeout", text, -1);
}

static enum state launch(struct supervisor *s)
{
    if (payload_launch(s) < 0) {
        s->again = EVENT_FAILED;
        return STARTING;
    }
    s->end.started = true;
    s->end.started_ms = unix_ms();
    s->started_mono_ms = now_ms();
    if (s->at->plan.timeout_ms > 0)
        s->timeout = loop_timer_add(s->loop, s->at->plan.timeout_ms, timed_out, s);
    loop_timer_set(s->tell, TELL_MS);
    return RUNNING;
}

static enum state not_started(struct supervisor *s)
{
    s->end.finished_ms = unix_ms();
    helper_cancel(&s->helper);
    gather_start(s);
    return GATHERING;
}

static enum state kill_now(struct supervisor *s)
{
    s->killing_mono_ms = now_ms();
    if (supervisor_signal_engine(s, SIGKILL) < 0)
        payload_kill(s);
    loop_timer_set(s->tick, RETRY_MS);
    return KILLING;
}

static enum state stop(struct supervisor *s)
{
    if (s->grace_ms <= 0)
        return kill_now(s);
    if (supervisor_signal_engine(s, s->stop_signal) < 0)
        payload_signal(s, s->stop_signal);
    loop_timer_set(s->tick, s->grace_ms);
    return STOPPING;
}

/* A second reason to stop may leave it less time, never more. */
static enum state stop_sooner(struct supervisor *s)
{
    if (s->grace_ms <= 0)
        return kill_now(s);
    loop_timer_set(s->tick, s->grace_ms);
    return STOPPING;
}

static enum state kill_rest(struct supervisor *s)
{
    int64_t now = now_ms();
    if (payload_kill_rest(s) == 0) {
        s->again = EVENT_EMPTY;
        return KILLING;
    }
    if (!s->killing_mono_ms)
        s->killing_mono_ms = now;
    s->end.unkillable_ms = now - s->killing_mono_ms;
    if (!s->end.unkillable && s->end.unkillable_ms >= RETRY_MS) {
        s->end.unkillable = true;
        log_line(BERTH_LOG_ERR, s->at->id,
                 "processes of it resist SIGKILL; its resources stay booked");
    }
    loop_timer_set(s->tick, s->end.unkillable ? RETRY_MS : 20);
    return KILLING;
}

static enum state ended(struct supervisor *s)
{
    CRASH_POINT(payload_ended);
    loop_timer_stop(s->tick);
    payload_reaped(s);
    CRASH_POINT(payload_reaped);
    return kill_rest(s);
}

static enum state kill_again(struct supervisor *s)
{
    if (!s->end.reaped)
        payload_kill(s);
    return kill_rest(s);
}

static enum state drain(struct supervisor *s)
{
    CRASH_POINT(rest_killed);
    cgroup_usage(s->cgroup, &s->end.usage);
    loop_timer_remove(&s->timeout);
    if (streams_at_end(s))
        s->again = EVENT_DRAINED;
    else
        loop_timer_set(s->tick, DRAIN_MS);
    return DRAINING;
}

static enum state gather(struct supervisor *s)
{
    loop_timer_stop(s->tick);
    streams_cut(s);
    CRASH_POINT(gather);
    gather_start(s);
    return GATHERING;
}

static enum state gather_more(struct supervisor *s)
{
    gather_next(s);
    return GATHERING;
}

static enum state gather_less(struct supervisor *s)
{
    gather_abort(s);
    return GATHERING;
}

static enum state report(struct supervisor *s)
{
    loop_timer_stop(s->tick);
    loop_timer_stop(s->tell);
    loop_timer_remove(&s->deadline);
    CRASH_POINT(done_send);
    if (!s->confirmed)
        supervisor_send_done(s);
    CRASH_POINT(done_sent);
    loop_timer_set(s->tick, FORSAKEN_MS);
    if (s->confirmed || s->shutting)
        s->again = s->confirmed ? EVENT_CONFIRM : EVENT_STOP;
    return DONE;
}

static enum state finish(struct supervisor *s)
{
    return supervisor_finish(s) ? IDLE : DONE;
}

/* An idle one is of use to its host only. */
static enum state leave(struct supervisor *s)
{
    supervisor_leave(s);
}

/* At shutdown: a host that is there has a while to confirm, else the result goes to the
 * disk. */
static enum state spill_soon(struct supervisor *s)
{
    host_link_retry(s->link);
    if (s->shutting && !host_link_is_up(s->link))
        supervisor_spill(s);
    loop_timer_set(s->tick, CONFIRM_MS);
    return DONE;
}

static enum state spill_if_alone(struct supervisor *s)
{
    if (s->shutting)
        supervisor_spill(s);
    return DONE;
}

/* Somebody removed the state directory: no host will ever ask for this. */
static bool is_forsaken(const struct supervisor *s)
{
    struct stat st;
    return !host_link_is_up(s->link) && fstat(s->at->lock_fd, &st) == 0 && st.st_nlink == 0;
}

static enum state wait_on(struct supervisor *s)
{
    if (s->shutting)
        supervisor_spill(s);
    if (is_forsaken(s))
        _exit(SUPERVISOR_FAILED);
    loop_timer_set(s->tick, FORSAKEN_MS);
    return DONE;
}

static action *const table[STATE_COUNT][EVENT_COUNT] = {
    [STARTING] =
        {[EVENT_STAGED] = launch, [EVENT_FAILED] = not_started, [EVENT_STOP] = not_started},
    [RUNNING] = {[EVENT_STOP] = stop, [EVENT_ENDED] = ended},
    [STOPPING] =
        {[EVENT_STOP] = stop_sooner, [EVENT_TICK] = kill_now, [EVENT_ENDED] = ended},
    [KILLING] = {[EVENT_ENDED] = ended, [EVENT_TICK] = kill_again, [EVENT_EMPTY] = drain},
    [DRAINING] = {[EVENT_DRAINED] = gather, [EVENT_TICK] = gather},
    [GATHERING] =
        {[EVENT_TICK] = gather_more, [EVENT_STOP] = gather_less, [EVENT_GATHERED] = report},
    [DONE] = {[EVENT_CONFIRM] = finish,
              [EVENT_STOP] = spill_soon,
              [EVENT_TICK] = wait_on,
              [EVENT_LINK_DOWN] = spill_if_alone},
    [IDLE] = {[EVENT_LINK_DOWN] = leave},
};

void supervisor_event(struct supervisor *s, enum event e)
{
    for (; e != EVENT_NONE; e = s->again) {
        action *act = table[s->state][e];
        s->again = EVENT_NONE;
        if (act)
            s->state = act(s);
    }
}

/* ---- why it has to stop ---- */

/* It may have ended by itself a moment ago, and then that is how it ended. */
static bool ended_unseen(const struct supervisor *s)
{
    struct pollfd p = {.fd = s->payload.pidfd, .events = POLLIN};
    return s->state == RUNNING && poll(&p, 1, 0) == 1;
}

void supervisor_stop(struct supervisor *s, int verdict, const char *code, const char *text,
                     int64_t grace_ms)
{
    int64_t grace = grace_ms >= 0 ? grace_ms : s->at->plan.kill_grace_ms;
    if (ended_unseen(s)) {
        supervisor_event(s, EVENT_ENDED);
        return;
    }
    if (s->state >= GATHERING) { /* how it ended is settled */
        supervisor_event(s, EVENT_STOP);
        return;
    }
    if (!s->end.cause && !s->end.reaped) {
        s->end.cause = verdict;
        s->end.cause_code = code;
        snprintf(s->end.cause_text, sizeof s->end.cause_text, "%s", text);
        s->grace_ms = grace;
        supervisor_event(s, EVENT_STOP);
    } else if (s->state == STOPPING && grace < s->grace_ms) {
        s->grace_ms = grace;
        supervisor_event(s, EVENT_STOP);
    }
}

static void deadline_look(void *arg)
{
    struct supervisor *s = arg;
    int64_t left = s->at->task.deadline_ms - unix_ms();
    if (left <= 0)
        supervisor_stop(s, BERTH_VERDICT_TIMEOUT, "deadline", "the task's deadline passed",
                        -1);
    else
        loop_timer_set(s->deadline, left < DEADLINE_MAX_MS ? left : DEADLINE_MAX_MS);
}

int supervisor_watch_deadline(struct supervisor *s)
{
    if (!s->at->task.deadline_ms)
        return 0;
    s->deadline = loop_timer_add(s->loop, DEADLINE_MAX_MS, deadline_look, s);
    if (!s->deadline)
        return -1;
    deadline_look(s);
    return 0;
}
