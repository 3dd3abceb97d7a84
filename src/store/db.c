/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* SQLite under our own errors. The only file that names it. */
#include "store/db.h"

#include <errno.h>
#include <sqlite3.h>
#include <string.h>

#include "base/fail.h"

enum { DB_BEGIN, DB_COMMIT, DB_OWN }; /* statements of this file, behind the caller's */

static const char *const own_sql[DB_OWN] = {
    [DB_BEGIN] =
        "BEGIN IMMEDIATE", /* whoever keeps us out does so here and nowhere later */
    [DB_COMMIT] = "COMMIT",
};

struct db {
    sqlite3 *sql;
    char *path;
    int sync; /* -1: not set yet */
    const char *const *texts;
    size_t count;
    sqlite3_stmt *statements[]; /* count + DB_OWN, prepared when first used */
};

static int db_errno(struct db *d, int rc)
{
    int sys = sqlite3_system_errno(d->sql);
    switch (rc & 0xff) {
    case SQLITE_FULL:
        return ENOSPC;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return EUCLEAN;
    case SQLITE_NOMEM:
        return ENOMEM;
    case SQLITE_READONLY:
        return EROFS;
    case SQLITE_TOOBIG:
        return EFBIG;
    case SQLITE_CONSTRAINT:
        return EEXIST;
    case SQLITE_CANTOPEN:
        return sys ? sys : EACCES;
    case SQLITE_IOERR:
        if (rc == SQLITE_IOERR_NOMEM)
            return ENOMEM;
        /* The shared index of the log is extended without SQLITE_FULL. */
        return sys == ENOSPC || sys == EDQUOT || rc == SQLITE_IOERR_SHMSIZE ? ENOSPC : EIO;
    default:
        return EIO;
    }
}

static int db_fail(struct db *d, int rc, struct berth_error *err)
{
    int code = db_errno(d, rc);
    switch (code) {
    case ENOSPC:
        return berth_fail(
            err, code, "database '%s': the disk is full; free some space there", d->path);
    case EBUSY:
        return berth_fail(err, code, "database '%s' is kept locked by another program",
                          d->path);
    case EUCLEAN:
        return berth_fail(err, code,
                          "database '%s' is damaged (%s): save what it holds with "
                          "'sqlite3 FILE .recover', then move it away",
                          d->path, sqlite3_errstr(rc));
    default:
        return berth_fail(err, code, "database '%s': %s", d->path, sqlite3_errmsg(d->sql));
    }
}

int db_open(const char *path, int busy_ms, const char *const *sql, size_t sql_count,
            struct db **ret, struct berth_error *err)
{
    struct db *d = calloc(1, sizeof(*d) + (sql_count + DB_OWN) * sizeof(d->statements[0]));
    if (!d || !(d->path = strdup(path))) {
        free(d);
        return berth_fail(err, ENOMEM, "out of memory");
    }
    d->sync = -1;
    d->texts = sql;
    d->count = sql_count;
    int rc =
        sqlite3_open_v2(path, &d->sql, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc) {
        int r = db_fail(d, rc, err);
        db_close(d);
        return r;
    }
    sqlite3_extended_result_codes(d->sql, 1);
    sqlite3_busy_timeout(d->sql, busy_ms);
    *ret = d;
    return 0;
}

void db_close(struct db *d)
{
    if (!d)
        return;
    for (size_t i = 0; i < d->count + DB_OWN; i++)
        sqlite3_finalize(d->statements[i]);
    sqlite3_close(d->sql);
    free(d->path);
    free(d);
}

const char *db_path(const struct db *d)
{
    return d->path;
}

int db_exec(struct db *d, const char *sql, struct berth_error *err)
{
    int rc = sqlite3_exec(d->sql, sql, NULL, NULL, NULL);
    return rc ? db_fail(d, rc, err) : 0;
}

static int db_first_text(void *arg, int n, char **values, char **names)
{
    char *ret = arg;
    (void)names;
    if (n > 0 && values[0] && !*ret)
        snprintf(ret, 32, "%s", values[0]);
    return 0;
}

