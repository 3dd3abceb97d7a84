/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The services that the host lends to transport plugins: struct berth_host as they see it. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "host/transports.h"

static struct transport_link *link_of(struct berth_ctx *ctx)
{
    return container_of(ctx, struct transport_link, ctx);
}

static void service_log(struct berth_ctx *ctx, int level, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    log_linev(level, link_of(ctx)->block->name, format, ap);
    va_end(ap);
}

static int service_fail(struct berth_ctx *ctx, struct berth_error *err, int code,
                        const char *format, ...)
{
    va_list ap;
    (void)ctx;
    if (err) {
        va_start(ap, format);
        err->code = code;
        vsnprintf(err->text, sizeof err->text, format, ap);
        va_end(ap);
    }
    return -code;
}

static const char *service_option(struct berth_ctx *ctx, const char *name)
{
    return options_str(link_of(ctx)->options, name);
}

static int64_t service_option_int(struct berth_ctx *ctx, const char *name)
{
    return options_int(link_of(ctx)->options, name);
}

static double service_option_float(struct berth_ctx *ctx, const char *name)
{
    return options_float(link_of(ctx)->options, name);
}

static size_t service_option_count(struct berth_ctx *ctx, const char *name)
{
    return options_count(link_of(ctx)->options, name);
}

static const char *service_option_item(struct berth_ctx *ctx, const char *name, size_t i)
{
    return options_item(link_of(ctx)->options, name, i);
}

static int64_t service_now(struct berth_ctx *ctx)
{
    (void)ctx;
    return now_ms();
}

/* ---- watches, timers, log readers: one table of numbers ---- */

static struct watch *watch_new(struct berth_ctx *ctx, void *arg)
{
    struct transport_link *t = link_of(ctx);
    struct watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->transport = t;
    w->arg = arg;
    w->id = ++t->next_watch;
    HASH_ADD_INT(t->watches, id, w);
    return w;
}

static void watch_free(struct watch *w)
{
    HASH_DEL(w->transport->watches, w);
    loop_io_remove(&w->io);
    loop_timer_remove(&w->timer);
    log_reader_free(w->reader);
    free(w);
}

static struct watch *watch_find(struct berth_ctx *ctx, int id)
{
    struct watch *w;
    HASH_FIND_INT(link_of(ctx)->watches, &id, w);
    return w;
}

static void watch_fd_ready(void *arg, uint32_t events)
{
    struct watch *w = arg;
    mark_enter(w->transport->block->name, "watch");
    w->fd_fn(&w->transport->ctx, w->fd, events, w->arg);
    mark_leave();
}

static void watch_timer_due(void *arg)
{
    struct watch *w = arg;
    struct transport_link *t = w->transport;
    berth_timer_fn *fn = w->timer_fn;
    void *fn_arg = w->arg;
    watch_free(w);
    mark_enter(t->block->name, "timer");
    fn(&t->ctx, fn_arg);
    mark_leave();
}

static void watch_log_more(void *arg)
{
    struct watch *w = arg;
    struct transport_link *t = w->transport;
    if (!w->timer_fn)
        return;
    mark_enter(t->block->name, "log"); /* it may close the log: w is not there any more then */
    w->timer_fn(&t->ctx, w->arg);
    mark_leave();
}

static int service_watch_fd(struct berth_ctx *ctx, int fd, uint32_t events, berth_fd_fn *fn,
                            void *arg)
{
    struct watch *w = watch_new(ctx, arg);
    if (!w)
        return -ENOMEM;
    w->fd = fd;
    w->fd_fn = fn;
    w->io = loop_io_add(link_of(ctx)->host->loop, fd, events, watch_fd_ready, w);
    if (w->io)
        return w->id;
    watch_free(w);
    return -ENOMEM;
}

static int service_watch_timer(struct berth_ctx *ctx, int64_t delay_ms, berth_timer_fn *fn,
                               void *arg)
{
    struct watch *w = watch_new(ctx, arg);
    if (!w)
        return -ENOMEM;
    w->timer_fn = fn;
    w->timer = loop_timer_add(link_of(ctx)->host->loop, delay_ms, watch_timer_due, w);
    if (w->timer)
        return w->id;
    watch_free(w);
    return -ENOMEM;
}

static void service_unwatch(struct berth_ctx *ctx, int id)
{
    struct watch *w = watch_find(ctx, id);
    if (w)
        watch_free(w);
}

static void service_wake(struct berth_ctx *ctx)
{
    struct transport_link *t = link_of(ctx);
    if (pthread_equal(pthread_self(), t->host->thread)) {
        transport_pump_later(t);
        return;
    }
    atomic_store(&t->woken, true);
    loop_wake(t->host->loop);
}

void services_woken(void *arg)
{
    struct host *h = arg;
    for (size_t i = 0; i < h->config->transport_count; i++)
        if (atomic_exchange(&h->transports[i].woken, false))
            transport_pump_later(&h->transports[i]);
}

/* ---- messages ---- */

static struct waiter *waiter_find(struct berth_ctx *ctx, uint64_t message)
{
    struct waiter *w;
    HASH_FIND(hh, link_of(ctx)->waiters, &message, sizeof message, w);
    return w;
}

