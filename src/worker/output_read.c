/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The ring file's reader: copies first, then looks at what may have been overwritten
 * meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "worker/output.h"
#include "worker/output_int.h"

struct output_reader {
    int fd, pos_fd; /* pos_fd -1: no ring when last looked */
    uint64_t max, offset;
    char *pos_path;
};

int output_reader_open(const char *path, uint64_t max, uint64_t offset,
                       struct output_reader **ret)
{
    if (!path || !ret || !max || max > INT64_MAX)
        return -EINVAL;
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct output_reader *r = calloc(1, sizeof *r);
    if (!r || asprintf(&r->pos_path, "%s" OUTPUT_POS, path) < 0) {
        free(r);
        return -ENOMEM;
    }
    r->fd = take_fd(fd);
    r->pos_fd = -1;
    r->max = max;
    r->offset = offset;
    *ret = r;
    return 0;
}

static uint64_t get_pos(const struct output_reader *r, off_t at)
{
    uint64_t wire = 0;
    return pread(r->pos_fd, &wire, sizeof wire, at) == sizeof wire ? le64toh(wire) : 0;
}

/* A ring begins when the file is full and .pos appears. */
static bool is_ring(struct output_reader *r)
{
    if (r->pos_fd < 0)
        r->pos_fd = open(r->pos_path, O_RDONLY | O_CLOEXEC);
    return r->pos_fd >= 0;
}

static int64_t length(struct output_reader *r)
{
    struct stat st;
    if (fstat(r->fd, &st) < 0)
        return -errno;
    if ((uint64_t)st.st_size < r->max || !is_ring(r))
        return st.st_size;
    uint64_t there = get_pos(r, OUTPUT_THERE);
    return there > r->max ? (int64_t)there : st.st_size;
}

/* First byte of the stream that no write begun by now has touched. */
static uint64_t oldest(struct output_reader *r, bool full)
{
    uint64_t claimed = full && is_ring(r) ? get_pos(r, OUTPUT_CLAIMED) : 0;
    return claimed > r->max ? claimed - r->max : 0;
}

/* One try; -EAGAIN: all that was copied has been overwritten, and offset was moved on. */
static int read_once(struct output_reader *r, char *out, size_t len, uint64_t *ret_offset)
{
    int64_t end = length(r);
    if (end < 0)
        return (int)end;
    uint64_t total = (uint64_t)end;
    if (total > r->max && r->offset < total - r->max)
        r->offset = total - r->max;
    if (r->offset >= total)
        return 0;
    uint64_t at = r->offset % r->max, want = total - r->offset;
    want = want < r->max - at ? want : r->max - at;
    ssize_t n = pread(r->fd, out, want < len ? want : len, (off_t)at);
    if (n <= 0)
        return n < 0 ? -errno : 0;
    struct stat st;
    bool full = fstat(r->fd, &st) == 0 && (uint64_t)st.st_size >= r->max;
    uint64_t valid = oldest(r, full), start = r->offset;
    if (valid >= start + (uint64_t)n) {
        r->offset = valid;
        return -EAGAIN;
    }
    uint64_t lost = valid > start ? valid - start : 0;
    memmove(out, out + lost, (size_t)n - lost);
    *ret_offset = start + lost;
    r->offset = start + (uint64_t)n;
    return (int)((uint64_t)n - lost);
}

int output_read(struct output_reader *r, void *buf, size_t len, uint64_t *ret_offset)
{
    if (!r || !buf || !len || !ret_offset)
        return -EINVAL;
    size_t fit = len < (1u << 30) ? len : 1u << 30;
    int n = -EAGAIN;
    /* A writer that keeps overtaking leaves nothing to copy now; the next call starts
     * further on. */
    for (int tries = 0; n == -EAGAIN && tries < 16; tries++)
        n = read_once(r, buf, fit, ret_offset);
    return n == -EAGAIN ? 0 : n;
}

int output_reader_fd(const struct output_reader *r)
{
    return r ? r->fd : -1;
}

void output_reader_close(struct output_reader *r)
{
    if (!r)
        return;
    close(r->fd);
    if (r->pos_fd >= 0)
        close(r->pos_fd);
    free(r->pos_path);
    free(r);
}
