/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The services of the tiny host. */
#include "conform/lender.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <utlist.h>

#include "base/fail.h"
#include "base/str.h"
#include "plugin/mark.h"
#include "worker/command.h"

struct lender_watch {
    struct lender *lender;
    int id, fd; /* fd -1: a timer */
    struct loop_io *io;
    struct loop_timer *timer;
    berth_fd_fn *fd_fn;
    berth_timer_fn *timer_fn;
    void *arg;
    struct lender_watch *prev, *next;
};

static struct lender *of(struct berth_ctx *ctx)
{
    return (struct lender *)ctx;
}

__attribute__((format(printf, 2, 3))) static void broken(struct lender *l,
                                                         const char *format, ...)
{
    char text[300];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (l->broken)
        l->broken(l, text);
}

struct lender *lender_on_thread(struct berth_ctx *ctx, const char *service)
{
    struct lender *l = of(ctx);
    if (!pthread_equal(pthread_self(), l->thread))
        broken(l, "%s was called from another thread: only log and wake may be", service);
    return l;
}

/* ---- for every plugin ---- */

static void lend_log(struct berth_ctx *ctx, int level, const char *format, ...)
{
    struct lender *l = of(ctx);
    char line[1024];
    va_list ap;
    va_start(ap, format);
    vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    if (level != BERTH_LOG_ERR && level != BERTH_LOG_WARN && level != BERTH_LOG_INFO &&
        level != BERTH_LOG_DEBUG)
        broken(l, "log: there is no level %d", level);
    if (strchr(line, '\n'))
        broken(l, "log: more than one line: '%.200s'", line);
    if (l->logged)
        l->logged(l, level, line);
}

