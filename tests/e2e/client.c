/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What client-c.t asks libberth-client to do: `client VERB URL [ARGUMENT...]`. Prints "ok NAME" or "not NAME"
 * for each check. It is built out of the installed tree, as a user's program is.
 */
#define _GNU_SOURCE /* memmem */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <berth-client.h>

#define LONG_MS 120000
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct berth_client *client;
static struct berth_client_result *result;
static struct berth_error err;

static void check(int good, const char *name)
{
    printf("%s %s\n", good ? "ok" : "not", name);
    fflush(stdout);
}

/* The call gave that error, and a text with these words in it. */
static void failed(int rc, int code, const char *words, const char *name)
{
    check(rc == -code && err.code == code && strstr(err.text, words) != NULL, name);
    if (rc != -code || !strstr(err.text, words))
        printf("# got %d '%s'\n", rc, rc < 0 ? err.text : "");
}

/* Runs it; the result is in `result`, which is never NULL then. */
static int run(struct berth_client_task task)
{
    berth_client_result_free(result);
    result = NULL;
    int rc = berth_client_run(client, &task, LONG_MS, &result, &err);
    if (rc < 0)
        printf("# run: %s\n", err.text);
    return rc;
}

static int said(const char *text)
{
    return result && result->output_len == strlen(text) &&
           !memcmp(result->output, text, result->output_len);
}

static void check_results(void)
{
    enum { SIZE = 1 << 20 };
    unsigned char *blob = malloc(SIZE);
    for (int i = 0; i < SIZE; i++)
        blob[i] = (unsigned char)(i * 7 + i / 256);
    struct berth_client_task task =
        BERTH_CLIENT_TASK(.executer = "cat", .input = blob, .input_len = SIZE);
    check(run(task) == 0 && result->output_len == SIZE && !memcmp(result->output, blob, SIZE),
          "1 MiB of binary goes in and out");
    free(blob);
    task = (struct berth_client_task)BERTH_CLIENT_TASK(
        .executer = "sh", .args = WORDS("echo out; echo err >&2; exit 7"));
    check(run(task) == 0 && result->verdict == BERTH_VERDICT_FAILED &&
              result->blame == BERTH_BLAME_TASK && result->exit_code == 7,
          "a task fails");
    check(said("out\n") && !strcmp(result->stderr_tail, "err\n") && *result->error_message &&
              !strcmp(result->host, "testnode") && result->attempt == 1 &&
              result->wall_ms >= 0 && result->finished_ms >= result->queued_ms,
          "and its result is whole");
    struct berth_client_file files[] = {{.path = "in/a", .data = "abc", .data_len = 3}};
    task = (struct berth_client_task)BERTH_CLIENT_TASK(
        .executer = "sh", .args = WORDS("cat in/a; echo $X; echo out >o1"), .env = WORDS("X=y"),
        .labels = WORDS("a=b"), .files = files, .file_count = 1, .outputs = WORDS("o*"),
        .cpus = 0.1, .memory_bytes = 64 << 20, .pids = 50, .timeout_ms = 60000, .retries = -1,
        .priority = 1, .network = "none");
    check(run(task) == 0 && said("abcy\n"), "files and environment go in");
    check(result && memmem(result->msgpack, result->msgpack_len, "out\n", 4) != NULL,
          "and files come out");
    task = (struct berth_client_task)BERTH_CLIENT_TASK(.runtime = "process",
                                                       .command = WORDS("/bin/echo", "adhoc"));
    check(run(task) == 0 && said("adhoc\n"), "an ad-hoc task");
}

static void check_refusals(void)
{
    char id[BERTH_CLIENT_ID_SIZE];
    struct berth_client_task task = BERTH_CLIENT_TASK(.executer = "nobody");
    failed(run(task), ENOENT, "no executer 'nobody'", "an unknown executer");
    task.executer = NULL;
    failed(run(task), EINVAL, "one of the two", "neither executer nor runtime");
    task.executer = "cat";
    task.network = "wide";
    failed(run(task), EINVAL, "network", "a wrong value");
    task.network = NULL;
    task.env = WORDS("nothing");
    failed(run(task), EINVAL, "not NAME=value", "a wrong pair");
    task.env = NULL;
    task.id = "a b";
    failed(run(task), EINVAL, "1 to 128", "a wrong id");
    failed(berth_client_submit_encoded(client, "{\"executer\":", 12, id, &err), EINVAL,
           "cannot be read", "half a task");
    failed(berth_client_wait(client, "a b", 0, &result, &err), EINVAL, "1 to 128",
           "waiting for a wrong id");
}

