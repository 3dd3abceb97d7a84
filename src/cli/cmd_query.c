/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Commands that ask the host one question and print the answer. */
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

#define RELOAD_MS 10000 /* a new host answers by then */

/* Exactly count words; the usage line otherwise. */
static int words(struct cli *c, int argc, char **argv, int count)
{
    const char *name = argv[0];
    int n = cli_flags(c, NULL, argc, argv, NULL);
    if (n == count)
        return 0;
    return n < 0 ? -1 : (cli_usage(name), -1);
}

static int ask_and_print(struct cli *c, struct value question)
{
    struct value answer;
    if (cli_query(c, question, &answer) < 0)
        return cli_fail(c);
    if (c->json)
        return cli_print_json(c, &answer);
    print_fields(&answer);
    return EXIT_GOOD;
}

int cmd_status(struct cli *c, int argc, char **argv)
{
    int n = cli_flags(c, NULL, argc, argv, NULL);
    if (n < 0)
        return EXIT_USAGE;
    if (n > 1)
        return cli_usage("status");
    return ask_and_print(c, n ? cli_question(c, "task", argv[0])
                              : cli_question(c, "stats", NULL));
}

int cmd_explain(struct cli *c, int argc, char **argv)
{
    if (words(c, argc, argv, 1) < 0)
        return EXIT_USAGE;
    struct value answer;
    if (cli_query(c, cli_question(c, "explain", argv[0]), &answer) < 0)
        return cli_fail(c);
    if (c->json)
        return cli_print_json(c, &answer);
    const struct value *limits = value_get(&answer, "limits");
    struct value rest = answer;
    printf("executer %s on runtime %s%s\n\n%-10s %-14s %s\n",
           value_str(&answer, "executer", ""), value_str(&answer, "runtime", ""),
           value_bool(&answer, "healthy", false) ? "" : " (not usable now)", "LIMIT",
           "ASKED", "ENFORCED BY");
    for (uint32_t i = 0; limits && i < limits->count; i++) {
        const struct value *limit = &limits->pairs[i].val;
        const struct value *asked = value_get(limit, "asked");
        const char *key = limits->pairs[i].key.s;
        char text[32] = "-";
        if (asked && asked->type == VALUE_INT && asked->i &&
            (!strcmp(key, "memory") || !strcmp(key, "disk")))
            format_bytes((uint64_t)asked->i, text);
        else if (asked && asked->type == VALUE_INT && asked->i && !strcmp(key, "time"))
            format_duration(asked->i, text);
        else if (asked && asked->type == VALUE_INT && asked->i)
            snprintf(text, sizeof text, "%lld", (long long)asked->i);
        else if (asked && asked->type == VALUE_FLOAT && asked->f > 0)
            snprintf(text, sizeof text, "%g", asked->f);
        else if (asked && asked->type == VALUE_STR)
            snprintf(text, sizeof text, "%s", asked->s);
        else if (asked && asked->type == VALUE_BOOL)
            snprintf(text, sizeof text, "%s", asked->b ? "yes" : "no");
        const char *by = value_str(limit, "enforced", "unknown");
        printf("%-10s %-14s %s\n", key, text, !strcmp(by, "no") ? "NOT ENFORCED HERE" : by);
    }
    if (*value_str(&rest, "detail", ""))
        printf("\n%s\n", value_str(&rest, "detail", ""));
    return EXIT_GOOD;
}

int cmd_result(struct cli *c, int argc, char **argv)
{
    if (words(c, argc, argv, 1) < 0)
        return EXIT_USAGE;
    struct value answer;
    if (cli_query(c, cli_question(c, "result", argv[0]), &answer) < 0)
        return cli_fail(c);
    if (c->json)
        cli_print_json(c, &answer);
    else
        print_fields(&answer);
    return cli_verdict_status(value_str(&answer, "verdict", ""));
}

int cmd_cancel(struct cli *c, int argc, char **argv)
{
    int n = cli_flags(c, NULL, argc, argv, NULL), status = EXIT_GOOD;
    if (n < 0)
        return EXIT_USAGE;
    if (n == 0)
        return cli_usage("cancel");
    for (int i = 0; i < n; i++) {
        struct value answer;
        if (cli_query(c, cli_question(c, "cancel", argv[i]), &answer) < 0)
            status = cli_fail(c);
        else if (c->json)
            cli_print_json(c, &answer);
        else
            printf("%s: asked to end\n", argv[i]);
    }
    return status;
}

static int print_list(struct cli *c, const char *what, const struct column *columns)
{
    struct value answer;
    if (cli_query(c, cli_question(c, what, NULL), &answer) < 0)
        return cli_fail(c);
    if (c->json)
        return cli_print_json(c, &answer);
    print_table(columns, value_get(&answer, what));
    return EXIT_GOOD;
}

int cmd_executers(struct cli *c, int argc, char **argv)
{
    static const struct column columns[] = {{"NAME", "name", 20, COLUMN_TEXT},
                                            {"RUNTIME", "runtime", 14, COLUMN_TEXT},
                                            {"USABLE", "healthy", 6, COLUMN_TEXT},
                                            {"RUNNING", "running", 7, COLUMN_TEXT},
                                            {"WAITING", "waiting", 7, COLUMN_TEXT},
                                            {"IMAGE", "image", 0, COLUMN_TEXT},
                                            {NULL, NULL, 0, COLUMN_TEXT}};
    return words(c, argc, argv, 0) < 0 ? EXIT_USAGE : print_list(c, "executers", columns);
}

