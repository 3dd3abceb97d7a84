/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Sends one and the same task through ZeroMQ again and again, and takes the results.
 *
 *   zeromq-load [-n TASKS] [-w WINDOW] ENDPOINT EXECUTER   as berth-zeromq(7) says
 *
 * WINDOW tasks are on the way at a time; the client keeps them, so the host need not write them down first. Prints a
 * line of JSON: tasks per second, and how long each took, from its SUBMIT to the result in hand. The exit status is 1
 * if a result is not "succeeded".
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "bench/figures.h"
#include "plugins/transport-zeromq/zeromq_pack.h"

#define PATIENCE_MS 60000
#define ACK_MAX 100 /* results acknowledged together */

struct load {
    void *socket;
    const char *executer;
    size_t count, window, sent, done, failed;
    uint64_t *sent_ns, *took_ns;
    unsigned long long run;      /* part of the ids: no two runs share them */
    char acks[ACK_MAX * 72 + 8]; /* a list of ids, in msgpack */
    size_t acks_len, ack_count;
};

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "zeromq-load: %s\n", what);
    exit(1);
}

static void say(struct load *l, const char *type, const void *body, size_t len)
{
    if (zmq_send(l->socket, type, strlen(type), ZMQ_SNDMORE) < 0 ||
        zmq_send(l->socket, body, len, 0) < 0)
        give_up(zmq_strerror(zmq_errno()));
}

static void say_ready(struct load *l)
{
    struct pack p = {.len = 0};
    pack_map(&p, 3);
    pack_str(&p, "v");
    pack_int(&p, 1);
    pack_str(&p, "window");
    pack_int(&p, 1000);
    pack_str(&p, "durable");
    pack_bool(&p, false);
    say(l, "READY", p.data, p.len);
}

static void send_task(struct load *l)
{
    struct pack p = {.len = 0};
    char id[64];
    snprintf(id, sizeof id, "z%llx-%zu", l->run, l->sent);
    pack_map(&p, 2);
    pack_str(&p, "id");
    pack_str(&p, id);
    pack_str(&p, "executer");
    pack_str(&p, l->executer);
    l->sent_ns[l->sent++] = figures_now_ns();
    say(l, "SUBMIT", p.data, p.len);
}

/* ---- results ---- */

static void send_acks(struct load *l)
{
    static const char head[] = "\x81\xa3ids\xdc"; /* a map of one; an array of 16 bits */
    char body[sizeof head + 1 + sizeof l->acks];
    size_t at = sizeof head - 1;
    if (!l->ack_count)
        return;
    memcpy(body, head, at);
    body[at++] = (char)(l->ack_count >> 8);
    body[at++] = (char)l->ack_count;
    memcpy(body + at, l->acks, l->acks_len);
    say(l, "RESULT", body, at + l->acks_len);
    l->ack_count = l->acks_len = 0;
}

static void ack(struct load *l, const char *id)
{
    struct pack p = {.len = 0};
    pack_str(&p, id);
    memcpy(l->acks + l->acks_len, p.data, p.len);
    l->acks_len += p.len;
    if (++l->ack_count == ACK_MAX)
        send_acks(l);
}

/* The strings under two keys of a map, "" where there is none. */
static void look_up(const zmq_msg_t *body, char id[64], char verdict[64])
{
    const unsigned char *data = zmq_msg_data((zmq_msg_t *)body);
    struct reader r = {.at = data, .end = data + zmq_msg_size(body)};
    struct item map, key, value;
    id[0] = verdict[0] = '\0';
    if (item_read(&r, &map) < 0 || map.type != ITEM_MAP)
        give_up("a result that is no map");
    for (uint32_t i = 0; i < map.count && item_read(&r, &key) == 0; i++) {
        struct reader at = r;
        if (item_skip(&r) < 0)
            break;
        char *to = item_is(&key, "id") ? id : item_is(&key, "verdict") ? verdict : NULL;
        if (to && item_read(&at, &value) == 0)
            item_copy(&value, to, 64);
    }
}

