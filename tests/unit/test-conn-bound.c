/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A connection to a peer that is not trusted: what it sends and what it does not read is bounded. */
#include <errno.h>
#include <sys/socket.h>

#include "../tap.h"
#include "base/str.h"
#include "wire/conn.h"

#define REPLY 100000
#define ASKED 200

static struct loop *loop;
static struct conn *conn;
static int frames, closed;
static struct berth_error end;

static void on_question(void *arg, int type, const struct value *body, struct arena *arena)
{
    static const char reply[REPLY];
    (void)arg, (void)type, (void)body, (void)arena;
    frames++;
    conn_send_raw(conn, 2, reply, sizeof(reply));
}

static void on_closed(void *arg, const struct berth_error *err)
{
    (void)arg;
    closed++;
    end = *err;
}

static void stop(void *arg)
{
    (void)arg;
    loop_stop(loop);
}

/* Lets the loop do all that it can do without waiting. */
static void settle(int turns)
{
    while (turns--) {
        struct loop_timer *t = loop_timer_add(loop, 0, stop, NULL);
        loop_run(loop);
        loop_timer_remove(&t);
    }
}

static void test_replies(int fd)
{
    static char taken[65536];
    cleanup_arena struct arena *a = arena_new();
    struct value body = value_new_map(a);
    for (int i = 0; i < ASKED; i++)
        wire_send(fd, 1, &body, NULL);
    settle(ASKED * 8);
    ok(frames > 5 && frames < 100, "%d of %d questions are taken while no reply is read",
       frames, ASKED);
    ok(conn_backlog(conn) <= 1000000 + REPLY + 8, "%zu bytes wait for it",
       conn_backlog(conn));
    for (int64_t until = now_ms() + 60000; frames < ASKED && now_ms() < until; settle(4))
        while (recv(fd, taken, sizeof(taken), MSG_DONTWAIT) > 0)
            ;
    is_int(frames, ASKED, "and all of them when it reads");
}

static void test_large(int fd)
{
    static const char data[1000];
    cleanup_arena struct arena *a = arena_new();
    struct value body = value_new_map(a);
    value_put_bin(a, &body, "data", data, 900);
    wire_send(fd, 1, &body, NULL);
    settle(8);
    is_int(frames, ASKED + 1, "a frame within the bound");
    value_put_bin(a, &body, "more", data, 100);
    wire_send(fd, 1, &body, NULL);
    settle(8);
    is_int(closed, 1, "one above it ends the connection");
    is_int(end.code, EMSGSIZE, "by its header");
    has_str(end.text, "the limit is 1000", "which says the limit");
    is_int(frames, ASKED + 1, "and is not taken");
}

int main(void)
{
    int pair[2];
    alarm(120);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return 99;
    loop = loop_new();
    conn = conn_new(loop, pair[0], on_question, on_closed, NULL);
    conn_bound(conn, 1000, 1000000);
    test_replies(pair[1]);
    test_large(pair[1]);
    conn_free(conn);
    loop_free(loop);
    close(pair[1]);
    return tap_done();
}