static void service_replied(struct berth_ctx *ctx, uint64_t ticket,
                            const struct berth_error *err)
{
    transport_replied(link_of(ctx), ticket, err);
}

/* The task goes on without its caller, and nobody else would keep it: it must survive from now on. */
static void service_forget(struct berth_ctx *ctx, uint64_t message)
{
    struct waiter *w = waiter_find(ctx, message);
    if (!w)
        return;
    w->gone = true;
    if (w->on_the_line && w->job)
        job_persist(w->job);
}

static void service_persist(struct berth_ctx *ctx, uint64_t message)
{
    struct waiter *w = waiter_find(ctx, message);
    if (w && w->job)
        job_persist(w->job);
}

static int service_query(struct berth_ctx *ctx, const struct berth_query *query,
                         berth_write_fn *write, void *arg, struct berth_error *err)
{
    cleanup_buf struct buf out = BUF_INIT;
    int rc = host_query(link_of(ctx)->host, query, &out, err);
    if (rc < 0 && !out.len)
        return rc;
    int written = write(arg, out.data, out.len);
    return written < 0 ? written : rc;
}

static int service_log_open(struct berth_ctx *ctx, const char *task_id, int stream,
                            uint64_t offset, berth_timer_fn *fn, void *arg,
                            struct berth_error *err)
{
    struct watch *w = watch_new(ctx, arg);
    if (!w)
        return berth_fail(err, ENOMEM, "out of memory");
    w->timer_fn = fn;
    struct berth_error why = {0};
    w->reader = log_reader_new(link_of(ctx)->host, task_id, stream, offset, watch_log_more,
                               w, &why);
    if (w->reader)
        return w->id;
    watch_free(w);
    return berth_fail(err, why.code, "%s", why.text);
}

static int service_log_read(struct berth_ctx *ctx, int handle, void *buf, size_t len)
{
    struct watch *w = watch_find(ctx, handle);
    uint64_t offset;
    return w && w->reader ? log_reader_read(w->reader, buf, len, &offset) : -EBADF;
}

static void service_polled(struct berth_ctx *ctx)
{
    link_of(ctx)->polled_ms = now_ms();
}

/* ---- durable sources ---- */

static uint32_t service_credit(struct berth_ctx *ctx)
{
    return host_credit(link_of(ctx)->host);
}

static const char *service_host_name(struct berth_ctx *ctx)
{
    return link_of(ctx)->host->config->name;
}

static uint64_t fnv1a(uint64_t hash, const void *data, size_t len)
{
    for (const unsigned char *p = data; len; len--)
        hash = (hash ^ *p++) * 0x100000001b3;
    return hash;
}

static const char *service_host_mark(struct berth_ctx *ctx)
{
    struct transport_link *t = link_of(ctx);
    const char *dir = t->host->config->state_dir;
    cleanup_free char *boot = NULL;
    size_t len = 0;
    struct stat st = {0};
    if (t->mark[0])
        return t->mark;
    uint64_t hash = fnv1a(0xcbf29ce484222325, dir, strlen(dir));
    if (read_file("/proc/sys/kernel/random/boot_id", 64, &boot, &len) == 0)
        hash = fnv1a(hash, boot, len);
    if (stat(dir, &st) == 0) {
        hash = fnv1a(hash, &st.st_dev, sizeof st.st_dev);
        hash = fnv1a(hash, &st.st_ino, sizeof st.st_ino);
    }
    snprintf(t->mark, sizeof t->mark, "%012llx", (unsigned long long)(hash >> 16));
    return t->mark;
}

static void service_resumed(struct berth_ctx *ctx)
{
    struct transport_link *t = link_of(ctx);
    if (t->resumed || !transport_resumes(t))
        return;
    t->resumed = true;
    jobs_resumed(t);
}

static void service_revoke(struct berth_ctx *ctx, uint64_t message)
{
    struct waiter *w = waiter_find(ctx, message);
    struct job *j = w ? w->job : NULL;
    if (!w)
        return;
    job_detach(w);
    if (j && !job_is_wanted(j))
        job_disown(j);
}

static void service_dead_done(struct berth_ctx *ctx, uint64_t ticket, const void *data,
                              size_t len, const struct berth_error *err)
{
    dead_done(link_of(ctx), ticket, data, len, err);
}

const struct berth_host transport_services = {
    .size = sizeof(struct berth_host),
    .abi = BERTH_ABI,
    .log = service_log,
    .fail = service_fail,
    .option = service_option,
    .option_int = service_option_int,
    .option_float = service_option_float,
    .option_count = service_option_count,
    .option_item = service_option_item,
    .now_ms = service_now,
    .watch_fd = service_watch_fd,
    .watch_timer = service_watch_timer,
    .unwatch = service_unwatch,
    .wake = service_wake,
    .replied = service_replied,
    .forget = service_forget,
    .persist = service_persist,
    .query = service_query,
    .log_open = service_log_open,
    .log_read = service_log_read,
    .log_close = service_unwatch,
    .polled = service_polled,
    .credit = service_credit,
    .host_name = service_host_name,
    .host_mark = service_host_mark,
    .resumed = service_resumed,
    .revoke = service_revoke,
    .dead_done = service_dead_done,
};
