/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A host for one transport plugin: loads it, lends it the services, and plays berthd's part. */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <berth/transport.h>

#define FAKE_WATCH_MAX 4096
#define FAKE_MESSAGE_MAX 4096
#define FAKE_LOG_MAX 16

struct fake_option {
    const char *name, *value;
};

struct fake_message {
    uint64_t number;
    uint32_t flags, format, reply_format;
    char tenant[80];
    char *data;
    size_t len;
    bool forgotten, persisted, settled;
};

struct fake_log {
    bool open;
    char *data;
    size_t len, at;
    bool done;
    int stream;
    uint64_t offset;
    berth_timer_fn *fn;
    void *arg;
};

struct fake_watch {
    int id;
    int fd; /* -1: a timer */
    int64_t due_ms;
    berth_fd_fn *fd_fn;
    berth_timer_fn *timer_fn;
    void *arg;
};

struct fake {
    struct berth_ctx ctx; /* first */
    const struct berth_plugin *plugin;
    const struct fake_option *options;
    int epoll_fd, next_id;
    struct fake_watch watch[FAKE_WATCH_MAX];
    int watch_count;
    bool woken;
    long events; /* of descriptors and timers, so far */
    struct fake_message message[FAKE_MESSAGE_MAX];
    int message_count, answered;
    struct fake_log log[FAKE_LOG_MAX];
    int logs_opened, logs_closed;
    bool ready;
    bool quiet; /* what the plugin logs is not shown */
    char last_log[512], listening[128];
    struct berth_error error; /* of a failed open or start */
    char query[1024];         /* the last one, as text */
};

/* Loads the plugin and runs open and start. 0 or -errno, f->error tells. */
int fake_start(struct fake *f, const char *path, const struct fake_option *options);
/* The same with a plugin that is linked into the program. */
int fake_start_entry(struct fake *f, const struct berth_plugin *plugin,
                     const struct fake_option *options);
void fake_stop(struct fake *f);
/* The plugin that is tested: $BERTH_HTTP_PLUGIN, or that of the build directory. */
const char *fake_plugin_path(void);
/* One turn of the loop, waiting up to ms for an event. */
void fake_turn(struct fake *f, int ms);
/* Turns until *done, or false after five seconds. */
bool fake_until(struct fake *f, const bool *done);
int64_t fake_now(void);
/* The plugin's sockets besides: events on fd end a turn's waiting. */
void fake_listen_to(struct fake *f, int fd);
void fake_reply(struct fake *f, const struct fake_message *m, uint32_t kind, int error_code,
                const char *error_text, const char *data);
void fake_settle(struct fake *f, struct fake_message *m);
/* Appends to the log; fn is called. */
void fake_log_add(struct fake *f, struct fake_log *log, const char *text);
void fake_log_end(struct fake *f, struct fake_log *log);
int fake_port(const struct fake *f);

#endif
