/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The SQL. What is small and changes (tasks) is kept apart from what is large and does not
 * (bodies, results): an update of a state rewrites no payload, and a list reads none.
 *
 * Every query goes by an index. An index of SQLite ends with the rowid, which is seq:
 * tasks_state is (state, seq) and gives the rows of one state in order.
 */
#include "store/rows.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"

enum { SCHEMA = 1, APPLICATION_ID = 0x62727468 /* "brth" */, PURGE_ROWS = 64 };

#define COLUMNS                                                                    \
    "seq, id, state, attempt, failures, losses, slot, priority, tenant, executer," \
    " runtime, transport, cancel, verdict, queued_ms, started_ms, finished_ms,"    \
    " not_before_ms"
enum { COLUMN_COUNT = 18 };

static const char schema_sql[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE tasks(seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,"
    " state INTEGER NOT NULL, attempt INTEGER NOT NULL, failures INTEGER NOT NULL,"
    " losses INTEGER NOT NULL, slot INTEGER NOT NULL, priority INTEGER NOT NULL,"
    " tenant TEXT NOT NULL, executer TEXT NOT NULL, runtime TEXT NOT NULL,"
    " transport TEXT NOT NULL, cancel INTEGER NOT NULL, verdict INTEGER NOT NULL,"
    " queued_ms INTEGER NOT NULL, started_ms INTEGER NOT NULL,"
    " finished_ms INTEGER NOT NULL, not_before_ms INTEGER NOT NULL);"
    "CREATE TABLE bodies(seq INTEGER PRIMARY KEY, task BLOB NOT NULL);"
    "CREATE TABLE results(seq INTEGER PRIMARY KEY, result BLOB NOT NULL);"
    "CREATE INDEX tasks_state ON tasks(state);"
    "CREATE INDEX tasks_tenant ON tasks(tenant);"
    "CREATE INDEX tasks_executer ON tasks(executer);"
    "CREATE INDEX tasks_finished ON tasks(finished_ms) WHERE state = 3;"
    "PRAGMA application_id = 0x62727468;"
    "PRAGMA user_version = 1;"
    "COMMIT;";

enum statement {
    S_INSERT,
    S_INSERT_BODY,
    S_UPDATE,
    S_RESULT,
    S_OLDEST,
    S_DELETE,
    S_DELETE_BODY,
    S_DELETE_RESULT,
    S_COUNT_DONE,
    S_MAX_SEQ,
    S_GET,
    S_BODY,
    S_OPEN,
    S_LIST_ALL,
    S_LIST_STATE,
    S_LIST_TENANT,
    S_LIST_EXECUTER,
    S_COUNT
};

#define LIST(where) \
    "SELECT " COLUMNS " FROM tasks WHERE " where " seq < ?4 ORDER BY seq DESC LIMIT ?5"
#define AND_STATE " AND (?1 < 0 OR state = ?1)"
#define AND_TENANT " AND (?2 IS NULL OR tenant = ?2)"
#define AND_EXECUTER " AND (?3 IS NULL OR executer = ?3)"

static const char *const statements[S_COUNT] = {
    [S_INSERT] = "INSERT INTO tasks(" COLUMNS ")"
                 " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)",
    [S_INSERT_BODY] = "INSERT INTO bodies(seq, task) VALUES(?1, ?2)",
    [S_UPDATE] = "UPDATE tasks SET state=?3, attempt=?4, failures=?5, losses=?6, slot=?7,"
                 " priority=?8, tenant=?9, executer=?10, runtime=?11, transport=?12,"
                 " cancel=?13, verdict=?14, started_ms=?16, finished_ms=?17,"
                 " not_before_ms=?18 WHERE seq=?1",
    [S_RESULT] = "INSERT OR REPLACE INTO results(seq, result) VALUES(?1, ?2)",
    /* Left to itself SQLite takes tasks_state and sorts all that is done. */
    [S_OLDEST] = "SELECT seq, finished_ms FROM tasks INDEXED BY tasks_finished"
                 " WHERE state = 3 ORDER BY finished_ms LIMIT ?1",
    [S_DELETE] = "DELETE FROM tasks WHERE seq = ?1",
    [S_DELETE_BODY] = "DELETE FROM bodies WHERE seq = ?1",
    [S_DELETE_RESULT] = "DELETE FROM results WHERE seq = ?1",
    [S_COUNT_DONE] = "SELECT count(*) FROM tasks WHERE state = 3",
    [S_MAX_SEQ] = "SELECT max(seq) FROM tasks",
    [S_GET] =
        "SELECT " COLUMNS ", (SELECT task FROM bodies b WHERE b.seq = t.seq),"
        " (SELECT result FROM results r WHERE r.seq = t.seq) FROM tasks t WHERE id = ?1",
    [S_BODY] = "SELECT task FROM bodies WHERE seq = ?1",
    /* Three ordered runs of the index, merged: no sort, however many wait. */
    [S_OPEN] = "SELECT " COLUMNS " FROM tasks WHERE state = 0 UNION ALL "
               "SELECT " COLUMNS " FROM tasks WHERE state = 1 UNION ALL "
               "SELECT " COLUMNS " FROM tasks WHERE state = 2 ORDER BY seq",
    [S_LIST_ALL] = LIST(""),
    [S_LIST_STATE] = LIST("state = ?1" AND_TENANT AND_EXECUTER " AND"),
    [S_LIST_TENANT] = LIST("tenant = ?2" AND_STATE AND_EXECUTER " AND"),
    [S_LIST_EXECUTER] = LIST("executer = ?3" AND_STATE " AND"),
};

/* ---- opening ------------------------------------------------------------------------- */

static int rows_check_schema(struct db *d, struct berth_error *err)
{
    char version[32], app[32], tables[32];
    int r = db_ask(d, "PRAGMA user_version", version, err);
    if (r == 0)
        r = db_ask(d, "PRAGMA application_id", app, err);
    if (r == 0)
        r = db_ask(d, "SELECT count(*) FROM sqlite_master", tables, err);
    if (r < 0)
        return r;
    if (atoi(app) == 0 && atoi(version) == 0 && atoi(tables) == 0)
        return db_exec(d, schema_sql, err);
    if (atoi(app) != APPLICATION_ID || atoi(version) < 1)
        return berth_fail(err, EUCLEAN,
                          "'%s' is a database of another program: move it away or set "
                          "another state_dir",
                          db_path(d));
    if (atoi(version) > SCHEMA)
        return berth_fail(err, ENOTSUP,
                          "database '%s' has schema %s, this berthd knows up to %d: "
                          "install the newer berth, or move the file away",
                          db_path(d), version, SCHEMA);
    return 0;
}

static int rows_set_up_writer(struct db *d, struct berth_error *err)
{
    char mode[32];
    int r = db_ask(d, "PRAGMA journal_mode = WAL", mode, err);
    if (r < 0)
        return r;
    if (strcmp(mode, "wal"))
        return berth_fail(err, ENOTSUP,
                          "database '%s': its file system cannot share memory (mode "
                          "'%s'): state_dir must be on a local disk",
                          db_path(d), mode);
    r = db_exec(d,
                "PRAGMA synchronous = FULL; PRAGMA cache_size = -512; PRAGMA mmap_size = 0;"
                "PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 1000;"
                "PRAGMA journal_size_limit = 8388608",
                err);
    return r < 0 ? r : rows_check_schema(d, err);
}

int rows_open_writer(const char *path, struct db **ret, struct berth_error *err)
{
    struct db *d = NULL;
    int r = db_open(path, 5000, statements, S_COUNT, &d, err);
    if (r == 0)
        r = rows_set_up_writer(d, err);
    if (r < 0) {
        db_close(d);
        return r;
    }
    *ret = d;
    return 0;
}

int rows_open_reader(const char *path, struct db **ret, struct berth_error *err)
{
    struct db *d = NULL;
    /* Readers wait only while a crash is being recovered; not for long, as this is the
     * loop. */
    int r = db_open(path, 250, statements, S_COUNT, &d, err);
    if (r == 0)
        r = db_exec(d,
                    "PRAGMA query_only = 1; PRAGMA cache_size = -256; PRAGMA mmap_size = 0;"
                    "PRAGMA temp_store = MEMORY",
                    err);
    if (r < 0) {
        db_close(d);
        return r;
    }
    *ret = d;
    return 0;
}

/* ---- writing ------------------------------------------------------------------------- */

static void bind_row(struct db_query *q, const struct store_row *row)
{
    const int64_t first[] = {row->state,  row->attempt, row->failures,
                             row->losses, row->slot,    row->priority};
    const char *const texts[] = {row->tenant, row->executer, row->runtime, row->transport};
    const int64_t last[] = {row->cancel,     row->verdict,     row->queued_ms,
                            row->started_ms, row->finished_ms, row->not_before_ms};
    int i = 0;
    db_bind_int(q, ++i, row->seq);
    db_bind_text(q, ++i, row->id);
    for (size_t k = 0; k < countof(first); k++)
        db_bind_int(q, ++i, first[k]);
    for (size_t k = 0; k < countof(texts); k++)
        db_bind_text(q, ++i, texts[k]);
    for (size_t k = 0; k < countof(last); k++)
        db_bind_int(q, ++i, last[k]);
}

static int write_blob(struct db *d, size_t statement, int64_t seq, const void *data,
                      size_t len, struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, statement);
    db_bind_int(&q, 1, seq);
    db_bind_blob(&q, 2, data, len);
    return db_step(&q, err);
}

static int write_result(struct db *d, const struct store_row *row, struct berth_error *err)
{
    return row->result
               ? write_blob(d, S_RESULT, row->seq, row->result, row->result_len, err)
               : 0;
}

int rows_insert(struct db *d, const struct store_row *row, struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, S_INSERT);
    bind_row(&q, row);
    int r = db_step(&q, err);
    if (r == -EEXIST)
        return db_was_primary_key(d)
                   ? berth_fail(err, EEXIST, "seq %lld of task '%s' is another task's",
                                (long long)row->seq, row->id)
                   : berth_fail(err, EEXIST, "task '%s' is in the store already", row->id);
    if (r == 0)
        r = write_blob(d, S_INSERT_BODY, row->seq, row->task, row->task_len, err);
    return r < 0 ? r : write_result(d, row, err);
}

