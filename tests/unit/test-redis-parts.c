/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The parts of the redis transport that need no server: urls, errors, counts, digests, commands, replies. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <berth/error.h>

#include "plugins/transport-redis/redis_bytes.h"
#include "plugins/transport-redis/redis_fault.h"
#include "plugins/transport-redis/redis_held.h"
#include "plugins/transport-redis/redis_resp.h"
#include "plugins/transport-redis/redis_sha1.h"
#include "plugins/transport-redis/redis_url.h"
#include "tests/tap.h"

static void test_urls(void)
{
    struct url u;
    char why[252];
    is_int(url_parse("redis://h", &u, why, sizeof why), 0, "url: a host");
    ok(u.kind == URL_TCP && !u.tls && u.db == 0 && u.count == 1, "tcp, no tls, database 0");
    ok(!strcmp(u.hosts[0].name, "h") && u.hosts[0].port == 6379, "the usual port");
    is_int(url_parse("rediss://me@[::1]:7000,b:7001/12", &u, why, sizeof why), 0,
           "all of it");
    ok(u.tls && u.db == 12 && u.count == 2 && !strcmp(u.user, "me"), "tls, user, database");
    ok(!strcmp(u.hosts[0].name, "::1") && u.hosts[0].port == 7000 &&
           u.hosts[1].port == 7001,
       "both hosts with their ports");
    is_int(url_parse("redis-sentinel://a,b:1/main/3", &u, why, sizeof why), 0, "sentinels");
    ok(u.kind == URL_SENTINEL && u.hosts[0].port == 26379 && u.hosts[1].port == 1 &&
           u.db == 3 && !strcmp(u.master, "main"),
       "their ports, master and database");
    is_int(url_parse("unix://me@/run/r.sock?db=2", &u, why, sizeof why), 0, "a socket");
    ok(u.kind == URL_UNIX && u.db == 2 && !strcmp(u.path, "/run/r.sock") &&
           !strcmp(u.user, "me"),
       "its path, user and database");

    static const char *const wrong[] = {"",
                                        "redis",
                                        "redis://",
                                        "http://h",
                                        "redis://h:0x1",
                                        "redis://:1",
                                        "redis://h:",
                                        "redis://h:65536",
                                        "redis://h/x",
                                        "redis://h/1/2",
                                        "redis://u:p@h",
                                        "redis://h,",
                                        "redis://[::1",
                                        "redis://[::1]x",
                                        "redis://@h",
                                        "unix://x",
                                        "unix://",
                                        "unix:///x?db=",
                                        "redis://h?db=1",
                                        "redis-sentinel://h",
                                        "redis-sentinel://h/",
                                        "redis-sentinel://h/m/x",
                                        "redis://a,b,c,d,e,f,g,h,i",
                                        "redis://h/-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        why[0] = '\0';
        ok(url_parse(wrong[i], &u, why, sizeof why) < 0 && why[0], "wrong: '%s': %s",
           wrong[i], why);
    }
    char *huge = malloc(5000);
    memset(huge, 'a', 4999);
    huge[4999] = '\0';
    memcpy(huge, "redis://", 8);
    ok(url_parse(huge, &u, why, sizeof why) < 0, "a huge name is refused");
    memcpy(huge, "unix:///", 8);
    ok(url_parse(huge, &u, why, sizeof why) < 0, "a huge path is refused");
    free(huge);
}

