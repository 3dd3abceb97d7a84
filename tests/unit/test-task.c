/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The schema of tasks: what it takes, what it says about each wrong key, and no loss. */
#include <errno.h>

#include "../tap.h"
#include "base/fail.h"
#include "codec/task.h"
#include <berth/task.h>
#include <berth/transport.h>

static int decode(struct arena *a, const char *json, struct task *t,
                  struct berth_error *err)
{
    memset(err, 0, sizeof *err);
    return task_decode(a, json, strlen(json), BERTH_FORMAT_JSON, 8 << 20, t, err);
}

/* ---- wrong ---- */

#define X "\"executer\":\"e\","
#define FILE_IN(keys) \
    "{" X "\"files\":{\"in\":[{\"path\":\"ok\",\"data\":\"\"},{" keys "}]}}"
#define FILE_OUT(keys) "{" X "\"files\":{\"out\":[{" keys "}]}}"
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

static const struct {
    const char *json, *says;
} wrong[] = {
    {"[]", "a task must be a map, not a list"},
    {"5", "a task must be a map, not an integer"},
    {"null", "a task must be a map, not nil"},
    {"{}", "key 'executer' is missing"},
    {"{" X "\"executor\":1}", "key 'executor': unknown key; did you mean 'executer'?"},
    {"{" X "\"zzz\":1}", "key 'zzz': unknown key"},
    {"{" X "\"a\\nb\":1}", "key 'a b': unknown key"},
    {"{" X "\"v\":2}", "key 'v': this berth knows version 1, not 2"},
    {"{" X "\"v\":\"1\"}", "key 'v': must be the integer 1, not a string"},
    {"{" X "\"v\":1.0}", "key 'v': must be the integer 1, not a float"},
    {"{" X "\"id\":\"\"}", "key 'id': must be 1 to 128 of"},
    {"{" X "\"id\":\"a/b\"}", "key 'id': must be 1 to 128 of"},
    {"{" X "\"id\":5}", "key 'id': must be a string, not an integer"},
    {"{\"executer\":\"\"}", "key 'executer': '' is no name"},
    {"{\"executer\":\"../x\"}", "is no name"},
    {"{" X "\"tenant\":\"a b\"}", "key 'tenant': 'a b' is no name"},
    {"{" X "\"runtime\":\"r\"}", "key 'runtime': not together with 'executer'"},
    {"{" X "\"image\":\"r\"}", "key 'image': not together with 'executer'"},
    {"{" X "\"command\":[\"r\"]}", "key 'command': not together with 'executer'"},
    {"{\"command\":[\"r\"]}", "key 'runtime' is missing"},
    {"{\"runtime\":\"r\"}", "needs 'image' or 'command'"},
    {"{\"runtime\":\"r\",\"command\":[]}",
     "key 'command': must begin with the program's name"},
    {"{\"runtime\":\"r\",\"command\":[\"\"]}", "must begin with the program's name"},
    {"{\"runtime\":\"r\",\"image\":\"\"}", "key 'image': must not be empty"},
    {"{" X "\"args\":\"a\"}", "key 'args': must be a list of strings, not a string"},
    {"{" X "\"args\":[\"a\",1]}", "key 'args[1]': must be a string, not an integer"},
    {"{" X "\"args\":[null]}", "key 'args[0]': must be a string, not nil"},
    {"{" X "\"env\":[]}", "key 'env': must be a map of strings, not a list"},
    {"{" X "\"env\":{\"A\":1}}", "key 'env.A': must be a string, not an integer"},
    {"{" X "\"env\":{\"A B\":\"\"}}", "'A B' is no name of a variable"},
    {"{" X "\"env\":{\"A=B\":\"\"}}", "'A=B' is no name"},
    {"{" X "\"env\":{\"\":\"\"}}", "'' is no name"},
    {"{" X "\"env\":{\"1A\":\"\"}}", "'1A' is no name"},
    {"{" X "\"env\":{\"\\u00e4\":\"\"}}", "is no name"},
    {"{" X "\"input\":5}", "key 'input': must be a string or binary data, not an integer"},
    {"{" X "\"input\":\"\",\"input_b64\":\"\"}", "exclude each other"},
    {"{" X "\"input_b64\":\"@@\"}", "key 'input_b64': is no base64"},
    {"{" X "\"input_b64\":5}", "must be a string"},
    {"{" X "\"resources\":[]}", "key 'resources': must be a map, not a list"},
    {"{" X "\"resources\":{\"memroy\":1}}",
     "key 'resources.memroy': unknown key; did you mean 'memory'?"},
    {"{" X "\"resources\":{\"memory\":\"much\"}}",
     "key 'resources.memory': 'much' is no size"},
    {"{" X "\"resources\":{\"memory\":[]}}", "or a string like \"512M\", not a list"},
    {"{" X "\"resources\":{\"memory\":1.5}}",
     "key 'resources.memory': must be a number of bytes"},
    {"{" X "\"resources\":{\"memory\":0}}", "key 'resources.memory': must be 1 to"},
    {"{" X "\"resources\":{\"memory\":-1}}", "must be 1 to"},
    {"{" X "\"resources\":{\"memory\":18446744073709551615}}", "integer"},
    {"{" X "\"resources\":{\"cpus\":0}}", "key 'resources.cpus': must be 0.001 to 65536"},
    {"{" X "\"resources\":{\"cpus\":\"1\"}}", "must be a number, not a string"},
    {"{" X "\"resources\":{\"cpus\":1e300}}", "must be 0.001 to 65536"},
    {"{" X "\"resources\":{\"gpus\":-1}}",
     "key 'resources.gpus': must be 0 to 1024, not -1"},
    {"{" X "\"resources\":{\"gpus\":0.5}}", "must be an integer, not a float"},
    {"{" X "\"resources\":{\"pids\":0}}", "must be 1 to 4194304, not 0"},
    {"{" X "\"timeout_ms\":0}", "key 'timeout_ms': must be 1 to"},
    {"{" X "\"timeout_ms\":9223372036854775807}", "key 'timeout_ms': must be 1 to"},
    {"{" X "\"timeout_ms\":\"1s\"}", "must be an integer, not a string"},
    {"{" X "\"timeout\":1}", "did you mean 'timeout_ms'?"},
    {"{" X "\"deadline_ms\":-5}", "key 'deadline_ms': must be 1 to"},
    {"{" X "\"retries\":101}", "key 'retries': must be 0 to 100, not 101"},
    {"{" X "\"priority\":-101}", "key 'priority': must be -100 to 100, not -101"},
    {"{" X "\"priority\":true}", "must be an integer, not a boolean"},
    {"{" X "\"labels\":{\"a\":1}}", "key 'labels.a': must be a string, not an integer"},
    {"{" X "\"labels\":\"a\"}", "key 'labels': must be a map of strings"},
    {"{" X "\"network\":\"hots\"}",
     "key 'network': 'hots' is not known; did you mean 'host'?"},
    {"{" X "\"network\":\"x\"}", "known are none host private"},
    {"{" X "\"network\":true}", "must be a string"},
    {"{" X "\"require\":[\"memori\"]}",
     "key 'require': 'memori' is not known; did you mean 'memory'?"},
    {"{" X "\"require\":\"memory\"}", "must be a list of strings"},
    {"{" X "\"trace\":\"\"}", "key 'trace': is no W3C traceparent"},
    {"{" X "\"trace\":\"00-" TRACE "-0\"}", "is no W3C"},
    {"{" X "\"trace\":\"00-" TRACE "-01-x\"}", "is no W3C"},
    {"{" X "\"trace\":\"ff-" TRACE "-01\"}", "is no W3C"},
    {"{" X "\"trace\":\"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\"}",
     "is no W3C"},
    {"{" X "\"trace\":\"00-00000000000000000000000000000000-00f067aa0ba902b7-01\"}",
     "is no W3C"},
    {"{" X "\"trace\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01\"}",
     "is no W3C"},
    {"{" X "\"files\":[]}", "key 'files': must be a map, not a list"},
    {"{" X "\"files\":{\"inn\":[]}}", "key 'files.inn': unknown key; did you mean 'in'?"},
    {"{" X "\"files\":{\"in\":{}}}", "key 'files.in': must be a list of maps, not a map"},
    {"{" X "\"files\":{\"in\":[5]}}", "key 'files.in[0]': must be a map, not an integer"},
    {FILE_IN("\"data\":\"\""), "key 'files.in[1]': 'path' is missing"},
    {FILE_IN("\"path\":\"a\""), "key 'files.in[1]': exactly one of"},
    {FILE_IN("\"path\":\"a\",\"data\":\"\",\"from\":\"/x\""), "exactly one of"},
    {FILE_IN("\"path\":\"a\",\"data\":\"\",\"data_b64\":\"\""), "exclude each other"},
    {FILE_IN("\"path\":\"a\",\"data_b64\":\"!\""),
     "key 'files.in[1].data_b64': is no base64"},
    {FILE_IN("\"path\":\"ok\",\"data\":\"\""), "path 'ok' is given twice"},
    {FILE_IN("\"path\":\"/a\",\"data\":\"\""),
     "key 'files.in[1].path': '/a' must be relative"},
    {FILE_IN("\"path\":\"../a\",\"data\":\"\""), "must not hold"},
    {FILE_IN("\"path\":\"a/../../b\",\"data\":\"\""), "must not hold"},
    {FILE_IN("\"path\":\"a/..\",\"data\":\"\""), "must not hold"},
    {FILE_IN("\"path\":\"a//b\",\"data\":\"\""), "must not hold"},
    {FILE_IN("\"path\":\"./b\",\"data\":\"\""), "must not hold"},
    {FILE_IN("\"path\":\"b/\",\"data\":\"\""), "must not hold"},
    {FILE_IN("\"path\":\"\",\"data\":\"\""), "must not be empty"},
    {FILE_IN("\"path\":\"a\",\"from\":\"x\""),
     "must be an absolute path or an http(s) URL"},
    {FILE_IN("\"path\":\"a\",\"from\":\"file:///x\""), "must be an absolute path"},
    {FILE_IN("\"path\":\"a\",\"from\":\"/x/../y\""), "must not hold"},
    {FILE_IN("\"path\":\"a\",\"from\":\"/x/#/..\""), "must not hold"},
    {FILE_IN("\"path\":\"a\",\"from\":\"/x/.\""), "must not hold"},
    {FILE_IN("\"path\":\"a\",\"from\":\"http://h/a/../b\""), "must not hold"},
    {FILE_IN("\"path\":\"a\",\"from\":\"http://h/a/%2e%2E/b\""), "must not hold"},
    {FILE_IN("\"path\":\"a\",\"from\":\"http://h/a/..%2fb\""), "must not hold"},
    {FILE_IN("\"path\":\"a\",\"from\":\"http://h/a/..?x\""), "must not hold"},
    {FILE_IN("\"path\":\"a\",\"from\":\"http://h/a b\""), "must not hold spaces"},
    {FILE_IN("\"path\":\"a\",\"from\":\"http://h\\\\@x/\""), "must not hold spaces"},
    {FILE_IN("\"path\":\"a\",\"data\":\"\",\"mode\":2048"), "must be 0 to 511"},
    {FILE_IN("\"path\":\"a\",\"data\":\"\",\"mode\":\"4755\""), "must be 0 to 511"},
    {FILE_IN("\"path\":\"a\",\"data\":\"\",\"mode\":\"9\""), "must be octal"},
    {FILE_IN("\"path\":\"a\",\"data\":\"\",\"mode\":null"), "not nil"},
    {FILE_OUT("\"to\":\"/x\""), "key 'files.out[0]': 'path' is missing"},
    {FILE_OUT("\"path\":\"a*/b\""), "only the part after the last '/' may be a pattern"},
    {FILE_OUT("\"path\":\"a\",\"optional\":1"), "must be true or false, not an integer"},
    {FILE_OUT("\"path\":\"a\",\"data\":1"), "key 'files.out[0].data': unknown key"},
    {FILE_OUT("\"path\":\"a\",\"to\":\"b\""), "must be an absolute path or an http(s) URL"},
};

