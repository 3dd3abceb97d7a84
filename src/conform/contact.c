/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Loading the plugin in a trial, and calling it. */
#include "conform/contact.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fail.h"
#include "base/str.h"
#include "conform/trial.h"
#include "plugin/mark.h"

#define FAULTS_TOLD 8
#define SLOW_MS 5000
#define ITEMS_MAX 64
#define UNTOUCHED 0x5e57
#define LIFECYCLE "berth/plugin.h, struct berth_plugin"
#define GONE_MS 1000 /* that a thread which was joined may take to be gone from /proc */

enum { OF_WORLD, OF_RESULT };

static const char *const rules[] = {
    [OF_WORLD] = "'%s' leaves the process as it found it",
    [OF_RESULT] = "'%s' keeps the rules for its result and the services",
};

/* ---- faults ---- */

static struct callee *callee_of(struct contact *c, const char *name)
{
    for (int i = 0; i < CALLEES_MAX; i++) {
        struct callee *e = &c->callees[i];
        if (!e->name)
            e->name = name;
        if (!strcmp(e->name, name))
            return e;
    }
    return &c->callees[CALLEES_MAX - 1];
}

void contact_fault(struct contact *c, bool of_result, const char *where, const char *format,
                   ...)
{
    struct callee *e = c->current ? c->current : callee_of(c, "load");
    char text[400];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (e->faults[of_result]++ == 0)
        expect(false, where, rules[of_result], e->name);
    if (e->faults[of_result] <= FAULTS_TOLD)
        remark("'%s': %s", e->name, text);
}

bool contact_has_faults(const struct contact *c)
{
    for (int i = 0; i < CALLEES_MAX && c->callees[i].name; i++)
        if (c->callees[i].faults[OF_WORLD] || c->callees[i].faults[OF_RESULT])
            return true;
    return false;
}

static void differs(void *arg, const char *difference)
{
    contact_fault(arg, OF_WORLD, RULE_LEAVES, "%s", difference);
}

static void service_broken(struct lender *l, const char *what)
{
    contact_fault((struct contact *)l, OF_RESULT, "berth/plugin.h, struct berth_host", "%s",
                  what);
}

static void in_loop(struct lender *l, const char *callback, bool begins)
{
    struct contact *c = (struct contact *)l;
    if (begins)
        contact_enter(c, callback);
    else
        contact_leave_void(c, WORLD_NEW_FDS | WORLD_THREADS);
}

static enum stage stage_of(const char *callback)
{
    if (!strcmp(callback, "load"))
        return STAGE_LOAD;
    return !strcmp(callback, "open") || !strcmp(callback, "start") ? STAGE_OPEN
                                                                   : STAGE_WORK;
}

void contact_end(struct contact *c)
{
    for (int i = 0; i < CALLEES_MAX && c->callees[i].name; i++)
        for (int k = OF_WORLD; k <= OF_RESULT; k++)
            if (c->callees[i].calls && !c->callees[i].faults[k] &&
                stage_of(c->callees[i].name) >= c->stage)
                expect(true, "", rules[k], c->callees[i].name);
}

/* ---- one call ---- */

void contact_enter(struct contact *c, const char *callback)
{
    c->current = callee_of(c, callback);
    c->current->calls++;
    c->err = (struct berth_error){.code = UNTOUCHED, .text = "untouched"};
    c->lender.said.verdict = c->lender.said.blame = 0;
    world_take(c->before);
    c->entered_ms = now_ms();
    mark_enter(c->subject->path, callback);
}

static bool is_capitalised(const char *s)
{
    return isupper((unsigned char)s[0]) && islower((unsigned char)s[1]);
}

static void check_error(struct contact *c, int rc)
{
    const struct berth_error *e = &c->err;
    size_t len = strnlen(e->text, sizeof e->text);
    if (rc < -4095) {
        contact_fault(c, OF_RESULT, RULE_ERROR,
                      "it returned %d, which is no negative errno", rc);
        return;
    }
    if (e->code == UNTOUCHED)
        contact_fault(c, OF_RESULT, RULE_ERROR,
                      "it returned %d (%s) and wrote no error: use host->fail", rc,
                      strerrorname_np(-rc));
    else if (e->code != -rc)
        contact_fault(c, OF_RESULT, RULE_ERROR, "it returned %d and wrote the code %d", rc,
                      e->code);
    else if (len == sizeof e->text || !len)
        contact_fault(c, OF_RESULT, RULE_ERROR, "its text is %s",
                      len ? "not ended by a NUL" : "empty");
    else if (strchr(e->text, '\n') || !is_utf8(e->text, len))
        contact_fault(c, OF_RESULT, RULE_ERROR, "its text is not one line of UTF-8: '%s'",
                      e->text);
    else if (e->text[len - 1] == '.' || is_capitalised(e->text))
        contact_fault(
            c, OF_RESULT, RULE_ERROR,
            "its text does not begin in lower case, or ends with a full stop: '%s'",
            e->text);
}

