/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A host of a few lines, for tests of one plugin that is linked into the test program. */
#ifndef TESTS_FAKE_HOST_H
#define TESTS_FAKE_HOST_H

#include "base/fail.h"
#include "base/str.h"
#include "plugin/loader.h"
#include "tap.h"

const struct berth_plugin *berth_plugin_entry(void);

static struct {
    struct options *options, *task_options;
    char argv[4096], env[4096]; /* "a|b|", "NAME=value|" */
    int verdict, blame;
    berth_fd_fn *watched; /* the one watch, or NULL */
    uint64_t replied;     /* last ticket */
    int replied_code, replied_count, woken;
} fake;

__attribute__((format(printf, 3, 4))) static void fake_log(struct berth_ctx *ctx, int level,
                                                           const char *format, ...)
{
    (void)ctx, (void)level, (void)format;
}

__attribute__((format(printf, 4, 5))) static int
fake_fail(struct berth_ctx *ctx, struct berth_error *err, int code, const char *format, ...)
{
    (void)ctx;
    va_list ap;
    if (err) {
        err->code = code;
        va_start(ap, format);
        vsnprintf(err->text, sizeof(err->text), format, ap);
        va_end(ap);
    }
    return -code;
}

static const char *fake_option(struct berth_ctx *ctx, const char *name)
{
    (void)ctx;
    return options_str(fake.options, name);
}
static int64_t fake_option_int(struct berth_ctx *ctx, const char *name)
{
    (void)ctx;
    return options_int(fake.options, name);
}
static int64_t fake_now(struct berth_ctx *ctx)
{
    (void)ctx;
    return now_ms();
}
static int fake_watch_fd(struct berth_ctx *ctx, int fd, uint32_t events, berth_fd_fn *fn,
                         void *arg)
{
    (void)ctx, (void)fd, (void)events, (void)arg;
    fake.watched = fn;
    return 1;
}
static void fake_unwatch(struct berth_ctx *ctx, int id)
{
    (void)ctx, (void)id;
    fake.watched = NULL;
}
static void fake_wake(struct berth_ctx *ctx)
{
    (void)ctx;
    fake.woken++;
}
static void fake_replied(struct berth_ctx *ctx, uint64_t ticket,
                         const struct berth_error *err)
{
    (void)ctx;
    fake.replied = ticket;
    fake.replied_code = err ? err->code : 0;
    fake.replied_count++;
}
static const char *fake_task_option(struct berth_ctx *ctx, const struct berth_task *task,
                                    const char *name)
{
    (void)ctx, (void)task;
    return options_str(fake.task_options, name);
}
static int64_t fake_task_option_int(struct berth_ctx *ctx, const struct berth_task *task,
                                    const char *name)
{
    (void)ctx, (void)task;
    return options_int(fake.task_options, name);
}
static size_t fake_task_option_count(struct berth_ctx *ctx, const struct berth_task *task,
                                     const char *name)
{
    (void)ctx, (void)task;
    return options_count(fake.task_options, name);
}
static const char *fake_task_option_item(struct berth_ctx *ctx,
                                         const struct berth_task *task, const char *name,
                                         size_t i)
{
    (void)ctx, (void)task;
    return options_item(fake.task_options, name, i);
}
__attribute__((format(printf, 3, 4))) static void
fake_command_arg(struct berth_ctx *ctx, struct berth_command *cmd, const char *format, ...)
{
    (void)ctx, (void)cmd;
    size_t len = strlen(fake.argv);
    va_list ap;
    va_start(ap, format);
    vsnprintf(fake.argv + len, sizeof(fake.argv) - len - 1, format, ap);
    va_end(ap);
    strcat(fake.argv, "|");
}
static void fake_command_env(struct berth_ctx *ctx, struct berth_command *cmd,
                             const char *name, const char *value)
{
    (void)ctx, (void)cmd;
    size_t len = strlen(fake.env);
    snprintf(fake.env + len, sizeof(fake.env) - len, "%s=%s|", name, value);
}
static void fake_blame(struct berth_ctx *ctx, int verdict, int blame, const char *detail)
{
    (void)ctx, (void)detail;
    fake.verdict = verdict;
    fake.blame = blame;
}

static const struct berth_host fake_host = {
    .size = sizeof(struct berth_host),
    .abi = BERTH_ABI,
    .log = fake_log,
    .fail = fake_fail,
    .option = fake_option,
    .option_int = fake_option_int,
    .now_ms = fake_now,
    .watch_fd = fake_watch_fd,
    .unwatch = fake_unwatch,
    .wake = fake_wake,
    .replied = fake_replied,
    .task_option = fake_task_option,
    .task_option_int = fake_task_option_int,
    .task_option_count = fake_task_option_count,
    .task_option_item = fake_task_option_item,
    .command_arg = fake_command_arg,
    .command_env = fake_command_env,
    .blame = fake_blame,
};
static struct berth_ctx fake_ctx = {.host = &fake_host};

/* Options from "name", "value", ..., NULL; a value with '|' is a list. */
__attribute__((sentinel)) static struct options *
fake_options(const struct berth_option *table, ...)
{
    static char text[16][128];
    const char *values[16][8] = {{NULL}};
    struct config_key items[16];
    struct config_keys keys = {items, 0, NULL};
    struct options *o = NULL;
    struct berth_error err = {0};
    va_list ap;
    va_start(ap, table);
    for (const char *name; (name = va_arg(ap, const char *)); keys.count++) {
        size_t n = 0, k = keys.count;
        snprintf(text[k], sizeof(text[k]), "%s", va_arg(ap, const char *));
        bool list = strchr(text[k], '|');
        for (char *save, *s = strtok_r(text[k], "|", &save); s;
             s = strtok_r(NULL, "|", &save))
            values[k][n++] = s;
        items[k] = (struct config_key){
            .name = name, .values = values[k], .is_list = list, .file = "test", .line = 1};
    }
    va_end(ap);
    if (options_resolve(table, &keys, "test", &o, &err) < 0)
        printf("# %s\n", err.text);
    return o;
}

#endif
