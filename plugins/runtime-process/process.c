/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The process runtime: a task's command as a process of this machine, set apart by the
 * core. */
#define _GNU_SOURCE
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <berth/runtime.h>

#define PATHS_MAX 64 /* entries of bind_rw and of hide */

struct name {
    const char *name;
    uint32_t value;
};

static const struct name isolations[] = {
    {"mount", BERTH_ISOLATE_MOUNT},
    {"pid", BERTH_ISOLATE_PID},
    {"ipc", BERTH_ISOLATE_IPC},
    {"net", BERTH_ISOLATE_NET},
    {"uts", BERTH_ISOLATE_UTS},
    {"read_only", BERTH_ISOLATE_READONLY},
    {"private_tmp", BERTH_ISOLATE_TMP},
    {"seccomp", BERTH_ISOLATE_SECCOMP},
    {"devices", BERTH_ISOLATE_DEVICES},
    {"own_uid", BERTH_ISOLATE_UID},
    {NULL, 0},
};
static const struct name limits[] = {
    {"limit_memory", BERTH_LIMIT_MEMORY},
    {"limit_cpu", BERTH_LIMIT_CPU},
    {"limit_pids", BERTH_LIMIT_PIDS},
    {"limit_disk", BERTH_LIMIT_DISK},
    {NULL, 0},
};
static const struct name io_classes[] = {
    {"none", 0}, {"realtime", 1}, {"best-effort", 2}, {"idle", 3}, {NULL, 0},
};
static const struct name signals[] = {
    {"TERM", SIGTERM}, {"INT", SIGINT},   {"QUIT", SIGQUIT}, {"HUP", SIGHUP},
    {"USR1", SIGUSR1}, {"USR2", SIGUSR2}, {NULL, 0},
};

/* These need a mount namespace of their own. */
#define ON_MOUNT (BERTH_ISOLATE_READONLY | BERTH_ISOLATE_TMP | BERTH_ISOLATE_DEVICES)

static uint32_t bits_of(struct berth_ctx *ctx, const struct berth_task *task,
                        const struct name *table)
{
    uint32_t bits = 0;
    for (; table->name; table++)
        if (ctx->host->task_option_int(ctx, task, table->name))
            bits |= table->value;
    return bits;
}

static int choose(struct berth_ctx *ctx, const struct berth_task *task, const char *option,
                  const struct name *table, int *ret, struct berth_error *err)
{
    const char *wanted = ctx->host->task_option(ctx, task, option);
    char known[128] = "";
    for (; table->name; table++) {
        if (!strcmp(table->name, wanted)) {
            *ret = (int)table->value;
            return 0;
        }
        snprintf(known + strlen(known), sizeof(known) - strlen(known), " %s", table->name);
    }
    return ctx->host->fail(ctx, err, EINVAL, "executer '%s': %s '%s' is none of%s",
                           task->executer, option, wanted, known);
}

static int number(struct berth_ctx *ctx, const struct berth_task *task, const char *option,
                  int min, int max, int *ret, struct berth_error *err)
{
    int64_t n = ctx->host->task_option_int(ctx, task, option);
    if (n < min || n > max)
        return ctx->host->fail(ctx, err, EINVAL,
                               "executer '%s': %s is not within %d and %d", task->executer,
                               option, min, max);
    *ret = (int)n;
    return 0;
}

/* The core reads the list after `command` has returned; one attempt per process, so static
 * will do. */
static int paths(struct berth_ctx *ctx, const struct berth_task *task, const char *option,
                 const char *list[PATHS_MAX + 1], struct berth_error *err)
{
    size_t n = ctx->host->task_option_count(ctx, task, option);
    if (n > PATHS_MAX)
        return ctx->host->fail(ctx, err, E2BIG, "executer '%s': more than %d paths in %s",
                               task->executer, PATHS_MAX, option);
    for (size_t i = 0; i < n; i++)
        list[i] = ctx->host->task_option_item(ctx, task, option, i);
    list[n] = NULL;
    return 0;
}

static int refuse(struct berth_ctx *ctx, const struct berth_task *task, const char *what,
                  struct berth_error *err)
{
    ctx->host->blame(ctx, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER, NULL);
    return ctx->host->fail(ctx, err, EINVAL, "%s '%s' %s",
                           *task->executer ? "executer" : "task",
                           *task->executer ? task->executer : task->id, what);
}

