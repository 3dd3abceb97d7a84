/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A plugin that does evil in one callback, as the options say: as a runtime in the simple
 * form, in the full form, or as a transport, by EVIL_KIND. Else it is a good one, though a
 * poor one: the transport takes its tasks from files of a spool directory.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <berth/runtime.h>
#include <berth/transport.h>

#define COMMAND 1
#define RUN 2
#define TRANSPORT 3

/* ---- evil ---- */

static void evil_crash(struct berth_ctx *ctx)
{
    (void)ctx;
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void evil_abort(struct berth_ctx *ctx)
{
    (void)ctx;
    abort();
}

static void evil_exit(struct berth_ctx *ctx)
{
    (void)ctx;
    exit(3);
}

static void evil_hang(struct berth_ctx *ctx)
{
    (void)ctx;
    for (;;)
        pause();
}

static void evil_hang_deaf(struct berth_ctx *ctx)
{
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    evil_hang(ctx);
}

static void evil_sleep(struct berth_ctx *ctx)
{
    (void)ctx;
    sleep(6);
}

static void evil_memory(struct berth_ctx *ctx)
{
    (void)ctx;
    char *p = malloc(100000);
    if (p)
        memset(p, 1, 100000);
    __asm__ volatile("" : : "r"(p) : "memory"); /* or the compiler removes both calls */
}

static void evil_fd(struct berth_ctx *ctx)
{
    (void)ctx;
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        return;
}

static void evil_fork(struct berth_ctx *ctx)
{
    if (fork() == 0)
        evil_hang(ctx);
}

static void evil_fork_return(struct berth_ctx *ctx)
{
    (void)ctx;
    if (fork() < 0)
        return;
}

static void evil_stdout(struct berth_ctx *ctx)
{
    (void)ctx;
    printf("a plugin was here\n");
    fflush(stdout);
}

static void evil_stderr(struct berth_ctx *ctx)
{
    (void)ctx;
    fprintf(stderr, "a plugin was here\n");
}

static void evil_close_all(struct berth_ctx *ctx)
{
    (void)ctx;
    for (int fd = 0; fd < 1024; fd++)
        close(fd);
}

static void evil_sigmask(struct berth_ctx *ctx)
{
    sigset_t all;
    (void)ctx;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
}

static void evil_sigchld(struct berth_ctx *ctx)
{
    (void)ctx;
    signal(SIGCHLD, SIG_IGN);
}

static void evil_chdir(struct berth_ctx *ctx)
{
    (void)ctx;
    if (chdir("/usr") < 0)
        return;
}

static void evil_umask(struct berth_ctx *ctx)
{
    (void)ctx;
    umask(0177);
}

static void evil_environ(struct berth_ctx *ctx)
{
    (void)ctx;
    setenv("EVIL", "yes", 1);
}

static void *evil_thread_main(void *arg)
{
    evil_hang(arg);
    return NULL;
}

static void evil_thread(struct berth_ctx *ctx)
{
    pthread_t thread;
    pthread_create(&thread, NULL, evil_thread_main, ctx);
}

static void evil_alarm(struct berth_ctx *ctx)
{
    (void)ctx;
    alarm(1000);
}

static void evil_host(struct berth_ctx *ctx)
{
    ctx->host->option(ctx, "no_such_option");
}

static const struct {
    const char *name;
    void (*act)(struct berth_ctx *ctx);
} evils[] = {
    {"crash", evil_crash},
    {"abort", evil_abort},
    {"exit", evil_exit},
    {"hang", evil_hang},
    {"hang-deaf", evil_hang_deaf},
    {"memory", evil_memory},
    {"fd", evil_fd},
    {"fork", evil_fork},
    {"fork-return", evil_fork_return},
    {"stdout", evil_stdout},
    {"stderr", evil_stderr},
    {"close-all", evil_close_all},
    {"sigmask", evil_sigmask},
    {"sigchld", evil_sigchld},
    {"chdir", evil_chdir},
    {"umask", evil_umask},
    {"environ", evil_environ},
    {"thread", evil_thread},
    {"alarm", evil_alarm},
    {"host", evil_host},
    {"sleep", evil_sleep},
};

/* Counted in a file, so that it holds across processes: evil `times` times, then good. */
static int is_time(struct berth_ctx *ctx)
{
    const char *file = ctx->host->option(ctx, "count");
    struct stat st;
    if (!file)
        return 1;
    if (stat(file, &st) == 0 && st.st_size >= ctx->host->option_int(ctx, "times"))
        return 0;
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    int done = fd >= 0 && write(fd, "x", 1) == 1;
    if (fd >= 0)
        close(fd);
    return done;
}

static void act(struct berth_ctx *ctx, const char *callback)
{
    const char *evil = ctx->host->option(ctx, "evil");
    if (strcmp(ctx->host->option(ctx, "callback"), callback) != 0 || !is_time(ctx))
        return;
    for (size_t i = 0; i < sizeof(evils) / sizeof(evils[0]); i++)
        if (!strcmp(evils[i].name, evil))
            evils[i].act(ctx);
}

/* ---- what all have ---- */

static const struct berth_option options[] = {
    {"callback", BERTH_OPTION_STRING, 0, "", "where to be evil"},
    {"evil", BERTH_OPTION_STRING, 0, "", "what to do there"},
    {"count", BERTH_OPTION_STRING, 0, NULL, "file that counts; without it there is no end"},
    {"times", BERTH_OPTION_INT, 0, "1", "how often it is evil, with 'count'"},
    {"spool", BERTH_OPTION_STRING, 0, NULL, "transport: directory of tasks"},
    {NULL, 0, 0, NULL, NULL},
};

static int evil_open(struct berth_ctx *ctx, struct berth_error *err)
{
    (void)err;
    act(ctx, "open");
    return 0;
}

static int evil_start(struct berth_ctx *ctx, struct berth_error *err)
{
    (void)err;
    act(ctx, "start");
    return 0;
}

static void evil_close(struct berth_ctx *ctx)
{
    act(ctx, "close");
}

#if EVIL_KIND != TRANSPORT
/* ---- runtimes ---- */

#if EVIL_KIND == COMMAND
#define NAME "evil-command"

static int evil_command(struct berth_ctx *ctx, const struct berth_task *task,
                        struct berth_command *cmd, struct berth_error *err)
{
    (void)err;
    act(ctx, "command");
    for (const char *const *arg = task->argv; *arg; arg++)
        ctx->host->command_arg(ctx, cmd, "%s", *arg);
    return 0;
}
#else
#define NAME "evil-run"

static int evil_run(struct berth_ctx *ctx, const struct berth_task *task,
                    struct berth_error *err)
{
    (void)task, (void)err;
    act(ctx, "run");
    return 0;
}
#endif

static int evil_collect(struct berth_ctx *ctx, const struct berth_task *task,
                        struct berth_evidence *evidence, struct berth_error *err)
{
    (void)task, (void)evidence, (void)err;
    act(ctx, "collect");
    return 0;
}

static int evil_signal(struct berth_ctx *ctx, const struct berth_task *task, int signo,
                       struct berth_error *err)
{
    (void)task, (void)signo, (void)err;
    act(ctx, "signal");
    return 0;
}

static int evil_cleanup(struct berth_ctx *ctx, const char *instance,
                        struct berth_error *err)
{
    (void)instance, (void)err;
    act(ctx, "cleanup");
    return 0;
}

static int evil_probe(struct berth_ctx *ctx, struct berth_probe *probe,
                      struct berth_error *err)
{
    (void)probe, (void)err;
    act(ctx, "probe");
    return 0;
}

static int evil_prepare(struct berth_ctx *ctx, const char *image,
                        berth_progress_fn *progress, void *arg, struct berth_error *err)
{
    (void)image, (void)progress, (void)arg, (void)err;
    act(ctx, "prepare");
    return 0;
}

static const struct berth_runtime evil_runtime = BERTH_RUNTIME(
#if EVIL_KIND == COMMAND
        .command = evil_command,
#else
        .run = evil_run, .signal = evil_signal,
#endif
        .collect = evil_collect, .cleanup = evil_cleanup, .probe = evil_probe,
        .prepare = evil_prepare);
#if EVIL_KIND == COMMAND
const void *const evil_unused = (const void *)evil_signal;
#endif
#define TABLE .runtime = &evil_runtime

#else
/* ---- a transport ---- */
#define NAME "evil-transport"
#define TABLE .transport = &evil_transport
#define TASKS_MAX 1024

/* Which files were handed over; a message's number is its place here and 1. */
static char names[TASKS_MAX][64];
static int name_count;
static char data[65536];
static int timer;

static int is_known(const char *name)
{
    for (int i = 0; i < name_count; i++)
        if (!strcmp(names[i], name))
            return 1;
    return 0;
}

static int read_task(const char *path, struct berth_message *msg)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, data, sizeof(data));
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    msg->message = (uint64_t)name_count;
    msg->flags = 0;
    msg->data = data;
    msg->len = (size_t)n;
    msg->format = msg->reply_format = BERTH_FORMAT_JSON;
    msg->tenant = NULL;
    return 1;
}

