/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Captured output: the last bytes of a stream, read while they are written. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../tap.h"
#include "worker/output.h"

static char dir[] = "/tmp/berth-output-XXXXXX", path[64], pos[72];

/* Byte n of the test stream: no two laps of any ring look the same. */
static char byte_at(uint64_t n)
{
    return (char)((n * 2654435761u) >> 13);
}

static void write_stream(struct output *o, uint64_t from, uint64_t to, size_t step)
{
    char part[8192];
    for (size_t n; from < to; from += n) {
        n = to - from < step ? (size_t)(to - from) : step;
        for (size_t i = 0; i < n; i++)
            part[i] = byte_at(from + i);
        output_write(o, part, n);
    }
}

static bool is_stream(const char *data, size_t len, uint64_t from)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte_at(from + i))
            return false;
    return true;
}

static void test_arguments(void)
{
    struct output *o = NULL;
    struct output_reader *r = NULL;
    struct berth_error err = {0};
    struct buf b = BUF_INIT;
    char c;
    uint64_t at;
    is_int(output_create(NULL, 1, &o, &err), -EINVAL, "no path");
    is_int(output_create(path, 0, &o, &err), -EINVAL, "no size");
    is_int(output_create(path, UINT64_MAX, &o, &err), -EINVAL, "no such size");
    is_int(output_create(path, 1, NULL, NULL), -EINVAL, "nowhere to put it");
    is_int(output_create("/nonexistent/x", 1, &o, &err), -ENOENT, "no directory");
    has_str(err.text, "/nonexistent/x", "which is told");
    output_write(NULL, "x", 1);
    is_int(output_error(NULL), EINVAL, "error of nothing");
    is_int(output_total(NULL), 0, "total of nothing");
    is_int(output_tail(NULL, 1, &b), -EINVAL, "tail of nothing");
    output_close(NULL);
    is_int(output_reader_open(NULL, 1, 0, &r), -EINVAL, "read no path");
    is_int(output_reader_open(path, 0, 0, &r), -EINVAL, "read no size");
    is_int(output_reader_open(path, 1, 0, &r), -ENOENT, "read what is not there");
    is_int(output_read(NULL, &c, 1, &at), -EINVAL, "read nothing");
    is_int(output_reader_fd(NULL), -1, "descriptor of nothing");
    output_reader_close(NULL);
}

static void test_plain(void)
{
    struct output *o;
    struct output_reader *r;
    struct buf tail = BUF_INIT;
    struct stat st;
    char got[64];
    uint64_t at = 99;
    ok(output_create(path, 10, &o, NULL) == 0, "created");
    ok(output_reader_open(path, 10, 0, &r) == 0, "opened for reading");
    ok(output_reader_fd(r) >= 0, "with a descriptor");
    is_int(output_read(r, got, sizeof got, &at), 0, "nothing yet");
    output_write(o, "hello", 5);
    is_int(output_read(r, got, sizeof got, &at), 5, "five bytes");
    ok(at == 0 && !memcmp(got, "hello", 5), "the right ones");
    is_int(output_read(r, got, sizeof got, &at), 0, "no more");
    output_write(o, "world", 5);
    is_int(output_read(r, got, 2, &at), 2, "two of what followed");
    is_int(at, 5, "from where it was");
    ok(stat(path, &st) == 0 && st.st_size == 10 && access(pos, F_OK) < 0,
       "full, yet a plain file");
    is_int(output_tail(o, 7, &tail), 0, "tail");
    ok(tail.len == 7 && !memcmp(tail.data, "loworld", 7), "of seven bytes");
    output_write(o, "!", 1);
    is_int(output_total(o), 11, "eleven in all");
    ok(stat(path, &st) == 0 && st.st_size == 10 && access(pos, F_OK) == 0, "now a ring");
    tail.len = 0;
    output_tail(o, 100, &tail);
    ok(tail.len == 10 && !memcmp(tail.data, "elloworld!", 10), "the last ten are kept");
    is_int(output_read(r, got, sizeof got, &at), 3, "the reader goes on to the ring's end");
    is_int(output_read(r, got, sizeof got, &at), 1, "and around");
    ok(at == 10 && got[0] == '!', "to the last byte");
    output_write(o, "0123456789abcdefghij", 20);
    is_int(output_read(r, got, sizeof got, &at), 9, "an overtaken reader");
    ok(at == 21 && !memcmp(got, "abcdefghi", 9), "goes on with the oldest that is left");
    output_reader_close(r);
    output_close(o);
    ok(output_create(path, 10, &o, NULL) == 0 && access(pos, F_OK) < 0,
       "created anew: plain again");
    output_close(o);
    buf_free(&tail);
}

