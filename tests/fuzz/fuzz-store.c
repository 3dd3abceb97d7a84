/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A damaged database. A good one is made once; the input is a list of patches: page, offset in it (two bytes),
 * number of bytes (at most 16), the bytes. Page 255 appends to the write-ahead log instead.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/str.h"
#include "codec/task.h"
#include "store/rows.h"
#include <berth/transport.h>

#define ROWS 12
#define PAGE 4096
#define PATCH_MAX 16
#define PAGE_LOG 255

static char path[512];
static struct buf good, image, wal;

static int64_t number_of(int i)
{
    return (int64_t)i * 1000003;
}

static struct store_row row_of(int i, const struct buf *task, const struct buf *result,
                               char id[32])
{
    static const char *const tenants[] = {"blue", "red", ""};
    snprintf(id, 32, "task-%d", i);
    bool done = i % 4 == STORE_DONE;
    return (struct store_row){.seq = i + 1,
                              .id = id,
                              .state = i % 4,
                              .attempt = i % 3,
                              .failures = i % 2,
                              .losses = 1,
                              .slot = i,
                              .priority = -i,
                              .tenant = tenants[i % 3],
                              .executer = "any",
                              .runtime = "null",
                              .transport = "http",
                              .cancel = i == 5,
                              .verdict = done,
                              .queued_ms = number_of(i),
                              .started_ms = number_of(i) + 1,
                              .finished_ms = done ? number_of(i) + 2 : 0,
                              .task = task->data,
                              .task_len = task->len,
                              .result = done ? result->data : NULL,
                              .result_len = done ? result->len : 0};
}

static void put_file(const char *suffix, const struct buf *b)
{
    char name[600];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    unlink(name);
    if (!b || !b->len)
        return;
    cleanup_close int fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    fuzz_must(fd < 0 || write(fd, b->data, b->len) != (ssize_t)b->len ? -EIO : 0, name);
}

static void put_database(const struct buf *database, const struct buf *log)
{
    put_file("-shm", NULL);
    put_file("-wal", log);
    put_file("", database);
}

static void make_good(void)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf task = BUF_INIT, result = BUF_INIT, none = BUF_INIT;
    struct berth_error err = {0};
    struct db *d = NULL;
    char id[32], *bytes;
    size_t len;
    snprintf(path, sizeof path, "%s/berth.db", fuzz_dir());
    value_to_msgpack(fuzz_map(a, "{\"v\":1,\"id\":\"x\",\"executer\":\"any\"}"), &task);
    value_to_msgpack(fuzz_map(a, "{\"v\":1,\"verdict\":\"succeeded\"}"), &result);
    buf_str(&none, "");
    cleanup_close int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    fuzz_must(rows_open_writer(path, &d, &err), err.text);
    for (int i = 0; i < ROWS; i++) {
        struct store_row row = row_of(i, &task, &result, id);
        fuzz_must(rows_insert(d, &row, &err), err.text);
    }
    db_close(d);
    fuzz_must(read_file(path, 1 << 20, &bytes, &len), path);
    buf_add(&good, bytes, len);
    free(bytes);
}

static void patch(const uint8_t *p, const uint8_t *end)
{
    image.len = wal.len = 0;
    buf_add(&image, good.data, good.len);
    while (end - p >= 4) {
        size_t at = (size_t)p[0] * PAGE + ((size_t)p[1] << 8 | p[2]) % PAGE;
        size_t len = p[3] % (PATCH_MAX + 1), page = *p;
        p += 4;
        if (len > (size_t)(end - p))
            len = (size_t)(end - p);
        if (page == PAGE_LOG)
            buf_add(&wal, p, len);
        else if (at + len <= image.len)
            memcpy(image.data + at, p, len);
        p += len;
    }
}

struct reading {
    struct db *d;
    int rows;
    char ids[4][64];
};

static void read_blobs(struct arena *a, const struct store_row *row)
{
    struct berth_error err = {0};
    struct value v;
    struct task t;
    if (row->task)
        fuzz_check_error(task_decode(a, row->task, row->task_len, BERTH_FORMAT_MSGPACK,
                                     SIZE_MAX, &t, &err),
                         &err);
    if (row->result)
        value_from_msgpack(a, row->result, row->result_len, NULL, &v, &err);
}

static int on_row(void *arg, const struct store_row *row)
{
    struct reading *r = arg;
    cleanup_arena struct arena *a = arena_new();
    fuzz_check(row->id && row->tenant && row->executer && row->runtime && row->transport);
    read_blobs(a, row);
    if (r->rows < 4)
        snprintf(r->ids[r->rows], sizeof r->ids[0], "%s", row->id);
    return ++r->rows >= 1000;
}

static void read_all(struct db *d)
{
    struct berth_error err = {0};
    struct reading r = {.d = d};
    fuzz_check_error(rows_walk_open(d, on_row, &r, &err), &err);
    for (int i = 0; i < ROWS + 1; i++) {
        struct store_filter f = {.state = i % 5 - 1,
                                 .tenant = i % 3 == 1 ? "blue" : NULL,
                                 .executer = i % 3 == 2 ? "any" : NULL,
                                 .before_seq = i % 2 ? i : 0,
                                 .limit = 5};
        fuzz_check_error(rows_list(d, &f, on_row, &r, &err), &err);
    }
    for (int i = 0; i < 4; i++) {
        cleanup_arena struct arena *a = arena_new();
        struct store_row row = {0};
        const void *task = NULL;
        size_t len = 0;
        int rc = rows_get(d, i < r.rows ? r.ids[i] : "none", a, &row, &err);
        fuzz_check_error(rc, &err);
        if (rc == 0)
            read_blobs(a, &row);
        fuzz_check_error(rows_get_task(d, i + 1, a, &task, &len, &err), &err);
    }
    rows_max_seq(d);
    rows_count_done(d);
}

static void change(struct db *d)
{
    cleanup_buf struct buf task = BUF_INIT;
    struct berth_error err = {0};
    char id[32];
    int64_t excess = 1;
    buf_str(&task, "\x80");
    if (db_begin(d, false, &err) < 0)
        return;
    for (int i = 3; i < ROWS + 3; i += 4) {
        struct store_row row = row_of(i, &task, &task, id);
        fuzz_check_error(rows_update(d, &row, &err), &err);
        row.seq += 100;
        fuzz_check_error(rows_insert(d, &row, &err), &err);
    }
    fuzz_check_error(rows_purge(d, number_of(4), &excess, &err), &err);
    fuzz_check_error(db_commit(d, &err), &err);
    db_rollback(d);
    db_checkpoint(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct berth_error err = {0};
    struct db *writer = NULL, *reader = NULL;
    if (!good.len)
        make_good();
    patch(data, data + size);
    put_database(&image, &wal);
    int r = rows_open_writer(path, &writer, &err);
    fuzz_check_error(r, &err);
    if (r == 0)
        fuzz_check_error(r = rows_open_reader(path, &reader, &err), &err);
    if (r == 0) {
        read_all(reader);
        change(writer);
        read_all(reader);
    }
    db_close(reader);
    db_close(writer);
    return 0;
}