static int evil_recv(struct berth_ctx *ctx, struct berth_message *msg,
                     struct berth_error *err)
{
    const char *spool = ctx->host->option(ctx, "spool");
    char path[512];
    int found = 0;
    (void)err;
    act(ctx, "recv");
    DIR *dir = spool ? opendir(spool) : NULL;
    for (struct dirent *e; dir && !found && (e = readdir(dir));) {
        size_t len = strlen(e->d_name);
        if (len < 6 || len > 63 || strcmp(e->d_name + len - 5, ".json") ||
            name_count == TASKS_MAX || is_known(e->d_name))
            continue;
        snprintf(names[name_count++], sizeof(names[0]), "%s", e->d_name);
        snprintf(path, sizeof(path), "%s/%s", spool, e->d_name);
        found = read_task(path, msg);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* A result goes beside its task, with another end of its name. */
static int evil_reply(struct berth_ctx *ctx, const struct berth_reply *reply,
                      struct berth_error *err)
{
    char path[512];
    act(ctx, "reply");
    if (reply->kind != BERTH_REPLY_RESULT || !reply->message)
        return 0;
    const char *name = names[reply->message - 1];
    snprintf(path, sizeof(path), "%s/%.*s.result", ctx->host->option(ctx, "spool"),
             (int)strlen(name) - 5, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (fd < 0)
        return ctx->host->fail(ctx, err, errno, "cannot write '%s'", path);
    ssize_t n = write(fd, reply->data, reply->len);
    n += write(fd, "\n", 1);
    close(fd);
    return n < 0 ? ctx->host->fail(ctx, err, EIO, "cannot write '%s'", path) : 0;
}

static int evil_settle(struct berth_ctx *ctx, uint64_t message, int how,
                       struct berth_error *err)
{
    char path[512];
    (void)how, (void)err;
    act(ctx, "settle");
    snprintf(path, sizeof(path), "%s/%s", ctx->host->option(ctx, "spool"),
             names[message - 1]);
    unlink(path);
    return 0;
}

static void evil_drain(struct berth_ctx *ctx, int on)
{
    (void)on;
    act(ctx, "drain");
}

static void again(struct berth_ctx *ctx, void *arg)
{
    act(ctx, "timer");
    ctx->host->wake(ctx);
    timer = ctx->host->watch_timer(ctx, 50, again, arg);
}

static int evil_begin(struct berth_ctx *ctx, struct berth_error *err)
{
    name_count = 0;
    timer = ctx->host->watch_timer(ctx, 50, again, NULL);
    return evil_start(ctx, err);
}

static void evil_end(struct berth_ctx *ctx)
{
    ctx->host->unwatch(ctx, timer);
    evil_close(ctx);
}

static const struct berth_transport evil_transport =
    BERTH_TRANSPORT(.recv = evil_recv, .reply = evil_reply, .settle = evil_settle,
                    .drain = evil_drain);
#define evil_start evil_begin
#define evil_close evil_end
#endif

BERTH_PLUGIN(.name = NAME, .version = "1", .summary = "evil in one callback, good else",
             .options = options, .open = evil_open, .start = evil_start,
             .close = evil_close, TABLE);
