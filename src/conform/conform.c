/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth-conform: does a plugin keep the contract? */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base/str.h"
#include "conform/rules.h"
#include "conform/trial.h"
#include "worker/tree.h"

#define EXIT_USAGE 2
#define KEYS_MAX 64

static const char usage[] =
    "usage: berth-conform [OPTION...] PLUGIN.so [KEY=VALUE...] [-- COMMAND [ARG...]]\n"
    "Checks a plugin against the contract of berth/plugin.h and prints TAP.\n"
    "  KEY=VALUE              an option of the plugin; a list is a,b\n"
    "  -e, --executer K=V     runtime: an option of the task's executer\n"
    "  -i, --image IMAGE      runtime: the task's image\n"
    "  -f, --feed COMMAND     transport: shell command that sends tasks to it; run "
    "repeatedly\n"
    "  -n, --messages N       transport: how many tasks have to come (8)\n"
    "  -t, --limit SECONDS    how long one callback may take (20)\n"
    "  -h, --help, -V, --version\n";

static const struct option flags[] = {
    {"executer", required_argument, NULL, 'e'}, {"image", required_argument, NULL, 'i'},
    {"feed", required_argument, NULL, 'f'},     {"messages", required_argument, NULL, 'n'},
    {"limit", required_argument, NULL, 't'},    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},        {NULL, 0, NULL, 0},
};

/* ---- keys, as the config would give them ---- */

struct keys {
    struct config_key items[KEYS_MAX];
    size_t count;
};

static bool key_add(struct keys *k, char *text)
{
    char *value = strchr(text, '=');
    if (!value || value == text || k->count == KEYS_MAX)
        return false;
    *value++ = '\0';
    const char **values = calloc(2, sizeof *values);
    if (!values)
        return false;
    values[0] = value;
    k->items[k->count++] = (struct config_key){
        .name = text, .values = values, .file = "command line", .line = 1};
    return true;
}

/* ---- the sequence ---- */

static void test_runtime(struct subject *s, int kind)
{
    trial_run("probe", s->limit_seconds, NULL, rules_probe, s);
    if (kind & KIND_PREPARE && *s->image)
        trial_run("prepare", s->limit_seconds, NULL, rules_prepare, s);
    else
        trial_skip("prepare", kind & KIND_PREPARE ? "give --image" : "it has none");
    if (kind & KIND_FULL)
        trial_run("run", s->limit_seconds, NULL, rules_run, s);
    else
        trial_run("command", s->limit_seconds, NULL, rules_command, s);
    trial_run("end", s->limit_seconds, NULL, rules_end, s);
}

static void test_transport(struct subject *s)
{
    trial_run("idle", s->limit_seconds, NULL, rules_idle, s);
    if (s->feed)
        trial_run("serve", s->limit_seconds, s->feed, rules_serve, s);
    else
        trial_skip("serve", "give --feed, a command that sends tasks to it");
}

static void test(struct subject *s)
{
    trial_run("file", s->limit_seconds, NULL, rules_file, s);
    trial_run("load", s->limit_seconds, NULL, rules_load, s);
    int kind = trial_told();
    if (!kind)
        return;
    trial_run("lifecycle", s->limit_seconds, NULL, rules_lifecycle, s);
    if (kind & KIND_RUNTIME)
        test_runtime(s, kind);
    else
        test_transport(s);
}

/* ---- the command line ---- */

static int number(const char *text, int max)
{
    int64_t n;
    if (parse_int(text, &n) == 0 && n >= 1 && n <= max)
        return (int)n;
    fprintf(stderr, "berth-conform: '%s' is no number from 1 to %d\n", text, max);
    exit(EXIT_USAGE);
}

static void read_flags(struct subject *s, struct keys *executer, int argc, char **argv)
{
    int flag;
    while ((flag = getopt_long(argc, argv, "+e:i:f:n:t:hV", flags, NULL)) != -1) {
        switch (flag) {
        case 'e':
            if (key_add(executer, optarg))
                continue;
            fprintf(stderr, "berth-conform: '%s' is not KEY=VALUE\n", optarg);
            exit(EXIT_USAGE);
        case 'i':
            s->image = optarg;
            continue;
        case 'f':
            s->feed = optarg;
            continue;
        case 'n':
            s->messages = number(optarg, 100000);
            continue;
        case 't':
            s->limit_seconds = number(optarg, 3600);
            continue;
        case 'h':
            fputs(usage, stdout);
            exit(0);
        case 'V':
            printf("berth-conform %s\n", PACKAGE_VERSION);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(EXIT_USAGE);
        }
    }
}

static void read_arguments(struct subject *s, struct keys *own, int argc, char **argv)
{
    int i = optind;
    if (i >= argc) {
        fputs(usage, stderr);
        exit(EXIT_USAGE);
    }
    s->path = argv[i++];
    for (; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!key_add(own, argv[i])) {
            fprintf(stderr, "berth-conform: '%s' is not KEY=VALUE\n", argv[i]);
            exit(EXIT_USAGE);
        }
    if (i < argc)
        s->argv = (const char *const *)argv + i + 1;
}

int main(int argc, char **argv)
{
    static struct keys own, executer;
    static const char *const command[] = {"/bin/true", NULL};
    struct subject s = {.image = "",
                        .argv = command,
                        .messages = 8,
                        .limit_seconds = 20,
                        .work_dir = "/tmp/berth-conform.XXXXXX"};
    read_flags(&s, &executer, argc, argv);
    read_arguments(&s, &own, argc, argv);
    s.options = (struct config_keys){own.items, own.count, NULL};
    s.executer_options = (struct config_keys){executer.items, executer.count, NULL};
    signal(SIGPIPE, SIG_IGN); /* as in berthd */
    if (!mkdtemp(s.work_dir)) {
        fprintf(stderr, "berth-conform: cannot make '%s': %s\n", s.work_dir,
                strerror(errno));
        return EXIT_FAILURE;
    }
    test(&s);
    tree_remove(AT_FDCWD, s.work_dir, (uid_t)-1, (gid_t)-1);
    return trials_end();
}
