/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The host: event loop, transports, queue, scheduler, store. Holds no capability. */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "config/config.h"
#include "plugin/mark.h"
#include "priv/priv.h"

struct host_start {
    const struct config *config;
    struct priv_drop
        drop; /* done by host_main after transports have bound (open), before they start */
    const int *transport_fds; /* plugins, opened by the monitor, in the config's order */
    const char *const *transport_paths;
    struct mark *mark;          /* for the monitor: the plugin that it is in */
    int monitor_fd;             /* EOF: the monitor died; the host ends */
    bool first;                 /* of this daemon's */
    int restarts; /* how often the monitor has restarted it */
};
/* Runs in a freshly forked child of the monitor. Never returns. */
_Noreturn void host_main(const struct host_start *start);

#endif
