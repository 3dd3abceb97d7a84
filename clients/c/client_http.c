/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* berth over HTTP, by libcurl: see berth-http(7). */
#include "client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/str.h"

#define CONNECT_S 10L
#define SLACK_MS 30000 /* for an answer, beyond the time that the host shall wait */
#define PROBLEM "urn:berth:problem:"

struct client_link {
    CURL *curl;
    struct curl_slist *headers;
    char *base; /* http://host:port */
    char *ca_file;
    bool no_hold; /* the host does not let requests wait as long as ours */
    char why[CURL_ERROR_SIZE];
};

struct answer {
    long status;
    struct buf body;
    const char *problem; /* its name, such as "not-done"; "" */
    const char *detail;
    struct value value; /* the body, decoded */
};

static void http_close(struct client_link *l)
{
    if (!l)
        return;
    curl_easy_cleanup(l->curl);
    curl_slist_free_all(l->headers);
    free(l->base);
    free(l->ca_file);
    free(l);
}

static int add_header(struct client_link *l, const char *text)
{
    struct curl_slist *grown = curl_slist_append(l->headers, text);
    if (!grown)
        return -ENOMEM;
    l->headers = grown;
    return 0;
}

static int add_token(struct client_link *l, const char *token)
{
    cleanup_free char *text = NULL;
    if (!token || !*token)
        return 0;
    return asprintf(&text, "Authorization: Bearer %s", token) < 0 ? -ENOMEM
                                                                  : add_header(l, text);
}

/* The part of the URL that stands before the path; for http+unix:// the whole is the socket's path. */
static int take_url(struct client_link *l, const char *url, struct berth_error *err)
{
    const char *rest = strstr(url, "://") + 3;
    size_t host = strcspn(rest, "/?#");
    if (!strncmp(url, "http+unix://", 12)) {
        if (*rest != '/')
            return berth_fail(err, EINVAL, "'%s': the path of a socket begins with /", url);
        curl_easy_setopt(l->curl, CURLOPT_UNIX_SOCKET_PATH, rest);
        l->base = strdup("http://localhost");
        return l->base ? 0 : berth_fail(err, ENOMEM, "out of memory");
    }
    if (memchr(rest, '@', host))
        return berth_fail(err, EINVAL,
                          "no token belongs in the URL: give it in BERTH_TOKEN");
    if (!host || strspn(rest + host, "/") != strlen(rest + host))
        return berth_fail(err, EINVAL, "'%s' is not like http://127.0.0.1:2591", url);
    bool has_port = memchr(rest + (*rest == '[' ? strcspn(rest, "]") : 0), ':',
                           host - (*rest == '[' ? strcspn(rest, "]") : 0)) != NULL;
    int n = asprintf(&l->base, "%.*s%s", (int)(rest - url + (ptrdiff_t)host), url,
                     has_port ? "" : ":2591");
    return n < 0 ? berth_fail(err, ENOMEM, "out of memory") : 0;
}

