/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The http transport and who may reach it: addresses, options, tokens, TLS, Unix sockets. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../tap.h"
#include "client.h"

static struct fake host;
static struct answer got;
static char dir[] = "/tmp/berth-http-XXXXXX";

static char *in_dir(const char *name)
{
    static char path[8][128];
    static unsigned next;
    char *p = path[next++ % 8];
    snprintf(p, 128, "%s/%s", dir, name);
    return p;
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, strlen(text)) < 0 || fchmod(fd, mode) < 0)
        abort();
    close(fd);
}

static int start(const struct fake_option *options)
{
    return fake_start(&host, fake_plugin_path(), options);
}

static void refuses(const struct fake_option *options, const char *text)
{
    int ret = start(options);
    ok(ret < 0, "refused: %s = %s", options[0].name, options[0].value);
    has_str(host.error.text, text, "  and says what would be right");
    if (ret >= 0)
        fake_stop(&host);
}

/* ---- options ---- */

static void test_options(void)
{
    static const struct {
        const char *name, *value, *text;
    } rows[] = {
        {"listen", "", "write '127.0.0.1:2591'"},
        {"listen", "127.0.0.1", "write '127.0.0.1:2591'"},
        {"listen", "127.0.0.1:", "write '127.0.0.1:2591'"},
        {"listen", "127.0.0.1:65536", "write '127.0.0.1:2591'"},
        {"listen", "127.0.0.1:-1", "write '127.0.0.1:2591'"},
        {"listen", "::1:2591", "write '127.0.0.1:2591'"},
        {"listen", "example.org:80", "write '127.0.0.1:2591'"},
        {"listen", "unix:relative", "must begin with /"},
        {"listen", "unix:/nowhere/at/all.sock", "No such file"},
        {"max_body", "10", "max_body is 10, it must be from 1024"},
        {"max_buffered", "2048", "must be at least max_body"},
        {"header_limit", "1", "header_limit is 1"},
        {"max_connections", "0", "max_connections is 0"},
        {"idle_timeout", "5", "idle_timeout is 5"},
        {"tls_cert", "/cert.pem", "tls_key is not: set both"},
        {"tls_key", "/key.pem", "tls_cert is not: set both"},
        {"token_file", "/nowhere/tokens", "No such file"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_option options[] = {
            {rows[i].name, rows[i].value}, {"listen", "127.0.0.1:0"}, {NULL, NULL}};
        refuses(options, rows[i].text);
    }
}

static void test_exposure(void)
{
    char *tokens = in_dir("tokens");
    write_file(tokens, "secret\n", 0600);
    static const char *const addresses[] = {"0.0.0.0:0", "[::]:0", "192.0.2.1:80"};
    for (size_t i = 0; i < 3; i++) {
        struct fake_option none[] = {{"listen", addresses[i]}, {NULL, NULL}};
        refuses(none, "set token_file = \"/path\"");
        struct fake_option clear[] = {
            {"listen", addresses[i]}, {"token_file", tokens}, {NULL, NULL}};
        refuses(clear, "set tls_cert and tls_key, or behind_proxy = true");
        struct fake_option proxy[] = {
            {"listen", addresses[i]}, {"behind_proxy", "true"}, {NULL, NULL}};
        refuses(proxy, "set token_file = \"/path\"");
    }
    struct fake_option allowed[] = {{"listen", "0.0.0.0:0"},
                                    {"token_file", tokens},
                                    {"behind_proxy", "true"},
                                    {NULL, NULL}};
    is_int(start(allowed), 0, "with tokens and a proxy it listens on all addresses");
    fake_stop(&host);
}

static void test_in_use(void)
{
    static struct fake second;
    struct fake_option any[] = {{"listen", "127.0.0.1:0"}, {NULL, NULL}};
    char address[64];
    is_int(start(any), 0, "listens on a port of the kernel's choice");
    snprintf(address, sizeof(address), "127.0.0.1:%d", fake_port(&host));
    struct fake_option same[] = {{"listen", address}, {NULL, NULL}};
    is_int(fake_start(&second, fake_plugin_path(), same), -EADDRINUSE,
           "which is taken then");
    has_str(second.error.text, address, "and is named");
    fake_stop(&host);
    is_int(start(same), 0, "and is free again after close");
    fake_stop(&host);
}

/* ---- Host ---- */

static int status_of_host(const char *name)
{
    char text[256];
    struct client c = client_open(&host);
    snprintf(text, sizeof(text), "GET /v1/stats HTTP/1.1\r\nHost: %s\r\n\r\n", name);
    client_text(&c, text);
    client_read(&c, &got, false);
    client_close(&c);
    return got.status;
}

static void test_host_field(void)
{
    static const char *const good[] = {"localhost", "LOCALHOST:2591", "127.0.0.1:2591",
                                       "127.0.0.1", "[::1]:2591"};
    static const char *const bad[] = {"evil.example", "evil.example:2591",
                                      "localhost.evil.example", "127.0.0.1.evil.example",
                                      ""};
    struct fake_option options[] = {{"listen", "127.0.0.1:0"}, {NULL, NULL}};
    is_int(start(options), 0, "without tokens, on loopback");
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        is_int(status_of_host(good[i]), 200, "Host: %s is served", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        is_int(status_of_host(bad[i]), 421, "Host: %s is not (DNS rebinding)", bad[i]);
    fake_stop(&host);
}

/* ---- tokens ---- */

static int status_with(const char *target, const char *authorization)
{
    char header[512] = "";
    if (authorization)
        snprintf(header, sizeof(header), "Authorization: %s\r\n", authorization);
    client_ask(&host, &got, "GET", target, header, NULL);
    return got.status;
}

static void test_token_files(void)
{
    static const struct {
        const char *text;
        mode_t mode;
        const char *error;
    } rows[] = {
        {"secret\n", 0640, "chmod 600"},
        {"secret\n", 0604, "chmod 600"},
        {"", 0600, "has no token"},
        {"# only a comment\n\n", 0600, "has no token"},
        {"good\nbad token\n", 0600, "line 2: a token is of"},
        {"a b:token\n", 0600, "line 1: a tenant is"},
        {":token\n", 0600, "line 1: a tenant is"},
        {"tenant:\n", 0600, "line 1: a token is of"},
        {"a:b:c\n", 0600, "line 1: a token is of"},
    };
    char *path = in_dir("broken");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_option options[] = {
            {"token_file", path}, {"listen", "127.0.0.1:0"}, {NULL, NULL}};
        write_file(path, rows[i].text, rows[i].mode);
        refuses(options, rows[i].error);
        ok(!strstr(host.error.text, "secret") && !strstr(host.error.text, "good"),
           "  without telling a token");
    }
    struct fake_option folder[] = {
        {"token_file", dir}, {"listen", "127.0.0.1:0"}, {NULL, NULL}};
    refuses(folder, "no regular file");
}

static void test_tokens(void)
{
    char *path = in_dir("tokens");
    write_file(path, "# tokens\n  plain-token  \r\nacme:acme-token\n\n", 0600);
    struct fake_option options[] = {
        {"listen", "127.0.0.1:0"}, {"token_file", path}, {NULL, NULL}};
    is_int(start(options), 0, "a token file");
    is_int(status_with("/v1/stats", NULL), 401, "no token");
    is_str(answer_field(&got, "WWW-Authenticate"), "Bearer realm=\"berth\"",
           "is told the scheme");
    has_str(got.body, "urn:berth:problem:unauthorized", "as a problem");
    static const char *const wrong[] = {"Bearer",
                                        "Bearer ",
                                        "Bearer wrong",
                                        "Bearer plain-toke",
                                        "Bearer plain-token2",
                                        "Basic plain-token",
                                        "plain-token",
                                        "Bearer acme:acme-token"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        is_int(status_with("/v1/stats", wrong[i]), 401, "'%s' is wrong", wrong[i]);
    is_int(status_with("/nothing", NULL), 401,
           "what is not there is not told without a token");
    is_int(status_with("/metrics", NULL), 401, "metrics need a token");
    is_int(status_with("/healthz", NULL), 200, "healthz does not");
    is_int(status_with("/readyz", NULL), 200, "readyz does not");
    is_int(status_with("/v1/stats", "Bearer plain-token"), 200, "a right token");
    is_int(status_with("/v1/stats", "bearer  acme-token"), 200, "of a tenant");
    is_int(status_of_host("any.example"), 401, "any Host is served then, with a token");
}

static void test_tenants(void)
{
    client_ask(&host, &got, "POST", "/v1/tasks",
               "Content-Type: application/json\r\nAuthorization: Bearer acme-token\r\n",
               "{}");
    is_int(got.status, 202, "a task of a tenant");
    is_str(host.message[host.message_count - 1].tenant, "acme", "has its tenant");
    client_ask(&host, &got, "POST", "/v1/tasks",
               "Content-Type: application/json\r\nAuthorization: Bearer plain-token\r\n",
               "{}");
    is_str(host.message[host.message_count - 1].tenant, "", "a plain token has none");
    status_with("/v1/tasks", "Bearer acme-token");
    has_str(host.query, "tenant=acme", "a tenant lists its own tasks");
    is_int(status_with("/v1/tasks?tenant=other", "Bearer acme-token"), 403,
           "and no other's");
    is_int(status_with("/v1/tasks?tenant=other", "Bearer plain-token"), 200,
           "a plain token lists any");
    is_int(status_with("/v1/tasks/others", "Bearer acme-token"), 404,
           "another's task is not there");
    is_int(status_with("/v1/tasks/others/logs", "Bearer acme-token"), 404,
           "nor is its log");
    is_int(status_with("/v1/tasks/others/logs", "Bearer plain-token"), 200,
           "but for a plain token");
}

static void wait_for_log(const char *text)
{
    int64_t end = fake_now() + 8000;
    struct client c =
        client_open(&host); /* the file is looked at while there are connections */
    while (!strstr(host.last_log, text) && fake_now() < end)
        fake_turn(&host, 100);
    has_str(host.last_log, text, "the log says '%s'", text);
    client_close(&c);
}

static void test_token_changes(void)
{
    char *path = in_dir("tokens"), *fresh = in_dir("fresh");
    write_file(fresh, "other-token\n", 0600);
    rename(fresh, path);
    wait_for_log("was read again");
    is_int(status_with("/v1/stats", "Bearer plain-token"), 401, "an old token is over");
    is_int(status_with("/v1/stats", "Bearer other-token"), 200, "the new one is good");
    write_file(path, "third-token\n", 0644);
    wait_for_log("the tokens read before stay in force");
    is_int(status_with("/v1/stats", "Bearer third-token"), 401,
           "a broken file is not taken");
    is_int(status_with("/v1/stats", "Bearer other-token"), 200, "what was good stays so");
    fake_stop(&host);
}

/* ---- Unix sockets ---- */

static void test_unix(void)
{
    struct stat st;
    char *path = in_dir("berth.sock"), address[160];
    snprintf(address, sizeof(address), "unix:%s", path);
    struct fake_option options[] = {
        {"listen", address}, {"socket_mode", "0600"}, {NULL, NULL}};
    is_int(start(options), 0, "listens on a Unix socket");
    is_int(stat(path, &st) == 0 ? st.st_mode & 0777 : 0, 0600, "with the mode asked for");
    is_int(status_of_host("anything.example"), 200, "any Host is served there");
    static struct fake second;
    is_int(fake_start(&second, fake_plugin_path(), options), -EADDRINUSE,
           "a live one is left alone");
    fake_stop(&host);
    ok(stat(path, &st) < 0, "close removes it");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    ok(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0, "one left by a host that died");
    close(fd);
    is_int(start(options), 0, "is replaced");
    is_int(status_of_host("localhost"), 200, "and serves");
    fake_stop(&host);
    write_file(path, "text", 0600);
    refuses(options, "it is there, and no socket");
    unlink(path);
    struct fake_option mode[] = {{"socket_mode", "9"}, {"listen", address}, {NULL, NULL}};
    refuses(mode, "write \"0660\"");
    ok(stat(path, &st) < 0, "a failed open leaves no socket");
    struct fake_option group[] = {
        {"socket_group", "no-such-group"}, {"listen", address}, {NULL, NULL}};
    refuses(group, "there is no group");
}

/* ---- TLS ---- */

/* Runs a shell command while the host goes on; its output, cut to fit. */
static int run(const char *command, char *out, size_t size)
{
    int pipes[2], status = -1;
    size_t len = 0;
    if (pipe2(pipes, O_CLOEXEC) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(pipes[1]);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    for (;;) {
        ssize_t n = len < size - 1 ? read(pipes[0], out + len, size - 1 - len) : 0;
        if (n == 0)
            break;
        if (n > 0)
            len += (size_t)n;
        else if (host.plugin)
            fake_turn(&host, 10);
    }
    out[len] = '\0';
    close(pipes[0]);
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void s_client(const char *options, char *out, size_t size)
{
    char command[1024];
    snprintf(command, sizeof(command),
             "printf 'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: "
             "close\\r\\n\\r\\n' |"
             " timeout 10 openssl s_client -connect 127.0.0.1:%d -quiet -ign_eof %s",
             fake_port(&host), options);
    run(command, out, size);
}

static void test_tls(void)
{
    char command[1024], out[16384], *cert = in_dir("cert.pem"), *key = in_dir("key.pem");
    snprintf(command, sizeof(command),
             "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
             "-keyout %s -out %s",
             key, cert);
    if (run(command, out, sizeof(out)) != 0) {
        skip("no openssl to make a certificate", 1);
        return;
    }
    char *tokens = in_dir("tls-tokens");
    write_file(tokens, "secret\n", 0600);
    struct fake_option options[] = {{"listen", "0.0.0.0:0"},
                                    {"tls_cert", cert},
                                    {"tls_key", key},
                                    {"token_file", tokens},
                                    {NULL, NULL}};
    is_int(start(options), 0, "with TLS and tokens it listens on all addresses");
    s_client("-tls1_3", out, sizeof(out));
    has_str(out, "HTTP/1.1 200 OK", "TLS 1.3");
    s_client("-tls1_2", out, sizeof(out));
    has_str(out, "HTTP/1.1 200 OK", "TLS 1.2");
    s_client("-tls1_1 -cipher DEFAULT@SECLEVEL=0", out, sizeof(out));
    ok(!strstr(out, "HTTP/1.1"), "no TLS 1.1");
    struct client c = client_open(&host);
    client_text(&c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    ok(client_wait_closed(&c) && !strstr(c.in ? c.in : "", "200 OK"),
       "nothing in the clear");
    client_close(&c);
    fake_stop(&host);
    struct fake_option swapped[] = {
        {"tls_cert", key}, {"tls_key", cert}, {"listen", "127.0.0.1:0"}, {NULL, NULL}};
    refuses(swapped, "cannot start the server");
    struct fake_option text[] = {
        {"tls_cert", tokens}, {"tls_key", key}, {"listen", "127.0.0.1:0"}, {NULL, NULL}};
    refuses(text, "is no PEM file");
}

int main(void)
{
    char command[128], out[256];
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(dir))
        return EXIT_FAILURE;
    test_options();
    test_exposure();
    test_in_use();
    test_host_field();
    test_token_files();
    test_tokens();
    test_tenants();
    test_token_changes();
    test_unix();
    test_tls();
    host.plugin = NULL;
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    run(command, out, sizeof(out));
    free(got.body);
    return tap_done();
}
