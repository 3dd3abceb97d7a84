/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Processes that multiply, do not hear, run away, or go for who started them. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "hostile.h"

/* Each process makes others for as long as it lives; where no more fit it tries on. */
int hostile_bomb(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (int i = 1; i < _NSIG; i++)
        signal(i, SIG_IGN);
    for (;;)
        if (fork() == 0)
            setsid();
}

int hostile_deaf(int argc, char **argv)
{
    sigset_t all;
    (void)argc;
    (void)argv;
    for (int i = 1; i < _NSIG; i++)
        signal(i, SIG_IGN);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    for (;;)
        pause();
}

/* Every generation leaves session, group and parent; the last one stays, holding nothing. */
int hostile_flee(int argc, char **argv)
{
    for (int generation = 0; generation < 8; generation++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid > 0 && generation == 0)
            return 0;
        if (pid > 0)
            _exit(0);
        setsid();
    }
    syscall(SYS_close_range, 0u, ~0u, 0u);
    if (chdir("/") < 0)
        return 1;
    execl("/proc/self/exe", argv[-1], "linger", argc > 1 ? argv[1] : "1000", (char *)NULL);
    return 1;
}

/* Deaf as well, for as many seconds; the argument shows in the list of processes. */
int hostile_linger(int argc, char **argv)
{
    for (int i = 1; i < _NSIG; i++)
        signal(i, SIG_IGN);
    for (unsigned left = argc > 1 ? (unsigned)atoi(argv[1]) : 1000; left > 0;)
        left = sleep(left);
    return 0;
}

int hostile_stop_self(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    for (;;)
        raise(SIGSTOP);
}

/* In a namespace of its own it is the second process; elsewhere that is the kernel's. */
static bool is_apart(void)
{
    return getpid() == 2;
}

/* Its parent, process 1, and all that it can reach, by every signal; also one that says it comes
 * from elsewhere. */
int hostile_at_parent(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    siginfo_t lie = {.si_code = SI_QUEUE};
    if (!is_apart()) /* from here -1 is everybody */
        return 2;
    pid_t self = getpid(),
          parent = getppid(); /* 0: it is outside, and 0 is one's own group */
    pid_t targets[] = {parent ? parent : 1, 1, -1};
    for (int i = 1; i < _NSIG; i++)
        signal(i, SIG_IGN);
    for (size_t t = 0; t < countof(targets); t++)
        for (int signo = 1; signo < _NSIG; signo++) {
            lie.si_signo = signo;
            syscall(SYS_rt_sigqueueinfo, targets[t], signo, &lie);
            kill(targets[t], signo);
        }
    printf("still here: %s\n", getpid() == self && getppid() == parent ? "yes" : "no");
    fflush(stdout);
    _exit(0); /* deaf as it is, a sanitizer's last check would not come to its end */
}

/* Looks like one of berth's own, in all that a process may say about itself. */
int hostile_disguise(int argc, char **argv)
{
    char *from = argv[-1], *end = argv[argc - 1] + strlen(argv[argc - 1]);
    memset(from, 0, (size_t)(end - from));
    snprintf(from, (size_t)(end - from), "berthd: host");
    prctl(PR_SET_NAME, "a) Z 1 (\n1 1");
    if (fork() == 0)
        setpgid(0, 0);
    puts("disguised");
    fflush(stdout);
    for (;;)
        pause();
}

/* Process 1 of its namespace, which it may not signal, is given a limit of no time at all. */
int hostile_limit_init(int argc, char **argv)
{
    struct rlimit none = {0, 0};
    (void)argc;
    (void)argv;
    for (int r = 0; r < RLIM_NLIMITS; r++)
        if (r != RLIMIT_CPU && prlimit(1, (__rlimit_resource_t)r, &none, NULL) < 0)
            printf("limit %d of process 1: %s\n", r, strerror(errno));
    if (prlimit(1, RLIMIT_CPU, &none, NULL) < 0)
        printf("cpu limit of process 1: %s\n", strerror(errno));
    return 0;
}

/* System V and POSIX objects that would outlive it. */
int hostile_keep(int argc, char **argv)
{
    key_t key = (key_t)strtol(argc > 1 ? argv[1] : "0x62657274", NULL, 0);
    struct mq_attr attr = {.mq_maxmsg = 1, .mq_msgsize = 8};
    bool ok = shmget(key, 1 << 20, IPC_CREAT | 0666) >= 0;
    ok &= semget(key, 1, IPC_CREAT | 0666) >= 0;
    ok &= msgget(key, IPC_CREAT | 0666) >= 0;
    ok &= mq_open("/berth-hostile", O_CREAT | O_RDWR, 0666, &attr) >= 0;
    ok &= shm_open("/berth-hostile", O_CREAT | O_RDWR, 0666) >= 0;
    puts(ok ? "made" : strerror(errno));
    return !ok;
}
