/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The fake runtime: no engine behind it, and faults on request. Each word of a task's
 * command and arguments is a step, done in order: "sleep=500ms", "echo", "exit=3". The
 * option `fault` breaks one of the callbacks: "collect-crash".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <berth/runtime.h>

#define NEXT 256 /* of a step: go on; an exit code (0..255) or -errno ends the payload */

struct step {
    const char *name;
    int (*act)(struct berth_ctx *ctx, const char *value, struct berth_error *err);
};

struct name {
    const char *name;
    int number;
};

static const struct name errnos[] = {
    {"EIO", EIO},       {"ENOENT", ENOENT}, {"ENOMEM", ENOMEM},       {"EAGAIN", EAGAIN},
    {"EINVAL", EINVAL}, {"EPERM", EPERM},   {"ETIMEDOUT", ETIMEDOUT}, {"ENOSPC", ENOSPC},
    {NULL, EIO},
};
static const struct name crashes[] = {
    {"segv", SIGSEGV}, {"abort", SIGABRT}, {"kill", SIGKILL},
    {"term", SIGTERM}, {NULL, SIGSEGV},
};

static int number_of(const struct name *table, const char *name)
{
    while (table->name && strcmp(table->name, name))
        table++;
    return table->number;
}

static void rest_ms(double ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000)};
    left.tv_nsec = (long)((ms - (double)left.tv_sec * 1000) * 1e6);
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

/* "500ms", "1.5s", "64M": a number and a unit; no unit means milliseconds or bytes. */
static double amount(const char *text)
{
    static const struct {
        const char *unit;
        double times;
    } units[] = {{"ms", 1},      {"s", 1000},    {"m", 60000},
                 {"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}};
    char *end;
    double n = strtod(text, &end);
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (!strcmp(end, units[i].unit))
            return n * units[i].times;
    return n;
}

static void die_of(int signo)
{
    signal(signo, SIG_DFL);
    raise(signo);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return NEXT;
}

static int act_exit(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)err;
    return atoi(value) & 255;
}

static int act_sleep(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)err;
    rest_ms(amount(value));
    return NEXT;
}

static int act_spin(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)err;
    int64_t end = ctx->host->now_ms(ctx) + (int64_t)amount(value);
    while (ctx->host->now_ms(ctx) < end)
        ;
    return NEXT;
}

static int act_hang(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)value, (void)err;
    while (pause() < 0)
        ;
    return NEXT;
}

static int act_crash(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)err;
    die_of(number_of(crashes, value));
    return NEXT;
}

static int act_leak(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    size_t len = (size_t)amount(value);
    char *p = malloc(len);
    if (!p)
        return ctx->host->fail(ctx, err, ENOMEM, "no memory for leak=%s", value);
    memset(p, 1, len);
    __asm__ volatile("" : : "r"(p) : "memory"); /* or the compiler removes both calls */
    return NEXT;
}

static int act_fork(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    for (int i = atoi(value); i > 0; i--) {
        pid_t pid = fork();
        if (pid < 0)
            return ctx->host->fail(ctx, err, errno, "cannot fork");
        if (pid == 0)
            act_hang(ctx, value, err);
    }
    return NEXT;
}

static int act_echo(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)value;
    char data[65536];
    ssize_t n;
    while ((n = read(0, data, sizeof(data))) > 0)
        if (write_all(1, data, (size_t)n) < 0)
            return ctx->host->fail(ctx, err, errno, "cannot write the output");
    return n < 0 ? ctx->host->fail(ctx, err, errno, "cannot read the input") : NEXT;
}

static int act_print(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)err;
    write_all(1, value, strlen(value));
    return write_all(1, "\n", 1);
}

static int act_warn(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)err;
    write_all(2, value, strlen(value));
    return write_all(2, "\n", 1);
}

static int act_flood(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)err;
    char data[65536];
    memset(data, 'x', sizeof(data));
    for (double left = amount(value); left > 0; left -= sizeof(data))
        write_all(1, data, left < sizeof(data) ? (size_t)left : sizeof(data));
    return NEXT;
}

static int act_fail(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    return ctx->host->fail(ctx, err, number_of(errnos, value), "failed on request (%s)",
                           value);
}