static void check_result(struct contact *c, int max, int rc)
{
    if (rc < 0)
        check_error(c, rc);
    else if (rc > max)
        contact_fault(c, OF_RESULT, "berth/runtime.h, berth/transport.h",
                      "it returned %d, which has no meaning", rc);
    else if (c->err.code != UNTOUCHED || strcmp(c->err.text, "untouched") != 0)
        contact_fault(c, OF_RESULT, RULE_ERROR,
                      "it returned %d and wrote an error nevertheless: '%.100s'", rc,
                      c->err.text);
    if (c->lender.ctx.host != &c->lender.services)
        contact_fault(c, OF_RESULT, "berth/plugin.h, struct berth_ctx",
                      "it changed ctx->host; only ctx->data is the plugin's");
    c->lender.ctx.host = &c->lender.services;
}

void contact_leave_void(struct contact *c, unsigned may_differ)
{
    int64_t took = now_ms() - c->entered_ms;
    mark_leave();
    if (getpid() != c->pid)
        _exit(0); /* it forked and both came back: the other one sees its child */
    world_take(c->after);
    world_compare(c->base, c->before, c->after, may_differ, differs, c);
    if (c->plugin->desc.transport && took > SLOW_MS)
        contact_fault(c, OF_RESULT, "berth/plugin.h, \"Where callbacks run\"",
                      "it took %lld ms on the event loop: a callback must not block",
                      (long long)took);
}

int contact_leave(struct contact *c, unsigned may_differ, int max, int rc)
{
    contact_leave_void(c, may_differ);
    check_result(c, max, rc);
    return rc;
}

/* ---- load ---- */

/* What is written to stdout and stderr must be seen, and nobody's terminal be in the way. */
static bool give_streams(void)
{
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool good = in >= 0 && dup2(in, 0) == 0;
    for (int fd = 1; good && fd <= 2; fd++) {
        int file = memfd_create("stream", MFD_CLOEXEC);
        good = file >= 0 && dup2(file, fd) == fd;
        close(file);
    }
    if (in > 2)
        close(in);
    return good;
}

static bool load(struct contact *c)
{
    cleanup_free char *real = realpath(c->subject->path, NULL);
    cleanup_close int fd = real ? open(real, O_RDONLY | O_CLOEXEC) : -1;
    struct berth_error err = {0};
    if (fd < 0) {
        expect(false, "berth-plugin(3), CHECKING", "the file can be opened");
        seen("%s: %s", c->subject->path, strerror(errno));
        return false;
    }
    c->current = callee_of(c, "load");
    c->current->calls++;
    world_take(c->before);
    int rc = plugin_load(take_fd(fd), real, &c->plugin, &err);
    if (rc < 0) {
        expect(false, "berth-plugin(3), CHECKING", "berthd loads it");
        seen("%s", err.text);
        return false;
    }
    if (getpid() != c->pid)
        _exit(0);
    world_take(c->after);
    /* The loader keeps the file of the plugin open. */
    world_compare(c->before, c->before, c->after, WORLD_NEW_FDS, differs, c);
    return true;
}

/* The command line is text; only the plugin's table knows which key is a list. */
static void fit_lists(const struct config_keys *keys, const struct berth_option *table)
{
    for (size_t i = 0; i < keys->count; i++) {
        struct config_key *k = (struct config_key *)&keys->items[i];
        const struct berth_option *o = table;
        while (o && o->name && strcmp(o->name, k->name) != 0)
            o++;
        if (!o || !o->name || o->type != BERTH_OPTION_LIST || k->is_list)
            continue;
        const char **values = calloc(ITEMS_MAX + 1, sizeof *values);
        char *rest = values && k->values[0] ? strdup(k->values[0]) : NULL, *item;
        for (size_t n = 0; n < ITEMS_MAX && (item = strsep(&rest, ","));)
            if (*item)
                values[n++] = item;
        k->values = values;
        k->is_list = true;
    }
}

