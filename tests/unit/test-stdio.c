/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The fake transport: lines and frames, whole, in pieces, too long and cut off; slow and
 * lost readers. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/value.h"
#include "fake-host.h"

static char dir[] = "/tmp/berth-test-stdio-XXXXXX";
static char in_path[64], out_path[64];
static int feed = -1, drink = -1; /* the other ends */

static const struct berth_transport *transport(void)
{
    return berth_plugin_entry()->transport;
}

static int open_stdio(const char *format, const char *max)
{
    struct berth_error err = {0};
    fake.options = fake_options(berth_plugin_entry()->options, "in", in_path, "out",
                                out_path, "format", format, "max_bytes", max, NULL);
    int r = berth_plugin_entry()->open(&fake_ctx, &err);
    if (r < 0)
        printf("# %s\n", err.text);
    feed = open(in_path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    drink = open(out_path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return r;
}

static void close_stdio(void)
{
    berth_plugin_entry()->close(&fake_ctx);
    options_free(fake.options);
    fake.options = NULL;
    close(feed);
    close(drink);
    feed = drink = -1;
}

static void give(const void *data, size_t len)
{
    if (write(feed, data, len) != (ssize_t)len) {
        printf("Bail out! cannot feed\n");
        exit(99);
    }
}

static void got(const char *want, const char *what)
{
    struct berth_message msg = {.size = sizeof(msg)};
    struct berth_error err;
    int r = transport()->recv(&fake_ctx, &msg, &err);
    is_int(r, want ? 1 : 0, "%s", what);
    if (want && r == 1 &&
        !ok(msg.len == strlen(want) && !memcmp(msg.data, want, msg.len), "%s: its bytes",
            what))
        printf("#   got '%.*s'\n", (int)msg.len, (const char *)msg.data);
}

static bool is_awake(void)
{
    struct pollfd p = {.fd = transport()->fd(&fake_ctx), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

static void test_lines(void)
{
    is_int(open_stdio("json", "16"), 0, "opened");
    ok(!is_awake(), "the fd sleeps");
    got(NULL, "nothing yet");
    give("{}\n\n\r\n{1}\n{2", 12);
    ok(is_awake(), "the fd wakes");
    got("{}", "a line");
    got("{1}", "another, empty lines between");
    got(NULL, "a part of a line");
    give("3}\n", 3);
    got("{23}", "its rest");
    give("0123456789abcdef\n", 17);
    got("0123456789abcdef", "a line of just the limit");
    give("0123456789abcdefg\n{}\n", 21);
    got("0123456789abcdefg", "one past it is handed over for the refusal");
    got("{}", "and the next is whole");
    give("0123456789abcdefghijk", 21);
    got("0123456789abcdefg", "a longer one is cut");
    give("0123456789abcdefghijk", 21);
    got(NULL, "its rest is skipped");
    give("x\n{4}\n", 6);
    got("{4}", "up to the end of line");
    give("{5}\n{6}\n", 8);
    got("{5}", "before the drain");
    transport()->drain(&fake_ctx, 1);
    give("{7}\n", 4);
    got(NULL, "while it drains");
    ok(!is_awake(), "the fd sleeps");
    fake.woken = 0;
    transport()->drain(&fake_ctx, 0);
    is_int(fake.woken, 1, "after it the host is asked to look");
    got("{6}", "what was in the buffer");
    got("{7}", "and what came since");
    close_stdio();
}

static void test_frames(void)
{
    is_int(open_stdio("msgpack", "16"), 0, "opened for msgpack");
    give("\x02\0", 2);
    got(NULL, "half a length");
    give("\0\0a", 3);
    got(NULL, "half a frame");
    give("b\x01\0\0\0c", 6);
    got("ab", "a frame");
    got("c", "another");
    give("\x00\0\0\0", 4);
    got("", "an empty one is handed over, to be refused");
    give("\x14\0\0\0"
         "0123456789abcdef0123\x01\0\0\0x",
         29);
    got("0123456789abcdef0", "one too long, cut");
    got("x", "the next is whole");
    give("\xff\xff\xff\xff"
         "0123456789abcdefgh",
         22);
    got("0123456789abcdefg", "a wild length");
    give("more", 4);
    got(NULL, "the rest is skipped");
    close_stdio();
}

static void at_end(const char *format, const char *data, size_t len, const char *want)
{
    char plain[80];
    snprintf(plain, sizeof(plain), "%s/plain", dir);
    int fd = open(plain, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len || close(fd) < 0)
        exit(99);
    struct berth_error err = {0};
    fake.options = fake_options(berth_plugin_entry()->options, "in", plain, "out", out_path,
                                "format", format, NULL);
    is_int(berth_plugin_entry()->open(&fake_ctx, &err), 0, "a regular file (%s)", err.text);
    got("{}", "what is whole");
    got(want, "what stands unfinished at the end");
    got(NULL, "nothing more");
    ok(!is_awake(), "the fd sleeps at the end");
    close_stdio();
    unlink(plain);
}

static int reply(uint64_t ticket, uint32_t kind, const void *data, size_t len,
                 uint32_t format)
{
    const struct berth_reply r = {.size = sizeof(r),
                                  .kind = kind,
                                  .message = 7,
                                  .ticket = ticket,
                                  .task_id = "t",
                                  .attempt = 1,
                                  .format = format,
                                  .data = data,
                                  .len = len};
    struct berth_error err;
    return transport()->reply(&fake_ctx, &r, &err);
}

static void test_replies(void)
{
    char out[512];
    open_stdio("json", "1M");
    is_int(reply(1, BERTH_REPLY_ACCEPTED, "{\"id\":\"t\"}", 10, BERTH_FORMAT_JSON), 0,
           "accepted");
    is_int(reply(2, BERTH_REPLY_RESULT, "{}", 2, BERTH_FORMAT_JSON), 0, "result");
    ssize_t n = read(drink, out, sizeof(out) - 1);
    out[n > 0 ? n : 0] = '\0';
    is_str(out,
           "{\"kind\":\"accepted\",\"message\":7,\"body\":{\"id\":\"t\"}}\n"
           "{\"kind\":\"result\",\"message\":7,\"body\":{}}\n",
           "a line each");
    is_int(reply(3, BERTH_REPLY_RESULT, "\x80", 1, BERTH_FORMAT_MSGPACK), -EINVAL,
           "the other format");
    is_int(reply(3, 9, "{}", 2, BERTH_FORMAT_JSON), -EINVAL, "a kind that does not exist");
    is_int(transport()->settle(&fake_ctx, 7, BERTH_SETTLE_ACK, NULL), 0, "settled");
    close_stdio();

    open_stdio("msgpack", "1M");
    is_int(reply(1, BERTH_REPLY_STATE,
                 "\x81\xa1"
                 "a\x01",
                 4, BERTH_FORMAT_MSGPACK),
           0, "msgpack");
    n = read(drink, out, sizeof(out));
    struct arena *a = arena_new();
    struct value v = {0};
    struct berth_error err = {0};
    ok(n > 4 && (unsigned char)out[0] == n - 4 && !out[1] && !out[2] && !out[3],
       "its length");
    is_int(value_from_msgpack(a, out + 4, (size_t)n - 4, &value_limits_default, &v, &err),
           0, "the frame is msgpack (%s)", err.text);
    is_str(value_str(&v, "kind", ""), "state", "kind");
    is_int(value_int(&v, "message", 0), 7, "message");
    is_int(value_int(value_get(&v, "body"), "a", 0), 1, "body");
    arena_free(a);
    close_stdio();
}

static void test_slow_reader(void)
{
    static char big[100000], out[400000];
    size_t len = 0;
    memset(big, ' ', sizeof(big));
    memcpy(big, "{}", 2);
    fake.replied_count = 0;
    open_stdio("json", "1M");
    is_int(reply(11, BERTH_REPLY_RESULT, big, sizeof(big), BERTH_FORMAT_JSON), BERTH_LATER,
           "no room");
    is_int(reply(12, BERTH_REPLY_RESULT, big, sizeof(big), BERTH_FORMAT_JSON), BERTH_LATER,
           "nor for this");
    ok(fake.watched && !fake.replied_count, "it waits for room");
    while (fake.watched) {
        ssize_t n = read(drink, out + len, sizeof(out) - len);
        if (n <= 0)
            break;
        len += (size_t)n;
        fake.watched(&fake_ctx, 0, 0, NULL);
    }
    for (ssize_t n; (n = read(drink, out + len, sizeof(out) - len)) > 0;)
        len += (size_t)n;
    ok(!fake.watched, "room came, and the watch went");
    ok(fake.replied_count == 2 && fake.replied == 12 && !fake.replied_code,
       "both are told, in order");
    is_int(len,
           2 * (sizeof(big) + strlen("{\"kind\":\"result\",\"message\":7,\"body\":}\n")),
           "every byte came, once");
    int r = BERTH_LATER;
    for (int i = 0; i < 1000 && r == BERTH_LATER; i++)
        r = reply(100, BERTH_REPLY_STATE, big, sizeof(big), BERTH_FORMAT_JSON);
    is_int(r, -EAGAIN, "what waits is bounded");
    close_stdio();
}

/* A pipe as standard output, whose reader goes. */
static void test_lost_reader(void)
{
    static char big[100000];
    struct berth_error err = {0};
    int fds[2], saved = dup(1);
    memset(big, ' ', sizeof(big));
    fflush(stdout);
    if (saved < 0 || pipe2(fds, O_CLOEXEC) < 0 || dup2(fds[1], 1) < 0)
        exit(99);
    fake.options = fake_options(berth_plugin_entry()->options, "in", in_path, NULL);
    int r = berth_plugin_entry()->open(&fake_ctx, &err);
    dup2(saved, 1);
    close(saved);
    close(fds[1]);
    is_int(r, 0, "standard output is taken (%s)", err.text);
    fake.replied_count = 0;
    is_int(reply(21, BERTH_REPLY_RESULT, big, sizeof(big), BERTH_FORMAT_JSON), BERTH_LATER,
           "full");
    close(fds[0]);
    if (fake.watched)
        fake.watched(&fake_ctx, 0, 0, NULL);
    ok(fake.replied == 21 && fake.replied_code == EPIPE, "the waiting reply has failed");
    ok(!fake.watched, "and the watch is gone");
    is_int(reply(22, BERTH_REPLY_RESULT, "{}", 2, BERTH_FORMAT_JSON), -EPIPE,
           "the next fails at once");
    close_stdio();
}

static void test_options(void)
{
    struct berth_error err = {0};
    fake.options = fake_options(berth_plugin_entry()->options, "format", "xml", NULL);
    is_int(berth_plugin_entry()->open(&fake_ctx, &err), -EINVAL, "an unknown format");
    has_str(err.text, "'xml'", "is named");
    ok(!fake_ctx.data, "nothing is left open");
    options_free(fake.options);
    fake.options =
        fake_options(berth_plugin_entry()->options, "in", "/nonexistent/x", NULL);
    is_int(berth_plugin_entry()->open(&fake_ctx, &err), -ENOENT,
           "an input that is not there");
    has_str(err.text, "'/nonexistent/x'", "is named");
    options_free(fake.options);
    fake.options = NULL;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(dir))
        return 99;
    snprintf(in_path, sizeof(in_path), "%s/in", dir);
    snprintf(out_path, sizeof(out_path), "%s/out", dir);
    if (mkfifo(in_path, 0600) < 0 || mkfifo(out_path, 0600) < 0)
        return 99;
    test_options();
    test_lines();
    test_frames();
    at_end("json", "{}\n{\"a\":", 8, "{\"a\":");
    at_end("msgpack", "\x02\0\0\0{}\x05\0\0\0ab", 12, "ab");
    test_replies();
    test_slow_reader();
    test_lost_reader();
    unlink(in_path);
    unlink(out_path);
    is_int(rmdir(dir), 0, "cleaned up");
    return tap_done();
}