static void add_env(struct berth_ctx *ctx, struct berth_command *cmd, const char *pair)
{
    char name[256];
    size_t len = strcspn(pair, "=");
    if (!pair[len] ||
        (size_t)snprintf(name, sizeof(name), "%.*s", (int)len, pair) >= sizeof(name)) {
        ctx->host->log(ctx, BERTH_LOG_WARN, "environment entry '%.64s...' is left out",
                       pair);
        return;
    }
    ctx->host->command_env(ctx, cmd, name, pair + len + 1);
}

/* "" hides every GPU, where a missing variable would show them all. */
static int add_gpus(struct berth_ctx *ctx, const struct berth_task *task,
                    struct berth_command *cmd, struct berth_error *err)
{
    char list[4096] = "";
    size_t len = 0;
    for (uint32_t i = 0; i < task->resources.gpu_count && len < sizeof(list); i++)
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? "," : "",
                                task->resources.gpus[i]);
    if (len >= sizeof(list))
        return ctx->host->fail(ctx, err, E2BIG, "the names of its gpus are too long");
    ctx->host->command_env(ctx, cmd, "CUDA_VISIBLE_DEVICES", list);
    return 0;
}

static int build_env(struct berth_ctx *ctx, const struct berth_task *task,
                     struct berth_command *cmd, struct berth_error *err)
{
    char attempt[16];
    const int own_tmp = (cmd->isolate & BERTH_ISOLATE_TMP) != 0;
    snprintf(attempt, sizeof(attempt), "%u", (unsigned)task->attempt);
    ctx->host->command_env(ctx, cmd, "PATH", cmd->search_path);
    ctx->host->command_env(ctx, cmd, "HOME", task->work_dir);
    ctx->host->command_env(ctx, cmd, "TMPDIR", own_tmp ? "/tmp" : task->work_dir);
    ctx->host->command_env(ctx, cmd, "LANG", "C.UTF-8");
    for (const char *const *pair = task->env; *pair; pair++)
        add_env(ctx, cmd, *pair);
    ctx->host->command_env(ctx, cmd, "BERTH_TASK_ID", task->id);
    ctx->host->command_env(ctx, cmd, "BERTH_ATTEMPT", attempt);
    return add_gpus(ctx, task, cmd, err);
}

static void isolate(struct berth_ctx *ctx, const struct berth_task *task,
                    struct berth_command *cmd)
{
    cmd->isolate = bits_of(ctx, task, isolations);
    cmd->limits = bits_of(ctx, task, limits);
    if (!(cmd->isolate & BERTH_ISOLATE_MOUNT))
        cmd->isolate &= ~ON_MOUNT;
    if (task->network == BERTH_NETWORK_HOST)
        cmd->isolate &= ~BERTH_ISOLATE_NET;
}

/* A user and group of the machine's in place of the attempt's own; a number needs no entry. */
static int choose_user(struct berth_ctx *ctx, const struct berth_task *task,
                       struct berth_command *cmd, struct berth_error *err)
{
    const char *user = ctx->host->task_option(ctx, task, "user");
    const char *group = ctx->host->task_option(ctx, task, "group");
    char *end;
    if (user) {
        const struct passwd *pw = getpwnam(user);
        unsigned long number = strtoul(user, &end, 10);
        if (!pw && (*end || !*user || number == 0 || number >= INT32_MAX))
            return refuse(ctx, task, "names a user that there is not", err);
        cmd->uid = pw ? (int32_t)pw->pw_uid : (int32_t)number;
        cmd->gid = pw ? (int32_t)pw->pw_gid : (int32_t)number;
    }
    if (group) {
        const struct group *gr = getgrnam(group);
        unsigned long number = strtoul(group, &end, 10);
        if (!gr && (*end || !*group || number == 0 || number >= INT32_MAX))
            return refuse(ctx, task, "names a group that there is not", err);
        cmd->gid = gr ? (int32_t)gr->gr_gid : (int32_t)number;
    }
    return 0;
}

