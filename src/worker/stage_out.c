/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Staging out. The payload made these files, so nothing about them is trusted: they are
 * opened with its own file system ids, below its own directory, without following a link,
 * and have to be its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/str.h"
#include "worker/stage.h"

#define INLINE_MAX (32u << 20) /* of all files together: a result has to fit into a frame */
#define ENTRY_BYTES 64         /* at most, without name and content */

struct stage_out {
    struct supervisor *s;
    int work_fd;
    struct arena *a;
    struct value list; /* for the result */
    const struct task_file_out *f;
    int found;
    bool unfit; /* what the payload made is the reason that it failed */
    uint64_t inlined;
};

static bool is_glob(const char *s)
{
    return strpbrk(s, "*?[") != NULL;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Ways in which a file can be made unreadable on purpose. */
static bool is_made_so(int code)
{
    switch (code) {
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
    case ENOTDIR:
    case ENXIO: /* a socket */
        return true;
    default:
        return false;
    }
}

static int open_own(struct stage_out *o, const char *path, struct stat *st,
                    struct berth_error *err)
{
    const struct attempt *at = o->s->at;
    files_as(at->uid, at->gid);
    int fd = open_below(o->work_fd, path, O_RDONLY | O_NONBLOCK, 0, false);
    files_as_self();
    if (fd < 0) {
        o->unfit = is_made_so(-fd);
        return berth_fail_errno(err, -fd, "cannot read '%s'", path);
    }
    bool own = fstat(fd, st) == 0 && S_ISREG(st->st_mode) &&
               (at->uid == (uid_t)-1 || st->st_uid == at->uid);
    if (!own) {
        close(fd);
        o->unfit = true;
        return berth_fail(err, EINVAL, "'%s' is not a file of the payload's own", path);
    }
    return fd;
}

/* ---- where to ---- */

static int unfit(struct stage_out *o, struct berth_error *err, const char *format,
                 long long size, long long max)
{
    o->unfit = true;
    return berth_fail(err, EFBIG, format, size, max);
}

/* Every entry takes room in the result, with content or without. */
static int count_inline(struct stage_out *o, uint64_t bytes, struct berth_error *err)
{
    o->inlined += bytes;
    if (o->inlined <= INLINE_MAX)
        return 0;
    return unfit(o, err,
                 "has, with the files before it, %lld bytes, and %lld fit into a result: "
                 "give it a 'to', or let the task make one file of them",
                 (long long)o->inlined, INLINE_MAX);
}

static int to_inline(struct stage_out *o, int fd, const struct stat *st,
                     struct value *entry, struct berth_error *err)
{
    int64_t max = o->s->at->plan.output_max_bytes;
    if (st->st_size > max)
        return unfit(o, err,
                     "has %lld bytes, more than the %lld that fit into a result: "
                     "give it a 'to'",
                     (long long)st->st_size, (long long)max);
    int rc = count_inline(o, (uint64_t)st->st_size, err);
    if (rc < 0)
        return rc;
    cleanup_free char *data = malloc((size_t)st->st_size + 1);
    size_t len = 0;
    if (!data)
        return berth_fail(err, ENOMEM, "out of memory");
    for (ssize_t n; len < (size_t)st->st_size; len += (size_t)n) {
        n = read(fd, data + len, (size_t)st->st_size - len);
        if (n <= 0)
            break;
    }
    value_put_bin(o->a, entry, "data", data, len);
    value_put_int(o->a, entry, "size", (int64_t)len);
    return 0;
}

/* Beside its place, then renamed over it: nobody sees half a file. */
static int to_local(struct stage_out *o, int fd, const char *to, struct value *entry,
                    struct berth_error *err)
{
    const char *rest;
    char part[64];
    cleanup_close int root = stage_root(o->s->rt->config->out_roots, to, &rest, err);
    if (root < 0)
        return root;
    cleanup_free char *dir = strndup(rest, (size_t)(base_name(rest) - rest));
    if (!dir)
        return berth_fail(err, ENOMEM, "out of memory");
    cleanup_close int dir_fd =
        open_below(root, *dir ? dir : ".", O_RDONLY | O_DIRECTORY, 0, false);
    if (dir_fd < 0)
        return berth_fail_errno(err, -dir_fd, "cannot open the directory of '%s'", to);
    snprintf(part, sizeof part, ".berth-%ld.part", (long)getpid());
    unlinkat(dir_fd, part, 0);
    cleanup_close int out =
        openat(dir_fd, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (out < 0)
        return berth_fail_errno(err, errno, "cannot write in the directory of '%s'", to);
    int64_t n = stage_copy_sparse(fd, out);
    if (n >= 0 && (fsync(out) < 0 || renameat(dir_fd, part, dir_fd, base_name(rest)) < 0))
        n = -errno;
    if (n < 0) {
        unlinkat(dir_fd, part, 0);
        return berth_fail_errno(err, (int)-n, "cannot write '%s'", to);
    }
    value_put_int(o->a, entry, "size", n);
    return 0;
}

/* A glob, or a target that ends with a slash, means a directory. */
static const char *target(struct stage_out *o, const char *path)
{
    const char *to = o->f->to;
    bool slash = *to && to[strlen(to) - 1] == '/';
    if (!slash && !is_glob(o->f->path))
        return to;
    return arena_fmt(o->a, "%s%s%s", to, slash ? "" : "/", base_name(path));
}

/* It has holes, which a transfer would fill. */
static bool is_larger_than_disk(const struct stage_out *o, const struct stat *st)
{
    return o->s->held.disk && st->st_size > o->s->at->plan.resources.disk_bytes;
}

static int out_file(struct stage_out *o, const char *path, struct berth_error *err)
{
    struct stat st;
    struct value entry = value_new_map(o->a);
    cleanup_close int fd = open_own(o, path, &st, err);
    if (fd < 0)
        return fd;
    o->found++;
    value_put_str(o->a, &entry, "path", path);
    int rc = count_inline(o, strlen(path) + ENTRY_BYTES, err);
    if (rc < 0)
        return rc;
    if (!o->f->to) {
        rc = to_inline(o, fd, &st, &entry, err);
    } else {
        const char *to = target(o, path);
        if (!to)
            return berth_fail(err, ENOMEM, "out of memory");
        value_put_str(o->a, &entry, "to", to);
        if (stage_is_url(to) && is_larger_than_disk(o, &st)) {
            rc = unfit(o, err, "has %lld bytes, more than the task's disk of %lld",
                       (long long)st.st_size,
                       (long long)o->s->at->plan.resources.disk_bytes);
        } else if (stage_is_url(to)) {
            value_put_int(o->a, &entry, "size", st.st_size);
            rc = fetch_put(o->s, to, fd, err);
        } else {
            rc = to_local(o, fd, to, &entry, err);
        }
    }
    if (rc == 0)
        value_add(o->a, &o->list, entry);
    return rc;
}

/* ---- which ---- */

static int out_glob(struct stage_out *o, struct berth_error *err)
{
    const char *pattern = base_name(o->f->path);
    char *dir_path = arena_mem(o->a, o->f->path, (size_t)(pattern - o->f->path));
    int rc = 0;
    if (!dir_path)
        return berth_fail(err, ENOMEM, "out of memory");
    files_as(o->s->at->uid, o->s->at->gid);
    int fd = open_below(o->work_fd, *dir_path ? dir_path : ".", O_RDONLY | O_DIRECTORY, 0,
                        false);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    files_as_self();
    if (!dir && fd != -ENOENT) {
        o->unfit = is_made_so(-fd);
        rc = berth_fail_errno(err, fd < 0 ? -fd : ENOMEM, "cannot read '%s'",
                              *dir_path ? dir_path : ".");
    }
    for (struct dirent *e; rc == 0 && dir && (e = readdir(dir));) {
        if (fnmatch(pattern, e->d_name, FNM_PERIOD) != 0 || e->d_type == DT_DIR)
            continue;
        const char *path = arena_fmt(o->a, "%s%s", dir_path, e->d_name);
        rc = path ? out_file(o, path, err) : berth_fail(err, ENOMEM, "out of memory");
    }
    if (dir)
        closedir(dir);
    return rc;
}

/* After a failure every file is optional: what is there may help to find out why. */
static bool is_optional(const struct stage_out *o)
{
    struct verdict v;
    verdict_decide(&o->s->end, &v);
    return o->f->optional || v.verdict != BERTH_VERDICT_SUCCEEDED;
}

static int out_one(struct stage_out *o, struct berth_error *err)
{
    o->found = 0;
    o->unfit = false;
    int rc =
        is_glob(base_name(o->f->path)) ? out_glob(o, err) : out_file(o, o->f->path, err);
    bool missing = rc == -ENOENT && !o->found; /* else it is the target that is not there */
    if (missing && is_optional(o)) {
        err->code = 0;
        return 0;
    }
    if (missing || (rc == 0 && !o->found && !is_optional(o))) {
        stage_blame(o->s, BERTH_VERDICT_FAILED, BERTH_BLAME_TASK, 0);
        return berth_fail(err, ENOENT, "files.out '%.120s' was not made", o->f->path);
    }
    if (rc < 0 && o->unfit)
        stage_blame(o->s, BERTH_VERDICT_FAILED, BERTH_BLAME_TASK, 0);
    return rc < 0 ? berth_wrap(err, "files.out '%.80s'", o->f->path) : 0;
}

bool stage_out_needed(const struct supervisor *s)
{
    return s->at->task.files_out_count > 0 && s->end.reaped && !s->end.cause &&
           !s->end.failure.verdict;
}

int stage_out_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct supervisor *s = arg;
    struct stage_out o = {.s = s, .a = arena_new()};
    cleanup_close int work_fd = open(s->at->work, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (!o.a || work_fd < 0)
        return berth_fail_errno(err, o.a ? errno : ENOMEM, "work directory");
    o.work_fd = work_fd;
    o.list = value_new_array(o.a);
    for (size_t i = 0; i < s->at->task.files_out_count; i++) {
        o.f = &s->at->task.files_out[i];
        int rc = out_one(&o, err);
        if (rc < 0)
            return stage_blame_errno(s, rc);
    }
    return value_to_msgpack(&o.list, out);
}