static void test_wrong(void)
{
    struct berth_error err;
    struct task t;

    for (size_t i = 0; i < countof(wrong); i++) {
        struct arena *a = arena_new();
        is_int(decode(a, wrong[i].json, &t, &err), -EINVAL, "%s", wrong[i].json);
        has_str(err.text, wrong[i].says, "says why");
        is_str(t.id, "", "no id was readable");
        arena_free(a);
    }
}

static void test_refused_id(void)
{
    static const char *const tasks[] = {"{\"id\":\"t1\",\"executer\":\"e\",\"zzz\":1}",
                                        "{\"zzz\":1,\"id\":\"t1\"}", "{\"id\":\"t1\"}",
                                        "{\"v\":9,\"id\":\"t1\",\"executer\":\"e\"}"};
    struct berth_error err;
    struct task t;

    for (size_t i = 0; i < countof(tasks); i++) {
        struct arena *a = arena_new();
        is_int(decode(a, tasks[i], &t, &err), -EINVAL, "%s", tasks[i]);
        is_str(t.id, "t1", "a refused task keeps its id");
        ok(!t.args[0] && !t.env[0] && !t.files_in_count, "and nothing else");
        arena_free(a);
    }
}

static void test_arguments(void)
{
    struct arena *a = arena_new();
    struct berth_error err = {0};
    struct task t;

    is_int(task_decode(a, "{}", 2, 7, 100, &t, &err), -EINVAL, "an unknown format");
    is_str(t.id, "", "the id is set in any case");
    is_int(task_decode(a, "", 0, BERTH_FORMAT_JSON, 100, &t, &err), -EINVAL,
           "nothing at all");
    is_int(task_decode(a, NULL, 0, BERTH_FORMAT_MSGPACK, 100, &t, &err), -EINVAL,
           "no bytes");
    is_int(task_decode(a, "{\"executer\":\"e\"}", 16, BERTH_FORMAT_JSON, 8, &t, &err),
           -E2BIG, "more than max_bytes");
    ok(task_decode(a, "{}", 2, BERTH_FORMAT_JSON, 100, &t, NULL) == -EINVAL,
       "err may be NULL");
    ok(!is_env_name("", 0) && is_env_name("_", 1) && !is_env_name("a-b", 3) &&
           is_env_name("a-b", 1),
       "names of variables");
    arena_free(a);
}

