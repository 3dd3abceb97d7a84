/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What a plugin must fulfil before anything of it is used. */
#ifndef PLUGIN_GATES_H
#define PLUGIN_GATES_H

#include "plugin/loader.h"

/* Before it is mapped: a whole shared object for this machine that nobody else can write.
 * */
int gate_file(int fd, const char *path, struct berth_error *err);
/* After it was copied: the descriptor keeps the contract of berth/plugin.h. */
int gate_contract(const struct plugin *p, struct berth_error *err);
bool is_plugin_name(const char *name); /* [a-z][a-z0-9-]{0,31} */

#endif
