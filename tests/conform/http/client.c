/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A client of raw sockets. */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENT_PATIENCE_MS 8000

struct client client_open(struct fake *f)
{
    struct client c = {.f = f};
    if (!strncmp(f->listening, "unix:", 5)) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        snprintf(un.sun_path, sizeof(un.sun_path), "%.*s",
                 (int)strcspn(f->listening + 5, " "), f->listening + 5);
        c.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(c.fd, (struct sockaddr *)&un, sizeof(un)) < 0)
            c.closed = true;
    } else {
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)fake_port(f)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        c.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(c.fd, (struct sockaddr *)&in, sizeof(in)) < 0 && errno != EINPROGRESS)
            c.closed = true;
    }
    fake_listen_to(f, c.fd);
    return c;
}

void client_close(struct client *c)
{
    close(c->fd);
    free(c->in);
    *c = (struct client){.fd = -1};
}

static void client_pull(struct client *c)
{
    char block[65536];
    ssize_t n;
    while ((n = recv(c->fd, block, sizeof(block), MSG_DONTWAIT)) > 0) {
        c->in = realloc(c->in, c->len + (size_t)n + 1);
        memcpy(c->in + c->len, block, (size_t)n);
        c->len += (size_t)n;
        c->in[c->len] = '\0';
    }
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != ENOTCONN))
        c->closed = true;
}

void client_send(struct client *c, const void *data, size_t len)
{
    int64_t end = fake_now() + CLIENT_PATIENCE_MS;
    for (const char *p = data; len && fake_now() < end;) {
        ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        } else if (n < 0 && errno != EAGAIN && errno != ENOTCONN) {
            return;
        }
        client_pull(c);
        fake_turn(c->f, len && n <= 0 ? 1 : 0);
    }
}

void client_text(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

static bool client_has(const struct client *c, size_t len, const char *text)
{
    return text ? c->in && memmem(c->in, c->len, text, strlen(text)) : c->len >= len;
}

bool client_wait(struct client *c, size_t len, const char *text)
{
    int64_t end = fake_now() + CLIENT_PATIENCE_MS;
    client_pull(c);
    while (!client_has(c, len, text) && !c->closed && fake_now() < end) {
        fake_turn(c->f, 20);
        client_pull(c);
    }
    return client_has(c, len, text);
}

bool client_wait_closed(struct client *c)
{
    int64_t end = fake_now() + CLIENT_PATIENCE_MS;
    while (!c->closed && fake_now() < end) {
        fake_turn(c->f, 20);
        client_pull(c);
    }
    return c->closed;
}

static void client_use(struct client *c, size_t len)
{
    memmove(c->in, c->in + len, c->len - len + 1);
    c->len -= len;
}

static void answer_add(struct answer *a, const char *data, size_t len)
{
    a->body = realloc(a->body, a->len + len + 1);
    memcpy(a->body + a->len, data, len);
    a->len += len;
    a->body[a->len] = '\0';
}

static void client_read_chunks(struct client *c, struct answer *a)
{
    while (client_wait(c, 0, "\r\n")) {
        size_t line = strcspn(c->in, "\r") + 2, size = strtoul(c->in, NULL, 16);
        if (!client_wait(c, line + size + 2, NULL))
            return;
        answer_add(a, c->in + line, size);
        client_use(c, line + size + 2);
        if (!size)
            return;
    }
}

void client_read(struct client *c, struct answer *a, bool head_only)
{
    free(a->body);
    *a = (struct answer){.body = calloc(1, 1)};
    if (!client_wait(c, 0, "\r\n\r\n"))
        return;
    size_t head = (size_t)(strstr(c->in, "\r\n\r\n") - c->in) + 4;
    snprintf(a->head, sizeof(a->head), "%.*s", (int)head, c->in);
    client_use(c, head);
    a->status = atoi(a->head + 9);
    if (head_only || a->status == 100)
        return;
    if (!strcasecmp(answer_field(a, "Transfer-Encoding"), "chunked")) {
        client_read_chunks(c, a);
        return;
    }
    size_t len = strtoul(answer_field(a, "Content-Length"), NULL, 10);
    if (client_wait(c, len, NULL)) {
        answer_add(a, c->in, len);
        if (len)
            client_use(c, len);
    }
}

void client_ask(struct fake *f, struct answer *a, const char *method, const char *target,
                const char *headers, const char *body)
{
    struct client c = client_open(f);
    char *head = NULL;
    size_t body_len = body ? strlen(body) : 0;
    int len =
        asprintf(&head, "%s %s HTTP/1.1\r\nHost: localhost\r\n%s", method, target, headers);
    client_send(&c, head, (size_t)len);
    free(head);
    if (body) {
        char length[64];
        snprintf(length, sizeof(length), "Content-Length: %zu\r\n", body_len);
        client_text(&c, length);
    }
    client_text(&c, "\r\n");
    client_send(&c, body, body_len);
    client_read(&c, a, !strcmp(method, "HEAD"));
    client_close(&c);
}

const char *answer_field(const struct answer *a, const char *name)
{
    static char value[512];
    size_t len = strlen(name);
    for (const char *line = a->head; (line = strstr(line, "\r\n"));) {
        line += 2;
        if (strncasecmp(line, name, len) != 0 || line[len] != ':')
            continue;
        line += len + 1 + strspn(line + len + 1, " ");
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\r"), line);
        return value;
    }
    return "";
}

const char *fake_plugin_path(void)
{
    static char path[4096];
    const char *given = getenv("BERTH_HTTP_PLUGIN"), *build = getenv("BERTH_BUILDDIR");
    snprintf(path, sizeof(path), "%s%s",
             given   ? given
             : build ? build
                     : ".",
             given ? "" : "/.libs/http.so");
    return path;
}