static void take_result(struct load *l, const zmq_msg_t *body)
{
    char id[64], verdict[64];
    unsigned long long run;
    size_t i;
    look_up(body, id, verdict);
    ack(l, id);
    if (sscanf(id, "z%llx-%zu", &run, &i) != 2 || run != l->run || i >= l->sent ||
        !l->sent_ns[i])
        return; /* somebody else's, or a second time */
    l->took_ns[l->done++] = figures_now_ns() - l->sent_ns[i];
    l->sent_ns[i] = 0;
    l->failed += strcmp(verdict, "succeeded") != 0;
}

/* Takes one message; false if there is none and `wait` is not set. */
static bool take_message(struct load *l, bool wait)
{
    char type[16] = "";
    zmq_msg_t body;
    int n = zmq_recv(l->socket, type, sizeof type - 1, wait ? 0 : ZMQ_DONTWAIT);
    if (n < 0 && !wait && zmq_errno() == EAGAIN)
        return false;
    zmq_msg_init(&body);
    if (n < 0 || zmq_msg_recv(&body, l->socket, 0) < 0)
        give_up(n < 0 && zmq_errno() == EAGAIN ? "nothing came for a minute"
                                               : zmq_strerror(zmq_errno()));
    if (!strcmp(type, "RESULT"))
        take_result(l, &body);
    else if (!strcmp(type, "PING"))
        say(l, "PONG", zmq_msg_data(&body), zmq_msg_size(&body));
    else if (!strcmp(type, "ERROR"))
        give_up("the host sent an ERROR");
    zmq_msg_close(&body);
    return true;
}

static void turn(struct load *l)
{
    while (l->sent < l->count && l->sent - l->done < l->window)
        send_task(l);
    take_message(l, true);
    while (take_message(l, false))
        ;
    send_acks(l);
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "usage: zeromq-load [-n TASKS] [-w WINDOW] ENDPOINT EXECUTER\n");
    exit(2);
}

int main(int argc, char **argv)
{
    struct load l = {.count = 1000, .window = 1, .run = figures_now_ns()};
    int patience = PATIENCE_MS, all = 0;
    for (int c; (c = getopt(argc, argv, "n:w:")) != -1;) {
        if (c == 'n')
            l.count = strtoul(optarg, NULL, 10);
        else if (c == 'w')
            l.window = strtoul(optarg, NULL, 10);
        else
            usage();
    }
    if (argc - optind != 2 || !l.count || !l.window)
        usage();
    void *context = zmq_ctx_new();
    l.executer = argv[optind + 1];
    l.socket = context ? zmq_socket(context, ZMQ_DEALER) : NULL;
    l.sent_ns = calloc(l.count, sizeof *l.sent_ns);
    l.took_ns = calloc(l.count, sizeof *l.took_ns);
    if (!l.socket || !l.sent_ns || !l.took_ns)
        give_up("out of memory");
    zmq_setsockopt(l.socket, ZMQ_RCVTIMEO, &patience, sizeof patience);
    zmq_setsockopt(l.socket, ZMQ_SNDHWM, &all, sizeof all);
    zmq_setsockopt(l.socket, ZMQ_RCVHWM, &all, sizeof all);
    if (zmq_connect(l.socket, argv[optind]) < 0)
        give_up(zmq_strerror(zmq_errno()));
    say_ready(&l);
    take_message(&l, true); /* READY */
    uint64_t begin = figures_now_ns();
    while (l.done < l.count)
        turn(&l);
    figures_print(l.took_ns, l.done, figures_now_ns() - begin, l.failed);
    zmq_close(l.socket); /* sends what is left */
    zmq_ctx_term(context);
    free(l.sent_ns);
    free(l.took_ns);
    return l.failed ? 1 : 0;
}
