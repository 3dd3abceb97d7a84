/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The parts of the zeromq transport that need no peer: MessagePack, bodies, endpoints, files of keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugins/transport-zeromq/zeromq_body.h"
#include "plugins/transport-zeromq/zeromq_endpoint.h"
#include "plugins/transport-zeromq/zeromq_keys.h"
#include "plugins/transport-zeromq/zeromq_pack.h"
#include "tests/tap.h"

#define BYTES(text) text, sizeof(text) - 1

static struct reader reader_of(const void *data, size_t len)
{
    return (struct reader){.at = data, .end = (const unsigned char *)data + len};
}

/* ---- MessagePack ---- */

static void test_integers(void)
{
    static const struct {
        const char *bytes;
        size_t len;
        long long n;
    } good[] = {
        {BYTES("\x00"), 0},
        {BYTES("\x7f"), 127},
        {BYTES("\xff"), -1},
        {BYTES("\xe0"), -32},
        {BYTES("\xcc\xff"), 255},
        {BYTES("\xcd\xff\xff"), 65535},
        {BYTES("\xce\xff\xff\xff\xff"), 4294967295},
        {BYTES("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), INT64_MAX},
        {BYTES("\xd0\x80"), -128},
        {BYTES("\xd1\x80\x00"), -32768},
        {BYTES("\xd1\x7f\xff"), 32767},
        {BYTES("\xd2\x80\x00\x00\x00"), -2147483648LL},
        {BYTES("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"), INT64_MIN},
        {BYTES("\xd3\xff\xff\xff\xff\xff\xff\xff\xff"), -1},
    };
    struct item it;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct reader r = reader_of(good[i].bytes, good[i].len);
        ok(item_read(&r, &it) == 0 && it.type == ITEM_INT && it.n == good[i].n &&
               r.at == r.end,
           "integer %lld", good[i].n);
        r = reader_of(good[i].bytes, good[i].len - 1);
        ok(item_read(&r, &it) < 0, "and not, when it is cut");
    }
    struct reader r = reader_of(BYTES("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
    ok(item_read(&r, &it) == 0 && it.type == ITEM_FLOAT, "beyond 63 bits it is no integer");
}

/* One of each kind; `size` bytes in all, of which fewer are not enough. */
static const struct {
    const char *name;
    enum item_type type;
    const char *bytes;
    size_t len;
} kinds[] = {
    {"nil", ITEM_NIL, BYTES("\xc0")},
    {"false", ITEM_BOOL, BYTES("\xc2")},
    {"true", ITEM_BOOL, BYTES("\xc3")},
    {"bin 8", ITEM_BIN, BYTES("\xc4\x02hi")},
    {"bin 16", ITEM_BIN, BYTES("\xc5\x00\x02hi")},
    {"bin 32", ITEM_BIN, BYTES("\xc6\x00\x00\x00\x02hi")},
    {"ext 8", ITEM_EXT, BYTES("\xc7\x02\x05hi")},
    {"ext 16", ITEM_EXT, BYTES("\xc8\x00\x02\x05hi")},
    {"ext 32", ITEM_EXT, BYTES("\xc9\x00\x00\x00\x02\x05hi")},
    {"float 32", ITEM_FLOAT, BYTES("\xca\x00\x00\x00\x00")},
    {"float 64", ITEM_FLOAT, BYTES("\xcb\x00\x00\x00\x00\x00\x00\x00\x00")},
    {"fixext 1", ITEM_EXT, BYTES("\xd4\x05h")},
    {"fixext 2", ITEM_EXT, BYTES("\xd5\x05hi")},
    {"fixext 16", ITEM_EXT, BYTES("\xd8\x05hihihihihihihihi")},
    {"fixstr", ITEM_STR, BYTES("\xa2hi")},
    {"str 8", ITEM_STR, BYTES("\xd9\x02hi")},
    {"str 16", ITEM_STR, BYTES("\xda\x00\x02hi")},
    {"str 32", ITEM_STR, BYTES("\xdb\x00\x00\x00\x02hi")},
    {"fixarray", ITEM_ARRAY, BYTES("\x92\x01\x02")},
    {"array 16", ITEM_ARRAY, BYTES("\xdc\x00\x02\x01\x02")},
    {"array 32", ITEM_ARRAY, BYTES("\xdd\x00\x00\x00\x02\x01\x02")},
    {"fixmap", ITEM_MAP, BYTES("\x81\x01\x02")},
    {"map 16", ITEM_MAP, BYTES("\xde\x00\x01\x01\x91\x02")},
    {"map 32", ITEM_MAP, BYTES("\xdf\x00\x00\x00\x01\x01\x02")},
};

static void test_kinds(void)
{
    struct item it;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct reader r = reader_of(kinds[i].bytes, kinds[i].len);
        bool cut = true;
        ok(item_read(&r, &it) == 0 && it.type == kinds[i].type, "%s is read",
           kinds[i].name);
        r = reader_of(kinds[i].bytes, kinds[i].len);
        ok(item_skip(&r) == 0 && r.at == r.end, "and skipped");
        for (size_t len = 0; len < kinds[i].len; len++) {
            r = reader_of(kinds[i].bytes, len);
            cut = cut && item_skip(&r) < 0;
        }
        ok(cut, "but not, when it is cut anywhere");
    }
    struct reader r = reader_of(BYTES("\xc1"));
    ok(item_read(&r, &it) < 0, "c1 is nothing");
    r = reader_of(BYTES("\xdd\xff\xff\xff\xff\x01"));
    ok(item_skip(&r) < 0, "an array that claims too much is refused at once");
    char deep[100000];
    memset(deep, 0x91, sizeof deep);
    deep[sizeof deep - 1] = 1;
    r = reader_of(deep, sizeof deep);
    ok(item_skip(&r) == 0, "depth costs nothing");
}

static void test_writing(void)
{
    static const uint64_t numbers[] = {0, 127, 128, 255, 65536, UINT32_MAX, 1ull << 33};
    struct pack p = {.len = 0};
    struct item it;
    char text[2000] = "";
    pack_map(&p, 3);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        pack_int(&p, numbers[i]);
    struct reader r = reader_of(p.data, p.len);
    ok(item_read(&r, &it) == 0 && it.type == ITEM_MAP && it.count == 3, "a map is written");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        ok(item_read(&r, &it) == 0 && it.type == ITEM_INT && (uint64_t)it.n == numbers[i],
           "%llu is written", (unsigned long long)numbers[i]);
    for (size_t len = 30; len < 800; len += 225) {
        p.len = 0;
        memset(text, 'x', len);
        pack_str(&p, text);
        pack_bool(&p, true);
        r = reader_of(p.data, p.len);
        ok(item_read(&r, &it) == 0 && item_is(&it, text) && item_read(&r, &it) == 0 &&
               it.type == ITEM_BOOL && it.n == 1 && r.at == r.end,
           "%zu characters are written", len);
    }
    p.len = 0;
    memset(text, 'x', sizeof text - 1);
    pack_str(&p, text);
    r = reader_of(p.data, p.len);
    ok(item_skip(&r) == 0 && r.at == r.end,
       "what is too long leaves good MessagePack behind");
}

/* ---- bodies ---- */

static void test_bodies(void)
{
    struct body b;
    char why[BODY_WHY], id[BODY_ID];
    is_int(body_type_of("RESULT", 6), BODY_RESULT, "a type");
    is_int(body_type_of("RESULTS", 7), BODY_UNKNOWN, "no type");
    is_int(body_type_of("", 0), BODY_UNKNOWN, "nothing is no type");
    is_int(body_read(BODY_READY, BYTES("\x81\xa1v\x01"), &b, why), 0, "READY");
    ok(b.durable && !b.events && b.window == ZEROMQ_WINDOW && !b.client[0], "and defaults");
    is_int(body_read(BODY_READY,
                     BYTES("\x85\xa1v\x01\xa6"
                           "client\xa1x\xa6window\x07\xa6"
                           "events\xc3\xa7"
                           "durable\xc2"),
                     &b, why),
           0, "READY with everything");
    ok(!b.durable && b.events && b.window == 7 && !strcmp(b.client, "x"), "and its values");
    is_int(body_read(BODY_SUBMIT, BYTES("\x82\xa1x\x92\x01\xa2id\xa2id\xa2t1"), &b, why), 0,
           "a task");
    is_str(b.id, "t1", "its id, not what is within it");
    is_int(body_read(BODY_RESULT, BYTES("\x81\xa3ids\x92\xa1x\xa2yz"), &b, why), 0,
           "RESULT");
    ok(body_next_id(&b, id) && !strcmp(id, "x") && body_next_id(&b, id) &&
           !strcmp(id, "yz") && !body_next_id(&b, id),
       "two ids");
    is_int(body_read(BODY_PING, BYTES("\x80"), &b, why), 0, "PING");
    is_int(body_read(BODY_ERROR,
                     BYTES("\x82\xa1z\x90\xa4"
                           "code\xa1w"),
                     &b, why),
           0, "ERROR may have more keys");
    is_str(b.code, "w", "its code");
}

static void test_wrong_bodies(void)
{
    static const struct {
        enum body_type type;
        const char *bytes;
        size_t len;
        const char *why;
    } wrong[] = {
        {BODY_READY, BYTES(""), "must be a map"},
        {BODY_READY, BYTES("\x90"), "must be a map"},
        {BODY_READY, BYTES("\x80"), "'v' must be 1"},
        {BODY_READY, BYTES("\x81\xa1v\x02"), "'v' must be 1"},
        {BODY_READY, BYTES("\x81\xa1v"), "ends within 'v'"},
        {BODY_READY, BYTES("\x82\xa1v\x01"), "ends too early"},
        {BODY_READY, BYTES("\x81\xa1v\x01\x00"), "1 bytes follow"},
        {BODY_READY, BYTES("\x81\xa1w\x01"), "no key 'w'"},
        {BODY_READY, BYTES("\x81\x01\x01"), "a key of READY is a integer"},
        {BODY_SUBMIT, BYTES("\x80"), "no 'id'"},
        {BODY_SUBMIT, BYTES("\x81\xa2id\x01"), "'id' must be"},
        {BODY_SUBMIT,
         BYTES("\x81\xa2id\xa3"
               "a\x00"
               "b"),
         "'id' must be"},
        {BODY_SUBMIT, BYTES("\x81\xa1x\x92\x01"), "ends too early"},
        {BODY_SUBMIT, BYTES("\x81\x90\x01"), "ends too early"},
        {BODY_CANCEL, BYTES("\x81\xa2id\xa1/"), "'id' must be"},
        {BODY_STATUS, BYTES("\x80"), "needs 'id'"},
        {BODY_RESULT, BYTES("\x80"), "needs 'ids'"},
        {BODY_RESULT, BYTES("\x81\xa3ids\xa1x"), "array of strings"},
        {BODY_RESULT, BYTES("\x81\xa3ids\x92\xa1x"), "array of strings"},
        {BODY_PONG, BYTES("\x81\xa1n\xff"), "'n' must be an integer"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct body b;
        char why[BODY_WHY] = "";
        ok(body_read(wrong[i].type, wrong[i].bytes, wrong[i].len, &b, why) < 0,
           "%s %zu: refused", body_type_name(wrong[i].type), i);
        has_str(why, wrong[i].why, "and why");
    }
}

/* ---- endpoints ---- */

static void test_endpoints(void)
{
    static const struct {
        const char *text;
        bool connect, exposed;
    } good[] = {
        {"tcp://127.0.0.1:0", false, false},
        {"tcp://127.1.2.3:5", false, false},
        {"tcp://localhost:65535", true, false},
        {"tcp://[::1]:5", false, false},
        {"tcp://[::ffff:127.0.0.1]:5", true, false},
        {"tcp://*:5", false, true},
        {"tcp://0.0.0.0:5", false, true},
        {"tcp://[::]:5", false, true},
        {"tcp://10.0.0.1:5", true, true},
        {"tcp://a.example:5", true, true},
        {"ipc:///x/y", false, false},
        {"ipc:///x/y", true, false},
    };
    static const char *const wrong[] = {"",
                                        "tcp://",
                                        "tcp://1.2.3.4",
                                        "tcp://1.2.3.4:",
                                        "tcp://:5",
                                        "tcp://1.2.3.4:x",
                                        "tcp://1.2.3.4:65536",
                                        "tcp://::1:5",
                                        "tcp://[::1]",
                                        "ipc://",
                                        "ipc://x",
                                        "inproc://x",
                                        "pgm://x",
                                        "tcp://a.example:5",
                                        "http://x:1"};
    struct endpoint e;
    char why[ENDPOINT_WHY], huge[600];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        ok(endpoint_parse(good[i].text, good[i].connect, &e, why) == 0 &&
               e.exposed == good[i].exposed,
           "'%s'%s", good[i].text, good[i].exposed ? ": exposed" : "");
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        why[0] = '\0';
        ok(endpoint_parse(wrong[i], false, &e, why) < 0 && why[0], "'%s': %s", wrong[i],
           why);
    }
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    memcpy(huge, "ipc:///", 7);
    ok(endpoint_parse(huge, false, &e, why) < 0, "a huge path");
    huge[150] = '\0';
    ok(endpoint_parse(huge, false, &e, why) < 0, "a path longer than a socket may have");
}

/* ---- keys ---- */

#define KEY "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define HASH_KEY "#q:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static const char *write_file(const char *text, mode_t mode)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/test-zeromq-parts.%d", (int)getpid());
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0 || chmod(path, mode) < 0)
        exit(99);
    return path;
}

