/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Where there are no cgroups, a payload has to be found by its pid. A bare pid proves nothing, so
 * the supervisor writes down the start time and the boot as well. With a pid namespace that process
 * is its init, and when that is dead so is all the rest.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>

#include "base/fail.h"
#include "base/str.h"
#include "worker/attempt.h"

/* Field 22 of /proc/PID/stat (proc(5)); the second may hold anything, but ends with the last ')'. */
static int start_time(pid_t pid, unsigned long long *ret)
{
    char path[40];
    cleanup_free char *text = NULL;
    size_t len;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int rc = read_file(path, 4096, &text, &len);
    if (rc < 0)
        return rc;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%llu", ret) == 1 ? 0 : -EPROTO;
}

int attempt_witness_write(const char *dir, pid_t pid)
{
    char text[128];
    cleanup_free char *path = NULL;
    unsigned long long started;
    int rc = start_time(pid, &started);
    if (rc < 0)
        return rc;
    if (asprintf(&path, "%s/" ATTEMPT_WITNESS, dir) < 0)
        return -ENOMEM;
    int n = snprintf(text, sizeof text, "%d %llu %s", (int)pid, started, boot_id());
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    return fd < 0 || write(fd, text, (size_t)n) != n ? -errno : 0;
}

int attempt_witness_kill(const char *dir, int timeout_ms)
{
    int pid;
    unsigned long long started, now;
    char boot[64];
    cleanup_free char *path = NULL, *text = NULL;
    size_t len;
    if (asprintf(&path, "%s/" ATTEMPT_WITNESS, dir) < 0)
        return -ENOMEM;
    if (read_file(path, 128, &text, &len) < 0 ||
        sscanf(text, "%d %llu %63s", &pid, &started, boot) != 3 ||
        strcmp(boot, boot_id()) != 0)
        return 0;
    /* the descriptor first: whose start time is read after that cannot change any more */
    cleanup_close int fd = pidfd_open(pid, 0);
    if (fd < 0 || start_time(pid, &now) < 0 || now != started)
        return 0;
    if (pidfd_send_signal(fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
        return -errno;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, timeout_ms) == 1 ? 0 : -ETIMEDOUT;
}
