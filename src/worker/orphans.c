/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Where there is neither a cgroup nor a pid namespace, a payload's descendants are still
 * found: orphans are given to the nearest subreaper above them, and a process cannot leave
 * its subreaper. Killing one may hand us its children, so the caller repeats until none is
 * left.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/str.h"
#include "worker/supervisor_int.h"

static int orphan_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    pid_t reaped = waitpid(pid, NULL, WNOHANG);
    return reaped == 0; /* 1: dying or unkillable */
}

int orphans_kill(bool (*mine)(void *arg, pid_t pid), void *arg)
{
    cleanup_free char *text = NULL;
    size_t len;
    int left = 0;
    if (read_file("/proc/thread-self/children", 1 << 20, &text, &len) < 0)
        return 0;
    for (char *p = text; *p;) {
        char *end;
        pid_t pid = (pid_t)strtol(p, &end, 10);
        if (end == p)
            break;
        if (!mine(arg, pid))
            left += orphan_kill(pid);
        for (p = end; *p == ' ' || *p == '\n'; p++)
            ;
    }
    return left;
}
