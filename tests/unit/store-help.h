/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the tests of the store share: a loop, calls and waiting for them, directories. */
#ifndef TESTS_UNIT_STORE_HELP_H
#define TESTS_UNIT_STORE_HELP_H

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "store/store.h"
#include "tests/tap.h"

static struct loop *loop;
static char top[64]; /* directory that all stores of this test are below */

static int pending; /* calls whose done has not run */

struct outcome {
    int rc;
    int order; /* how many were done before it */
    char text[252];
};
static int done_count;

static inline void on_done(void *arg, int rc, const struct berth_error *err)
{
    struct outcome *o = arg;
    *o = (struct outcome){.rc = rc, .order = done_count++};
    snprintf(o->text, sizeof(o->text), "%s", rc < 0 ? err->text : "");
    if (--pending == 0)
        loop_stop(loop);
}

static inline void wait_all(void)
{
    while (pending > 0)
        loop_run(loop);
}

static inline struct store_row row_of(int64_t seq, const char *id)
{
    return (struct store_row){.seq = seq,
                              .id = id,
                              .slot = -1,
                              .tenant = "t",
                              .executer = "e",
                              .runtime = "process",
                              .transport = "http",
                              .queued_ms = 1000 + seq,
                              .task = "task",
                              .task_len = 4};
}

static inline void insert(struct store *s, const struct store_row *row, bool sync,
                          struct outcome *o)
{
    pending++;
    store_insert(s, row, sync, on_done, o);
}

static inline int insert_now(struct store *s, const struct store_row *row)
{
    struct outcome o;
    insert(s, row, true, &o);
    wait_all();
    return o.rc;
}

static inline struct outcome update_now(struct store *s, const struct store_row *row)
{
    struct outcome o;
    pending++;
    store_update(s, row, true, on_done, &o);
    wait_all();
    return o;
}

/* Runs the loop until the condition holds; false after 20 s. */
static struct {
    bool (*holds)(void *arg);
    void *arg;
    int turns;
    struct loop_timer *timer;
} until;

static inline void until_tick(void *arg)
{
    (void)arg;
    if (until.holds(until.arg) || ++until.turns > 4000)
        loop_stop(loop);
    else
        loop_timer_set(until.timer, 5);
}

static inline bool run_until(bool (*holds)(void *arg), void *arg)
{
    until.holds = holds;
    until.arg = arg;
    until.turns = 0;
    until.timer = loop_timer_add(loop, 0, until_tick, NULL);
    loop_run(loop);
    loop_timer_remove(&until.timer);
    return holds(arg);
}

static inline bool is_written(void *store)
{
    return store_backlog(store) == 0;
}

static inline char *path_in(const char *dir, const char *name)
{
    static char path[2][512];
    static int turn;
    char *p = path[turn ^= 1];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static inline void new_dir(char dir[128])
{
    static int n;
    snprintf(dir, 128, "%s/%d", top, ++n);
    if (mkdir(dir, 0700) < 0)
        abort();
}

static inline void remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            unlink(path_in(dir, e->d_name));
    if (d)
        closedir(d);
    rmdir(dir);
}

static inline struct store *open_in(const char *dir)
{
    struct store *s = NULL;
    struct berth_error err = {0};
    if (store_open(dir, loop, &s, &err) < 0) {
        printf("# %s\n", err.text);
        return NULL;
    }
    return s;
}

static inline int get_rc(struct store *s, const char *id)
{
    struct arena *a cleanup_arena = arena_new();
    struct store_row row;
    return store_get(s, id, a, &row, NULL);
}

static inline bool help_init(void)
{
    snprintf(top, sizeof(top), "/tmp/berth-test-store.XXXXXX");
    return mkdtemp(top) && (loop = loop_new());
}

static inline void help_fini(void)
{
    loop_free(loop);
    ok(rmdir(top) == 0, "nothing is left behind");
}

#endif
