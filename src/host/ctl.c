/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* RUN_DIR/ctl.sock: berth(1) speaks to the host. One request at a time per connection. */
#include <errno.h>
#include <grp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "host/host_int.h"

#define CTL_BACKLOG_MAX (4u << 20) /* a reader slower than this is cut off */
#define CTL_CHUNK 32768
#define CTL_CLIENTS_MAX 1024  /* or an eighth of the descriptors */
#define CTL_FRAME_SLACK 65536 /* around the task of a submission */

struct ctl_client {
    struct host *host;
    struct conn *conn;
    struct waiter *waiters;
    bool events; /* follows events, of one task if events_id is set */
    char *events_id;
    bool wait;      /* of a submission: wants the result */
    bool reloading; /* waits for the monitor's answer */
    struct log_reader *log;
    bool log_follow;
    struct ctl_client *prev, *next;
};

struct host *ctl_host(struct ctl_client *c)
{
    return c->host;
}

void ctl_attach(struct waiter *w)
{
    DL_APPEND2(w->ctl->waiters, w, ctl_prev, ctl_next);
}

void ctl_detach(struct waiter *w)
{
    DL_DELETE2(w->ctl->waiters, w, ctl_prev, ctl_next);
}

static void ctl_free(struct ctl_client *c)
{
    struct host *h = c->host;
    while (c->waiters)
        job_detach(c->waiters);
    dead_forget(c);
    log_reader_free(c->log);
    DL_DELETE(h->clients, c);
    h->client_count--;
    conn_free(c->conn);
    free(c->events_id);
    free(c);
}

/* The loop sees the end, and frees it: a caller may still be using it. */
static void ctl_cut(struct ctl_client *c)
{
    c->events = c->wait = false;
    shutdown(conn_fd(c->conn), SHUT_RDWR);
}

static void ctl_error(struct ctl_client *c, const struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value body = value_new_map(a);
    const char *name = strerrorname_np(err->code);
    value_put_int(a, &body, "code", err->code);
    value_put_str(a, &body, "name", name ? name : "EIO");
    value_put_str(a, &body, "message", err->text);
    conn_send(c->conn, FRAME_CTL_ERROR, &body);
}

/* ---- submitting ---- */

void ctl_reply_accepted(struct waiter *w)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a || !w->ctl)
        return;
    struct value body = value_new_map(a);
    value_put_str(a, &body, "id", w->job->id);
    value_put_str(a, &body, "state", job_state_name(w->job));
    conn_send(w->ctl->conn, FRAME_CTL_REPLY, &body);
}

void ctl_reply_result(struct waiter *w, const struct value *result)
{
    if (!w->ctl || !w->ctl->wait)
        return;
    if (conn_backlog(w->ctl->conn) > CTL_BACKLOG_MAX)
        ctl_cut(w->ctl);
    else
        conn_send(w->ctl->conn, FRAME_CTL_RESULT, result);
}

void ctl_refuse(struct waiter *w, const struct berth_error *why)
{
    if (w->ctl)
        ctl_error(w->ctl, why);
}

static void ctl_submit(struct ctl_client *c, const struct value *body)
{
    struct berth_error err = {0};
    const struct value *task = value_get(body, "task");
    c->wait = value_bool(body, "wait", false);
    if (!task)
        berth_fail(&err, EINVAL, "the request has no task");
    if (!task || intake_value(c, task, &err) < 0)
        ctl_error(c, &err);
}

/* ---- events ---- */

static struct value event_value(struct arena *a, int64_t ms, const struct job *j,
                                const char *event, const char *message)
{
    struct value body = value_new_map(a);
    value_put_int(a, &body, "ms", ms);
    value_put_str(a, &body, "id", j->id);
    value_put_str(a, &body, "event", event);
    value_put_int(a, &body, "attempt", j->attempt);
    value_put_str(a, &body, "executer", j->item.executer);
    value_put_str(a, &body, "runtime", j->item.runtime);
    value_put_str(a, &body, "tenant", j->item.tenant);
    if (j->verdict)
        value_put_str(a, &body, "verdict", berth_verdict_name(j->verdict));
    value_put_str(a, &body, "message", message);
    return body;
}

