/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The payload's standard streams: input from memory, output to files that are made with
 * the first byte. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/fail.h"
#include "worker/supervisor_int.h"

#define PIPE_BYTES 65536
#define READ_BYTES 65536

/* A pipe that was filled beforehand needs nobody to feed it. -EAGAIN if it does not take
 * all of it. */
static int input_pipe(const void *data, size_t len)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    cleanup_close int in = fds[0];
    cleanup_close int out = fds[1];
    if (write(out, data, len) != (ssize_t)len)
        return -EAGAIN;
    fcntl(in, F_SETFL, 0); /* the payload expects a stream that blocks */
    return take_fd(in);
}

static int input_memory(const void *data, size_t len, struct berth_error *err)
{
    cleanup_close int fd = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return berth_fail_errno(err, errno, "memory for the input");
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const char *)data + done, len - done);
        if (n < 0 && errno != EINTR)
            return berth_fail_errno(err, errno, "memory for the input");
        done += n > 0 ? (size_t)n : 0;
    }
    if (lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) <
            0)
        return berth_fail_errno(err, errno, "sealing the input");
    return take_fd(fd);
}

int input_open(const void *data, size_t len, struct berth_error *err)
{
    int fd = -EAGAIN;
    if (len == 0) {
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return fd < 0 ? berth_fail_errno(err, errno, "open '/dev/null'") : fd;
    }
    if (len <= PIPE_BYTES)
        fd = input_pipe(data, len);
    return fd >= 0 ? fd : input_memory(data, len, err);
}

int streams_open(struct supervisor *s, int ret_write_fds[2], struct berth_error *err)
{
    static const char *const names[2] = {"stdout", "stderr"};
    for (int i = 0; i < 2; i++) {
        int fds[2];
        if (pipe2(fds, O_CLOEXEC) < 0)
            return berth_fail_errno(err, errno, "pipe");
        /* A payload can open this end too, and read what we were told of before we do. */
        fcntl(fds[0], F_SETFL, O_NONBLOCK);
        s->out[i] = (struct stream){.s = s, .fd = fds[0], .name = names[i]};
        ret_write_fds[i] = fds[1];
    }
    return 0;
}

static void stream_store(struct stream *st, const void *data, size_t len)
{
    struct supervisor *s = st->s;
    if (!st->file && !st->error) {
        struct berth_error err = {0};
        cleanup_free char *path = NULL;
        if (asprintf(&path, "%s/%s", s->at->dir, st->name) < 0)
            st->error = ENOMEM;
        else if (output_create(path, (uint64_t)s->at->plan.output_max_bytes, &st->file,
                               &err) < 0)
            st->error = err.code;
    }
    if (st->file)
        output_write(st->file, data, len);
}

static void stream_end(struct stream *st)
{
    if (st->fd < 0)
        return;
    loop_io_remove(&st->io);
    close(st->fd);
    st->fd = -1;
}

static void stream_readable(void *arg, uint32_t events)
{
    struct stream *st = arg;
    char spare[2048]; /* out of memory: read on in small steps */
    (void)events;
    cleanup_free char *heap = malloc(READ_BYTES);
    ssize_t n = read(st->fd, heap ? heap : spare, heap ? READ_BYTES : sizeof spare);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n > 0) {
        stream_store(st, heap ? heap : spare, (size_t)n);
        return;
    }
    stream_end(st);
    if (streams_at_end(st->s))
        supervisor_event(st->s, EVENT_DRAINED);
}

int streams_watch(struct supervisor *s)
{
    for (int i = 0; i < 2; i++) {
        s->out[i].io =
            loop_io_add(s->loop, s->out[i].fd, EPOLLIN, stream_readable, &s->out[i]);
        if (!s->out[i].io)
            return -ENOMEM;
    }
    return 0;
}

bool streams_at_end(const struct supervisor *s)
{
    return s->out[0].fd < 0 && s->out[1].fd < 0;
}

void streams_cut(struct supervisor *s)
{
    s->end.cut |= !streams_at_end(s);
    stream_end(&s->out[0]);
    stream_end(&s->out[1]);
}
