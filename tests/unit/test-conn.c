/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Framed connections: whole frames out of any pieces, and an end that is told once. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "../tap.h"
#include "base/fail.h"
#include "base/str.h"
#include "wire/conn.h"

static struct loop *loop;

/* One end under test. */
struct end {
    struct conn *c;
    int frames, type, closed;
    int stop_at; /* frames */
    int free_at;
    int64_t sum; /* of "n" */
    size_t bytes;
    bool damaged, free_on_close;
    struct berth_error err;
};

static void on_frame(void *arg, int type, const struct value *body, struct arena *arena)
{
    struct end *e = arg;
    const struct value *data = value_get(body, "data");

    e->frames++;
    e->type = type;
    e->sum += value_int(body, "n", 0);
    if (data) {
        e->bytes += data->len;
        for (size_t i = 0; i < data->len; i += 4096)
            e->damaged |= data->s[i] != (char)(i >> 12);
    }
    e->damaged |= !arena_alloc(arena, 1);
    if (e->frames == e->free_at) {
        conn_free(e->c);
        e->c = NULL;
    }
    if (e->frames == e->stop_at)
        loop_stop(loop);
}

static void on_closed(void *arg, const struct berth_error *err)
{
    struct end *e = arg;

    e->closed++;
    e->err = *err;
    if (e->free_on_close) {
        conn_free(e->c);
        e->c = NULL;
    }
    loop_stop(loop);
}

/* A connection under test, and the bare other end of it. */
static int open_pair(struct end *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        exit(99);
    loop = loop_new();
    e->c = conn_new(loop, pair[0], on_frame, on_closed, e);
    ok(e->c, "a connection");
    return pair[1];
}

static void close_pair(struct end *e, int fd)
{
    if (fd >= 0)
        close(fd);
    conn_free(e->c);
    loop_free(loop);
}

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

/* Lets the loop do all that it can do without waiting. */
static void settle(void)
{
    for (int i = 0; i < 4; i++) {
        struct loop_timer *t = loop_timer_add(loop, 0, stop, NULL);

        loop_run(loop);
        loop_timer_remove(&t);
    }
}

static struct value number(struct arena *a, int64_t n)
{
    struct value body = value_new_map(a);

    value_put_int(a, &body, "n", n);
    return body;
}

static struct value pattern(struct arena *a, size_t size)
{
    struct value body = value_new_map(a);
    char *data = arena_alloc(a, size);

    for (size_t i = 0; i < size; i += 4096)
        data[i] = (char)(i >> 12);
    value_put_bin(a, &body, "data", data, size);
    return body;
}

static void test_invalid(void)
{
    struct end e = {0};
    int fd = open_pair(&e), type, dead = dup(fd);
    cleanup_arena struct arena *a = arena_new();
    struct value body = number(a, 1), big;
    struct berth_error err = {0};

    ok(!conn_new(loop, -1, on_frame, on_closed, &e), "no descriptor");
    ok(!conn_new(NULL, dead, on_frame, on_closed, &e), "no loop");
    ok(fcntl(dead, F_GETFD) < 0, "the descriptor is closed then");
    ok(!conn_new(loop, dup(fd), NULL, on_closed, &e), "no callback");
    is_int(conn_send(NULL, 1, &body), -EINVAL, "no connection");
    is_int(conn_send(e.c, 256, &body), -EINVAL, "type 256");
    is_int(conn_send(e.c, -1, &body), -EINVAL, "type -1");
    is_int(conn_send(e.c, 1, NULL), -EINVAL, "no body");
    is_int(conn_send_raw(e.c, 1, NULL, 4), -EINVAL, "no bytes");
    is_int(conn_send_raw(e.c, 1, "x", 0), -EINVAL, "empty body");
    is_int(conn_send_raw(e.c, 1, "x", WIRE_MAX_BODY + 1u), -EMSGSIZE, "raw body too large");
    is_int(conn_flush(NULL), -EINVAL, "flush nothing");
    big = value_new_map(a);
    value_put_bin(a, &big, "data", arena_alloc(a, WIRE_MAX_BODY), WIRE_MAX_BODY);
    is_int(conn_send(e.c, 1, &big), -EMSGSIZE, "body too large");
    is_int(conn_backlog(e.c), 0, "none of it is queued");
    body = value_new_map(NULL);
    is_int(conn_send(e.c, 1, &body), -ENOMEM, "a body that failed");
    body = number(a, 1);
    is_int(conn_send(e.c, 1, &body), 0, "and the connection still works");
    is_int(wire_send(-1, 1, &body, &err), -EINVAL, "wire_send: no descriptor");
    is_int(wire_send(fd, 300, &body, NULL), -EINVAL, "wire_send: type");
    is_int(wire_recv(fd, NULL, &type, &body, &err), -EINVAL, "wire_recv: no arena");
    is_int(wire_recv(fd, a, &type, &body, &err), 0, "the one frame");
    conn_free(NULL);
    conn_free_after_fork(NULL);
    close_pair(&e, fd);
}

