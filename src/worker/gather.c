/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * After the end, one step after the other, each in a helper: what the engine knows, what is
 * left of an instance that we had to end, the files to stage out.
 */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "worker/supervisor_int.h"

#define COLLECT_MS 10000
#define CLEANUP_MS 30000
#define CLEANUP_AGAIN_MS 1000

enum { STEP_COLLECT, STEP_CLEANUP, STEP_STAGE_OUT, STEP_END };

/* ---- what the engine knows ---- */

static int collect_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct supervisor *s = arg;
    struct berth_evidence e = s->end.engine;
    int rc = s->rt->plugin->runtime.collect(&s->rt->ctx, &s->view, &e, err);
    if (rc >= 0)
        buf_add(out, &e, sizeof e);
    return rc;
}

static void collected(void *arg, const struct helper_end *end)
{
    struct supervisor *s = arg;
    s->helper = NULL;
    if (end->rc >= 0 && end->len == sizeof s->end.engine) {
        memcpy(&s->end.engine, end->data, sizeof s->end.engine);
        s->end.engine.text[sizeof s->end.engine.text - 1] = '\0';
    } else {
        log_line(BERTH_LOG_WARN, s->at->id, "the plugin's collect: %s", end->err.text);
        snprintf(s->end.engine.text, sizeof s->end.engine.text, "collect: %.230s",
                 end->err.text);
    }
    s->gather_step++;
    supervisor_event(s, EVENT_TICK);
}

/* ---- what is left of the instance ---- */

static int cleanup_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct supervisor *s = arg;
    (void)out;
    return s->rt->plugin->runtime.cleanup(&s->rt->ctx, s->at->instance, err);
}

/* Until it succeeds something of the attempt may still run, and the result has to wait. */
static void cleaned(void *arg, const struct helper_end *end)
{
    struct supervisor *s = arg;
    s->helper = NULL;
    s->cleaned = end->rc >= 0;
    if (s->cleaned) {
        s->gather_step++;
        supervisor_event(s, EVENT_TICK);
        return;
    }
    if (!s->end.unkillable)
        log_line(BERTH_LOG_ERR, s->at->id, "its instance cannot be removed, trying on: %s",
                 end->err.text);
    s->end.unkillable = true;
    s->end.unkillable_ms = now_ms() - s->killing_mono_ms;
    loop_timer_set(s->tick, CLEANUP_AGAIN_MS);
}

/* A client of an engine that did not return by itself may have left the payload running. */
static bool cleanup_needed(const struct supervisor *s)
{
    struct verdict v;
    verdict_decide(&s->end, &v);
    return s->end.started && runtime_is_full(s->rt) && s->rt->plugin->runtime.cleanup &&
           (s->end.cause || s->end.failure.verdict || v.signal > 0);
}

/* ---- files ---- */

static void staged_out(void *arg, const struct helper_end *end)
{
    struct supervisor *s = arg;
    s->helper = NULL;
    if (end->rc < 0)
        failure_set(&s->end.stage_out,
                    end->said.verdict ? end->said.verdict : BERTH_VERDICT_RUNTIME_ERROR,
                    end->said.blame ? end->said.blame : BERTH_BLAME_NODE, "stage_out", "%s",
                    end->err.text);
    else
        buf_add(&s->files, end->data, end->len);
    s->gather_step++;
    supervisor_event(s, EVENT_TICK);
}

/* ---- the sequence ---- */

/* 1 a helper was started, 0 the step is not needed, -errno. */
static int gather_step(struct supervisor *s, struct berth_error *err)
{
    helper_work_fn *work = NULL;
    helper_done_fn *done = NULL;
    int64_t limit = 0;
    if (s->gather_step == STEP_COLLECT && s->end.started &&
        s->rt->plugin->runtime.collect) {
        work = collect_work;
        done = collected;
        limit = COLLECT_MS;
    } else if (s->gather_step == STEP_CLEANUP && cleanup_needed(s)) {
        work = cleanup_work;
        done = cleaned;
        limit = CLEANUP_MS;
    } else if (s->gather_step == STEP_STAGE_OUT && stage_out_needed(s)) {
        work = stage_out_work;
        done = staged_out;
        limit = STAGE_LIMIT_MS;
    }
    if (!work)
        return 0;
    int rc = helper_start(s->rt, s->loop, limit, work, s, done, s, &s->helper, err);
    return rc < 0 ? rc : 1;
}

void gather_start(struct supervisor *s)
{
    s->gather_step = 0;
    s->killing_mono_ms = s->killing_mono_ms ? s->killing_mono_ms : now_ms();
    gather_next(s);
}

void gather_next(struct supervisor *s)
{
    struct berth_error err = {0};
    while (s->gather_step < STEP_END) {
        int rc = gather_step(s, &err);
        if (rc > 0)
            return;
        if (rc < 0) { /* no memory, no processes: that passes */
            log_line(BERTH_LOG_WARN, s->at->id, "cannot start a helper, trying on: %s",
                     err.text);
            loop_timer_set(s->tick, CLEANUP_AGAIN_MS);
            return;
        }
        s->gather_step++;
    }
    s->again = EVENT_GATHERED;
}

/* Only staging out may take long and may be given up. */
void gather_abort(struct supervisor *s)
{
    if (s->gather_step != STEP_STAGE_OUT || !s->helper)
        return;
    helper_cancel(&s->helper);
    failure_set(&s->end.stage_out, BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE,
                "stage_out", "stopped while its files were staged out");
    s->gather_step = STEP_END;
    s->again = EVENT_GATHERED;
}