static void test_faults(void)
{
    static const struct {
        const char *text;
        enum fault fault;
    } faults[] = {
        {"MOVED 1 a:1", FAULT_MOVED},
        {"ASK 1 a:1", FAULT_ASK},
        {"NOGROUP No such key", FAULT_GROUP},
        {"UNBLOCKED the stream key no longer exists", FAULT_GROUP},
        {"ERR Error running script: -NOGROUP No such key", FAULT_GROUP},
        {"NOSCRIPT No matching script", FAULT_SCRIPT},
        {"READONLY You can't write against a read only replica.", FAULT_RECONNECT},
        {"ERR x: -READONLY You can't", FAULT_RECONNECT},
        {"LOADING", FAULT_RECONNECT},
        {"NOPERM no", FAULT_REFUSED},
        {"WRONGTYPE x", FAULT_REFUSED},
        {"OOM command not allowed", FAULT_AGAIN},
        {"ERR whatever", FAULT_AGAIN},
        {"", FAULT_AGAIN},
    };
    char host[16];
    int port;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        is_int(fault_of(faults[i].text), faults[i].fault, "fault: %s", faults[i].text);
    is_int(fault_address("MOVED 3999 10.0.0.1:6381", host, sizeof host, &port), 0,
           "an address");
    ok(!strcmp(host, "10.0.0.1") && port == 6381, "host and port");
    is_int(fault_address("ASK 1 ::1:6381", host, sizeof host, &port), 0, "of version 6");
    ok(!strcmp(host, "::1") && port == 6381, "host and port");
    is_int(fault_address("MOVED 1 :6381", host, sizeof host, &port), 0, "the same host");
    ok(!host[0] && port == 6381, "is an empty one");
    static const char *const wrong[] = {
        "MOVED",       "MOVED 1",         "MOVED 1 a",
        "MOVED 1 a:0", "MOVED 1 a:70000", "MOVED 1 a-name-too-long-for-it:1"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ok(fault_address(wrong[i], host, sizeof host, &port) < 0, "no address: %s",
           wrong[i]);
}

static void counts_are(const char *counts, uint32_t deliveries, uint32_t attempts,
                       uint32_t failures, uint32_t losses)
{
    struct held h = {0};
    held_counts(&h, counts, deliveries);
    ok(h.attempts == attempts && h.failures == failures && h.losses == losses,
       "counts '%s' at delivery %u: %u attempts, %u failures, %u losses", counts,
       deliveries, h.attempts, h.failures, h.losses);
}

static void test_counts(void)
{
    struct held h = {.deliveries = 1};
    char text[64];
    counts_are("", 0, 0, 0, 0);
    counts_are("", 1, 0, 0, 0);
    counts_are("", 3, 2, 0, 2);
    counts_are("3:2:0:1", 1, 3, 2, 0);
    counts_are("3:2:0:1", 2, 3, 2, 1);
    counts_are("2:0:1:2", 3, 2, 0, 2);
    counts_are("2:0:1:2", 5, 4, 0, 4);
    counts_are("2:1:0:4", 1, 2, 1, 0);
    counts_are("garbage", 2, 1, 0, 1);
    ok(!held_tell_counts(&h, 1, 0, 0, text, sizeof text),
       "a first attempt needs no record");
    ok(held_tell_counts(&h, 2, 1, 0, text, sizeof text) && !strcmp(text, "2:1:0:1"),
       "a second one does");
    ok(entry_is_later("10-0", "9-9") && !entry_is_later("9-9", "10-0"),
       "entries are in order of time");
    ok(!entry_is_later("7-1", "7-0") && !entry_is_later("7-0", "7-1"),
       "in the same millisecond none is later");
    ok(entry_compare("10-0", "9-9") > 0 && entry_compare("9-10", "9-9") > 0 &&
           entry_compare("9-9", "9-10") < 0 && entry_compare("7-1", "7-1") == 0,
       "within a stream they are in order");
}

static void test_table(void)
{
    struct held_table t = {0};
    struct held *low = held_new(&t, 2, "1-1"), *high = held_new(&t, 0, "2-1"),
                *next = held_new(&t, 0, "3-1");
    ok(t.fresh == low && !held_next(&t), "what was just read is not handed out");
    held_asked(&t, low);
    held_asked(&t, high);
    held_asked(&t, next);
    ok(!t.fresh && !held_next(&t) && held_waiting(&t) == 3,
       "nor what the server is asked about");
    held_ready(&t, low);
    held_ready(&t, high);
    held_ready(&t, next);
    ok(held_waiting(&t) == 3, "all wait for the host");
    ok(held_of_entry(&t, 2, "1-1") == low && !held_of_entry(&t, 1, "1-1"),
       "an entry is of its level");
    ok(held_find(&t, high->message) == high && !held_find(&t, 99), "a message is found");
    ok(held_next(&t) == high && held_next(&t) == next && high->state == HELD_GIVEN,
       "the first level comes first");
    held_free(&t, low);
    ok(!held_next(&t) && t.ready_count == 0, "what was freed is not handed out");
    held_free(&t, high);
    held_free(&t, next);
    ok(!t.by_message && !t.by_key, "the table is empty");
}

static void test_sha1(void)
{
    char hex[41], text[200];
    sha1_hex("", 0, hex);
    is_str(hex, "da39a3ee5e6b4b0d3255bfef95601890afd80709", "sha1: nothing");
    sha1_hex("abc", 3, hex);
    is_str(hex, "a9993e364706816aba3e25717850c26c9cd0d89d", "sha1: abc");
    memset(text, 'a', sizeof text);
    sha1_hex(text, 55, hex);
    is_str(hex, "c1c8bbdc22796e28c0e15163d20899b65621d65a", "sha1: 55 bytes");
    sha1_hex(text, 56, hex);
    is_str(hex, "c2db330f6083854c99d4b5bfb6e8f29f201be699", "sha1: 56 bytes");
    sha1_hex(text, 64, hex);
    is_str(hex, "0098ba824b5c16427bd7a1122a5a442a25ec644d", "sha1: 64 bytes");
}

static void test_commands(void)
{
    struct cmd c = {0};
    struct bytes out = {0};
    cmd_words(&c, "SET key");
    cmd_data(&c, "a\0\r\n", 4);
    cmd_int(&c, -7);
    is_int(cmd_write(&c, &out), 0, "a command is written");
    static const char want[] =
        "*4\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\na\0\r\n\r\n$2\r\n-7\r\n";
    ok(out.len == sizeof want - 1 && !memcmp(out.data, want, out.len), "byte for byte");
    bytes_drop(&out, 4);
    ok(out.len == sizeof want - 5 && !memcmp(out.data, "$3", 2),
       "and dropped from the front");
    cmd_free(&c);
    bytes_free(&out);
}

static void test_replies(void)
{
    static const char text[] =
        "*2\r\n*3\r\n$3\r\na\0b\r\n:-5\r\n$-1\r\n*-1\r\n-ERR no\r\n+OK\r\n";
    struct resp_reader *r = resp_reader_new();
    struct resp *v;
    int got = 0;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        if (resp_feed(r, text + i, 1) < 0 || resp_next(r, &v) <= 0)
            continue;
        if (got++ == 0) {
            const struct resp *inner = resp_at(v, 0);
            ok(v->count == 2 && inner->count == 3 && resp_at(inner, 0)->len == 3,
               "nested, byte by byte");
            ok(resp_int(resp_at(inner, 1)) == -5 && resp_at(inner, 2)->type == RESP_NIL &&
                   resp_at(v, 1)->type == RESP_NIL,
               "numbers and nil");
            ok(resp_at(resp_at(v, 7), 9)->type == RESP_NIL && !*resp_str(resp_at(v, 0)) &&
                   resp_int(v) == 0 && !resp_is_error(v) && resp_is_error(NULL),
               "what is not there is nothing");
        } else if (got == 2) {
            ok(resp_is_error(v) && !strcmp(v->s, "ERR no"), "an error");
        } else {
            is_str(resp_str(v), "OK", "a status");
        }
        resp_free(v);
    }
    is_int(got, 3, "three replies");
    resp_reader_free(r);
}

