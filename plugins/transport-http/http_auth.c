/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Bearer tokens of a file (RFC 6750). */
#include "http_auth.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http_error.h"

#define AUTH_FILE_MAX (1 << 20)
#define AUTH_TENANT_MAX 64
#define AUTH_TENANT_CHARS \
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
#define AUTH_TOKEN_CHARS AUTH_TENANT_CHARS "~+/="

struct auth_token {
    const char *tenant, *token; /* in text */
    size_t len;
};

struct auth_list {
    char *text;
    size_t size;
    struct auth_token *token;
    size_t count;
};

struct http_auth {
    const char *path;
    struct stat seen; /* the version that was looked at last, good or bad */
    struct auth_list list;
};

static void auth_list_fini(struct auth_list *list)
{
    if (list->text)
        explicit_bzero(list->text, list->size);
    free(list->text);
    free(list->token);
    *list = (struct auth_list){0};
}

static int auth_read(const char *path, int fd, struct stat *st, struct auth_list *list,
                     struct berth_error *err)
{
    if (fd < 0 || fstat(fd, st) < 0)
        return http_fail(err, errno, "cannot read token_file '%.150s': %s", path,
                         strerror(errno));
    if (!S_ISREG(st->st_mode))
        return http_fail(err, EINVAL, "token_file '%.150s' is no regular file", path);
    if (st->st_mode & 077)
        return http_fail(err, EPERM,
                         "token_file '%.120s' is open to others (mode %04o): chmod 600 it",
                         path, st->st_mode & 07777);
    if (st->st_size > AUTH_FILE_MAX)
        return http_fail(err, EFBIG, "token_file '%.150s' is larger than 1 MiB", path);
    list->size = (size_t)st->st_size + 1;
    list->text = calloc(1, list->size);
    if (!list->text)
        return http_fail(err, ENOMEM, "out of memory for token_file '%.150s'", path);
    ssize_t n = pread(fd, list->text, list->size - 1, 0);
    if (n < 0)
        return http_fail(err, errno, "cannot read token_file '%.150s': %s", path,
                         strerror(errno));
    list->text[n] = '\0';
    if (strlen(list->text) != (size_t)n)
        return http_fail(err, EINVAL, "token_file '%.150s' contains a NUL byte", path);
    return 0;
}

static int auth_line(const char *path, char *line, unsigned number, struct auth_list *list,
                     struct berth_error *err)
{
    line += strspn(line, " \t");
    size_t len = strlen(line);
    while (len && strchr(" \t\r", line[len - 1]))
        line[--len] = '\0';
    if (!len || *line == '#')
        return 0;
    char *colon = strchr(line, ':');
    const char *token = colon ? colon + 1 : line;
    if (colon)
        *colon = '\0';
    if (colon &&
        (!*line || strlen(line) > AUTH_TENANT_MAX || line[strspn(line, AUTH_TENANT_CHARS)]))
        return http_fail(
            err, EINVAL,
            "token_file '%.100s' line %u: a tenant is 1 to %d of A-Z a-z 0-9 . _ -", path,
            number, AUTH_TENANT_MAX);
    if (!*token || token[strspn(token, AUTH_TOKEN_CHARS)])
        return http_fail(
            err, EINVAL,
            "token_file '%.100s' line %u: a token is of A-Z a-z 0-9 . _ ~ + / = -; "
            "a line is TOKEN or TENANT:TOKEN",
            path, number);
    struct auth_token *grown =
        reallocarray(list->token, list->count + 1, sizeof(*list->token));
    if (!grown)
        return http_fail(err, ENOMEM, "out of memory for token_file '%.150s'", path);
    list->token = grown;
    list->token[list->count++] =
        (struct auth_token){colon ? line : "", token, strlen(token)};
    return 0;
}

static int auth_parse(const char *path, struct auth_list *list, struct berth_error *err)
{
    unsigned number = 1;
    int ret = 0;
    for (char *line = list->text, *next; ret == 0 && line; line = next, number++) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        ret = auth_line(path, line, number, list, err);
    }
    if (ret == 0 && !list->count)
        return http_fail(
            err, EINVAL,
            "token_file '%.100s' has no token: write one TOKEN or TENANT:TOKEN a line",
            path);
    return ret;
}

static int auth_load(struct http_auth *auth, struct berth_error *err)
{
    struct auth_list list = {0};
    struct stat st = {0};
    int fd = open(auth->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    int ret = auth_read(auth->path, fd, &st, &list, err);
    if (ret == 0)
        ret = auth_parse(auth->path, &list, err);
    if (fd >= 0)
        close(fd);
    if (ret < 0) {
        auth_list_fini(&list);
        return ret;
    }
    auth_list_fini(&auth->list);
    auth->list = list;
    auth->seen = st;
    return 0;
}

int http_auth_open(const char *path, struct http_auth **ret_auth, struct berth_error *err)
{
    struct http_auth *auth = calloc(1, sizeof(*auth));
    if (!auth)
        return http_fail(err, ENOMEM, "out of memory for token_file '%.150s'", path);
    auth->path = path;
    int ret = auth_load(auth, err);
    if (ret < 0) {
        http_auth_close(auth);
        return ret;
    }
    *ret_auth = auth;
    return 0;
}

static bool auth_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mode == b->st_mode && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

int http_auth_refresh(struct http_auth *auth, struct berth_error *err)
{
    struct stat st = {0};
    (void)stat(auth->path, &st); /* a file that is gone is a change too: all zero */
    if (auth_same(&st, &auth->seen))
        return 0;
    auth->seen = st;
    int ret = auth_load(auth, err);
    return ret < 0 ? ret : 1;
}

/* The number of steps depends on len alone, whatever the token is. */
static bool auth_equal(const struct auth_token *token, const char *given, size_t len)
{
    volatile unsigned char differ = token->len != len;
    for (size_t i = 0, j = 0; i < len; i++, j = j + 1 == token->len ? 0 : j + 1)
        differ |= (unsigned char)(token->token[j] ^ given[i]);
    return !differ;
}

bool http_auth_check(const struct http_auth *auth, const char *field,
                     const char **ret_tenant)
{
    if (!field || strncasecmp(field, "Bearer ", 7) != 0)
        return false;
    const char *given = field + 7 + strspn(field + 7, " ");
    size_t len = strlen(given);
    const char *tenant = NULL;
    for (size_t i = 0; i < auth->list.count; i++)
        if (auth_equal(&auth->list.token[i], given, len))
            tenant = auth->list.token[i].tenant;
    *ret_tenant = tenant;
    return tenant != NULL;
}

void http_auth_close(struct http_auth *auth)
{
    if (!auth)
        return;
    auth_list_fini(&auth->list);
    free(auth);
}
