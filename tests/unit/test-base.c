/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The lowest layer: failures, buffers, arena, strings, units, ids, files, log. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "../tap.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"

static void test_invalid(void)
{
    struct berth_error err = {7, "old"};
    uint64_t bytes = 1;
    int64_t ms = 2, i = 3;
    double f = 4;
    bool b = true;
    char *data = NULL;
    size_t len;

    is_int(parse_bytes(NULL, &bytes), -EINVAL, "parse_bytes: no string");
    is_int(parse_duration(NULL, &ms), -EINVAL, "parse_duration: no string");
    is_int(parse_int(NULL, &i), -EINVAL, "parse_int: no string");
    is_int(parse_float(NULL, &f), -EINVAL, "parse_float: no string");
    is_int(parse_bool(NULL, &b), -EINVAL, "parse_bool: no string");
    ok(bytes == 1 && ms == 2 && i == 3 && f == 4 && b, "outputs are untouched on failure");
    ok(!is_name(NULL) && !is_task_id(NULL, 3), "no name, no id");
    ok(!nearest_name(NULL, (const char *const[]){"a", NULL}), "nothing is near nothing");
    ok(!nearest_name("a", NULL), "no list");
    is_int(read_file(NULL, 1, &data, &len), -EINVAL, "read_file: no path");
    is_int(write_file_atomic(NULL, "", 0, 0600), -EINVAL, "write_file_atomic: no path");
    is_int(make_dirs(NULL, 0700), -EINVAL, "make_dirs: no path");
    is_int(make_dirs("", 0700), -EINVAL, "make_dirs: empty path");
    is_int(log_level_parse(NULL), -1, "log_level_parse: no name");
    is_int(log_level_parse("loud"), -1, "log_level_parse: unknown name");
    is_int(berth_fail(NULL, ENOENT, "x"), -ENOENT, "berth_fail without err");
    is_int(berth_wrap(NULL, "x"), -EIO, "berth_wrap without err");
    ok(berth_fail(&err, 0, "x") < 0, "a failure with code 0 is still a failure");
    is_str(berth_verdict_name(-1), "", "verdict below the range");
    is_str(berth_verdict_name(99), "", "verdict above the range");
    is_int(berth_verdict_parse("no such"), BERTH_VERDICT_NONE, "unknown verdict");
    is_int(berth_blame_parse(NULL), BERTH_BLAME_NONE, "no blame");
    buf_free(&(struct buf)BUF_INIT);
    arena_free(NULL);
}

static void test_fail(void)
{
    struct berth_error err = {0};
    char big[1000];

    is_int(berth_fail(&err, ENOENT, "no runtime '%s'", "x"), -ENOENT, "returns -code");
    is_int(err.code, ENOENT, "code");
    is_str(err.text, "no runtime 'x'", "text");
    is_int(berth_wrap(&err, "executer '%s'", "e"), -ENOENT, "wrap keeps the code");
    is_str(err.text, "executer 'e': no runtime 'x'", "wrap puts context before");
    berth_fail(&err, EINVAL, "again: %s", err.text);
    is_str(err.text, "again: executer 'e': no runtime 'x'", "err may be its own argument");
    berth_fail_errno(&err, ENOENT, "cannot open");
    is_str(err.text, "cannot open: No such file or directory", "errno text");
    berth_fail(&err, EINVAL,
               "a\nb\x01"
               "c\xff"
               "d");
    is_str(err.text, "a b?c?d", "one line of utf-8");
    memset(big, 'a', sizeof(big));
    memcpy(big + 250, "\xc3\xa4", 3);
    berth_fail(&err, EINVAL, "%s", big);
    is_int(strlen(err.text), 250, "cut before a character that does not fit");
    for (int i = BERTH_VERDICT_NONE; i <= BERTH_VERDICT_REJECTED; i++)
        is_int(berth_verdict_parse(berth_verdict_name(i)), i, "verdict %d there and back",
               i);
    for (int i = BERTH_BLAME_NONE; i <= BERTH_BLAME_CALLER; i++)
        is_int(berth_blame_parse(berth_blame_name(i)), i, "blame %d there and back", i);
}

static void test_buf(void)
{
    cleanup_buf struct buf b = BUF_INIT, u = BUF_INIT;
    char long_text[500];

    memset(long_text, 'x', sizeof(long_text));
    long_text[499] = '\0';
    buf_str(&b, "ab");
    buf_fmt(&b, "%d%s", 12, long_text);
    is_int(b.len, 2 + 2 + 499, "add and format");
    is_int(strlen(b.data), b.len, "ends with a nul");
    buf_drop(&b, 3);
    ok(b.len == 500 && b.data[0] == '2' && !b.data[500], "drop from the front");
    buf_drop(&b, 9999);
    is_int(b.len, 0, "drop more than all");
    is_int(buf_write(&b, "q", 1), 0, "write");
    ok(!buf_room(&b, SIZE_MAX - 4), "no room for nearly everything");
    ok(b.failed, "and the buffer knows");
    is_int(buf_write(&b, "q", 1), -ENOMEM, "writing to a failed buffer fails");
    buf_str(&b, "more");
    is_str(b.data, "q", "a failed buffer keeps what fitted before");
    buf_utf8(&u, "a\xff\xc3\xa4\xe2\x82", 6);
    is_str(u.data, "a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd",
           "U+FFFD for stray bytes");
}

