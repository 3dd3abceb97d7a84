/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Runs a task and prints what it says:
 *
 *   cc -o run run.c $(pkg-config --cflags --libs berth-client)
 *   ./run http://127.0.0.1:2591 EXECUTER [ARGUMENT...]
 */
#include <stdio.h>

#include <berth-client.h>

static int print_end(const struct berth_client_result *r)
{
    fwrite(r->output, 1, r->output_len, stdout);
    if (r->verdict == BERTH_VERDICT_SUCCEEDED)
        return 0;
    fprintf(stderr, "task %s: %s\n", r->id, r->error_message);
    return 1;
}

int main(int argc, char **argv)
{
    struct berth_client *client = NULL;
    struct berth_client_result *result = NULL;
    struct berth_error err;
    if (argc < 3) {
        fprintf(stderr, "usage: run URL EXECUTER [ARGUMENT...]\n");
        return 2;
    }
    struct berth_client_task task =
        BERTH_CLIENT_TASK(.executer = argv[2], .args = (const char *const *)argv + 3);
    int status = 1;
    if (berth_client_open(argv[1], NULL, &client, &err) < 0 ||
        berth_client_run(client, &task, -1, &result, &err) < 0)
        fprintf(stderr, "run: %s\n", err.text);
    else
        status = print_end(result);
    berth_client_result_free(result);
    berth_client_close(client);
    return status;
}
