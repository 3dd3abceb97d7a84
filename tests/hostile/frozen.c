/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * frozen DIRECTORY: mounts a FUSE file system there that takes every request and answers none. A
 * process that asks it something sleeps, and no signal wakes it, until this server is gone. It
 * speaks to /dev/fuse itself: two messages are all there is to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "hostile.h"

static int answer_init(int fd, const struct fuse_in_header *in)
{
    struct {
        struct fuse_out_header head;
        struct fuse_init_out init;
    } out = {.head = {.len = sizeof out, .unique = in->unique},
             .init = {.major = FUSE_KERNEL_VERSION,
                      .minor = FUSE_KERNEL_MINOR_VERSION,
                      .max_readahead = 4096,
                      .max_write = 4096}};
    return write(fd, &out, sizeof out) == sizeof out ? 0 : -1;
}

int hostile_frozen(int argc, char **argv)
{
    static char request[1 << 17];
    char options[128];
    if (argc < 2)
        return 2;
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    snprintf(options, sizeof options,
             "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd);
    if (fd < 0 ||
        mount("frozen", argv[1], "fuse.frozen", MS_NOSUID | MS_NODEV, options) < 0) {
        perror("cannot mount a FUSE file system");
        return 1;
    }
    for (;;) {
        ssize_t n = read(fd, request, sizeof request);
        const struct fuse_in_header *in = (const void *)request;
        if (n < 0 && errno != EINTR && errno != ENOENT)
            return errno == ENODEV ? 0 : 1; /* ENODEV: unmounted */
        if (n < (ssize_t)sizeof *in)
            continue;
        if (in->opcode == FUSE_INIT && answer_init(fd, in) < 0)
            return 1;
        printf("%s %u by %u\n", in->opcode == FUSE_INIT ? "ready" : "asked", in->opcode,
               in->uid);
        fflush(stdout);
    }
}
