/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Tasks that the plugin answers in the worker (`answer` in <berth/runtime.h>): no supervisor, no process, no
 * directory. There is nothing that could be left behind, so the host need not confirm the result: if it or the
 * worker dies before it is taken, the attempt is lost and another is made.
 */
#include <stdio.h>

#include "base/str.h"
#include "plugin/mark.h"
#include "worker/supervisor_int.h"
#include "worker/worker_int.h"

/* What only a process can have. */
static bool needs_process(const struct supervisor *s)
{
    return stage_in_needed(s) || s->at->task.files_out_count > 0 ||
           enforce_unmet(s->rt, &s->held, s->at->plan.require);
}

static void send_result(struct worker *w, struct supervisor *s)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return; /* lost: the host asks after it when this worker says hello again */
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", s->at->id);
    value_put_int(a, &body, "attempt", s->at->number);
    value_put(a, &body, "result", result_build(s, a));
    host_link_send(w->link, FRAME_WORKER_DONE, &body);
}

static int ask_plugin(struct supervisor *s, struct berth_answer *answer)
{
    struct berth_error err = {0};
    struct runtime *rt = s->rt;
    runtime_said_clear(rt);
    mark_enter(rt->block->name, "answer"); /* the monitor ends a worker that hangs here */
    int rc = rt->plugin->runtime.answer(&rt->ctx, &s->view, answer, &err);
    mark_leave();
    if (rc < 0)
        payload_plugin_failed(s, "answer", &rt->said, &err);
    return rc;
}

void worker_answered(void *arg)
{
    host_link_cork(((struct worker *)arg)->link, false);
}

bool worker_answer(struct worker *w, struct attempt *at)
{
    struct berth_answer answer = {.size = sizeof answer};
    struct supervisor s = {.rt = &w->rt, .at = at, .answer = &answer};
    if (!w->rt.plugin->runtime.answer)
        return false;
    end_init(&s.end);
    s.end.is_engine = true;
    s.end.queued_ms = at->queued_ms;
    payload_view(&s);
    if (needs_process(&s))
        return false;
    s.end.started_ms = unix_ms();
    int64_t begun = now_ms();
    if (ask_plugin(&s, &answer) > 0)
        return false;
    host_link_cork(w->link, true); /* until the turn's end: they come in crowds */
    loop_defer_run(w->answer_defer);
    s.end.started = true;
    s.end.engine.exit_code = answer.exit_code & 255;
    s.end.wall_ms = now_ms() - begun;
    s.end.finished_ms = unix_ms();
    send_result(w, &s);
    return true;
}
