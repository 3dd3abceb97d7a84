/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* URLs, by way of the program berth-fetch: libcurl has no place in a process that holds
 * capabilities. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fail.h"
#include "fetch/fetch.h"
#include "worker/stage.h"

#ifndef BERTH_LIBEXECDIR
#define BERTH_LIBEXECDIR "/usr/local/libexec/berth"
#endif

struct fetch {
    struct spawned child;
    int errors; /* read end of its stderr */
};

/* The URL goes by the environment, which only the same uid can read: it may hold a
 * signature. */
static const char **fetch_env(struct arena *a, const char *url)
{
    static const char *const passed[] = {"http_proxy",  "https_proxy", "no_proxy",
                                         "HTTPS_PROXY", "NO_PROXY",    "SSL_CERT_FILE",
                                         "SSL_CERT_DIR"};
    const char **env = arena_alloc(a, (countof(passed) + 2) * sizeof *env);
    size_t n = 0;
    if (!env || !(env[n++] = arena_fmt(a, FETCH_URL "=%s", url)))
        return NULL;
    for (size_t i = 0; i < countof(passed); i++) {
        const char *value = getenv(passed[i]);
        char *pair = value ? arena_fmt(a, "%s=%s", passed[i], value) : NULL;
        if (pair)
            env[n++] = pair;
    }
    return env;
}

static int fetch_start(struct fetch *f, const char *verb, const char *url, int in, int out,
                       struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    int fds[2];
    bool fault;
    const char *dir = secure_getenv("BERTH_LIBEXEC_DIR");
    const char *program =
        a ? arena_fmt(a, "%s/berth-fetch", dir ? dir : BERTH_LIBEXECDIR) : NULL;
    const char **env = a ? fetch_env(a, url) : NULL;
    if (!program || !env)
        return berth_fail(err, ENOMEM, "out of memory");
    if (pipe2(fds, O_CLOEXEC) < 0)
        return berth_fail_errno(err, errno, "pipe");
    const char *const argv[] = {program, verb, NULL};
    struct spawn_request req = {
        .argv = argv, .env = env, .cwd = "/", .stdio = {in, out, fds[1]}};
    int rc = spawn(&req, &f->child, &fault, err);
    close(fds[1]);
    f->errors = fds[0];
    if (rc < 0)
        close(fds[0]);
    return rc;
}

/* err NULL: it was killed for a failure of ours, and its end tells nothing. */
static int fetch_end(struct supervisor *s, struct fetch *f, struct berth_error *err)
{
    char text[200];
    struct spawn_status st = {0};
    ssize_t n = read(f->errors, text, sizeof text - 1);
    struct pollfd p = {.fd = f->child.pidfd, .events = POLLIN};
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
    close(f->errors);
    spawn_reap(&f->child, &st);
    if (!err || (st.code == CLD_EXITED && st.value == 0))
        return 0;
    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    bool caller = st.code == CLD_EXITED && st.value == FETCH_EXIT_REFUSED;
    stage_blame(s, caller ? BERTH_VERDICT_REJECTED : BERTH_VERDICT_RUNTIME_ERROR,
                caller ? BERTH_BLAME_CALLER : BERTH_BLAME_NODE, 0);
    return berth_fail(err, EIO, "%s",
                      *text ? text : "berth-fetch failed without saying why");
}

int fetch_get(struct supervisor *s, const char *url, int to_fd, uint64_t max,
              struct berth_error *err)
{
    struct fetch f;
    int fds[2];
    cleanup_close int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0 || pipe2(fds, O_CLOEXEC) < 0)
        return berth_fail_errno(err, errno, "pipe");
    int rc = fetch_start(&f, "get", url, null, fds[1], err);
    close(fds[1]);
    if (rc == 0) {
        int64_t n = stage_copy(fds[0], to_fd, max);
        if (n < 0)
            kill(f.child.pid, SIGKILL);
        rc = fetch_end(s, &f, n < 0 ? NULL : err);
        if (n == -EFBIG)
            rc = berth_fail(err, EFBIG, "is larger than the %llu bytes of the task's disk",
                            (unsigned long long)max);
        else if (n < 0)
            rc = berth_fail_errno(err, (int)-n, "writing what was fetched");
    }
    close(fds[0]);
    return rc;
}

int fetch_put(struct supervisor *s, const char *url, int from_fd, struct berth_error *err)
{
    struct fetch f;
    cleanup_close int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null < 0)
        return berth_fail_errno(err, errno, "open '/dev/null'");
    int rc = fetch_start(&f, "put", url, from_fd, null, err);
    return rc < 0 ? rc : fetch_end(s, &f, err);
}
