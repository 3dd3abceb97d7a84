/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The http transport: every route with both formats, the way of a task, every error. */
#include <errno.h>

#include "../../tap.h"
#include "client.h"

static struct fake host;
static struct answer got;

static const struct fake_option options[] = {
    {"listen", "127.0.0.1:0"}, {"max_body", "64K"}, {"max_buffered", "256K"}, {NULL, NULL}};

static void ask(const char *method, const char *target, const char *headers,
                const char *body)
{
    client_ask(&host, &got, method, target, headers, body);
}

#define JSON "Content-Type: application/json\r\n"
#define MSGPACK_OUT "Accept: application/msgpack\r\n"

/* ---- the OpenAPI file, as text ---- */

static char openapi[1 << 20];

/* Every type of problem that is met must be one of those that the file lists. */
static void check_listed(void)
{
    char type[128];
    const char *found = strstr(got.body, "\"urn:berth:problem:");
    ok(found && sscanf(found, "%127[^,]", type) == 1 && strstr(openapi, type),
       "  of a type that doc/openapi.json lists");
}

static void read_openapi(void)
{
    char path[4096];
    const char *source = getenv("BERTH_SRCDIR");
    snprintf(path, sizeof(path), "%s/doc/openapi.json", source ? source : ".");
    FILE *file = fopen(path, "re");
    if (!ok(file, "doc/openapi.json is there"))
        return;
    ok(fread(openapi, 1, sizeof(openapi) - 1, file) > 0, "and not empty");
    fclose(file);
}

/* ---- questions ---- */

static void test_questions(void)
{
    static const struct {
        const char *target, *query;
    } rows[] = {
        {"/v1/tasks", "tasks id=- state=- tenant=- executer=- cursor=- limit=0"},
        {"/v1/tasks?state=done&tenant=a%20b&executer=x+y&limit=7&cursor=c%2f1",
         "tasks id=- state=done tenant=a b executer=x y cursor=c/1 limit=7"},
        {"/v1/tasks/t:1", "task id=t:1 "},
        {"/v1/tasks/t%2D1", "task id=t-1 "},
        {"/v1/tasks/t-1/result", "result id=t-1 "},
        {"/v1/executers", "executers id=- "},
        {"/v1/executers/a%2Fb/explain", "explain id=a/b "},
        {"/v1/runtimes", "runtimes id=- "},
        {"/v1/stats", "stats id=- "},
        {"/stats", "stats id=- "},
        {"/healthz", "health id=- "},
        {"/readyz", "ready id=- "},
        {"http://localhost/v1/stats", "stats id=- "},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ask("GET", rows[i].target, "", NULL);
        is_int(got.status, 200, "GET %s", rows[i].target);
        ok(!strncmp(host.query, rows[i].query, strlen(rows[i].query)), "  asks '%s'",
           host.query);
        is_str(answer_field(&got, "Content-Type"), "application/json", "  answers JSON");
        has_str(got.body, "{\"what\":\"", "  with the host's answer");
        ask("GET", rows[i].target, MSGPACK_OUT, NULL);
        is_str(answer_field(&got, "Content-Type"), "application/msgpack", "  or msgpack");
        ok(got.len > 6 && !memcmp(got.body, "\x81\xa4what", 6), "  with the host's answer");
        ask("HEAD", rows[i].target, "", NULL);
        is_int(got.status, 200, "  HEAD too");
        ok(!got.len && atoi(answer_field(&got, "Content-Length")) > 0, "  without a body");
    }
}