bool contact_load(struct contact *c, enum stage stage, const struct subject *s)
{
    struct berth_error err = {0};
    *c = (struct contact){.subject = s,
                          .stage = stage,
                          .base = world_new(),
                          .before = world_new(),
                          .after = world_new(),
                          .pid = getpid()};
    if (!c->base || !c->before || !c->after || !give_streams() || !load(c))
        return false;
    if (lender_init(&c->lender, c->plugin->desc.runtime != NULL) < 0) {
        expect(false, "", "there is memory for a host");
        return false;
    }
    c->lender.broken = service_broken;
    c->lender.calling = in_loop;
    c->lender.table = c->plugin->desc.options;
    c->lender.task_table = c->plugin->desc.executer_options;
    fit_lists(&s->options, c->lender.table);
    fit_lists(&s->executer_options, c->lender.task_table);
    int rc = options_resolve(c->lender.table, &s->options, "the command line",
                             &c->lender.options, &err);
    if (rc == 0)
        rc = options_resolve(c->lender.task_table, &s->executer_options, "--executer",
                             &c->lender.task_options, &err);
    if (rc == 0 && stage != STAGE_LOAD)
        return true;
    if (expect(rc == 0, "berth-plugin(3), Options", "its options can be resolved"))
        return true;
    seen("%s: give KEY=VALUE after the file, or --executer KEY=VALUE", err.text);
    return false;
}

/* ---- lifecycle ---- */

static unsigned may_differ(const struct contact *c, bool starting)
{
    if (c->plugin->desc.runtime)
        return WORLD_NEW_FDS;
    return WORLD_NEW_FDS | (starting ? WORLD_THREADS : 0);
}

bool contact_open(struct contact *c)
{
    const struct berth_plugin *d = &c->plugin->desc;
    int rc = 0;
    world_take(c->base);
    if (d->open)
        rc = CALL(c, "open", may_differ(c, false), 0, d->open(&c->lender.ctx, &c->err));
    c->is_open = rc == 0;
    if (rc == 0 && d->start)
        rc = CALL(c, "start", may_differ(c, true), 0, d->start(&c->lender.ctx, &c->err));
    c->is_started = rc == 0;
    if (rc == 0 && c->stage != STAGE_OPEN)
        return true;
    if (expect(rc == 0, LIFECYCLE, "it opens and starts with these options"))
        return true;
    seen("%s", c->err.text);
    contact_close(c);
    return false;
}

/* All of what it took: the descriptors and threads are those of before open. */
static void check_given_back(struct contact *c)
{
    int64_t end = now_ms() + GONE_MS;
    world_take(c->after);
    while (world_thread_count(c->after) > 1 && now_ms() < end) {
        lender_serve(&c->lender, 10);
        world_take(c->after);
    }
    if (world_fd_count(c->after) != world_fd_count(c->base))
        contact_fault(c, OF_RESULT, LIFECYCLE,
                      "%zu descriptors were open before 'open', %zu are after 'close'",
                      world_fd_count(c->base), world_fd_count(c->after));
    if (world_thread_count(c->after) > 1)
        contact_fault(c, OF_RESULT, LIFECYCLE, "%zu of its threads still run",
                      world_thread_count(c->after) - 1);
    if (lender_watch_count(&c->lender))
        contact_fault(c, OF_RESULT, LIFECYCLE,
                      "%d watches and timers of its were not removed",
                      lender_watch_count(&c->lender));
}

void contact_close(struct contact *c)
{
    const struct berth_plugin *d = &c->plugin->desc;
    if (!c->is_open)
        return;
    c->is_open = false;
    if (!d->close)
        return;
    contact_enter(c, "close");
    d->close(&c->lender.ctx);
    contact_leave_void(c, WORLD_NEW_FDS | WORLD_THREADS);
    check_given_back(c);
}

/* ---- growth ---- */

void growth_look(struct growth *g, long value)
{
    if (g->count == 4)
        memmove(g->at, g->at + 1, 3 * sizeof g->at[0]);
    else
        g->count++;
    g->at[g->count - 1] = value;
}

bool growth_is_steady(const struct growth *g, long least)
{
    for (int i = 1; i < 4; i++)
        if (g->count < 4 || g->at[i] - g->at[i - 1] < least)
            return false;
    return true;
}

long heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return (long)(m.uordblks + m.hblkhd);
}
