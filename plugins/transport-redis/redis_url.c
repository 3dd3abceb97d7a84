/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 *   redis://[user@]host[:port][,host[:port]...][/db]        rediss:// with TLS
 *   redis-sentinel://[user@]host[:port][,...]/master[/db]   rediss-sentinel:// with TLS
 *   unix:///path[?db=N], unix://user@/path[?db=N]
 */
#include "redis_url.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    const char *at;
    char *why;
    size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct parse *p, const char *format,
                                                       ...)
{
    va_list ap;
    va_start(ap, format);
    vsnprintf(p->why, p->why_size, format, ap);
    va_end(ap);
    return -EINVAL;
}

static int parse_number(struct parse *p, const char *s, size_t len, long max,
                        const char *what, int *ret)
{
    char *end;
    long n = len && s[0] >= '0' && s[0] <= '9' ? strtol(s, &end, 10) : -1;
    if (n < 0 || n > max || end != s + len)
        return wrong(p, "%s '%.*s' is not a number from 0 to %ld", what, (int)len, s, max);
    *ret = (int)n;
    return 0;
}

static int copy(struct parse *p, char *ret, size_t size, const char *s, size_t len,
                const char *what)
{
    if (len == 0 || len >= size)
        return wrong(p, "%s is %s", what, len ? "too long" : "missing");
    memcpy(ret, s, len);
    ret[len] = '\0';
    return 0;
}

static int parse_scheme(struct parse *p, struct url *u)
{
    static const struct {
        const char *text;
        int kind;
        bool tls;
    } schemes[] = {{"redis://", URL_TCP, false},
                   {"rediss://", URL_TCP, true},
                   {"redis-sentinel://", URL_SENTINEL, false},
                   {"rediss-sentinel://", URL_SENTINEL, true},
                   {"unix://", URL_UNIX, false}};
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        size_t len = strlen(schemes[i].text);
        if (strncmp(p->at, schemes[i].text, len) != 0)
            continue;
        u->kind = schemes[i].kind;
        u->tls = schemes[i].tls;
        p->at += len;
        return 0;
    }
    return wrong(p, "it must begin with redis://, rediss://, redis-sentinel://, "
                    "rediss-sentinel:// or unix://");
}

static int parse_user(struct parse *p, struct url *u)
{
    size_t end = strcspn(p->at, "/?");
    const char *at = memchr(p->at, '@', end);
    if (!at)
        return 0;
    if (memchr(p->at, ':', (size_t)(at - p->at)))
        return wrong(
            p, "a password does not belong here: name a file with password_file, or a "
               "variable with password_env");
    int rc =
        copy(p, u->user, sizeof u->user, p->at, (size_t)(at - p->at), "the user's name");
    p->at = at + 1;
    return rc;
}

/* One of host, host:port, [v6], [v6]:port. */
static int parse_host(struct parse *p, struct url *u, const char *s, size_t len)
{
    struct url_host *h = &u->hosts[u->count];
    const char *port = NULL;
    const char *close = len && s[0] == '[' ? memchr(s, ']', len) : NULL;
    if (u->count == URL_HOSTS)
        return wrong(p, "it names more than %d hosts", URL_HOSTS);
    h->port = u->kind == URL_SENTINEL ? 26379 : 6379;
    const char *rest = close ? close + 1 : memchr(s, ':', len);
    if (rest && rest < s + len) {
        if (*rest != ':')
            return wrong(p, "what follows ']' must be a port");
        port = rest + 1;
    }
    const char *name = close ? s + 1 : s;
    const char *name_end = close ? close : port ? port - 1 : s + len;
    int rc =
        copy(p, h->name, sizeof h->name, name, (size_t)(name_end - name), "a host's name");
    if (rc == 0 && port)
        rc = parse_number(p, port, (size_t)(s + len - port), 65535, "the port", &h->port);
    u->count++;
    return rc;
}

static int parse_hosts(struct parse *p, struct url *u)
{
    size_t end = strcspn(p->at, "/?"), len;
    int rc = 0;
    for (const char *s = p->at, *stop = p->at + end; rc == 0 && s <= stop; s += len + 1) {
        const char *comma = memchr(s, ',', (size_t)(stop - s));
        len = comma ? (size_t)(comma - s) : (size_t)(stop - s);
        rc = parse_host(p, u, s, len);
    }
    p->at += end;
    return rc;
}

static int parse_path(struct parse *p, struct url *u)
{
    const char *query = strstr(p->at, "?db=");
    size_t len = query ? (size_t)(query - p->at) : strlen(p->at);
    if (*p->at != '/')
        return wrong(
            p, "the path of a Unix socket must begin with '/': unix:///run/redis.sock");
    int rc = copy(p, u->path, sizeof u->path, p->at, len, "the path");
    if (rc == 0 && query)
        rc = parse_number(p, query + 4, strlen(query + 4), 1 << 20, "the database", &u->db);
    return rc;
}

int url_parse(const char *text, struct url *ret, char *why, size_t why_size)
{
    struct parse p = {.at = text, .why = why, .why_size = why_size};
    struct url u = {0};
    int rc = parse_scheme(&p, &u);
    if (rc == 0)
        rc = parse_user(&p, &u);
    if (rc == 0 && u.kind == URL_UNIX) {
        rc = parse_path(&p, &u);
        *ret = u;
        return rc;
    }
    if (rc == 0)
        rc = parse_hosts(&p, &u);
    if (rc == 0 && *p.at == '/' && u.kind == URL_SENTINEL) {
        size_t len = strcspn(++p.at, "/");
        rc = copy(&p, u.master, sizeof u.master, p.at, len, "the master's name");
        p.at += len;
    }
    if (rc == 0 && u.kind == URL_SENTINEL && !u.master[0])
        rc =
            wrong(&p, "the master's name is missing: redis-sentinel://host:26379/mymaster");
    if (rc == 0 && *p.at == '/' && p.at[1]) {
        p.at++;
        rc = parse_number(&p, p.at, strlen(p.at), 1 << 20, "the database", &u.db);
    } else if (rc == 0 && *p.at && strcmp(p.at, "/") != 0) {
        rc = wrong(&p, "'%s' at its end is not understood", p.at);
    }
    *ret = u;
    return rc;
}
