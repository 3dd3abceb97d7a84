/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Finding, checking and opening plugins; resolving their options. The only user of libdl. */
#ifndef PLUGIN_LOADER_H
#define PLUGIN_LOADER_H

#include "config/config.h"
#include <berth/plugin.h>
#include <berth/runtime.h>
#include <berth/transport.h>

struct plugin {
    struct berth_plugin desc;         /* the host's copy: the smaller size, the rest zero */
    struct berth_runtime runtime;     /* likewise; zero for a transport */
    struct berth_transport transport; /* likewise; zero for a runtime */
    char *path;
    void *handle; /* never closed */
};

/* Finds NAME.so in the directories (NULL-terminated); fd or -ENOENT with all places named. */
int plugin_find(const char *const *dirs, const char *name, char **ret_path, struct berth_error *err);
/*
 * Opens, checks, loads and gates the plugin behind fd (consumed), which was opened at path. The checks are
 * of the opened file, so that what was checked is what is loaded: regular, owned by root or by the caller or by the
 * process that started berthd, neither file nor directory writable by others; symbol; ABI in range; sizes; name rule and equal
 * to the file's; exactly one kind; mandatory callbacks; option tables well-formed. Each
 * refusal is -EPERM or -ENOEXEC and names file and reason.
 */
int plugin_load(int take_fd, const char *path, struct plugin **ret, struct berth_error *err);
/* Is the symbol in the plugin or in a library that it names, apart from all else that is loaded here? */
bool plugin_resolves(const struct plugin *p, const char *symbol);
void plugin_free(struct plugin *p); /* the struct; its code and descriptor stay until the process ends */
/*
 * Does the block grant each capability that the plugin cannot work without? A block without the key
 * grants them all. -EPERM with the line to write. Matters only where there are capabilities to give.
 */
int plugin_check_grants(const struct plugin *p, const struct config_plugin *block,
                        struct berth_error *err);

/* Resolved options of one block. */
struct options;
/* -EINVAL with "FILE:LINE: …" for an unknown key (nearest named), wrong type, missing required key. */
int options_resolve(const struct berth_option *table, const struct config_keys *keys,
                    const char *owner, /* "transport 'http'": for messages */
                    struct options **ret, struct berth_error *err);
void options_free(struct options *o);
const char *options_str(const struct options *o, const char *name);
int64_t options_int(const struct options *o, const char *name);
double options_float(const struct options *o, const char *name);
size_t options_count(const struct options *o, const char *name);
const char *options_item(const struct options *o, const char *name, size_t i);

/* Loads every plugin that the config names and checks every block and executer against it. Used by
 * --check, before start and before a reload, in a process that may be thrown away. */
int plugins_check(const struct config *c, struct berth_error *err);
/* Human-readable or JSON description for `berth plugin show`. */
int plugin_describe(const struct plugin *p, struct arena *a, struct value *ret);

#endif
