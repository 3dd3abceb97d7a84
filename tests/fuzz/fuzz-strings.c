/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Short texts, one per line: sizes, durations, numbers, names, base64, UTF-8. */
#include "fuzz/fuzz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "codec/task.h"
#include "plugin/option.h"
#include "priv/priv.h"

static void numbers(const char *s)
{
    char plain[32], shown[16];
    uint64_t bytes, again;
    int64_t n;
    double f;
    bool b;
    if (parse_bytes(s, &bytes) == 0) {
        snprintf(plain, sizeof plain, "%" PRIu64, bytes);
        fuzz_check(parse_bytes(plain, &again) == 0 && again == bytes);
        format_bytes(bytes, shown);
        /* rounded, so right to 5 % and a little; the very largest are rounded up to 2^64 */
        if (bytes >> 54 != (1 << 10) - 1) {
            fuzz_check(parse_bytes(shown, &again) == 0);
            fuzz_check(again / 16 * 15 <= bytes && bytes / 16 * 15 <= again);
        }
    }
    if (parse_duration(s, &n) == 0) {
        fuzz_check(n >= 0);
        snprintf(plain, sizeof plain, "%" PRId64 "ms", n);
        int64_t same = -1;
        fuzz_check(parse_duration(plain, &same) == 0 && same == n);
        format_duration(n, shown);
        fuzz_check(memchr(shown, '\0', sizeof shown));
    }
    if (parse_int(s, &n) == 0)
        fuzz_check(n == strtoll(s, NULL, 10));
    if (parse_float(s, &f) == 0)
        fuzz_check(f == strtod(s, NULL) && f - f == 0);
    if (parse_bool(s, &b) == 0)
        fuzz_check(parse_bool(b ? "on" : "off", &b) == 0);
}

static void options(const char *s)
{
    for (uint32_t type = 0; option_type_name(type) || type < 2; type++) {
        struct berth_option o = {.name = "o", .type = type};
        int64_t i = 0;
        double f = 0;
        if (!option_type_name(type))
            continue;
        fuzz_check(*option_type_words(type));
        if (option_parse(&o, s, &i, &f) == 0 && type == BERTH_OPTION_SIZE)
            fuzz_check(i >= 0);
    }
}

static void names(const char *s, size_t len)
{
    static const char *const known[] = {"memory", "cpus",      "pids",
                                        "disk",   "read_only", NULL};
    const char *list[] = {s, NULL};
    struct berth_error err = {0};
    char text[256], id[27];
    capset set = 0;
    bool good = is_task_id(s, len);
    fuzz_check(!good || (len && len <= 128 && is_utf8(s, len) && !strpbrk(s, "/ \n")));
    fuzz_check(!is_name(s) || is_task_id(s, len));
    is_env_name(s, len);
    const char *near = nearest_name(s, known);
    fuzz_check(!near || *near);
    if (len < 24 && len == strspn(s, "abcdefghijklmnopqrstuvwxyz_")) /* it is slow */
        fuzz_check_error(capset_parse(list, &set, &err), &err);
    capset_format(set, text, sizeof text);
    make_ulid(id);
    fuzz_check(is_task_id(id, 26) && !id[26]);
    fuzz_check(equal_secret(s, len, s, len) && !equal_secret(s, len, s, len + 1));
}

static bool is_printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 0x7f)
            return false;
    return true;
}

static void utf8(const char *s, size_t len)
{
    cleanup_buf struct buf out = BUF_INIT;
    size_t good = utf8_prefix(s, len);
    fuzz_check(good <= len && is_utf8(s, good) && is_utf8(s, len) == (good == len));
    buf_utf8(&out, s, len);
    fuzz_check(!out.len || is_utf8(out.data, out.len));
    fuzz_check(good < len || out.len == len);
    for (size_t max = 0; max < 70; max += 23) {
        char *copy = strndup(s, len);
        clean_text(copy, max);
        fuzz_check(strlen(copy) <= max && is_utf8(copy, strlen(copy)));
        fuzz_check(is_printable(copy));
        free(copy);
    }
}

static void base64(const char *s, size_t len)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf text = BUF_INIT, again = BUF_INIT;
    char *data;
    size_t n;
    base64_encode(&text, s, len);
    fuzz_check(base64_decode(a, text.len ? text.data : "", text.len, &data, &n) == 0);
    fuzz_check(n == len && !memcmp(data, s, len));
    if (base64_decode(a, s, len, &data, &n) == 0) {
        base64_encode(&again, data, n);
        fuzz_check(again.len == len && (!len || !memcmp(again.data, s, len)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_lines in = {(const char *)data, (const char *)data + size};
    for (char *line; (line = fuzz_line(&in)); free(line)) {
        size_t len = strlen(line);
        numbers(line);
        options(line);
        names(line, len);
        utf8(line, len);
        base64(line, len);
    }
    utf8((const char *)data, size);
    base64((const char *)data, size);
    return 0;
}