static void test_large(void)
{
    struct buf b = BUF_INIT;
    struct arena *a = arena_new();
    struct berth_error err = {0};
    struct task t;

    buf_str(&b, "{" X "\"args\":[\"");
    for (int i = 0; i < 131072; i++)
        buf_add(&b, "x", 1);
    buf_str(&b, "\"]}");
    is_int(task_decode(a, b.data, b.len, BERTH_FORMAT_JSON, 8 << 20, &t, &err), -E2BIG,
           "an argument that the kernel would not take");
    has_str(err.text, "key 'args[0]': 131072 bytes", "is told");
    buf_free(&b);
    buf_str(&b, "{" X "\"args\":[\"\"");
    for (int i = 0; i < 300000; i++)
        buf_str(&b, ",\"xyz\"");
    buf_str(&b, "]}");
    is_int(task_decode(a, b.data, b.len, BERTH_FORMAT_JSON, 8 << 20, &t, &err), -E2BIG,
           "arguments that are too much together");
    has_str(err.text, "send more as input", "with a way out");
    buf_free(&b);
    arena_free(a);
}

/* ---- right ---- */

static void test_fields(void)
{
    struct arena *a = arena_new();
    struct berth_error err;
    struct task t;

    is_int(decode(a, "{\"executer\":\"e\"}", &t, &err), 0, "the least: %s", err.text);
    ok(t.id_made && strlen(t.id) == 26, "an id is made");
    ok(t.retries == -1 && t.network == TASK_NETWORK_UNSET && t.resources.cpus == -1 &&
           !t.input && t.labels.type == VALUE_NIL && !*t.trace && !*t.tenant,
       "nothing is said");
    is_int(decode(a,
                  "{\"v\":1,\"id\":\"a.b_c:d-1\",\"runtime\":\"process\",\"image\":\"i\","
                  "\"command\":[\"/x\""
                  ",\"\"],\"args\":[\"1\"],\"env\":{\"A\":\"=\"},\"input_b64\":\"AAH/"
                  "\",\"resources\":{"
                  "\"cpus\":0.5,\"memory\":\"512M\",\"disk\":\"1G\",\"pids\":5,\"gpus\":0},"
                  "\"network\":"
                  "\"private\",\"require\":[\"memory\"],\"files\":{\"in\":[{\"path\":\"d/"
                  "f\",\"data_b64\":"
                  "\"AA==\",\"mode\":\"755\"}],\"out\":[{\"path\":\"d/"
                  "*.txt\",\"optional\":true}]}}",
                  &t, &err),
           0, "a full one: %s", err.text);
    is_str(t.id, "a.b_c:d-1", "id");
    ok(!t.id_made, "is the sender's");
    is_str(t.env[0], "A==", "env");
    ok(t.input_len == 3 && !memcmp(t.input, "\0\1\377", 3) && !t.input_is_str,
       "base64 input");
    ok(t.resources.memory_bytes == 512 << 20 && t.resources.disk_bytes == 1 << 30 &&
           t.resources.gpus == 0,
       "sizes with units");
    is_int(t.network, BERTH_NETWORK_PRIVATE, "network");
    ok(t.files_in[0].mode == 0755 && t.files_in[0].len == 1 && t.files_out[0].optional,
       "files");
    is_int(decode(a, "{" X "\"trace\":\"cc-" TRACE "-01-later\"}", &t, &err), 0,
           "a later traceparent");
    arena_free(a);
}