static int lend_fail(struct berth_ctx *ctx, struct berth_error *err, int code,
                     const char *format, ...)
{
    va_list ap;
    lender_on_thread(ctx, "fail");
    if (err) {
        va_start(ap, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return -code;
}

static void check_name(struct lender *l, const struct berth_option *table,
                       const char *service, const char *name, unsigned types)
{
    const struct berth_option *o = table;
    while (o && o->name && strcmp(o->name, name) != 0)
        o++;
    if (!o || !o->name)
        broken(l, "%s: '%s' is not in its table", service, name);
    else if (o->type < 32 && !(types & 1u << o->type))
        broken(l, "%s: '%s' is of another type", service, name);
}

#define STRINGS (~(1u << BERTH_OPTION_LIST))
#define LISTS (1u << BERTH_OPTION_LIST)
#define FLOATS (1u << BERTH_OPTION_FLOAT | INTS)
#define INTS                                                                      \
    (1u << BERTH_OPTION_INT | 1u << BERTH_OPTION_BOOL | 1u << BERTH_OPTION_SIZE | \
     1u << BERTH_OPTION_DURATION)

static const struct options *own(struct berth_ctx *ctx, const char *service,
                                 const char *name, unsigned types)
{
    struct lender *l = lender_on_thread(ctx, service);
    check_name(l, l->table, service, name, types);
    return l->options;
}

static const struct options *of_task(struct berth_ctx *ctx, const char *service,
                                     const char *name, unsigned types)
{
    struct lender *l = lender_on_thread(ctx, service);
    check_name(l, l->task_table, service, name, types);
    return l->task_options;
}

static const char *lend_option(struct berth_ctx *ctx, const char *name)
{
    return options_str(own(ctx, "option", name, STRINGS), name);
}

static int64_t lend_option_int(struct berth_ctx *ctx, const char *name)
{
    return options_int(own(ctx, "option_int", name, INTS), name);
}

static double lend_option_float(struct berth_ctx *ctx, const char *name)
{
    return options_float(own(ctx, "option_float", name, FLOATS), name);
}

static size_t lend_option_count(struct berth_ctx *ctx, const char *name)
{
    return options_count(own(ctx, "option_count", name, LISTS), name);
}

static const char *lend_option_item(struct berth_ctx *ctx, const char *name, size_t i)
{
    return options_item(own(ctx, "option_item", name, LISTS), name, i);
}

static int64_t lend_now(struct berth_ctx *ctx)
{
    lender_on_thread(ctx, "now_ms");
    return now_ms();
}

/* ---- for transports: the loop ---- */

static struct lender_watch *watch_new(struct lender *l, void *arg)
{
    struct lender_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->lender = l;
    w->fd = -1;
    w->arg = arg;
    w->id = ++l->next_watch;
    DL_APPEND(l->watches, w);
    return w;
}

static void watch_free(struct lender_watch *w)
{
    DL_DELETE(w->lender->watches, w);
    loop_io_remove(&w->io);
    loop_timer_remove(&w->timer);
    free(w);
}

static void calling(struct lender *l, const char *callback, bool begins)
{
    if (l->calling)
        l->calling(l, callback, begins);
}

static void fd_ready(void *arg, uint32_t events)
{
    struct lender_watch *w = arg;
    struct lender *l = w->lender;
    calling(l, "watch", true);
    w->fd_fn(&l->ctx, w->fd, events, w->arg);
    calling(l, "watch", false);
}

static void timer_due(void *arg)
{
    struct lender_watch *w = arg;
    struct lender *l = w->lender;
    berth_timer_fn *fn = w->timer_fn;
    void *fn_arg = w->arg;
    watch_free(w);
    calling(l, "timer", true);
    fn(&l->ctx, fn_arg);
    calling(l, "timer", false);
}

static int lend_watch_fd(struct berth_ctx *ctx, int fd, uint32_t events, berth_fd_fn *fn,
                         void *arg)
{
    struct lender *l = lender_on_thread(ctx, "watch_fd");
    struct lender_watch *w = watch_new(l, arg);
    if (!w)
        return -ENOMEM;
    w->fd = fd;
    w->fd_fn = fn;
    w->io = loop_io_add(l->loop, fd, events, fd_ready, w);
    if (w->io)
        return w->id;
    int code = errno;
    watch_free(w);
    return -code;
}

static int lend_watch_timer(struct berth_ctx *ctx, int64_t delay_ms, berth_timer_fn *fn,
                            void *arg)
{
    struct lender *l = lender_on_thread(ctx, "watch_timer");
    struct lender_watch *w = watch_new(l, arg);
    if (!w)
        return -ENOMEM;
    w->timer_fn = fn;
    w->timer = loop_timer_add(l->loop, delay_ms, timer_due, w);
    if (w->timer)
        return w->id;
    watch_free(w);
    return -ENOMEM;
}

static void lend_unwatch(struct berth_ctx *ctx, int id)
{
    struct lender *l = lender_on_thread(ctx, "unwatch");
    struct lender_watch *w;
    DL_FOREACH (l->watches, w)
        if (w->id == id)
            break;
    if (!w)
        return;
    if (w->fd >= 0 && fcntl(w->fd, F_GETFD) < 0)
        broken(l, "unwatch: descriptor %d was closed before its watch was removed", w->fd);
    watch_free(w);
}

static void lend_wake(struct berth_ctx *ctx)
{
    atomic_store(&of(ctx)->woken, true);
    loop_wake(of(ctx)->loop);
}

/* ---- for transports: messages ---- */

static void lend_replied(struct berth_ctx *ctx, uint64_t ticket,
                         const struct berth_error *err)
{
    struct lender *l = lender_on_thread(ctx, "replied");
    if (l->replied)
        l->replied(l, ticket, err);
}

static void lend_forget(struct berth_ctx *ctx, uint64_t message)
{
    struct lender *l = lender_on_thread(ctx, "forget");
    if (l->forgotten)
        l->forgotten(l, message);
}

static void lend_persist(struct berth_ctx *ctx, uint64_t message)
{
    struct lender *l = lender_on_thread(ctx, "persist");
    if (l->persisted)
        l->persisted(l, message);
}

/* Every question has an answer, and every task a log that is at its end. */
static int lend_query(struct berth_ctx *ctx, const struct berth_query *q,
                      berth_write_fn *write, void *arg, struct berth_error *err)
{
    struct lender *l = lender_on_thread(ctx, "query");
    static const char *const known[] = {
        "tasks", "task",    "result", "cancel", "executers", "runtimes", "explain",
        "stats", "metrics", "health", "ready",  "drain",     "undrain"};
    bool found = false;
    for (size_t i = 0; q->what && i < countof(known); i++)
        found |= !strcmp(q->what, known[i]);
    if (!found) {
        broken(l, "query: there is no question '%.100s'", q->what ? q->what : "");
        return lend_fail(ctx, err, EINVAL, "no such question");
    }
    bool json = q->format == BERTH_FORMAT_JSON || !strcmp(q->what, "metrics");
    int rc = write(arg, json ? "{}" : "\x80", json ? 2 : 1);
    return rc < 0 ? rc : 0;
}

static int lend_log_open(struct berth_ctx *ctx, const char *id, int stream, uint64_t offset,
                         berth_timer_fn *fn, void *arg, struct berth_error *err)
{
    (void)id, (void)offset, (void)fn, (void)arg, (void)err;
    struct lender *l = lender_on_thread(ctx, "log_open");
    if (stream != 1 && stream != 2)
        broken(l, "log_open: there is no stream %d", stream);
    return ++l->next_watch;
}

static int lend_log_read(struct berth_ctx *ctx, int handle, void *buf, size_t len)
{
    (void)handle, (void)buf, (void)len;
    lender_on_thread(ctx, "log_read");
    return -ENODATA;
}

static void lend_log_close(struct berth_ctx *ctx, int handle)
{
    (void)handle;
    lender_on_thread(ctx, "log_close");
}

static void lend_polled(struct berth_ctx *ctx)
{
    lender_on_thread(ctx, "polled");
}

/* ---- for runtimes ---- */

static const char *lend_task_option(struct berth_ctx *ctx, const struct berth_task *task,
                                    const char *name)
{
    (void)task;
    return options_str(of_task(ctx, "task_option", name, STRINGS), name);
}

static int64_t lend_task_option_int(struct berth_ctx *ctx, const struct berth_task *task,
                                    const char *name)
{
    (void)task;
    return options_int(of_task(ctx, "task_option_int", name, INTS), name);
}

static double lend_task_option_float(struct berth_ctx *ctx, const struct berth_task *task,
                                     const char *name)
{
    (void)task;
    return options_float(of_task(ctx, "task_option_float", name, FLOATS), name);
}

static size_t lend_task_option_count(struct berth_ctx *ctx, const struct berth_task *task,
                                     const char *name)
{
    (void)task;
    return options_count(of_task(ctx, "task_option_count", name, LISTS), name);
}

static const char *lend_task_option_item(struct berth_ctx *ctx,
                                         const struct berth_task *task, const char *name,
                                         size_t i)
{
    (void)task;
    return options_item(of_task(ctx, "task_option_item", name, LISTS), name, i);
}

static void lend_command_arg(struct berth_ctx *ctx, struct berth_command *cmd,
                             const char *format, ...)
{
    va_list ap;
    lender_on_thread(ctx, "command_arg");
    va_start(ap, format);
    command_arg(container_of(cmd, struct command, cmd), format, ap);
    va_end(ap);
}

static void lend_command_env(struct berth_ctx *ctx, struct berth_command *cmd,
                             const char *name, const char *value)
{
    struct lender *l = lender_on_thread(ctx, "command_env");
    if (!name || !*name || strchr(name, '=')) {
        broken(l, "command_env: '%.100s' is no name of a variable", name ? name : "");
        return;
    }
    if (!value) {
        broken(l, "command_env: '%.100s' is given no value", name);
        return;
    }
    command_env(container_of(cmd, struct command, cmd), name, value);
}

static void lend_blame(struct berth_ctx *ctx, int verdict, int blame, const char *detail)
{
    struct lender *l = lender_on_thread(ctx, "blame");
    if (!*berth_verdict_name(verdict))
        broken(l, "blame: there is no verdict %d", verdict);
    if (!*berth_blame_name(blame))
        broken(l, "blame: there is no blame %d", blame);
    l->said.verdict = verdict;
    l->said.blame = blame;
    snprintf(l->said.detail, sizeof l->said.detail, "%s", detail ? detail : "");
}

/* ---- the whole ---- */

#define FOR_ALL                                                              \
    .size = sizeof(struct berth_host), .abi = BERTH_ABI, .log = lend_log,    \
    .fail = lend_fail, .option = lend_option, .option_int = lend_option_int, \
    .option_float = lend_option_float, .option_count = lend_option_count,    \
    .option_item = lend_option_item, .now_ms = lend_now

static const struct berth_host for_transports = {FOR_ALL,
                                                 .watch_fd = lend_watch_fd,
                                                 .watch_timer = lend_watch_timer,
                                                 .unwatch = lend_unwatch,
                                                 .wake = lend_wake,
                                                 .replied = lend_replied,
                                                 .forget = lend_forget,
                                                 .persist = lend_persist,
                                                 .query = lend_query,
                                                 .log_open = lend_log_open,
                                                 .log_read = lend_log_read,
                                                 .log_close = lend_log_close,
                                                 .polled = lend_polled};
static const struct berth_host for_runtimes = {FOR_ALL,
                                               .task_option = lend_task_option,
                                               .task_option_int = lend_task_option_int,
                                               .task_option_float = lend_task_option_float,
                                               .task_option_count = lend_task_option_count,
                                               .task_option_item = lend_task_option_item,
                                               .command_arg = lend_command_arg,
                                               .command_env = lend_command_env,
                                               .blame = lend_blame};

static void woken(void *arg)
{
    (void)arg; /* the flag is what counts: lender_serve returns */
    loop_stop(((struct lender *)arg)->loop);
}

int lender_init(struct lender *l, bool runtime)
{
    *l = (struct lender){.services = runtime ? for_runtimes : for_transports,
                         .thread = pthread_self(),
                         .loop = loop_new()};
    if (!runtime)
        lender_lend_queue(&l->services);
    l->ctx.host = &l->services;
    if (l->loop && loop_on_wake(l->loop, woken, l) == 0)
        return 0;
    loop_free(l->loop);
    l->loop = NULL;
    return -ENOMEM;
}

void lender_fini(struct lender *l)
{
    while (l->watches)
        watch_free(l->watches);
    loop_free(l->loop);
    options_free(l->options);
    options_free(l->task_options);
    l->loop = NULL;
    l->options = l->task_options = NULL;
}

static void time_is_over(void *arg)
{
    loop_stop(((struct lender *)arg)->loop);
}

void lender_serve(struct lender *l, int64_t ms)
{
    struct loop_timer *t = loop_timer_add(l->loop, ms, time_is_over, l);
    if (t && !atomic_load(&l->woken))
        loop_run(l->loop);
    loop_timer_remove(&t);
}

int lender_watch_count(const struct lender *l)
{
    const struct lender_watch *w;
    int count = 0;
    DL_COUNT(l->watches, w, count);
    return count;
}
