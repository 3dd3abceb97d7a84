/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The monitor: holds what capabilities the config grants, forks and restarts host and workers. */
#ifndef MONITOR_MONITOR_H
#define MONITOR_MONITOR_H

#include "config/config.h"

/* Runs until told to stop. argv is for the re-exec of a reload. Returns the exit status. */
int monitor_main(const struct config *config, char **argv);

/* Between monitor and host, over their socketpair: single bytes and lines.
 * host -> monitor: "Y\n" it serves, "R\n" reload, "S\n" stop.
 * monitor -> host: "ok\n" or "error TEXT\n". */

#endif
