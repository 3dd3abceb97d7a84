/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Endpoints. The listening socket is made here, not by libzmq: it is bound while the host still has what the
 * config grants it, and libzmq may start its threads only later.
 */
#include "zeromq_endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG SOMAXCONN

__attribute__((format(printf, 3, 4))) static int wrong(char *why, int code,
                                                       const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(why, ENDPOINT_WHY, format, ap);
    va_end(ap);
    return -code;
}

/* ---- parsing ---- */

static int parse_ipc(const char *path, struct endpoint *e, char *why)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&e->addr;
    if (*path != '/')
        return wrong(why, EINVAL, "'%.100s': write ipc:///path, the path begins with /",
                     e->text);
    if (strlen(path) >= sizeof un->sun_path)
        return wrong(why, EINVAL, "'%.120s': its path is longer than %zu bytes", e->text,
                     sizeof un->sun_path - 1);
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    e->addr_len = sizeof *un;
    e->ipc = true;
    return 0;
}

static bool is_loopback(const struct sockaddr *any)
{
    if (any->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)any;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    const struct in6_addr *six = &((const struct sockaddr_in6 *)any)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) ||
           (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == 127);
}

static bool is_port(const char *s)
{
    size_t n = strspn(s, "0123456789");
    return n >= 1 && n <= 5 && !s[n] && atoi(s) <= 65535;
}

/* host gets the name or address without its brackets. */
static bool split(const char *text, char *host, size_t size, const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    if (!len || !is_port(colon + 1))
        return false;
    bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed)
        text++, len -= 2;
    if (len >= size || (!bracketed && memchr(text, ':', len)))
        return false;
    memcpy(host, text, len);
    host[len] = '\0';
    *ret_port = colon + 1;
    return true;
}

static int parse_tcp(const char *text, bool connect, struct endpoint *e, char *why)
{
    char host[254];
    const char *port;
    struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM,
                                            .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (!split(text, host, sizeof host, &port))
        return wrong(why, EINVAL, "'%.100s': write tcp://ADDRESS:PORT, or tcp://[V6]:PORT",
                     e->text);
    bool any = !connect && !strcmp(host, "*");
    const char *name = any ? "0.0.0.0" : !strcmp(host, "localhost") ? "127.0.0.1" : host;
    if (getaddrinfo(name, port, &hints, &found) != 0) {
        e->exposed = true; /* a name, or nonsense */
        return connect ? 0
                       : wrong(why, EINVAL,
                               "'%.100s': write the address in numbers, * or localhost",
                               e->text);
    }
    memcpy(&e->addr, found->ai_addr, found->ai_addrlen);
    e->addr_len = found->ai_addrlen;
    freeaddrinfo(found);
    e->exposed = !is_loopback((struct sockaddr *)&e->addr);
    return 0;
}

int endpoint_parse(const char *text, bool connect, struct endpoint *ret,
                   char why[ENDPOINT_WHY])
{
    *ret = (struct endpoint){.ipc = false};
    if (strlen(text) >= sizeof ret->text - 64)
        return wrong(why, EINVAL, "'%.60s...' is too long", text);
    strcpy(ret->text, text);
    if (!strncmp(text, "ipc://", 6))
        return parse_ipc(text + 6, ret, why);
    if (!strncmp(text, "tcp://", 6))
        return parse_tcp(text + 6, connect, ret, why);
    return wrong(why, EINVAL, "'%.100s': write tcp://ADDRESS:PORT or ipc:///path", text);
}

/* ---- listening ---- */

/* A Unix socket that nobody answers on was left by a host that died. */
static int unlink_stale(const struct endpoint *e, char *why)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&e->addr;
    struct stat st;
    if (lstat(un->sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return wrong(why, EEXIST, "'%s' is there, and no socket", un->sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return wrong(why, errno, "cannot make a socket: %s", strerror(errno));
    bool stale =
        connect(fd, (const struct sockaddr *)un, sizeof *un) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!stale)
        return wrong(why, EADDRINUSE, "another process listens on '%s'", un->sun_path);
    if (unlink(un->sun_path) < 0)
        return wrong(why, errno, "cannot remove the stale socket '%s': %s", un->sun_path,
                     strerror(errno));
    return 0;
}

static int guard(const struct endpoint *e, const char *mode, const char *group, char *why)
{
    const char *path = ((const struct sockaddr_un *)&e->addr)->sun_path;
    char *end;
    unsigned long bits = strtoul(mode, &end, 8);
    const struct group *entry = group ? getgrnam(group) : NULL;
    if (!*mode || *end || bits > 0777)
        return wrong(why, EINVAL, "socket_mode '%.20s' is no mode: write \"0660\"", mode);
    if (group && !entry)
        return wrong(why, ENOENT, "socket_group: there is no group '%.60s'", group);
    if (group && lchown(path, (uid_t)-1, entry->gr_gid) < 0)
        return wrong(why, errno, "cannot give '%.100s' to group '%.40s': %s", path, group,
                     strerror(errno));
    if (chmod(path, (mode_t)bits) < 0)
        return wrong(why, errno, "cannot set the mode of '%.100s': %s", path,
                     strerror(errno));
    return 0;
}

/* Nobody may connect to a Unix socket before its mode is set: it is bound with none. */
static int bind_to(struct endpoint *e, int fd, char *why)
{
    int on = 1, off = 0;
    if (!e->ipc)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (e->addr.ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    mode_t mask = umask(0777);
    int rc = bind(fd, (struct sockaddr *)&e->addr, e->addr_len);
    int code = errno;
    umask(mask);
    if (rc < 0)
        return wrong(why, code, "cannot listen on '%.120s': %s", e->text, strerror(code));
    if (e->ipc)
        lstat(((struct sockaddr_un *)&e->addr)->sun_path, &e->made);
    return 0;
}

/* libzmq is told the port that the kernel chose. */
static void set_text(struct endpoint *e, int fd)
{
    char host[INET6_ADDRSTRLEN], port[8];
    if (e->ipc || getsockname(fd, (struct sockaddr *)&e->addr, &e->addr_len) < 0 ||
        getnameinfo((struct sockaddr *)&e->addr, e->addr_len, host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    bool six = e->addr.ss_family == AF_INET6;
    snprintf(e->text, sizeof e->text, "tcp://%s%s%s:%s", six ? "[" : "", host,
             six ? "]" : "", port);
}

int endpoint_listen(struct endpoint *e, const char *mode, const char *group,
                    char why[ENDPOINT_WHY])
{
    int rc = e->ipc ? unlink_stale(e, why) : 0;
    if (rc < 0)
        return rc;
    int fd = socket(e->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return wrong(why, errno, "cannot make a socket for '%.120s': %s", e->text,
                     strerror(errno));
    rc = bind_to(e, fd, why);
    if (rc == 0 && e->ipc)
        rc = guard(e, mode, group, why);
    if (rc == 0 && listen(fd, BACKLOG) < 0)
        rc = wrong(why, errno, "cannot listen on '%.120s': %s", e->text, strerror(errno));
    if (rc == 0) {
        set_text(e, fd);
        return fd;
    }
    close(fd);
    endpoint_unlink(e);
    return rc;
}

void endpoint_unlink(const struct endpoint *e)
{
    const char *path = ((const struct sockaddr_un *)&e->addr)->sun_path;
    struct stat st;
    if (e->made.st_ino && lstat(path, &st) == 0 && st.st_ino == e->made.st_ino &&
        st.st_dev == e->made.st_dev)
        unlink(path);
}