/* Every combination of ring size and write size, tail and a reader that starts anywhere. */
static void test_sizes(void)
{
    static const size_t rings[] = {1, 2, 7, 64, 4096}, steps[] = {1, 3, 64, 1000, 8192};
    int bad = 0;
    for (size_t i = 0; i < 5; i++)
        for (size_t j = 0; j < 5; j++) {
            struct output *o;
            struct output_reader *r;
            struct buf tail = BUF_INIT;
            char got[9000];
            uint64_t total = rings[i] * 3 + 5, at = 0, next = 0;
            if (output_create(path, rings[i], &o, NULL) < 0)
                continue;
            write_stream(o, 0, total, steps[j]);
            bad += output_tail(o, rings[i], &tail) < 0 || tail.len != rings[i] ||
                   !is_stream(tail.data, tail.len, total - rings[i]);
            bad += output_reader_open(path, rings[i], 1, &r) < 0;
            int n;
            for (next = total - rings[i]; (n = output_read(r, got, sizeof got, &at)) > 0;
                 next = at + n)
                bad += at != next || !is_stream(got, (size_t)n, at);
            bad += n != 0 || next != total;
            output_reader_close(r);
            output_close(o);
            buf_free(&tail);
        }
    is_int(bad, 0, "25 rings");
}

/* Whatever a reader gets while the ring is written must be the bytes that it says they
 * are. */
static void test_while_written(void)
{
    const uint64_t max = 5000, total = 3000000;
    struct output *o;
    struct output_reader *r;
    char got[700];
    uint64_t at = 0, next = 0, jumps = 0;
    int bad = 0, n = 0;
    ok(output_create(path, max, &o, NULL) == 0, "created");
    ok(output_reader_open(path, max, 0, &r) == 0, "opened");
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        write_stream(o, 0, total, 333);
        _exit(0);
    }
    while (!bad && next < total && (n = output_read(r, got, sizeof got, &at)) >= 0) {
        if (!n)
            continue;
        bad = at < next || !is_stream(got, (size_t)n, at);
        jumps += at > next;
        next = at + (uint64_t)n;
    }
    waitpid(pid, NULL, 0);
    ok(!bad, "no wrong byte at %llu", (unsigned long long)at);
    is_int(next, total, "and all to the end (%llu jumps)", (unsigned long long)jumps);
    output_reader_close(r);
    output_close(o);
}

static void test_disk_full(void)
{
    struct output *o;
    struct buf tail = BUF_INIT;
    struct rlimit old, small = {1000, RLIM_INFINITY};
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    ok(output_create(path, 100000, &o, NULL) == 0, "created");
    setrlimit(RLIMIT_FSIZE, &small);
    write_stream(o, 0, 5000, 100);
    setrlimit(RLIMIT_FSIZE, &old);
    is_int(output_error(o), EFBIG, "the first error is remembered");
    is_int(output_total(o), 5000, "and the stream counted on");
    output_write(o, "late", 4);
    is_int(output_total(o), 5004, "also later");
    is_int(output_tail(o, 500, &tail), 0, "what is there can be read");
    ok(tail.len == 500 && is_stream(tail.data, 500, 500), "and is right");
    output_close(o);
    buf_free(&tail);
}

int main(void)
{
    if (!mkdtemp(dir))
        return EXIT_FAILURE;
    snprintf(path, sizeof path, "%s/out", dir);
    snprintf(pos, sizeof pos, "%s.pos", path);
    test_arguments();
    test_plain();
    test_sizes();
    test_while_written();
    test_disk_full();
    unlink(path);
    unlink(pos);
    ok(rmdir(dir) == 0, "clean up");
    return tap_done();
}