static int act_fail_image(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)value;
    ctx->host->blame(ctx, BERTH_VERDICT_IMAGE_ERROR, BERTH_BLAME_CALLER,
                     "asked for by 'fail-image'");
    return ctx->host->fail(ctx, err, ENOENT, "image failed on request");
}

static int act_fail_preempted(struct berth_ctx *ctx, const char *value,
                              struct berth_error *err)
{
    (void)value;
    ctx->host->blame(ctx, BERTH_VERDICT_PREEMPTED, BERTH_BLAME_NODE, NULL);
    return ctx->host->fail(ctx, err, ECANCELED, "preempted, it says");
}

static int act_ignore_term(struct berth_ctx *ctx, const char *value,
                           struct berth_error *err)
{
    (void)ctx, (void)value, (void)err;
    signal(SIGTERM, SIG_IGN);
    return NEXT;
}

static int act_nothing(struct berth_ctx *ctx, const char *value, struct berth_error *err)
{
    (void)ctx, (void)value, (void)err;
    return NEXT; /* "report" is for collect */
}

static const struct step steps[] = {
    {"exit", act_exit},
    {"sleep", act_sleep},
    {"spin", act_spin},
    {"hang", act_hang},
    {"crash", act_crash},
    {"leak", act_leak},
    {"fork", act_fork},
    {"echo", act_echo},
    {"print", act_print},
    {"warn", act_warn},
    {"flood", act_flood},
    {"fail", act_fail},
    {"report", act_nothing},
    {"fail-image", act_fail_image},
    {"fail-preempted", act_fail_preempted},
    {"ignore-term", act_ignore_term},
};

/* "name=value" or "name"; *ret_value is "" then. NULL: no such step. */
static const struct step *step_of(const char *word, const char **ret_value)
{
    size_t len = strcspn(word, "=");
    *ret_value = word[len] ? word + len + 1 : "";
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (strlen(steps[i].name) == len && !strncmp(steps[i].name, word, len))
            return &steps[i];
    return NULL;
}

/* Does what the option `fault` says about this callback: "NAME-fail", "NAME-hang", "NAME-
 * crash"; with `fault_while` only as long as that file is there. */
static int fault(struct berth_ctx *ctx, const char *callback, struct berth_error *err)
{
    const char *wanted = ctx->host->option(ctx, "fault");
    const char *file = ctx->host->option(ctx, "fault_while");
    size_t len = strlen(callback);
    if (strncmp(wanted, callback, len) || wanted[len] != '-' ||
        (file && access(file, F_OK) < 0))
        return 0;
    const char *how = wanted + len + 1;
    if (!strcmp(how, "hang"))
        act_hang(ctx, how, err);
    if (!strcmp(how, "crash"))
        die_of(SIGSEGV);
    return ctx->host->fail(ctx, err, EIO, "%s failed on request", callback);
}

static int null_open(struct berth_ctx *ctx, struct berth_error *err)
{
    static const char *const callbacks[] = {"open", "start",   "probe",   "prepare",
                                            "run",  "collect", "cleanup"};
    static const char *const hows[] = {"fail", "hang", "crash"};
    const char *wanted = ctx->host->option(ctx, "fault");
    char known[32];
    int found = !strcmp(wanted, "none");
    for (size_t i = 0; i < 3 * (sizeof(callbacks) / sizeof(callbacks[0])); i++) {
        snprintf(known, sizeof(known), "%s-%s", callbacks[i / 3], hows[i % 3]);
        found |= !strcmp(wanted, known);
    }
    if (!found)
        return ctx->host->fail(
            ctx, err, EINVAL,
            "option 'fault': '%s' is not none or CALLBACK-fail|hang|crash", wanted);
    return fault(ctx, "open", err);
}

static int null_start(struct berth_ctx *ctx, struct berth_error *err)
{
    return fault(ctx, "start", err);
}

static int null_probe(struct berth_ctx *ctx, struct berth_probe *probe,
                      struct berth_error *err)
{
    snprintf(probe->detail, sizeof(probe->detail),
             "no engine: tasks do nothing but what their words say");
    probe->memory = probe->cpus = probe->pids = BERTH_ENFORCE_CORE;
    probe->disk = probe->network_none = probe->read_only = probe->uid = probe->gpus =
        BERTH_ENFORCE_NO;
    return fault(ctx, "probe", err);
}