int rows_update(struct db *d, const struct store_row *row, struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, S_UPDATE);
    bind_row(&q, row);
    int r = db_step(&q, err);
    if (r < 0)
        return r;
    if (db_changes(d) == 0)
        return berth_fail(err, ENOENT, "no task with seq %lld in the store",
                          (long long)row->seq);
    return write_result(d, row, err);
}

static int64_t read_number(struct db *d, size_t statement)
{
    cleanup_query struct db_query q = db_query(d, statement);
    return db_step(&q, NULL) > 0 ? db_int(&q, 0) : 0;
}

int64_t rows_count_done(struct db *d)
{
    return read_number(d, S_COUNT_DONE);
}

int64_t rows_max_seq(struct db *d)
{
    return read_number(d, S_MAX_SEQ);
}

/* Everywhere that the task is. */
int rows_delete(struct db *d, int64_t seq, struct berth_error *err)
{
    static const size_t deletes[] = {S_DELETE, S_DELETE_BODY, S_DELETE_RESULT};
    for (size_t i = 0; i < countof(deletes); i++) {
        cleanup_query struct db_query q = db_query(d, deletes[i]);
        db_bind_int(&q, 1, seq);
        int r = db_step(&q, err);
        if (r < 0)
            return r;
    }
    return 0;
}