void ctl_event(struct host *h, const struct job *j, const char *event, const char *message)
{
    struct ctl_client *c;
    cleanup_arena struct arena *a = NULL;
    struct value body;
    DL_FOREACH (h->clients, c) {
        if (!c->events || (c->events_id && strcmp(c->events_id, j->id) != 0))
            continue;
        if (conn_backlog(c->conn) > CTL_BACKLOG_MAX) {
            ctl_cut(c);
            continue;
        }
        if (!a) {
            a = arena_new();
            if (!a)
                return;
            body = event_value(a, unix_ms(), j, event, message);
        }
        conn_send(c->conn, FRAME_CTL_EVENT, &body);
    }
}

/* Whoever follows a task that is done already must hear of its end all the same. */
static int ctl_event_past(struct ctl_client *c, const char *id, struct berth_error *err)
{
    cleanup_arena struct arena *a = arena_new();
    const struct job *j = job_find(c->host, id);
    struct store_row row = {0};
    if (j && !job_is_done(j))
        return 0;
    if (!a)
        return berth_fail(err, ENOMEM, "out of memory");
    int rc = j ? 0 : store_get(c->host->store, id, a, &row, err);
    if (rc == -ENOENT)
        return berth_fail(err, ENOENT, "no task '%s'", id);
    if (rc < 0)
        return rc;
    struct job stored = {
        .id = id,
        .attempt = row.attempt,
        .verdict = row.verdict,
        .finished_ms = row.finished_ms,
        .item = {.executer = row.executer, .runtime = row.runtime, .tenant = row.tenant}};
    j = j ? j : &stored;
    struct value body = event_value(a, j->finished_ms, j, "done", NULL);
    return conn_send(c->conn, FRAME_CTL_EVENT, &body);
}

static void ctl_events(struct ctl_client *c, const struct value *body)
{
    const char *id = value_str(body, "id", NULL);
    struct berth_error err = {0};
    free(take_ptr(c->events_id));
    if (id && !(c->events_id = strdup(id)))
        berth_fail(&err, ENOMEM, "out of memory");
    else if (id)
        ctl_event_past(c, id, &err);
    c->events = !err.code;
    if (err.code)
        ctl_error(c, &err);
}

/* ---- logs ---- */

static void ctl_log_more(void *arg)
{
    struct ctl_client *c = arg;
    char data[CTL_CHUNK];
    uint64_t offset = 0;
    int n = 1; /* there may be more */
    while (conn_backlog(c->conn) < CTL_BACKLOG_MAX &&
           (n = log_reader_read(c->log, data, sizeof data, &offset)) > 0) {
        cleanup_arena struct arena *a = arena_new();
        if (!a)
            return;
        struct value body = value_new_map(a);
        value_put_int(a, &body, "offset", (int64_t)offset);
        value_put_bin(a, &body, "data", data, (size_t)n);
        conn_send(c->conn, FRAME_CTL_DATA, &body);
    }
    if (n > 0 || (n == 0 && c->log_follow))
        return;
    cleanup_arena struct arena *a = arena_new();
    struct value end = value_new_map(a);
    conn_send(c->conn, FRAME_CTL_END, &end);
    log_reader_free(take_ptr(c->log));
}

static void ctl_logs(struct ctl_client *c, const struct value *body)
{
    struct berth_error err = {0};
    log_reader_free(take_ptr(c->log));
    c->log_follow = value_bool(body, "follow", false);
    c->log = log_reader_new(c->host, value_str(body, "id", ""),
                            (int)value_int(body, "stream", 1),
                            (uint64_t)value_int(body, "offset", 0), ctl_log_more, c, &err);
    if (c->log)
        ctl_log_more(c);
    else
        ctl_error(c, &err);
}

