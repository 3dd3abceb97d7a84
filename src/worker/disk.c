/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A limit on the work directory. Quotas depend on the file system; a tmpfs of the right
 * size does not. It is mounted in a mount namespace of the supervisor's own, from which the
 * payload's is made, so that staging sees the same files and nothing stays mounted when all
 * of them are dead.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>

#include "base/fail.h"
#include "worker/supervisor_int.h"

static int write_map(const char *file, const char *text, struct berth_error *err)
{
    cleanup_close int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return berth_fail_errno(err, errno, "disk limit: '%s'", file);
    return 0;
}

static int own_user_namespace(struct berth_error *err)
{
    char uid[64], gid[64];
    snprintf(uid, sizeof uid, "%u %u 1", (unsigned)geteuid(), (unsigned)geteuid());
    snprintf(gid, sizeof gid, "%u %u 1", (unsigned)getegid(), (unsigned)getegid());
    if (unshare(CLONE_NEWUSER) < 0)
        return berth_fail_errno(err, errno, "disk limit: user namespace");
    prctl(PR_SET_DUMPABLE, 1); /* gaining capabilities made /proc/self root's */
    int rc = write_map("/proc/self/setgroups", "deny", err);
    if (rc == 0)
        rc = write_map("/proc/self/uid_map", uid, err);
    return rc < 0 ? rc : write_map("/proc/self/gid_map", gid, err);
}

int disk_mount(struct supervisor *s, struct berth_error *err)
{
    char options[160];
    const struct attempt *at = s->at;
    long long bytes = (long long)at->plan.resources.disk_bytes;
    int n = snprintf(options, sizeof options, "size=%lld,nr_inodes=%lld,mode=0700", bytes,
                     bytes / 1024 + 1024);
    if (at->uid != (uid_t)-1)
        snprintf(options + n, sizeof options - (size_t)n, ",uid=%u,gid=%u",
                 (unsigned)at->uid, (unsigned)at->gid);
    if (s->rt->isolation.by_userns && own_user_namespace(err) < 0)
        return -err->code;
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return berth_fail_errno(err, errno, "disk limit: mount namespace");
    if (mount("berth", at->work, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
        return berth_fail_errno(err, errno, "disk limit: tmpfs of %lld bytes", bytes);
    return 0;
}