static void test_both_ways(void)
{
    struct end e = {.stop_at = 2};
    int fd = open_pair(&e), type = 0;
    cleanup_arena struct arena *a = arena_new();
    struct value body = number(a, 5), got;
    struct berth_error err = {0};
    pid_t pid = 0;
    uid_t uid = 99999;

    is_int(conn_send(e.c, 7, &body), 0, "send");
    is_int(conn_send_raw(e.c, 8, "\x81\xa1n\x06", 4), 0, "send bytes");
    is_int(conn_backlog(e.c), 0, "both left at once");
    is_int(wire_recv(fd, a, &type, &got, &err), 0, "receive");
    ok(type == 7 && value_int(&got, "n", 0) == 5, "the first");
    is_int(wire_recv(fd, a, &type, &got, &err), 0, "receive");
    ok(type == 8 && value_int(&got, "n", 0) == 6, "the second");
    wire_send(fd, 255, &body, &err);
    wire_send(fd, 0, &body, &err);
    loop_run(loop);
    ok(e.frames == 2 && e.sum == 10 && e.type == 0, "two frames in one read");
    ok(!conn_peer(e.c, &pid, &uid) && pid == getpid() && uid == getuid(), "the peer's ids");
    close(fd);
    loop_run(loop);
    ok(e.closed == 1 && !e.err.code, "the peer closed: no error");
    settle();
    is_int(e.closed, 1, "told once");
    is_int(conn_send(e.c, 1, &body), -EPIPE, "nobody there");
    is_int(conn_send(e.c, 1, &body), -EPIPE, "the same again");
    is_int(conn_flush(e.c), -EPIPE, "flush says so too");
    close_pair(&e, -1);
}

static void test_byte_by_byte(void)
{
    struct end e = {0};
    int fd = open_pair(&e), wrong = 0;
    cleanup_buf struct buf packed = BUF_INIT;
    const char *frame = "\x04\0\0\0\x01\x09\0\0\x81\xa1n\x03";

    for (int i = 0; i < 3; i++)
        buf_add(&packed, frame, 12);
    for (size_t i = 0; i < packed.len; i++) {
        wrong += write(fd, packed.data + i, 1) != 1;
        settle();
        wrong += e.frames != (int)(i + 1) / 12;
    }
    is_int(wrong, 0, "a frame is there with its last byte, not before");
    ok(e.sum == 9 && e.type == 9, "all three");
    is_int(write(fd, frame, 11), 11, "a part of a frame is sent");
    settle();
    close(fd);
    loop_run(loop);
    ok(e.closed == 1 && e.err.code == ECONNRESET, "an end within a frame is an error");
    has_str(e.err.text, "in the middle of a frame", "and says so");
    close_pair(&e, -1);
}

static void check_corrupt(const char *bytes, size_t len, const char *text, const char *name)
{
    struct end e = {.free_on_close = true};
    int fd = open_pair(&e);

    ok(write(fd, bytes, len) == (ssize_t)len, "%s: sent", name);
    loop_run(loop);
    ok(e.closed == 1 && e.err.code == EPROTO && e.frames == 0, "%s: closed with an error",
       name);
    has_str(e.err.text, text, "%s: says why", name);
    close_pair(&e, fd);
}

#define CORRUPT(bytes, text, name) check_corrupt(bytes, sizeof(bytes) - 1, text, name)

static void test_corrupt(void)
{
    CORRUPT("GET / HTTP/1.1\r\n", "no frame of version 1", "another protocol");
    CORRUPT("\x01\0\0\0\x00\x01\0\0\x80", "no frame of version", "version 0");
    CORRUPT("\x01\0\0\0\x02\x01\0\0\x80", "no frame of version", "version 2");
    CORRUPT("\x01\0\0\0\x01\x01\x01\0\x80", "no frame of version", "reserved byte");
    CORRUPT("\x01\0\0\0\x01\x01\0\x01\x80", "no frame of version", "other reserved byte");
    CORRUPT("\x01\0\0\x04\x01\x01\0\0", "limit is 67108864", "length past the limit");
    CORRUPT("\xff\xff\xff\xff\x01\x01\0\0", "limit is 67108864", "length of 4G");
    CORRUPT("\0\0\0\0\x01\x05\0\0", "frame of type 5: msgpack", "empty body");
    CORRUPT("\x01\0\0\0\x01\x05\0\0\x90", "body is not a map", "an array");
    CORRUPT("\x02\0\0\0\x01\x05\0\0\x80\x80", "after the end", "two maps");
    CORRUPT("\x05\0\0\0\x01\x05\0\0\xdf\xff\xff\xff\xff", "more pairs", "huge map");
}

