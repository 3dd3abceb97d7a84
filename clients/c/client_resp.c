/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Commands and replies, one after the other. */
#include "client_resp.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/str.h"

#define TIMEOUT_MS 10000 /* of connecting, and of one reply */

int resp_place_init(struct resp_place *p, const char *url, const char *password,
                    const char *ca_file, struct berth_error *err)
{
    char why[200];
    if (url_parse(url, &p->url, why, sizeof why) < 0)
        return berth_fail(err, EINVAL, "'%s': %s", url, why);
    if (p->url.count > 1)
        return berth_fail(err, EINVAL, "'%s': a client speaks to one server", url);
    if (password && *password && !(p->password = strdup(password)))
        return berth_fail(err, ENOMEM, "out of memory");
    if (p->url.tls && tls_config_new(ca_file, NULL, NULL, &p->tls, why, sizeof why) < 0)
        return berth_fail(err, EINVAL, "'%s': %s", url, why);
    return 0;
}

void resp_place_fini(struct resp_place *p)
{
    free(p->password);
    tls_config_free(p->tls);
}

void resp_close(struct resp_conn *c)
{
    if (c->fd >= 0)
        close(take_fd(c->fd));
    tls_free(take_ptr(c->tls));
    resp_reader_free(take_ptr(c->reader));
    bytes_free(&c->out);
    bytes_free(&c->plain);
}

static int away(struct resp_conn *c, struct berth_error *err, const char *what,
                const char *why)
{
    resp_close(c);
    return berth_fail(err, ECONNREFUSED, "Redis: %s: %s", what, why);
}

/* ---- bytes ---- */

static int flush(struct resp_conn *c, struct berth_error *err)
{
    size_t done = 0;
    if (c->out.failed)
        return away(c, err, "cannot send", "out of memory");
    while (done < c->out.len) {
        ssize_t n = send(c->fd, c->out.data + done, c->out.len - done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return away(c, err, "cannot send", strerror(errno));
        done += (size_t)n;
    }
    bytes_drop(&c->out, done);
    return 0;
}

/* Some bytes to the reader: 1, 0 if none came in time, -errno. */
static int receive(struct resp_conn *c, int64_t ms, struct berth_error *err)
{
    char piece[16384], why[200];
    struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
    int ready = poll(&pfd, 1, (int)ms);
    if (ready == 0 || (ready < 0 && errno == EINTR))
        return 0;
    ssize_t n = recv(c->fd, piece, sizeof piece, 0);
    if (n <= 0)
        return away(c, err, "cannot receive",
                    n ? strerror(errno) : "it has closed the line");
    if (!c->tls)
        return resp_feed(c->reader, piece, (size_t)n) < 0
                   ? away(c, err, "cannot receive", "out of memory")
                   : 1;
    if (tls_read(c->tls, piece, (size_t)n, &c->plain, &c->out, why, sizeof why) < 0) {
        resp_close(c);
        return berth_fail(err, EPERM, "Redis: %s", why);
    }
    int rc = flush(c, err);
    if (rc < 0)
        return rc;
    if (resp_feed(c->reader, c->plain.data, c->plain.len) < 0)
        return away(c, err, "cannot receive", "out of memory");
    bytes_drop(&c->plain, c->plain.len);
    return 1;
}

int resp_read(struct resp_conn *c, int64_t ms, struct resp **ret, struct berth_error *err)
{
    int64_t end = now_ms() + ms;
    for (;;) {
        int rc = resp_next(c->reader, ret);
        if (rc < 0) {
            resp_close(c);
            return berth_fail(err, EPROTO, "what answers is no Redis");
        }
        int64_t left = end - now_ms();
        if (rc > 0 || left <= 0)
            return rc;
        rc = receive(c, left, err);
        if (rc < 0)
            return rc;
    }
}

static int write_cmd(struct resp_conn *c, const struct cmd *cmd, struct berth_error *err)
{
    struct bytes plain = {0};
    char why[200];
    int rc = cmd_write(cmd, c->tls ? &plain : &c->out);
    if (rc < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    if (c->tls)
        rc = tls_write(c->tls, plain.data, plain.len, &c->out, why, sizeof why);
    bytes_free(&plain);
    return rc < 0 ? away(c, err, "cannot send", why) : flush(c, err);
}

/* ---- connecting ---- */

static void set_patience(int fd)
{
    struct timeval tv = {.tv_sec = TIMEOUT_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv); /* of connect(), too */
}

static int connect_unix(struct resp_conn *c, const char *path, struct berth_error *err)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0)
        set_patience(c->fd);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0)
        return away(c, err, path, strerror(errno));
    return 0;
}

