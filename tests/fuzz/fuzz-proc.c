/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Files of /proc and of control groups, as far as payloads, containers or administrators shape them. The input is
 * several files: a line "@N" begins the content of files[N]. A name that a process gave itself is the
 * content of the last.
 */
#include "../../src/worker/cgroup_base.c"
#include "../../src/worker/witness.c"
#include "fuzz/fuzz.h"

#include <ctype.h>
#include <math.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "plan/node.h"

static const char *const files[] = {
    "proc/self/cgroup",
    "proc/self/mountinfo",
    "proc/meminfo",
    "proc/sys/kernel/threads-max",
    "sys/fs/cgroup/a/cpu.max",
    "sys/fs/cgroup/a/memory.max",
    "sys/fs/cgroup/a/pids.max",
    "sys/fs/cgroup/a/cpu.cfs_quota_us",
    "sys/fs/cgroup/a/cpu.cfs_period_us",
    "sys/fs/cgroup/a/cgroup.procs",
    "sys/fs/cgroup/a/memory.events",
    "proc/driver/nvidia/gpus/0/information",
    "proc/driver/nvidia/gpus/1/information",
    "comm",
};
#define FILES countof(files)

static struct buf content[FILES];

static void split(const uint8_t *data, size_t size)
{
    struct fuzz_lines in = {(const char *)data, (const char *)data + size};
    struct buf *to = NULL;
    for (size_t i = 0; i < FILES; i++)
        content[i].len = 0;
    for (char *line; (line = fuzz_line(&in)); free(line)) {
        if (*line == '@' && isdigit((unsigned char)line[1])) {
            size_t n = strtoul(line + 1, NULL, 10);
            to = n < FILES ? &content[n] : NULL;
        } else if (to) {
            buf_fmt(to, "%s\n", line);
        }
    }
}

static void write_files(const char *root)
{
    char path[512];
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", root, files[i]);
        char *slash = strrchr(path, '/');
        *slash = '\0';
        fuzz_must(make_dirs(path, 0755), path);
        *slash = '/';
        cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        fuzz_must(fd < 0 ? -errno : 0, path);
        const struct buf *b = &content[i];
        fuzz_must(b->len && write(fd, b->data, b->len) != (ssize_t)b->len ? -EIO : 0, path);
    }
}

static void measure(const char *root)
{
    cleanup_arena struct arena *a = arena_new();
    struct node n;
    fuzz_check(node_measure(root, a, &n) == 0);
    fuzz_check(isfinite(n.cpus) && n.cpus > 0 && n.memory_bytes >= 0 && n.pids >= 0);
    for (int64_t i = 0; i < n.gpu_count; i++)
        fuzz_check(n.gpus[i] && parse_int(n.gpus[i], &(int64_t){0}) == 0);
    fuzz_check(!n.gpus[n.gpu_count]);
}

static int on_pid(void *arg, pid_t pid)
{
    fuzz_check(pid > 0);
    return ++*(int *)arg > 1000 ? -1 : 0;
}

static void group(const char *root)
{
    char path[512];
    int pids = 0;
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/a", root);
    cleanup_close int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fuzz_must(dir < 0 ? -errno : 0, path);
    cgroup_read_number(dir, "memory.max");
    cgroup_read_key(dir, "memory.events", "oom_kill");
    cgroup_read_key(dir, "memory.events", "");
    fuzz_check(cgroup_read_number(dir, "none") == -ENOENT);
    cgroup_each_pid(dir, on_pid, &pids);
}

static void mounts(void)
{
    const char *text = content[1].len ? content[1].data : "";
    struct fuzz_lines in = {text, text + content[1].len};
    for (char *line; (line = fuzz_line(&in)); free(line)) {
        struct cgroup_place place = {0};
        bool v2;
        unsigned use = parse_mount(line, &place, &v2);
        fuzz_check(!(use & ~CG_LIMITS) && !(v2 && use));
        fuzz_check(memchr(place.own, '\0', sizeof place.own));
    }
}

/* The start time is read rightly, whatever the process calls itself. */
static void start_times(void)
{
    unsigned long long before = 0, after = 1;
    const struct buf *name = &content[FILES - 1];
    if (!name->len)
        return;
    fuzz_check(start_time(getpid(), &before) == 0);
    prctl(PR_SET_NAME, name->data);
    fuzz_check(start_time(getpid(), &after) == 0 && before == after);
    prctl(PR_SET_NAME, "fuzz-proc");
}

/* A witness that a payload could have written itself must never lead to another's process. */
static void witness(const char *root)
{
    char path[512];
    snprintf(path, sizeof path, "%s/" ATTEMPT_WITNESS, root);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const struct buf *b = &content[FILES - 1];
    fuzz_must(fd < 0 || (b->len && write(fd, b->data, b->len) < 0) ? -errno : 0, path);
    fuzz_check(attempt_witness_kill(root, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *root = fuzz_dir();
    split(data, size);
    write_files(root);
    measure(root);
    group(root);
    mounts();
    start_times();
    witness(root);
    return 0;
}