static void test_arena(void)
{
    cleanup_arena struct arena *a = arena_new();
    bool aligned = true, zeroed = true;
    size_t before;

    for (size_t n = 0; n < 3000; n += 7) {
        unsigned char *p = arena_alloc(a, n);

        aligned = aligned && (uintptr_t)p % _Alignof(max_align_t) == 0;
        for (size_t i = 0; i < n; i++)
            zeroed = zeroed && !p[i];
        memset(p, 0xaa, n);
    }
    ok(aligned, "memory is aligned");
    ok(zeroed, "memory is zeroed");
    before = arena_size(a);
    ok(arena_alloc(a, 1 << 20), "a large block");
    ok(arena_size(a) >= before + (1 << 20), "size counts it");
    is_str(arena_str(a, "hello"), "hello", "string");
    ok(!arena_str(a, NULL), "no string");
    is_str(arena_mem(a, "a\0b", 3), "a", "bytes");
    is_str(arena_fmt(a, "%s-%d", "x", 5), "x-5", "format");
    ok(!arena_alloc(a, SIZE_MAX), "everything is refused");
    ok(!arena_mem(a, "", SIZE_MAX), "a copy of everything is refused");
}

static void check_bytes(const char *s, int want_r, uint64_t want)
{
    uint64_t got = 0;

    ok(parse_bytes(s, &got) == want_r && got == want, "bytes '%s'", s);
}

static void check_duration(const char *s, int want_r, int64_t want)
{
    int64_t got = 0;

    ok(parse_duration(s, &got) == want_r && got == want, "duration '%s'", s);
}

static void test_units(void)
{
    static const char *const bad_bytes[] = {"",     "M",   "-1",  " 1",  "1 M",
                                            "1.5",  "1.M", "1iB", "1Mi", "1Mx",
                                            "0x10", "1e3", "M1",  "1MBB"};
    static const char *const bad_durations[] = {"",    "s",    "-1s", "1.5",
                                                "1 s", "1sec", "1.s", "1M"};

    check_bytes("0", 0, 0);
    check_bytes("1048576", 0, 1048576);
    check_bytes("512B", 0, 512);
    check_bytes("512M", 0, 512u << 20);
    check_bytes("512MB", 0, 512u << 20);
    check_bytes("512MiB", 0, 512u << 20);
    check_bytes("1.5G", 0, 3ull << 29);
    check_bytes("2k", 0, 2048);
    check_bytes("1P", 0, 1ull << 50);
    check_bytes("18446744073709551615", 0, UINT64_MAX);
    check_bytes("18446744073709551616", -ERANGE, 0);
    check_bytes("16384P", -ERANGE, 0);
    for (size_t i = 0; i < countof(bad_bytes); i++)
        check_bytes(bad_bytes[i], -EINVAL, 0);
    check_duration("1500", 0, 1500);
    check_duration("1.5s", 0, 1500);
    check_duration("250ms", 0, 250);
    check_duration("10m", 0, 600000);
    check_duration("2h", 0, 7200000);
    check_duration("7d", 0, 604800000);
    check_duration("9223372036854775807", 0, INT64_MAX);
    check_duration("9223372036854775808", -ERANGE, 0);
    check_duration("9999999999999d", -ERANGE, 0);
    for (size_t i = 0; i < countof(bad_durations); i++)
        check_duration(bad_durations[i], -EINVAL, 0);
}

static void test_numbers(void)
{
    static const char *const bad[] = {"",    " 1", "1 ",  "+",   "-",
                                      "--1", "1x", "0x1", "nan", "inf"};
    int64_t i = 0;
    double f = 0;
    bool b = false;

    ok(!parse_int("-9223372036854775808", &i) && i == INT64_MIN, "smallest int");
    ok(!parse_int("9223372036854775807", &i) && i == INT64_MAX, "largest int");
    is_int(parse_int("9223372036854775808", &i), -ERANGE, "one more");
    is_int(parse_int("1.0", &i), -EINVAL, "a float is no int");
    ok(!parse_float("-1.5e3", &f) && f == -1500, "float");
    is_int(parse_float("1e999", &f), -ERANGE, "float too large");
    for (size_t n = 0; n < countof(bad); n++) {
        is_int(parse_int(bad[n], &i), -EINVAL, "int '%s'", bad[n]);
        is_int(parse_float(bad[n], &f), -EINVAL, "float '%s'", bad[n]);
    }
    ok(!parse_bool("Yes", &b) && b, "yes");
    ok(!parse_bool("off", &b) && !b, "off");
    is_int(parse_bool("2", &b), -EINVAL, "2 is no bool");
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        ok(!parse_float("1.5", &f) && f == 1.5, "a point is a point in any locale");
    setlocale(LC_NUMERIC, "C");
}

