/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The disk of the state directory: full or not, told to the operator when that changes. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "host/host_int.h"

#define TRY_BYTES 65536
#define TRY_MS 1000

static void disk_usable(struct host *h)
{
    if (h->disk_full_ms)
        log_info("there is room on the disk of the state directory again");
    h->disk_full_ms = 0;
}

void host_disk(struct host *h, int rc, const struct berth_error *err)
{
    if (rc == -ENOSPC && !h->disk_full_ms)
        log_err("new tasks are refused: %s", err->text);
    if (rc == -ENOSPC)
        h->disk_full_ms = now_ms();
    else if (rc == 0)
        disk_usable(h);
}

/* Written, not asked for: a quota does not show in what the file system says is free. */
static bool disk_has_room(const struct host *h)
{
    static const char data[TRY_BYTES];
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/room", h->config->state_dir) < 0)
        return false;
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool room =
        fd >= 0 && write(fd, data, sizeof data) == sizeof data && fdatasync(fd) == 0;
    unlink(path);
    return room;
}

/* Whoever sends tasks only to hosts that are ready would never send the one that finds the room. */
void host_disk_tick(struct host *h)
{
    if (h->disk_full_ms && now_ms() - h->disk_full_ms >= TRY_MS && disk_has_room(h))
        disk_usable(h);
}