/* A follower that read slowly gets the rest once it has caught up. */
void ctl_tick(struct host *h)
{
    struct ctl_client *c, *next;
    DL_FOREACH_SAFE (h->clients, c, next)
        if (c->log)
            ctl_log_more(c);
}

/* ---- questions ---- */

static void ctl_query(struct ctl_client *c, const struct value *body)
{
    struct berth_error err = {0};
    cleanup_buf struct buf out = BUF_INIT;
    cleanup_arena struct arena *a = arena_new();
    struct berth_query q = {.size = sizeof q,
                            .format = BERTH_FORMAT_MSGPACK,
                            .what = value_str(body, "what", ""),
                            .id = value_str(body, "id", NULL),
                            .state = value_str(body, "state", NULL),
                            .tenant = value_str(body, "tenant", NULL),
                            .executer = value_str(body, "executer", NULL),
                            .cursor = value_str(body, "cursor", NULL),
                            .limit = (uint32_t)value_int(body, "limit", 0),
                            .deadline_ms = value_int(body, "deadline_ms", 0)};
    if (!a || (host_query(c->host, &q, &out, &err) < 0 && !out.len)) {
        ctl_error(c, &err);
    } else if (!strcmp(q.what, "metrics")) {
        struct value reply = value_new_map(a);
        value_put_str(a, &reply, "text", arena_mem(a, out.data, out.len));
        conn_send(c->conn, FRAME_CTL_REPLY, &reply);
    } else {
        conn_send_raw(c->conn, FRAME_CTL_REPLY, out.data, out.len);
    }
}

void ctl_answer(struct ctl_client *c, const void *data, size_t len,
                const struct berth_error *err)
{
    if (err && err->code)
        ctl_error(c, err);
    else
        conn_send_raw(c->conn, FRAME_CTL_REPLY, data, len);
}

static void ctl_dead(struct ctl_client *c, const struct value *body)
{
    struct berth_error err = {0};
    if (dead_ask(c, body, &err) < 0)
        ctl_error(c, &err);
}

/* ---- the daemon ---- */

static void ctl_monitor(struct ctl_client *c, const char *line)
{
    c->reloading = true;
    if (write(c->host->start.monitor_fd, line, strlen(line)) < 0) {
        struct berth_error err;
        berth_fail_errno(&err, errno, "the monitor does not listen");
        ctl_error(c, &err);
    }
}

void ctl_monitor_said(struct host *h, const char *line)
{
    struct ctl_client *c;
    bool good = !strncmp(line, "ok", 2);
    DL_FOREACH (h->clients, c) {
        if (!c->reloading)
            continue;
        c->reloading = false;
        cleanup_arena struct arena *a = arena_new();
        struct value body = value_new_map(a);
        struct berth_error err;
        value_put_bool(a, &body, "ok", true);
        if (good)
            conn_send(c->conn, FRAME_CTL_REPLY, &body);
        else if (berth_fail(&err, EINVAL, "%s", line + strcspn(line, " ") + 1) < 0)
            ctl_error(c, &err);
    }
}

static void ctl_frame(void *arg, int type, const struct value *body, struct arena *a)
{
    struct ctl_client *c = arg;
    struct berth_error err;
    (void)a;
    switch (type) {
    case FRAME_CTL_SUBMIT:
        ctl_submit(c, body);
        return;
    case FRAME_CTL_QUERY:
        ctl_query(c, body);
        return;
    case FRAME_CTL_LOGS:
        ctl_logs(c, body);
        return;
    case FRAME_CTL_EVENTS:
        ctl_events(c, body);
        return;
    case FRAME_CTL_DEAD:
        ctl_dead(c, body);
        return;
    case FRAME_CTL_RELOAD:
        ctl_monitor(c, "R\n");
        return;
    case FRAME_CTL_STOP:
        ctl_monitor(c, "S\n");
        return;
    default:
        berth_fail(&err, EPROTO,
                   "frame %d is not known: berth and berthd are of different versions",
                   type);
        ctl_error(c, &err);
    }
}

