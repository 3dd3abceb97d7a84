/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * System calls that touch nothing but their arguments. Init shares memory, and with it
 * errno, with a supervisor that goes on working beside it. Where memory is not shared
 * (clone.c) any call will do.
 */
#ifndef WORKER_RAW_CALL_H
#define WORKER_RAW_CALL_H

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The result, or -errno. */
static inline long raw_call(long nr, long a, long b, long c, long d, long e)
{
#if defined(__x86_64__)
    long ret;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    __asm__ volatile("syscall"
                     : "=a"(ret)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                     : "rcx", "r11", "memory");
    return ret;
#else
    long ret = syscall(nr, a, b, c, d, e);
    return ret < 0 ? -errno : ret;
#endif
}

#endif
