/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What both load generators measure and print. */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline uint64_t figures_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline int figures_compare(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The smallest value that `percent` of all do not exceed; the values are sorted. */
static inline double figures_percentile_us(const uint64_t *ns, size_t n, unsigned percent)
{
    size_t rank = (n * percent + 99) / 100;
    return n ? (double)ns[rank ? rank - 1 : 0] / 1000 : 0;
}

/* Sorts the durations and prints one line of JSON. */
static inline void figures_print(uint64_t *ns, size_t n, uint64_t wall_ns, size_t failures)
{
    double seconds = (double)wall_ns / 1e9;
    qsort(ns, n, sizeof *ns, figures_compare);
    printf("{\"count\":%zu,\"failures\":%zu,\"seconds\":%.6f,\"rate\":%.2f", n, failures,
           seconds, (double)n / seconds);
    printf(",\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
           figures_percentile_us(ns, n, 50), figures_percentile_us(ns, n, 90),
           figures_percentile_us(ns, n, 99), figures_percentile_us(ns, n, 100));
}

#endif
