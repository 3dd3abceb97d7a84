/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A result for people: what the task printed, and how it ended. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/cli.h"

static void print_stream(const struct value *result, const char *key, FILE *to)
{
    const struct value *v = value_get(result, key);
    if (v && (v->type == VALUE_BIN || v->type == VALUE_STR))
        print_output(to, v->s, v->len);
}

static void print_end(const struct value *result)
{
    const char *verdict = value_str(result, "verdict", "");
    const struct value *error = value_get(result, "error");
    char took[16] = "";
    format_duration(value_int(value_get(result, "usage"), "wall_ms", 0), took);
    fflush(stdout);
    fprintf(stderr, "%s: %s in %s", value_str(result, "id", "?"), verdict, took);
    if (strcmp(verdict, "failed") == 0 && value_int(result, "signal", 0))
        fprintf(stderr, ", signal %lld", (long long)value_int(result, "signal", 0));
    else if (strcmp(verdict, "failed") == 0)
        fprintf(stderr, ", exit code %lld", (long long)value_int(result, "exit_code", -1));
    if (error && error->type == VALUE_MAP) {
        fputs(": ", stderr);
        print_line(stderr, value_str(error, "message", ""));
    }
    fputc('\n', stderr);
}

int print_result(struct cli *c, const struct value *result, bool quiet)
{
    if (c->json) {
        cli_print_json(c, result);
    } else {
        print_stream(result, "output", stdout);
        print_stream(result, "stderr_tail", stderr);
        if (!quiet)
            print_end(result);
    }
    return cli_verdict_status(value_str(result, "verdict", ""));
}
