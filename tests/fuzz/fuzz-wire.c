/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Bytes on a socket between the roles. They are read twice: by a connection on the loop, cut into pieces as
 * the first byte says, and by the blocking calls of berth(1). Both must see the same frames.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fail.h"
#include "wire/conn.h"
#include "wire/header.h"

#define FRAMES_MAX 64

struct seen {
    struct loop *loop;
    struct conn *conn;
    int types[FRAMES_MAX], count;
    size_t pairs;
    int code; /* why it ended; 0: the peer closed */
    bool closed;
};

static void see(struct seen *s, int type, const struct value *body)
{
    if (s->count < FRAMES_MAX)
        s->types[s->count] = type;
    s->count++;
    s->pairs += body->count;
}

/* Says it again to the sender, whose side nobody reads. */
static void on_frame(void *arg, int type, const struct value *body, struct arena *arena)
{
    struct seen *s = arg;
    (void)arena;
    see(s, type, body);
    conn_send(s->conn, type, body);
}

static void on_closed(void *arg, const struct berth_error *err)
{
    struct seen *s = arg;
    fuzz_check(!s->closed);
    s->closed = true;
    s->code = err->code;
    loop_stop(s->loop);
}

static void stop(void *arg)
{
    loop_stop(arg);
}

static int pair_up(int fds[2])
{
    int size = 1 << 20;
    fuzz_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ? -errno : 0,
              "socketpair");
    setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return fds[1];
}

static void by_loop(const uint8_t *data, size_t size, size_t piece, struct seen *s)
{
    int fds[2], out = pair_up(fds);
    s->loop = loop_new();
    s->conn = conn_new(s->loop, fds[0], on_frame, on_closed, s);
    struct loop_timer *turn = loop_timer_add(s->loop, 0, stop, s->loop);
    fuzz_must(s->conn && turn ? 0 : -ENOMEM, "conn_new");
    for (size_t n; size && !s->closed; data += n, size -= n) {
        n = size < piece ? size : piece;
        if (send(out, data, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
            break;
        loop_timer_set(turn, 0);
        loop_run(s->loop);
    }
    shutdown(out, SHUT_WR);
    if (!s->closed)
        loop_timer_stop(turn);
    while (!s->closed)
        loop_run(s->loop);
    conn_free(s->conn);
    loop_free(s->loop);
    close(out);
}

static void by_blocking(const uint8_t *data, size_t size, struct seen *s)
{
    struct berth_error err = {0};
    int fds[2], out = pair_up(fds), r = 0;
    fuzz_check(send(out, data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size);
    shutdown(out, SHUT_WR);
    while (r == 0) {
        cleanup_arena struct arena *a = arena_new();
        struct value body;
        int type;
        r = wire_recv(fds[0], a, &type, &body, &err);
        if (r == 0)
            see(s, type, &body);
    }
    fuzz_check_error(r, &err);
    s->code = -r;
    close(fds[0]);
    close(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct seen loop = {0}, blocking = {0};
    if (size < 2 || size > 65536)
        return -1;
    size_t piece = data[0] ? data[0] : size;
    by_loop(data + 1, size - 1, piece, &loop);
    by_blocking(data + 1, size - 1, &blocking);
    fuzz_check(loop.count == blocking.count && loop.pairs == blocking.pairs);
    for (int i = 0; i < loop.count && i < FRAMES_MAX; i++)
        fuzz_check(loop.types[i] == blocking.types[i]);
    fuzz_check(loop.code == blocking.code || (!loop.code && blocking.code == ECONNRESET));
    return 0;
}
