/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A host for one transport plugin. What it answers is decided by words in the task or id it is asked of. */
#include "fake_host.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static struct fake *fake_of(struct berth_ctx *ctx)
{
    return (struct fake *)ctx;
}

int64_t fake_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* ---- services for every plugin ---- */

static void fake_log_line(struct berth_ctx *ctx, int level, const char *format, ...)
{
    struct fake *f = fake_of(ctx);
    va_list ap;
    va_start(ap, format);
    vsnprintf(f->last_log, sizeof(f->last_log), format, ap);
    va_end(ap);
    if (level != BERTH_LOG_DEBUG && !f->quiet)
        printf("# log %d: %s\n", level, f->last_log);
    if (!strncmp(f->last_log, "listening on ", 13))
        snprintf(f->listening, sizeof(f->listening), "%s", f->last_log + 13);
}

static int fake_fail(struct berth_ctx *ctx, struct berth_error *err, int code,
                     const char *format, ...)
{
    va_list ap;
    (void)ctx;
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
    struct fake *f = fake_of(ctx);
    for (const struct fake_option *o = f->options; o && o->name; o++)
        if (!strcmp(o->name, name))
            return o->value;
    for (const struct berth_option *o = f->plugin->options; o->name; o++)
        if (!strcmp(o->name, name))
            return o->value;
    abort(); /* the name is not in the plugin's table */
}

static int64_t fake_option_int(struct berth_ctx *ctx, const char *name)
{
    const char *text = fake_option(ctx, name);
    char *unit;
    if (!strcmp(text, "true") || !strcmp(text, "false"))
        return *text == 't';
    int64_t value = strtoll(text, &unit, 10);
    if (!strcmp(unit, "K"))
        return value << 10;
    if (!strcmp(unit, "M"))
        return value << 20;
    if (!strcmp(unit, "s"))
        return value * 1000;
    if (!strcmp(unit, "m"))
        return value * 60000;
    return value;
}

static int64_t fake_now_ms(struct berth_ctx *ctx)
{
    (void)ctx;
    return fake_now();
}

/* ---- loop ---- */

static int fake_watch_add(struct fake *f, struct fake_watch w)
{
    if (f->watch_count == FAKE_WATCH_MAX)
        return -ENOMEM;
    w.id = ++f->next_id;
    f->watch[f->watch_count++] = w;
    return w.id;
}