static void check_ids(void)
{
    char id[BERTH_CLIENT_ID_SIZE], again[BERTH_CLIENT_ID_SIZE];
    const char *state = "";
    struct berth_client_task task =
        BERTH_CLIENT_TASK(.executer = "cat", .input = "1", .input_len = 1);
    check(berth_client_submit(client, &task, id, &err) == 0 && strlen(id) == 26,
          "an id is made");
    berth_client_result_free(result);
    check(berth_client_wait(client, id, LONG_MS, &result, &err) == 0 && said("1"),
          "its end is waited for");
    task.id = id;
    check(berth_client_submit(client, &task, again, &err) == 0 && !strcmp(id, again) &&
              run(task) == 0 && said("1"),
          "sent again it is the same");
    task.input = "2";
    failed(berth_client_submit(client, &task, NULL, &err), EEXIST, "different task",
           "the id with another task");
    check(berth_client_status(client, id, &state, &err) == 0 && !strcmp(state, "done"),
          "its state");
}

static void check_cancel(void)
{
    char id[BERTH_CLIENT_ID_SIZE];
    struct berth_client_task task =
        BERTH_CLIENT_TASK(.executer = "sh", .args = WORDS("sleep 600"));
    check(berth_client_submit(client, &task, id, &err) == 0, "a long task");
    berth_client_result_free(result);
    result = NULL;
    failed(berth_client_wait(client, id, 200, &result, &err), ETIME, "not done",
           "waiting for some time");
    check(berth_client_cancel(client, id, &err) == 0, "is cancelled");
    check(berth_client_wait(client, id, LONG_MS, &result, &err) == 0 &&
              result->verdict == BERTH_VERDICT_CANCELLED,
          "and ends");
    check(berth_client_cancel(client, id, &err) == 1, "which cannot be done twice");
}

/* ARGUMENT: a shell command. Runs it again and again, until it says that it is enough. */
static void repeat(const char *command)
{
    int good = 1, runs = 0;
    struct berth_client_task task =
        BERTH_CLIENT_TASK(.executer = "sh", .args = WORDS(command));
    puts("begun");
    fflush(stdout);
    do
        good = run(task) == 0 && result->verdict == BERTH_VERDICT_SUCCEEDED;
    while (good && !said("enough\n") && ++runs < 1000000);
    check(good && said("enough\n"), "each of them has its result");
}

int main(int argc, char **argv)
{
    const char *verb = argc > 2 ? argv[1] : "";
    struct berth_client_options options = {.size = sizeof options};
    options.patience_ms = strcmp(verb, "gone") ? LONG_MS : 500;
    if (argc < 3)
        return 2;
    int rc = berth_client_open(argv[2], &options, &client, &err);
    struct berth_client_task task = BERTH_CLIENT_TASK(.executer = "cat", .input = "in", .input_len = 2);
    if (!strcmp(verb, "wrong-url")) {
        failed(rc, strstr(argv[3], "key") ? EPERM : EINVAL, argv[3], argv[2]);
        return 0;
    }
    check(rc == 0, "opened");
    if (!strcmp(verb, "gone"))
        failed(run(task), ECONNREFUSED, "127.0.0.1", "a server that is away");
    else if (!strcmp(verb, "denied"))
        failed(run(task), EPERM, argv[3], argv[3]);
    else if (!strcmp(verb, "once"))
        check(run(task) == 0 && said("in"), "a task runs");
    else if (!strcmp(verb, "repeat"))
        repeat(argv[3]);
    else
        check_results(), check_refusals(), check_ids(), check_cancel();
    berth_client_result_free(result);
    berth_client_close(client);
    berth_client_result_free(NULL);
    berth_client_close(NULL);
    return 0;
}
