/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The size of the node: machine, affinity, and every cgroup from ours up to the top of what is
 * mounted, since each of them may be the narrowest. In a container the mount often begins at the
 * container's own cgroup while /proc/self/cgroup names it from the host's top, or the other way
 * round; the mount's root in mountinfo tells.
 */
#include "plan/node.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/fail.h"
#include "base/str.h"
#include "plan/plan.h"

#define SMALL_FILE 65536
#define MOUNTINFO_MAX (4 << 20)
#define GPUS_MAX 1024

/* Text of a small file below root; NULL if it cannot be read. */
static char *node_read(const char *root, const char *dir, const char *name)
{
    char path[4096];
    char *text;
    size_t len;

    snprintf(path, sizeof path, "%s%s/%s", root, dir, name);
    return read_file(path, !strcmp(name, "mountinfo") ? MOUNTINFO_MAX : SMALL_FILE, &text,
                     &len) < 0
               ? NULL
               : text;
}

/* The n-th number of a file; -1: not there, or no limit ("max", v1's -1 or its huge default). */
static int64_t node_number(const char *root, const char *dir, const char *name, int n)
{
    cleanup_free char *text = node_read(root, dir, name);
    const char *s = text;
    char *end;
    long long value;

    for (; s && n > 0; n--) {
        s = strchr(s, ' ');
        s = s ? s + 1 : NULL;
    }
    if (!s)
        return -1;
    value = strtoll(s, &end, 10);
    return end == s || value < 0 || value > INT64_MAX / 2 ? -1 : value;
}

static void lower(int64_t *n, int64_t limit)
{
    if (limit > 0 && (*n <= 0 || limit < *n))
        *n = limit;
}

/* ---- cgroups ---- */

static void cgroup_apply(const char *root, const char *dir, struct node *n)
{
    int64_t quota = node_number(root, dir, "cpu.max", 0);
    int64_t period = node_number(root, dir, "cpu.max", 1);

    if (quota <= 0) {
        quota = node_number(root, dir, "cpu.cfs_quota_us", 0);
        period = node_number(root, dir, "cpu.cfs_period_us", 0);
    }
    if (quota > 0 && period > 0 && (double)quota / (double)period < n->cpus)
        n->cpus = (double)quota / (double)period;
    lower(&n->memory_bytes, node_number(root, dir, "memory.max", 0));
    lower(&n->memory_bytes, node_number(root, dir, "memory.limit_in_bytes", 0));
    lower(&n->pids, node_number(root, dir, "pids.max", 0));
}

/* From our own group up to the mount point. */
static void cgroup_climb(const char *root, const char *mount, const char *below,
                         struct node *n)
{
    char dir[4096];
    size_t base = strlen(mount);
    char *slash;

    if (snprintf(dir, sizeof dir, "%s%s", mount, below) >= (int)sizeof dir)
        return;
    for (;;) {
        cgroup_apply(root, dir, n);
        slash = strrchr(dir, '/');
        if (!slash || (size_t)(slash - dir) < base)
            return;
        *slash = '\0';
    }
}

static bool has_word(const char *list, const char *word, size_t len)
{
    for (; list && *list; list += strcspn(list, ",") + (list[strcspn(list, ",")] == ','))
        if (strcspn(list, ",") == len && !strncmp(list, word, len))
            return true;
    return false;
}

/* Our path in the hierarchy of a mount: the line of /proc/self/cgroup that shares a controller
 * with the mount's options (v2: the line without one). Copied to out; false if there is none. */
static bool cgroup_path_of(const char *groups, bool v2, const char *options, char *out,
                           size_t size)
{
    for (const char *line = groups; line && *line;) {
        const char *eol = strchrnul(line, '\n');
        const char *names = memchr(line, ':', (size_t)(eol - line));
        const char *path = names ? memchr(names + 1, ':', (size_t)(eol - names - 1)) : NULL;
        bool match = false;

        for (const char *w = path ? names + 1 : NULL; w && w < path && !v2;
             w += strcspn(w, ",:") + 1)
            match = match || has_word(options, w, strcspn(w, ",:"));
        if (path && (v2 ? path == names + 1 : match)) {
            snprintf(out, size, "%.*s", (int)(eol - path - 1), path + 1);
            return true;
        }
        line = *eol ? eol + 1 : eol;
    }
    return false;
}

/* proc(5): id parent major:minor ROOT MOUNTPOINT options [...] - FSTYPE source SUPEROPTIONS */
static void cgroup_mount(const char *root, char *line, const char *groups, struct node *n)
{
    char *tail = strstr(line, " - "), mount_root[1024], mount[1024], type[32],
         options[512] = "";
    char path[2048];
    size_t len;

    if (!tail || sscanf(line, "%*s %*s %*s %1023s %1023s", mount_root, mount) != 2 ||
        sscanf(tail, " - %31s %*s %511s", type, options) < 1 ||
        (strcmp(type, "cgroup") && strcmp(type, "cgroup2")) ||
        !cgroup_path_of(groups, !strcmp(type, "cgroup2"), options, path, sizeof path))
        return;
    len = strcmp(mount_root, "/") ? strlen(mount_root) : 0;
    if (strncmp(path, mount_root, len) || (len && path[len] && path[len] != '/'))
        len = strlen(
            path); /* we are outside of what is mounted: its top is the best to look at */
    cgroup_climb(root, mount, strcmp(path + len, "/") ? path + len : "", n);
}

static void cgroups_apply(const char *root, struct node *n)
{
    cleanup_free char *groups = node_read(root, "/proc/self", "cgroup");
    cleanup_free char *mounts = node_read(root, "/proc/self", "mountinfo");
    char *save = NULL;

    if (!groups || !mounts)
        return;
    for (char *line = strtok_r(mounts, "\n", &save); line;
         line = strtok_r(NULL, "\n", &save))
        cgroup_mount(root, line, groups, n);
}

