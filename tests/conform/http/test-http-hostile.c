/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The http transport and clients that mean harm: heads that two parsers read differently, all places
 * taken, answers that nobody takes. */
#include <sys/socket.h>

#include "../../tap.h"
#include "client.h"

#define MAX 20
#define BIG (5 << 20)
#define POST \
    "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
#define NEXT "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

static struct fake host;
static struct answer got;

static const struct fake_option options[] = {{"listen", "127.0.0.1:0"},
                                             {"max_body", "64K"},
                                             {"max_buffered", "8388608"},
                                             {"max_connections", "20"},
                                             {"idle_timeout", "60s"},
                                             {"request_timeout", "60s"},
                                             {NULL, NULL}};

/* ---- heads ---- */

/* One answer comes, and what stands behind the request is not taken for the next one. */
static void check_head(const char *text, int status, const char *why, bool ends)
{
    struct client c = client_open(&host);
    client_text(&c, text);
    client_read(&c, &got, false);
    char name[100];
    snprintf(name, sizeof(name), "%s",
             strncmp(text, POST, strlen(POST)) ? text : text + strlen(POST));
    for (char *p = name; *p; p++)
        *p = *p < ' ' ? ' ' : *p;
    is_int(got.status, status, "%s", name);
    has_str(got.body, why, "  says '%s'", why);
    if (ends)
        ok(client_wait_closed(&c) && !c.len, "  and ends the connection");
    client_close(&c);
}

static void test_framing(void)
{
    static const struct {
        const char *field, *body, *why;
    } rows[] = {
        {"Content-Length : 39", "", "of the form 'Name: value'"},
        {"Transfer-Encoding : chunked\r\nContent-Length: 5", "0\r\n\r\n", "of the form"},
        {"X Y: 1\r\nContent-Length: 2", "{}", "of the form"},
        {"X: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: 2", "{}", "of the form"},
        {"Transfer-Encoding:\r\n chunked\r\nContent-Length: 2", "{}", "of the form"},
        {"Content-Length:\r\n 2\r\nContent-Length: 2", "{}", "of the form"},
        {"X: a\rContent-Length: 39\r\nContent-Length: 2", "{}", "of the form"},
        {"Transfer-Encoding: gzip, chunked", "0\r\n\r\n", "'gzip, chunked'"},
        {"Transfer-Encoding: identity", "", "only chunked is known"},
        {"Transfer-Encoding: \"chunked\"", "0\r\n\r\n", "only chunked is known"},
        {"Content-Length: 2\r\nContent-Length: 2", "{}", "more than once"},
        {"Transfer-Encoding: chunked\r\nContent-Length: 2", "{}", "exclude each other"},
    };
    char text[512];
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(text, sizeof(text), POST "%s\r\n\r\n%s" NEXT, rows[i].field, rows[i].body);
        check_head(text, 400, rows[i].why, true);
    }
    check_head("POST /v1/tasks HTTP/1.0\r\nContent-Type: application/json\r\n"
               "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
               400, "in HTTP/1.0", true);
    check_head(POST "X: y\r\n\r\n" NEXT, 411, "Content-Length or chunked", true);
    check_head(POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" NEXT, 202, "{",
               true);
    check_head(POST "Content-Length: 2\r\n\r\n{}" NEXT, 202, "{", false);
}