int rows_purge(struct db *d, int64_t before_ms, int64_t *excess, struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, S_OLDEST);
    int64_t seqs[PURGE_ROWS];
    int n = 0, r;
    db_bind_int(&q, 1, PURGE_ROWS);
    while ((r = db_step(&q, err)) > 0 && (db_int(&q, 1) < before_ms || n < *excess))
        seqs[n++] = db_int(&q, 0);
    db_rewind(&q); /* before the rows that it stands on go */
    for (int i = 0; i < n && r >= 0; i++)
        r = rows_delete(d, seqs[i], err);
    if (r < 0)
        return r;
    *excess -= n;
    return n;
}

/* ---- reading ------------------------------------------------------------------------- */

static void read_row(struct db_query *q, struct store_row *row)
{
    *row = (struct store_row){
        .seq = db_int(q, 0),
        .id = db_text(q, 1),
        .state = (int)db_int(q, 2),
        .attempt = (int)db_int(q, 3),
        .failures = (int)db_int(q, 4),
        .losses = (int)db_int(q, 5),
        .slot = (int)db_int(q, 6),
        .priority = (int)db_int(q, 7),
        .tenant = db_text(q, 8),
        .executer = db_text(q, 9),
        .runtime = db_text(q, 10),
        .transport = db_text(q, 11),
        .cancel = db_int(q, 12),
        .verdict = (int)db_int(q, 13),
        .queued_ms = db_int(q, 14),
        .started_ms = db_int(q, 15),
        .finished_ms = db_int(q, 16),
        .not_before_ms = db_int(q, 17),
    };
}

