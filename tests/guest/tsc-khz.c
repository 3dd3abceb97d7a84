/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Prints how fast this machine's time stamp counter runs, in kHz. QEMU hands the counter on to its guest as it
 * is, and a guest that has to find out for itself, with a timer that the busy machine serves late, may not boot.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define TAKE_NS 100000000

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(void)
{
    int64_t start_ns = now_ns(), ns;
    uint64_t start = __rdtsc(), end;
    do {
        ns = now_ns() - start_ns;
        end = __rdtsc();
    } while (ns < TAKE_NS);
    printf("%.0f\n", (double)(end - start) * 1e6 / (double)ns);
    return 0;
}
