/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What the HTTP plugin reads out of a request: the target in the first line of the input, then a Content-Type,
 * then fields of Accept. And all of it as a file of tokens, with the first line as what a client shows.
 */
#include "fuzz/fuzz.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../plugins/transport-http/http_auth.h"
#include "../../plugins/transport-http/http_buf.h"
#include "../../plugins/transport-http/http_media.h"
#include "../../plugins/transport-http/http_target.h"
#include "base/str.h"

#define ACCEPT_MAX 4

static void numbers(const char *text)
{
    unsigned long long n;
    long long ms;
    char plain[32];
    if (http_target_number(text, ULLONG_MAX / 2, &n) == 0) {
        snprintf(plain, sizeof plain, "%llu", n);
        text += strspn(text, "0");
        fuzz_check_said(!strcmp(plain, *text ? text : "0"), text);
    }
    if (http_target_seconds(text, 600000, &ms) == 0)
        fuzz_check(ms >= 0 && ms <= 600000);
}

static void look(const struct http_target *t)
{
    static const char *const names[] = {"wait", "state", "tenant", "limit", NULL};
    static const char *const patterns[] = {"/v1/tasks", "/v1/tasks/{id}",
                                           "/v1/tasks/{id}/logs", "/metrics", "/"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++) {
        const char *id = NULL;
        if (http_target_matches(t, patterns[i], &id) && strchr(patterns[i], '{'))
            fuzz_check(id && *id);
    }
    for (unsigned i = 0; i < t->param_count; i++) {
        fuzz_check(http_target_param(t, t->param[i].name) == t->param[i].value);
        http_target_nearest(t->param[i].name, names);
        numbers(t->param[i].value);
    }
    fuzz_check(!http_target_param(t, "no such name, with blanks \n"));
}

static void parse(struct http_target *t, const char *raw)
{
    struct berth_error err = {0};
    fuzz_check(http_target_set(t, raw) == 0);
    int r = http_target_parse(t, &err);
    fuzz_check_error(r, &err);
    fuzz_check(t->segment_count <= HTTP_SEGMENT_MAX + 1 &&
               t->param_count <= HTTP_PARAM_MAX);
    fuzz_check(strlen(t->path) <= strlen(raw));
    if (r == 0)
        look(t);
}

static void json(const char *text)
{
    cleanup_arena struct arena *a = arena_new();
    HTTP_BUF_AUTO out = {0};
    struct berth_error err = {0};
    struct value v;
    fuzz_check(http_buf_json(&out, text) == 0);
    int r = value_from_json(a, out.data, out.len, NULL, &v, &err);
    fuzz_check_said(r == 0 && v.type == VALUE_STR, err.text);
    fuzz_check(!is_utf8(text, strlen(text)) || !strcmp(v.s, text));
}

static void tokens(const uint8_t *data, size_t size, const char *shown)
{
    struct berth_error err = {0};
    struct http_auth *auth = NULL;
    const char *tenant = NULL;
    fuzz_file(100, data, size);
    int r = http_auth_open("/proc/self/fd/100", &auth, &err);
    fuzz_check_error(r, &err);
    if (r < 0)
        return;
    fuzz_check(!http_auth_check(auth, NULL, &tenant));
    if (http_auth_check(auth, shown, &tenant))
        fuzz_check(tenant && strlen(tenant) < size && memmem(data, size, shown + 7, 1));
    fuzz_file(100, data, size / 2);
    fuzz_check_error(http_auth_refresh(auth, &err), &err);
    http_auth_check(auth, shown, &tenant);
    http_auth_close(auth);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_lines in = {(const char *)data, (const char *)data + size};
    struct http_target target = {0};
    char *accept[ACCEPT_MAX];
    unsigned count = 0;
    char *line = fuzz_line(&in), *type = fuzz_line(&in);
    if (line) {
        parse(&target, line);
        parse(&target, "/v1/tasks?limit=1"); /* the memory serves again */
        parse(&target, line);
        numbers(line);
        json(line);
    }
    tokens(data, size, line ? line : "");
    if (type)
        fuzz_check(http_media_format(type) < 2);
    while (count < ACCEPT_MAX && (accept[count] = fuzz_line(&in)))
        count++;
    fuzz_check(http_media_accept((const char *const *)accept, count) < 2);
    while (count)
        free(accept[--count]);
    free(type);
    free(line);
    http_target_fini(&target);
    return 0;
}
