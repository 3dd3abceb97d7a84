/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The ring file's writer. The order of its three writes is what lets a reader trust what
 * it copied. */
#include "worker/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/fail.h"
#include "worker/output_int.h"

struct output {
    int fd, pos_fd; /* pos_fd -1: not yet a ring */
    uint64_t max;
    uint64_t total;  /* of the stream */
    uint64_t stored; /* what of it went into the file; stays behind after an error */
    int error;
    char *pos_path;
};

static int file_create(const char *path, int *ret_fd)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int output_create(const char *path, uint64_t max, struct output **ret,
                  struct berth_error *err)
{
    if (!path || !ret || !max || max > INT64_MAX)
        return berth_fail(err, EINVAL, "output: no path or no size given");
    struct output *o = calloc(1, sizeof *o);
    if (!o || asprintf(&o->pos_path, "%s" OUTPUT_POS, path) < 0) {
        free(o);
        return berth_fail(err, ENOMEM, "output: out of memory");
    }
    *o = (struct output){.fd = -1, .pos_fd = -1, .max = max, .pos_path = o->pos_path};
    int r = unlink(o->pos_path) < 0 && errno != ENOENT ? -errno : file_create(path, &o->fd);
    if (r < 0) {
        output_close(o);
        return berth_fail_errno(err, -r, "output: cannot create '%s'", path);
    }
    *ret = o;
    return 0;
}

static int pwrite_all(int fd, const char *data, size_t len, uint64_t at)
{
    while (len > 0) {
        ssize_t n = pwrite(fd, data, len, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        data += n;
        len -= (size_t)n;
        at += (uint64_t)n;
    }
    return 0;
}

static int put_pos(const struct output *o, uint64_t at, uint64_t value)
{
    uint64_t wire = htole64(value);
    return pwrite_all(o->pos_fd, (const char *)&wire, sizeof wire, at);
}

/* The first 8 bytes say what is about to be lost, before it is; the other 8 what is
 * there, after. */
static int begin_overwrite(struct output *o, uint64_t end)
{
    int r = 0;
    if (o->pos_fd < 0) {
        r = file_create(o->pos_path, &o->pos_fd);
        if (!r)
            r = put_pos(o, OUTPUT_THERE, o->stored);
    }
    return r ? r : put_pos(o, OUTPUT_CLAIMED, end);
}

/* At most max bytes, which may wrap around once. */
static int store(struct output *o, const char *data, size_t len)
{
    uint64_t end = o->stored + len, at = o->stored % o->max;
    size_t first = len < o->max - at ? len : (size_t)(o->max - at);
    bool ring = end > o->max;
    int r = ring ? begin_overwrite(o, end) : 0;
    if (!r)
        r = pwrite_all(o->fd, data, first, at);
    if (!r && first < len)
        r = pwrite_all(o->fd, data + first, len - first, 0);
    if (!r && ring)
        r = put_pos(o, OUTPUT_THERE, end);
    if (!r)
        o->stored = end;
    return r;
}

void output_write(struct output *o, const void *data, size_t len)
{
    if (!o || !data || !len)
        return;
    const char *p = data;
    o->total += len;
    for (size_t n; len > 0 && !o->error; p += n, len -= n) {
        n = len < o->max ? len : (size_t)o->max;
        o->error = -store(o, p, n);
    }
}

int output_error(const struct output *o)
{
    return o ? o->error : EINVAL;
}

uint64_t output_total(const struct output *o)
{
    return o ? o->total : 0;
}

int output_tail(struct output *o, uint64_t want, struct buf *out)
{
    if (!o || !out)
        return -EINVAL;
    uint64_t have = o->stored < o->max ? o->stored : o->max;
    uint64_t left = want < have ? want : have;
    while (left > 0) {
        uint64_t at = (o->stored - left) % o->max,
                 n = o->max - at < left ? o->max - at : left;
        char *room = buf_room(out, n);
        if (!room)
            return -ENOMEM;
        ssize_t got = pread(o->fd, room, n, (off_t)at);
        if (got <= 0)
            return got < 0 ? -errno : -EIO;
        out->len += (size_t)got;
        out->data[out->len] = '\0';
        left -= (uint64_t)got;
    }
    return 0;
}

void output_close(struct output *o)
{
    if (!o)
        return;
    if (o->fd >= 0)
        close(o->fd);
    if (o->pos_fd >= 0)
        close(o->pos_fd);
    free(o->pos_path);
    free(o);
}
