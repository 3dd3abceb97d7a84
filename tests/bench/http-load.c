/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Sends one and the same task over HTTP again and again, on connections that are kept open.
 *
 *   http-load [-c CONNECTIONS] [-n REQUESTS | -t SECONDS] [-w WAIT] ADDRESS:PORT BODY
 *
 * Each connection has one request on the way at a time. With -w, seconds, the answer is the task's result, which has to
 * be "succeeded"; without it the answer is 202 once the task is queued. Prints a line of JSON: tasks per
 * second and how long a request took, from its first byte sent to its last byte received. The exit status is 1 if a
 * request failed; what the server said to the first of them goes to standard error.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/figures.h"

#define ANSWER_MAX 65536 /* more is no answer to a small task */

struct load {
    const char *request;
    size_t request_len;
    size_t limit, started, done, failed;
    uint64_t end_ns; /* no new request after this; 0: `limit` decides */
    uint64_t *took_ns;
    size_t room;
    const char *expect; /* status line, and what the body must hold */
    const char *expect_body;
    size_t open;
    int epoll;
};

struct line {
    int fd;
    uint64_t start_ns;
    size_t sent, got;
    char answer[ANSWER_MAX + 1];
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "http-load: %s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static bool load_more(const struct load *l)
{
    return l->end_ns ? figures_now_ns() < l->end_ns : l->started < l->limit;
}

static void load_took(struct load *l, uint64_t ns)
{
    if (l->done == l->room) {
        l->room = l->room ? l->room * 2 : 4096;
        l->took_ns = realloc(l->took_ns, l->room * sizeof *l->took_ns);
        if (!l->took_ns)
            give_up("memory for the figures");
    }
    l->took_ns[l->done++] = ns;
}

/* ---- one connection ---- */

static void line_wait(struct load *l, struct line *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev) < 0)
        give_up("epoll_ctl");
}

static void line_send(struct load *l, struct line *c)
{
    ssize_t n = send(c->fd, l->request + c->sent, l->request_len - c->sent, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        give_up("send");
    c->sent += n > 0 ? (size_t)n : 0;
    if (c->sent < l->request_len)
        line_wait(l, c, EPOLLOUT);
}

static void line_next(struct load *l, struct line *c)
{
    if (!load_more(l)) {
        close(c->fd);
        l->open--;
        return;
    }
    l->started++;
    c->sent = c->got = 0;
    c->start_ns = figures_now_ns();
    line_send(l, c);
}

/* The length of the whole answer, 0 while that is not known. */
static size_t answer_length(char *answer)
{
    char *end = strstr(answer, "\r\n\r\n");
    if (!end)
        return 0;
    char *length = strcasestr(answer, "\r\nContent-Length:");
    if (!length || length > end) {
        errno = EPROTO;
        give_up("an answer without Content-Length");
    }
    return (size_t)(end - answer) + 4 + strtoul(length + 17, NULL, 10);
}

static void line_judge(struct load *l, struct line *c)
{
    load_took(l, figures_now_ns() - c->start_ns);
    if (!strncmp(c->answer, l->expect, strlen(l->expect)) &&
        strstr(c->answer, l->expect_body))
        return;
    if (!l->failed++)
        fprintf(stderr, "http-load: a request failed: %s\n", c->answer);
}

static void line_receive(struct load *l, struct line *c)
{
    errno = 0;
    ssize_t n = recv(c->fd, c->answer + c->got, ANSWER_MAX - c->got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        errno = n ? errno : ECONNRESET;
        give_up(c->got == ANSWER_MAX ? "an answer that is too long" : "recv");
    }
    c->got += (size_t)n;
    c->answer[c->got] = '\0';
    size_t length = answer_length(c->answer);
    if (!length || c->got < length)
        return;
    line_judge(l, c);
    line_next(l, c);
}

static void line_event(struct load *l, struct line *c, uint32_t events)
{
    if (events & EPOLLOUT) {
        line_send(l, c);
        if (c->sent == l->request_len)
            line_wait(l, c, EPOLLIN);
    } else {
        line_receive(l, c);
    }
}

static void line_open(struct load *l, struct line *c, const struct sockaddr_in *to)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)to, sizeof *to) < 0)
        give_up("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
        give_up("epoll_ctl");
    l->open++;
}

/* ---- all of them ---- */

static uint64_t load_run(struct load *l, size_t connections, const struct sockaddr_in *to)
{
    struct epoll_event ready[64];
    struct line *lines = calloc(connections, sizeof *lines);
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!lines || l->epoll < 0)
        give_up("set-up");
    for (size_t i = 0; i < connections; i++)
        line_open(l, &lines[i], to);
    uint64_t start = figures_now_ns();
    l->end_ns += l->end_ns ? start : 0;
    for (size_t i = 0; i < connections; i++)
        line_next(l, &lines[i]);
    while (l->open) {
        int n = epoll_wait(l->epoll, ready, 64, -1);
        if (n < 0 && errno != EINTR)
            give_up("epoll_wait");
        for (int i = 0; i < n; i++)
            line_event(l, ready[i].data.ptr, ready[i].events);
    }
    uint64_t wall = figures_now_ns() - start;
    free(lines);
    close(l->epoll);
    return wall;
}

static struct sockaddr_in address(char *text)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char *colon = strrchr(text, ':');
    if (colon) {
        *colon = '\0';
        to.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    }
    if (!colon || !to.sin_port || inet_pton(AF_INET, text, &to.sin_addr) != 1) {
        fprintf(stderr, "http-load: '%s' is no ADDRESS:PORT such as 127.0.0.1:2591\n",
                text);
        exit(2);
    }
    return to;
}

static char *request(const char *body, const char *wait)
{
    char *text;
    if (asprintf(&text,
                 "POST /v1/tasks%s%s HTTP/1.1\r\nHost: localhost\r\n"
                 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 wait ? "?wait=" : "", wait ? wait : "", strlen(body), body) < 0)
        give_up("request");
    return text;
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: http-load [-c CONNECTIONS] [-n REQUESTS | -t SECONDS] "
                    "[-w WAIT] ADDRESS:PORT BODY\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct load l = {.limit = 1000};
    size_t connections = 1;
    const char *wait = NULL;
    int opt;
    while ((opt = getopt(argc, argv, "c:n:t:w:")) != -1) {
        if (opt == 'c')
            connections = strtoul(optarg, NULL, 10);
        else if (opt == 'n')
            l.limit = strtoul(optarg, NULL, 10);
        else if (opt == 't')
            l.end_ns = (uint64_t)(strtod(optarg, NULL) * 1e9);
        else if (opt == 'w')
            wait = optarg;
        else
            usage();
    }
    if (argc - optind != 2 || !connections || connections > 256 || (!l.limit && !l.end_ns))
        usage();
    struct sockaddr_in to = address(argv[optind]);
    char *text = request(argv[optind + 1], wait);
    l.request = text;
    l.request_len = strlen(text);
    l.expect = wait ? "HTTP/1.1 200" : "HTTP/1.1 202";
    l.expect_body = wait ? "\"verdict\":\"succeeded\"" : "";
    uint64_t wall = load_run(&l, connections, &to);
    figures_print(l.took_ns, l.done, wall, l.failed);
    free(l.took_ns);
    free(text);
    return l.failed ? 1 : 0;
}
