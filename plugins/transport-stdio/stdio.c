/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The fake transport: tasks come in over a file, a FIFO or a pipe, and each reply goes out
 * the same way. format "json": one task, one reply per line. format "msgpack": each behind
 * its length (u32, little-endian).
 *
 * Nothing blocks: a read or write is made only after poll said that it can go on, in pieces
 * of at most PIPE_BUF, so that the flags of an inherited descriptor stay as they are. `fd`
 * gives an epoll descriptor with the input in it, because an input at its end stays
 * "readable" for ever and must be taken out of the host's sight, and because a regular file
 * cannot be watched at all.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <berth/transport.h>

#include "bytes.h"

#define OUT_MAX (16u << 20) /* replies that wait for a slow reader */
#define PIECE 65536

struct ticket {
    struct ticket *next;
    uint64_t number;
    uint64_t end; /* its reply is out when so many bytes have been written */
};

struct stdio {
    int in, out, look; /* look: epoll descriptor */
    int msgpack;
    uint32_t flags; /* of each message */
    size_t max;
    uint64_t last; /* number of the newest message */
    struct bytes input, output;
    size_t taken;  /* bytes of input that the message handed out occupies */
    size_t seen;   /* bytes of input that are known to hold no end of line */
    uint64_t skip; /* bytes to come that are too much; UINT64_MAX: up to the end of line */
    int ended;     /* no more input */
    int draining;
    uint64_t written, queued; /* bytes, ever */
    int watch;                /* for room in the output; 0: none */
    struct ticket *first, **last_ticket;
};

static int can(int fd, short events)
{
    struct pollfd p = {.fd = fd, .events = events};
    return poll(&p, 1, 0) == 1;
}

/* 0 or -errno; a regular file cannot be watched, and is read to its end at once. */
static int input_watch(struct stdio *s, int on)
{
    struct epoll_event event = {.events = EPOLLIN};
    int r = epoll_ctl(s->look, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, s->in, &event);
    return r < 0 && errno != EPERM && errno != EEXIST ? -errno : 0;
}

static void input_end(struct stdio *s)
{
    s->ended = 1;
    input_watch(s, 0);
}

/* 1: got some, 0: none now or no more, -errno. */
static int input_read(struct stdio *s)
{
    if (s->ended || !can(s->in, POLLIN))
        return 0;
    if (bytes_reserve(&s->input, PIECE) < 0)
        return -ENOMEM;
    ssize_t n = read(s->in, s->input.data + s->input.len, PIECE);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (n == 0)
        input_end(s);
    s->input.len += (size_t)n;
    return 1;
}

static void input_skip(struct stdio *s)
{
    size_t n = s->skip < s->input.len ? (size_t)s->skip : s->input.len;
    if (!n)
        return;
    if (s->skip == UINT64_MAX) {
        char *end = memchr(s->input.data, '\n', s->input.len);
        n = end ? (size_t)(end - s->input.data) + 1 : s->input.len;
        s->skip = end ? 0 : UINT64_MAX;
    } else {
        s->skip -= n;
    }
    bytes_drop(&s->input, n);
}

/* A message is taken from the input at the next call of `recv`, since the host reads it
 * until then. */
static int message_of(struct stdio *s, size_t from, size_t len, size_t taken,
                      struct berth_message *msg)
{
    s->taken = taken;
    s->seen = 0;
    msg->message = ++s->last;
    msg->flags = s->flags;
    msg->data = s->input.data + from;
    msg->len = len;
    msg->format = msg->reply_format = s->msgpack ? BERTH_FORMAT_MSGPACK : BERTH_FORMAT_JSON;
    msg->tenant = NULL;
    return 1;
}

/*
 * What is too long is handed over cut, one byte past the limit, and the rest is skipped:
 * the host then makes the refusal, as for any bad task. What stands unfinished at the end
 * of the input goes the same way.
 */