/* NULL stays NULL; an empty blob is not NULL. */
static int copy_blob(struct db_query *q, int i, struct arena *a, const void **ret,
                     size_t *ret_len)
{
    const void *data;
    int64_t len = db_blob(q, i, &data);
    if (len < 0)
        return -ENOMEM;
    if (!data)
        return 0;
    const void *copy = arena_mem(a, data, (size_t)len);
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    *ret_len = (size_t)len;
    return 0;
}

static int copy_texts(struct store_row *row, struct arena *a)
{
    const char **texts[] = {&row->id, &row->tenant, &row->executer, &row->runtime,
                            &row->transport};
    for (size_t i = 0; i < countof(texts); i++)
        if (!(*texts[i] = arena_str(a, *texts[i])))
            return -ENOMEM;
    return 0;
}

int rows_get(struct db *d, const char *id, struct arena *a, struct store_row *ret,
             struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, S_GET);
    db_bind_text(&q, 1, id);
    int r = db_step(&q, err);
    if (r < 0)
        return r;
    if (r == 0)
        return berth_fail(err, ENOENT, "no task '%s'", id);
    struct store_row row;
    read_row(&q, &row);
    if (copy_texts(&row, a) < 0 ||
        copy_blob(&q, COLUMN_COUNT, a, &row.task, &row.task_len) < 0 ||
        copy_blob(&q, COLUMN_COUNT + 1, a, &row.result, &row.result_len) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    *ret = row;
    return 0;
}

int rows_get_task(struct db *d, int64_t seq, struct arena *a, const void **ret_task,
                  size_t *ret_len, struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, S_BODY);
    db_bind_int(&q, 1, seq);
    int r = db_step(&q, err);
    if (r < 0)
        return r;
    if (r == 0)
        return berth_fail(err, ENOENT, "no task with seq %lld in the store",
                          (long long)seq);
    return copy_blob(&q, 0, a, ret_task, ret_len) < 0
               ? berth_fail(err, ENOMEM, "out of memory")
               : 0;
}

/* Calls fn for the row on which q stands, with its body. 1: fn wants no more. */
static int walk_row(struct db *d, struct db_query *q, store_row_fn *fn, void *arg,
                    struct berth_error *err)
{
    struct arena *a cleanup_arena = arena_new();
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    struct store_row row;
    read_row(q, &row);
    int r = rows_get_task(d, row.seq, a, &row.task, &row.task_len, err);
    return r < 0 ? r : fn(arg, &row) != 0;
}

int rows_walk_open(struct db *d, store_row_fn *fn, void *arg, struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, S_OPEN);
    int r;
    while ((r = db_step(&q, err)) > 0) {
        r = walk_row(d, &q, fn, arg, err);
        if (r != 0)
            break;
    }
    return r < 0 ? r : 0;
}

/* Few tasks are starting or running: their state leaves the fewest rows to look at. */
static size_t list_statement(const struct store_filter *f)
{
    if (f->state == STORE_STARTING || f->state == STORE_RUNNING)
        return S_LIST_STATE;
    if (f->tenant)
        return S_LIST_TENANT;
    if (f->executer)
        return S_LIST_EXECUTER;
    return f->state >= 0 ? S_LIST_STATE : S_LIST_ALL;
}

int rows_list(struct db *d, const struct store_filter *f, store_row_fn *fn, void *arg,
              struct berth_error *err)
{
    size_t statement = list_statement(f);
    cleanup_query struct db_query q = db_query(d, statement);
    if (statement != S_LIST_ALL)
        db_bind_int(&q, 1, f->state);
    if (f->tenant)
        db_bind_text(&q, 2, f->tenant);
    if (f->executer)
        db_bind_text(&q, 3, f->executer);
    db_bind_int(&q, 4, f->before_seq > 0 ? f->before_seq : INT64_MAX);
    db_bind_int(&q, 5, f->limit);
    int r;
    while ((r = db_step(&q, err)) > 0) {
        struct store_row row;
        read_row(&q, &row);
        if (fn(arg, &row))
            return 0;
    }
    return r;
}
