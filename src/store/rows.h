/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The store's tables: what is read and written, without threads and callbacks. Failures as
 * in db.h. */
#ifndef STORE_ROWS_H
#define STORE_ROWS_H

#include "store/db.h"
#include "store/store.h"

/* The writer creates what is missing and recovers what a crash left; the reader comes after
 * it. */
int rows_open_writer(const char *path, struct db **ret, struct berth_error *err);
int rows_open_reader(const char *path, struct db **ret, struct berth_error *err);

/* Within a transaction of the caller. -EEXIST, -ENOENT: nothing was changed. */
int rows_insert(struct db *d, const struct store_row *row, struct berth_error *err);
int rows_update(struct db *d, const struct store_row *row, struct berth_error *err);
int rows_delete(struct db *d, int64_t seq, struct berth_error *err); /* there or not */
int64_t rows_count_done(struct db *d); /* 0 if it cannot be read */
/* Deletes some of the oldest done rows: those finished before before_ms, and *excess of the
 * oldest. Counts *excess down by what it deleted. Number deleted, 0 when there is nothing
 * left to do. */
int rows_purge(struct db *d, int64_t before_ms, int64_t *excess, struct berth_error *err);

/* As the store_ functions of the same name. */
int rows_get(struct db *d, const char *id, struct arena *a, struct store_row *ret,
             struct berth_error *err);
int rows_get_task(struct db *d, int64_t seq, struct arena *a, const void **ret_task,
                  size_t *ret_len, struct berth_error *err);
int rows_walk_open(struct db *d, store_row_fn *fn, void *arg, struct berth_error *err);
int rows_list(struct db *d, const struct store_filter *f, store_row_fn *fn, void *arg,
              struct berth_error *err);
int64_t rows_max_seq(struct db *d);

#endif
