/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The services that a runtime plugin is lent: struct berth_host, as seen from worker and
 * supervisor. */
#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "worker/command.h"
#include "worker/runtime.h"

static struct runtime *of(struct berth_ctx *ctx)
{
    return container_of(ctx, struct runtime, ctx);
}

static void host_log(struct berth_ctx *ctx, int level, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    log_linev(level, of(ctx)->block->name, format, ap);
    va_end(ap);
}

static int host_fail(struct berth_ctx *ctx, struct berth_error *err, int code,
                     const char *format, ...)
{
    va_list ap;
    (void)ctx;
    if (err) {
        err->code = code;
        va_start(ap, format);
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return -code;
}

static const char *host_option(struct berth_ctx *ctx, const char *name)
{
    return options_str(of(ctx)->options, name);
}

static int64_t host_option_int(struct berth_ctx *ctx, const char *name)
{
    return options_int(of(ctx)->options, name);
}

static double host_option_float(struct berth_ctx *ctx, const char *name)
{
    return options_float(of(ctx)->options, name);
}

static size_t host_option_count(struct berth_ctx *ctx, const char *name)
{
    return options_count(of(ctx)->options, name);
}

static const char *host_option_item(struct berth_ctx *ctx, const char *name, size_t i)
{
    return options_item(of(ctx)->options, name, i);
}

static int64_t host_now_ms(struct berth_ctx *ctx)
{
    (void)ctx;
    return now_ms();
}

const struct options *runtime_task_options(const struct runtime *rt, const char *executer)
{
    for (size_t i = 0; i < rt->config->executer_count; i++)
        if (!strcmp(rt->config->executers[i].name, executer))
            return rt->executer_options[i];
    return rt->adhoc_options;
}

static const struct options *task_options(struct berth_ctx *ctx,
                                          const struct berth_task *task)
{
    return runtime_task_options(of(ctx), task->executer);
}

static const char *host_task_option(struct berth_ctx *ctx, const struct berth_task *task,
                                    const char *name)
{
    const struct options *o = task_options(ctx, task);
    return o ? options_str(o, name) : NULL;
}

static int64_t host_task_option_int(struct berth_ctx *ctx, const struct berth_task *task,
                                    const char *name)
{
    const struct options *o = task_options(ctx, task);
    return o ? options_int(o, name) : 0;
}

static double host_task_option_float(struct berth_ctx *ctx, const struct berth_task *task,
                                     const char *name)
{
    const struct options *o = task_options(ctx, task);
    return o ? options_float(o, name) : 0;
}

static size_t host_task_option_count(struct berth_ctx *ctx, const struct berth_task *task,
                                     const char *name)
{
    const struct options *o = task_options(ctx, task);
    return o ? options_count(o, name) : 0;
}

static const char *host_task_option_item(struct berth_ctx *ctx,
                                         const struct berth_task *task, const char *name,
                                         size_t i)
{
    const struct options *o = task_options(ctx, task);
    return o ? options_item(o, name, i) : NULL;
}

static void host_command_arg(struct berth_ctx *ctx, struct berth_command *cmd,
                             const char *format, ...)
{
    va_list ap;
    (void)ctx;
    va_start(ap, format);
    command_arg(container_of(cmd, struct command, cmd), format, ap);
    va_end(ap);
}

static void host_command_env(struct berth_ctx *ctx, struct berth_command *cmd,
                             const char *name, const char *value)
{
    (void)ctx;
    command_env(container_of(cmd, struct command, cmd), name, value);
}

static void host_blame(struct berth_ctx *ctx, int verdict, int blame, const char *detail)
{
    struct runtime_said *said = &of(ctx)->said;
    said->verdict = verdict;
    said->blame = blame;
    snprintf(said->detail, sizeof said->detail, "%s", detail ? detail : "");
}

void runtime_said_clear(struct runtime *rt)
{
    rt->said.verdict = rt->said.blame = 0;
    rt->said.detail[0] = '\0';
}

const struct berth_host runtime_host = {
    .size = sizeof(struct berth_host),
    .abi = BERTH_ABI,
    .log = host_log,
    .fail = host_fail,
    .option = host_option,
    .option_int = host_option_int,
    .option_float = host_option_float,
    .option_count = host_option_count,
    .option_item = host_option_item,
    .now_ms = host_now_ms,
    .task_option = host_task_option,
    .task_option_int = host_task_option_int,
    .task_option_float = host_task_option_float,
    .task_option_count = host_task_option_count,
    .task_option_item = host_task_option_item,
    .command_arg = host_command_arg,
    .command_env = host_command_env,
    .blame = host_blame,
};