static void ctl_closed(void *arg, const struct berth_error *err)
{
    struct ctl_client *c = arg;
    if (err->code == EPROTO || err->code == EMSGSIZE)
        ctl_error(c, err);
    ctl_free(c);
}

static unsigned ctl_clients_max(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur / 8 > CTL_CLIENTS_MAX)
        return CTL_CLIENTS_MAX;
    return (unsigned)files.rlim_cur / 8;
}

/* Has it asked for nothing yet, or not for all of it? */
static bool ctl_is_spare(const struct ctl_client *c)
{
    int unread = 0;
    return !c->events && !c->waiters && !c->log && !c->reloading &&
           ioctl(conn_fd(c->conn), FIONREAD, &unread) == 0 && !unread;
}

/* Where all places are taken, the eldest that is spare gives its up. */
static bool ctl_make_room(struct ctl_client *newcomer)
{
    struct ctl_client *c;
    if (newcomer->host->client_count <= ctl_clients_max())
        return true;
    DL_FOREACH (newcomer->host->clients, c) {
        if (c == newcomer || !ctl_is_spare(c))
            continue;
        ctl_free(c);
        return true;
    }
    return false;
}

static void ctl_refuse_client(struct ctl_client *c)
{
    struct berth_error err;
    berth_fail(&err, EBUSY,
               "%u clients wait for results, events or output, which is the limit: try "
               "again later",
               ctl_clients_max());
    ctl_error(c, &err);
    ctl_free(c);
}

static void ctl_accept(void *arg, uint32_t events)
{
    struct host *h = arg;
    (void)events;
    int fd = host_accept(h, h->ctl_fd, h->ctl_io);
    if (fd < 0)
        return;
    struct ctl_client *c = calloc(1, sizeof *c);
    if (!c) {
        close(fd);
        return;
    }
    c->host = h;
    c->conn = conn_new(h->loop, fd, ctl_frame, ctl_closed, c);
    if (!c->conn) {
        free(c);
        return;
    }
    conn_bound(c->conn, h->config->max_task_bytes + CTL_FRAME_SLACK, CTL_BACKLOG_MAX);
    DL_APPEND(h->clients, c);
    h->client_count++;
    if (!ctl_make_room(c))
        ctl_refuse_client(c);
}

/* The socket is the host's own; a group may be let in, if the host's process is in it. */
static int ctl_permit(const struct host *h, const char *path, struct berth_error *err)
{
    gid_t gid;
    if (!h->config->ctl_group)
        return 0;
    int rc = priv_lookup_group(h->config->ctl_group, &gid, err);
    if (rc < 0)
        return rc;
    if (chown(path, (uid_t)-1, gid) < 0 || chmod(path, 0660) < 0)
        return berth_fail_errno(err, errno, "cannot give '%s' to group '%s'", path,
                                h->config->ctl_group);
    return 0;
}

int ctl_open(struct host *h, struct berth_error *err)
{
    cleanup_free char *path = NULL;
    if (asprintf(&path, "%s/ctl.sock", h->config->run_dir) < 0)
        return berth_fail(err, ENOMEM, "out of memory");
    h->ctl_fd = unix_listen(path, 0600, err);
    if (h->ctl_fd < 0)
        return h->ctl_fd;
    int rc = ctl_permit(h, path, err);
    if (rc < 0)
        return rc;
    h->ctl_io = loop_io_add(h->loop, h->ctl_fd, EPOLLIN, ctl_accept, h);
    return h->ctl_io ? 0 : berth_fail(err, ENOMEM, "out of memory");
}
