/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Whole files and directories. */
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fail.h"

/* The size in stat is only a hint: files in /proc say 0. */
static int read_all(int fd, size_t max, struct buf *b)
{
    struct stat st;
    size_t want;
    ssize_t n;
    char *to;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
        return -EFBIG;
    want = st.st_size > 0 && S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 4096;
    for (;;) {
        to = buf_room(b, want);
        if (!to)
            return -ENOMEM;
        n = read(fd, to, want);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return 0;
        if (n > 0)
            b->len += (size_t)n;
        if (b->len > max)
            return -EFBIG;
        want = b->len < 65536 ? 4096 : 65536;
    }
}

int read_file(const char *path, size_t max, char **ret_data, size_t *ret_len)
{
    cleanup_buf struct buf b = BUF_INIT;
    cleanup_close int fd = -1;
    int r;

    if (!path)
        return -EINVAL;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = read_all(fd, max, &b);
    if (r < 0)
        return r;
    b.data[b.len] = '\0';
    *ret_data = take_ptr(b.data);
    if (ret_len)
        *ret_len = b.len;
    return 0;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A rename lasts only once its directory is synced. */
static int sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    cleanup_free char *dir =
        slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    cleanup_close int fd = -1;

    if (!dir)
        return -ENOMEM;
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fsync(fd) < 0 ? -errno : 0;
}

static int fill_and_rename(int fd, const char *temp, const char *path, const void *data,
                           size_t len, unsigned mode)
{
    int r;

    if (fchmod(fd, mode) < 0)
        return -errno;
    r = write_all(fd, data, len);
    if (r < 0)
        return r;
    if (fsync(fd) < 0 || rename(temp, path) < 0)
        return -errno;
    return 0;
}

int write_file_atomic(const char *path, const void *data, size_t len, unsigned mode)
{
    cleanup_free char *temp = NULL;
    cleanup_close int fd = -1;
    int r;

    if (!path || (!data && len))
        return -EINVAL;
    if (asprintf(&temp, "%s.XXXXXX", path) < 0) {
        temp = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    r = fill_and_rename(fd, temp, path, data, len, mode);
    if (r < 0) {
        unlink(temp);
        return r;
    }
    return sync_parent(path);
}

static int make_dir(const char *path, unsigned mode)
{
    struct stat st;

    if (!mkdir(path, mode))
        return 0;
    if (errno != EEXIST)
        return -errno;
    if (stat(path, &st) < 0)
        return -errno;
    return S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
}

int make_dirs(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t len = path ? strlen(path) : 0;
    int r;

    if (!len)
        return -EINVAL;
    if (len >= sizeof(part))
        return -ENAMETOOLONG;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/' || part[i - 1] == '/')
            continue;
        part[i] = '\0';
        r = make_dir(part, mode);
        /* a parent that exists but may not be looked at shows in the next step */
        if (r < 0 && r != -EACCES)
            return r;
        part[i] = '/';
    }
    return make_dir(part, mode);
}