static void test_secrets(void)
{
    char key[KEYS_KEY], why[KEYS_WHY];
    const char *path =
        write_file("# ours\n\npublic " HASH_KEY "\n  secret\t" KEY "\r\n", 0600);
    is_int(keys_read_secret(path, key, why), 0, "a file of keys");
    is_str(key, KEY, "its secret");
    static const char *const wrong[] = {
        "",       "public " KEY "\n",   "secret short\n",   "secret\n",
        KEY "\n", "secret " KEY " x\n", "secret " KEY "0\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        ok(keys_read_secret(write_file(wrong[i], 0600), key, why) < 0, "wrong: %s", why);
    ok(keys_read_secret(write_file("secret " KEY "\n", 0640), key, why) < 0 &&
           strstr(why, "chmod 600"),
       "others may read it: %s", why);
    ok(keys_read_secret("/", key, why) < 0 && keys_read_secret("/nowhere", key, why) < 0,
       "no file");
    unlink(path);
}

static void test_clients(void)
{
    char why[KEYS_WHY];
    struct keys *k = NULL;
    const char *path =
        write_file("client " KEY " red\n# comment\nclient " HASH_KEY "\n", 0644);
    is_int(keys_open(path, &k, why), 0, "a list of clients");
    is_str(keys_tenant(k, KEY), "red", "a key with a tenant");
    is_str(keys_tenant(k, HASH_KEY), "", "one without, that begins like a comment");
    ok(!keys_tenant(k, "") && !keys_tenant(k, KEY "x"), "and no others");
    is_int(keys_refresh(k, why), 0, "it has not changed");
    write_file("client " HASH_KEY " blue\n\n", 0644);
    is_int(keys_refresh(k, why), 1, "it has");
    ok(!keys_tenant(k, KEY) && !strcmp(keys_tenant(k, HASH_KEY), "blue"), "and was read");
    write_file("client " HASH_KEY " -blue\n", 0644);
    ok(keys_refresh(k, why) < 0 && keys_tenant(k, HASH_KEY), "wrong now: %s", why);
    is_int(keys_refresh(k, why), 0, "which is told once");
    keys_close(k);
    ok(keys_open(write_file("clients\n", 0644), &k, why) < 0, "no line: %s", why);
    ok(keys_open(write_file("", 0666), &k, why) < 0, "others may write it: %s", why);
    is_int(keys_open(write_file("", 0644), &k, why), 0, "an empty list");
    ok(!keys_tenant(k, KEY), "lets nobody in");
    keys_close(k);
    unlink(path);
}

int main(void)
{
    test_integers();
    test_kinds();
    test_writing();
    test_bodies();
    test_wrong_bodies();
    test_endpoints();
    test_secrets();
    test_clients();
    return tap_done();
}