static long data_kib(void)
{
    cleanup_free char *status = NULL;
    const char *line;

    if (read_file("/proc/self/status", 1 << 16, &status, NULL) < 0)
        return -1;
    line = strstr(status, "VmData:");
    return line ? atol(line + 7) : -1;
}

/* A header that promises much costs nothing until the bytes come. */
static void test_promise(void)
{
    struct end e = {0};
    int fd = open_pair(&e);
    long before = data_kib();

    ok(write(fd, "\0\0\0\x04\x01\x05\0\0x", 9) == 9, "64 MiB promised, one byte sent");
    settle();
    ok(write(fd, "y", 1) == 1, "and another");
    settle();
    ok(!e.closed && !e.frames, "waits for more");
    ok(before > 0 && data_kib() - before < 32 << 10,
       "memory for what came, not for the promise");
    close(fd);
    loop_run(loop);
    is_int(e.err.code, ECONNRESET, "and gives up with the peer");
    close_pair(&e, -1);
}

static void test_freed_in_callback(void)
{
    struct end e = {.free_at = 1, .stop_at = 1}, late = {.free_at = 2, .stop_at = 2};
    cleanup_arena struct arena *a = arena_new();
    struct value body = number(a, 1), big = pattern(a, 300000);
    int fd = open_pair(&e), n;

    for (n = 0; n < 3; n++)
        wire_send(fd, 1, &body, NULL);
    loop_run(loop);
    ok(e.frames == 1 && !e.closed, "freed in the first of three: no further call");
    ok(recv(fd, (char[1]){0}, 1, 0) <= 0, "the peer sees the end");
    close_pair(&e, fd);

    fd = open_pair(&late);
    conn_send(late.c, 1, &big); /* leaves something unsent */
    ok(conn_backlog(late.c) > 0, "a backlog");
    wire_send(fd, 1, &body, NULL);
    settle();
    ok(write(fd, "\x04\0\0\0\x01\x09\0\0\x81", 9) == 9, "half a frame");
    settle();
    ok(write(fd,
             "\xa1n\x03"
             "tail",
             7) == 7,
       "its end and more");
    loop_run(loop);
    ok(late.frames == 2 && !late.closed, "freed in a frame that came in two parts");
    close_pair(&late, fd);
}

struct big_peer {
    int fd;
    int frames;
    size_t size;
    int failed;
};

static void *send_big(void *arg)
{
    struct big_peer *p = arg;
    cleanup_arena struct arena *a = arena_new();
    struct value body = pattern(a, p->size), one = number(a, 1);

    for (int i = 0; i < p->frames; i++)
        p->failed += wire_send(p->fd, 1, &body, NULL) || wire_send(p->fd, 2, &one, NULL);
    return NULL;
}

static void *recv_big(void *arg)
{
    struct big_peer *p = arg;

    for (int i = 0; i < p->frames; i++) {
        cleanup_arena struct arena *a = arena_new();
        struct value body = {0};
        const struct value *data;
        int type;

        p->failed += wire_recv(p->fd, a, &type, &body, NULL) != 0;
        data = value_get(&body, "data");
        p->failed += !data || data->len != p->size || data->s[4096] != 1;
    }
    return NULL;
}

