/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth plugin: looks at plugins without a daemon. Loading one runs its constructors: as the caller. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "config/config.h"
#include "plugin/loader.h"

static int load_by_name(struct cli *c, const char *const *dirs, const char *name,
                        struct plugin **ret)
{
    cleanup_free char *path = NULL;
    int fd = plugin_find(dirs, name, &path, &c->err);
    return fd < 0 ? fd : plugin_load(fd, path, ret, &c->err);
}

static int plugin_show(struct cli *c, const char *const *dirs, const char *name)
{
    struct plugin *p;
    struct value v;
    if (load_by_name(c, dirs, name, &p) < 0)
        return cli_fail_here(c, EXIT_BAD);
    if (plugin_describe(p, c->arena, &v) < 0)
        return EXIT_BAD;
    if (c->json)
        return cli_print_json(c, &v);
    print_fields(&v);
    return EXIT_GOOD;
}

static int plugin_check(struct cli *c, const char *path)
{
    cleanup_free char *real = realpath(path, NULL);
    cleanup_close int fd = real ? open(real, O_RDONLY | O_CLOEXEC) : -1;
    struct plugin *p;
    if (fd < 0) {
        berth_fail_errno(&c->err, errno, "cannot open '%s'", path);
        return cli_fail_here(c, EXIT_BAD);
    }
    if (plugin_load(take_fd(fd), real, &p, &c->err) < 0)
        return cli_fail_here(c, EXIT_BAD);
    struct value v = value_new_map(c->arena);
    value_put_str(c->arena, &v, "file", real);
    value_put_str(c->arena, &v, "name", p->desc.name);
    value_put_str(c->arena, &v, "kind", p->desc.runtime ? "runtime" : "transport");
    value_put_int(c->arena, &v, "abi", p->desc.abi);
    value_put_bool(c->arena, &v, "good", true);
    if (c->json)
        return cli_print_json(c, &v);
    printf("%s: %s '%s', ABI %u, good\n", real, p->desc.runtime ? "runtime" : "transport",
           p->desc.name, p->desc.abi);
    return EXIT_GOOD;
}

static void list_dir(struct cli *c, const char *const *dirs, const char *dir,
                     struct value *list)
{
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        struct plugin *p;
        if (len < 4 || strcmp(e->d_name + len - 3, ".so") != 0)
            continue;
        struct value v = value_new_map(c->arena);
        char *name = arena_mem(c->arena, e->d_name, len - 3);
        value_put_str(c->arena, &v, "name", name);
        value_put_str(c->arena, &v, "directory", dir);
        if (name && load_by_name(c, dirs, name, &p) == 0) {
            value_put_str(c->arena, &v, "kind", p->desc.runtime ? "runtime" : "transport");
            value_put_str(c->arena, &v, "version", p->desc.version);
            value_put_str(c->arena, &v, "summary", p->desc.summary);
        } else {
            value_put_str(c->arena, &v, "kind", "broken");
            value_put_str(c->arena, &v, "summary", c->err.text);
        }
        value_add(c->arena, list, v);
    }
    if (d)
        closedir(d);
}

static int plugin_list(struct cli *c, const char *const *dirs)
{
    static const struct column columns[] = {{"NAME", "name", 14, COLUMN_TEXT},
                                            {"KIND", "kind", 9, COLUMN_TEXT},
                                            {"VERSION", "version", 8, COLUMN_TEXT},
                                            {"SUMMARY", "summary", 0, COLUMN_TEXT},
                                            {NULL, NULL, 0, COLUMN_TEXT}};
    struct value list = value_new_array(c->arena), answer = value_new_map(c->arena);
    for (const char *const *dir = dirs; *dir; dir++)
        list_dir(c, (const char *const[]){*dir, NULL}, *dir, &list);
    value_put(c->arena, &answer, "plugins", list);
    if (c->json)
        return cli_print_json(c, &answer);
    print_table(columns, &list);
    return EXIT_GOOD;
}

/* The directories of the config, if it can be read; else the installed one. */
static const char *const *plugin_dirs(struct cli *c, const char *path, struct config **ret)
{
    static const char *const installed[] = {BERTH_PLUGINDIR, NULL};
    if (config_load(path, ret, path ? &c->err : NULL) < 0)
        return path ? NULL : installed;
    return (*ret)->plugin_path;
}

int cmd_plugin(struct cli *c, int argc, char **argv)
{
    const char *path = NULL;
    struct config *config = NULL;
    const struct flag flags[] = {{.name = "config", .letter = 'c', .value = &path},
                                 {.name = NULL}};
    int n = cli_flags(c, flags, argc, argv, NULL), status = EXIT_USAGE;
    if (n < 0)
        return EXIT_USAGE;
    const char *const *dirs = plugin_dirs(c, path, &config);
    if (!dirs)
        return cli_fail_here(c, EXIT_BAD);
    if (n == 1 && !strcmp(argv[0], "list"))
        status = plugin_list(c, dirs);
    else if (n == 2 && !strcmp(argv[0], "show"))
        status = plugin_show(c, dirs, argv[1]);
    else if (n == 2 && !strcmp(argv[0], "check"))
        status = plugin_check(c, argv[1]);
    else
        fputs("usage: berth plugin list | show NAME | check FILE [--config CONFIG]\n",
              stderr);
    config_free(config);
    return status;
}
