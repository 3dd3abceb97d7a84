/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A connection to an SQLite file with the statements that it keeps prepared: SQLite under
 * our own errors. A struct db is used by one thread at a time.
 *
 * Failures: -ENOSPC disk full, -EBUSY another program keeps the file locked, -EUCLEAN
 * damaged, -EEXIST a unique column; after -EEXIST the transaction stands, after any other
 * it does not.
 */
#ifndef STORE_DB_H
#define STORE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/error.h>

struct db;

/* Opens the existing file at path; an empty one is an empty database. sql: the statements
 * that the connection will use, by number; they must stay. Waits up to busy_ms for another
 * program's lock. */
int db_open(const char *path, int busy_ms, const char *const *sql, size_t sql_count,
            struct db **ret, struct berth_error *err);
void db_close(struct db *d);
const char *db_path(const struct db *d);

int db_exec(struct db *d, const char *sql,
            struct berth_error *err); /* several, without rows */
/* The first column of the first row, cut to fit; "" if there is none. */
int db_ask(struct db *d, const char *sql, char ret[32], struct berth_error *err);

/* sync: the commit is on the disk when it returns, and so is every one before it. */
int db_begin(struct db *d, bool sync, struct berth_error *err);
int db_commit(struct db *d, struct berth_error *err);
void db_rollback(struct db *d);
/* Moves what the log holds to the database file, so that the log can be used from its
 * start. */
void db_checkpoint(struct db *d);

/* A statement in use; ends with its scope. What is bound must stay until then. A failure to
 * get or bind it is reported by the first db_step. */
struct db_query {
    struct db *db;
    void *statement; /* NULL: not to be had */
    int rc;
};
struct db_query db_query(struct db *d, size_t number);
void db_query_end(struct db_query *q);
#define cleanup_query __attribute__((cleanup(db_query_end)))

void db_bind_int(struct db_query *q, int i, int64_t n);      /* parameters count from 1 */
void db_bind_text(struct db_query *q, int i, const char *s); /* NULL: "" */
void db_bind_blob(struct db_query *q, int i, const void *data,
                  size_t len);                            /* NULL: empty */
int db_step(struct db_query *q, struct berth_error *err); /* 1 a row, 0 no more, -errno */
void db_rewind(struct db_query *q);

/* Columns count from 0; what they give is valid until the next step. */
int64_t db_int(struct db_query *q, int i);
const char *db_text(struct db_query *q, int i);
/* Length, *ret NULL if the column is null; -ENOMEM. */
int64_t db_blob(struct db_query *q, int i, const void **ret);

int64_t db_changes(const struct db *d);      /* rows that the last statement changed */
bool db_was_primary_key(const struct db *d); /* the unique column of the last -EEXIST */

#endif
