/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The loop's side of the store: opens it, hands calls to the writer, calls back, reads. */
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>

#include "base/crash.h"
#include "base/fail.h"
#include "store/rows.h"
#include "store/writer.h"

struct store {
    struct loop_io *io;
    int lock_fd, event_fd;
    struct db *reader;   /* the loop's */
    struct db *write_db; /* the writer's */
    struct writer *writer;
};

static void store_on_finished(void *arg, uint32_t events)
{
    struct store *s = arg;
    eventfd_t n;
    (void)events;
    eventfd_read(s->event_fd, &n);
    struct call_list finished = writer_take_finished(s->writer);
    struct call *c;
    while ((c = call_list_pop(&finished))) {
        CRASH_POINT(commit_told);
        c->done(c->arg, c->rc, &c->err);
        free(c);
    }
}

static const void *pack(char **at, const void *data, size_t len)
{
    if (!data)
        return NULL;
    char *copy = *at;
    if (len > 0)
        memcpy(copy, data, len);
    *at += len;
    return copy;
}

/* A copy of the row in one block, without the task where that is not written. */
static struct call *call_new(const struct store_row *row, enum call_kind kind)
{
    struct store_row copy = *row;
    const char **texts[] = {&copy.id, &copy.tenant, &copy.executer, &copy.runtime,
                            &copy.transport};
    size_t size = sizeof(struct call) + copy.result_len;
    if (kind != CALL_INSERT) {
        copy.task = NULL;
        copy.task_len = 0;
    }
    size += copy.task_len;
    for (size_t i = 0; i < countof(texts); i++) {
        if (!*texts[i])
            *texts[i] = "";
        size += strlen(*texts[i]) + 1;
    }
    struct call *c = malloc(size);
    if (!c)
        return NULL;
    *c = (struct call){.kind = kind};
    char *at = c->data;
    for (size_t i = 0; i < countof(texts); i++)
        *texts[i] = pack(&at, *texts[i], strlen(*texts[i]) + 1);
    copy.task = pack(&at, copy.task, copy.task_len);
    copy.result = pack(&at, copy.result, copy.result_len);
    c->row = copy;
    return c;
}

static void call_check(struct call *c)
{
    if (c->row.seq <= 0)
        c->rc = berth_fail(&c->err, EINVAL, "task '%s' has no seq", c->row.id);
    else if (c->kind == CALL_INSERT && !*c->row.id)
        c->rc = berth_fail(&c->err, EINVAL, "a task without id cannot be stored");
    else if (c->row.state < STORE_QUEUED || c->row.state > STORE_DONE)
        c->rc =
            berth_fail(&c->err, EINVAL, "task '%s': no state %d", c->row.id, c->row.state);
}

static void store_hand_over(struct store *s, const struct store_row *row,
                            enum call_kind kind, bool sync, store_done_fn *done, void *arg)
{
    struct call *c = call_new(row, kind);
    if (!c) {
        struct berth_error err;
        int r = berth_fail(&err, ENOMEM, "out of memory");
        if (!done)
            abort(); /* crash-only: a change that nobody waits for must not be forgotten */
        done(arg, r, &err);
        return;
    }
    c->sync = sync;
    c->done = done;
    c->arg = arg;
    call_check(c);
    writer_add(s->writer, c);
}

void store_insert(struct store *s, const struct store_row *row, bool sync,
                  store_done_fn *done, void *arg)
{
    store_hand_over(s, row, CALL_INSERT, sync, done, arg);
}

void store_update(struct store *s, const struct store_row *row, bool sync,
                  store_done_fn *done, void *arg)
{
    store_hand_over(s, row, CALL_UPDATE, sync, done, arg);
}

void store_delete(struct store *s, int64_t seq)
{
    struct store_row row = {.seq = seq};
    store_hand_over(s, &row, CALL_DELETE, false, NULL, NULL);
}

void store_purge(struct store *s, int64_t before_ms, int64_t keep_count)
{
    writer_purge(s->writer, before_ms, keep_count);
}

size_t store_backlog(const struct store *s)
{
    return writer_backlog(s->writer);
}

uint64_t store_commits(const struct store *s)
{
    return writer_commits(s->writer);
}

int store_get(struct store *s, const char *id, struct arena *a, struct store_row *ret,
              struct berth_error *err)
{
    if (!id || !a || !ret)
        return berth_fail(err, EINVAL, "store_get: id, arena and ret are needed");
    return rows_get(s->reader, id, a, ret, err);
}