static int null_prepare(struct berth_ctx *ctx, const char *image,
                        berth_progress_fn *progress, void *arg, struct berth_error *err)
{
    if (!strncmp(image, "missing", 7))
        return act_fail_image(ctx, image, err);
    if (progress)
        progress(arg, "nothing to pull");
    return fault(ctx, "prepare", err);
}

/* The engine's record of an instance: a file in the directory that the option names. 0: no
 * such option. */
static int instance_path(struct berth_ctx *ctx, const char *instance, char out[4096])
{
    const char *dir = ctx->host->option(ctx, "instances");
    return dir && snprintf(out, 4096, "%s/%s", dir, instance) < 4096;
}

static int instance_make(struct berth_ctx *ctx, const char *instance,
                         struct berth_error *err)
{
    char path[4096];
    if (!instance_path(ctx, instance, path))
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return ctx->host->fail(ctx, err, errno, "cannot make '%s'", path);
    close(fd);
    return 0;
}

static int null_run(struct berth_ctx *ctx, const struct berth_task *task,
                    struct berth_error *err)
{
    int r = instance_make(ctx, task->instance, err);
    if (r == 0)
        r = fault(ctx, "run", err);
    if (r < 0)
        return r;
    r = NEXT;
    for (const char *const *word = task->argv; r == NEXT && *word; word++) {
        const char *value;
        const struct step *step = step_of(*word, &value);
        if (!step) {
            ctx->host->blame(ctx, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER, NULL);
            return ctx->host->fail(ctx, err, EINVAL, "runtime 'null' does not know '%s'",
                                   *word);
        }
        r = step->act(ctx, value, err);
    }
    return r == NEXT ? 0 : r;
}

/* So that a benchmark measures all but the runtime. */
static int null_answer(struct berth_ctx *ctx, const struct berth_task *task,
                       struct berth_answer *answer, struct berth_error *err)
{
    (void)err;
    if (!ctx->host->option_int(ctx, "at_once"))
        return 1;
    answer->output = task->input;
    answer->output_len = task->input_len;
    return 0;
}

static int null_collect(struct berth_ctx *ctx, const struct berth_task *task,
                        struct berth_evidence *evidence, struct berth_error *err)
{
    for (const char *const *word = task->argv; *word; word++) {
        if (!strcmp(*word, "report=oom"))
            evidence->oom_killed = 1;
        else if (!strncmp(*word, "report=", 7))
            evidence->exit_code = atoi(*word + 7);
    }
    return fault(ctx, "collect", err);
}

static int null_cleanup(struct berth_ctx *ctx, const char *instance,
                        struct berth_error *err)
{
    char path[4096];
    int r = fault(ctx, "cleanup", err);
    if (r == 0 && instance_path(ctx, instance, path) && unlink(path) < 0 && errno != ENOENT)
        r = ctx->host->fail(ctx, err, errno, "cannot remove '%s'", path);
    return r;
}

static const struct berth_option options[] = {
    {"fault", BERTH_OPTION_STRING, 0, "none",
     "callback that shall break, and how: collect-crash"},
    {"fault_while", BERTH_OPTION_STRING, 0, NULL,
     "file as long as which the fault is there; always without it"},
    {"instances", BERTH_OPTION_STRING, 0, NULL,
     "directory for a file per instance; none without it"},
    {"at_once", BERTH_OPTION_BOOL, 0, "false",
     "tasks are not run: their input is their output, at once"},
    {NULL, 0, 0, NULL, NULL},
};

static const struct berth_runtime null_runtime =
    BERTH_RUNTIME(.run = null_run, .probe = null_probe, .prepare = null_prepare,
                  .collect = null_collect, .cleanup = null_cleanup,
                  .answer = null_answer);

BERTH_PLUGIN(.name = "null", .version = "1",
             .summary = "fake runtime with faults on request", .options = options,
             .open = null_open, .start = null_start, .runtime = &null_runtime);
