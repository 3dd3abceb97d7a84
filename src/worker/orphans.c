/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Where there is neither a cgroup nor a pid namespace, a payload's descendants are still
 * found: orphans are given to the nearest subreaper above them, and a process cannot leave
 * its subreaper. The death of one hands us its children, so all of it is repeated until
 * none is left: here while there is something to reap, and by the caller later.
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

#define LOOKS 100 /* at a time: a fork bomb must not hold up all the rest */

struct orphans {
    int left, reaped;
};

static void orphan_kill(struct orphans *o, pid_t pid)
{
    kill(pid, SIGKILL);
    pid_t reaped = waitpid(pid, NULL, WNOHANG);
    o->reaped += reaped > 0;
    o->left += reaped == 0; /* dying, or unkillable */
}

static struct orphans orphans_look(bool (*mine)(void *arg, pid_t pid), void *arg)
{
    struct orphans o = {0};
    cleanup_free char *text = NULL;
    size_t len;
    if (read_file("/proc/thread-self/children", 1 << 20, &text, &len) < 0)
        return o;
    for (char *p = text; *p;) {
        char *end;
        pid_t pid = (pid_t)strtol(p, &end, 10);
        if (end == p)
            break;
        if (!mine(arg, pid))
            orphan_kill(&o, pid);
        for (p = end; *p == ' ' || *p == '\n'; p++)
            ;
    }
    return o;
}

int orphans_kill(bool (*mine)(void *arg, pid_t pid), void *arg)
{
    struct orphans o;
    int looks = 0;
    do
        o = orphans_look(mine, arg);
    while (o.reaped > 0 && ++looks < LOOKS);
    return o.left + o.reaped;
}