static void test_big(void)
{
    struct end e = {.stop_at = 6};
    struct big_peer in = {open_pair(&e), 3, 10 << 20, 0}, out = in;
    cleanup_arena struct arena *a = arena_new();
    struct value body = pattern(a, 10 << 20);
    cleanup_buf struct buf packed = BUF_INIT;
    pthread_t sender, receiver;

    is_int(conn_send(e.c, 1, &body), 0, "10 MiB to send");
    ok(conn_backlog(e.c) > 9 << 20, "most of it waits");
    value_to_msgpack(&body, &packed);
    is_int(conn_send_raw(e.c, 1, packed.data, packed.len), 0, "10 MiB of bytes behind it");
    out.frames = 2;
    pthread_create(&sender, NULL, send_big, &in);
    pthread_create(&receiver, NULL, recv_big, &out);
    loop_run(loop);
    pthread_join(sender, NULL);
    ok(e.frames == 6 && e.bytes == 3u * (10 << 20) && e.sum == 3 && !e.damaged &&
           !in.failed,
       "30 MiB in, between small ones");
    is_int(conn_flush(e.c), 0, "flush sends the rest");
    pthread_join(receiver, NULL);
    is_int(out.failed, 0, "20 MiB out");
    is_int(conn_backlog(e.c), 0, "nothing waits");
    out.frames = 1;
    pthread_create(&receiver, NULL, recv_big, &out);
    is_int(conn_send_raw(e.c, 1, packed.data, packed.len), 0, "bytes alone");
    is_int(conn_flush(e.c), 0, "flushed");
    pthread_join(receiver, NULL);
    is_int(out.failed, 0, "arrive");
    close_pair(&e, in.fd);
}

static void *recv_in_order(void *arg)
{
    struct big_peer *p = arg;

    for (int i = 0; i < p->frames; i++) {
        cleanup_arena struct arena *a = arena_new();
        struct value body = {0};
        int type = -1;

        p->failed += wire_recv(p->fd, a, &type, &body, NULL) != 0;
        p->failed += type != i % 256 || value_int(&body, "n", 0) != (i % 3 ? i : -1);
    }
    return NULL;
}

static void test_backlog_order(void)
{
    struct end e = {0};
    struct big_peer out = {open_pair(&e), 20000, 0, 0};
    cleanup_arena struct arena *a = arena_new();
    pthread_t receiver;
    int wrong = 0;

    for (int i = 0; i < out.frames; i++) {
        struct value body = number(a, i);

        wrong += i % 3 ? conn_send(e.c, i % 256, &body) != 0
                       : conn_send_raw(e.c, i % 256, "\x81\xa1n\xff", 4) != 0;
    }
    is_int(wrong, 0, "20000 frames sent");
    ok(conn_backlog(e.c) > 0, "more than the socket takes");
    pthread_create(&receiver, NULL, recv_in_order, &out);
    while (conn_backlog(e.c))
        settle();
    pthread_join(receiver, NULL);
    is_int(out.failed, 0, "all arrive in order");
    close_pair(&e, out.fd);
}

static void test_pause(void)
{
    struct end e = {0};
    int fd = open_pair(&e);
    cleanup_arena struct arena *a = arena_new();
    struct value body = number(a, 1);

    conn_pause(e.c, true);
    wire_send(fd, 1, &body, NULL);
    close(fd);
    settle();
    ok(!e.frames && !e.closed, "paused: neither the frame nor the end is told");
    conn_pause(e.c, false);
    loop_run(loop);
    ok(e.frames == 1 && e.closed == 1 && !e.err.code, "resumed: both are");
    close_pair(&e, -1);
}

/* The peer's last words are heard though nothing can be sent to it any more. */
static void test_last_words(void)
{
    struct end e = {.free_on_close = true};
    int fd = open_pair(&e);
    cleanup_arena struct arena *a = arena_new();
    struct value body = number(a, 4), big = pattern(a, 1 << 20);

    conn_send(e.c, 1, &big);
    ok(conn_backlog(e.c) > 0, "a backlog");
    wire_send(fd, 1, &body, NULL);
    shutdown(fd, SHUT_WR);
    settle();
    ok(e.frames == 1 && e.closed == 1, "the frame, then the end");
    close_pair(&e, fd);
}

static void test_fork(void)
{
    struct end e = {.stop_at = 1};
    int fd = open_pair(&e), status = -1;
    cleanup_arena struct arena *a = arena_new();
    struct value body = number(a, 1);
    pid_t pid = fork();

    if (!pid) {
        conn_free_after_fork(e.c);
        loop_free_after_fork(loop);
        _exit(0);
    }
    ok(waitpid(pid, &status, 0) == pid && !status, "a child frees its copy");
    wire_send(fd, 1, &body, NULL);
    loop_run(loop);
    is_int(e.frames, 1, "the parent's goes on");
    close_pair(&e, fd);
}

int main(void)
{
    alarm(120);
    test_invalid();
    test_both_ways();
    test_byte_by_byte();
    test_corrupt();
    test_promise();
    test_freed_in_callback();
    test_big();
    test_backlog_order();
    test_pause();
    test_last_words();
    test_fork();
    return tap_done();
}
