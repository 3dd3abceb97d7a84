/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A connection to the host that comes back by itself. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fail.h"
#include "worker/host_link.h"

#define RETRY_FIRST_MS 50
#define RETRY_MAX_MS 1000

struct host_link {
    struct loop *loop;
    struct conn *conn; /* NULL while down */
    struct loop_timer *timer;
    int64_t delay_ms;
    const char *run_dir;
    host_link_up_fn *up;
    host_link_down_fn *down;
    conn_frame_fn *frame;
    void *arg;
};

/*
 * unix_connect blocks while the listener's backlog is full, which a hung host could use to
 * stop a supervisor from timing its payload. So this one does not.
 */
static int link_connect(const char *run_dir)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int n = snprintf(to.sun_path, sizeof to.sun_path, "%s/host.sock", run_dir);
    if (n < 0 || (size_t)n >= sizeof to.sun_path)
        return -ENAMETOOLONG;
    cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0)
        return -errno;
    return take_fd(fd);
}

static void link_later(struct host_link *k)
{
    loop_timer_set(k->timer, k->delay_ms);
    k->delay_ms = k->delay_ms * 2 < RETRY_MAX_MS ? k->delay_ms * 2 : RETRY_MAX_MS;
}

static void link_closed(void *arg, const struct berth_error *err)
{
    struct host_link *k = arg;
    (void)err; /* the host says why it went */
    struct conn *gone = take_ptr(k->conn);
    conn_free(gone);
    link_later(k);
    if (k->down)
        k->down(k->arg);
}

static void link_frame(void *arg, int type, const struct value *body, struct arena *a)
{
    struct host_link *k = arg;
    k->delay_ms = RETRY_FIRST_MS; /* it talks, so it lives */
    k->frame(k->arg, type, body, a);
}

static void link_try(void *arg)
{
    struct host_link *k = arg;
    if (k->conn)
        return;
    int fd = link_connect(k->run_dir);
    if (fd >= 0)
        k->conn = conn_new(k->loop, fd, link_frame, link_closed, k);
    if (k->conn)
        k->up(k->arg);
    else
        link_later(k);
}

struct host_link *host_link_new(struct loop *l, const char *run_dir, host_link_up_fn *up,
                                host_link_down_fn *down, conn_frame_fn *frame, void *arg)
{
    struct host_link *k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    *k = (struct host_link){.loop = l,
                            .delay_ms = RETRY_FIRST_MS,
                            .run_dir = run_dir,
                            .up = up,
                            .down = down,
                            .frame = frame,
                            .arg = arg};
    k->timer = loop_timer_add(l, RETRY_FIRST_MS, link_try, k);
    if (!k->timer) {
        free(k);
        return NULL;
    }
    loop_timer_stop(k->timer);
    return k;
}

bool host_link_is_up(const struct host_link *k)
{
    return k->conn != NULL;
}

bool host_link_is_heard(const struct host_link *k)
{
    struct pollfd p = {.fd = k->conn ? conn_fd(k->conn) : -1};
    return p.fd >= 0 && poll(&p, 1, 0) == 0; /* events that need not be asked for: its end */
}

int host_link_send(struct host_link *k, int type, const struct value *body)
{
    return k->conn ? conn_send(k->conn, type, body) : -ENOTCONN;
}

void host_link_cork(struct host_link *k, bool corked)
{
    if (k->conn)
        conn_cork(k->conn, corked);
}

int host_link_flush(struct host_link *k)
{
    return k->conn ? conn_flush(k->conn) : -ENOTCONN;
}

void host_link_retry(struct host_link *k)
{
    link_try(k);
}

void host_link_free(struct host_link *k)
{
    if (!k)
        return;
    conn_free(k->conn);
    loop_timer_remove(&k->timer);
    free(k);
}

void host_link_free_after_fork(struct host_link *k)
{
    if (k && k->conn)
        conn_free_after_fork(k->conn);
}
