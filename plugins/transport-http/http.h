/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What the files of this plugin share: one exchange (a request and its answer), and the plugin.
 *
 *   http_plugin.c   descriptor, options, open/start/close        http_server.c  libmicrohttpd
 *   http_listen.c   the socket                                   http_auth.c    tokens
 *   http_target.c   path and query                               http_media.c   Accept, Content-Type
 *   http_route.c    routes, and what is checked before them      http_problem.c errors
 *   http_query.c    routes that ask the host                     http_logs.c    the log stream
 *   http_submit.c   tasks on their way to the host and back
 */
#ifndef HTTP_H
#define HTTP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <berth/transport.h>
#include <uthash.h>

#include "http_buf.h"
#include "http_target.h"

#define HTTP_TENANT_MAX 64
#define HTTP_ACCEPT_MAX 4
#define HTTP_FIELD_MAX 4

enum http_header {
    HTTP_AUTHORIZATION,
    HTTP_CONTENT_ENCODING,
    HTTP_CONTENT_LENGTH,
    HTTP_CONTENT_TYPE,
    HTTP_EXPECT,
    HTTP_HOST,
    HTTP_TRANSFER_ENCODING,
    HTTP_HEADER_COUNT
};

/* A header field of an answer. */
struct http_field {
    const char *name; /* a literal */
    char value[192];
};

/* A body that is made while it is sent. `read`: > 0 bytes, 0 nothing now (http_server_ready says
 * when), -ENODATA its end, another -errno: the connection is cut. */
struct http_stream {
    ssize_t (*read)(struct http_stream *stream, void *buf, size_t len);
    void (*free)(struct http_stream *stream);
};

enum http_task_state { HTTP_TASK_NONE, HTTP_TASK_QUEUED, HTTP_TASK_TAKEN };

/* One request and its answer. Lives in its connection and is cleared for each request. */
struct http_exchange {
    /* the request; filled by http_server.c; strings live until the exchange ends */
    const char *method;
    const char *header[HTTP_HEADER_COUNT];
    const char *accept[HTTP_ACCEPT_MAX];
    unsigned accept_count;
    uint32_t repeated; /* bit per enum http_header that came more than once */
    bool bad_field;    /* a field whose name is none, or a folded one that matters */
    size_t head_bytes;
    bool http11;
    struct http_buf body;

    /* what http_route.c found out about it */
    struct http_target target;
    const struct http_route *route; /* NULL: none fits */
    const char *id;       /* the part of the path that names a task or an executer */
    uint32_t format;      /* enum berth_format of the answer */
    uint32_t body_format; /* enum berth_format of the body */
    size_t body_limit;    /* more is refused; 0: the body is read and forgotten */
    bool lingers;         /* may stay open for long: half a close counts as a whole one */
    bool cut;             /* the connection ends with this exchange */
    char tenant[HTTP_TENANT_MAX + 1]; /* of the token; "" if none */

    /* the answer; status 0: there is none yet */
    unsigned status;
    const char *type; /* of the content, a literal */
    struct http_buf answer;
    struct http_stream *stream; /* instead of `answer`; owned */
    struct http_field field[HTTP_FIELD_MAX];
    unsigned field_count;

    /* the task that it brought, see http_submit.c */
    enum http_task_state task_state;
    uint64_t message;
    int64_t wait_ms;
    int wait_timer;
    bool accepted, expired;
    struct http_exchange *prev, *next;
    UT_hash_handle hh;
};

struct http_config {
    const char *listen;
    const char *socket_mode, *socket_group;
    const char *token_file;
    const char *tls_cert, *tls_key;
    bool behind_proxy;
    size_t max_body_bytes, max_buffered_bytes, header_bytes;
    unsigned max_connections, max_connections_per_ip;
    int64_t idle_ms, request_ms, max_wait_ms;
};

struct http_plugin {
    struct berth_ctx *ctx;
    struct http_config config;
    struct http_listen *listen;
    struct http_auth *auth;    /* NULL: no token is asked for */
    struct http_buf cert, key; /* PEM text, NUL-terminated; no data: no TLS */
    struct http_server *server;
    bool check_host; /* only names of this machine in Host: see http_route.c */
    bool draining;

    struct http_exchange *queue; /* complete, and not yet taken by recv */
    struct http_exchange *taken; /* hash by message: with the host, and the client waits */
    uint64_t last_message;
    struct http_buf lent; /* the body that recv lent to the host */
    char lent_tenant[HTTP_TENANT_MAX + 1];
};

#endif
