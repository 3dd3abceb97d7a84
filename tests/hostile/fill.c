/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Too much of everything, or the wrong end of it. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hostile.h"

static unsigned long long number(int argc, char **argv, int at,
                                 unsigned long long otherwise)
{
    return argc > at ? strtoull(argv[at], NULL, 0) : otherwise;
}

/* flood BYTES [FD]: as fast as it is taken. */
int hostile_flood(int argc, char **argv)
{
    static char block[1 << 20];
    unsigned long long left = number(argc, argv, 1, 1 << 20);
    int fd = (int)number(argc, argv, 2, 1);
    memset(block, 'x', sizeof block);
    fcntl(fd, F_SETPIPE_SZ, sizeof block);
    while (left > 0) {
        ssize_t n = write(fd, block, left < sizeof block ? (size_t)left : sizeof block);
        if (n < 0)
            return 1;
        left -= (unsigned long long)n;
    }
    return 0;
}

/* Closes all it has, and stays for so many milliseconds. */
int hostile_close_all(int argc, char **argv)
{
    syscall(SYS_close_range, 0u, ~0u, 0u);
    usleep((useconds_t)number(argc, argv, 1, 500) * 1000);
    return 0;
}

/* Is what it writes there still read? */
static bool is_heard(int fd)
{
    int left = 1;
    if (write(fd, ".", 1) != 1)
        return false;
    for (int i = 0; i < 100 && left > 0; i++) {
        usleep(1000);
        if (ioctl(fd, FIONREAD, &left) < 0)
            return true;
    }
    return left == 0;
}

/*
 * steal-output: a pipe can be opened anew by its name in /proc, at the other end. So this takes back
 * what it has written before who waits for it can. A reader that was told of something to read, and
 * does not expect to find nothing, then waits for ever: once it does, this keeps quiet.
 */
int hostile_steal_output(int argc, char **argv)
{
    char block[64];
    int back = open("/proc/self/fd/1", O_RDONLY | O_NONBLOCK);
    (void)argc;
    (void)argv;
    if (back < 0 || fcntl(1, F_SETFL, O_NONBLOCK) < 0) {
        perror("its own output cannot be opened for reading");
        return 1;
    }
    signal(SIGTERM, SIG_IGN);
    do
        for (int i = 0; i < 2000; i++)
            if (write(1, "x", 1) != 1 || read(back, block, sizeof block) < 0)
                continue;
    while (is_heard(2));
    for (;;)
        pause();
}

/* descriptors: as many as there may be, in as many processes. Prints how many one can have. */
int hostile_descriptors(int argc, char **argv)
{
    unsigned count = 0;
    int last = -1, fd;
    while ((fd = dup(0)) >= 0 || (fd = open("/dev/null", O_RDONLY)) >= 0) {
        last = fd;
        count++;
    }
    int code = errno;
    if (last >= 0)
        close(last); /* for the output */
    printf("%u, then: %s\n", count, strerror(code));
    fflush(stdout);
    for (unsigned i = 1; i < number(argc, argv, 1, 1); i++)
        if (fork() == 0)
            pause();
    usleep((useconds_t)number(argc, argv, 2, 300) * 1000);
    return 0;
}

/* Pipes and sockets, filled: memory of the kernel's. */
int hostile_pipes(int argc, char **argv)
{
    static char block[1 << 16];
    unsigned count = 0;
    int fds[2];
    (void)argc;
    (void)argv;
    while (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) == 0 ||
           pipe2(fds, O_NONBLOCK) == 0) {
        while (write(fds[1], block, sizeof block) > 0)
            ;
        count++;
    }
    dprintf(2, "%u filled\n", count);
    return 0;
}

/* memory slow|fast BYTES: touches it page by page, or all at once. */
int hostile_memory(int argc, char **argv)
{
    bool slow = argc > 1 && !strcmp(argv[1], "slow");
    unsigned long long bytes = number(argc, argv, 2, 1ull << 30);
    for (unsigned long long done = 0; slow && done < bytes; done += 1 << 20) {
        char *p = malloc(1 << 20);
        if (!p)
            return 3;
        memset(p, 1, 1 << 20);
        usleep(1000);
    }
    if (slow)
        return 0;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return p == MAP_FAILED ? 3 : 0;
}

/* disk DIRECTORY: a file until no more fits. */
int hostile_disk(int argc, char **argv)
{
    static char block[1 << 20];
    unsigned long long done = 0;
    if (argc < 2 || chdir(argv[1]) < 0)
        return 1;
    int fd = open("fill", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;
    while ((n = write(fd, block, sizeof block)) > 0)
        done += (unsigned long long)n;
    printf("%llu, then: %s\n", done, strerror(errno));
    return 0;
}

/* inodes DIRECTORY MAX: empty files until no more fit. */
int hostile_inodes(int argc, char **argv)
{
    unsigned long long max = number(argc, argv, 2, 100000), count = 0;
    char name[32];
    if (argc < 2 || chdir(argv[1]) < 0)
        return 1;
    for (; count < max; count++) {
        snprintf(name, sizeof name, "f%llu", count);
        int fd = open(name, O_WRONLY | O_CREAT, 0);
        if (fd < 0)
            break;
        close(fd);
    }
    printf("%llu, then: %s\n", count, count < max ? strerror(errno) : "enough");
    return 0;
}

/* deep LEVELS: a directory in a directory in ..., of which none can be read. */
int hostile_deep(int argc, char **argv)
{
    unsigned long long levels = number(argc, argv, 1, 10000);
    char name[NAME_MAX + 1];
    memset(name, '\n', NAME_MAX);
    name[NAME_MAX] = '\0';
    int fd = open(".", O_PATH | O_DIRECTORY);
    for (unsigned long long i = 0; i < levels; i++) {
        if (mkdirat(fd, name, 0700) < 0) {
            printf("%llu, then: %s\n", i, strerror(errno));
            return 1;
        }
        int next = openat(fd, name, O_PATH | O_DIRECTORY);
        if (fchdir(next) < 0 || (i > 0 && chmod("..", 0) < 0))
            return 1;
        close(fd);
        fd = next;
    }
    printf("%llu levels\n", levels);
    return 0;
}