static const char *const same[] = {
    "{\"v\":1,\"id\":\"i\",\"executer\":\"e\"}",
    "{\"v\":1,\"id\":\"i\",\"executer\":\"e\",\"input\":\"\"}",
    "{\"v\":1,\"id\":\"i\",\"executer\":\"e\",\"input_b64\":\"\"}",
    "{\"v\":1,\"id\":\"i\",\"executer\":\"e\",\"labels\":{}}",
    "{\"v\":1,\"id\":\"i\",\"executer\":\"e\",\"resources\":{\"gpus\":0}}",
    "{\"v\":1,\"id\":\"i\",\"executer\":\"e\",\"retries\":0}",
    "{\"v\":1,\"id\":\"i\",\"executer\":\"e\",\"network\":\"none\"}",
    "{\"v\":1,\"id\":\"i\",\"runtime\":\"r\",\"image\":\"im\",\"command\":[\"a\",\"\","
    "\"\xc3\xa4\"],\"args\":"
    "[\"x\"],\"env\":{\"A\":\"1\",\"_b\":\"=\"},\"input_b64\":\"AAH/"
    "\",\"files\":{\"in\":[{\"path\":\"a\","
    "\"data\":\"text\"},{\"path\":\"b\",\"data_b64\":\"/"
    "w==\",\"mode\":493},{\"path\":\"c\",\"from\":"
    "\"https://h/x\"}],\"out\":[{\"path\":\"o/*\",\"to\":\"/x/"
    "\",\"optional\":true},{\"path\":\"p\"}]},"
    "\"resources\":{\"cpus\":1.5,\"memory\":34359738368,\"disk\":1,\"pids\":7,\"gpus\":2},"
    "\"timeout_ms\":5,"
    "\"deadline_ms\":1700000000000,\"retries\":3,\"priority\":-100,\"tenant\":\"t\","
    "\"labels\":{\"k\":"
    "\"v\"},\"network\":\"host\",\"require\":[\"memory\",\"gpus\"],\"trace\":\"00-" TRACE
    "-01\"}",
};

