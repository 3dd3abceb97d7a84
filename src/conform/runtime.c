/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Rules for runtimes. Each call gets a task of its own, which is destroyed after it, as its
 * pointers are good for that call only: whatever kept one gives another result the next time.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/buf.h"
#include "base/fail.h"
#include "base/str.h"
#include "conform/rules.h"
#include "conform/trial.h"
#include "worker/command.h"
#include "worker/enforce.h"

#define COMMAND "berth/runtime.h, struct berth_command"
#define CALLBACKS "berth/runtime.h, struct berth_runtime"
#define TASK "berth/task.h, struct berth_task"
#define LOOK 16         /* calls per look at the memory */
#define LEAST_LEAK 1024 /* bytes per call */
#define INSTANCE "berth-conform-1"

/* ---- the task ---- */

struct task_copy {
    struct berth_task task, as_given;
    struct arena *arena;
};

static const char *const *copy_list(struct arena *a, const char *const *list)
{
    size_t n = 0;
    while (list && list[n])
        n++;
    const char **copy = arena_alloc(a, (n + 1) * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        copy[i] = arena_str(a, list[i]);
    return copy;
}

static void task_make(struct task_copy *t, const struct subject *s)
{
    static const char *const env[] = {"BERTH_CONFORM=a = b", "EMPTY=", NULL};
    struct arena *a = t->arena = arena_new();
    t->task = (struct berth_task){.size = sizeof t->task,
                                  .attempt = 1,
                                  .id = arena_str(a, "conform-1"),
                                  .executer = arena_str(a, "conform"),
                                  .image = arena_str(a, s->image),
                                  .argv = copy_list(a, s->argv),
                                  .env = copy_list(a, env),
                                  .resources = {.cpus = 1,
                                                .memory_bytes = 256u << 20,
                                                .pids = 64,
                                                .gpus = copy_list(a, NULL)},
                                  .timeout_ms = 10000,
                                  .tenant = arena_str(a, ""),
                                  .work_dir = arena_str(a, s->work_dir),
                                  .instance = arena_str(a, INSTANCE),
                                  .uid = -1,
                                  .gid = -1,
                                  .cgroup = arena_str(a, "")};
    t->as_given = t->task;
}

/* Whoever looks into it later finds nothing of it. */
static void task_end(struct contact *c, struct task_copy *t)
{
    if (memcmp(&t->task, &t->as_given, sizeof t->task) != 0)
        contact_fault(c, true, TASK, "it changed the task, which is read-only");
    memset((char *)(uintptr_t)t->as_given.id, '?', strlen(t->as_given.id));
    memset((char *)(uintptr_t)t->as_given.image, '?', strlen(t->as_given.image));
    for (const char *const *arg = t->as_given.argv; *arg; arg++)
        memset((char *)(uintptr_t)*arg, '?', strlen(*arg));
    arena_free(t->arena);
}

/* Calls fn over and over: it must not take more memory each time. */
static void check_growth(struct contact *c, const char *callback,
                         int (*fn)(struct contact *c))
{
    struct growth heap = {.count = 0};
    for (int look = 0; look < 4; look++) {
        for (int i = 0; i < LOOK; i++)
            fn(c);
        growth_look(&heap, heap_bytes());
    }
    expect(!growth_is_steady(&heap, LOOK * LEAST_LEAK), CALLBACKS,
           "'%s' takes no more memory each time", callback);
    seen("%ld bytes more each time", (heap.at[3] - heap.at[2]) / LOOK);
}

/* ---- probe ---- */

static int call_probe(struct contact *c)
{
    struct berth_probe p;
    probe_default(&p);
    int rc = CALL(c, "probe", 0, INT32_MAX,
                  c->plugin->runtime.probe(&c->lender.ctx, &p, &c->err));
    const uint8_t *holds = &p.memory;
    if (rc < 0)
        return rc;
    if (p.size != sizeof p)
        contact_fault(c, true, "berth/runtime.h, struct berth_probe",
                      "it changed the size");
    if (!memchr(p.version, 0, sizeof p.version) || !memchr(p.detail, 0, sizeof p.detail))
        contact_fault(c, true, "berth/runtime.h, struct berth_probe",
                      "version or detail is not ended by a NUL");
    else if (strchr(p.detail, '\n') || !is_utf8(p.detail, strlen(p.detail)))
        contact_fault(c, true, "berth/runtime.h, struct berth_probe",
                      "detail is not one line of UTF-8: '%s'", p.detail);
    for (const uint8_t *e = holds; e <= &p.gpus; e++)
        if (*e > BERTH_ENFORCE_CORE)
            contact_fault(c, true, "berth/runtime.h, enum berth_enforce",
                          "%d is none of it, at number %d of the limits", *e,
                          (int)(e - holds));
    return rc;
}

void rules_probe(void *arg)
{
    static struct contact c;
    if (contact_load(&c, STAGE_WORK, arg) && contact_open(&c)) {
        if (c.plugin->runtime.probe) {
            int first = call_probe(&c);
            int second = call_probe(&c);
            expect((first < 0) == (second < 0), CALLBACKS,
                   "'probe' says the same when asked again");
            seen("first %d, then %d", first, second);
            if (first < 0)
                remark("it says: %s", c.err.text);
            check_growth(&c, "probe", call_probe);
        } else {
            expect_skip("it has none", "'probe'");
        }
    }
    contact_end(&c);
}

/* ---- command ---- */

static void check_command(struct contact *c, const struct command *made)
{
    const struct berth_command *m = &made->cmd;
    const unsigned on_mount =
        BERTH_ISOLATE_READONLY | BERTH_ISOLATE_TMP | BERTH_ISOLATE_DEVICES;
    const unsigned all = (BERTH_ISOLATE_UTS << 1) - 1;
    if (!made->argc || !made->argv[0][0])
        contact_fault(c, true, COMMAND, "it gave no program to execute");
    if (m->size != sizeof *m)
        contact_fault(c, true, COMMAND, "it changed the size");
    if (m->isolate & ~all || m->limits & ~BERTH_LIMIT_ALL)
        contact_fault(c, true, COMMAND, "unknown bits: isolate 0x%x, limits 0x%x",
                      m->isolate, m->limits);
    if (m->isolate & on_mount && !(m->isolate & BERTH_ISOLATE_MOUNT))
        contact_fault(c, true, COMMAND,
                      "isolate 0x%x: READONLY, TMP and DEVICES need MOUNT", m->isolate);
    if (m->nice < -20 || m->nice > 19 || m->io_class < 0 || m->io_class > 3 ||
        m->io_level < 0 || m->io_level > 7)
        contact_fault(c, true, COMMAND,
                      "nice %d, io_class %d or io_level %d is out of range", m->nice,
                      m->io_class, m->io_level);
    if (m->stop_signal < 1 || m->stop_signal > SIGRTMAX)
        contact_fault(c, true, COMMAND, "stop_signal %d is no signal", m->stop_signal);
    if (m->isolate & BERTH_ISOLATE_UID && (m->uid == 0 || m->gid == 0))
        contact_fault(c, true, COMMAND, "uid or gid is 0");
    if (!m->cwd || m->cwd[0] != '/')
        contact_fault(c, true, COMMAND, "cwd '%s' is no absolute path",
                      m->cwd ? m->cwd : "");
    for (int k = 0; k < 2; k++)
        for (const char *const *p = k ? m->hide : m->bind_rw; p && *p; p++)
            if (**p != '/')
                contact_fault(c, true, COMMAND, "%s: '%s' is no absolute path",
                              k ? "hide" : "bind_rw", *p);
}

static void put_list(struct buf *out, const char *name, const char *const *list)
{
    buf_fmt(out, " %s", name);
    for (; list && *list; list++)
        buf_fmt(out, " '%s'", *list);
}

static void put_command(struct buf *out, const struct command *made)
{
    const struct berth_command *m = &made->cmd;
    put_list(out, "argv", made->argv);
    put_list(out, "env", made->env);
    put_list(out, "bind_rw", m->bind_rw);
    put_list(out, "hide", m->hide);
    buf_fmt(out,
            " isolate 0x%x limits 0x%x cwd '%s' path '%s' nice %d io %d %d cpus '%s' "
            "signal %d ids %d %d",
            m->isolate, m->limits, m->cwd ? m->cwd : "",
            m->search_path ? m->search_path : "", m->nice, m->io_class, m->io_level,
            m->cpu_list ? m->cpu_list : "", m->stop_signal, (int)m->uid, (int)m->gid);
}

/* out: what it made, as text; NULL: not wanted. */
static int call_command(struct contact *c, const struct subject *s, struct buf *out)
{
    struct task_copy t;
    task_make(&t, s);
    struct command *made = command_new(s->work_dir);
    made->cmd.uid = made->cmd.gid = -1;
    int rc = CALL(c, "command", 0, INT32_MAX,
                  c->plugin->runtime.command(&c->lender.ctx, &t.task, &made->cmd, &c->err));
    if (rc >= 0 && command_seal(made) == 0)
        check_command(c, made);
    task_end(c, &t);
    if (out && rc >= 0)
        put_command(out, made);
    else if (out)
        buf_fmt(out, "%d %s %d %d", rc, c->err.text, c->lender.said.verdict,
                c->lender.said.blame);
    command_free(made);
    return rc;
}

static int call_command_again(struct contact *c)
{
    return call_command(c, c->subject, NULL);
}

/* A task that is as empty as one can be: refused or not, but answered. */
static void call_command_empty(struct contact *c)
{
    static const char *const nothing[] = {NULL};
    struct subject s = *c->subject;
    s.image = "";
    s.argv = nothing;
    struct task_copy t;
    task_make(&t, &s);
    struct command *made = command_new(s.work_dir);
    CALL(c, "command", 0, INT32_MAX,
         c->plugin->runtime.command(&c->lender.ctx, &t.task, &made->cmd, &c->err));
    task_end(c, &t);
    command_free(made);
}

void rules_command(void *arg)
{
    static struct contact c;
    if (contact_load(&c, STAGE_WORK, arg) && contact_open(&c)) {
        struct buf first = BUF_INIT, second = BUF_INIT;
        int rc = call_command(&c, c.subject, &first);
        call_command(&c, c.subject, &second);
        expect(first.len == second.len && !memcmp(first.data, second.data, first.len),
               CALLBACKS,
               "'command' makes the same of the same task, and keeps no pointer of it");
        seen("first:%.250s", first.data ? first.data : "");
        seen("then:%.250s", second.data ? second.data : "");
        if (rc < 0)
            remark("no good command was seen, it says: %s (give --image or -- COMMAND)",
                   c.err.text);
        call_command_empty(&c);
        check_growth(&c, "command", call_command_again);
        buf_free(&first);
        buf_free(&second);
    }
    contact_end(&c);
}

/* ---- run ---- */

/* It stands for the payload, in a process of its own: it may write and leave things behind. */
void rules_run(void *arg)
{
    static struct contact c;
    if (contact_load(&c, STAGE_WORK, arg) && contact_open(&c)) {
        struct task_copy t;
        task_make(&t, c.subject);
        c.current = NULL;
        mark_enter(c.subject->path, "run");
        c.err = (struct berth_error){.code = 0};
        signal(SIGTERM, SIG_DFL);
        int rc = c.plugin->runtime.run(&c.lender.ctx, &t.task, &c.err);
        mark_leave();
        if (getpid() != c.pid)
            _exit(0);
        expect(rc <= 255 && rc >= -4095, CALLBACKS,
               "'run' returns an exit code or a negative errno");
        seen("it returned %d", rc);
        expect(rc >= 0 || (c.err.code == -rc && c.err.text[0]), RULE_ERROR,
               "'run' says why it failed");
        seen("it returned %d and wrote the code %d", rc, c.err.code);
        remark("it returned %d%s%s", rc, rc < 0 ? ": " : "", rc < 0 ? c.err.text : "");
        arena_free(t.arena);
    }
    contact_end(&c);
}

static int call_answer(struct contact *c)
{
    struct task_copy t;
    struct berth_answer answer = {.size = sizeof answer};
    task_make(&t, c->subject);
    int rc = CALL(c, "answer", 0, 1,
                  c->plugin->runtime.answer(&c->lender.ctx, &t.task, &answer, &c->err));
    if (rc == 0 && (answer.size != sizeof answer || answer.exit_code < 0 ||
                    answer.exit_code > 255 || (answer.output_len && !answer.output)))
        contact_fault(c, true, "berth/runtime.h, struct berth_answer",
                      "exit_code %d is out of range, or there is no output of %zu bytes",
                      answer.exit_code, answer.output_len);
    task_end(c, &t);
    return rc;
}

/* ---- after the end ---- */

static int call_collect(struct contact *c)
{
    struct task_copy t;
    struct berth_evidence e = {sizeof e, -1, -1, -1, -1, -1, -1, ""};
    task_make(&t, c->subject);
    int rc = CALL(c, "collect", 0, INT32_MAX,
                  c->plugin->runtime.collect(&c->lender.ctx, &t.task, &e, &c->err));
    task_end(c, &t);
    if (rc >= 0 &&
        (e.size != sizeof e || e.exit_code < -1 || e.exit_code > 255 || e.signal < -1 ||
         e.signal > SIGRTMAX || e.oom_killed < -1 || e.oom_killed > 1))
        contact_fault(c, true, "berth/runtime.h, struct berth_evidence",
                      "exit_code %d, signal %d or oom_killed %d is out of range",
                      e.exit_code, e.signal, e.oom_killed);
    if (rc >= 0 && !memchr(e.text, 0, sizeof e.text))
        contact_fault(c, true, "berth/runtime.h, struct berth_evidence",
                      "its text is not ended by a NUL");
    return rc;
}

static int call_signal(struct contact *c)
{
    struct task_copy t;
    task_make(&t, c->subject);
    int rc = CALL(c, "signal", 0, INT32_MAX,
                  c->plugin->runtime.signal(&c->lender.ctx, &t.task, SIGTERM, &c->err));
    task_end(c, &t);
    return rc;
}

static int call_cleanup(struct contact *c)
{
    char instance[] = INSTANCE;
    int rc = CALL(c, "cleanup", 0, INT32_MAX,
                  c->plugin->runtime.cleanup(&c->lender.ctx, instance, &c->err));
    memset(instance, '?', sizeof instance - 1);
    return rc;
}

void rules_end(void *arg)
{
    static struct contact c;
    if (contact_load(&c, STAGE_WORK, arg) && contact_open(&c)) {
        const struct berth_runtime *r = &c.plugin->runtime;
        if (r->answer)
            check_growth(&c, "answer", call_answer);
        if (r->collect)
            check_growth(&c, "collect", call_collect);
        if (r->signal)
            check_growth(&c, "signal", call_signal);
        if (r->cleanup) {
            expect(call_cleanup(&c) >= 0 && call_cleanup(&c) >= 0, CALLBACKS,
                   "'cleanup' succeeds, and again when there is no instance any more");
            seen("%s", c.err.text);
            check_growth(&c, "cleanup", call_cleanup);
        }
        if (!r->answer && !r->collect && !r->signal && !r->cleanup)
            expect_skip("it has none of them", "'answer', 'collect', 'signal' and 'cleanup'");
    }
    contact_end(&c);
}

/* ---- prepare ---- */

static void progressed(void *arg, const char *line)
{
    if (!line || strchr(line, '\n'))
        contact_fault(arg, true, CALLBACKS, "progress is told in lines, not '%.100s'",
                      line ? line : "NULL");
}

void rules_prepare(void *arg)
{
    static struct contact c;
    if (contact_load(&c, STAGE_WORK, arg) && contact_open(&c)) {
        int rc[2];
        for (int i = 0; i < 2; i++)
            rc[i] = CALL(&c, "prepare", 0, INT32_MAX,
                         c.plugin->runtime.prepare(&c.lender.ctx, c.subject->image,
                                                   progressed, &c, &c.err));
        expect((rc[0] < 0) == (rc[1] < 0), CALLBACKS,
               "'prepare' ends the same way when asked again");
        seen("first %d, then %d", rc[0], rc[1]);
        if (rc[1] < 0)
            remark("it says: %s", c.err.text);
    }
    contact_end(&c);
}
