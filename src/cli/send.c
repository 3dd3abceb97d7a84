/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * berth-send: what `berth submit --to` becomes, since the libraries that speak HTTP and TLS would slow down
 * the start of every other command. The task comes on standard input.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <berth-client.h>

#include "base/str.h"
#include "cli/cli.h"
#include "cli/send.h"

static int read_task(struct cli *c, struct buf *task)
{
    char *room;
    ssize_t n;
    while ((room = buf_room(task, 65536)) && (n = read(0, room, 65536)) > 0)
        task->len += (size_t)n;
    return room && n == 0 ? 0 : berth_fail(&c->err, EIO, "standard input");
}

static int wait_end(struct cli *c, struct berth_client *client, const struct buf *task,
                    bool quiet)
{
    struct berth_client_result *result;
    struct value v;
    if (berth_client_run_encoded(client, task->data, task->len, -1, &result, &c->err) < 0)
        return cli_fail(c);
    struct value_limits lim = value_limits_default;
    lim.max_bytes = result->msgpack_len;
    int rc = value_from_msgpack(c->arena, result->msgpack, result->msgpack_len, &lim, &v,
                                &c->err);
    berth_client_result_free(result);
    return rc < 0 ? cli_fail(c) : print_result(c, &v, quiet);
}

static int submit(struct cli *c, struct berth_client *client, const struct buf *task)
{
    char id[BERTH_CLIENT_ID_SIZE];
    if (berth_client_submit_encoded(client, task->data, task->len, id, &c->err) < 0)
        return cli_fail(c);
    if (!c->json) {
        puts(id);
        return EXIT_GOOD;
    }
    struct value reply = value_new_map(c->arena);
    value_put_str(c->arena, &reply, "id", id);
    return cli_print_json(c, &reply);
}

int main(int argc, char **argv)
{
    struct cli c = {.fd = -1, .terminal = isatty(1), .arena = arena_new()};
    struct berth_client_options options = {.size = sizeof options};
    struct berth_client *client = NULL;
    cleanup_buf struct buf task = BUF_INIT;
    if (argc != 4 || parse_int(argv[2], &options.patience_ms) < 0) {
        fputs("usage: berth-send URL PATIENCE-MS wqj <TASK\n", stderr);
        return EXIT_USAGE;
    }
    bool wait = strchr(argv[3], SEND_WAIT), quiet = strchr(argv[3], SEND_QUIET);
    c.json = strchr(argv[3], SEND_JSON);
    int status = EXIT_BAD;
    if (read_task(&c, &task) < 0 ||
        berth_client_open(argv[1], &options, &client, &c.err) < 0)
        status = cli_fail(&c);
    else
        status = wait ? wait_end(&c, client, &task, quiet) : submit(&c, client, &task);
    berth_client_close(client);
    arena_free(c.arena);
    if (fflush(stdout) != 0 && status == EXIT_GOOD) {
        perror("berth: cannot write");
        status = EXIT_BAD;
    }
    return status;
}
