/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Sends one and the same task through a stream of Redis again and again, and reads the results back.
 *
 *   redis-load [-n TASKS] [-w WINDOW] SOCKET QUEUE TASK   as berth-redis(7) says; TASK is JSON without an id
 *   redis-load -f [-n TASKS] SOCKET QUEUE TASK            only sends
 *   redis-load -e SOCKET QUEUE                            answers in berth's place, in a queue where nobody else does
 *
 * WINDOW tasks are on the way at a time. Prints a line of JSON: tasks per second, and how long each took, from its
 * XADD to the result in hand. The exit status is 1 if a result is not "succeeded".
 */
#include <errno.h>
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "bench/figures.h"

#define READ_MAX 1000 /* results in one reply */

struct load {
    redisContext *redis;
    char tasks[128], results[128];
    const char *task;
    size_t count, window, sent, done, failed;
    uint64_t *sent_ns, *took_ns;
    unsigned long long run; /* part of the ids: no two runs share them */
    char last[48];          /* entry read last */
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "redis-load: %s\n", what);
    exit(1);
}

static redisReply *next_reply(redisContext *redis)
{
    void *reply;
    if (redisGetReply(redis, &reply) != REDIS_OK)
        give_up(redis->errstr);
    if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
        give_up(((redisReply *)reply)->str);
    return reply;
}

static void send_task(struct load *l)
{
    char id[64];
    snprintf(id, sizeof id, "b%llx-%zu", l->run, l->sent);
    l->sent_ns[l->sent++] = figures_now_ns();
    redisAppendCommand(l->redis, "XADD %s * id %s t %s", l->tasks, id, l->task);
}

static const char *field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (!strcmp(fields->element[i]->str, name))
            return fields->element[i + 1]->str;
    return "";
}

static void take_result(struct load *l, const redisReply *entry)
{
    unsigned long long run;
    size_t i;
    const redisReply *fields = entry->element[1];
    snprintf(l->last, sizeof l->last, "%s", entry->element[0]->str);
    if (sscanf(field(fields, "id"), "b%llx-%zu", &run, &i) != 2 || run != l->run ||
        i >= l->sent)
        return; /* somebody else's */
    l->took_ns[l->done++] = figures_now_ns() - l->sent_ns[i];
    if (strcmp(field(fields, "verdict"), "succeeded") != 0 && l->failed++ == 0)
        fprintf(stderr, "redis-load: %s\n", field(fields, "r"));
}

static void take_results(struct load *l, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_NIL)
        give_up("no result came for a minute");
    const redisReply *entries = reply->element[0]->element[1];
    for (size_t i = 0; i < entries->elements; i++)
        take_result(l, entries->element[i]);
}

static void turn(struct load *l)
{
    size_t before = l->sent;
    while (l->sent < l->count && l->sent - l->done < l->window)
        send_task(l);
    redisAppendCommand(l->redis, "XREAD COUNT %d BLOCK 60000 STREAMS %s %s", READ_MAX,
                       l->results, l->last);
    for (; before < l->sent; before++)
        freeReplyObject(next_reply(l->redis));
    redisReply *reply = next_reply(l->redis);
    take_results(l, reply);
    freeReplyObject(reply);
}

/* Sends all, and reads nothing back. */
static void fill(struct load *l)
{
    while (l->sent < l->count) {
        size_t before = l->sent;
        while (l->sent < l->count && l->sent - before < READ_MAX)
            send_task(l);
        for (; before < l->sent; before++) {
            freeReplyObject(next_reply(l->redis));
            l->took_ns[l->done++] = figures_now_ns() - l->sent_ns[before];
        }
    }
}

/* Where the stream of results ends now. */
static void find_end(struct load *l)
{
    redisReply *reply = redisCommand(l->redis, "XREVRANGE %s + - COUNT 1", l->results);
    if (!reply || reply->type != REDIS_REPLY_ARRAY)
        give_up("the stream of results cannot be read");
    snprintf(l->last, sizeof l->last, "%s",
             reply->elements ? reply->element[0]->element[0]->str : "0");
    freeReplyObject(reply);
}

/* For each task an entry of the same fields in the results, and no more than that. */
static _Noreturn void echo(struct load *l)
{
    snprintf(l->last, sizeof l->last, "0");
    for (;;) {
        redisReply *reply = redisCommand(l->redis, "XREAD COUNT %d BLOCK 0 STREAMS %s %s",
                                         READ_MAX, l->tasks, l->last);
        if (!reply || reply->type != REDIS_REPLY_ARRAY)
            give_up("the stream of tasks cannot be read");
        const redisReply *entries = reply->element[0]->element[1];
        for (size_t i = 0; i < entries->elements; i++) {
            const redisReply *entry = entries->element[i];
            snprintf(l->last, sizeof l->last, "%s", entry->element[0]->str);
            redisAppendCommand(l->redis, "XADD %s * id %s verdict succeeded r %s",
                               l->results, field(entry->element[1], "id"),
                               field(entry->element[1], "t"));
        }
        for (size_t i = 0; i < entries->elements; i++)
            freeReplyObject(next_reply(l->redis));
        freeReplyObject(reply);
    }
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: redis-load [-n TASKS] [-w WINDOW] SOCKET QUEUE TASK\n"
                    "       redis-load -f [-n TASKS] SOCKET QUEUE TASK\n"
                    "       redis-load -e SOCKET QUEUE\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct load l = {.count = 1000, .window = 1, .run = figures_now_ns()};
    bool answers = false, fills = false;
    for (int c; (c = getopt(argc, argv, "n:w:ef")) != -1;) {
        if (c == 'n')
            l.count = strtoul(optarg, NULL, 10);
        else if (c == 'w')
            l.window = strtoul(optarg, NULL, 10);
        else if (c == 'e')
            answers = true;
        else if (c == 'f')
            fills = true;
        else
            usage();
    }
    if (argc - optind != (answers ? 2 : 3) || !l.count || !l.window)
        usage();
    l.redis = redisConnectUnix(argv[optind]);
    if (!l.redis || l.redis->err)
        give_up(l.redis ? l.redis->errstr : "out of memory");
    snprintf(l.tasks, sizeof l.tasks, "berth:{%s}:tasks", argv[optind + 1]);
    snprintf(l.results, sizeof l.results, "berth:{%s}:results", argv[optind + 1]);
    if (answers)
        echo(&l);
    l.task = argv[optind + 2];
    l.sent_ns = calloc(l.count, sizeof *l.sent_ns);
    l.took_ns = calloc(l.count, sizeof *l.took_ns);
    if (!l.sent_ns || !l.took_ns)
        give_up("out of memory");
    find_end(&l);
    uint64_t begin = figures_now_ns();
    while (l.done < l.count)
        (fills ? fill : turn)(&l);
    figures_print(l.took_ns, l.done, figures_now_ns() - begin, l.failed);
    free(l.sent_ns);
    free(l.took_ns);
    redisFree(l.redis);
    return l.failed ? 1 : 0;
}
