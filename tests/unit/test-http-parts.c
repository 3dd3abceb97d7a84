/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The parts of the http transport that read foreign text: targets, media types, JSON strings. */
#include <errno.h>

#include <berth/transport.h>

#include "../../plugins/transport-http/http_buf.h"
#include "../../plugins/transport-http/http_media.h"
#include "../../plugins/transport-http/http_target.h"
#include "../tap.h"

static struct http_target target;

static int parse(const char *raw)
{
    return http_target_set(&target, raw) < 0 ? -ENOMEM : http_target_parse(&target, NULL);
}

static void test_broken_targets(void)
{
    static const char *const broken[] = {
        "/%", "/%2", "/%zz", "/a%00", "/?a=%", "/?%=1", "/?a&a", "/?a=1&b=2&a=3", "/?%00"};
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
        is_int(parse(broken[i]), -EINVAL, "'%s' is refused", broken[i]);
    is_int(parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m"), -EINVAL, "and so are too many parameters");
    static const char *const odd[] = {"",
                                      "*",
                                      "?",
                                      "/",
                                      "//",
                                      "//?",
                                      "/?&&&",
                                      "http:///",
                                      "HTTP://h",
                                      "https://h?x",
                                      "/////////////////",
                                      "/?=",
                                      "/a?b?c=d"};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        is_int(parse(odd[i]), 0, "'%s' is odd, and no harm", odd[i]);
}

static void test_targets(void)
{
    const char *id = "";
    is_int(parse("/v1/tasks/a%3Ab/logs?x=%41+b&empty=&none"), 0, "a target");
    is_str(target.path, "/v1/tasks/a%3Ab/logs", "its path, as it came");
    is_str(http_target_param(&target, "x"), "A b", "a parameter, decoded");
    is_str(http_target_param(&target, "empty"), "", "an empty one");
    is_str(http_target_param(&target, "none"), "", "one without '='");
    ok(!http_target_param(&target, "y"), "one that is not there");
    ok(http_target_matches(&target, "/v1/tasks/{id}/logs", &id), "matches its pattern");
    is_str(id, "a:b", "and gives the part in braces, decoded");
    ok(!http_target_matches(&target, "/v1/tasks/{id}", &id), "not a shorter one");
    ok(!http_target_matches(&target, "/v1/tasks/{id}/logs/x", &id), "nor a longer one");
    ok(!http_target_matches(&target, "/v1/tasks/{id}/log", &id), "nor a prefix");
    parse("/v1/tasks//logs");
    ok(!http_target_matches(&target, "/v1/tasks/{id}/logs", &id),
       "an empty id matches nothing");
    parse("http://host:1/v1/stats?a=b");
    ok(http_target_matches(&target, "/v1/stats", &id), "an absolute target");
    is_str(target.path, "/v1/stats", "is its path");
    parse("/a%2Fb");
    ok(!http_target_matches(&target, "/a/b", &id), "an escaped slash parts nothing");
    ok(http_target_matches(&target, "/{x}", &id), "it belongs to its part");
}

static void test_nearest(void)
{
    static const char *const names[] = {"state", "limit", "cursor", NULL};
    is_str(http_target_nearest("limti", names), "limit", "limti is near limit");
    is_str(http_target_nearest("Cursor", names), "cursor", "Cursor is near cursor");
    ok(!http_target_nearest("offset", names), "offset is near nothing");
    ok(!http_target_nearest("", names), "nothing is near nothing");
    ok(!http_target_nearest("x", NULL), "no names, none near");
    ok(!http_target_nearest("a-name-that-is-much-longer-than-any", names),
       "nor is a long one");
}

static void test_numbers(void)
{
    unsigned long long n = 7;
    long long ms = 7;
    static const char *const bad[] = {"",    "-1", "+1",  " 1", "1 ",
                                      "0x1", "1.", "1e3", "nan"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        is_int(http_target_number(bad[i], 100, &n), -EINVAL, "number '%s'", bad[i]);
        is_int(http_target_seconds(bad[i], 100000, &ms), -EINVAL, "seconds '%s'", bad[i]);
    }
    is_int(http_target_number("101", 100, &n), -ERANGE, "a number above its limit");
    is_int(http_target_number("18446744073709551616", ~0ULL, &n), -ERANGE, "or above all");
    is_int(http_target_seconds("101", 100000, &ms), -ERANGE, "seconds above the limit");
    is_int(http_target_seconds("100.001", 100000, &ms), -ERANGE, "by a thousandth");
    is_int(http_target_seconds(".5", 100000, &ms), -EINVAL, "seconds begin with a digit");
    ok(n == 7 && ms == 7, "failure changes nothing");
    ok(!http_target_number("100", 100, &n) && n == 100, "100");
    ok(!http_target_seconds("100", 100000, &ms) && ms == 100000, "100 s");
    ok(!http_target_seconds("0.05", 100000, &ms) && ms == 50, "50 ms");
    ok(!http_target_seconds("1.234", 100000, &ms) && ms == 1234, "1234 ms");
}

static void test_media(void)
{
    static const char *const nonsense[] = {
        "", ";", "/", "json", "application/jsonx", "application/json/", "applicationjson"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        is_int(http_media_format(nonsense[i]), -EINVAL, "'%s' is no format", nonsense[i]);
    is_int(http_media_format("APPLICATION/JSON;charset=x"), BERTH_FORMAT_JSON, "JSON");
    is_int(http_media_format("application/vnd.msgpack"), BERTH_FORMAT_MSGPACK, "msgpack");
    is_int(http_media_accept(NULL, 0), BERTH_FORMAT_JSON, "no Accept");
    static const char *const bad[] = {
        "application/json;",    "application/json ; q=", ";q=1",
        "application/json;q=2", "text/*;q=1,",           "*/*;q=0.000"};
    static const int formats[] = {BERTH_FORMAT_JSON, BERTH_FORMAT_JSON, -ENOENT,
                                  -ENOENT,           -ENOENT,           -ENOENT};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        is_int(http_media_accept(&bad[i], 1), formats[i], "Accept: %s", bad[i]);
}

static void test_json(void)
{
    static const char *const rows[][2] = {
        {"", "\"\""},
        {"a\"b\\c/", "\"a\\\"b\\\\c/\""},
        {"\x01\n\x7f", "\"\\u0001\\u000a\\u007f\""},
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2",
         "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x9a\xa2\""},
        {"\xff", "\"\xef\xbf\xbd\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
        {"x\xe2\x82", "\"x\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xf5\x80\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        HTTP_BUF_AUTO buf = {0};
        http_buf_json(&buf, rows[i][0]);
        http_buf_add(&buf, "", 1);
        is_str(buf.data, rows[i][1], "JSON string %zu", i);
    }
    HTTP_BUF_AUTO big = {0};
    is_int(http_buf_add(&big, "x", (size_t)-1), -ENOMEM, "more than there can be");
    is_int(big.len, 0, "adds nothing");
}

int main(void)
{
    test_broken_targets();
    test_targets();
    test_nearest();
    test_numbers();
    test_media();
    test_json();
    http_target_fini(&target);
    return tap_done();
}