int cmd_runtimes(struct cli *c, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", 14, COLUMN_TEXT},     {"PLUGIN", "plugin", 12, COLUMN_TEXT},
        {"USABLE", "healthy", 6, COLUMN_TEXT}, {"STARTED", "started", 8, COLUMN_TEXT},
        {"DETAIL", "detail", 0, COLUMN_TEXT},  {NULL, NULL, 0, COLUMN_TEXT}};
    return words(c, argc, argv, 0) < 0 ? EXIT_USAGE : print_list(c, "runtimes", columns);
}

int cmd_list(struct cli *c, int argc, char **argv)
{
    static const struct column columns[] = {{"ID", "id", 26, COLUMN_TEXT},
                                            {"STATE", "state", 9, COLUMN_TEXT},
                                            {"VERDICT", "verdict", 13, COLUMN_TEXT},
                                            {"ATTEMPT", "attempt", 7, COLUMN_TEXT},
                                            {"QUEUED", "queued_ms", 19, COLUMN_TIME},
                                            {"EXECUTER", "executer", 0, COLUMN_TEXT},
                                            {NULL, NULL, 0, COLUMN_TEXT}};
    const char *state = NULL, *executer = NULL, *tenant = NULL, *limit = NULL,
               *cursor = NULL;
    const struct flag flags[] = {{.name = "state", .value = &state},
                                 {.name = "executer", .letter = 'e', .value = &executer},
                                 {.name = "tenant", .value = &tenant},
                                 {.name = "limit", .letter = 'n', .value = &limit},
                                 {.name = "cursor", .value = &cursor},
                                 {.name = NULL}};
    int64_t count = 0;
    if (cli_flags(c, flags, argc, argv, NULL) != 0)
        return cli_usage("list");
    if (limit && (parse_int(limit, &count) < 0 || count < 1 || count > 1000)) {
        fprintf(stderr, "berth: --limit: '%s' is not a number from 1 to 1000\n", limit);
        return EXIT_USAGE;
    }
    struct value q = cli_question(c, "tasks", NULL), answer;
    value_put_str(c->arena, &q, "state", state);
    value_put_str(c->arena, &q, "executer", executer);
    value_put_str(c->arena, &q, "tenant", tenant);
    value_put_str(c->arena, &q, "cursor", cursor);
    value_put_int(c->arena, &q, "limit", count);
    if (cli_query(c, q, &answer) < 0)
        return cli_fail(c);
    if (c->json)
        return cli_print_json(c, &answer);
    print_table(columns, value_get(&answer, "tasks"));
    if (value_str(&answer, "next", NULL))
        fprintf(stderr, "more with --cursor %s\n", value_str(&answer, "next", ""));
    return EXIT_GOOD;
}

int cmd_drain(struct cli *c, int argc, char **argv)
{
    bool off = false;
    const char *deadline = NULL;
    int64_t ms = 0;
    const struct flag flags[] = {{.name = "off", .set = &off},
                                 {.name = "deadline", .value = &deadline},
                                 {.name = NULL}};
    if (cli_flags(c, flags, argc, argv, NULL) != 0 || (off && deadline))
        return cli_usage("drain");
    if (deadline && (parse_duration(deadline, &ms) < 0 || ms <= 0)) {
        fprintf(stderr, "berth: --deadline: '%s' is no duration like 90s or 2h\n",
                deadline);
        return EXIT_USAGE;
    }
    struct value q = cli_question(c, off ? "undrain" : "drain", NULL);
    value_put_int(c->arena, &q, "deadline_ms", ms);
    return ask_and_print(c, q);
}

/* Waits until the host that was told has gone. 0 or -errno. */
static int tell_daemon(struct cli *c, int type, struct value *ret_answer)
{
    struct value body = value_new_map(c->arena), more;
    struct berth_error err;
    int got, rc = cli_send(c, type, &body);
    if (rc == 0)
        rc = cli_recv(c, &got, ret_answer);
    if (rc < 0)
        return rc;
    err = c->err;
    while (cli_recv(c, &got, &more) == 0)
        ;
    c->err = err;
    cli_disconnect(c);
    return 0;
}

static int host_since(struct cli *c, int64_t *ret_ms)
{
    struct value stats;
    int rc = cli_query(c, cli_question(c, "stats", NULL), &stats);
    if (rc == 0)
        *ret_ms = value_int(&stats, "started_ms", 0);
    return rc;
}

/* Comes back when the new host answers, so that the next command finds it. */
int cmd_reload(struct cli *c, int argc, char **argv)
{
    struct value answer;
    int64_t before, since;
    if (words(c, argc, argv, 0) < 0)
        return EXIT_USAGE;
    if (host_since(c, &before) < 0 || tell_daemon(c, FRAME_CTL_RELOAD, &answer) < 0)
        return cli_fail(c);
    for (int64_t end = now_ms() + RELOAD_MS;
         host_since(c, &since) < 0 || since == before;) {
        cli_disconnect(c);
        if (now_ms() > end)
            return cli_fail(c);
        poll(NULL, 0, 10);
    }
    return c->json ? cli_print_json(c, &answer) : EXIT_GOOD;
}

int cmd_stop(struct cli *c, int argc, char **argv)
{
    struct value answer;
    if (words(c, argc, argv, 0) < 0)
        return EXIT_USAGE;
    if (tell_daemon(c, FRAME_CTL_STOP, &answer) < 0)
        return cli_fail(c);
    return c->json ? cli_print_json(c, &answer) : EXIT_GOOD;
}