static int http_open(const char *url, const char *token, const char *ca_file,
                     struct client_link **ret, struct berth_error *err)
{
    struct client_link *l = calloc(1, sizeof *l);
    if (!l || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK ||
        !(l->curl = curl_easy_init()) || (ca_file && !(l->ca_file = strdup(ca_file))) ||
        add_token(l, token) < 0 || add_header(l, "Content-Type: application/msgpack") < 0 ||
        add_header(l, "Accept: application/msgpack") < 0 || add_header(l, "Expect:") < 0) {
        http_close(l);
        return berth_fail(err, ENOMEM, "out of memory");
    }
    int rc = take_url(l, url, err);
    if (rc < 0) {
        http_close(l);
        return rc;
    }
    curl_easy_setopt(l->curl, CURLOPT_HTTPHEADER, l->headers);
    curl_easy_setopt(l->curl, CURLOPT_ERRORBUFFER, l->why);
    curl_easy_setopt(l->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(l->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_S);
    curl_easy_setopt(l->curl, CURLOPT_USERAGENT, "libberth-client");
    if (l->ca_file)
        curl_easy_setopt(l->curl, CURLOPT_CAINFO, l->ca_file);
    *ret = l;
    return 0;
}

static size_t take_body(char *data, size_t size, size_t count, void *arg)
{
    struct buf *body = arg;
    if (body->len + size * count > CLIENT_RESULT_MAX)
        return 0;
    buf_add(body, data, size * count);
    return body->failed ? 0 : size * count;
}

static int curl_failed(const struct client_link *l, CURLcode rc, struct berth_error *err)
{
    const char *why = *l->why ? l->why : curl_easy_strerror(rc);
    int code = ECONNREFUSED;
    if (rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE)
        code = EPERM;
    else if (rc == CURLE_URL_MALFORMAT)
        code = EINVAL;
    else if (rc == CURLE_WRITE_ERROR)
        code = E2BIG;
    return berth_fail(err, code, "%s does not answer: %s", l->base, why);
}

/* One request, as it is: 0, or -errno if there was no answer. */
static int request(struct client_link *l, const char *method, const char *path,
                   const struct buf *body, int64_t ms, struct buf *ret_body,
                   struct berth_error *err)
{
    cleanup_free char *url = NULL;
    if (asprintf(&url, "%s%s", l->base, path) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    *l->why = '\0';
    curl_easy_setopt(l->curl, CURLOPT_URL, url);
    curl_easy_setopt(l->curl, CURLOPT_POSTFIELDS, body ? body->data : NULL);
    curl_easy_setopt(l->curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t)(body ? body->len : 0));
    curl_easy_setopt(l->curl, body ? CURLOPT_POST : CURLOPT_HTTPGET, 1L);
    curl_easy_setopt(l->curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(l->curl, CURLOPT_TIMEOUT_MS, (long)ms);
    curl_easy_setopt(l->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(l->curl, CURLOPT_WRITEDATA, ret_body);
    CURLcode rc = curl_easy_perform(l->curl);
    return rc == CURLE_OK ? 0 : curl_failed(l, rc, err);
}

/* What an answer says is wrong; 0 if nothing is, or if the caller must know. */
static int judge(const struct client_link *l, const struct answer *answer,
                 struct berth_error *err)
{
    const struct value *result = value_get(&answer->value, "result");
    if (answer->status == 200 || answer->status == 202 || answer->status == 409) {
        if (strcmp(answer->problem, "conflict") != 0)
            return 0;
        return berth_fail(err, EEXIST, "%s", answer->detail);
    }
    if (answer->status >= 500 || answer->status == 408 || answer->status == 429)
        return berth_fail(err, EAGAIN, "%s: %s", l->base, answer->detail);
    if (answer->status == 401 || answer->status == 403)
        return berth_fail(err, EPERM, "%s", answer->detail);
    if (result)
        return client_refused(result, err);
    if (!strcmp(answer->problem, "not-found") ||
        !strcmp(answer->problem, "unknown-executer"))
        return berth_fail(err, ENOENT, "%s", answer->detail);
    if (*answer->problem)
        return berth_fail(err, answer->status == 413 ? E2BIG : EINVAL, "%s",
                          answer->detail);
    return berth_fail(err, EPROTO, "%s is no berth host: it answers %ld", l->base,
                      answer->status);
}

/* One request and what its answer means. */
static int ask(struct client_link *l, struct arena *a, const char *method, const char *path,
               const struct buf *body, int64_t hold_ms, struct answer *ret,
               struct berth_error *err)
{
    cleanup_buf struct buf data = BUF_INIT;
    const char *type = NULL;
    *ret = (struct answer){.problem = "", .detail = "the server gives no reason"};
    int rc = request(l, method, path, body, hold_ms + SLACK_MS, &data, err);
    if (rc < 0)
        return rc;
    curl_easy_getinfo(l->curl, CURLINFO_RESPONSE_CODE, &ret->status);
    curl_easy_getinfo(l->curl, CURLINFO_CONTENT_TYPE, &type);
    bool ours = type && (strstr(type, "msgpack") || strstr(type, "json"));
    if (ours && data.len)
        ours = client_decode(a, data.data, data.len, &ret->value, NULL) == 0;
    if (ours && !strncmp(value_str(&ret->value, "type", ""), PROBLEM, strlen(PROBLEM))) {
        ret->problem = value_str(&ret->value, "type", "") + strlen(PROBLEM);
        ret->detail = value_str(&ret->value, "detail", ret->detail);
    }
    if (!ours && ret->status < 400)
        return berth_fail(err, EPROTO, "%s is no berth host", l->base);
    return judge(l, ret, err);
}

static const char *task_path(struct arena *a, const char *id, const char *tail)
{
    return arena_fmt(a, "/v1/tasks/%s%s", id, tail); /* an id needs no escapes in a path */
}

static int http_send(struct client_link *l, struct arena *a, const struct value *task,
                     bool id_made, int64_t hold_ms, struct value *ret,
                     struct berth_error *err)
{
    cleanup_buf struct buf body = BUF_INIT;
    struct answer answer;
    (void)id_made;
    if (value_to_msgpack(task, &body) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    if (l->no_hold)
        hold_ms = 0;
    const char *path = hold_ms > 0
                           ? arena_fmt(a, "/v1/tasks?wait=%lld.%03lld",
                                       (long long)hold_ms / 1000, (long long)hold_ms % 1000)
                           : "/v1/tasks";
    int rc = path ? ask(l, a, "POST", path, &body, hold_ms, &answer, err)
                  : berth_fail(err, ENOMEM, "out of memory");
    if (rc < 0 && path && hold_ms > 0 && !strcmp(answer.problem, "bad-parameter")) {
        l->no_hold = true; /* its max_wait is less */
        rc = ask(l, a, "POST", "/v1/tasks", &body, 0, &answer, err);
    }
    if (rc == 0 && answer.status == 200)
        *ret = answer.value;
    return rc;
}

/* Until the task is done, or the time is over: its output, from a place that it never reaches, ends then. */
static void follow(struct client_link *l, struct arena *a, const char *id, int64_t ms)
{
    cleanup_buf struct buf nothing = BUF_INIT;
    const char *path = task_path(a, id, "/logs?follow=1&offset=9223372036854775807");
    if (path)
        request(l, "GET", path, NULL, ms, &nothing, NULL);
}

static int http_look(struct client_link *l, struct arena *a, const char *id,
                     struct value *ret, struct berth_error *err)
{
    struct answer answer;
    const char *path = task_path(a, id, "/result");
    if (!path)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = ask(l, a, "GET", path, NULL, 0, &answer, err);
    *ret = rc == 0 && answer.status == 200 ? answer.value : (struct value){0};
    return rc;
}

static int http_wait(struct client_link *l, struct arena *a, const char *id, int64_t ms,
                     struct value *ret, struct berth_error *err)
{
    int rc = http_look(l, a, id, ret, err);
    if (rc < 0 || ret->type == VALUE_MAP || ms == 0)
        return rc;
    follow(l, a, id, ms);
    return http_look(l, a, id, ret, err);
}

static int http_cancel(struct client_link *l, const char *id, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct answer answer;
    const char *path = a ? task_path(a, id, "") : NULL;
    if (!path)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = ask(l, a, "DELETE", path, NULL, 0, &answer, err);
    return rc < 0 ? rc : answer.status == 409;
}

static int http_status(struct client_link *l, const char *id, const char **ret_state,
                       struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    struct answer answer;
    const char *path = a ? task_path(a, id, "") : NULL;
    if (!path)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = ask(l, a, "GET", path, NULL, 0, &answer, err);
    if (rc == 0)
        *ret_state = client_state(value_str(&answer.value, "state", ""));
    return rc;
}

const struct client_ops client_http = {.open = http_open,
                                       .close = http_close,
                                       .send = http_send,
                                       .wait = http_wait,
                                       .cancel = http_cancel,
                                       .status = http_status};