static void test_identity(void)
{
    for (size_t i = 0; i < countof(same); i++) {
        struct arena *a = arena_new();
        struct berth_error err = {0};
        struct buf packed = BUF_INIT, json = BUF_INIT;
        struct task t, u;
        struct value v;

        is_int(decode(a, same[i], &t, &err), 0, "JSON is read: %s", err.text);
        is_int(task_encode(&t, &packed), 0, "and packed");
        is_int(task_decode(a, packed.data, packed.len, BERTH_FORMAT_MSGPACK, 8 << 20, &u,
                           &err),
               0, "and unpacked: %s", err.text);
        v = task_to_value(a, &u);
        is_int(value_to_json(&v, &json, false), 0, "and written");
        is_str(json.data, same[i], "JSON, task, msgpack, task, JSON: the same");
        buf_free(&packed);
        buf_free(&json);
        arena_free(a);
    }
}

/* A made id is kept, or a task read back from the store would be another one. */
static void test_made_id(void)
{
    struct arena *a = arena_new();
    struct berth_error err;
    struct buf packed = BUF_INIT;
    struct task t, u;

    decode(a, "{\"executer\":\"e\"}", &t, &err);
    task_encode(&t, &packed);
    is_int(task_decode(a, packed.data, packed.len, BERTH_FORMAT_MSGPACK, 100, &u, &err), 0,
           "read back");
    is_str(u.id, t.id, "with its id");
    buf_free(&packed);
    arena_free(a);
}

/* A packed task cut anywhere, or with any byte changed, is a task or an error. */
static void test_damaged(void)
{
    struct arena *a = arena_new();
    struct berth_error err;
    struct buf packed = BUF_INIT;
    struct task t;
    int mute = 0;

    decode(a, same[countof(same) - 1], &t, &err);
    task_encode(&t, &packed);
    for (size_t i = 0; i < packed.len; i++) {
        struct arena *b = arena_new();
        char was = packed.data[i];

        memset(&err, 0, sizeof err);
        if (task_decode(b, packed.data, i, BERTH_FORMAT_MSGPACK, 8 << 20, &t, &err) >= 0 ||
            !*err.text)
            mute++;
        for (int flip = 1; flip < 256; flip <<= 1) {
            packed.data[i] = (char)(was ^ flip);
            memset(&err, 0, sizeof err);
            if (task_decode(b, packed.data, packed.len, BERTH_FORMAT_MSGPACK, 8 << 20, &t,
                            &err) < 0 &&
                !*err.text)
                mute++;
        }
        packed.data[i] = was;
        arena_free(b);
    }
    is_int(mute, 0, "%zu bytes: each cut and each flipped bit is told or harmless",
           packed.len);
    buf_free(&packed);
    arena_free(a);
}

int main(void)
{
    test_arguments();
    test_wrong();
    test_refused_id();
    test_large();
    test_fields();
    test_identity();
    test_made_id();
    test_damaged();
    return tap_done();
}