int db_ask(struct db *d, const char *sql, char ret[32], struct berth_error *err)
{
    char text[32] = "";
    int rc = sqlite3_exec(d->sql, sql, db_first_text, text, NULL);
    if (rc)
        return db_fail(d, rc, err);
    memcpy(ret, text, sizeof(text));
    return 0;
}

/* ---- transactions -------------------------------------------------------------------- */

int db_begin(struct db *d, bool sync, struct berth_error *err)
{
    if (d->sync != sync) { /* cannot be changed inside a transaction */
        int r = db_exec(
            d, sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", err);
        if (r < 0)
            return r;
        d->sync = sync;
    }
    cleanup_query struct db_query q = db_query(d, d->count + DB_BEGIN);
    return db_step(&q, err);
}

int db_commit(struct db *d, struct berth_error *err)
{
    cleanup_query struct db_query q = db_query(d, d->count + DB_COMMIT);
    return db_step(&q, err);
}

void db_rollback(struct db *d)
{
    if (!sqlite3_get_autocommit(d->sql)) /* some failures have rolled back already */
        sqlite3_exec(d->sql, "ROLLBACK", NULL, NULL, NULL);
}

void db_checkpoint(struct db *d)
{
    sqlite3_wal_checkpoint_v2(d->sql, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

/* ---- statements ---------------------------------------------------------------------- */

struct db_query db_query(struct db *d, size_t number)
{
    struct db_query q = {.db = d};
    sqlite3_stmt **st = &d->statements[number];
    if (!*st)
        q.rc = sqlite3_prepare_v3(
            d->sql, number < d->count ? d->texts[number] : own_sql[number - d->count], -1,
            SQLITE_PREPARE_PERSISTENT, st, NULL);
    else if (sqlite3_stmt_busy(*st))
        q.rc = SQLITE_MISUSE; /* a walk inside the same walk */
    if (!q.rc)
        q.statement = *st;
    return q;
}

void db_query_end(struct db_query *q)
{
    if (q->statement) {
        sqlite3_reset(q->statement);
        sqlite3_clear_bindings(q->statement); /* they point into the caller's memory */
    }
}

void db_bind_int(struct db_query *q, int i, int64_t n)
{
    if (!q->rc)
        q->rc = sqlite3_bind_int64(q->statement, i, n);
}

void db_bind_text(struct db_query *q, int i, const char *s)
{
    if (!q->rc)
        q->rc = sqlite3_bind_text(q->statement, i, s ? s : "", -1, SQLITE_STATIC);
}

void db_bind_blob(struct db_query *q, int i, const void *data, size_t len)
{
    /* A null pointer would be bound as NULL, even with a length of 0. */
    if (!q->rc)
        q->rc = sqlite3_bind_blob64(q->statement, i, data ? data : "", len, SQLITE_STATIC);
}

int db_step(struct db_query *q, struct berth_error *err)
{
    if (q->rc == SQLITE_MISUSE)
        return berth_fail(err, EBUSY,
                          "a walk through the store was begun within the same walk");
    if (!q->rc)
        q->rc = sqlite3_step(q->statement);
    int rc = q->rc;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        return db_fail(q->db, rc, err);
    q->rc = SQLITE_OK;
    return rc == SQLITE_ROW;
}

void db_rewind(struct db_query *q)
{
    if (q->statement)
        sqlite3_reset(q->statement);
}

int64_t db_int(struct db_query *q, int i)
{
    return sqlite3_column_int64(q->statement, i);
}

const char *db_text(struct db_query *q, int i)
{
    const char *s = (const char *)sqlite3_column_text(q->statement, i);
    return s ? s : "";
}

int64_t db_blob(struct db_query *q, int i, const void **ret)
{
    *ret = NULL;
    if (sqlite3_column_type(q->statement, i) == SQLITE_NULL)
        return 0;
    const void *data = sqlite3_column_blob(q->statement, i);
    int len = sqlite3_column_bytes(q->statement, i);
    if (!data && len > 0)
        return -ENOMEM;
    *ret = data ? data : "";
    return len;
}

int64_t db_changes(const struct db *d)
{
    return sqlite3_changes64(d->sql);
}

bool db_was_primary_key(const struct db *d)
{
    return sqlite3_extended_errcode(d->sql) == SQLITE_CONSTRAINT_PRIMARYKEY;
}