static int take_line(struct stdio *s, struct berth_message *msg)
{
    char *end = NULL;
    if (s->input.len > s->seen)
        end = memchr(s->input.data + s->seen, '\n', s->input.len - s->seen);
    if (!end && s->input.len <= s->max) {
        s->seen = s->input.len;
        return s->ended && s->input.len ? message_of(s, 0, s->input.len, s->input.len, msg)
                                        : 0;
    }
    size_t len = end ? (size_t)(end - s->input.data) : s->input.len;
    if (len <= s->max)
        return message_of(s, 0, len, len + 1, msg);
    s->skip = end ? 0 : UINT64_MAX;
    return message_of(s, 0, s->max + 1, end ? len + 1 : s->input.len, msg);
}

static int take_frame(struct stdio *s, struct berth_message *msg)
{
    if (!s->input.len || (s->input.len < 4 && !s->ended))
        return 0;
    uint64_t len = 0;
    for (size_t i = 4; i-- > 0;)
        len = len << 8 | (i < s->input.len ? (unsigned char)s->input.data[i] : 0);
    size_t head = s->input.len < 4 ? s->input.len : 4, have = s->input.len - head;
    if (have < len && have <= s->max && !s->ended)
        return 0;
    if (len <= s->max && have >= len)
        return message_of(s, head, (size_t)len, head + (size_t)len, msg);
    size_t taken = have < len ? have : (size_t)len;
    s->skip = len - taken;
    return message_of(s, head, taken > s->max ? s->max + 1 : taken, head + taken, msg);
}

static int is_blank(const struct berth_message *msg)
{
    const char *data = msg->data;
    return msg->len == 0 || (msg->len == 1 && *data == '\r');
}

static int stdio_recv(struct berth_ctx *ctx, struct berth_message *msg,
                      struct berth_error *err)
{
    struct stdio *s = ctx->data;
    for (;;) {
        bytes_drop(&s->input, s->taken);
        s->taken = 0;
        if (s->draining)
            return 0;
        if (s->skip)
            input_skip(s);
        if (!s->skip && (s->msgpack ? take_frame(s, msg) : take_line(s, msg))) {
            if (s->msgpack || !is_blank(msg))
                return 1;
            continue;
        }
        int r = input_read(s);
        if (r < 0)
            return ctx->host->fail(ctx, err, -r, "cannot read tasks: %s", strerror(-r));
        if (r == 0)
            return 0;
    }
}

static void tickets_done(struct berth_ctx *ctx, const struct berth_error *err)
{
    struct stdio *s = ctx->data;
    while (s->first && (err || s->first->end <= s->written)) {
        struct ticket *t = s->first;
        s->first = t->next;
        if (!s->first)
            s->last_ticket = &s->first;
        ctx->host->replied(ctx, t->number, err);
        free(t);
    }
}

/* Writes while there is room. 0 or -errno. */
static int output_flush(struct stdio *s)
{
    size_t done = 0;
    int r = 0;
    while (r == 0 && done < s->output.len && can(s->out, POLLOUT)) {
        size_t len = s->output.len - done < PIPE_BUF ? s->output.len - done : PIPE_BUF;
        ssize_t n = write(s->out, s->output.data + done, len);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0 && errno != EINTR)
            r = -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    bytes_drop(&s->output, done);
    s->written += done;
    return r;
}

static void output_unwatch(struct berth_ctx *ctx)
{
    struct stdio *s = ctx->data;
    if (s->watch)
        ctx->host->unwatch(ctx, s->watch);
    s->watch = 0;
}

/* Nobody reads any more: what waits is lost, and its replies are made again by the host. */
static void output_failed(struct berth_ctx *ctx, int code)
{
    struct stdio *s = ctx->data;
    struct berth_error err;
    ctx->host->fail(ctx, &err, code, "cannot write replies: %s", strerror(code));
    s->output.len = 0;
    s->queued = s->written;
    tickets_done(ctx, &err);
}

static void output_ready(struct berth_ctx *ctx, int fd, uint32_t events, void *arg)
{
    (void)fd, (void)events, (void)arg;
    struct stdio *s = ctx->data;
    int r = output_flush(s);
    if (r < 0 || !s->output.len)
        output_unwatch(ctx);
    if (r < 0)
        output_failed(ctx, -r);
    else
        tickets_done(ctx, NULL);
}

static const char *const kinds[] = {"accepted", "state", "result"};

static void put_be64(char *out, uint64_t n)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(n >> (56 - 8 * i));
}

