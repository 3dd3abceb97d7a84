/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A snapshot of a process, from the inside. It must work for one that has lost all of its
 * descriptors. */
#include "conform/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"

#define FDS_MAX 4096
#define ENV_MAX_ 65536
#define SIGNALS 65

struct fd_state {
    int fd, status, flags; /* F_GETFL, F_GETFD */
    dev_t dev;
    ino_t ino;
    off_t size; /* of stdout and stderr */
};

struct world {
    sigset_t mask;
    struct sigaction action[SIGNALS];
    char cwd[PATH_MAX];
    mode_t umask;
    char env[ENV_MAX_]; /* each with its NUL */
    size_t env_len, fd_count, threads;
    struct fd_state fd[FDS_MAX];
    bool children;
    struct rlimit limit[RLIM_NLIMITS];
    struct itimerval timer;
    char locale[256];
    uid_t uid[3];
    gid_t gid[3];
};

struct world *world_new(void)
{
    return calloc(1, sizeof(struct world));
}

static int number_of(const char *name)
{
    char *end;
    long n = strtol(name, &end, 10);
    return *name && !*end && n >= 0 && n <= INT_MAX ? (int)n : -1;
}

static void take_fds(struct world *w)
{
    w->fd_count = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (struct dirent *e; dir && w->fd_count < FDS_MAX && (e = readdir(dir));) {
        struct fd_state *s = &w->fd[w->fd_count];
        struct stat st;
        s->fd = number_of(e->d_name);
        if (s->fd < 0 || s->fd == dirfd(dir) || fstat(s->fd, &st) < 0)
            continue;
        s->status = fcntl(s->fd, F_GETFL);
        s->flags = fcntl(s->fd, F_GETFD);
        s->dev = st.st_dev;
        s->ino = st.st_ino;
        s->size = st.st_size;
        w->fd_count++;
    }
    if (dir)
        closedir(dir);
}

static void take_threads(struct world *w)
{
    w->threads = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *e; dir && (e = readdir(dir));)
        w->threads += number_of(e->d_name) > 0;
    if (dir)
        closedir(dir);
}

static void take_env(struct world *w)
{
    w->env_len = 0;
    for (char **e = environ; e && *e; e++) {
        size_t len = strlen(*e) + 1;
        if (w->env_len + len > sizeof w->env)
            return;
        memcpy(w->env + w->env_len, *e, len);
        w->env_len += len;
    }
}

static bool has_children(void)
{
    siginfo_t info;
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

void world_take(struct world *w)
{
    fflush(NULL);
    pthread_sigmask(SIG_BLOCK, NULL, &w->mask);
    for (int s = 1; s < SIGNALS; s++)
        if (sigaction(s, NULL, &w->action[s]) < 0)
            w->action[s] = (struct sigaction){0};
    if (!getcwd(w->cwd, sizeof w->cwd))
        w->cwd[0] = '\0';
    w->umask = umask(0);
    umask(w->umask);
    take_env(w);
    take_fds(w);
    take_threads(w);
    w->children = has_children();
    for (int i = 0; i < RLIM_NLIMITS; i++)
        getrlimit((__rlimit_resource_t)i, &w->limit[i]);
    getitimer(ITIMER_REAL, &w->timer);
    const char *locale = setlocale(LC_ALL, NULL);
    snprintf(w->locale, sizeof w->locale, "%s", locale ? locale : "");
    getresuid(&w->uid[0], &w->uid[1], &w->uid[2]);
    getresgid(&w->gid[0], &w->gid[1], &w->gid[2]);
}

size_t world_fd_count(const struct world *w)
{
    return w->fd_count;
}

size_t world_thread_count(const struct world *w)
{
    return w->threads;
}

/* ---- differences ---- */

struct comparison {
    const struct world *base, *a, *b;
    unsigned may;
    void (*tell)(void *arg, const char *difference);
    void *arg;
};

__attribute__((format(printf, 2, 3))) static void differ(const struct comparison *c,
                                                         const char *format, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    c->tell(c->arg, text);
}

static void compare_signals(const struct comparison *c)
{
    for (int s = 1; s < SIGNALS; s++) {
        if (s == 32 || s == 33) /* the C library's own */
            continue;
        int was = sigismember(&c->a->mask, s), is = sigismember(&c->b->mask, s);
        if (was != is)
            differ(c, "signal mask: SIG%s is %s now",
                   sigabbrev_np(s) ? sigabbrev_np(s) : "RT", is ? "blocked" : "unblocked");
        const struct sigaction *x = &c->a->action[s], *y = &c->b->action[s];
        if (x->sa_handler != y->sa_handler || x->sa_flags != y->sa_flags)
            differ(c, "signal disposition: SIG%s is %s now",
                   sigabbrev_np(s) ? sigabbrev_np(s) : "RT",
                   y->sa_handler == SIG_DFL   ? "default"
                   : y->sa_handler == SIG_IGN ? "ignored"
                                              : "caught");
    }
}

static const char *env_find(const struct world *w, const char *text)
{
    size_t name = strcspn(text, "=");
    for (size_t i = 0; i < w->env_len; i += strlen(w->env + i) + 1)
        if (!strncmp(w->env + i, text, name) && w->env[i + name] == '=')
            return w->env + i;
    return NULL;
}

static void compare_env(const struct comparison *c)
{
    const struct world *a = c->a, *b = c->b;
    if (a->env_len == b->env_len && !memcmp(a->env, b->env, a->env_len))
        return;
    for (size_t i = 0; i < b->env_len; i += strlen(b->env + i) + 1) {
        const char *old = env_find(a, b->env + i);
        if (!old || strcmp(old, b->env + i) != 0)
            differ(c, "environment: '%.100s' is %s", b->env + i,
                   old ? "another now" : "new");
    }
    for (size_t i = 0; i < a->env_len; i += strlen(a->env + i) + 1)
        if (!env_find(b, a->env + i))
            differ(c, "environment: '%.100s' is gone", a->env + i);
}

static const struct fd_state *fd_find(const struct world *w, int fd)
{
    for (size_t i = 0; i < w->fd_count; i++)
        if (w->fd[i].fd == fd)
            return &w->fd[i];
    return NULL;
}

static void fd_name(int fd, char *out, size_t len)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, len - 1);
    out[n > 0 ? n : 0] = '\0';
}