int store_get_task(struct store *s, int64_t seq, struct arena *a, const void **ret_task,
                   size_t *ret_len, struct berth_error *err)
{
    if (!a || !ret_task || !ret_len)
        return berth_fail(err, EINVAL,
                          "store_get_task: arena, ret_task and ret_len are needed");
    return rows_get_task(s->reader, seq, a, ret_task, ret_len, err);
}

int store_walk_open(struct store *s, store_row_fn *fn, void *arg, struct berth_error *err)
{
    if (!fn)
        return berth_fail(err, EINVAL, "store_walk_open: fn is needed");
    return rows_walk_open(s->reader, fn, arg, err);
}

int store_list(struct store *s, const struct store_filter *f, store_row_fn *fn, void *arg,
               struct berth_error *err)
{
    if (!f || !fn)
        return berth_fail(err, EINVAL, "store_list: filter and fn are needed");
    if (f->limit <= 0 || f->state > STORE_DONE || f->before_seq < 0)
        return berth_fail(err, EINVAL,
                          "limit must be above 0, state at most %d and before_seq not "
                          "negative",
                          STORE_DONE);
    return rows_list(s->reader, f, fn, arg, err);
}

int64_t store_max_seq(struct store *s)
{
    return rows_max_seq(s->reader);
}

/* ---- opening and closing ------------------------------------------------------------- */

static int open_in(const char *dir, const char *name, char *path, size_t size,
                   struct berth_error *err)
{
    if ((size_t)snprintf(path, size, "%s/%s", dir, name) >= size)
        return berth_fail(err, ENAMETOOLONG, "state directory '%.100s…': name too long",
                          dir);
    /* Tasks may carry secrets; SQLite gives its other files the mode of this one. */
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd >= 0 ? fd : berth_fail_errno(err, errno, "cannot open '%s'", path);
}

static int store_lock(struct store *s, const char *dir, struct berth_error *err)
{
    char path[4096], pid[32];
    int fd cleanup_close = open_in(dir, "store.lock", path, sizeof(path), err);
    if (fd < 0)
        return fd;
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        int code = errno;
        ssize_t n = code == EWOULDBLOCK ? pread(fd, pid, sizeof(pid) - 1, 0) : -1;
        if (n < 0)
            return berth_fail_errno(err, code, "cannot lock '%s'", path);
        pid[n] = '\0';
        return berth_fail(err, code,
                          "state directory '%s' is in use by process %d: stop it, or set "
                          "another state_dir",
                          dir, atoi(pid));
    }
    int len = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    /* Only for the message above: a full disk must not keep the store from opening. */
    if (ftruncate(fd, 0) == 0 && pwrite(fd, pid, (size_t)len, 0) < 0)
        pid[0] = '\0';
    s->lock_fd = take_fd(fd);
    return 0;
}

static int store_open_file(struct store *s, const char *dir, struct berth_error *err)
{
    char path[4096];
    int fd cleanup_close = open_in(dir, "berth.db", path, sizeof(path), err);
    if (fd < 0)
        return fd;
    int dir_fd cleanup_close = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || fsync(dir_fd) < 0)
        return berth_fail_errno(err, errno, "cannot sync '%s'", dir);
    close(take_fd(fd)); /* later, it would drop SQLite's locks on the file */
    int r = rows_open_writer(path, &s->write_db, err);
    return r < 0 ? r : rows_open_reader(path, &s->reader, err);
}

static int store_start(struct store *s, struct loop *l, struct berth_error *err)
{
    s->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->event_fd < 0)
        return berth_fail_errno(err, errno, "cannot make an eventfd");
    s->io = loop_io_add(l, s->event_fd, EPOLLIN, store_on_finished, s);
    if (!s->io)
        return berth_fail_errno(err, errno, "cannot watch an eventfd");
    return writer_new(s->write_db, s->event_fd, &s->writer, err);
}

int store_open(const char *dir, struct loop *l, struct store **ret, struct berth_error *err)
{
    if (!dir || !*dir || !l || !ret)
        return berth_fail(err, EINVAL, "store_open: dir, loop and ret are needed");
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return berth_fail(err, ENOMEM, "out of memory");
    s->lock_fd = s->event_fd = -1;
    int r = store_lock(s, dir, err);
    if (r == 0)
        r = store_open_file(s, dir, err);
    if (r == 0)
        r = store_start(s, l, err);
    if (r < 0) {
        store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    writer_free(s->writer);
    loop_io_remove(&s->io);
    db_close(s->reader);
    db_close(s->write_db); /* the last one to close moves the log to the database file */
    if (s->event_fd >= 0)
        close(s->event_fd);
    if (s->lock_fd >= 0)
        close(s->lock_fd); /* last: now another process may open it */
    free(s);
}