/* Whatever a server sends: no crash, and memory within reason. */
static void test_garbage(void)
{
    static const char alphabet[] = "*$+-:\r\n0123456789ab";
    int refused = 0;
    unsigned seed = (unsigned)(getenv("SEED") ? atoi(getenv("SEED")) : 1);
    srand(seed);
    for (int round = 0; round < 20000; round++) {
        struct resp_reader *r = resp_reader_new();
        struct resp *v;
        char text[64];
        int rc, len = rand() % 64;
        for (int i = 0; i < len; i++)
            text[i] = rand() % 50 ? alphabet[(size_t)rand() % (sizeof alphabet - 1)]
                                  : (char)rand();
        resp_feed(r, text, (size_t)len);
        while ((rc = resp_next(r, &v)) > 0)
            resp_free(v);
        refused += rc < 0;
        resp_reader_free(r);
    }
    ok(refused > 1000, "garbage (seed %u): %d of 20000 refused, the rest unfinished", seed,
       refused);
    static const char *const bombs[] = {
        "*2147483647\r\n", "*99999999\r\n", "$536870912\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n"};
    for (size_t i = 0; i < sizeof bombs / sizeof bombs[0]; i++) {
        struct resp_reader *r = resp_reader_new();
        struct resp *v = NULL;
        resp_feed(r, bombs[i], strlen(bombs[i]));
        ok(resp_next(r, &v) <= 0, "a promise of much gets nothing in advance");
        resp_reader_free(r);
    }
}

int main(void)
{
    test_urls();
    test_faults();
    test_counts();
    test_table();
    test_sha1();
    test_commands();
    test_replies();
    test_garbage();
    return tap_done();
}
