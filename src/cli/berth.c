/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth(1): finds the command and runs it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"

const struct command commands[] = {
    {"submit", "[--executer NAME] [OPTIONS] [-- ARG...]", "hand in a task", cmd_submit},
    {"status", "[ID]", "how a task, or the daemon, is doing", cmd_status},
    {"list", "[--state S] [--executer E] [--tenant T] [--limit N]", "tasks, newest first",
     cmd_list},
    {"logs", "[-f] [--stderr] ID", "what a task printed, or prints", cmd_logs},
    {"cancel", "ID...", "end tasks, waiting or running", cmd_cancel},
    {"result", "ID", "how a task ended, with its output", cmd_result},
    {"top", "[--once]", "a live view", cmd_top},
    {"drain", "[--deadline=TIME | --off]", "take no new tasks", cmd_drain},
    {"reload", "", "read the config again; running tasks go on", cmd_reload},
    {"stop", "", "stop the daemon; running payloads go on", cmd_stop},
    {"executers", "", "what can be asked for", cmd_executers},
    {"runtimes", "", "where tasks can run, and how that is", cmd_runtimes},
    {"plugin", "list | show NAME | check FILE", "about plugins", cmd_plugin},
    {"dead", "list | requeue (--all | ID...) | purge (--all | ID...) [--transport NAME]",
     "tasks that were given up for dead", cmd_dead},
    {"explain", "EXECUTER", "what will really be enforced here", cmd_explain},
    {"events", "[-f] [ID]", "what happens, as it happens", cmd_events},
    {NULL, NULL, NULL, NULL},
};

static void help(FILE *f)
{
    fputs("usage: berth COMMAND [--json] [--run-dir DIR] ...\n\n", f);
    for (const struct command *cmd = commands; cmd->name; cmd++)
        fprintf(f, "  %-10s %s\n", cmd->name, cmd->help);
    fputs("\n'berth COMMAND --help' shows a command's options; see berth(1).\n", f);
}

int cli_usage(const char *command)
{
    for (const struct command *cmd = commands; cmd->name; cmd++)
        if (!strcmp(cmd->name, command))
            fprintf(stderr, "usage: berth %s %s\n", cmd->name, cmd->args);
    return EXIT_USAGE;
}

static int unknown(const char *name)
{
    const char *names[32];
    size_t n = 0;
    for (; commands[n].name; n++)
        names[n] = commands[n].name;
    names[n] = NULL;
    const char *near = nearest_name(name, names);
    fprintf(stderr, "berth: '%s' is not a command%s%s%s\n", name,
            near ? "; did you mean '" : "", near ? near : "",
            near ? "'?" : " (see berth --help)");
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    struct cli c = {.fd = -1, .terminal = isatty(1), .arena = arena_new()};
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        !strcmp(argv[1], "help")) {
        help(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_GOOD;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("berth %s\n", PACKAGE_VERSION);
        return EXIT_GOOD;
    }
    for (const struct command *cmd = commands; cmd->name; cmd++) {
        if (strcmp(cmd->name, argv[1]) != 0)
            continue;
        for (int i = 2; i < argc && strcmp(argv[i], "--") != 0; i++)
            if (!strcmp(argv[i], "--help")) {
                printf("usage: berth %s %s\n%s\n", cmd->name, cmd->args, cmd->help);
                return EXIT_GOOD;
            }
        int status = cmd->run(&c, argc - 1, argv + 1);
        if (fflush(stdout) != 0 && status == EXIT_GOOD) {
            perror("berth: cannot write");
            status = EXIT_BAD;
        }
        arena_free(c.arena);
        return status;
    }
    return unknown(argv[1]);
}
