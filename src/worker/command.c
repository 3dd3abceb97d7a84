/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Building a command, argument by argument. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/fail.h"
#include "worker/command.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct command *command_new(const char *work_dir)
{
    struct command *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->arena = arena_new();
    if (!c->arena) {
        free(c);
        return NULL;
    }
    c->cmd = (struct berth_command){.size = sizeof c->cmd,
                                    .limits = BERTH_LIMIT_ALL,
                                    .cwd = work_dir,
                                    .search_path = DEFAULT_PATH,
                                    .stop_signal = SIGTERM};
    return c;
}

void command_free(struct command *c)
{
    if (!c)
        return;
    arena_free(c->arena);
    free(c->argv);
    free(c->env);
    free(c);
}

/* Grows by doubling at powers of two, so that no capacity has to be kept. */
static void list_add(struct command *c, const char ***list, size_t *count, char *text)
{
    if (*count == 0 || (*count & (*count - 1)) == 0) {
        const char **grown = realloc(*list, (*count * 2 + 2) * sizeof *grown);
        if (!grown) {
            c->failed = true;
            return;
        }
        *list = grown;
    }
    if (!text) {
        c->failed = true;
        return;
    }
    (*list)[(*count)++] = text;
    (*list)[*count] = NULL;
}

void command_arg(struct command *c, const char *format, va_list ap)
{
    cleanup_buf struct buf text = BUF_INIT;
    buf_fmtv(&text, format, ap);
    if (text.failed)
        c->failed = true;
    else
        list_add(c, &c->argv, &c->argc,
                 arena_mem(c->arena, text.data ? text.data : "", text.len));
}

void command_env(struct command *c, const char *name, const char *value)
{
    size_t len = strlen(name);
    char *text = arena_fmt(c->arena, "%s=%s", name, value);
    if (!text) {
        c->failed = true;
        return;
    }
    for (size_t i = 0; i < c->envc; i++) {
        if (!strncmp(c->env[i], name, len) && c->env[i][len] == '=') {
            c->env[i] = text;
            return;
        }
    }
    list_add(c, &c->env, &c->envc, text);
}

static const char *seal_str(struct command *c, const char *s)
{
    char *copy = arena_str(c->arena, s);
    if (s && !copy)
        c->failed = true;
    return copy;
}

static const char *const *seal_list(struct command *c, const char *const *list)
{
    size_t count = 0;
    while (list && list[count])
        count++;
    if (!count)
        return NULL;
    const char **copy = arena_alloc(c->arena, (count + 1) * sizeof *copy);
    if (!copy)
        c->failed = true;
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = seal_str(c, list[i]);
    return copy;
}

int command_seal(struct command *c)
{
    struct berth_command *cmd = &c->cmd;
    cmd->cwd = seal_str(c, cmd->cwd);
    cmd->search_path = seal_str(c, cmd->search_path);
    cmd->cpu_list = seal_str(c, cmd->cpu_list);
    cmd->bind_rw = seal_list(c, cmd->bind_rw);
    cmd->hide = seal_list(c, cmd->hide);
    return c->failed ? -ENOMEM : 0;
}
