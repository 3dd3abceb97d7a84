/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berthd: the command line. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "base/title.h"
#include "config/config.h"
#include "monitor/monitor.h"
#include "plugin/loader.h"

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"check", optional_argument, NULL, 'k'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "usage: berthd [-c CONFIG]          run in the foreground\n"
    "       berthd --check [CONFIG]     read and check the config, say what it means\n"
    "       berthd --help | --version\n"
    "\n"
    "Without CONFIG: $BERTH_CONFIG, else " BERTH_SYSCONFDIR
    "/berth.conf, else a built-in default.\n"
    "See berthd(8) and berth.conf(5).\n";

static void check_executer(const struct config_executer *x)
{
    printf("executer %s: runtime %s", x->name, x->runtime);
    if (*x->image)
        printf(", image %s", x->image);
    printf(", command");
    for (const char *const *arg = x->command; *arg; arg++)
        printf(" %s", *arg);
    printf("\n");
}

static int check(const char *path)
{
    struct berth_error err = {0};
    struct config *c;
    if (config_load(path, &c, &err) < 0 || plugins_check(c, &err) < 0) {
        fprintf(stderr, "berthd: %s\n", err.text);
        return 1;
    }
    printf("config %s is good\nstate directory %s\nrun directory %s\n", c->path,
           c->state_dir, c->run_dir);
    for (size_t i = 0; i < c->transport_count; i++)
        printf("transport %s: plugin %s\n", c->transports[i].name, c->transports[i].plugin);
    for (size_t i = 0; i < c->runtime_count; i++)
        printf("runtime %s: plugin %s\n", c->runtimes[i].name, c->runtimes[i].plugin);
    for (size_t i = 0; i < c->executer_count; i++)
        check_executer(&c->executers[i]);
    config_free(c);
    return 0;
}

static int run(const char *path, char **argv)
{
    struct berth_error err = {0};
    struct config *c;
    if (config_load(path, &c, &err) < 0) {
        fprintf(stderr, "berthd: %s\n", err.text);
        return 1;
    }
    return monitor_main(c, argv);
}

int main(int argc, char **argv)
{
    const char *path = NULL;
    bool only_check = false;
    int opt;
    CRASH_OPEN();
    title_init(argc, argv);
    while ((opt = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            only_check = true;
            path = optarg ? optarg : path;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'V':
            printf("berthd %s\n", PACKAGE_VERSION);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (only_check && !path && optind < argc)
        path = argv[optind++];
    if (optind < argc) {
        fprintf(stderr, "berthd: '%s' is not an option\n%s", argv[optind], usage);
        return 2;
    }
    return only_check ? check(path) : run(path, argv);
}
