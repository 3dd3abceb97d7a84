/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth dead: what a transport has given up for dead. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

struct question {
    const char *op, *transport, *cursor;
    int64_t limit;
};

static int ask(struct cli *c, const struct question *q, const char *id, struct value *ret)
{
    struct value body = value_new_map(c->arena);
    int type;
    value_put_str(c->arena, &body, "op", q->op);
    value_put_str(c->arena, &body, "transport", q->transport);
    value_put_str(c->arena, &body, "cursor", q->cursor);
    value_put_str(c->arena, &body, "id", id);
    value_put_int(c->arena, &body, "limit", q->limit);
    int rc = cli_send(c, FRAME_CTL_DEAD, &body);
    return rc < 0 ? rc : cli_recv(c, &type, ret);
}

static int print_letters(const struct value *answer)
{
    static const struct column columns[] = {{"LETTER", "letter", 20, COLUMN_TEXT},
                                            {"ID", "id", 26, COLUMN_TEXT},
                                            {"VERDICT", "verdict", 13, COLUMN_TEXT},
                                            {"ATTEMPTS", "attempts", 8, COLUMN_TEXT},
                                            {"SINCE", "ms", 19, COLUMN_TIME},
                                            {"REASON", "reason", 0, COLUMN_TEXT},
                                            {NULL, NULL, 0, COLUMN_TEXT}};
    print_table(columns, value_get(answer, "letters"));
    if (value_str(answer, "next", NULL))
        fprintf(stderr, "more with --cursor %s\n", value_str(answer, "next", ""));
    return EXIT_GOOD;
}

/* Of these ids; of none: all. */
static int change(struct cli *c, const struct question *q, int n, char **ids)
{
    int64_t count = 0;
    struct value answer;
    for (int i = 0; i < (n ? n : 1); i++) {
        if (ask(c, q, n ? ids[i] : NULL, &answer) < 0)
            return cli_fail(c);
        if (n && value_int(&answer, "count", 0) == 0) {
            fprintf(stderr, "berth: no dead letter '%s'\n", ids[i]);
            return EXIT_NOT_FOUND;
        }
        count += value_int(&answer, "count", 0);
    }
    if (c->json) {
        struct value out = value_new_map(c->arena);
        value_put_int(c->arena, &out, "count", count);
        return cli_print_json(c, &out);
    }
    printf("%lld %s\n", (long long)count,
           strcmp(q->op, "purge") ? "back in the queue" : "deleted");
    return EXIT_GOOD;
}

int cmd_dead(struct cli *c, int argc, char **argv)
{
    struct question q = {.op = ""};
    const char *limit = NULL;
    bool all = false;
    const struct flag flags[] = {{.name = "all", .set = &all},
                                 {.name = "transport", .value = &q.transport},
                                 {.name = "cursor", .value = &q.cursor},
                                 {.name = "limit", .letter = 'n', .value = &limit},
                                 {.name = NULL}};
    struct value answer;
    int n = cli_flags(c, flags, argc, argv, NULL);
    if (n < 0)
        return EXIT_USAGE;
    if (n)
        q.op = argv[0];
    bool list = !strcmp(q.op, "list");
    if ((!list && strcmp(q.op, "requeue") != 0 && strcmp(q.op, "purge") != 0) ||
        (list ? n != 1 || all : all == (n > 1)))
        return cli_usage("dead");
    if (limit && (parse_int(limit, &q.limit) < 0 || q.limit < 1 || q.limit > 1000)) {
        fprintf(stderr, "berth: --limit: '%s' is not a number from 1 to 1000\n", limit);
        return EXIT_USAGE;
    }
    if (!list)
        return change(c, &q, n - 1, argv + 1);
    if (ask(c, &q, NULL, &answer) < 0)
        return cli_fail(c);
    return c->json ? cli_print_json(c, &answer) : print_letters(&answer);
}