static int process_command(struct berth_ctx *ctx, const struct berth_task *task,
                           struct berth_command *cmd, struct berth_error *err)
{
    static const char *bind_rw[PATHS_MAX + 1], *hide[PATHS_MAX + 1];
    if (!task->argv[0] || !task->argv[0][0])
        return refuse(ctx, task, "has no command", err);
    if (task->network == BERTH_NETWORK_PRIVATE)
        return refuse(ctx, task,
                      "asks for network 'private': runtime process has none and host", err);
    isolate(ctx, task, cmd);
    const char *search = ctx->host->task_option(ctx, task, "search_path");
    cmd->search_path = search ? search : "/usr/local/bin:/usr/bin:/bin";
    cmd->cpu_list = ctx->host->task_option(ctx, task, "cpu_list");
    cmd->bind_rw = bind_rw;
    cmd->hide = hide;
    int r = number(ctx, task, "nice", -20, 19, &cmd->nice, err);
    if (r == 0)
        r = number(ctx, task, "io_level", 0, 7, &cmd->io_level, err);
    if (r == 0)
        r = choose(ctx, task, "io_class", io_classes, &cmd->io_class, err);
    if (r == 0)
        r = choose(ctx, task, "stop_signal", signals, &cmd->stop_signal, err);
    if (r == 0)
        r = choose_user(ctx, task, cmd, err);
    if (r == 0)
        r = paths(ctx, task, "bind_rw", bind_rw, err);
    if (r == 0)
        r = paths(ctx, task, "hide", hide, err);
    if (r < 0)
        return r;
    for (const char *const *arg = task->argv; *arg; arg++)
        ctx->host->command_arg(ctx, cmd, "%s", *arg);
    return build_env(ctx, task, cmd, err);
}

#define SWITCH(name, help)                       \
    {                                            \
        name, BERTH_OPTION_BOOL, 0, "true", help \
    }
static const struct berth_option executer_options[] = {
    SWITCH("mount", "own mount namespace; run and state directory are hidden"),
    SWITCH("pid", "own pid namespace"),
    SWITCH("ipc", "own System V and POSIX message queues and shared memory"),
    SWITCH("net", "own, empty network, unless the task's network is host"),
    SWITCH("uts", "own host name"),
    SWITCH("read_only", "the system read-only but for the work directory; needs mount"),
    SWITCH("private_tmp", "own /tmp, /var/tmp and /dev/shm; needs mount"),
    SWITCH("seccomp", "filter of system calls"),
    SWITCH("devices", "a /dev of null, zero, full, random, urandom and tty; needs mount"),
    SWITCH("own_uid", "an own uid and gid, where berthd was started as root"),
    {"user", BERTH_OPTION_STRING, 0, NULL, "with own_uid: this user, not one of the range"},
    {"group", BERTH_OPTION_STRING, 0, NULL, "with own_uid: this group, not the user's"},
    SWITCH("limit_memory", "hold the task to its memory"),
    SWITCH("limit_cpu", "hold the task to its cpus"),
    SWITCH("limit_pids", "hold the task to its pids"),
    SWITCH("limit_disk", "hold the task to its disk"),
    {"nice", BERTH_OPTION_INT, 0, "0", "-20 to 19; below 0 needs the capability sys_nice"},
    {"io_class", BERTH_OPTION_STRING, 0, "none", "none, realtime, best-effort or idle"},
    {"io_level", BERTH_OPTION_INT, 0, "0", "0 to 7, within realtime and best-effort"},
    {"cpu_list", BERTH_OPTION_STRING, 0, NULL, "CPUs to run on: 0-3,8; any if not given"},
    {"search_path", BERTH_OPTION_STRING, 0, NULL,
     "PATH, and where the program is looked up"},
    {"bind_rw", BERTH_OPTION_LIST, 0, "",
     "further paths that stay writable under read_only"},
    {"hide", BERTH_OPTION_LIST, 0, "", "further paths that are covered"},
    {"stop_signal", BERTH_OPTION_STRING, 0, "TERM", "TERM, INT, QUIT, HUP, USR1 or USR2"},
    {NULL, 0, 0, NULL, NULL},
};

/* sys_admin: namespaces and mounts; sys_chroot: to enter those that are kept; the others:
 * to become the payload's uid, to signal it, and to give it its work directory. */
static const char *const capabilities[] = {
    "setuid", "setgid", "kill", "sys_admin", "sys_chroot", "chown", NULL,
};

static const struct berth_runtime process_runtime =
    BERTH_RUNTIME(.command = process_command);

BERTH_PLUGIN(.name = "process", .version = "1",
             .summary = "tasks as processes of this machine",
             .executer_options = executer_options, .capabilities = capabilities,
             .runtime = &process_runtime);
