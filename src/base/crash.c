/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
#include "base/crash.h"

#ifdef BERTH_CRASH_POINTS
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The file: tests/chaos/points.py knows it as well. */
struct slot {
    char name[56];          /* ROLE/POINT; empty: that role does not pass it */
    _Atomic uint32_t passed;
    uint32_t crash_at;      /* dies at this passage; 0: never */
};
struct crash_file {
    _Atomic int64_t clock_offset_ms;
    uint32_t count;
    char unused[52];
    struct slot slots[CRASH_ROLE_COUNT][CRASH_POINT_COUNT];
};

static struct crash_file *file;
static enum crash_role role;

static const char *const role_names[CRASH_ROLE_COUNT] = {"monitor", "host", "worker",
                                                         "supervisor", "helper"};
static const struct {
    const char *name;
    unsigned roles;
} points[] = {
#define CRASH_ROW(point, roles) {#point, roles},
    CRASH_POINTS(CRASH_ROW)};

/* Each start writes the same, so that a process that is there already is not disturbed. */
static void write_names(void)
{
    for (int r = 0; r < CRASH_ROLE_COUNT; r++)
        for (size_t i = 0; i < CRASH_POINT_COUNT; i++)
            if (points[i].roles & 1u << r)
                snprintf(file->slots[r][i].name, sizeof file->slots[r][i].name, "%s/%s",
                         role_names[r], points[i].name);
    file->count = CRASH_ROLE_COUNT * CRASH_POINT_COUNT;
}

void crash_open(void)
{
    const char *path = getenv("BERTH_CRASH_FILE");
    if (!path)
        return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || ftruncate(fd, sizeof *file) < 0) {
        perror(path);
        exit(1);
    }
    void *map = mmap(NULL, sizeof *file, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    file = map;
    write_names();
}

void crash_set_role(enum crash_role r)
{
    role = r;
}

void crash_pass(enum crash_point_id point)
{
    if (!file)
        return;
    struct slot *s = &file->slots[role][point];
    if (atomic_fetch_add(&s->passed, 1) + 1 == s->crash_at)
        kill(getpid(), SIGKILL);
}

int64_t crash_clock_offset_ms(void)
{
    return file ? file->clock_offset_ms : 0;
}
#endif
