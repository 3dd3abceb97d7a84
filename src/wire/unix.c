/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Unix sockets by path, and their blocking use. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fail.h"
#include "wire/conn.h"
#include "wire/header.h"

/* An address holds 107 bytes of path. A longer one is reached through its opened directory,
 * which *ret_dir keeps open until the address was used. */
static int make_address(const char *path, struct sockaddr_un *ret, int *ret_dir)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *dir = NULL;
    int n;

    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof(ret->sun_path)) {
        memcpy(ret->sun_path, path, strlen(path) + 1);
        return 0;
    }
    if (!slash)
        return -ENAMETOOLONG;
    dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!dir)
        return -ENOMEM;
    *ret_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_dir < 0)
        return -errno;
    n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d%s", *ret_dir,
                 slash);
    return n < (int)sizeof(ret->sun_path) ? 0 : -ENAMETOOLONG;
}

static int remove_old_socket(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    return unlink(path) < 0 ? -errno : 0;
}

static int bind_and_listen(int fd, const char *path, unsigned mode)
{
    cleanup_close int dir = -1;
    struct sockaddr_un addr;
    int r = make_address(path, &addr, &dir);

    if (r >= 0)
        r = remove_old_socket(path);
    if (r < 0)
        return r;
    /* before, so that it is never open to more; after, without the umask */
    if (fchmod(fd, mode) < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
        chmod(path, mode) < 0 || listen(fd, SOMAXCONN) < 0)
        return -errno;
    return 0;
}

int unix_listen(const char *path, unsigned mode, struct berth_error *err)
{
    cleanup_close int fd = -1;
    int r;

    if (!path || !*path)
        return berth_fail(err, EINVAL, "no path for the socket");
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    r = fd < 0 ? -errno : bind_and_listen(fd, path, mode);
    if (r == -EEXIST)
        return berth_fail(err, EEXIST,
                          "cannot listen on '%s': it is there and not a socket", path);
    if (r < 0)
        return berth_fail_errno(err, -r, "cannot listen on '%s'", path);
    return take_fd(fd);
}

/* A connect that a signal interrupts goes on by itself (connect(2)). */
static int finish_connect(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(int);
    int code = 0;

    while (poll(&p, 1, -1) < 0)
        if (errno != EINTR)
            return -errno;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
        return -errno;
    return -code;
}

int unix_connect(const char *path, struct berth_error *err)
{
    cleanup_close int fd = -1, dir = -1;
    struct sockaddr_un addr;
    int r;

    if (!path || !*path)
        return berth_fail(err, EINVAL, "no path for the socket");
    r = make_address(path, &addr, &dir);
    if (r >= 0) {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        r = fd < 0 ? -errno : 0;
    }
    if (r >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        r = errno == EINTR ? finish_connect(fd) : -errno;
    if (r < 0)
        return berth_fail_errno(err, -r, "cannot connect to '%s'", path);
    return take_fd(fd);
}

static int send_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int wire_send(int fd, int type, const struct value *body, struct berth_error *err)
{
    cleanup_buf struct buf out = BUF_INIT;
    int r;

    if (fd < 0 || !body || type < 0 || type > 255)
        return berth_fail(err, EINVAL, "no frame to send");
    r = frame_add(&out, type, body);
    if (r >= 0)
        r = send_all(fd, out.data, out.len);
    return r < 0 ? berth_fail_errno(err, -r, "cannot send") : 0;
}

/* Appends exactly n bytes to the frame in b. */
static int recv_all(int fd, struct buf *b, size_t n, struct berth_error *err)
{
    size_t start = b->len;

    while (b->len - start < n) {
        size_t left = n - (b->len - start), want = left < 1u << 20 ? left : 1u << 20;
        char *to = buf_room(b, want);
        ssize_t got = to ? recv(fd, to, want, 0) : -1;

        if (!to)
            return berth_fail(err, ENOMEM, "out of memory");
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return berth_fail_errno(err, errno, "cannot receive");
        if (!got && !b->len)
            return berth_fail(err, ECONNRESET, "the peer closed the connection");
        if (!got)
            return berth_fail(err, ECONNRESET, "the peer closed in the middle of a frame");
        b->len += (size_t)got;
    }
    return 0;
}

int wire_recv(int fd, struct arena *a, int *ret_type, struct value *ret_body,
              struct berth_error *err)
{
    cleanup_buf struct buf in = BUF_INIT;
    size_t len = 0;
    int type = 0, r;

    if (fd < 0 || !a || !ret_type || !ret_body)
        return berth_fail(err, EINVAL, "no place for the frame");
    r = recv_all(fd, &in, WIRE_HEADER, err);
    if (r >= 0)
        r = header_read((unsigned char *)in.data, &type, &len, err);
    if (r >= 0)
        r = recv_all(fd, &in, len, err);
    if (r >= 0)
        r = body_read(a, type, in.data + WIRE_HEADER, len, ret_body, err);
    if (r >= 0)
        *ret_type = type;
    return r;
}