static void test_metrics(void)
{
    ask("GET", "/metrics", "Accept: application/openmetrics-text\r\n", NULL);
    is_int(got.status, 200, "GET /metrics");
    is_str(answer_field(&got, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8",
           "metrics have Prometheus' type");
    is_str(got.body, "berth_up 1\n", "metrics are the host's");
}

static void test_cancel(void)
{
    ask("DELETE", "/v1/tasks/t1", "", NULL);
    is_int(got.status, 202, "DELETE cancels");
    ask("DELETE", "/v1/tasks/t1", MSGPACK_OUT, NULL);
    is_str(answer_field(&got, "Content-Type"), "application/msgpack",
           "DELETE answers msgpack too");
    ask("DELETE", "/v1/tasks/missing", "", NULL);
    is_int(got.status, 404, "DELETE of no task");
    ask("DELETE", "/v1/tasks/done", "", NULL);
    is_int(got.status, 409, "DELETE of a task that is done");
    has_str(got.body, "urn:berth:problem:already-done", "says so");
}

static void test_ready(void)
{
    host.ready = false;
    ask("GET", "/readyz", "", NULL);
    is_int(got.status, 503, "not ready");
    is_str(answer_field(&got, "Content-Type"), "application/problem+json", "is a problem");
    has_str(got.body, "\"detail\":\"not ready: draining\"", "with the reason");
    has_str(got.body, "\"readiness\":{\"what\":\"ready\"}}",
            "and all of the host's answer");
    ask("GET", "/readyz", MSGPACK_OUT, NULL);
    is_int(got.status, 503, "not ready for msgpack either");
    ok(!strstr(got.body, "readiness"), "no msgpack is put into the JSON of the problem");
    host.ready = true;
}

/* ---- formats ---- */

static void test_accept(void)
{
    static const struct {
        const char *accept, *type;
    } rows[] = {
        {"*/*", "application/json"},
        {"application/*", "application/json"},
        {"application/x-msgpack", "application/msgpack"},
        {"application/vnd.msgpack, text/html", "application/msgpack"},
        {"application/json;q=0.5, application/msgpack", "application/msgpack"},
        {"application/json, application/msgpack", "application/json"},
        {"application/json;q=0, */*", "application/msgpack"},
        {"text/html, */*;q=0.1", "application/json"},
        {"text/html\r\nAccept: application/msgpack", "application/msgpack"},
        {"text/html", "application/problem+json"},
        {"application/json;q=0", "application/problem+json"},
        {"application/json;q=", "application/json"},
        {",,,", "application/json"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char header[256];
        snprintf(header, sizeof(header), "Accept: %s\r\n", rows[i].accept);
        ask("GET", "/v1/stats", header, NULL);
        is_str(answer_field(&got, "Content-Type"), rows[i].type, "Accept: %s",
               rows[i].accept);
        is_int(got.status, strstr(rows[i].type, "problem") ? 406 : 200, "  has its status");
    }
}

/* ---- tasks ---- */

static struct fake_message *last(void)
{
    return &host.message[host.message_count - 1];
}

static void test_submit(void)
{
    ask("POST", "/v1/tasks", JSON, "{\"v\":1}");
    is_int(got.status, 202, "POST is accepted");
    is_str(answer_field(&got, "Location"), "/v1/tasks/task-1", "with its place");
    is_str(got.body, "{\"id\":\"task-1\",\"state\":\"queued\"}", "and its state");
    is_str(last()->data, "{\"v\":1}", "the host got the body");
    is_int(last()->format, BERTH_FORMAT_JSON, "as JSON");
    is_int(last()->flags, 0, "nobody waits on the line");
    ask("POST", "/v1/tasks",
        "Content-Type: Application/JSON; charset=utf-8\r\n" MSGPACK_OUT, "{}");
    is_int(got.status, 202, "JSON in, msgpack out");
    ok(!memcmp(got.body, "\x81\xa1i\x02", 4), "is msgpack");
    ask("POST", "/v1/tasks?wait=0", "Content-Type: application/x-msgpack\r\n", "\x80");
    is_int(got.status, 202, "msgpack in, wait=0");
    is_int(last()->format, BERTH_FORMAT_MSGPACK, "is msgpack to the host");
}

static void test_wait(void)
{
    ask("POST", "/v1/tasks?wait=5", JSON, "{}");
    is_int(got.status, 200, "a waiting POST gets the result");
    has_str(got.body, "succeeded", "which is the map");
    is_int(last()->flags, BERTH_MESSAGE_ON_THE_LINE, "the host knows that it waits");
    ask("POST", "/v1/tasks?wait=0.05", JSON, "{\"hold\":1}");
    is_int(got.status, 202, "a wait that is over gets 202");
    ok(last()->persisted, "the host was asked to make it durable");
    is_str(answer_field(&got, "Location"), "/v1/tasks/task-1", "with its place");
    has_str(got.body, "running", "and its state");
}

/* The id was known, and durable: ACCEPTED comes at once, RESULT may. */
static void test_wait_known(void)
{
    struct client c = client_open(&host);
    int before = host.message_count;
    client_text(&c, "POST /v1/tasks?wait=0.1 HTTP/1.1\r\nHost: localhost\r\n" JSON
                    "Content-Length: 4\r\n\r\nhold");
    while (host.message_count == before)
        fake_turn(&host, 50);
    fake_reply(&host, last(), BERTH_REPLY_ACCEPTED, 0, NULL, "{\"state\":\"known\"}");
    client_read(&c, &got, false);
    is_int(got.status, 202, "accepted while waiting, then the wait is over");
    has_str(got.body, "known", "gives what was accepted");
    ok(!last()->persisted, "and asks for nothing");
    client_text(&c, "POST /v1/tasks?wait=9 HTTP/1.1\r\nHost: localhost\r\n" JSON
                    "Content-Length: 4\r\n\r\nhold");
    while (host.message_count == before + 1)
        fake_turn(&host, 50);
    fake_reply(&host, last(), BERTH_REPLY_ACCEPTED, 0, NULL, "{\"state\":\"known\"}");
    fake_reply(&host, last(), BERTH_REPLY_RESULT, 0, NULL, "{\"verdict\":\"x\"}");
    fake_settle(&host, last());
    client_read(&c, &got, false);
    is_int(got.status, 200, "accepted while waiting, then the result");
    is_str(answer_field(&got, "Location"), "", "without Location");
    is_str(got.body, "{\"verdict\":\"x\"}", "is the result");
    client_close(&c);
}

static void test_refused(void)
{
    static const struct {
        int code, status;
        const char *type;
    } rows[] = {
        {EINVAL, 400, "invalid-task"},
        {E2BIG, 413, "too-large"},
        {ENOENT, 422, "unknown-executer"},
        {EPERM, 403, "forbidden"},
        {EEXIST, 409, "conflict"},
        {EAGAIN, 503, "overloaded"},
        {ENOBUFS, 503, "overloaded"},
        {ENOSPC, 507, "no-space"},
        {EOPNOTSUPP, 422, "unmet-requirement"},
        {EIO, 500, "internal"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char body[64], type[64];
        snprintf(body, sizeof(body), "refuse %d", rows[i].code);
        snprintf(type, sizeof(type), "urn:berth:problem:%s\"", rows[i].type);
        for (int wait = 0; wait < 2; wait++) {
            ask("POST", wait ? "/v1/tasks?wait=1" : "/v1/tasks", JSON, body);
            is_int(got.status, rows[i].status, "refused with errno %d, wait %d",
                   rows[i].code, wait);
            has_str(got.body, type, "  has its type");
            has_str(got.body, rows[i].code == EIO ? strerror(EIO) : "it is \\\"refused\\\"",
                    "  and the host's reason");
            check_listed();
            has_str(got.body, "\"result\":{\"verdict\":\"rejected\"}}", "  and the result");
        }
        if (rows[i].status == 503)
            ok(*answer_field(&got, "Retry-After"), "  and when to try again");
    }
    ask("POST", "/v1/tasks", JSON MSGPACK_OUT, "refuse 22");
    is_str(answer_field(&got, "Content-Type"), "application/problem+json",
           "a problem is JSON whatever is accepted");
    ok(!strstr(got.body, "\"result\""), "and has no msgpack in it");
}

static void test_drain(void)
{
    host.plugin->transport->drain(&host.ctx, 1);
    ask("POST", "/v1/tasks", JSON, "{}");
    is_int(got.status, 503, "a draining host takes no task");
    has_str(got.body, "urn:berth:problem:draining", "and says so");
    ask("GET", "/v1/tasks", "", NULL);
    is_int(got.status, 200, "but answers questions");
    host.plugin->transport->drain(&host.ctx, 0);
    ask("POST", "/v1/tasks", JSON, "{}");
    is_int(got.status, 202, "until it drains no more");
}

/* ---- errors ---- */

static void check_problem(const char *method, const char *target, const char *headers,
                          const char *body, int status, const char *text)
{
    ask(method, target, headers, body);
    is_int(got.status, status, "%s %.60s %.40s", method, target, headers);
    is_str(answer_field(&got, "Content-Type"), "application/problem+json",
           "  is a problem");
    has_str(got.body, text, "  that says what");
    has_str(got.body, "\"instance\":\"/", "  and where");
    check_listed();
}

static void test_errors(void)
{
    check_problem("GET", "/", "", NULL, 404, "no-route");
    check_problem("GET", "/v1/tasks/", "", NULL, 404, "no-route");
    check_problem("GET", "/v1/tasks/a/b/c/d/e/f/g/h", "", NULL, 404, "no-route");
    check_problem("GET", "/v1/nothing?wait=1", "", NULL, 404, "'/v1/nothing'");
    check_problem("PUT", "/v1/tasks", "", "x", 405, "'PUT' is not one of GET, HEAD, POST");
    is_str(answer_field(&got, "Allow"), "GET, HEAD, POST", "  with Allow");
    check_problem("POST", "/v1/tasks/t1", "", "", 405, "GET, HEAD, DELETE");
    check_problem("DELETE", "/healthz", "", NULL, 405, "GET, HEAD");
    check_problem("GET", "/v1/tasks?limt=3", "", NULL, 400,
                  "'limt' here; did you mean 'limit'?");
    check_problem("GET", "/v1/stats?x=1", "", NULL, 400, "'x' here");
    check_problem("GET", "/v1/tasks?limit=1&limit=2", "", NULL, 400,
                  "'limit' is given twice");
    check_problem("GET", "/v1/tasks?limit=0", "", NULL, 400, "from 1 to 1000");
    check_problem("GET", "/v1/tasks?limit=1001", "", NULL, 400, "from 1 to 1000");
    check_problem("GET", "/v1/tasks?limit=", "", NULL, 400, "from 1 to 1000");
    check_problem("GET", "/v1/tasks?limit=99999999999999999999999", "", NULL, 400,
                  "from 1 to");
    check_problem("GET", "/v1/tasks?state=nonsense", "", NULL, 400, "no state 'nonsense'");
    check_problem("GET", "/v1/tasks?state=%zz", "", NULL, 400, "broken %-escape");
    check_problem("GET", "/v1/tasks/a%00b", "", NULL, 400, "broken %-escape");
    check_problem("GET", "/v1/tasks/a%2", "", NULL, 400, "broken %-escape");
    check_problem("GET", "/v1/tasks/a%20b", "", NULL, 400, "is no task's id");
    check_problem("GET", "/v1/tasks/..%2F..%2Fetc", "", NULL, 400, "is no task's id");
    check_problem("GET", "/v1/tasks/missing", "", NULL, 404, "no task 'missing'");
    check_problem("GET", "/v1/tasks/undone/result", "", NULL, 409, "not-done");
    check_problem("GET", "/v1/tasks/overload", "", NULL, 503, "too much to do");
    check_problem("GET", "/v1/tasks/missing/logs", "", NULL, 404, "no task 'missing'");
    check_problem("GET", "/v1/tasks/t/logs?stream=out", "", NULL, 400, "stdout, stderr");
    check_problem("GET", "/v1/tasks/t/logs?offset=-1", "", NULL, 400, "offset '-1'");
    check_problem("GET", "/v1/tasks/t/logs?follow=yes", "", NULL, 400, "follow 'yes'");
    check_problem("GET", "/v1/stats", "Accept: image/png\r\n", NULL, 406,
                  "application/json");
    check_problem("GET", "/v1/stats", "Host: a\r\n", NULL, 400, "more than once");
}

static void test_task_errors(void)
{
    check_problem("POST", "/v1/tasks", JSON, "", 400, "the body is empty");
    check_problem("POST", "/v1/tasks", JSON, NULL, 411, "length-required");
    check_problem("POST", "/v1/tasks", "", "{}", 415, "not given");
    is_str(answer_field(&got, "Accept-Post"), "application/json, application/msgpack",
           "  with what can be sent");
    check_problem("POST", "/v1/tasks", "Content-Type: text/plain\r\n", "{}", 415,
                  "'text/plain'");
    check_problem("POST", "/v1/tasks", JSON "Content-Encoding: gzip\r\n", "{}", 415,
                  "'gzip'");
    check_problem("POST", "/v1/tasks?wait=x", JSON, "{}", 400, "wait 'x'");
    check_problem("POST", "/v1/tasks?wait=-1", JSON, "{}", 400, "wait '-1'");
    check_problem("POST", "/v1/tasks?wait=1e3", JSON, "{}", 400, "wait '1e3'");
    check_problem("POST", "/v1/tasks?wait=601", JSON, "{}", 400, "up to 600");
    check_problem("POST", "/v1/tasks?wait=1.2345", JSON, "{}", 400, "wait '1.2345'");
    check_problem("POST", "/v1/tasks?limit=3", JSON, "{}", 400, "'limit' here");
}

/* ---- the operations of the OpenAPI file ---- */

static struct {
    char path[128], method[16];
    unsigned statuses; /* bit per row of status_table */
} operations[64];
static int operation_count;
static const int status_table[] = {200, 202, 400, 401, 403, 404, 405, 406, 409,
                                   411, 413, 415, 421, 422, 431, 500, 503, 507};

static unsigned status_bit(int status)
{
    for (unsigned i = 0; i < sizeof(status_table) / sizeof(status_table[0]); i++)
        if (status_table[i] == status)
            return 1u << i;
    return 0;
}

/* The file is laid out with two spaces a level, so that lines and their depth are enough. */
static void read_operations(void)
{
    char path[128] = "", name[128];
    bool in_paths = false;
    for (const char *line = openapi; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        size_t depth = strspn(line, " ");
        bool key = sscanf(line, " \"%127[^\"]\":", name) == 1;
        if (depth == 2 && key)
            in_paths = !strcmp(name, "paths");
        if (!in_paths || !key)
            continue;
        if (depth == 4)
            snprintf(path, sizeof(path), "%s", name);
        if (depth == 6 && strcmp(name, "parameters") != 0) {
            snprintf(operations[operation_count].path, sizeof(path), "%s", path);
            snprintf(operations[operation_count].method, 16, "%.15s", name);
            operation_count++;
        }
        if (depth == 10 && operation_count && atoi(name))
            operations[operation_count - 1].statuses |= status_bit(atoi(name));
    }
}

static void check_operation(const char *path, const char *method, const char *id,
                            unsigned statuses)
{
    char target[256], upper[16] = "";
    const char *open = strchr(path, '{'), *close = strchr(path, '}');
    if (open && close)
        snprintf(target, sizeof(target), "%.*s%s%s", (int)(open - path), path, id,
                 close + 1);
    else
        snprintf(target, sizeof(target), "%s", path);
    for (size_t i = 0; method[i] && i < sizeof(upper) - 1; i++)
        upper[i] = (char)(method[i] & ~0x20);
    bool post = !strcmp(method, "post");
    ask(upper, target, post ? JSON : "", post ? "{}" : NULL);
    ok(statuses & status_bit(got.status), "%s %s answers %d, as doc/openapi.json says",
       upper, target, got.status);
}

static void test_openapi(void)
{
    read_operations();
    is_int(operation_count, 14, "it has every operation");
    static const char *const ids[] = {"t1",   "missing", "undone",
                                      "done", "a%20b",   "overload"};
    for (int i = 0; i < operation_count; i++)
        for (size_t j = 0; j < (strchr(operations[i].path, '{') ? 6 : 1); j++)
            check_operation(operations[i].path, operations[i].method, ids[j],
                            operations[i].statuses);
}

int main(void)
{
    if (fake_start(&host, fake_plugin_path(), options) < 0) {
        ok(false, "the plugin starts: %s", host.error.text);
        return tap_done();
    }
    read_openapi();
    test_questions();
    test_metrics();
    test_cancel();
    test_ready();
    test_accept();
    test_submit();
    test_wait();
    test_wait_known();
    test_refused();
    test_drain();
    test_errors();
    test_task_errors();
    test_openapi();
    fake_stop(&host);
    is_int(host.watch_count, 0, "nothing is left behind");
    free(got.body);
    return tap_done();
}
