/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Control files, and walks through a group and the groups below it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/cgroup_int.h"

int cgroup_write(int dir, const char *file, const char *value)
{
    int fd = openat(dir, file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write(fd, value, strlen(value)) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int cgroup_read(int dir, const char *file, char *out, size_t size)
{
    cleanup_close int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = 0;
    while (len < size - 1) {
        ssize_t n = read(fd, out + len, size - 1 - len);
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        len += (size_t)n;
    }
    out[len] = '\0';
    return (int)len;
}

int64_t cgroup_read_number(int dir, const char *file)
{
    char text[64];
    int r = cgroup_read(dir, file, text, sizeof text);
    return r < 0 ? r : strtoll(text, NULL, 10);
}

static int64_t find_key(const char *text, const char *key)
{
    size_t n = strlen(key);
    for (const char *line = text; line;
         line = (line = strchr(line, '\n')) ? line + 1 : NULL)
        if (!strncmp(line, key, n) && line[n] == ' ')
            return strtoll(line + n + 1, NULL, 10);
    return -ENOENT;
}

int64_t cgroup_read_key(int dir, const char *file, const char *key)
{
    char text[2048];
    int r = cgroup_read(dir, file, text, sizeof text);
    return r < 0 ? r : find_key(text, key);
}

int cgroup_file_open(struct cgroup *g, unsigned i, enum cgroup_file f)
{
    static const struct {
        const char *name;
        int mode;
    } files[CG_FILES] = {
        [CG_TASKS] = {"tasks", O_WRONLY},
        [CG_USAGE] = {"memory.usage_in_bytes", O_RDONLY},
        [CG_PEAK] = {"memory.max_usage_in_bytes", O_RDWR},
        [CG_OOM] = {"memory.oom_control", O_RDONLY},
        [CG_PIDS_NOW] = {"pids.current", O_RDONLY},
        [CG_PIDS_MAX] = {"pids.max", O_WRONLY},
        [CG_PIDS_REFUSED] = {"pids.events", O_RDONLY},
    };
    int *fd = &g->file[i][f];
    if (*fd < 0)
        *fd = openat(g->dir[i], files[f].name, files[f].mode | O_CLOEXEC);
    return *fd < 0 ? -errno : *fd;
}

/* They are all short: one read from the start has the whole. */
static int file_read(struct cgroup *g, unsigned i, enum cgroup_file f, char *out,
                     size_t size)
{
    int fd = cgroup_file_open(g, i, f);
    ssize_t n = fd < 0 ? fd : pread(fd, out, size - 1, 0);
    if (n < 0)
        return fd < 0 ? fd : -errno;
    out[n] = '\0';
    return 0;
}

int64_t cgroup_file_number(struct cgroup *g, unsigned i, enum cgroup_file f)
{
    char text[64];
    int r = file_read(g, i, f, text, sizeof text);
    return r < 0 ? r : strtoll(text, NULL, 10);
}

int64_t cgroup_file_key(struct cgroup *g, unsigned i, enum cgroup_file f, const char *key)
{
    char text[256];
    int r = file_read(g, i, f, text, sizeof text);
    return r < 0 ? r : find_key(text, key);
}

int cgroup_file_write(struct cgroup *g, unsigned i, enum cgroup_file f, const char *value)
{
    int fd = cgroup_file_open(g, i, f);
    return fd < 0 ? fd : pwrite(fd, value, strlen(value), 0) < 0 ? -errno : 0;
}

void cgroup_files_close(struct cgroup *g, unsigned i)
{
    for (int f = 0; f < CG_FILES; f++)
        if (g->file[i][f] >= 0)
            close(take_fd(g->file[i][f]));
}

static int each_own_pid(int dir, int (*fn)(void *arg, pid_t pid), void *arg)
{
    int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    cleanup_file FILE *f = fdopen(fd, "re");
    if (!f) {
        close(fd);
        return -ENOMEM;
    }
    int pid, r = 0;
    while (!r && fscanf(f, "%d", &pid) == 1)
        if (pid > 0) /* 0: in a pid namespace that this process cannot see */
            r = fn(arg, pid);
    return r;
}

static DIR *open_dir(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d && fd >= 0)
        close(fd);
    return d;
}

static struct dirent *next_child(DIR *d)
{
    struct dirent *e;
    while ((e = readdir(d)) && (e->d_type != DT_DIR || e->d_name[0] == '.'))
        ;
    return e;
}

int cgroup_each_pid(int dir, int (*fn)(void *arg, pid_t pid), void *arg)
{
    struct stat st;
    int r = each_own_pid(dir, fn, arg);
    /* Two links only: no group below, which spares the listing of some forty control
     * files. */
    if (r || fstatat(dir, "", &st, AT_EMPTY_PATH) < 0 || st.st_nlink == 2)
        return r;
    DIR *d = open_dir(dir, ".");
    if (!d)
        return -errno;
    for (struct dirent *e; !r && (e = next_child(d));) {
        cleanup_close int sub =
            openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (sub >= 0)
            r = cgroup_each_pid(sub, fn, arg);
        if (r == -ENOENT || r == -ENODEV) /* removed meanwhile */
            r = 0;
    }
    closedir(d);
    return r;
}

int cgroup_remove_tree(int parent, const char *name)
{
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY && errno != ENOTEMPTY)
        return -errno;
    DIR *d = open_dir(parent, name);
    if (!d)
        return -errno;
    int r = 0;
    for (struct dirent *e; !r && (e = next_child(d));)
        r = cgroup_remove_tree(dirfd(d), e->d_name);
    closedir(d);
    if (!r && unlinkat(parent, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}
