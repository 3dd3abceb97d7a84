/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Commands that stay: logs, events, top. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/cli.h"

int cmd_logs(struct cli *c, int argc, char **argv)
{
    bool follow = false, errors = false;
    const struct flag flags[] = {{.name = "follow", .letter = 'f', .set = &follow},
                                 {.name = "stderr", .set = &errors},
                                 {.name = NULL}};
    if (cli_flags(c, flags, argc, argv, NULL) != 1)
        return cli_usage("logs");
    struct value request = value_new_map(c->arena);
    value_put_str(c->arena, &request, "id", argv[0]);
    value_put_int(c->arena, &request, "stream", errors ? 2 : 1);
    value_put_bool(c->arena, &request, "follow", follow);
    if (cli_send(c, FRAME_CTL_LOGS, &request) < 0)
        return cli_fail(c);
    for (;;) {
        struct arena *kept = c->arena;
        struct value frame;
        int type;
        c->arena = arena_new();
        int rc = c->arena ? cli_recv(c, &type, &frame)
                          : berth_fail(&c->err, ENOMEM, "out of memory");
        const struct value *data =
            rc == 0 && type == FRAME_CTL_DATA ? value_get(&frame, "data") : NULL;
        if (data && c->json)
            cli_print_json(c, &frame);
        else if (data) {
            print_output(stdout, data->s, data->len);
            fflush(stdout);
        }
        arena_free(c->arena);
        c->arena = kept;
        if (rc < 0)
            return cli_fail(c);
        if (type == FRAME_CTL_END)
            return EXIT_GOOD;
    }
}

static void print_event(const struct value *e)
{
    print_time(value_int(e, "ms", 0));
    printf(" %-26s %-8s attempt %lld %s", value_str(e, "id", ""), value_str(e, "event", ""),
           (long long)value_int(e, "attempt", 0), value_str(e, "executer", ""));
    if (value_str(e, "verdict", NULL))
        printf(" %s", value_str(e, "verdict", ""));
    if (value_str(e, "message", NULL)) {
        fputs(": ", stdout);
        print_text(value_str(e, "message", ""));
    }
    putchar('\n');
    fflush(stdout);
}

int cmd_events(struct cli *c, int argc, char **argv)
{
    bool follow = false; /* what it does anyway, for the habit of the fingers */
    const struct flag flags[] = {{.name = "follow", .letter = 'f', .set = &follow},
                                 {.name = NULL}};
    int n = cli_flags(c, flags, argc, argv, NULL);
    if (n < 0 || n > 1)
        return cli_usage("events");
    struct value request = value_new_map(c->arena);
    value_put_str(c->arena, &request, "id", n ? argv[0] : NULL);
    if (cli_send(c, FRAME_CTL_EVENTS, &request) < 0)
        return cli_fail(c);
    for (;;) {
        struct arena *kept = c->arena;
        struct value frame;
        int type;
        c->arena = arena_new();
        int rc = c->arena ? cli_recv(c, &type, &frame)
                          : berth_fail(&c->err, ENOMEM, "out of memory");
        bool last = rc == 0 && n && !strcmp(value_str(&frame, "event", ""), "done");
        if (rc == 0 && c->json)
            cli_print_json(c, &frame);
        else if (rc == 0)
            print_event(&frame);
        arena_free(c->arena);
        c->arena = kept;
        if (rc < 0)
            return cli_fail(c);
        if (last)
            return EXIT_GOOD;
    }
}

/* ---- top ---- */

static volatile sig_atomic_t top_signalled;

static void top_signal(int number)
{
    top_signalled = number;
}

/* Keys come one by one and are not shown; *ret_before is how the terminal was. */
static bool top_keys(struct termios *ret_before)
{
    struct sigaction action = {.sa_handler =
                                   top_signal}; /* no SA_RESTART: they wake poll */
    if (tcgetattr(0, ret_before) < 0)
        return false;
    struct termios keys = *ret_before;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    return tcsetattr(0, TCSANOW, &keys) == 0;
}

static int64_t sum_of(const struct value *map)
{
    int64_t sum = 0;
    for (uint32_t i = 0; map && i < map->count; i++)
        sum += map->pairs[i].val.type == VALUE_INT ? map->pairs[i].val.i : 0;
    return sum;
}

static int top_once(struct cli *c)
{
    static const struct column columns[] = {{"ID", "id", 26, COLUMN_TEXT},
                                            {"STATE", "state", 9, COLUMN_TEXT},
                                            {"ATTEMPT", "attempt", 7, COLUMN_TEXT},
                                            {"STARTED", "started_ms", 19, COLUMN_TIME},
                                            {"TENANT", "tenant", 12, COLUMN_TEXT},
                                            {"EXECUTER", "executer", 0, COLUMN_TEXT},
                                            {NULL, NULL, 0, COLUMN_TEXT}};
    struct value stats, tasks, q = cli_question(c, "tasks", NULL);
    value_put_str(c->arena, &q, "state", "running");
    if (cli_query(c, cli_question(c, "stats", NULL), &stats) < 0 ||
        cli_query(c, q, &tasks) < 0)
        return cli_fail(c);
    if (c->json) {
        value_put(c->arena, &stats, "tasks", *value_get(&tasks, "tasks"));
        return cli_print_json(c, &stats);
    }
    const struct value *capacity = value_get(&stats, "capacity"),
                       *booked = value_get(&stats, "booked");
    char used[16], all[16];
    format_bytes((uint64_t)value_int(booked, "memory", 0), used);
    format_bytes((uint64_t)value_int(capacity, "memory", 0), all);
    if (c->terminal)
        fputs("\033[H\033[J", stdout);
    printf("%s  waiting %lld  running %lld  cpus %g/%g  memory %s/%s  done %lld%s\n\n",
           value_str(&stats, "host", ""), (long long)value_int(&stats, "waiting", 0),
           (long long)value_int(&stats, "running", 0), value_float(booked, "cpus", 0),
           value_float(capacity, "cpus", 0), used, all,
           (long long)sum_of(value_get(&stats, "finished")),
           value_bool(&stats, "draining", false) ? "  DRAINING" : "");
    print_table(columns, value_get(&tasks, "tasks"));
    fflush(stdout);
    return EXIT_GOOD;
}

/* Until a key, a signal or a failure ends it. */
static int top_live(struct cli *c, bool keys)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    int status = EXIT_GOOD;
    char key = 0;
    while (status == EXIT_GOOD && !top_signalled && key != 'q' && key != 'Q') {
        struct arena *kept = c->arena;
        c->arena = arena_new();
        status = c->arena ? top_once(c) : EXIT_BAD;
        arena_free(c->arena);
        c->arena = kept;
        if (status == EXIT_GOOD && poll(&in, keys, 1000) > 0 && read(0, &key, 1) != 1)
            return EXIT_GOOD; /* the terminal is gone */
    }
    return status;
}

int cmd_top(struct cli *c, int argc, char **argv)
{
    bool once = false;
    struct termios before;
    const struct flag flags[] = {{.name = "once", .set = &once}, {.name = NULL}};
    if (cli_flags(c, flags, argc, argv, NULL) != 0)
        return cli_usage("top");
    if (once || c->json || !c->terminal)
        return top_once(c);
    bool keys = top_keys(&before);
    int status = top_live(c, keys);
    if (keys)
        tcsetattr(0, TCSANOW, &before);
    if (top_signalled) {
        signal(top_signalled, SIG_DFL);
        raise(top_signalled);
    }
    return status;
}