/* ---- machine ---- */

/* A machine may have more processors than cpu_set_t knows. */
static double affinity_count(void)
{
    for (int max = 1024; max <= 1 << 18; max *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)max);
        size_t size = CPU_ALLOC_SIZE((size_t)max);
        int n = set && !sched_getaffinity(0, size, set) ? CPU_COUNT_S(size, set) : 0;

        CPU_FREE(set);
        if (n > 0)
            return n;
    }
    return 1;
}

static int64_t memory_total(const char *root)
{
    cleanup_free char *text = node_read(root, "/proc", "meminfo");
    const char *s = text ? strstr(text, "MemTotal:") : NULL;
    int64_t bytes;

    return s && !__builtin_mul_overflow(strtoll(s + 9, NULL, 10), 1024, &bytes) && bytes > 0
               ? bytes
               : 0;
}

/* Of one GPU: its device minor, or -1. */
static int64_t gpu_minor(const char *root, const char *slot)
{
    char dir[512];
    cleanup_free char *text = NULL;
    const char *s;
    char *end;
    long n;

    snprintf(dir, sizeof dir, "/proc/driver/nvidia/gpus/%s", slot);
    text = node_read(root, dir, "information");
    s = text ? strstr(text, "Device Minor:") : NULL;
    if (!s)
        return -1;
    s += strlen("Device Minor:");
    n = strtol(s, &end, 10);
    return end == s || n < 0 ? -1 : n;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static int64_t gpu_minors(const char *root, int64_t minors[GPUS_MAX])
{
    char path[512];
    int64_t count = 0, minor;
    struct dirent *e;
    DIR *d;

    snprintf(path, sizeof path, "%s/proc/driver/nvidia/gpus", root);
    d = opendir(path);
    while (d && count < GPUS_MAX && (e = readdir(d)))
        if (e->d_name[0] != '.' && (minor = gpu_minor(root, e->d_name)) >= 0)
            minors[count++] = minor;
    if (d)
        closedir(d);
    qsort(minors, (size_t)count, sizeof *minors, by_number);
    return count;
}

static int gpus_find(const char *root, struct arena *a, struct node *n)
{
    int64_t minors[GPUS_MAX];
    const char **names;

    n->gpu_count = gpu_minors(root, minors);
    names = arena_alloc(a, ((size_t)n->gpu_count + 1) * sizeof *names);
    for (int64_t i = 0; names && i < n->gpu_count; i++)
        if (!(names[i] = arena_fmt(a, "%lld", (long long)minors[i])))
            return -ENOMEM;
    n->gpus = names;
    return names ? 0 : -ENOMEM;
}

int node_measure(const char *root, struct arena *a, struct node *ret)
{
    struct node n = {.cpus = affinity_count(), .memory_bytes = memory_total(root)};
    int r;

    lower(&n.pids, node_number(root, "/proc/sys/kernel", "threads-max", 0));
    lower(&n.pids, node_number(root, "/proc/sys/kernel", "pid_max", 0));
    cgroups_apply(root, &n);
    r = gpus_find(root, a, &n);
    if (r >= 0)
        *ret = n;
    return r;
}

const struct node *node_machine(void)
{
    static struct node machine; /* its list of GPUs lives as long as the process */
    static bool measured;
    static const char *const none[] = {NULL};
    struct arena *a;

    if (measured)
        return &machine;
    machine.gpus = none;
    a = arena_new();
    if (a && node_measure("", a, &machine) >= 0)
        measured = true;
    else
        arena_free(a);
    return &machine;
}

/* ---- what the config leaves of it ---- */

/* Of the file system that the state directory is or will be on. */
static int64_t disk_size(const char *path)
{
    char dir[4096];
    struct statvfs fs;

    snprintf(dir, sizeof dir, "%s", path);
    while (statvfs(*dir ? dir : "/", &fs) < 0) {
        char *slash = strrchr(dir, '/');
        if (!slash)
            return 0;
        *slash = '\0';
    }
    return (int64_t)(fs.f_blocks * fs.f_frsize);
}

static int64_t count_words(const char *const *list)
{
    int64_t n = 0;

    while (list[n])
        n++;
    return n;
}

void node_limits(const struct config *c, struct task_resources *ret)
{
    const struct node *m = node_machine();
    int64_t gpus = c->gpus ? count_words(c->gpus) : m->gpu_count;

    *ret = c->capacity;
    if (ret->cpus <= 0)
        ret->cpus = m->cpus;
    if (ret->memory_bytes <= 0)
        ret->memory_bytes = m->memory_bytes;
    if (ret->disk_bytes <= 0)
        ret->disk_bytes = -1;
    if (ret->pids <= 0)
        ret->pids = m->pids;
    if (ret->gpus < 0 || ret->gpus > gpus)
        ret->gpus = gpus;
}

void node_capacity(const struct config *c, struct arena *a, struct task_resources *ret,
                   const char *const **ret_gpus)
{
    static const char *const none[] = {NULL};
    const char *const *found = c->gpus ? c->gpus : node_machine()->gpus;
    const char **gpus;

    node_limits(c, ret);
    if (ret->disk_bytes < 0)
        ret->disk_bytes = disk_size(c->state_dir);
    gpus = arena_alloc(a, ((size_t)ret->gpus + 1) * sizeof *gpus);
    if (!gpus)
        ret->gpus = 0;
    for (int64_t i = 0; i < ret->gpus; i++)
        gpus[i] = found[i];
    *ret_gpus = gpus ? gpus : none;
}