static const char *bytes_text(uint64_t n)
{
    static char out[16];

    format_bytes(n, out);
    return out;
}

static const char *duration_text(int64_t ms)
{
    static char out[16];

    format_duration(ms, out);
    return out;
}

static void test_formats(void)
{
    is_str(bytes_text(0), "0B", "no bytes");
    is_str(bytes_text(1023), "1023B", "bytes");
    is_str(bytes_text(1024), "1K", "1K");
    is_str(bytes_text(3ull << 29), "1.5G", "1.5G");
    is_str(bytes_text((1u << 20) - 1), "1M", "rounds into the next unit");
    is_str(bytes_text(UINT64_MAX), "16384P", "the most");
    is_str(duration_text(-5), "0ms", "negative");
    is_str(duration_text(999), "999ms", "ms");
    is_str(duration_text(1250), "1.2s", "s");
    is_str(duration_text(185000), "3m05s", "m");
    is_str(duration_text(7500000), "2h05m", "h");
    is_str(duration_text(90000000), "1d01h", "d");
    ok(strlen(duration_text(INT64_MAX)) < 16, "the longest fits");
}

static void test_utf8(void)
{
    static const char *const good[] = {"",
                                       "ascii only, more than eight bytes",
                                       "\xc3\xa4",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80",
                                       "\xf4\x8f\xbf\xbf",
                                       "12345678\xc3\xa4"
                                       "12345678"};
    static const char *const bad[] = {
        "\x80",         "\xc0\x80",         "\xc1\xbf",         "\xe0\x80\x80",
        "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
        "\xc3",         "\xe2\x82",         "\xf0\x9f\x98",     "12345678\xff",
        "\xc3\xc3"};

    for (size_t i = 0; i < countof(good); i++)
        ok(is_utf8(good[i], strlen(good[i])), "good utf-8 %zu", i);
    for (size_t i = 0; i < countof(bad); i++)
        ok(!is_utf8(bad[i], strlen(bad[i])), "bad utf-8 %zu", i);
    is_int(utf8_prefix("abc\xff", 4), 3, "prefix");
    ok(is_utf8("a\0b", 3), "nul is a character");
}

static void test_names(void)
{
    static const char *const keys[] = {"memory", "cpus", "timeout_ms", "image", NULL};
    char name[130];

    memset(name, 'a', sizeof(name));
    ok(is_task_id(name, 128) && !is_task_id(name, 129) && !is_task_id(name, 0),
       "id lengths");
    ok(is_task_id("A.z_9:-", 7) && !is_task_id("a/b", 3) && !is_task_id("a\0b", 3),
       "id characters");
    name[64] = '\0';
    ok(is_name(name), "name of 64");
    name[64] = 'a';
    name[65] = '\0';
    ok(!is_name(name), "name of 65");
    ok(is_name("a.b_c-1") && !is_name("") && !is_name("-a") && !is_name("a b"), "names");
    is_str(nearest_name("memroy", keys), "memory", "swapped letters");
    is_str(nearest_name("cpu", keys), "cpus", "a letter left out");
    is_str(nearest_name("timeout", keys), "timeout_ms", "three left out");
    ok(!nearest_name("zebra", keys), "nothing near");
    ok(!nearest_name("", keys), "nothing near nothing");
    ok(equal_secret("abc", 3, "abc", 3), "equal");
    ok(!equal_secret("abc", 3, "abd", 3) && !equal_secret("abc", 3, "abcd", 4),
       "not equal");
    ok(equal_secret("", 0, "", 0), "nothing equals nothing");
}

static void test_ids(void)
{
    char before[27], now[27], child[27] = "";
    bool rising = true, valid = true;
    int fds[2], status = 0;

    make_ulid(before);
    for (int i = 0; i < 20000; i++) {
        make_ulid(now);
        rising = rising && strcmp(before, now) < 0;
        valid = valid && strspn(now, "0123456789ABCDEFGHJKMNPQRSTVWXYZ") == 26;
        memcpy(before, now, sizeof(now));
    }
    ok(rising, "ulids rise, within a millisecond too");
    ok(valid && now[0] <= '7', "ulids have the right digits");
    ok(pipe(fds) == 0, "pipe");
    if (!fork()) {
        make_ulid(child);
        _exit(write(fds[1], child, 27) != 27);
    }
    make_ulid(now);
    ok(read(fds[0], child, 27) == 27 && wait(&status) > 0 && !status, "a child made one");
    ok(strncmp(child + 10, now + 10, 12),
       "a child does not go on with its parent's numbers");
    close(fds[0]);
    close(fds[1]);
    is_int(strlen(boot_id()), 36, "boot id");
    ok(now_ms() > 0 && unix_ms() > 1600000000000, "clocks");
}

