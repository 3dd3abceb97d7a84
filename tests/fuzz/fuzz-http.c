/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Requests, byte for byte, to the HTTP plugin as it listens. The input is sent in pieces as its first byte
 * says. Whatever it is, the next client is served.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "conform/http/fake_host.h"

#define TURNS_MAX 200

const struct berth_plugin *berth_plugin_entry(void);

static char listen_on[256];
static const char tokens[] =
    "# of a test\n\n  secret-token-of-nobody\nblue:secret-token-of-blue\n";
static struct fake f;

static int client(void)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%.100s", listen_on + 5);
    fuzz_must(fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? -errno : 0,
              "connect");
    return fd;
}

/* Turns until nothing happens any more. */
static void settle(void)
{
    long before = -1;
    for (int i = 0; i < TURNS_MAX && before != f.events; i++) {
        before = f.events;
        fake_turn(&f, 0);
    }
}

/* Takes what was answered; returns the status of the last answer. */
static int take(int fd)
{
    char text[65536];
    int status = 0;
    ssize_t n;
    while ((n = recv(fd, text, sizeof text - 1, 0)) > 0) {
        text[n] = '\0';
        if (!strncmp(text, "HTTP/1.1 ", 9))
            status = atoi(text + 9);
        settle();
    }
    return status;
}

static void feed(int fd, const uint8_t *data, size_t size, size_t piece)
{
    for (size_t n; size; data += n, size -= n) {
        n = size < piece ? size : piece;
        if (send(fd, data, n, MSG_NOSIGNAL) != (ssize_t)n)
            return; /* it has closed */
        settle();
    }
}

static void ask_well(void)
{
    static const char request[] =
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    int fd = client();
    feed(fd, (const uint8_t *)request, strlen(request), strlen(request));
    int status = take(fd);
    fuzz_check(status == 200);
    close(fd);
    settle();
}

static void start(bool with_tokens)
{
    const struct fake_option options[] = {
        {"listen", listen_on},
        {"max_body", "4K"},
        {"header_limit", "2K"},
        {"max_connections", "8"},
        {"token_file", with_tokens ? "/proc/self/fd/100" : NULL},
        {NULL, NULL}};
    int r = fake_start_entry(&f, berth_plugin_entry(), options);
    fuzz_must(r, f.error.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return -1;
    snprintf(listen_on, sizeof listen_on, "unix:%.90s/s", fuzz_dir());
    fuzz_file(100, tokens, strlen(tokens));
    start(data[0] & 1);
    f.quiet = true;
    int fd = client();
    size_t piece = data[0] >> 1;
    feed(fd, data + 1, size - 1, piece ? piece : size);
    if (memmem(data, size, "wait=0.00", 9)) { /* and such a wait is over now */
        fake_turn(&f, 10);
        settle();
    }
    shutdown(fd, SHUT_WR);
    settle();
    take(fd);
    close(fd);
    settle();
    ask_well();
    fuzz_check(f.logs_opened == f.logs_closed);
    fake_stop(&f);
    fuzz_check(!f.watch_count);
    return 0;
}
