/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The steps of config_load, one file each. */
#ifndef CONFIG_LOAD_H
#define CONFIG_LOAD_H

#include "config/fields.h"

struct load {
    struct arena *arena;
    struct config *config;
    const struct tree *root;
    struct berth_error *err;
};

extern const char
    config_builtin[]; /* conf/quickstart.conf, put into the binary by the build */

int load_host(struct load *l);    /* the host group, after its defaults */
int load_entries(struct load *l); /* transports, runtimes, executers, tenants, adhoc */
int load_check(struct load *l);   /* what several keys must agree on */

#define LOAD_YEAR_MS (366.0 * 86400e3)
#define LOAD_COUNT_MAX 1e9

/* resources = { … }; a field table whose offsets are those of struct task_resources. */
extern const struct field load_resources[];
extern const char *const load_none[]; /* an empty list */

#endif