static void compare_output(const struct comparison *c, int fd)
{
    const struct fd_state *was = fd_find(c->a, fd), *is = fd_find(c->b, fd);
    char text[100];
    if (!was || !is || was->ino != is->ino || was->size == is->size)
        return;
    ssize_t n = pread(fd, text, sizeof text - 1, was->size);
    text[n > 0 ? n : 0] = '\0';
    differ(c, "%s: %lld bytes were written: '%s'", fd == 1 ? "stdout" : "stderr",
           (long long)(is->size - was->size), text);
}

static void compare_old_fd(const struct comparison *c, const struct fd_state *s)
{
    const struct fd_state *now = fd_find(c->b, s->fd);
    if (!now || now->dev != s->dev || now->ino != s->ino) {
        differ(c, "descriptor %d: was the host's, is %s", s->fd,
               now ? "another" : "closed");
        return;
    }
    if (now->status != s->status)
        differ(c, "descriptor %d: its status flags are 0%o, were 0%o", s->fd, now->status,
               s->status);
    if (now->flags != s->flags)
        differ(c, "descriptor %d: close-on-exec was %s", s->fd,
               now->flags ? "set" : "cleared");
}

static void compare_fds(const struct comparison *c)
{
    for (size_t i = 0; i < c->base->fd_count; i++)
        compare_old_fd(c, &c->base->fd[i]);
    for (int fd = 1; fd <= 2 && !(c->may & WORLD_OUTPUT); fd++)
        compare_output(c, fd);
    for (size_t i = 0; i < c->b->fd_count; i++) {
        char name[200];
        int fd = c->b->fd[i].fd;
        if (fd_find(c->a, fd))
            continue;
        fd_name(fd, name, sizeof name);
        if (!(c->may & WORLD_NEW_FDS))
            differ(c, "descriptor %d ('%s') was left open", fd, name);
        else if (!(c->b->fd[i].flags & FD_CLOEXEC))
            differ(c, "descriptor %d ('%s') is not close-on-exec", fd, name);
    }
}

static void compare_limits(const struct comparison *c)
{
    for (int i = 0; i < RLIM_NLIMITS; i++)
        if (c->a->limit[i].rlim_cur != c->b->limit[i].rlim_cur ||
            c->a->limit[i].rlim_max != c->b->limit[i].rlim_max)
            differ(c, "resource limit %d (see getrlimit) is another", i);
}

void world_compare(const struct world *base, const struct world *before,
                   const struct world *after, unsigned may_differ,
                   void (*tell)(void *arg, const char *difference), void *arg)
{
    const struct comparison c = {base, before, after, may_differ, tell, arg};
    compare_signals(&c);
    if (strcmp(before->cwd, after->cwd) != 0)
        differ(&c, "working directory: was '%s', is '%s'", before->cwd, after->cwd);
    if (before->umask != after->umask)
        differ(&c, "umask: was %03o, is %03o", before->umask, after->umask);
    compare_env(&c);
    compare_fds(&c);
    if (before->threads != after->threads && !(may_differ & WORLD_THREADS))
        differ(&c, "threads: there were %zu, there are %zu", before->threads,
               after->threads);
    if (after->children && !before->children)
        differ(&c, "children: a process was left behind, running or not waited for");
    compare_limits(&c);
    if (before->timer.it_value.tv_sec != after->timer.it_value.tv_sec)
        differ(&c, "timer: alarm or setitimer was used, which are the host's");
    if (strcmp(before->locale, after->locale) != 0)
        differ(&c, "locale: was '%s', is '%s'", before->locale, after->locale);
    if (memcmp(before->uid, after->uid, sizeof before->uid) != 0 ||
        memcmp(before->gid, after->gid, sizeof before->gid) != 0)
        differ(&c, "user or group id: another than before");
}