static int fake_watch_fd(struct berth_ctx *ctx, int fd, uint32_t events, berth_fd_fn *fn,
                         void *arg)
{
    struct fake *f = fake_of(ctx);
    int id = fake_watch_add(f, (struct fake_watch){.fd = fd, .fd_fn = fn, .arg = arg});
    struct epoll_event event = {.events = events, .data.u64 = (uint64_t)id};
    if (id > 0 && epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        return -errno;
    return id;
}

static int fake_watch_timer(struct berth_ctx *ctx, int64_t delay_ms, berth_timer_fn *fn,
                            void *arg)
{
    return fake_watch_add(fake_of(ctx), (struct fake_watch){.fd = -1,
                                                            .due_ms = fake_now() + delay_ms,
                                                            .timer_fn = fn,
                                                            .arg = arg});
}

static int fake_watch_find(struct fake *f, int id)
{
    for (int i = 0; i < f->watch_count; i++)
        if (f->watch[i].id == id)
            return i;
    return -1;
}

static void fake_unwatch(struct berth_ctx *ctx, int id)
{
    struct fake *f = fake_of(ctx);
    int i = fake_watch_find(f, id);
    if (i < 0)
        return;
    if (f->watch[i].fd >= 0)
        epoll_ctl(f->epoll_fd, EPOLL_CTL_DEL, f->watch[i].fd, NULL);
    f->watch[i] = f->watch[--f->watch_count];
}

void fake_listen_to(struct fake *f, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = 0};
    epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void fake_wake(struct berth_ctx *ctx)
{
    fake_of(ctx)->woken = true;
}

/* ---- messages ---- */

static struct fake_message *fake_message_of(struct fake *f, uint64_t number)
{
    for (int i = 0; i < f->message_count; i++)
        if (f->message[i].number == number && !f->message[i].settled)
            return &f->message[i];
    return NULL;
}

static void fake_forget(struct berth_ctx *ctx, uint64_t message)
{
    struct fake_message *m = fake_message_of(fake_of(ctx), message);
    if (!m || m->forgotten)
        abort();
    m->forgotten = true;
}

static void fake_persist(struct berth_ctx *ctx, uint64_t message)
{
    struct fake_message *m = fake_message_of(fake_of(ctx), message);
    if (!m || m->persisted)
        abort();
    m->persisted = true;
}

void fake_reply(struct fake *f, const struct fake_message *m, uint32_t kind, int error_code,
                const char *error_text, const char *data)
{
    struct berth_error err = {0};
    struct berth_reply reply = {.size = sizeof(reply),
                                .kind = kind,
                                .message = m->number,
                                .task_id = "task-1",
                                .verdict = error_code ? BERTH_VERDICT_REJECTED
                                                      : BERTH_VERDICT_SUCCEEDED,
                                .error_code = error_code,
                                .error_text = error_text,
                                .format = m->reply_format,
                                .data = data,
                                .len = strlen(data)};
    if (f->plugin->transport->reply(&f->ctx, &reply, &err) != 0)
        abort();
    f->woken = true;
}

void fake_settle(struct fake *f, struct fake_message *m)
{
    struct berth_error err = {0};
    m->settled = true;
    f->plugin->transport->settle(&f->ctx, m->number, BERTH_SETTLE_ACK, &err);
}

static const char *fake_text(const struct fake_message *m, const char *json,
                             const char *msgpack)
{
    return m->reply_format == BERTH_FORMAT_JSON ? json : msgpack;
}

/* "hold": the test replies. "refuse NUMBER": a refusal with that errno. Else it succeeds. */
static void fake_serve(struct fake *f, struct fake_message *m)
{
    const char *refuse = memmem(m->data, m->len, "refuse ", 7);
    if (memmem(m->data, m->len, "hold", 4))
        return;
    if (refuse) {
        int code = atoi(refuse + 7);
        fake_reply(f, m, BERTH_REPLY_RESULT, code, code == EIO ? NULL : "it is \"refused\"",
                   fake_text(m, "{\"verdict\":\"rejected\"}", "\x81\xa1v\x01"));
    } else {
        if (!(m->flags & BERTH_MESSAGE_ON_THE_LINE))
            fake_reply(
                f, m, BERTH_REPLY_ACCEPTED, 0, NULL,
                fake_text(m, "{\"id\":\"task-1\",\"state\":\"queued\"}", "\x81\xa1i\x02"));
        fake_reply(f, m, BERTH_REPLY_STATE, 0, NULL, "{}");
        fake_reply(
            f, m, BERTH_REPLY_RESULT, 0, NULL,
            fake_text(m, "{\"id\":\"task-1\",\"verdict\":\"succeeded\"}", "\x81\xa1i\x03"));
    }
    fake_settle(f, m);
}

static bool fake_recv(struct fake *f)
{
    struct berth_message msg = {.size = sizeof(msg)};
    struct berth_error err = {0};
    int ret = f->plugin->transport->recv(&f->ctx, &msg, &err);
    if (ret <= 0)
        return false;
    if (f->message_count == FAKE_MESSAGE_MAX || !msg.message)
        abort();
    struct fake_message *m = &f->message[f->message_count++];
    *m = (struct fake_message){.number = msg.message,
                               .flags = msg.flags,
                               .format = msg.format,
                               .reply_format = msg.reply_format,
                               .len = msg.len};
    snprintf(m->tenant, sizeof(m->tenant), "%s", msg.tenant ? msg.tenant : "");
    m->data = malloc(msg.len + 1);
    memcpy(m->data, msg.data, msg.len);
    m->data[msg.len] = '\0';
    return true;
}

static void fake_pump(struct fake *f)
{
    while (f->woken) {
        f->woken = false;
        while (fake_recv(f))
            ;
        while (f->answered < f->message_count)
            fake_serve(f, &f->message[f->answered++]);
    }
    for (int i = 0; i < f->message_count; i++)
        if (f->message[i].persisted && !f->message[i].settled) {
            fake_reply(f, &f->message[i], BERTH_REPLY_ACCEPTED, 0, NULL,
                       "{\"id\":\"task-1\",\"state\":\"running\"}");
            fake_settle(f, &f->message[i]);
        }
}

/* ---- questions ---- */

static const char *fake_or(const char *text)
{
    return text ? text : "-";
}

static int fake_query(struct berth_ctx *ctx, const struct berth_query *q,
                      berth_write_fn *write, void *arg, struct berth_error *err)
{
    struct fake *f = fake_of(ctx);
    const char *id = q->id ? q->id : "";
    snprintf(f->query, sizeof(f->query),
             "%s id=%s state=%s tenant=%s executer=%s cursor=%s limit=%u", q->what,
             fake_or(q->id), fake_or(q->state), fake_or(q->tenant), fake_or(q->executer),
             fake_or(q->cursor), q->limit);
    if (!strcmp(id, "missing") || (!strcmp(id, "others") && q->tenant))
        return fake_fail(ctx, err, ENOENT, "no task '%s'", id);
    if (q->state && !strcmp(q->state, "nonsense"))
        return fake_fail(ctx, err, EINVAL, "no state 'nonsense'");
    if (!strcmp(q->what, "result") && !strcmp(id, "undone"))
        return fake_fail(ctx, err, EAGAIN, "not done");
    if (!strcmp(q->what, "cancel") && !strcmp(id, "done"))
        return fake_fail(ctx, err, EALREADY, "task 'done' is done");
    if (!strcmp(id, "overload"))
        return fake_fail(ctx, err, EAGAIN, "too much to do");
    bool ready = strcmp(q->what, "ready") != 0 || f->ready;
    char text[256];
    if (!strcmp(q->what, "metrics"))
        snprintf(text, sizeof(text), "berth_up 1\n");
    else if (q->format == BERTH_FORMAT_JSON)
        snprintf(text, sizeof(text), "{\"what\":\"%s\"}", q->what);
    else
        snprintf(text, sizeof(text), "\x81\xa4what%c%s", (char)(0xa0 | strlen(q->what)),
                 q->what);
    int ret = write(arg, text, strlen(text));
    if (ret < 0)
        return ret;
    return ready ? 0 : fake_fail(ctx, err, EAGAIN, "not ready: draining");
}

static int fake_log_open(struct berth_ctx *ctx, const char *id, int stream, uint64_t offset,
                         berth_timer_fn *fn, void *arg, struct berth_error *err)
{
    struct fake *f = fake_of(ctx);
    if (!strcmp(id, "missing"))
        return fake_fail(ctx, err, ENOENT, "no task '%s'", id);
    for (int i = 0; i < FAKE_LOG_MAX; i++) {
        if (f->log[i].open)
            continue;
        free(f->log[i].data);
        f->log[i] = (struct fake_log){
            .open = true, .stream = stream, .offset = offset, .fn = fn, .arg = arg};
        f->logs_opened++;
        f->log[i].data = strdup(strcmp(id, "empty") != 0 ? "0123456789" : "");
        f->log[i].len = strlen(f->log[i].data);
        f->log[i].at = offset < f->log[i].len ? (size_t)offset : f->log[i].len;
        return i + 1;
    }
    return fake_fail(ctx, err, EMFILE, "too many logs");
}

static int fake_log_read(struct berth_ctx *ctx, int handle, void *buf, size_t len)
{
    struct fake_log *log = &fake_of(ctx)->log[handle - 1];
    size_t left = log->len - log->at;
    if (!left)
        return log->done ? -ENODATA : 0;
    if (left > len)
        left = len;
    memcpy(buf, log->data + log->at, left);
    log->at += left;
    return (int)left;
}

static void fake_log_close(struct berth_ctx *ctx, int handle)
{
    struct fake *f = fake_of(ctx);
    if (!f->log[handle - 1].open)
        abort();
    f->log[handle - 1].open = false;
    f->logs_closed++;
}

void fake_log_add(struct fake *f, struct fake_log *log, const char *text)
{
    size_t more = strlen(text);
    log->data = realloc(log->data, log->len + more + 1);
    memcpy(log->data + log->len, text, more + 1);
    log->len += more;
    log->fn(&f->ctx, log->arg);
}

void fake_log_end(struct fake *f, struct fake_log *log)
{
    log->done = true;
    log->fn(&f->ctx, log->arg);
}

/* ---- turns ---- */

static void fake_timers(struct fake *f)
{
    int64_t now = fake_now();
    int last = f->next_id;
    for (int i = 0; i < f->watch_count;) {
        struct fake_watch w = f->watch[i];
        if (w.fd >= 0 || w.due_ms > now || w.id > last) {
            i++;
            continue;
        }
        f->watch[i] = f->watch[--f->watch_count];
        f->events++;
        w.timer_fn(&f->ctx, w.arg);
        i = 0;
    }
}

static int fake_patience(const struct fake *f, int ms)
{
    int64_t now = fake_now();
    for (int i = 0; i < f->watch_count; i++)
        if (f->watch[i].fd < 0 && f->watch[i].due_ms - now < ms)
            ms = f->watch[i].due_ms > now ? (int)(f->watch[i].due_ms - now) : 0;
    return f->woken ? 0 : ms;
}

void fake_turn(struct fake *f, int ms)
{
    struct epoll_event events[64];
    int n = epoll_wait(f->epoll_fd, events, 64, fake_patience(f, ms));
    for (int i = 0; i < n; i++) {
        int at = fake_watch_find(f, (int)events[i].data.u64);
        f->events += at >= 0;
        if (at >= 0)
            f->watch[at].fd_fn(&f->ctx, f->watch[at].fd, events[i].events,
                               f->watch[at].arg);
    }
    fake_timers(f);
    fake_pump(f);
}

bool fake_until(struct fake *f, const bool *done)
{
    int64_t end = fake_now() + 5000;
    while (!*done && fake_now() < end)
        fake_turn(f, 50);
    return *done;
}

/* ---- start and stop ---- */

static const struct berth_host fake_services = {.size = sizeof(struct berth_host),
                                                .abi = BERTH_ABI,
                                                .log = fake_log_line,
                                                .fail = fake_fail,
                                                .option = fake_option,
                                                .option_int = fake_option_int,
                                                .now_ms = fake_now_ms,
                                                .watch_fd = fake_watch_fd,
                                                .watch_timer = fake_watch_timer,
                                                .unwatch = fake_unwatch,
                                                .wake = fake_wake,
                                                .forget = fake_forget,
                                                .persist = fake_persist,
                                                .query = fake_query,
                                                .log_open = fake_log_open,
                                                .log_read = fake_log_read,
                                                .log_close = fake_log_close};

int fake_start(struct fake *f, const char *path, const struct fake_option *options)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "berth_plugin_entry") : NULL;
    berth_plugin_entry_fn *entry;
    memset(f, 0, sizeof(*f));
    if (!symbol)
        return fake_fail(&f->ctx, &f->error, ENOENT, "cannot load '%s': %s", path,
                         dlerror());
    memcpy(&entry, &symbol, sizeof(entry));
    return fake_start_entry(f, entry(), options);
}

int fake_start_entry(struct fake *f, const struct berth_plugin *plugin,
                     const struct fake_option *options)
{
    memset(f, 0, sizeof(*f));
    f->plugin = plugin;
    f->ctx.host = &fake_services;
    f->options = options;
    f->ready = true;
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int ret = f->plugin->open(&f->ctx, &f->error);
    if (ret < 0) {
        close(f->epoll_fd);
        return ret;
    }
    ret = f->plugin->start(&f->ctx, &f->error);
    if (ret < 0)
        fake_stop(f);
    return ret;
}

void fake_stop(struct fake *f)
{
    f->plugin->close(&f->ctx);
    if (f->watch_count)
        printf("# %d watches were left behind\n", f->watch_count);
    for (int i = 0; i < f->message_count; i++)
        free(f->message[i].data);
    for (int i = 0; i < FAKE_LOG_MAX; i++)
        free(f->log[i].data);
    close(f->epoll_fd);
}

int fake_port(const struct fake *f)
{
    const char *colon = strrchr(f->listening, ':');
    return colon ? atoi(colon + 1) : 0;
}
