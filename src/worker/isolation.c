/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What isolation can be had here, found out by having it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/spawn.h"

#define TRIED                                                                          \
    (BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_PID | BERTH_ISOLATE_IPC | BERTH_ISOLATE_NET | \
     BERTH_ISOLATE_READONLY | BERTH_ISOLATE_TMP | BERTH_ISOLATE_DEVICES |              \
     BERTH_ISOLATE_UTS)

static const struct {
    unsigned bit, with;
    const char *name;
} parts[] = {
    {BERTH_ISOLATE_MOUNT, 0, "mount"},
    {BERTH_ISOLATE_PID, 0, "pid"},
    {BERTH_ISOLATE_IPC, 0, "ipc"},
    {BERTH_ISOLATE_NET, 0, "net"},
    {BERTH_ISOLATE_UTS, 0, "uts"},
    {BERTH_ISOLATE_READONLY, BERTH_ISOLATE_MOUNT, "readonly"},
    {BERTH_ISOLATE_TMP, BERTH_ISOLATE_MOUNT, "tmp"},
    {BERTH_ISOLATE_DEVICES, BERTH_ISOLATE_MOUNT, "devices"},
    {BERTH_ISOLATE_SECCOMP, 0, "seccomp"},
    {BERTH_ISOLATE_UID, 0, "uid"},
};

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static int try(unsigned bits, bool by_userns, struct berth_error *err)
{
    cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return berth_fail_errno(err, errno, "open '/dev/null'");
    struct spawn_request req = {
        .stdio = {null, null, null},
        .isolate = bits,
        .by_userns = by_userns,
        .host_name = "berth",
        .run = nothing,
    };
    struct spawned s;
    struct spawn_status st;
    int r = spawn(&req, &s, NULL, err);
    return r < 0 ? r : spawn_reap(&s, &st);
}

/* All at once, which is the rule; else piece by piece. The first refusal goes to err. */
static unsigned find(bool by_userns, struct berth_error *err)
{
    unsigned can = 0;
    if (try(TRIED, by_userns, err) == 0)
        return TRIED;
    for (size_t i = 0; i < countof(parts); i++)
        if (parts[i].bit & TRIED && (parts[i].with & can) == parts[i].with &&
            try(parts[i].bit | parts[i].with, by_userns, NULL) == 0)
            can |= parts[i].bit;
    /* Each alone is not all together. */
    return can && try(can, by_userns, NULL) == 0 ? can : 0;
}

static bool has_seccomp(void)
{
    unsigned action = SECCOMP_RET_KILL_PROCESS;
    return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static bool has_capabilities(unsigned need)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}, {0}};
    return syscall(SYS_capget, &head, data) == 0 && (data[0].effective & need) == need;
}

static void say_missing(struct isolation *ret, const struct berth_error *why)
{
    size_t n = 0;
    for (size_t i = 0; i < countof(parts) && n < 100; i++)
        if (!(ret->can & parts[i].bit))
            n += (size_t)snprintf(ret->text + n, sizeof ret->text - n, "%s%s",
                                  n ? ", " : "no ", parts[i].name);
    if (!n)
        return;
    bool spaces = (ret->can & TRIED) != TRIED;
    snprintf(ret->text + n, sizeof ret->text - n, ": %.90s%s",
             spaces ? why->text : "needs root or the capabilities setuid and setgid",
             spaces ? "; grant sys_admin, or allow user namespaces" : "");
}

void isolation_probe(struct isolation *ret)
{
    struct berth_error direct = {0}, userns = {0};
    if (!ret)
        return;
    *ret = (struct isolation){.can = find(false, &direct)};
    if (ret->can != TRIED) {
        unsigned can = find(true, &userns);
        ret->by_userns = __builtin_popcount(can) > __builtin_popcount(ret->can);
        ret->can = ret->by_userns ? can : ret->can;
    }
    if (has_seccomp())
        ret->can |= BERTH_ISOLATE_SECCOMP;
    if (!ret->by_userns && has_capabilities(1u << CAP_SETUID | 1u << CAP_SETGID))
        ret->can |= BERTH_ISOLATE_UID;
    ret->keeps =
        !ret->by_userns && has_capabilities(1u << CAP_SYS_ADMIN | 1u << CAP_SYS_CHROOT);
    say_missing(ret, userns.code ? &userns : &direct);
}
