/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Taking over what an earlier host left. Three witnesses are heard: the store (what was promised), the attempt directories
 * (a lock that only a living supervisor holds), and the supervisors themselves, who say hello when they find the new socket.
 * Until its fate is certain a task is in limbo: booked, but without a supervisor's
 * connection. It leaves limbo by a hello, or when its lock is free and a worker has swept what was left.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>

#include "base/crash.h"
#include "host/job_int.h"
#include "worker/worker.h"

#define LIMBO_LOOK_MS 500

static char *attempt_path(const struct host *h, const char *id, int attempt,
                          const char *file)
{
    char *path;
    if (asprintf(&path, "%s/" ATTEMPTS_DIR "/%s.%d/%s", h->config->state_dir, id, attempt,
                 file) < 0)
        return NULL;
    return path;
}

bool attempt_alive(struct host *h, const char *id, int attempt)
{
    cleanup_free char *path = attempt_path(h, id, attempt, "lock");
    cleanup_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static int attempt_file(struct host *h, const struct job *j, const char *file,
                        struct arena *a, struct value *ret)
{
    cleanup_free char *path = attempt_path(h, j->id, j->attempt, file);
    cleanup_free char *data = NULL;
    size_t len;
    int rc = path ? read_file(path, WIRE_MAX_BODY, &data, &len) : -ENOMEM;
    return rc < 0 ? rc : value_from_msgpack(a, data, len, &result_limits, ret, NULL);
}

bool adopt_spilled(struct job *j)
{
    cleanup_arena struct arena *a = arena_new();
    struct value result;
    if (j->spilled || !a || attempt_file(j->host, j, "result", a, &result) < 0)
        return false;
    if (value_int(&result, "attempt", 0) != j->attempt)
        return false;
    CRASH_POINT(spilled_taken);
    j->spilled = true;
    job_ended(j, &result);
    return true;
}

void adopt_spilled_done(struct job *j)
{
    cleanup_free char *path = attempt_path(j->host, j->id, j->attempt, "result");
    struct runtime_link *r = host_runtime(j->host, j->item.runtime);
    j->spilled = false;
    CRASH_POINT(spilled_remove);
    if (path)
        unlink(path);
    CRASH_POINT(spilled_removed);
    j->sweep_sent = false;
    if (r)
        runtime_sweep(r, j);
}

static const char **gpu_names(struct arena *a, const struct value *list)
{
    if (!list || list->type != VALUE_ARRAY)
        return NULL;
    const char **names = arena_alloc(a, (list->count + 1) * sizeof *names);
    for (uint32_t i = 0; names && i < list->count; i++)
        names[i] = list->items[i].type == VALUE_STR ? list->items[i].s : "";
    return names;
}

/* Rows are written late, and not at all while the disk is full: who holds a later attempt than the row knows is
 * right. */
bool adopt_is_newer(const struct job *j, int attempt)
{
    return attempt > j->attempt && (job_is_waiting(j) || j->in_limbo);
}

void adopt_in_flight(struct job *j, int attempt, int slot, const struct value *gpus)
{
    struct host *h = j->host;
    cleanup_arena struct arena *a = arena_new();
    struct value task = {0};
    if (j->item.state)
        sched_remove(h->sched, &j->item);
    bool unheard = attempt != j->attempt;
    j->attempt = attempt;
    if (a && (slot < 0 || !gpus) && attempt_file(h, j, "task", a, &task) == 0) {
        slot = slot < 0 ? (int)value_int(&task, "slot", -1) : slot;
        gpus = gpus ? gpus : value_get(&task, "gpus");
    }
    const char **names = a ? gpu_names(a, gpus) : NULL;
    int rc = sched_adopt(h->sched, &j->item, slot, names);
    if (rc == -EEXIST || rc == -EINVAL)
        sched_adopt(h->sched, &j->item, -1,
                    names); /* its slot was given anew, or is none: book it all the same */
    if (job_is_waiting(j) || unheard)
        j->state = JOB_STARTING;
    h->stats.adopted++;
    job_into_limbo(j);
    if (unheard && j->stored) /* before its directory, the only other witness, is swept */
        job_save(j, false, NULL);
}

/* ---- limbo ---- */

static void limbo_look(struct job *j)
{
    if (attempt_alive(j->host, j->id, j->attempt))
        return; /* it will say hello */
    if (adopt_spilled(j))
        return;
    struct runtime_link *r = host_runtime(j->host, j->item.runtime);
    if (r && r->link)
        runtime_sweep(r, j);
    else if (!r && now_ms() - j->limbo_since_ms > j->host->config->adopt_ms)
        job_lost(j, "its runtime is no longer in the config");
}

void adopt_limbo(void *arg)
{
    struct host *h = arg;
    struct job *j, *next;
    DL_FOREACH_SAFE2(h->limbo, j, next, limbo_next)
    limbo_look(j);
    if (h->limbo)
        loop_timer_set(h->limbo_timer, LIMBO_LOOK_MS);
}

/* ---- at start ---- */

/* The config may have changed: a task in flight is kept with what is known, whatever the plan says. */
static int adopt_plan(struct host *h, struct arena *a, const struct store_row *row,
                      const struct task *t, struct plan *p, struct berth_error *err)
{
    int rc = plan_make(h->config, t, a, p, err);
    if (rc == 0)
        return 0;
    struct config_plugin *unknown = arena_alloc(a, sizeof *unknown);
    if (!unknown)
        return -ENOMEM;
    unknown->name = row->runtime;
    *p = (struct plan){.runtime = unknown};
    return rc;
}

static int adopt_row(void *arg, const struct store_row *row)
{
    struct host *h = arg;
    struct berth_error err = {0};
    cleanup_arena struct arena *a = arena_new();
    struct task t;
    struct plan p;
    if (!a || task_decode(a, row->task, row->task_len, BERTH_FORMAT_MSGPACK, SIZE_MAX, &t,
                          &err) < 0) {
        log_line(BERTH_LOG_ERR, row->id, "cannot be read from the store: %s", err.text);
        return 0;
    }
    int rc = adopt_plan(h, a, row, &t, &p, &err);
    struct store_row as = *row;
    if (rc < 0 && as.state == STORE_QUEUED)
        as.state = STORE_STARTING; /* not to be queued: it is refused below */
    struct job *j = job_restore(h, &as, &t, &p);
    if (!j)
        return -ENOMEM;
    if (rc < 0 && row->state == STORE_QUEUED) {
        cleanup_arena struct arena *ra = arena_new();
        struct value result = result_make(ra, j, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER,
                                          "config_changed", err.text);
        job_ended(j, &result);
    } else if (row->state != STORE_QUEUED) {
        adopt_in_flight(j, j->attempt, row->slot, NULL);
    }
    return 0;
}

/* The host died when it had the result and before it removed it: with it, no worker sweeps the directory. */
static void adopt_forget_spilled(struct host *h, const struct job *j, const char *id,
                                 int attempt)
{
    bool waits = j && ((!job_is_waiting(j) && j->attempt == attempt) ||
                       adopt_is_newer(j, attempt));
    cleanup_free char *path = waits ? NULL : attempt_path(h, id, attempt, "result");
    if (path)
        unlink(path);
}

/* Attempts that the store has not heard of yet: the host died between RUN and the write. */
static void adopt_directory(struct host *h, const char *name)
{
    cleanup_free char *id = strdup(name);
    char *dot = id ? strrchr(id, '.') : NULL;
    int64_t attempt;
    if (!dot || parse_int(dot + 1, &attempt) < 0)
        return;
    *dot = '\0';
    struct job *j = job_find(h, id);
    if (j && adopt_is_newer(j, (int)attempt))
        adopt_in_flight(j, (int)attempt, -1, NULL);
    adopt_forget_spilled(h, j, id, (int)attempt);
}

int adopt_all(struct host *h, struct berth_error *err)
{
    cleanup_free char *path = NULL;
    h->next_seq = store_max_seq(h->store) + 1;
    int rc = store_walk_open(h->store, adopt_row, h, err);
    if (rc < 0)
        return rc;
    if (asprintf(&path, "%s/" ATTEMPTS_DIR, h->config->state_dir) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        adopt_directory(h, e->d_name);
    if (dir)
        closedir(dir);
    int waiting = (int)HASH_COUNT(h->jobs);
    if (waiting)
        log_info("took over %d unfinished tasks", waiting);
    return 0;
}

int attempt_found(struct host *h, const char *id)
{
    cleanup_free char *path = NULL;
    size_t len = strlen(id);
    int64_t attempt, found = 0;
    if (asprintf(&path, "%s/" ATTEMPTS_DIR, h->config->state_dir) < 0)
        return 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (!strncmp(e->d_name, id, len) && e->d_name[len] == '.' &&
            parse_int(e->d_name + len + 1, &attempt) == 0 && attempt > found &&
            attempt_alive(h, id, (int)attempt))
            found = attempt;
    if (dir)
        closedir(dir);
    return (int)found;
}

/* ---- a supervisor that nobody knows ---- */

static void adopt_stored(void *arg, int rc, const struct berth_error *err)
{
    struct job *j = arg;
    j->stored = rc == 0;
    if (rc < 0)
        log_line(BERTH_LOG_WARN, j->id, "adopted, but not stored: %s", err->text);
}

struct job *adopt_hello(struct host *h, const struct value *body)
{
    struct berth_error err = {0};
    const struct value *bytes = value_get(body, "task");
    cleanup_arena struct arena *a = arena_new();
    struct store_row row = {.runtime = value_str(body, "runtime", "")};
    struct task t;
    struct plan p;
    int attempt = link_attempt_of(body);
    if (!a || !bytes || bytes->type != VALUE_BIN || !attempt)
        return NULL;
    if (store_get(h->store, value_str(body, "id", ""), a, &row, NULL) == 0 &&
        row.state == STORE_DONE)
        return NULL;
    if (task_decode(a, bytes->s, bytes->len, BERTH_FORMAT_MSGPACK, SIZE_MAX, &t, &err) <
        0) {
        log_line(BERTH_LOG_ERR, value_str(body, "id", "?"),
                 "a supervisor's task is broken: %s", err.text);
        return NULL;
    }
    void *copy = malloc(bytes->len + 1);
    if (!copy || (adopt_plan(h, a, &row, &t, &p, &err) < 0 && !p.runtime)) {
        free(copy);
        return NULL;
    }
    memcpy(copy, bytes->s, bytes->len);
    struct job *j = job_new(h, &t, &p, copy, bytes->len);
    if (!j)
        return NULL;
    j->item.seq = h->next_seq++;
    j->transport = host_intern(h, value_str(body, "transport", ""));
    j->durable = !job_has_source(j); /* what its sender keeps needs no sync here */
    j->queued_ms = past_ms(value_int(body, "queued_ms", -1));
    j->state = JOB_STARTING;
    adopt_in_flight(j, attempt, (int)value_int(body, "slot", -1), value_get(body, "gpus"));
    log_line(BERTH_LOG_INFO, j->id, "adopted from its supervisor");
    job_save(j, j->durable, adopt_stored);
    return j;
}
