/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The listening socket. */
#include "http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "http_error.h"

#define LISTEN_BACKLOG SOMAXCONN /* a flood must not keep others from being accepted */

union listen_addr {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
};

struct http_listen {
    int fd;
    union listen_addr addr;
    struct stat made; /* the Unix socket's file, to remove no other one */
    char name[160];
};

static int listen_malformed(const char *text, struct berth_error *err)
{
    return http_fail(err, EINVAL,
                     "cannot listen on '%.80s': write '127.0.0.1:2591', '[::1]:2591', "
                     "'localhost:2591' or 'unix:/path'",
                     text);
}

static int listen_parse_unix(const char *path, union listen_addr *addr,
                             struct berth_error *err)
{
    if (*path != '/')
        return http_fail(err, EINVAL,
                         "cannot listen on 'unix:%.80s': the path must begin with /", path);
    if (strlen(path) >= sizeof(addr->un.sun_path))
        return http_fail(
            err, ENAMETOOLONG,
            "cannot listen on 'unix:%.100s': the path is longer than %zu bytes", path,
            sizeof(addr->un.sun_path) - 1);
    addr->un.sun_family = AF_UNIX;
    strcpy(addr->un.sun_path, path);
    return (int)sizeof(addr->un);
}

/* Returns the address's length. */
static int listen_parse(const char *text, union listen_addr *addr, struct berth_error *err)
{
    char host[64];
    memset(addr, 0, sizeof(*addr));
    if (!strncmp(text, "unix:", 5))
        return listen_parse_unix(text + 5, addr, err);
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (!len || len >= sizeof(host) || (!bracketed && memchr(text, ':', len)) ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5 ||
        !colon[1] || atoi(colon + 1) > 65535)
        return listen_malformed(text, err);
    snprintf(host, sizeof(host), "%.*s", (int)(bracketed ? len - 2 : len),
             text + bracketed);
    if (!strcmp(host, "localhost"))
        strcpy(host, "127.0.0.1");
    struct addrinfo *found, hints = {.ai_family = bracketed ? AF_INET6 : AF_INET,
                                     .ai_socktype = SOCK_STREAM,
                                     .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return listen_malformed(text, err);
    socklen_t size = found->ai_addrlen;
    memcpy(addr, found->ai_addr, size);
    freeaddrinfo(found);
    return (int)size;
}

int http_listen_is_exposed(const char *text, struct berth_error *err)
{
    union listen_addr addr;
    int ret = listen_parse(text, &addr, err);
    if (ret < 0)
        return ret;
    if (addr.any.sa_family == AF_INET)
        return ntohl(addr.in.sin_addr.s_addr) >> 24 != 127;
    if (addr.any.sa_family == AF_INET6)
        return !IN6_IS_ADDR_LOOPBACK(&addr.in6.sin6_addr) &&
               !(IN6_IS_ADDR_V4MAPPED(&addr.in6.sin6_addr) &&
                 addr.in6.sin6_addr.s6_addr[12] == 127);
    return 0;
}

/* A Unix socket that nobody answers on was left by a host that died. */
static int listen_unlink_stale(const union listen_addr *addr, struct berth_error *err)
{
    struct stat st;
    if (lstat(addr->un.sun_path, &st) < 0)
        return 0;
    if (!S_ISSOCK(st.st_mode))
        return http_fail(err, EEXIST,
                         "cannot listen on 'unix:%.100s': it is there, and no socket",
                         addr->un.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return http_fail(err, errno, "cannot make a socket: %s", strerror(errno));
    bool stale = connect(fd, &addr->any, sizeof(addr->un)) < 0 && errno == ECONNREFUSED;
    close(fd);
    if (!stale)
        return http_fail(err, EADDRINUSE,
                         "cannot listen on 'unix:%.100s': another process does so",
                         addr->un.sun_path);
    if (unlink(addr->un.sun_path) < 0)
        return http_fail(err, errno, "cannot remove the stale socket '%.100s': %s",
                         addr->un.sun_path, strerror(errno));
    return 0;
}

static int listen_guard_unix(struct http_listen *listen, const char *mode,
                             const char *group, struct berth_error *err)
{
    const char *path = listen->addr.un.sun_path;
    char *end;
    unsigned long bits = strtoul(mode, &end, 8);
    if (!*mode || *end || bits > 0777)
        return http_fail(err, EINVAL, "socket_mode '%.20s' is no mode: write \"0660\"",
                         mode);
    if (group) {
        const struct group *entry = getgrnam(group);
        if (!entry)
            return http_fail(err, ENOENT, "socket_group: there is no group '%.60s'", group);
        if (lchown(path, (uid_t)-1, entry->gr_gid) < 0)
            return http_fail(err, errno, "cannot give '%.100s' to group '%.40s': %s", path,
                             group, strerror(errno));
    }
    if (chmod(path, (mode_t)bits) < 0)
        return http_fail(err, errno, "cannot set the mode of '%.100s': %s", path,
                         strerror(errno));
    return 0;
}

/* Linux hands these options on to the accepted sockets. */
static void listen_tune(int fd)
{
    int on = 1, idle = 60, every = 15, count = 4;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof(every));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

static void listen_set_name(struct http_listen *listen)
{
    char host[INET6_ADDRSTRLEN];
    socklen_t size = sizeof(listen->addr);
    if (http_listen_is_unix(listen)) {
        snprintf(listen->name, sizeof(listen->name), "unix:%s", listen->addr.un.sun_path);
        return;
    }
    getsockname(listen->fd, &listen->addr.any, &size);
    if (listen->addr.any.sa_family == AF_INET6)
        snprintf(listen->name, sizeof(listen->name), "[%s]:%d",
                 inet_ntop(AF_INET6, &listen->addr.in6.sin6_addr, host, sizeof(host)),
                 ntohs(listen->addr.in6.sin6_port));
    else
        snprintf(listen->name, sizeof(listen->name), "%s:%d",
                 inet_ntop(AF_INET, &listen->addr.in.sin_addr, host, sizeof(host)),
                 ntohs(listen->addr.in.sin_port));
}

/* Nobody may connect to a Unix socket before its mode is set: it is bound with none. */
static int listen_bind(struct http_listen *to, const char *text, socklen_t size,
                       struct berth_error *err)
{
    to->fd = socket(to->addr.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (to->fd < 0)
        return http_fail(err, errno, "cannot listen on '%.100s': %s", text,
                         strerror(errno));
    if (!http_listen_is_unix(to))
        listen_tune(to->fd);
    mode_t mask = umask(0777);
    int ret = bind(to->fd, &to->addr.any, size);
    umask(mask);
    if (ret == 0 && http_listen_is_unix(to))
        ret = lstat(to->addr.un.sun_path, &to->made);
    if (ret < 0 || listen(to->fd, LISTEN_BACKLOG) < 0)
        return http_fail(err, errno, "cannot listen on '%.100s': %s", text,
                         strerror(errno));
    return 0;
}

int http_listen_open(const char *text, const char *mode, const char *group,
                     struct http_listen **ret_listen, struct berth_error *err)
{
    struct http_listen *listen = calloc(1, sizeof(*listen));
    if (!listen)
        return http_fail(err, ENOMEM, "out of memory to listen on '%.100s'", text);
    listen->fd = -1;
    int size = listen_parse(text, &listen->addr, err);
    int ret = size < 0 ? size : 0;
    if (ret == 0 && http_listen_is_unix(listen))
        ret = listen_unlink_stale(&listen->addr, err);
    if (ret == 0)
        ret = listen_bind(listen, text, (socklen_t)size, err);
    if (ret == 0 && http_listen_is_unix(listen))
        ret = listen_guard_unix(listen, mode, group, err);
    if (ret < 0) {
        http_listen_close(listen);
        return ret;
    }
    listen_set_name(listen);
    *ret_listen = listen;
    return 0;
}

int http_listen_fd(const struct http_listen *listen)
{
    return listen->fd;
}

bool http_listen_is_unix(const struct http_listen *listen)
{
    return listen->addr.any.sa_family == AF_UNIX;
}

const char *http_listen_name(const struct http_listen *listen)
{
    return listen->name;
}

void http_listen_close(struct http_listen *listen)
{
    struct stat st;
    if (!listen)
        return;
    if (listen->made.st_ino && lstat(listen->addr.un.sun_path, &st) == 0 &&
        st.st_ino == listen->made.st_ino && st.st_dev == listen->made.st_dev)
        unlink(listen->addr.un.sun_path);
    if (listen->fd >= 0)
        close(listen->fd);
    free(listen);
}
