/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Reading a task's output while it runs, and after. The supervisor writes files in the attempt's directory; inotify
 * tells when they grow. Once the task is done its files are gone: the stored result then gives what was kept of them.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include "host/host_int.h"
#include "worker/output.h"
#include "worker/worker.h"

struct log_reader {
    struct host *host;
    char *id;
    int stream;
    uint64_t offset; /* of the next byte to give */
    int attempt;     /* that the file is of */
    struct output_reader *file;
    char *tail; /* of a task that is done */
    size_t tail_len;
    uint64_t tail_offset;
    bool done;
    int watch; /* inotify */
    loop_fn *fn;
    void *arg;
    struct log_reader *prev, *next;
};

static char *reader_dir(const struct log_reader *r, int attempt)
{
    char *path;
    if (asprintf(&path, "%s/" ATTEMPTS_DIR "/%s.%d", r->host->config->state_dir, r->id,
                 attempt) < 0)
        return NULL;
    return path;
}

static void reader_open(struct log_reader *r, const struct job *j)
{
    cleanup_free char *dir = reader_dir(r, j->attempt);
    cleanup_free char *path = NULL;
    if (!dir || asprintf(&path, "%s/%s", dir, r->stream == 2 ? "stderr" : "stdout") < 0)
        return;
    const struct config_executer *x = config_executer(r->host->config, j->item.executer);
    int64_t max = x ? x->output_max_bytes : r->host->config->defaults.output_max_bytes;
    if (r->watch < 0)
        r->watch = inotify_add_watch(r->host->inotify_fd, dir, IN_CREATE | IN_MODIFY);
    uint64_t from = r->attempt == j->attempt || !r->attempt ? r->offset : 0;
    if (output_reader_open(path, (uint64_t)max, from, &r->file) == 0) {
        r->attempt = j->attempt;
        r->offset = from;
    }
}

#define TAILS_MAX (64u << 20) /* of all readers together */

/* Holds what the reader has not seen yet. */
static int reader_from_result(struct log_reader *r, const struct value *result,
                              struct berth_error *err)
{
    const struct value *v = value_get(result, r->stream == 2 ? "stderr_tail" : "output");
    const struct value *total = value_get(value_get(result, "usage"),
                                          r->stream == 2 ? "stderr_bytes" : "stdout_bytes");
    r->done = true;
    if (!v || (v->type != VALUE_STR && v->type != VALUE_BIN) || !v->len)
        return 0;
    uint64_t all = total && total->type == VALUE_INT ? (uint64_t)total->i : v->len;
    uint64_t from = all > v->len ? all - v->len : 0;
    size_t seen = r->offset <= from ? 0 : r->offset - from;
    if (seen >= v->len)
        return 0;
    if (r->host->tail_bytes + v->len - seen > TAILS_MAX)
        return berth_fail(err, ENOBUFS,
                          "outputs of %u MiB are being read already: try again later",
                          TAILS_MAX >> 20);
    r->tail = malloc(v->len - seen);
    if (!r->tail)
        return berth_fail(err, ENOMEM, "out of memory");
    r->tail_len = v->len - seen;
    r->tail_offset = from + seen;
    memcpy(r->tail, v->s + seen, r->tail_len);
    r->host->tail_bytes += r->tail_len;
    return 0;
}

/* The task is no longer in memory: its stored result is what remains. */
static int reader_finish(struct log_reader *r, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct store_row row = {0};
    struct value result;
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = store_get(r->host->store, r->id, a, &row, err);
    if (rc == -ENOENT)
        return berth_fail(err, ENOENT, "no task '%s'", r->id);
    if (rc < 0)
        return rc;
    if (!row.result)
        return 0;
    rc = value_from_msgpack(a, row.result, row.result_len, &result_limits, &result, err);
    return rc < 0 ? rc : reader_from_result(r, &result, err);
}

static int reader_tail(struct log_reader *r, void *buf, size_t len, uint64_t *ret_offset)
{
    if (r->offset < r->tail_offset)
        r->offset = r->tail_offset;
    uint64_t at = r->offset - r->tail_offset;
    if (!r->tail || at >= r->tail_len)
        return -ENODATA;
    size_t n = r->tail_len - at < len ? r->tail_len - at : len;
    memcpy(buf, r->tail + at, n);
    *ret_offset = r->offset;
    r->offset += n;
    return (int)n;
}

static int reader_file(struct log_reader *r, void *buf, size_t len, uint64_t *ret_offset)
{
    if (!r->file)
        return 0;
    int n = output_read(r->file, buf, len, ret_offset);
    if (n > 0)
        r->offset = *ret_offset + (uint64_t)n;
    return n;
}

int log_reader_read(struct log_reader *r, void *buf, size_t len, uint64_t *ret_offset)
{
    struct job *j = job_find(r->host, r->id);
    if (j && r->file && r->attempt != j->attempt) {
        output_reader_close(take_ptr(r->file));
        r->watch = -1;
    }
    if (j && !r->file && (j->state == JOB_STARTING || j->state == JOB_RUNNING))
        reader_open(r, j);
    int n = reader_file(r, buf, len, ret_offset);
    if (n != 0 || j)
        return n;
    if (!r->done) {
        int rc = reader_finish(r, NULL);
        if (rc < 0)
            return rc;
    }
    return r->done ? reader_tail(r, buf, len, ret_offset) : 0;
}

struct log_reader *log_reader_new(struct host *h, const char *id, int stream,
                                  uint64_t offset, loop_fn *fn, void *arg,
                                  struct berth_error *err)
{
    struct log_reader *r = calloc(1, sizeof *r);
    if (!r || !(r->id = strdup(id))) {
        free(r);
        berth_fail(err, ENOMEM, "out of memory");
        return NULL;
    }
    r->host = h;
    r->stream = stream;
    r->offset = offset;
    r->watch = -1;
    r->fn = fn;
    r->arg = arg;
    DL_APPEND(h->readers, r);
    if (job_find(h, id) || reader_finish(r, err) == 0)
        return r;
    log_reader_free(r);
    return NULL;
}

void log_reader_free(struct log_reader *r)
{
    if (!r)
        return;
    DL_DELETE(r->host->readers, r);
    output_reader_close(r->file);
    struct log_reader *other;
    DL_SEARCH_SCALAR(r->host->readers, other, watch, r->watch);
    if (r->watch >= 0 && !other)
        inotify_rm_watch(r->host->inotify_fd, r->watch);
    r->host->tail_bytes -= r->tail_len;
    free(r->tail);
    free(r->id);
    free(r);
}

void logs_job_changed(struct host *h, const char *id)
{
    struct log_reader *r, *next;
    DL_FOREACH_SAFE (h->readers, r, next)
        if (r->fn && !strcmp(r->id, id))
            r->fn(r->arg);
}

static void logs_grown(void *arg, uint32_t events)
{
    struct host *h = arg;
    _Alignas(struct inotify_event) char buf[4096];
    (void)events;
    ssize_t n = read(h->inotify_fd, buf, sizeof buf);
    for (ssize_t at = 0; at < n;) {
        const struct inotify_event *e = (const void *)(buf + at);
        struct log_reader *r, *next;
        DL_FOREACH_SAFE (h->readers, r, next)
            if (r->fn && r->watch == e->wd)
                r->fn(r->arg);
        at += (ssize_t)(sizeof *e + e->len);
    }
}

int logs_init(struct host *h)
{
    h->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (h->inotify_fd < 0)
        return -errno;
    h->inotify_io = loop_io_add(h->loop, h->inotify_fd, EPOLLIN, logs_grown, h);
    return h->inotify_io ? 0 : -ENOMEM;
}
