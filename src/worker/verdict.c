/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * From evidence to verdict. What we did ourselves comes first (we ended it, so how it ended
 * is our doing), then what failed around the payload, then the kernel's count of kills for
 * memory, and only then how the process ended. Exit status 137 and SIGKILL prove nothing by
 * themselves.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "worker/verdict.h"

void end_init(struct end *e)
{
    *e = (struct end){.wall_ms = -1,
                      .usage = {-1, -1, -1, -1, -1},
                      .engine = {.size = sizeof e->engine,
                                 .exit_code = -1,
                                 .signal = -1,
                                 .oom_killed = -1,
                                 .peak_memory_bytes = -1,
                                 .user_ms = -1,
                                 .sys_ms = -1}};
}

void failure_set(struct failure *f, int verdict, int blame, const char *code,
                 const char *format, ...)
{
    va_list ap;
    if (f->verdict)
        return;
    *f = (struct failure){.verdict = verdict, .blame = blame, .code = code};
    va_start(ap, format);
    vsnprintf(f->text, sizeof f->text, format, ap);
    va_end(ap);
}

static int exit_code(const struct end *e)
{
    if (e->engine.exit_code >= 0)
        return e->engine.exit_code;
    return e->reaped && e->status.code == CLD_EXITED ? e->status.value : -1;
}

static int end_signal(const struct end *e)
{
    if (e->engine.signal > 0)
        return e->engine.signal;
    if (e->engine.exit_code >= 0 || !e->reaped)
        return -1;
    return e->status.code == CLD_KILLED || e->status.code == CLD_DUMPED ? e->status.value
                                                                        : -1;
}

static bool was_oom(const struct end *e)
{
    return e->usage.oom_kills > 0 || e->engine.oom_killed == 1;
}

const char *verdict_signal_from(const struct end *e)
{
    int sig = end_signal(e);
    if (sig < 0)
        return NULL;
    if (sig < 64 && e->sent & (UINT64_C(1) << sig))
        return "berth";
    return sig == SIGKILL && was_oom(e) ? "kernel" : "other";
}

static void decide_cause(const struct end *e, struct verdict *v)
{
    v->verdict = e->cause;
    v->code = e->cause_code;
    v->blame = e->cause == BERTH_VERDICT_TIMEOUT     ? BERTH_BLAME_TASK
               : e->cause == BERTH_VERDICT_CANCELLED ? BERTH_BLAME_CALLER
                                                     : BERTH_BLAME_NODE;
    if (!strcmp(e->cause_code, "deadline"))
        v->blame = BERTH_BLAME_CALLER;
    if (e->unkillable && !e->is_engine) /* it hung in something of the node's */
        v->blame = BERTH_BLAME_NODE;
    if (e->unkillable)
        snprintf(v->text, sizeof v->text, "%s; %s for %lld ms", e->cause_text,
                 e->is_engine ? "its instance could not be removed"
                              : "processes resisted SIGKILL",
                 (long long)e->unkillable_ms);
    else
        snprintf(v->text, sizeof v->text, "%s", e->cause_text);
}

static void decide_failure(const struct failure *f, struct verdict *v)
{
    v->verdict = f->verdict;
    v->blame = f->blame;
    v->code = f->code;
    snprintf(v->text, sizeof v->text, "%s", f->text);
}

static bool is_crash(int sig)
{
    return sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL ||
           sig == SIGABRT || sig == SIGSYS;
}

static void decide_exit(const struct end *e, struct verdict *v)
{
    v->verdict = BERTH_VERDICT_FAILED;
    v->blame = BERTH_BLAME_TASK;
    if (v->exit_code == 0) {
        v->verdict = BERTH_VERDICT_SUCCEEDED;
        v->blame = BERTH_BLAME_NONE;
        return;
    }
    if (v->exit_code > 0) {
        v->code = "exit";
        snprintf(v->text, sizeof v->text, "ended with exit status %d", v->exit_code);
        return;
    }
    v->code = "signal";
    if (v->signal > 0)
        snprintf(v->text, sizeof v->text,
                 "killed by signal %d (%s), which berth did not send", v->signal,
                 strsignal(v->signal));
    else
        snprintf(v->text, sizeof v->text, "ended, and nobody knows how");
    if (!e->is_engine || e->engine.signal > 0)
        return;
    v->code = is_crash(v->signal) ? "plugin_crashed" : "engine_client_killed";
    v->verdict =
        is_crash(v->signal) ? BERTH_VERDICT_PLUGIN_ERROR : BERTH_VERDICT_RUNTIME_ERROR;
    v->blame = is_crash(v->signal) ? BERTH_BLAME_RUNTIME : BERTH_BLAME_NODE;
    snprintf(v->text, sizeof v->text, "the plugin's process was killed by signal %d (%s)",
             v->signal, strsignal(v->signal));
}

void verdict_decide(const struct end *e, struct verdict *v)
{
    *v = (struct verdict){.exit_code = exit_code(e), .signal = end_signal(e)};
    if (e->cause) {
        decide_cause(e, v);
    } else if (e->failure.verdict) {
        decide_failure(&e->failure, v);
    } else if (was_oom(e) && v->exit_code != 0) {
        v->verdict = BERTH_VERDICT_OOM;
        v->blame = BERTH_BLAME_TASK;
        v->code = "oom";
        snprintf(v->text, sizeof v->text,
                 "used more memory than its limit: the kernel killed %lld of "
                 "its processes",
                 (long long)(e->usage.oom_kills > 0 ? e->usage.oom_kills : 1));
    } else {
        decide_exit(e, v);
        if (v->verdict == BERTH_VERDICT_SUCCEEDED && e->stage_out.verdict)
            decide_failure(&e->stage_out, v);
    }
}
