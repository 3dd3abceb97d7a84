/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * reach KIND:TARGET...: what belongs to others. KIND is pid (a process), path (a file or directory),
 * socket (a Unix socket's path), abstract (a Unix socket's name) or tcp (a port of the loopback).
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "hostile.h"

/* ---- a process ---- */

static long send_stop(const char *what)
{
    return kill(atoi(what), SIGSTOP);
}

static long send_kill(const char *what)
{
    return kill(atoi(what), SIGKILL);
}

static long send_by_descriptor(const char *what)
{
    int fd = (int)syscall(SYS_pidfd_open, atoi(what), 0);
    return fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
}

static long trace(const char *what)
{
    return ptrace(PTRACE_SEIZE, atoi(what), NULL, NULL);
}

static long read_memory(const char *what)
{
    char got[8];
    struct iovec here = {got, sizeof got}, there = {(void *)0x400000, sizeof got};
    long r = process_vm_readv(atoi(what), &here, 1, &there, 1, 0);
    return r < 0 && errno == EFAULT ? 0 : r; /* let in, and nothing at that address */
}

static long set_limit(const char *what)
{
    struct rlimit r = {1, 1};
    return prlimit(atoi(what), RLIMIT_NOFILE, &r, NULL);
}

static long set_affinity(const char *what)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    return sched_setaffinity(atoi(what), sizeof one, &one);
}

static long make_nice(const char *what)
{
    return setpriority(PRIO_PROCESS, (id_t)atoi(what), 19);
}

static long open_of(const char *what, const char *file, int flags)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/%s", what, file);
    return open(path, flags | O_NONBLOCK);
}

static long open_memory(const char *what)
{
    return open_of(what, "mem", O_RDWR);
}

static long open_environment(const char *what)
{
    return open_of(what, "environ", O_RDONLY);
}

static long open_its_output(const char *what)
{
    return open_of(what, "fd/1", O_RDWR);
}

static long open_its_root(const char *what)
{
    return open_of(what, "root/", O_RDONLY);
}

static long write_oom_score(const char *what)
{
    long fd = open_of(what, "oom_score_adj", O_WRONLY);
    return fd < 0 ? -1 : write((int)fd, "1000", 4);
}

static void reach_pid(const char *what)
{
    static const struct {
        const char *name;
        long (*act)(const char *what);
    } ways[] = {{"memory", open_memory},
                {"environ", open_environment},
                {"output", open_its_output},
                {"root", open_its_root},
                {"oom_score", write_oom_score},
                {"ptrace", trace},
                {"process_vm_readv", read_memory},
                {"prlimit", set_limit},
                {"affinity", set_affinity},
                {"nice", make_nice},
                {"SIGSTOP", send_stop},
                {"pidfd", send_by_descriptor},
                {"SIGKILL", send_kill}};
    for (size_t i = 0; i < countof(ways); i++)
        hostile_try(ways[i].name, what, ways[i].act);
}

/* ---- a file ---- */

static long open_read(const char *what)
{
    return open(what, O_RDONLY | O_NONBLOCK);
}

static long open_write(const char *what)
{
    return open(what, O_WRONLY | O_NONBLOCK);
}

static long make_in(const char *what)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/hostile", what);
    return open(path, O_WRONLY | O_CREAT, 0666);
}

static long rename_away(const char *what)
{
    char path[4096];
    snprintf(path, sizeof path, "%s.hostile", what);
    return rename(what, path);
}

static long open_to_all(const char *what)
{
    return chmod(what, 0777);
}

static long rename_own_directory(const char *what)
{
    (void)what;
    char here[4096], there[4200];
    if (!getcwd(here, sizeof here))
        return -1;
    snprintf(there, sizeof there, "%s.hostile", here);
    return rename(here, there);
}

static void reach_path(const char *what)
{
    struct stat st;
    bool dir = stat(what, &st) == 0 && S_ISDIR(st.st_mode);
    if (!dir) /* a cover in its place can be read, and is empty */
        hostile_try("read", what, open_read);
    hostile_try("write", what, open_write);
    hostile_try("make", what, make_in);
    hostile_try("rename", what, rename_away);
    hostile_try("chmod", what, open_to_all);
    hostile_try("rename-own", ".", rename_own_directory);
}

/* ---- a socket ---- */

static long connect_unix(const char *path, bool abstract)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len + 2 > sizeof a.sun_path)
        return -1;
    memcpy(a.sun_path + abstract, path, len);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&a,
                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1));
}

static long connect_path(const char *what)
{
    return connect_unix(what, false);
}

static long connect_abstract(const char *what)
{
    return connect_unix(what, true);
}

static long connect_tcp(const char *what)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)atoi(what)),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, (struct sockaddr *)&a, sizeof a);
}

int hostile_reach(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *what = strchr(argv[i], ':');
        if (!what++)
            return 2;
        if (!strncmp(argv[i], "pid:", 4))
            reach_pid(what);
        else if (!strncmp(argv[i], "path:", 5))
            reach_path(what);
        else if (!strncmp(argv[i], "socket:", 7))
            hostile_try("connect", what, connect_path);
        else if (!strncmp(argv[i], "abstract:", 9))
            hostile_try("connect-abstract", what, connect_abstract);
        else if (!strncmp(argv[i], "tcp:", 4))
            hostile_try("connect-tcp", what, connect_tcp);
        else
            return 2;
    }
    puts("tried all");
    return 0;
}
