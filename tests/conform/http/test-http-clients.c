/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The http transport and its clients: pipelining, bodies, logs, and clients that are slow, stuck or gone. */
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../tap.h"
#include "client.h"

#define HEAD "Host: localhost\r\nContent-Type: application/json\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static struct fake host;
static struct answer got;

static const struct fake_option options[] = {{"listen", "127.0.0.1:0"},
                                             {"max_body", "64K"},
                                             {"max_buffered", "100000"},
                                             {"max_connections", "1100"},
                                             {"idle_timeout", "1s"},
                                             {"request_timeout", "2s"},
                                             {NULL, NULL}};

static struct fake_message *last(void)
{
    return &host.message[host.message_count - 1];
}

static void wait_for_message(int before)
{
    int64_t end = fake_now() + 5000;
    while (host.message_count == before && fake_now() < end)
        fake_turn(&host, 50);
}

/* ---- one connection ---- */

static void test_keep_alive(void)
{
    struct client c = client_open(&host);
    for (int i = 0; i < 3; i++) {
        client_text(&c, GET("/v1/stats"));
        client_read(&c, &got, false);
        is_int(got.status, 200, "request %d on one connection", i);
    }
    client_text(&c, GET("/nothing"));
    client_read(&c, &got, false);
    is_int(got.status, 404, "an error");
    client_text(&c, "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 3\r\n\r\n{ }");
    client_read(&c, &got, false);
    is_int(got.status, 202, "does not end it");
    client_text(&c,
                "GET /v1/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 200, "the last request");
    ok(client_wait_closed(&c), "ends it");
    client_close(&c);
}

static void test_pipelining(void)
{
    struct client c = client_open(&host);
    client_text(
        &c, GET("/v1/stats") "POST /v1/tasks?wait=1 HTTP/1.1\r\n" HEAD
                             "Content-Length: 2\r\n\r\n{}"
                             "POST /v1/tasks HTTP/1.1\r\n" HEAD
                             "Content-Length: 10\r\n\r\nrefuse 22 "
                             "POST /v1/tasks HTTP/1.1\r\nHost: "
                             "localhost\r\nContent-Length: 5\r\n\r\n12345"
                             "DELETE /v1/tasks/x HTTP/1.1\r\nHost: localhost\r\n\r\n" GET(
                                 "/healthz"));
    static const int statuses[] = {200, 200, 400, 415, 202, 200};
    for (int i = 0; i < 6; i++) {
        client_read(&c, &got, false);
        is_int(got.status, statuses[i], "answer %d of a pipeline, in order", i);
    }
    client_close(&c);
}

static void test_pieces(void)
{
    static const char request[] =
        "POST /v1/tasks HTTP/1.1\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\n"
        "3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\nX-Trailer: 1\r\n\r\n";
    struct client c = client_open(&host);
    for (size_t i = 0; i < sizeof(request) - 1; i++)
        client_send(&c, request + i, 1);
    client_read(&c, &got, false);
    is_int(got.status, 202, "a chunked request, byte by byte");
    is_str(last()->data, "{\"a\":1}", "is put together");
    client_close(&c);
    c = client_open(&host);
    client_text(&c, "GET /healthz HTTP/1.0\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 200, "HTTP/1.0 without Host");
    ok(client_wait_closed(&c), "ends with its answer");
    client_close(&c);
}

static void test_half_closed(void)
{
    struct client c = client_open(&host);
    client_text(&c, "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 4\r\n\r\nhold");
    int before = host.message_count;
    wait_for_message(before - (last()->settled ? 0 : 1));
    shutdown(c.fd, SHUT_WR);
    for (int i = 0; i < 5; i++)
        fake_turn(&host, 10);
    ok(!last()->forgotten, "a client that has shut its sending side");
    fake_reply(&host, last(), BERTH_REPLY_ACCEPTED, 0, NULL, "{}");
    client_read(&c, &got, false);
    is_int(got.status, 202, "gets its answer");
    fake_settle(&host, last());
    client_close(&c);
}

/* ---- oversized and malformed ---- */

static void test_big_heads(void)
{
    char *line = malloc(200001);
    memset(line, 'a', 200000);
    line[200000] = '\0';
    struct client c = client_open(&host);
    client_text(&c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
    client_send(&c, line, 17000);
    client_text(&c, "\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 431, "a head above header_limit");
    has_str(got.body, "urn:berth:problem:head-too-large", "is told so");
    ok(client_wait_closed(&c), "and the connection ends");
    client_close(&c);
    c = client_open(&host);
    client_text(&c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: ");
    client_send(&c, line, 200000);
    client_text(&c, "\r\n\r\n");
    client_wait_closed(&c);
    ok(c.closed, "a head far above it ends the connection");
    client_close(&c);
    c = client_open(&host);
    client_text(&c, "GET /");
    client_send(&c, line, 15000);
    client_text(&c, " HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 404, "a long path is only a path that is not there");
    client_close(&c);
    free(line);
}

static void send_body(struct client *c, const char *framing, size_t len)
{
    char *body = malloc(len);
    memset(body, ' ', len);
    client_text(c, "POST /v1/tasks HTTP/1.1\r\n" HEAD);
    client_text(c, framing);
    client_send(c, body, len);
    free(body);
}

static void test_big_bodies(void)
{
    struct client c = client_open(&host);
    int before = host.message_count;
    send_body(&c, "Content-Length: 65537\r\n\r\n", 65537);
    client_read(&c, &got, false);
    is_int(got.status, 413, "a body of max_body + 1");
    has_str(got.body, "65536 bytes", "is told the limit");
    send_body(&c, "Content-Length: 65536\r\n\r\n", 65536);
    client_read(&c, &got, false);
    is_int(got.status, 202, "on the same connection: max_body is taken");
    send_body(&c, "Transfer-Encoding: chunked\r\n\r\n10001\r\n", 65537);
    client_text(&c, "\r\n0\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 413, "the same, chunked");
    client_close(&c);
    c = client_open(&host);
    client_text(&c,
                "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 99999999999\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 413, "an absurd length is refused at once");
    is_str(answer_field(&got, "Connection"), "close", "and the connection ends");
    client_close(&c);
    c = client_open(&host);
    send_body(&c, "Transfer-Encoding: chunked\r\n\r\nfffff\r\n", 400000);
    ok(client_wait_closed(&c), "a chunked body without end is cut off");
    client_close(&c);
    is_int(host.message_count, before + 1, "and only one reached the host");
}

static void test_expect(void)
{
    struct client c = client_open(&host);
    client_text(&c, "POST /v1/tasks HTTP/1.1\r\n" HEAD
                    "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 100, "Expect: 100-continue");
    client_text(&c, "{}");
    client_read(&c, &got, false);
    is_int(got.status, 202, "goes on");
    client_text(&c, "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 415, "or is refused before the body is sent");
    client_close(&c);
}

/* Two bodies fit max_buffered, three do not; the third is told to try again. */
static void test_buffered(void)
{
    struct client c[3];
    for (int i = 0; i < 3; i++) {
        c[i] = client_open(&host);
        send_body(&c[i], "Content-Length: 40000\r\n\r\n", 39999);
    }
    client_text(&c[2], " ");
    client_read(&c[2], &got, false);
    is_int(got.status, 503, "more bodies than max_buffered");
    has_str(got.body, "no memory for the body now", "says why");
    for (int i = 0; i < 2; i++) {
        client_text(&c[i], " ");
        client_read(&c[i], &got, false);
        is_int(got.status, 202, "the others are taken");
    }
    client_text(&c[2], "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 2\r\n\r\n{}");
    client_read(&c[2], &got, false);
    is_int(got.status, 202, "and so is the next, when there is room");
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
}

static void test_malformed(void)
{
    static const char *const texts[] = {
        "GARBAGE\r\n\r\n",
        "GET /healthz HTTP/9.9\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: -5\r\n\r\n",
        "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 5x\r\n\r\n",
        "POST /v1/tasks HTTP/1.1\r\n" HEAD "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "POST /v1/tasks HTTP/1.1\r\n" HEAD
        "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct client c = client_open(&host);
        client_text(&c, texts[i]);
        ok(client_wait_closed(&c), "malformed request %zu ends its connection", i);
        ok(!c.len || !strncmp(c.in, "HTTP/1.1 4", 10) || !strncmp(c.in, "HTTP/1.1 5", 10),
           "  with an error or nothing");
        client_close(&c);
    }
    struct client c = client_open(&host);
    client_text(&c, "GET /healthz HTTP/1.1\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 400, "HTTP/1.1 without Host");
    client_close(&c);
    c = client_open(&host);
    client_text(&c, "POST /v1/tasks HTTP/1.1\r\n" HEAD
                    "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    client_read(&c, &got, false);
    is_int(got.status, 400, "two framings (request smuggling)");
    ok(client_wait_closed(&c), "end the connection");
    client_close(&c);
}

/* ---- clients that go away ---- */

static void test_gone(void)
{
    static const char *const requests[] = {
        "POST /v1/tasks?wait=60 HTTP/1.1\r\n" HEAD "Content-Length: 4\r\n\r\nhold",
        "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 4\r\n\r\nhold",
    };
    for (int i = 0; i < 2; i++) {
        struct linger hard = {1, 0};
        struct client c = client_open(&host);
        int before = host.message_count;
        client_text(&c, requests[i]);
        wait_for_message(before);
        if (i ==
            1) /* by reset: half a close alone is no reason to give such a request up */
            setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        client_close(&c);
        ok(fake_until(&host, &last()->forgotten), "the host is told to forget %d", i);
        fake_reply(&host, last(), BERTH_REPLY_RESULT, 0, NULL, "{}");
        fake_settle(&host, last());
        ok(true, "a late result does no harm");
    }
}

static void test_slow(void)
{
    struct client half = client_open(&host), idle = client_open(&host),
                  drip = client_open(&host);
    client_text(&half, "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 10\r\n\r\nabc");
    client_text(&drip, "GET /healthz HTTP/1.1\r\nX: ");
    int64_t end = fake_now() + 6000;
    while (!drip.closed && fake_now() < end) {
        client_text(&drip, "x");
        client_wait_closed(&half);
        fake_turn(&host, 100);
    }
    ok(drip.closed, "who sends a byte now and then is cut by request_timeout");
    ok(client_wait_closed(&half), "half a request is cut by idle_timeout");
    ok(client_wait_closed(&idle), "and so is an idle connection");
    client_close(&half);
    client_close(&idle);
    client_close(&drip);
}

/* ---- logs ---- */

static void test_logs(void)
{
    struct client c = client_open(&host);
    client_text(&c, GET("/v1/tasks/t/logs"));
    client_read(&c, &got, false);
    is_str(got.body, "0123456789", "a log as it is now");
    is_str(answer_field(&got, "Content-Type"), "application/octet-stream", "is bytes");
    client_text(&c, GET("/v1/tasks/t/logs?offset=7&stream=stderr&follow=0"));
    client_read(&c, &got, false);
    is_str(got.body, "789", "from an offset");
    is_int(host.log[0].stream, 2, "of the other stream");
    client_text(&c, "HEAD /v1/tasks/t/logs?follow=1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    client_read(&c, &got, true);
    is_int(got.status, 200, "HEAD of a log");
    client_text(&c, GET("/v1/tasks/empty/logs"));
    client_read(&c, &got, false);
    is_int(got.status, 200, "an empty log");
    is_int(got.len, 0, "is empty");
    is_int(host.logs_opened, host.logs_closed, "all are closed");
    client_close(&c);
}

static void test_follow(void)
{
    struct client c = client_open(&host);
    client_text(&c, GET("/v1/tasks/empty/logs?follow=1"));
    ok(client_wait(&c, 0, "\r\n\r\n"), "the head of a log comes before its first byte");
    for (int i = 0; i < 3; i++) {
        fake_log_add(&host, &host.log[0], "tick\n");
        ok(client_wait(&c, 0, "5\r\ntick\n\r\n"), "a line arrives as it is written");
        c.len = 0;
    }
    fake_log_add(&host, &host.log[0], "last\n");
    fake_log_end(&host, &host.log[0]);
    ok(client_wait(&c, 0, "5\r\nlast\n\r\n0\r\n\r\n"), "the end of the task ends it");
    c.len = 0;
    client_text(&c, GET("/healthz"));
    client_read(&c, &got, false);
    is_int(got.status, 200, "and the connection goes on");
    client_text(&c, GET("/v1/tasks/t/logs?follow=1"));
    client_wait(&c, 0, "0123456789");
    client_close(&c);
    int64_t end = fake_now() + 5000;
    while (host.log[0].open && fake_now() < end)
        fake_turn(&host, 50);
    ok(!host.log[0].open, "a reader who goes away closes its log");
}

/* A reader who never reads: what is written for it stays in the log, and others are served. */
static void test_stuck_reader(void)
{
    int small = 4096;
    struct client c = client_open(&host);
    char *line = malloc(65537);
    memset(line, 'y', 65536);
    line[65536] = '\0';
    setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    send(c.fd, GET("/v1/tasks/empty/logs?follow=1"),
         strlen(GET("/v1/tasks/empty/logs?follow=1")), MSG_NOSIGNAL);
    int64_t end = fake_now() + 5000;
    while (!host.log[0].open && fake_now() < end)
        fake_turn(&host, 50);
    for (int i = 0; i < 200; i++) {
        if (host.log[0].open)
            fake_log_add(&host, &host.log[0], line);
        fake_turn(&host, 0);
    }
    ok(host.log[0].at < 8u << 20, "%zu of %zu bytes were taken for it", host.log[0].at,
       host.log[0].len);
    struct client other = client_open(&host);
    client_text(&other, GET("/healthz"));
    client_read(&other, &got, false);
    is_int(got.status, 200, "others are served meanwhile");
    end = fake_now() + 8000;
    while (host.log[0].open && fake_now() < end)
        fake_turn(&host, 100);
    ok(!host.log[0].open, "and it is cut by idle_timeout");
    client_close(&c);
    client_close(&other);
    free(line);
}

/* Whoever waits costs nothing: the loop does not spin for a client that is suspended. */
static void test_quiet(void)
{
    struct client wait = client_open(&host), follow = client_open(&host),
                  half = client_open(&host);
    int before = host.message_count;
    client_text(&wait,
                "POST /v1/tasks?wait=60 HTTP/1.1\r\n" HEAD "Content-Length: 4\r\n\r\nhold"
                "GET /healthz HTTP/1.1\r\n"); /* and more is there to read */
    wait_for_message(before);
    client_text(&half, "POST /v1/tasks HTTP/1.1\r\n" HEAD "Content-Length: 4\r\n\r\nhold");
    wait_for_message(before + 1);
    shutdown(half.fd, SHUT_WR);
    client_text(&follow, GET("/v1/tasks/empty/logs?follow=1"));
    client_wait(&follow, 0, "\r\n\r\n");
    client_text(&follow, "GET /");
    int64_t end = fake_now() + 1500;
    long events = host.events;
    while (fake_now() < end)
        fake_turn(&host, 50);
    ok(host.events - events < 20, "%ld events in 1.5 s of waiting", host.events - events);
    client_close(&wait);
    client_close(&follow);
    client_close(&half);
    for (int i = before; i < before + 2; i++)
        fake_settle(&host, &host.message[i]);
}

/* ---- many ---- */

static void test_many(void)
{
    enum { COUNT = 1000 };
    struct client *idle = calloc(COUNT, sizeof(*idle));
    int64_t start = fake_now();
    for (int i = 0; i < COUNT; i++) {
        idle[i] = client_open(&host);
        fake_turn(&host, 0);
    }
    struct client c = client_open(&host);
    int good = 0;
    for (int i = 0; i < 500; i++) {
        client_text(&c, "POST /v1/tasks?wait=1 HTTP/1.1\r\n" HEAD
                        "Content-Length: 2\r\n\r\n{}");
        client_read(&c, &got, false);
        good += got.status == 200;
    }
    is_int(good, 500, "500 tasks beside %d idle connections, %lld ms in all", COUNT,
           (long long)(fake_now() - start));
    for (int i = 0; i < COUNT; i++)
        client_close(&idle[i]);
    client_close(&c);
    free(idle);
}

/* Those who wait when the plugin is closed are dropped, not leaked. */
static void test_close(void)
{
    struct client wait = client_open(&host), follow = client_open(&host);
    int before = host.message_count;
    client_text(&wait,
                "POST /v1/tasks?wait=60 HTTP/1.1\r\n" HEAD "Content-Length: 4\r\n\r\nhold");
    client_text(&follow, GET("/v1/tasks/empty/logs?follow=1"));
    client_wait(&follow, 0, "\r\n\r\n");
    wait_for_message(before);
    fake_stop(&host);
    is_int(host.watch_count, 0, "close takes everything along");
    is_int(host.logs_opened, host.logs_closed, "logs too");
    close(wait.fd);
    close(follow.fd);
    free(wait.in);
    free(follow.in);
}

int main(void)
{
    struct rlimit files = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    if (fake_start(&host, fake_plugin_path(), options) < 0) {
        ok(false, "the plugin starts: %s", host.error.text);
        return tap_done();
    }
    test_keep_alive();
    test_pipelining();
    test_pieces();
    test_half_closed();
    test_big_heads();
    test_big_bodies();
    test_expect();
    test_buffered();
    test_malformed();
    test_gone();
    test_logs();
    test_follow();
    test_stuck_reader();
    test_quiet();
    test_many();
    test_slow();
    test_close();
    free(got.body);
    return tap_done();
}
