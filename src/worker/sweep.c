/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What a dead supervisor left: processes in the cgroup, an instance in the engine, files.
 * Each sweep is the work of a helper, because killing, the plugin and deep trees may all
 * take their time. Every step succeeds when there is nothing to do, so that a sweep may be
 * interrupted and begun again by anyone.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "worker/supervisor_int.h"
#include "worker/worker_int.h"

#define SWEEP_MS 60000
#define SWEEP_AT_ONCE 8
#define KILL_MS 2000
#define AGAIN_MS 1000
#define ORPHANS_MS 20
#define UNNAMED_SECONDS \
    60 /* a directory without a task file is being made, unless it is older */

enum kind { KIND_DEAD, KIND_ASKED, KIND_OTHER };

struct sweep {
    struct worker *w;
    enum kind kind;
    int number, slot, status;
    bool quiet, done, logged;
    struct refusal why; /* verdict 0: gone */
    char text[200];
    char group[80];  /* its dead supervisor's; "": not known */
    bool with_group; /* the helper knows it */
    int lock_fd;     /* keeps others from sweeping the same; -1: there is none */
    struct helper *helper;
    int64_t not_before_ms;
    struct sweep *next;
    char id[];
};

static struct sweep *sweep_find(struct worker *w, const char *id, int number)
{
    struct sweep *s;
    LL_FOREACH (w->sweeps, s)
        if (s->number == number && !strcmp(s->id, id))
            return s;
    return NULL;
}

static struct sweep *sweep_new(struct worker *w, enum kind kind, const char *id, int number,
                               int slot)
{
    struct sweep *s = calloc(1, sizeof *s + strlen(id) + 1);
    if (!s)
        return NULL; /* the host asks again, or the next host does */
    s->w = w;
    s->kind = kind;
    s->number = number;
    s->slot = slot;
    s->lock_fd = -1;
    strcpy(s->id, id);
    LL_APPEND(w->sweeps, s);
    return s;
}

static void sweep_free(struct sweep *s)
{
    LL_DELETE(s->w->sweeps, s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s);
}

/* ---- telling ---- */

static void send_swept(struct worker *w, const char *id, int number, const char *error)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", id);
    value_put_int(a, &body, "attempt", number);
    value_put_bool(a, &body, "ok", !error);
    value_put_str(a, &body, "error", error);
    host_link_send(w->link, FRAME_WORKER_SWEPT, &body);
}

static void send_gone(const struct sweep *s)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", s->id);
    value_put_int(a, &body, "attempt", s->number);
    value_put_int(a, &body, "status", s->status);
    host_link_send(s->w->link, FRAME_WORKER_GONE, &body);
}

/* A dead supervisor is told of as soon as there is a host; the answer to a question only
 * to who asked. */
static void sweep_tell(struct sweep *s)
{
    if (s->kind == KIND_DEAD && !s->quiet && !host_link_is_up(s->w->link))
        return;
    CRASH_POINT(sweep_tell);
    if (s->kind == KIND_ASKED)
        send_swept(s->w, s->id, s->number, NULL);
    else if (s->kind == KIND_DEAD && !s->quiet && s->why.verdict)
        worker_send_refused(s->w, s->id, s->number, &s->why, s->text);
    else if (s->kind == KIND_DEAD && !s->quiet)
        send_gone(s);
    sweep_free(s);
}

void sweep_send_pending(struct worker *w)
{
    struct sweep *s, *next;
    LL_FOREACH_SAFE (w->sweeps, s, next)
        if (s->done)
            sweep_tell(s);
}

/* ---- doing ---- */

static int kill_group(struct runtime *rt, const char *name, struct berth_error *err)
{
    struct cgroup *g;
    int rc = cgroup_find(rt->cgroups, name, &g);
    if (rc < 0) /* none, or nowhere to look */
        return 0;
    rc = cgroup_has_kill(rt->cgroups) ? cgroup_kill(g, KILL_MS) : 0;
    if (rc == 0)
        rc = cgroup_remove(g);
    cgroup_close(g);
    return rc < 0 ? berth_fail_errno(err, -rc, "cgroup '%s' cannot be emptied", name) : 0;
}

/* The one that its record names. Without a record nothing was begun. */
static int kill_group_of(struct runtime *rt, const char *dir, struct berth_error *err)
{
    struct value record;
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    if (attempt_record_read(dir, a, &record) < 0)
        return 0;
    return kill_group(rt, value_str(&record, "group", ""), err);
}

/* What the supervisor kept from attempt to attempt. It may have died before this one had its
 * directory, or after it had left it. */
static int kill_kept(struct runtime *rt, const char *group, struct berth_error *err)
{
    if (!*group)
        return 0;
    int rc = kill_group(rt, group, err);
    attempt_spare_remove(rt->config, group);
    return rc;
}

