/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A sandbox that serves payload after payload, never two at once: the namespaces of pids
 * and host name, and a template of the mounts, held by an init that does nothing else. To
 * make and end them costs more than to start a program.
 *
 * Nothing may be left in it from one payload to the next. All that a payload can write is
 * made for it alone: a copy of the mounts with its own /tmp, /var/tmp, /dev/shm, and IPC.
 * The sandbox is used again only if no process is left in it, and if it would be made the
 * same now: for the same request, of paths that are the same files, where nothing was
 * mounted on the machine since.
 */
#ifndef WORKER_SANDBOX_KEEP_H
#define WORKER_SANDBOX_KEEP_H

#include "worker/spawn.h"

struct sandbox;

/*
 * Makes *s ready for the request; a new one where there is none, or not a fitting one. Then
 * req->sandbox may be *s. The work directory (bind_rw[0]) is WHERE/NAME/work: WHERE
 * shows only that one, NAME may be another each time. After a failure *s is not to be used.
 */
int sandbox_ready(struct sandbox **s, const struct spawn_request *req,
                  struct berth_error *err);
void sandbox_kill(struct sandbox *s); /* all that runs in it; it cannot be used again */
/* Kills, waits, and makes *s NULL. -EAGAIN: something in it still lives; call again. The payload must have been reaped. */
int sandbox_close(struct sandbox **s, int timeout_ms);

#endif