static int connect_host(struct resp_conn *c, const char *name, int port,
                        struct berth_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int bad = getaddrinfo(name, service, &hints, &list), why = ECONNREFUSED;
    if (bad)
        return away(c, err, name, gai_strerror(bad));
    for (struct addrinfo *ai = list; ai && c->fd < 0; ai = ai->ai_next) {
        c->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd >= 0)
            set_patience(c->fd);
        if (c->fd < 0 || connect(c->fd, ai->ai_addr, ai->ai_addrlen) == 0)
            continue;
        why = errno;
        close(take_fd(c->fd));
    }
    freeaddrinfo(list);
    return c->fd >= 0 ? 0 : away(c, err, name, strerror(why));
}

static int begin_tls(struct resp_conn *c, const struct resp_place *p, const char *name,
                     struct berth_error *err)
{
    char why[200] = "out of memory";
    int64_t end = now_ms() + TIMEOUT_MS;
    c->tls = tls_new(p->tls, name);
    if (!c->tls || tls_start(c->tls, &c->out, why, sizeof why) < 0)
        return away(c, err, name, why);
    int rc = flush(c, err);
    while (rc >= 0 && !tls_is_up(c->tls)) {
        rc = receive(c, end - now_ms(), err);
        if (rc == 0)
            return away(c, err, name, "TLS takes too long");
    }
    return rc < 0 ? rc : 0;
}

/* An error that the server will get over, one of access, or one of ours. */
static int server_error(const char *text, struct berth_error *err)
{
    static const char *const passing[] = {
        "LOADING",    "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN",
        "NOREPLICAS", "MISCONF",  "OOM",        "BUSY",        "UNKILLABLE"};
    static const char *const access[] = {"NOAUTH", "NOPERM", "WRONGPASS", "ERR AUTH",
                                         "ERR invalid password"};
    int code = EPROTO;
    for (size_t i = 0; i < countof(passing); i++)
        if (!strncmp(text, passing[i], strlen(passing[i])))
            code = EAGAIN;
    for (size_t i = 0; i < countof(access); i++)
        if (!strncmp(text, access[i], strlen(access[i])))
            code = EPERM;
    return berth_fail(err, code, "Redis: %s", text);
}

/* Sends, and waits for the reply on a connection that is there. */
static int exchange(struct resp_conn *c, const struct cmd *cmd, struct resp **ret,
                    struct berth_error *err)
{
    int rc = write_cmd(c, cmd, err);
    if (rc == 0)
        rc = resp_read(c, TIMEOUT_MS, ret, err);
    if (rc == 0)
        return away(c, err, "no reply", "it takes too long");
    if (rc < 0 || (*ret)->type != RESP_ERROR)
        return rc < 0 ? rc : 0;
    rc = server_error((*ret)->s, err);
    resp_free(*ret);
    return rc;
}

static int greet(struct resp_conn *c, const struct resp_place *p, struct berth_error *err)
{
    struct cmd auth = {0}, select = {0};
    struct resp *reply;
    int rc = 0;
    cmd_str(&auth, "AUTH");
    if (*p->url.user)
        cmd_str(&auth, p->url.user);
    cmd_str(&auth, p->password ? p->password : "");
    cmd_str(&select, "SELECT");
    cmd_int(&select, p->url.db);
    if (p->password && (rc = exchange(c, &auth, &reply, err)) == 0)
        resp_free(reply);
    if (rc == 0 && p->url.db && (rc = exchange(c, &select, &reply, err)) == 0)
        resp_free(reply);
    cmd_free(&auth);
    cmd_free(&select);
    if (rc < 0)
        resp_close(c);
    return rc;
}

static int open_conn(struct resp_conn *c, const struct resp_place *p,
                     struct berth_error *err)
{
    c->reader = resp_reader_new();
    if (!c->reader)
        return berth_fail(err, ENOMEM, "out of memory");
    const struct url_host *host = &p->url.hosts[0];
    int rc = p->url.kind == URL_UNIX ? connect_unix(c, p->url.path, err)
                                     : connect_host(c, host->name, host->port, err);
    if (rc == 0 && p->tls)
        rc = begin_tls(c, p, host->name, err);
    return rc < 0 ? rc : greet(c, p, err);
}

int resp_call(struct resp_conn *c, const struct resp_place *p, struct cmd *take_cmd,
              struct resp **ret, struct berth_error *err)
{
    int rc = c->fd < 0 ? open_conn(c, p, err) : 0;
    if (rc == 0)
        rc = exchange(c, take_cmd, ret, err);
    cmd_free(take_cmd);
    return rc;
}