static int kill_all(struct runtime *rt, const char *dir, const char *instance,
                    struct berth_error *err)
{
    int rc = kill_group_of(rt, dir, err);
    if (rc == 0 && attempt_witness_kill(dir, KILL_MS) < 0)
        rc = berth_fail(err, EBUSY, "its payload resists SIGKILL");
    if (rc == 0 && rt->plugin && rt->plugin->runtime.cleanup)
        rc = rt->plugin->runtime.cleanup(&rt->ctx, instance, err);
    return rc;
}

static int sweep_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct sweep *s = arg;
    struct runtime *rt = &s->w->rt;
    char instance[64];
    uid_t uid;
    gid_t gid;
    (void)out;
    attempt_instance(rt->config, s->id, s->number, instance);
    cleanup_free char *dir = attempt_dir_path(rt->config, s->id, s->number);
    if (!dir)
        return berth_fail(err, ENOMEM, "out of memory");
    CRASH_POINT(sweep_begun);
    int rc = kill_all(rt, dir, instance, err);
    if (rc == 0)
        rc = kill_kept(rt, s->group, err);
    CRASH_POINT(sweep_killed);
    if (rc < 0)
        return rc;
    attempt_work_owner(dir, &uid, &gid);
    rc = attempt_dir_remove(dir, uid, gid);
    CRASH_POINT(sweep_removed);
    return rc < 0 ? berth_fail_errno(err, -rc, "cannot remove '%s'", dir) : 0;
}

static void sweep_failed(struct sweep *s, const struct berth_error *err)
{
    if (!s->logged)
        log_line(BERTH_LOG_WARN, s->id, "cannot sweep what is left of attempt %d%s: %s",
                 s->number, s->kind == KIND_DEAD ? ", trying on" : "", err->text);
    s->logged = true;
    if (s->kind == KIND_DEAD) { /* its resources stay booked until nothing of it runs */
        s->not_before_ms = now_ms() + AGAIN_MS;
        loop_timer_set(s->w->sweep_timer, AGAIN_MS);
        return;
    }
    if (s->kind == KIND_ASKED)
        send_swept(s->w, s->id, s->number, err->text);
    sweep_free(s);
}

static void swept(void *arg, const struct helper_end *end)
{
    struct sweep *s = arg;
    struct worker *w = s->w;
    bool other = s->kind == KIND_OTHER;
    s->helper = NULL;
    w->sweeping--;
    if (end->rc < 0) {
        sweep_failed(s, &end->err);
    } else if (s->group[0] && !s->with_group) {
        s->not_before_ms = 0; /* once more: it became known meanwhile */
    } else {
        s->done = true;
        sweep_tell(s);
    }
    if (other && !w->sweeping)
        sweep_all_idle(w);
    sweep_turn(w);
}

static void sweep_begin(struct sweep *s)
{
    struct berth_error err = {0};
    struct worker *w = s->w;
    s->with_group = s->group[0];
    if (helper_start(&w->rt, w->loop, SWEEP_MS, sweep_work, s, swept, s, &s->helper, &err) <
        0)
        sweep_failed(s, &err);
    else
        w->sweeping++;
}

/* Where there are no cgroups, descendants of a dead supervisor are now our children. */
static bool orphans_left(struct worker *w)
{
    if (cgroup_has_kill(w->rt.cgroups) || orphans_kill(worker_owns_pid, w) == 0)
        return false;
    loop_timer_set(w->sweep_timer, ORPHANS_MS);
    return true;
}

void sweep_turn(void *arg)
{
    struct worker *w = arg;
    struct sweep *s, *next;
    int64_t now = now_ms();
    if (!w->sweeps || orphans_left(w))
        return;
    LL_FOREACH_SAFE (w->sweeps, s, next)
        if (!s->done && !s->helper && s->not_before_ms <= now &&
            w->sweeping < SWEEP_AT_ONCE)
            sweep_begin(s);
}

/* ---- idle supervisors ---- */

void sweep_idle(struct worker *w, const char *name)
{
    struct cgroup *g;
    attempt_spare_remove(w->rt.config, name);
    if (cgroup_find(w->rt.cgroups, name, &g) < 0)
        return;
    cgroup_remove(g); /* fails if it is in use */
    cgroup_close(g);
}

/* Names of groups that an attempt, or a supervisor of this worker, stands for. */
struct name {
    UT_hash_handle hh;
    char text[];
};

struct idle_sweep {
    struct worker *w;
    struct name *used;
    bool blind; /* not all of them are known */
};

static void use_name(struct idle_sweep *is, const char *text)
{
    struct name *n;
    HASH_FIND_STR(is->used, text, n);
    if (n)
        return;
    n = calloc(1, sizeof *n + strlen(text) + 1);
    if (!n) {
        is->blind = true;
        return;
    }
    strcpy(n->text, text);
    HASH_ADD_STR(is->used, text, n);
}

static void use_attempt(void *arg, const char *dir, const char *id, int number)
{
    struct idle_sweep *is = arg;
    struct value record;
    cleanup_arena struct arena *a = arena_new();
    (void)id;
    (void)number;
    if (a && attempt_record_read(dir, a, &record) == 0)
        use_name(is, value_str(&record, "group", ""));
    else
        is->blind = true;
}

