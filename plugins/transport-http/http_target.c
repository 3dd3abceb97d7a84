/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The target of a request: RFC 9112 section 3.2 (origin-form and absolute-form), RFC 3986. */
#include "http_target.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http_error.h"

#define NAME_MAX_LEN 24 /* of the names that http_target_nearest compares */

int http_target_set(struct http_target *target, const char *raw)
{
    size_t need = 2 * (strlen(raw) + 1);
    if (need > target->size) {
        char *text = realloc(target->text, need);
        if (!text)
            return -ENOMEM;
        target->text = text;
        target->size = need;
    }
    strcpy(target->text, raw);
    target->path = target->text;
    target->segment_count = target->param_count = 0;
    return 0;
}

bool http_target_is_bad(const struct http_target *target)
{
    for (const unsigned char *c = (const unsigned char *)target->text; *c; c++)
        if (*c <= ' ' || *c == 0x7f)
            return true;
    return false;
}

/* The authority of an absolute-form target, or NULL. */
static const char *target_authority(const char *raw)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++)
        if (!strncasecmp(raw, schemes[i], strlen(schemes[i])))
            return raw + strlen(schemes[i]);
    return NULL;
}

bool http_target_host(const struct http_target *target, char *ret_host, size_t size)
{
    const char *host = target_authority(target->text);
    if (host)
        snprintf(ret_host, size, "%.*s", (int)strcspn(host, "/?"), host);
    return host != NULL;
}

/* Skips "http://authority" of an absolute-form target. */
static const char *target_origin(const char *raw)
{
    const char *host = target_authority(raw);
    return host ? host + strcspn(host, "/?") : raw;
}

static int target_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Decodes in place. A NUL is refused: it would end the text early, and a check with it. */
static int target_decode(char *text, bool plus)
{
    char *to = text;
    for (const char *from = text; *from; from++, to++) {
        *to = plus && *from == '+' ? ' ' : *from;
        if (*from != '%')
            continue;
        int high = target_hex(from[1]), low = high < 0 ? -1 : target_hex(from[2]);
        if (low < 0 || !(high | low))
            return -EINVAL;
        *to = (char)(high << 4 | low);
        from += 2;
    }
    *to = '\0';
    return 0;
}

static int target_segments(struct http_target *target, char *path, struct berth_error *err)
{
    if (*path != '/')
        return 0;
    for (char *next; path; path = next) {
        char *segment = path + 1;
        next = strchr(segment, '/');
        if (next)
            *next = '\0';
        if (target->segment_count == HTTP_SEGMENT_MAX) {
            target->segment_count++;
            return 0;
        }
        if (target_decode(segment, false) < 0)
            return http_fail(err, EINVAL, "the path '%.100s' has a broken %%-escape",
                             target->path);
        target->segment[target->segment_count++] = segment;
    }
    return 0;
}

static int target_param(struct http_target *target, char *text, struct berth_error *err)
{
    char *value = strchr(text, '=');
    if (value)
        *value++ = '\0';
    else
        value = text + strlen(text);
    if (target_decode(text, true) < 0 || target_decode(value, true) < 0)
        return http_fail(err, EINVAL, "query parameter '%.64s' has a broken %%-escape",
                         text);
    if (http_target_param(target, text))
        return http_fail(err, EINVAL, "query parameter '%.64s' is given twice", text);
    if (target->param_count == HTTP_PARAM_MAX)
        return http_fail(err, EINVAL, "more query parameters than any route has");
    target->param[target->param_count++] = (struct http_param){text, value};
    return 0;
}

int http_target_parse(struct http_target *target, struct berth_error *err)
{
    size_t len = strlen(target->text);
    char *work = target->text + len + 1;
    strcpy(work, target_origin(target->text));
    char *query = strchr(work, '?');
    if (query)
        *query++ = '\0';
    target->path = target_origin(target->text);
    target->text[strcspn(target->text, "?")] = '\0';
    int ret = target_segments(target, work, err);
    for (char *next; ret == 0 && query; query = next) {
        next = strchr(query, '&');
        if (next)
            *next++ = '\0';
        if (*query)
            ret = target_param(target, query, err);
    }
    return ret;
}

const char *http_target_param(const struct http_target *target, const char *name)
{
    for (unsigned i = 0; i < target->param_count; i++)
        if (!strcmp(target->param[i].name, name))
            return target->param[i].value;
    return NULL;
}

int http_target_matches(const struct http_target *target, const char *pattern,
                        const char **ret_id)
{
    const char *id = NULL;
    unsigned i = 0;
    for (; *pattern == '/'; i++) {
        size_t len = strcspn(++pattern, "/");
        if (i >= target->segment_count || i >= HTTP_SEGMENT_MAX)
            return 0;
        const char *segment = target->segment[i];
        if (*pattern == '{')
            id = segment;
        else if (strlen(segment) != len || memcmp(segment, pattern, len) != 0)
            return 0;
        pattern += len;
    }
    if (i != target->segment_count || (id && !*id))
        return 0;
    *ret_id = id;
    return 1;
}

static unsigned target_distance(const char *a, const char *b)
{
    unsigned row[NAME_MAX_LEN + 1];
    size_t blen = strlen(b);
    for (unsigned j = 0; j <= blen; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= blen; j++) {
            unsigned change = diagonal + (a[i - 1] != b[j - 1]);
            unsigned drop = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = change < drop ? change : drop;
        }
    }
    return row[blen];
}

const char *http_target_nearest(const char *name, const char *const *names)
{
    const char *nearest = NULL;
    unsigned best = 3;
    if (strlen(name) > NAME_MAX_LEN)
        return NULL;
    for (; names && *names; names++) {
        unsigned distance =
            strlen(*names) > NAME_MAX_LEN ? best : target_distance(name, *names);
        if (distance < best && distance < strlen(*names)) {
            best = distance;
            nearest = *names;
        }
    }
    return nearest;
}

int http_target_number(const char *text, unsigned long long max,
                       unsigned long long *ret_value)
{
    unsigned long long value = 0;
    if (!*text)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(value, 10ULL, &value) ||
            __builtin_add_overflow(value, (unsigned long long)(*text - '0'), &value))
            return -ERANGE;
    }
    if (value > max)
        return -ERANGE;
    *ret_value = value;
    return 0;
}

int http_target_seconds(const char *text, long long max_ms, long long *ret_ms)
{
    char whole[24];
    unsigned long long value, ms = 0;
    size_t len = strcspn(text, ".");
    if (len >= sizeof(whole))
        return -EINVAL;
    memcpy(whole, text, len);
    whole[len] = '\0';
    int ret = http_target_number(whole, (unsigned long long)max_ms / 1000, &value);
    if (ret < 0)
        return ret;
    const char *digit = text + len;
    if (*digit == '.' && !digit[1])
        return -EINVAL;
    unsigned scale = 100;
    for (digit += *digit == '.'; *digit; digit++, scale /= 10) {
        if (*digit < '0' || *digit > '9' || !scale)
            return -EINVAL;
        ms += (unsigned)(*digit - '0') * scale;
    }
    if (value * 1000 + ms > (unsigned long long)max_ms)
        return -ERANGE;
    *ret_ms = (long long)(value * 1000 + ms);
    return 0;
}

void http_target_fini(struct http_target *target)
{
    free(target->text);
    *target = (struct http_target){0};
}
