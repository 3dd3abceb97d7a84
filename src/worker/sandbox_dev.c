/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A /dev with little in it. Nodes are bind mounts: mknod needs a capability that nobody here has. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/sandbox_int.h"

static const char *const standard[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                       "/dev/random", "/dev/urandom", "/dev/tty"};
#define STANDARD ((int)(sizeof standard / sizeof *standard))

static const char *device(const struct spawn_plan *plan, int i)
{
    return i < STANDARD ? standard[i] : plan->req->devices[i - STANDARD];
}

static void links(void)
{
    static const char *const link[][2] = {{"/proc/self/fd", "/dev/fd"},
                                          {"/proc/self/fd/0", "/dev/stdin"},
                                          {"/proc/self/fd/1", "/dev/stdout"},
                                          {"/proc/self/fd/2", "/dev/stderr"}};
    for (size_t i = 0; i < sizeof link / sizeof *link; i++)
        if (symlink(link[i][0], link[i][1]) < 0)
            return; /* a program that needs it says so better */
}

void sandbox_devices(const struct spawn_plan *plan)
{
    int tree[SPAWN_DEVICES], count = STANDARD + list_count(plan->req->devices);
    for (int i = 0; i < count; i++) {
        tree[i] = sandbox_hold(device(plan, i));
        child_check(plan, tree[i] == -ENOENT && i < STANDARD ? 0 : tree[i], "keep", device(plan, i));
    }
    child_check(plan, sandbox_tmpfs("/dev", "mode=0755,size=64k,nr_inodes=128"), "mount tmpfs on", "/dev");
    for (int i = 0; i < count; i++) {
        if (tree[i] < 0)
            continue;
        sandbox_make_point(device(plan, i), false);
        child_check(plan, sandbox_put(tree[i], device(plan, i)), "put", device(plan, i));
    }
    links();
    mkdir("/dev/shm", 0755);
    chmod("/dev/shm", 01777);
}