static void idle_found(void *arg, const char *name)
{
    struct idle_sweep *is = arg;
    const char *runtime = is->w->rt.block->name;
    size_t len = strlen(runtime);
    struct name *n;
    if (is->blind || strncmp(name, runtime, len) != 0 || name[len] != '.')
        return;
    HASH_FIND_STR(is->used, name, n);
    if (!n)
        sweep_idle(is->w, name);
}

void sweep_all_idle(struct worker *w)
{
    struct idle_sweep is = {.w = w};
    struct name *n, *next;
    for (const struct child *c = w->children; c; c = c->hh.next)
        use_name(&is, c->seat->group);
    attempt_each(w->rt.config, use_attempt, &is);
    cgroup_each(w->rt.cgroups, idle_found, &is);
    attempt_spare_each(w->rt.config, idle_found, &is);
    HASH_ITER (hh, is.used, n, next) {
        HASH_DEL(is.used, n);
        free(n);
    }
}

/* ---- reasons ---- */

void sweep_dead(struct worker *w, const char *id, int number, int slot, const char *group,
                int status, const struct refusal *why, const char *text, bool quiet)
{
    cleanup_free char *dir = attempt_dir_path(w->rt.config, id, number);
    struct sweep *s =
        sweep_find(w, id, number) ?: sweep_new(w, KIND_DEAD, id, number, slot);
    if (!s)
        return;
    snprintf(s->group, sizeof s->group, "%s", group);
    s->kind = KIND_DEAD;
    s->status = status;
    s->quiet = quiet;
    snprintf(s->text, sizeof s->text, "%s", text);
    if (why)
        s->why = *why;
    if (dir &&
        attempt_dir_has(
            dir, "result")) { /* told by the file, which the host reads before it sweeps */
        s->why.verdict = BERTH_VERDICT_NONE;
        s->done = true;
        sweep_tell(s);
        return;
    }
    sweep_turn(w);
}

void sweep_asked(struct worker *w, const struct value *body)
{
    CRASH_POINT(sweep_taken);
    const char *id = value_str(body, "id", "");
    int number = (int)value_int(body, "attempt", 0);
    if (!is_task_id(id, strlen(id)) || number < 1)
        return;
    struct sweep *s = sweep_find(w, id, number);
    if (s) { /* at work already; who asks gets an answer */
        s->kind = s->kind == KIND_OTHER ? KIND_ASKED : s->kind;
        return;
    }
    cleanup_free char *dir = attempt_dir_path(w->rt.config, id, number);
    int lock = dir ? attempt_dir_lock(dir) : -ENOMEM;
    if (lock < 0 && lock != -ENOENT) {
        send_swept(w, id, number,
                   lock == -EWOULDBLOCK ? "its supervisor lives"
                                        : "its lock cannot be taken");
        return;
    }
    s = sweep_new(w, KIND_ASKED, id, number, (int)value_int(body, "slot", -1));
    if (s)
        s->lock_fd = lock >= 0 ? lock : -1;
    else if (lock >= 0)
        close(lock);
    sweep_turn(w);
}

struct others {
    struct worker *w;
    const struct value *keep;
};

static bool is_kept(const struct others *o, const char *id, int number)
{
    for (uint32_t i = 0; o->keep && o->keep->type == VALUE_ARRAY && i < o->keep->count; i++)
        if (value_int(&o->keep->items[i], "attempt", 0) == number &&
            !strcmp(value_str(&o->keep->items[i], "id", ""), id))
            return true;
    return false;
}

/* Ours to sweep: it names our runtime, or nothing at all, and is not just being made. */
static bool is_ours(const struct worker *w, const char *dir, int *ret_slot)
{
    struct stat st;
    struct value record;
    cleanup_arena struct arena *a = arena_new();
    *ret_slot = -1;
    if (!a)
        return false;
    if (attempt_record_read(dir, a, &record) < 0)
        return stat(dir, &st) == 0 && unix_ms() / 1000 - st.st_mtime > UNNAMED_SECONDS;
    *ret_slot = (int)value_int(&record, "slot", -1);
    return !strcmp(value_str(&record, "runtime", ""), w->rt.block->name);
}

static void other_found(void *arg, const char *dir, const char *id, int number)
{
    struct others *o = arg;
    int slot;
    if (is_kept(o, id, number) || worker_has_child(o->w, id, number) ||
        sweep_find(o->w, id, number) || attempt_dir_has(dir, "result"))
        return;
    int lock = attempt_dir_lock(dir);
    if (lock < 0 && lock != -ENOENT)
        return;
    struct sweep *s =
        is_ours(o->w, dir, &slot) ? sweep_new(o->w, KIND_OTHER, id, number, slot) : NULL;
    if (s)
        s->lock_fd = lock >= 0 ? lock : -1;
    else if (lock >= 0)
        close(lock);
}

void sweep_others(struct worker *w, const struct value *body)
{
    struct others o = {w, value_get(body, "keep")};
    attempt_each(w->rt.config, other_found, &o);
    sweep_turn(w);
}
