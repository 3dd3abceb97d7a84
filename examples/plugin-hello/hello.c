/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A runtime in the simple form: it runs a task's image, a script, through an interpreter.
 * The plugin only says what to execute. The core starts it, limits it, captures its output,
 * times it and kills it.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <berth/runtime.h>

/* Keys of the plugin's block under `runtimes`. The host checks them and fills in the
 * defaults. */
static const struct berth_option hello_options[] = {
    {"interpreter", BERTH_OPTION_STRING, 0, "/bin/sh", "program that runs the scripts"},
    {NULL, 0, 0, NULL, NULL},
};

/* Further keys of each executer that uses this runtime. */
static const struct berth_option hello_executer_options[] = {
    {"flags", BERTH_OPTION_LIST, 0, "", "arguments of the interpreter, before the script"},
    {"sandbox", BERTH_OPTION_BOOL, 0, "true",
     "run the script apart from the rest of the system"},
    {NULL, 0, 0, NULL, NULL},
};

/* Called once, before any task: the place to find out that the config cannot work. */
static int hello_open(struct berth_ctx *ctx, struct berth_error *err)
{
    const char *interpreter = ctx->host->option(ctx, "interpreter");

    if (access(interpreter, X_OK) < 0)
        return ctx->host->fail(ctx, err, errno, "cannot execute the interpreter '%s'",
                               interpreter);
    return 0;
}

/* Without `blame` a failure counts as the runtime's. This one is the caller's: no retry
 * will help. */
static int hello_refuse(struct berth_ctx *ctx, const struct berth_task *task,
                        struct berth_error *err)
{
    ctx->host->blame(ctx, BERTH_VERDICT_IMAGE_ERROR, BERTH_BLAME_CALLER,
                     "set 'image' of the executer to the absolute path of a script");
    return ctx->host->fail(ctx, err, ENOENT, "no script '%s'", task->image);
}

/* Called for each attempt, in a process of its own, where it may take its time. */
static int hello_command(struct berth_ctx *ctx, const struct berth_task *task,
                         struct berth_command *cmd, struct berth_error *err)
{
    const struct berth_host *host = ctx->host;

    if (access(task->image, R_OK) < 0)
        return hello_refuse(ctx, task, err);

    /* The command line, one argument at a time: no shell, no quoting. */
    host->command_arg(ctx, cmd, "%s", host->option(ctx, "interpreter"));
    for (size_t i = 0; i < host->task_option_count(ctx, task, "flags"); i++)
        host->command_arg(ctx, cmd, "%s", host->task_option_item(ctx, task, "flags", i));
    host->command_arg(ctx, cmd, "%s", task->image);
    for (const char *const *arg = task->argv; *arg; arg++)
        host->command_arg(ctx, cmd, "%s", *arg);

    /* The environment starts empty; the task's own variables come as "NAME=value". */
    host->command_env(ctx, cmd, "PATH", "/usr/local/bin:/usr/bin:/bin");
    host->command_env(ctx, cmd, "HOME", task->work_dir);
    for (const char *const *pair = task->env; *pair; pair++) {
        char name[128] = "";
        size_t len = strcspn(*pair, "=");
        if ((*pair)[len] && len < sizeof(name))
            host->command_env(ctx, cmd, memcpy(name, *pair, len), *pair + len + 1);
    }

    /* What the core shall put around it. Limits are on unless a bit of cmd->limits is
     * cleared. */
    if (host->task_option_int(ctx, task, "sandbox"))
        cmd->isolate = BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_READONLY | BERTH_ISOLATE_TMP |
                       BERTH_ISOLATE_PID | BERTH_ISOLATE_UID | BERTH_ISOLATE_SECCOMP;
    if (task->network != BERTH_NETWORK_HOST)
        cmd->isolate |= BERTH_ISOLATE_NET;
    return 0;
}

/* What the core needs for that where berthd was started as root. */
static const char *const hello_capabilities[] = {
    "setuid", "setgid", "kill", "sys_admin", "chown", NULL};

static const struct berth_runtime hello_runtime = BERTH_RUNTIME(.command = hello_command);

/* The name must be that of the file: hello.so. */
BERTH_PLUGIN(.name = "hello", .version = "1.0",
             .summary = "runs scripts through an interpreter", .options = hello_options,
             .executer_options = hello_executer_options, .capabilities = hello_capabilities,
             .open = hello_open, .runtime = &hello_runtime);