/* {"kind": ..., "message": ..., "body": the host's bytes as they are} */
static int output_put(struct stdio *s, const struct berth_reply *reply)
{
    char head[96];
    const char *kind = kinds[reply->kind];
    size_t len, before = s->output.len;
    if (s->msgpack) {
        len = (size_t)snprintf(head, sizeof(head),
                               "LENG\x83\xa4kind%c%s\xa7message\xcfNNNNNNNN\xa4"
                               "body",
                               (char)(0xa0 | strlen(kind)), kind);
        put_be64(head + len - 13, reply->message);
        uint32_t frame = (uint32_t)(len - 4 + reply->len);
        for (int i = 0; i < 4; i++)
            head[i] = (char)(frame >> (8 * i));
    } else {
        len = (size_t)snprintf(head, sizeof(head),
                               "{\"kind\":\"%s\",\"message\":%" PRIu64 ",\"body\":", kind,
                               reply->message);
    }
    if (bytes_reserve(&s->output, len + reply->len + 2) < 0)
        return -ENOMEM;
    bytes_put(&s->output, head, len);
    bytes_put(&s->output, reply->data, reply->len);
    if (!s->msgpack)
        bytes_put(&s->output, "}\n", 2);
    s->queued += s->output.len - before;
    return 0;
}

static int output_later(struct berth_ctx *ctx, uint64_t number, struct berth_error *err)
{
    struct stdio *s = ctx->data;
    struct ticket *t = malloc(sizeof(*t));
    if (t && !s->watch)
        s->watch = ctx->host->watch_fd(ctx, s->out, EPOLLOUT, output_ready, NULL);
    if (!t || s->watch < 0) {
        /* The reply may be half out already, so it stays; the host makes it once more. */
        s->watch = s->watch < 0 ? 0 : s->watch;
        free(t);
        return ctx->host->fail(ctx, err, ENOMEM, "cannot wait for room in the output");
    }
    *t = (struct ticket){.number = number, .end = s->queued};
    *s->last_ticket = t;
    s->last_ticket = &t->next;
    return BERTH_LATER;
}

static int stdio_reply(struct berth_ctx *ctx, const struct berth_reply *reply,
                       struct berth_error *err)
{
    struct stdio *s = ctx->data;
    uint32_t format = s->msgpack ? BERTH_FORMAT_MSGPACK : BERTH_FORMAT_JSON;
    if (reply->kind >= sizeof(kinds) / sizeof(kinds[0]) || reply->format != format)
        return ctx->host->fail(ctx, err, EINVAL,
                               "reply of kind %u and format %u was not asked for",
                               (unsigned)reply->kind, (unsigned)reply->format);
    if (s->output.len + reply->len > OUT_MAX && s->output.len)
        return ctx->host->fail(ctx, err, EAGAIN, "%zu bytes wait for a slow reader",
                               s->output.len);
    if (output_put(s, reply) < 0)
        return ctx->host->fail(ctx, err, ENOMEM, "no memory for a reply of %zu bytes",
                               reply->len);
    int r = output_flush(s);
    if (r < 0) {
        output_unwatch(ctx);
        output_failed(ctx, -r);
        return ctx->host->fail(ctx, err, -r, "cannot write replies: %s", strerror(-r));
    }
    tickets_done(ctx, NULL);
    return s->output.len ? output_later(ctx, reply->ticket, err) : 0;
}

static int stdio_settle(struct berth_ctx *ctx, uint64_t message, int how,
                        struct berth_error *err)
{
    static const char *const hows[] = {"ack", "retry", "drop"};
    (void)err;
    ctx->host->log(ctx, BERTH_LOG_DEBUG, "message %" PRIu64 " settled: %s", message,
                   how >= 0 && how < 3 ? hows[how] : "?");
    return 0;
}

static int stdio_fd(struct berth_ctx *ctx)
{
    return ((struct stdio *)ctx->data)->look;
}

/* What was read and not handed over waits for the end of the drain, or goes back to being
 * unsent. */
static void stdio_drain(struct berth_ctx *ctx, int on)
{
    struct stdio *s = ctx->data;
    s->draining = on;
    if (!s->ended)
        input_watch(s, !on);
    if (!on)
        ctx->host->wake(
            ctx); /* whole tasks may lie in the buffer, of which the fd knows nothing */
}

