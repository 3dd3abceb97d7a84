/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the tests of payloads share: run something, look at what it wrote and how it
 * ended. */
#ifndef TESTS_SPAWN_HELP_H
#define TESTS_SPAWN_HELP_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "priv/priv.h"
#include "worker/spawn.h"

#define TEST_UID 65533 /* of the daemon */
#define TASK_UID 65532 /* of payloads */
#define WAIT_MS 20000  /* for what must come; only a failure waits that long */

struct result {
    int r;
    bool fault;
    struct berth_error err;
    struct spawn_status st;
    char out[16384]; /* stdout and stderr */
};

static const char *const test_env[] = {"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
                                       "LC_ALL=C", NULL};

/* Starts it with output into a memory file, and waits for its end. */
__attribute__((unused)) static void run_request(struct spawn_request *req,
                                                struct result *res)
{
    struct spawned s;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC),
        out = memfd_create("out", MFD_CLOEXEC);
    memset(res, 0, sizeof *res);
    req->stdio[0] = null;
    req->stdio[1] = req->stdio[2] = out;
    if (!req->env)
        req->env = test_env;
    res->r = spawn(req, &s, &res->fault, &res->err);
    if (res->r == 0)
        res->r = spawn_reap(&s, &res->st);
    ssize_t n = pread(out, res->out, sizeof res->out - 1, 0);
    res->out[n > 0 ? n : 0] = '\0';
    close(null);
    close(out);
    if (res->r < 0)
        printf("# %s\n", res->err.text);
}

__attribute__((unused)) static void run_sh(struct spawn_request *req, const char *script,
                                           struct result *res)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    req->argv = argv;
    run_request(req, res);
    req->argv = NULL;
}

/* Does fn in a forked process and takes over its count of checks. */
__attribute__((unused)) static void in_child(void (*fn)(void *arg), void *arg)
{
    int *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        fn(arg);
        shared[0] = tap_count;
        shared[1] = tap_failed;
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (shared[0] > tap_count) {
        tap_count = shared[0];
        tap_failed = shared[1];
    }
    munmap(shared, 4096);
    ok(status == 0, "the process of these checks came to its end (status %d)", status);
}

/* Becomes what a worker is: another uid with a few capabilities. Only for root. */
__attribute__((unused)) static void become_worker(void)
{
    struct berth_error err = {0};
    struct priv_drop drop = {
        .change_ids = true,
        .uid = TEST_UID,
        .gid = TEST_UID,
        .keep = 1ull << CAP_SETUID | 1ull << CAP_SETGID | 1ull << CAP_KILL |
                1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_CHROOT | 1ull << CAP_CHOWN,
    };
    if (!ok(priv_drop(&drop, &err) == 0, "become a worker"))
        printf("# %s\n", err.text);
}

/* A plain user without anything; the caller stays what it is if it is one already. */
__attribute__((unused)) static void become_user(void)
{
    if (geteuid() != 0)
        return;
    struct berth_error err = {0};
    struct priv_drop drop = {.change_ids = true, .uid = TEST_UID, .gid = TEST_UID};
    if (!ok(priv_drop(&drop, &err) == 0, "become a plain user"))
        printf("# %s\n", err.text);
}

/* Has every writer of the pipe gone? Waits for it. */
__attribute__((unused)) static bool ends(int fd, int timeout_ms)
{
    char c;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, timeout_ms) == 1)
        if (read(fd, &c, 1) <= 0)
            return true;
    return false;
}

__attribute__((unused)) static bool reads_line(int fd, char *line, size_t size)
{
    size_t n = 0;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (n < size - 1 && poll(&p, 1, WAIT_MS) == 1 && read(fd, line + n, 1) == 1 &&
           line[n] != '\n')
        n++;
    line[n] = '\0';
    return n > 0;
}

#endif
