/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Clocks, the boot's id, and ULIDs (github.com/ulid/spec). */
#include "base/crash.h"
#include "base/str.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"

static int64_t clock_ms(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t now_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

int64_t unix_ms(void)
{
    return clock_ms(CLOCK_REALTIME) + crash_clock_offset_ms();
}

const char *boot_id(void)
{
    static char id[37];
    cleanup_close int fd = -1;

    if (id[0])
        return id;
    fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, id, 36) != 36)
        id[0] = '\0';
    return id;
}

static struct {
    int64_t ms;
    pid_t pid;
    unsigned char random[10];
} last;

/* A fork must not go on with its parent's numbers, so they belong to a pid. */
static void next_ulid(void)
{
    int64_t ms = unix_ms();
    pid_t pid = getpid();

    if (ms > last.ms || pid != last.pid) {
        last.ms = ms;
        last.pid = pid;
        /* up to 256 bytes come whole (getrandom(2)); the top bit leaves room to count up */
        while (getrandom(last.random, sizeof(last.random), 0) < 0)
            continue;
        last.random[0] &= 0x7f;
        return;
    }
    for (size_t i = sizeof(last.random); i-- > 0 && !++last.random[i];)
        continue;
}

void make_ulid(char out[27])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    unsigned bits = 0, have = 0, n = 10;

    next_ulid();
    for (unsigned i = 0; i < 10; i++)
        out[i] = digits[last.ms >> (45 - 5 * i) & 31];
    for (size_t i = 0; i < sizeof(last.random); i++) {
        bits = bits << 8 | last.random[i];
        for (have += 8; have >= 5; have -= 5)
            out[n++] = digits[bits >> (have - 5) & 31];
    }
    out[n] = '\0';
}
