/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth(1): what its commands share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/fail.h"
#include "codec/value.h"
#include "wire/frames.h"

/* Exit statuses; a task's verdict v is EXIT_VERDICT + v, except that succeeded is 0. */
enum {
    EXIT_GOOD = 0,
    EXIT_BAD = 1,
    EXIT_USAGE = 2,
    EXIT_NO_DAEMON = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_REFUSED = 5,
    EXIT_VERDICT = 8
};

struct cli {
    const char *run_dir; /* NULL: the default */
    bool json;           /* --json */
    bool terminal;       /* standard output is one */
    int fd;              /* to the host; -1: not connected */
    struct arena *arena;
    struct berth_error err;
};

struct command {
    const char *name;
    const char *args; /* for the usage line */
    const char *help;
    int (*run)(struct cli *c, int argc,
               char **argv); /* argv[0] is the command; gives the exit status */
};
extern const struct command commands[]; /* ends with a NULL name */

/* One option of a command: --name, or --name VALUE. */
struct flag {
    const char *name;
    char letter;        /* 0: none */
    const char **value; /* set to the argument; NULL: it takes none */
    bool *set;
    int (*add)(struct cli *c, const char *value,
               void *arg); /* for those that may come again */
    void *arg;
};
/* Takes flags out of argv wherever they stand before "--"; --json and --run-dir are always known. Returns the number
 * of words left, in argv[0..], or -1 after a message. *ret_rest: index of the first word after "--", or the count. */
int cli_flags(struct cli *c, const struct flag *flags, int argc, char **argv,
              int *ret_rest);

int cli_usage(const char *command); /* prints its usage line; EXIT_USAGE */
int cli_fail(struct cli *c); /* prints c->err of the host; the exit status that fits it */
int cli_fail_here(struct cli *c, int status); /* prints c->err of this side; gives status */
int cli_connect(struct cli *c);
void cli_disconnect(struct cli *c);
/* Asks a question ("tasks", ...); 0 or -errno with c->err. */
int cli_query(struct cli *c, struct value request, struct value *ret);
int cli_send(struct cli *c, int type, const struct value *body);
/* The next frame; an ERROR frame is turned into a failure. 0 or -errno. */
int cli_recv(struct cli *c, int *ret_type, struct value *ret);
struct value cli_question(struct cli *c, const char *what, const char *id);
int cli_verdict_status(const char *verdict);

/* print.c, result.c */
int cli_print_json(struct cli *c,
                   const struct value *v); /* one line, or indented on a terminal */
/* What the task printed, and how it ended unless quiet; gives the exit status. */
int print_result(struct cli *c, const struct value *result, bool quiet);
void print_text(const char *s);           /* control characters made harmless */
void print_line(FILE *to, const char *s); /* likewise */
void print_output(FILE *to, const char *s, size_t len); /* likewise, on a terminal */
void print_time(int64_t unix_ms);
void print_fields(const struct value *map); /* "key: value" lines, maps inside indented */
struct column {
    const char *title, *key;
    int width; /* 0: the last, as wide as it is */
    enum { COLUMN_TEXT, COLUMN_TIME, COLUMN_BYTES } kind;
};
void print_table(const struct column *columns, const struct value *rows);

/* the commands */
int cmd_submit(struct cli *c, int argc, char **argv);
int cmd_status(struct cli *c, int argc, char **argv);
int cmd_list(struct cli *c, int argc, char **argv);
int cmd_logs(struct cli *c, int argc, char **argv);
int cmd_cancel(struct cli *c, int argc, char **argv);
int cmd_result(struct cli *c, int argc, char **argv);
int cmd_top(struct cli *c, int argc, char **argv);
int cmd_drain(struct cli *c, int argc, char **argv);
int cmd_reload(struct cli *c, int argc, char **argv);
int cmd_stop(struct cli *c, int argc, char **argv);
int cmd_executers(struct cli *c, int argc, char **argv);
int cmd_runtimes(struct cli *c, int argc, char **argv);
int cmd_plugin(struct cli *c, int argc, char **argv);
int cmd_explain(struct cli *c, int argc, char **argv);
int cmd_dead(struct cli *c, int argc, char **argv);
int cmd_events(struct cli *c, int argc, char **argv);

#endif
