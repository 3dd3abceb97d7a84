/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* RUN: from the frame to a supervisor, and what its end means. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <utlist.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "worker/worker_int.h"

#define SEATS 256 /* in a block */

void worker_send_refused(struct worker *w, const char *id, int number,
                         const struct refusal *why, const char *text)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = refusal_value(a, id, number, why, text);
    host_link_send(w->link, FRAME_WORKER_REFUSED, &body);
}

bool worker_has_child(const struct worker *w, const char *id, int number)
{
    for (const struct child *c = w->children; c; c = c->hh.next)
        if (c->seat->number == number && !strcmp(c->seat->id, id))
            return true;
    return false;
}

bool worker_owns_pid(void *arg, pid_t pid)
{
    const struct worker *w = arg;
    struct child *c;
    HASH_FIND_INT(w->children, &pid, c);
    return c || helper_has_pid(pid);
}

/* ---- the start ---- */

/*
 * Seats are had by the block: a mapping for each would make every further fork dearer. A
 * block stays for as long as the worker does.
 */
static int seats_add(struct worker *w)
{
    size_t room = w->seat_count + SEATS;
    struct seat **grown = reallocarray(w->free_seats, room, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    w->free_seats = grown;
    struct seat *block = mmap(NULL, SEATS * sizeof *block, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED)
        return -errno;
    w->seat_count = room;
    for (size_t i = SEATS; i-- > 0;)
        w->free_seats[w->free_count++] = &block[i];
    return 0;
}

static struct child *child_new(struct worker *w, struct attempt *at)
{
    char id[27];
    struct child *c = calloc(1, sizeof *c);
    if (!c || (!w->free_count && seats_add(w) < 0)) {
        free(c);
        return NULL;
    }
    c->seat = w->free_seats[--w->free_count];
    *c->seat = (struct seat){.slot = at->slot, .worker = getpid()};
    make_ulid(id);
    snprintf(c->seat->group, sizeof c->seat->group, "%s.%s", w->rt.block->name, id);
    seat_take(c->seat, at);
    return c;
}

static void child_free(struct worker *w, struct child *c)
{
    w->free_seats[w->free_count++] = c->seat;
    free(c);
}

_Noreturn static void become_supervisor(struct worker *w, struct attempt *at,
                                        struct seat *seat)
{
    sigset_t none;
    CRASH_ROLE(CRASH_SUPERVISOR);
    CRASH_POINT(supervisor_begun);
    sigemptyset(&none);
    host_link_free_after_fork(w->link);
    loop_free_after_fork(w->loop);
    helpers_forget();
    close(w->monitor_fd);
    mark_use(NULL); /* that one is the worker's */
    sigprocmask(SIG_SETMASK, &none, NULL);
    supervisor_main(&w->rt, at, seat);
}

static int fork_child(struct worker *w, struct attempt *at, struct child *c,
                      struct berth_error *err)
{
    CRASH_POINT(dir_make);
    int rc = attempt_dir_make(at, &w->rt, err);
    if (rc < 0)
        return rc;
    CRASH_POINT(supervisor_fork);
    c->pid = fork();
    if (c->pid == 0)
        become_supervisor(w, at, c->seat);
    CRASH_POINT(supervisor_forked);
    if (c->pid < 0) {
        rc = berth_fail_errno(err, errno, "fork");
        attempt_dir_remove(at->dir, (uid_t)-1, (gid_t)-1);
    }
    return rc;
}

static int fork_supervisor(struct worker *w, struct attempt *at, struct berth_error *err)
{
    struct child *c = child_new(w, at);
    int rc = c ? fork_child(w, at, c, err)
               : berth_fail(err, ENOMEM, "no memory for a supervisor");
    if (rc == 0)
        HASH_ADD_INT(w->children, pid, c);
    else if (c)
        child_free(w, c);
    return rc;
}

/* The directory is there already: the host repeats itself, or something is left that
 * nobody swept. */
static void run_again(struct worker *w, const struct attempt *at)
{
    static const struct refusal left = {BERTH_VERDICT_LOST, BERTH_BLAME_NODE, "left_over"};
    int lock = attempt_dir_lock(at->dir);
    if (lock == -EWOULDBLOCK || worker_has_child(w, at->id, at->number))
        return; /* it runs; its supervisor speaks for itself */
    if (lock >= 0)
        close(lock);
    sweep_dead(w, at->id, at->number, at->slot, "", 0, &left,
               "an earlier supervisor of the same attempt had left its directory", false);
}

static void fork_one(struct worker *w, struct attempt *at)
{
    static const struct refusal node = {BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE,
                                        "start"};
    struct berth_error err = {0};
    int rc = fork_supervisor(w, at, &err);
    if (rc == -EEXIST)
        run_again(w, at);
    else if (rc < 0)
        worker_send_refused(w, at->id, at->number, &node, err.text);
}

/* At the end of the turn, when the buffers that the frame came in are gone: a supervisor
 * has to be small. */
void worker_fork_all(void *arg)
{
    struct worker *w = arg;
    for (struct run *r; (r = w->runs);) {
        LL_DELETE(w->runs, r);
        struct attempt *at = r->at;
        free(r);
        fork_one(w, at);
        attempt_free(at);
    }
}

void worker_run(struct worker *w, const struct value *body)
{
    struct berth_error err = {0};
    struct refusal why;
    struct attempt *at = NULL;
    CRASH_POINT(run_taken);
    struct run *r = calloc(1, sizeof *r);
    int rc = r ? attempt_new(&w->rt, body, &at, &why, &err)
               : berth_fail(&err, ENOMEM, "out of memory");
    if (rc < 0) {
        if (!r)
            why = (struct refusal){BERTH_VERDICT_RUNTIME_ERROR, BERTH_BLAME_NODE,
                                   "out_of_memory"};
        worker_send_refused(w, value_str(body, "id", ""),
                            (int)value_int(body, "attempt", 0), &why, err.text);
        free(r);
        return;
    }
    if (worker_answer(w, at)) {
        attempt_free(at);
        free(r);
        return;
    }
    r->at = at;
    LL_APPEND(w->runs, r);
    loop_defer_run(w->fork_defer);
}

/* ---- the end ---- */

static bool is_plugins_doing(int status)
{
    if (WIFEXITED(status))
        return WEXITSTATUS(status) != SUPERVISOR_FAILED;
    switch (WTERMSIG(status)) {
    case SIGALRM: /* only set around the plugin's `command` */
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
    case SIGABRT:
    case SIGSYS:
        return true;
    default:
        return false;
    }
}

static void describe(const struct worker *w, int status, char *text, size_t len)
{
    const char *plugin = w->rt.block->plugin;
    if (WIFEXITED(status))
        snprintf(text, len,
                 "plugin '%s' ended its supervisor with exit status %d in 'command'",
                 plugin, WEXITSTATUS(status));
    else if (WTERMSIG(status) == SIGALRM)
        snprintf(text, len, "plugin '%s' did not return from 'command' in time", plugin);
    else
        snprintf(
            text, len,
            "the supervisor crashed with signal %d (%s), in 'command' of plugin '%s' or "
            "because of it",
            WTERMSIG(status), strsignal(WTERMSIG(status)), plugin);
}

static void child_ended(struct worker *w, const struct seat *seat, int status)
{
    static const struct refusal crash = {BERTH_VERDICT_PLUGIN_ERROR, BERTH_BLAME_RUNTIME,
                                         "plugin_crashed"};
    char text[200] = "its supervisor died";
    CRASH_POINT(supervisor_ended);
    if (!seat->number) {
        sweep_idle(w, seat->group);
        return;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == SUPERVISOR_UNCLEAN) {
        sweep_dead(w, seat->id, seat->number, seat->slot, seat->group, status, NULL, "",
                   true);
        return;
    }
    bool spilled = WIFEXITED(status) && WEXITSTATUS(status) == SUPERVISOR_SPILLED;
    bool plugin = !spilled && is_plugins_doing(status);
    if (plugin)
        describe(w, status, text, sizeof text);
    if (!spilled)
        log_line(BERTH_LOG_WARN, seat->id, "%s (wait status 0x%x)", text, (unsigned)status);
    sweep_dead(w, seat->id, seat->number, seat->slot, seat->group, status,
               plugin ? &crash : NULL, text, false);
}

static void reaped(struct worker *w, pid_t pid, int status)
{
    struct child *c;
    HASH_FIND_INT(w->children, &pid, c);
    if (!c) {
        helper_reaped(pid, status); /* or an orphan of a supervisor that died */
        return;
    }
    HASH_DEL(w->children, c);
    child_ended(w, c->seat, status);
    child_free(w, c);
}

/* A supervisor leads a process group, in which there is nobody else unless the plugin forked in `command`. As long
 * as it is not reaped the number is nobody else's. False: none has ended. */
static bool reap_one(struct worker *w, idtype_t which, pid_t pid)
{
    int status;
    struct child *c;
    siginfo_t info = {.si_pid = 0};
    if (waitid(which, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
        return false;
    pid = info.si_pid;
    HASH_FIND_INT(w->children, &pid, c);
    if (c)
        kill(-pid, SIGKILL);
    if (waitpid(pid, &status, 0) == pid)
        reaped(w, pid, status);
    return true;
}

void worker_reap(struct worker *w, pid_t pid)
{
    reap_one(w, P_PID, pid);
}

void worker_reap_all(void *arg)
{
    struct worker *w = arg;
    w->reap_due = false;
    while (reap_one(w, P_ALL, 0))
        ;
}
