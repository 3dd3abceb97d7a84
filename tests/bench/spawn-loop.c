/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What the machine can do at best: starts a program and waits for it, over and over, some at a time.
 *
 *   spawn-loop [-w WIDTH] [-n RUNS] PROGRAM [ARGUMENT...]
 *
 * Each of WIDTH processes does its share of RUNS, one after another. Prints a line of JSON: runs per second and
 * how long one run took, from before posix_spawn until after waitpid. The programs' output is discarded.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/figures.h"

extern char **environ;

static _Noreturn void give_up(const char *what, int error)
{
    fprintf(stderr, "spawn-loop: %s: %s\n", what, strerror(error));
    exit(1);
}

static void run_once(char **argv)
{
    pid_t pid;
    int status;
    int error = posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);
    if (error)
        give_up(argv[0], error);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            give_up("waitpid", errno);
    if (status) {
        fprintf(stderr, "spawn-loop: %s ended with wait status %d\n", argv[0], status);
        exit(1);
    }
}

static void share(char **argv, uint64_t *took_ns, size_t runs)
{
    for (size_t i = 0; i < runs; i++) {
        uint64_t start = figures_now_ns();
        run_once(argv);
        took_ns[i] = figures_now_ns() - start;
    }
}

static void quiet(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
        give_up("/dev/null", errno);
}

/* Forks the loops; returns how many of them failed. */
static int loop_all(char **argv, uint64_t *took_ns, size_t runs, size_t width)
{
    int failed = 0, status;
    for (size_t i = 0; i < width; i++) {
        size_t first = runs * i / width, end = runs * (i + 1) / width;
        pid_t pid = fork();
        if (pid < 0)
            give_up("fork", errno);
        if (pid == 0) {
            quiet();
            share(argv, took_ns + first, end - first);
            _exit(0);
        }
    }
    while (wait(&status) > 0)
        failed += status != 0;
    return failed;
}

int main(int argc, char **argv)
{
    size_t width = 2, runs = 1000;
    int opt;
    while ((opt = getopt(argc, argv, "+w:n:")) != -1) {
        if (opt == 'w')
            width = strtoul(optarg, NULL, 10);
        else if (opt == 'n')
            runs = strtoul(optarg, NULL, 10);
        else
            return 2;
    }
    if (optind == argc || !width || !runs) {
        fprintf(stderr, "usage: spawn-loop [-w WIDTH] [-n RUNS] PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    uint64_t *took_ns = mmap(NULL, runs * sizeof *took_ns, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (took_ns == MAP_FAILED)
        give_up("memory for the figures", errno);
    uint64_t start = figures_now_ns();
    if (loop_all(argv + optind, took_ns, runs, width))
        return 1;
    figures_print(took_ns, runs, figures_now_ns() - start, 0);
    return 0;
}