static void test_files(void)
{
    char dir[] = "/tmp/berth-test-XXXXXX", path[100], deep[100], *data = NULL;
    struct stat st;
    size_t len = 0;

    ok(mkdtemp(dir) != NULL, "directory for files");
    snprintf(path, sizeof(path), "%s/f", dir);
    is_int(write_file_atomic(path, "a\0b", 3, 0640), 0, "write");
    is_int(write_file_atomic(path, "a\0bc", 4, 0640), 0, "write over it");
    ok(!stat(path, &st) && (st.st_mode & 0777) == 0640, "mode");
    ok(!read_file(path, 4, &data, &len) && len == 4 && !memcmp(data, "a\0bc", 5),
       "read it back");
    free(data);
    data = NULL;
    is_int(read_file(path, 3, &data, &len), -EFBIG, "too large");
    is_int(read_file(dir, 3, &data, &len), -EISDIR, "a directory");
    ok(!data, "nothing returned");
    ok(!read_file("/proc/self/status", 1 << 20, &data, &len) && len > 100,
       "a file without size");
    free(data);
    is_int(read_file("/proc/self/status", 10, &data, &len), -EFBIG,
           "without size and too large");
    snprintf(deep, sizeof(deep), "%s/a//b/c/", dir);
    is_int(make_dirs(deep, 0700), 0, "mkdir -p");
    is_int(make_dirs(deep, 0700), 0, "twice");
    snprintf(deep, sizeof(deep), "%s/f/x", dir);
    is_int(make_dirs(deep, 0700), -ENOTDIR, "below a file");
    is_int(make_dirs(path, 0700), -ENOTDIR, "where a file is");
    is_int(write_file_atomic(deep, "", 0, 0600), -ENOTDIR, "write below a file");
    unlink(path);
    for (const char *const *p = (const char *const[]){"/a/b/c", "/a/b", "/a", "", NULL}; *p;
         p++) {
        snprintf(deep, sizeof(deep), "%s%s", dir, *p);
        is_int(rmdir(deep), 0, "nothing else was left in '%s'", *p);
    }
}

/* What goes to stderr between the two. */
static int stderr_to_pipe(int fds[2])
{
    int saved = dup(STDERR_FILENO);

    if (pipe(fds) < 0 || dup2(fds[1], STDERR_FILENO) < 0)
        exit(99);
    return saved;
}

static void stderr_back(int saved, int fds[2], char *text, size_t size)
{
    ssize_t n;

    dup2(saved, STDERR_FILENO);
    close(saved);
    close(fds[1]);
    n = read(fds[0], text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    close(fds[0]);
}

static void test_log(void)
{
    char text[8192], name[60];
    char *big = malloc(20000);
    int fds[2], saved = stderr_to_pipe(fds);
    struct stat st;

    memset(big, 'x', 19999);
    big[19999] = '\0';
    log_init("host", BERTH_LOG_INFO);
    log_debug("hidden");
    log_line(BERTH_LOG_WARN, "task-1", "two\nlines %d", 5);
    stderr_back(saved, fds, text, sizeof(text));
    has_str(text, "Z warn  host: task-1: two lines 5\n", "one line");
    ok(!strstr(text, "hidden"), "below the level");

    saved = stderr_to_pipe(fds);
    log_set_level(BERTH_LOG_DEBUG);
    log_debug("%s", big);
    stderr_back(saved, fds, text, sizeof(text));
    ok(strlen(text) < 4096 && text[strlen(text) - 1] == '\n',
       "a long line is cut and ends");

    saved = stderr_to_pipe(fds);
    fstat(STDERR_FILENO, &st);
    snprintf(name, sizeof(name), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", name, 1);
    log_init("host", log_level_parse("info"));
    log_err("broken");
    unsetenv("JOURNAL_STREAM");
    log_init("host", BERTH_LOG_INFO);
    stderr_back(saved, fds, text, sizeof(text));
    is_str(text, "<3>host: broken\n", "as the journal reads it");
    free(big);
}

int main(void)
{
    test_invalid();
    test_fail();
    test_buf();
    test_arena();
    test_units();
    test_numbers();
    test_formats();
    test_utf8();
    test_names();
    test_ids();
    test_files();
    test_log();
    return tap_done();
}