/* A FIFO is opened for both, so that it neither waits for the other side nor ends when that
 * goes. */
static int open_file(struct berth_ctx *ctx, const char *option, int flags, int inherited,
                     struct berth_error *err)
{
    const char *path = ctx->host->option(ctx, option);
    struct stat st;
    if (stat(path, &st) == 0 && S_ISFIFO(st.st_mode))
        flags = O_RDWR;
    int fd = strcmp(path, "-") ? open(path, flags | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, 0600)
                               : fcntl(inherited, F_DUPFD_CLOEXEC, 3);
    return fd >= 0 ? fd
                   : ctx->host->fail(ctx, err, errno, "option '%s': cannot open '%s': %s",
                                     option, path, strerror(errno));
}

static void stdio_close(struct berth_ctx *ctx)
{
    struct stdio *s = ctx->data;
    if (!s)
        return;
    output_unwatch(ctx);
    while (s->first) {
        struct ticket *t = s->first;
        s->first = t->next;
        free(t);
    }
    for (int i = 0; i < 3; i++) {
        int fd = i == 0 ? s->in : i == 1 ? s->out : s->look;
        if (fd >= 0)
            close(fd);
    }
    bytes_free(&s->input);
    bytes_free(&s->output);
    free(s);
    ctx->data = NULL;
}

static int stdio_open(struct berth_ctx *ctx, struct berth_error *err)
{
    const char *format = ctx->host->option(ctx, "format");
    struct stdio *s = calloc(1, sizeof(*s));
    if (!s)
        return ctx->host->fail(ctx, err, ENOMEM, "out of memory");
    ctx->data = s;
    s->last_ticket = &s->first;
    s->in = s->out = s->look = -1;
    s->msgpack = !strcmp(format, "msgpack");
    s->max = (size_t)ctx->host->option_int(ctx, "max_bytes");
    s->flags = ctx->host->option_int(ctx, "on_the_line") ? BERTH_MESSAGE_ON_THE_LINE : 0;
    int r = 0;
    if (!s->msgpack && strcmp(format, "json"))
        r = ctx->host->fail(ctx, err, EINVAL,
                            "option 'format': '%s' is not json or msgpack", format);
    if (r == 0)
        r = s->in = open_file(ctx, "in", O_RDONLY, 0, err);
    if (r >= 0)
        r = s->out = open_file(ctx, "out", O_WRONLY | O_CREAT | O_APPEND, 1, err);
    if (r >= 0 && (s->look = epoll_create1(EPOLL_CLOEXEC)) < 0)
        r = ctx->host->fail(ctx, err, errno, "cannot make an epoll descriptor");
    if (r >= 0 && (r = input_watch(s, 1)) < 0)
        r = ctx->host->fail(ctx, err, -r, "cannot watch the input");
    if (r < 0)
        stdio_close(ctx);
    return r < 0 ? r : 0;
}

static const struct berth_option options[] = {
    {"in", BERTH_OPTION_STRING, 0, "-",
     "where tasks come from: a file, a FIFO, or - for standard input"},
    {"out", BERTH_OPTION_STRING, 0, "-",
     "where replies go: a file, a FIFO, or - for standard output"},
    {"format", BERTH_OPTION_STRING, 0, "json",
     "json, one per line, or msgpack behind a u32 length"},
    {"max_bytes", BERTH_OPTION_SIZE, 0, "8M", "longest line or frame"},
    {"on_the_line", BERTH_OPTION_BOOL, 0, "false",
     "the result is the acknowledgement: not made durable"},
    {NULL, 0, 0, NULL, NULL},
};

static const struct berth_transport stdio_transport =
    BERTH_TRANSPORT(.fd = stdio_fd, .recv = stdio_recv, .reply = stdio_reply,
                    .settle = stdio_settle, .drain = stdio_drain);

BERTH_PLUGIN(.name = "stdio", .version = "1",
             .summary = "fake transport over a file, FIFO or pipe", .options = options,
             .open = stdio_open, .close = stdio_close, .transport = &stdio_transport);