static void test_targets(void)
{
    check_head("GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200, "",
               false);
    check_head("GET http://evil.example/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 421,
               "not 'evil.example'", true);
    check_head("GET http://localhost@evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
               421, "not 'localhost@evil.example'", true);
    check_head("GET /healthz HTTP/1.1\r\nHost: [::1]:2591\r\n\r\n", 200, "", false);
    check_head("GET /healthz HTTP/1.1\r\nHost: [evil.example]\r\n\r\n", 421, "evil", true);
    check_head("GET /healthz HTTP/1.1\r\nHost: [::1]evil.example\r\n\r\n", 421, "evil",
               true);
    check_head("GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n", 421, "not '[::1'", true);
    check_head("GET /healthz x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "%20", true);
    check_head("GET /healthz\t HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "%20", true);
}

/* ---- all places taken ---- */

static int ask(struct client *c)
{
    client_text(c, NEXT);
    client_read(c, &got, false);
    return got.status;
}

static void turn(int times)
{
    while (times--)
        fake_turn(&host, 10);
}

/* Those that do nothing give way, the eldest first; one that waits for a result never does. */
static void test_full(void)
{
    struct client wait = client_open(&host), idle[MAX];
    int before = host.message_count;
    client_text(&wait, POST "Content-Length: 4\r\n\r\nhold");
    while (host.message_count == before)
        fake_turn(&host, 10);
    for (int i = 0; i < MAX; i++) {
        idle[i] = client_open(&host);
        client_text(&idle[i], i % 2 ? "GET /heal" : ""); /* or half a request */
        turn(2);
    }
    ok(client_wait_closed(&idle[0]), "more clients than places: the eldest is cut");
    for (int i = 0; i < 100; i++) {
        struct client c = client_open(&host);
        int status = ask(&c);
        if (status != 200)
            is_int(status, 200, "newcomer %d", i);
        client_close(&c);
    }
    ok(true, "each of a hundred newcomers was served");
    ok(!host.message[before].forgotten, "the one that waits for its answer is still there");
    fake_reply(&host, &host.message[before], BERTH_REPLY_ACCEPTED, 0, NULL, "{}");
    client_read(&wait, &got, false);
    is_int(got.status, 202, "and gets it");
    fake_settle(&host, &host.message[before]);
    client_close(&wait);
    for (int i = 0; i < MAX; i++)
        client_close(&idle[i]);
}

/* Uploads give way only where nobody else does. */
static void test_full_of_uploads(void)
{
    struct client up[MAX];
    for (int i = 0; i < MAX; i++) {
        up[i] = client_open(&host);
        client_text(&up[i], POST "Content-Length: 10\r\n\r\n{");
        turn(2);
    }
    struct client c = client_open(&host);
    is_int(ask(&c), 200, "all places are taken by slow uploads: a newcomer is served");
    client_text(&up[MAX - 1], "        }");
    client_read(&up[MAX - 1], &got, false);
    is_int(got.status, 202, "and so is the last of them");
    client_close(&c);
    for (int i = 0; i < MAX; i++)
        client_close(&up[i]);
}

/* ---- answers that nobody takes ---- */

static struct client open_waiting(bool deaf)
{
    int small = 4096;
    struct client c = client_open(&host);
    if (deaf)
        setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    int before = host.message_count;
    client_text(&c, "POST /v1/tasks?wait=60 HTTP/1.1\r\nHost: localhost\r\n"
                    "Content-Type: application/json\r\nContent-Length: 4\r\n\r\nhold");
    while (host.message_count == before)
        fake_turn(&host, 10);
    return c;
}

static void answer_last(const char *text)
{
    struct fake_message *m = &host.message[host.message_count - 1];
    fake_reply(&host, m, BERTH_REPLY_RESULT, 0, NULL, text);
    fake_settle(&host, m);
}

static void test_large_answers(void)
{
    char *big = malloc(BIG + 1);
    memset(big, ' ', BIG);
    big[BIG] = '\0';
    struct client deaf = open_waiting(true);
    answer_last(big);
    turn(5);
    struct client other = open_waiting(false);
    answer_last(big);
    client_read(&other, &got, false);
    is_int(got.status, 503, "two large results, and room for one: the second is refused");
    has_str(got.body, "max_buffered, 8388608 bytes", "and told why");
    has_str(got.body, "/result", "and where to get it");
    ok(!strncmp(answer_field(&got, "Location"), "/v1/tasks/", 10), "in a field, too");
    client_close(&other);
    other = open_waiting(false);
    answer_last("{}");
    client_read(&other, &got, false);
    is_int(got.status, 200, "a small one is given");
    client_close(&other);
    client_close(&deaf);
    turn(5);
    other = open_waiting(false);
    answer_last(big);
    client_read(&other, &got, false);
    is_int(got.status, 200, "the client who took nothing is gone: there is room again");
    is_int((long long)got.len, BIG, "for all of it");
    client_close(&other);
    free(big);
}

int main(void)
{
    if (fake_start(&host, fake_plugin_path(), options) < 0) {
        ok(false, "the plugin starts: %s", host.error.text);
        return tap_done();
    }
    test_framing();
    test_targets();
    test_full();
    test_full_of_uploads();
    test_large_answers();
    fake_stop(&host);
    is_int(host.watch_count, 0, "close takes everything along");
    free(got.body);
    return tap_done();
}
