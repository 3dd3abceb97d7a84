/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A /dev with little in it. Nodes are bind mounts: mknod needs a capability that nobody
 * here has. The working directory stays in the node's own /dev below the new one, so
 * that a relative path still leads to the nodes; that is half the price of holding each
 * of them by a descriptor.
 */
#include <errno.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/sandbox_int.h"

#define DEV "/dev/"

static const char *const standard[] = {"/dev/null",   "/dev/zero",    "/dev/full",
                                       "/dev/random", "/dev/urandom", "/dev/tty"};

/* path begins with DEV: plan_fill has looked. */
static void show(const struct spawn_plan *plan, const char *path, bool optional)
{
    sandbox_make_point(path, false);
    int r = sandbox_or_errno(mount(path + sizeof DEV - 1, path, NULL, MS_BIND, NULL));
    child_check(plan, r == -ENOENT && optional ? 0 : r, "show device", path);
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
    child_check(plan, sandbox_or_errno(chdir("/dev")), "change directory to", "/dev");
    child_check(plan, sandbox_tmpfs("/dev", plan->dev_options), "mount tmpfs on", "/dev");
    for (size_t i = 0; i < sizeof standard / sizeof *standard; i++)
        show(plan, standard[i], true);
    for (int i = 0; i < list_count(plan->req->devices); i++)
        show(plan, plan->req->devices[i], false);
    links();
    mkdir("/dev/shm", 0755);
    chmod("/dev/shm", 01777);
    child_check(plan, sandbox_or_errno(chdir("/")), "change directory to", "/");
}
