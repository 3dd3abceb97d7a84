/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The plugin ABI: descriptor, options, and the services that the host lends.
 *
 * A plugin is a shared object with one exported function, berth_plugin_entry, that returns a const
 * descriptor. BERTH_PLUGIN() writes that function. Nothing of the plugin runs at load.
 *
 * Versioning. BERTH_ABI grows only when an old plugin could misbehave; a host keeps a range of
 * numbers. Additive change makes a struct larger: the host copies the smaller of the two sizes,
 * reads the rest as zero, and a plugin tests `host->size` (or a member for NULL) before it uses a
 * service younger than 1.0. Members are never moved, and never taken away.
 *
 * Where callbacks run:
 *   transport plugin   in the host process, on its event loop; a callback must not block
 *   runtime plugin     `open`, `start` in the worker, after its capabilities were dropped; every
 *                      other callback in a process forked for that one call or attempt, where
 *                      it may block (the core times it) and may crash (it costs that attempt)
 *
 * What a callback leaves as it was. A plugin is a guest in its process. When a callback returns, or
 * while it is loaded, these are as they were: signal mask and dispositions, alarm, working
 * directory, umask, environment, locale, ids, resource limits, and each descriptor that is not the
 * plugin's own. There is no new child, neither running nor waiting to be reaped, and no new thread
 * but where `start` allows it. Nothing is written to stdout or stderr: that is what host->log is
 * for. No callback ends its process, and no C++ exception leaves one. What a plugin opens is
 * close-on-exec. Only `run` of a runtime is free of all this, since its process is the payload.
 */
#ifndef BERTH_PLUGIN_H
#define BERTH_PLUGIN_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/error.h>
#include <berth/task.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BERTH_ABI 1u     /* number that this header describes */
#define BERTH_ABI_MIN 1u /* oldest number that this host still loads */

struct berth_ctx;
struct berth_runtime;
struct berth_transport;
struct berth_command;
struct berth_query;

enum berth_log_level { BERTH_LOG_ERR = 3, BERTH_LOG_WARN = 4, BERTH_LOG_INFO = 6, BERTH_LOG_DEBUG = 7 };

enum berth_option_type {
    BERTH_OPTION_STRING = 0,
    BERTH_OPTION_INT = 1,
    BERTH_OPTION_BOOL = 2,
    BERTH_OPTION_FLOAT = 3,
    BERTH_OPTION_SIZE = 4,     /* bytes: 1048576 or "1M" (K M G T, powers of 1024) */
    BERTH_OPTION_DURATION = 5, /* milliseconds: 1500 or "1.5s" (ms s m h d) */
    BERTH_OPTION_LIST = 6      /* list of strings; a default is given comma-separated */
};

/* One config key of a plugin. A table ends with a NULL name. */
struct berth_option {
    const char *name;       /* [a-z][a-z0-9_]* */
    uint32_t type;          /* enum berth_option_type */
    uint32_t flags;         /* BERTH_OPTION_REQUIRED, BERTH_OPTION_SECRET */
    const char *value;      /* default, as it would be written in the config; NULL: not set */
    const char *help;       /* one line */
};
#define BERTH_OPTION_REQUIRED 1u
#define BERTH_OPTION_SECRET 2u /* its value is never shown or logged */

struct berth_plugin {
    uint32_t size; /* filled by BERTH_PLUGIN */
    uint32_t abi;  /* filled by BERTH_PLUGIN */
    const char *name;    /* [a-z][a-z0-9-]{0,31}, equal to the file's name without ".so" */
    const char *version; /* of the plugin, free text */
    const char *summary; /* one line */
    const struct berth_option *options; /* of its block under transports or runtimes; may be NULL */
    const struct berth_option *executer_options; /* runtime: further keys of its executers, or NULL */
    const char *const *capabilities; /* that it cannot work without, "sys_admin"; NULL-terminated */

    /*
     * Lifecycle, each may be NULL. `open`: the config is final; no thread may be started; a
     * transport binds its sockets here. `start`: the last capability is gone; threads are allowed
     * (transports only). `close` is called if `open` succeeded, also after a failed `start`; but a
     * plugin must not need it: every role of berthd may be killed at any moment. It gives back
     * what `open` and `start` took, and after it the plugin may be opened again.
     */
    int (*open)(struct berth_ctx *ctx, struct berth_error *err);
    int (*start)(struct berth_ctx *ctx, struct berth_error *err);
    void (*close)(struct berth_ctx *ctx);

    const struct berth_runtime *runtime;     /* exactly one of the two is set */
    const struct berth_transport *transport;
};

typedef const struct berth_plugin *berth_plugin_entry_fn(void);
typedef void berth_fd_fn(struct berth_ctx *ctx, int fd, uint32_t epoll_events, void *arg);
typedef void berth_timer_fn(struct berth_ctx *ctx, void *arg);
typedef int berth_write_fn(void *arg, const void *data, size_t len);

/*
 * Services. Unless said otherwise they are called on the thread of the callback, never block, and
 * never call back into the plugin before they return. A service that makes no sense for the kind
 * of plugin is NULL.
 */
struct berth_host {
    uint32_t size;
    uint32_t abi;

    /* ---- for every plugin ---- */

    /* Logs one line; plugin and task are added by the host. Callable from any thread. */
    void (*log)(struct berth_ctx *ctx, int level, const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 3, 4)))
#endif
        ;
    /* Fills err (may be NULL) and returns -code, so that `return host->fail(…)` is one statement. */
    int (*fail)(struct berth_ctx *ctx, struct berth_error *err, int code, const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 4, 5)))
#endif
        ;
    /* Values of the plugin's own options, defaults filled in. The name must be in its table.
     * Strings live as long as the plugin. option: NULL if not set (a list: use option_item). */
    const char *(*option)(struct berth_ctx *ctx, const char *name);
    int64_t (*option_int)(struct berth_ctx *ctx, const char *name); /* INT BOOL SIZE DURATION */
    double (*option_float)(struct berth_ctx *ctx, const char *name);
    size_t (*option_count)(struct berth_ctx *ctx, const char *name);
    const char *(*option_item)(struct berth_ctx *ctx, const char *name, size_t i);
    int64_t (*now_ms)(struct berth_ctx *ctx); /* CLOCK_MONOTONIC */

    /* ---- for transports ---- */

    /* Watches fd for EPOLLIN/EPOLLOUT (level-triggered). Returns an id > 0 or -errno. The plugin
     * owns fd and removes the watch before it closes it. */
    int (*watch_fd)(struct berth_ctx *ctx, int fd, uint32_t epoll_events, berth_fd_fn *fn, void *arg);
    /* Calls fn once, in delay_ms. Returns an id > 0 or -errno. */
    int (*watch_timer)(struct berth_ctx *ctx, int64_t delay_ms, berth_timer_fn *fn, void *arg);
    /* Removes a watch or a timer that has not fired; an unknown id is ignored. */
    void (*unwatch)(struct berth_ctx *ctx, int id);
    /* Asks the host to call `recv` soon. The only service besides log callable from any thread. */
    void (*wake)(struct berth_ctx *ctx);
    /* A `reply` that returned BERTH_LATER is done (err NULL) or failed. */
    void (*replied)(struct berth_ctx *ctx, uint64_t ticket, const struct berth_error *err);
    /* The caller of this message has gone: no further reply is made for it. The task goes on. */
    void (*forget)(struct berth_ctx *ctx, uint64_t message);
    /* A message taken with BERTH_MESSAGE_ON_THE_LINE shall be made durable after all; a reply of kind
     * BERTH_REPLY_ACCEPTED follows. */
    void (*persist)(struct berth_ctx *ctx, uint64_t message);
    /* Asks about, or changes, what the host holds; see berth/transport.h. Writes the answer
     * through `write`. Returns 0 or -errno (ENOENT, EINVAL, EAGAIN when overloaded, ...). */
    int (*query)(struct berth_ctx *ctx, const struct berth_query *query, berth_write_fn *write,
                 void *arg, struct berth_error *err);
    /* Opens the log of a task for reading from a byte offset; stream 1 stdout, 2 stderr. Returns a
     * handle > 0 or -errno. `fn` is called when there may be more to read; NULL: not wanted. */
    int (*log_open)(struct berth_ctx *ctx, const char *task_id, int stream, uint64_t offset,
                    berth_timer_fn *fn, void *arg, struct berth_error *err);
    /* Copies up to len bytes. > 0 bytes; 0 nothing now; -ENODATA the task is done and all was read. */
    int (*log_read)(struct berth_ctx *ctx, int handle, void *buf, size_t len);
    void (*log_close)(struct berth_ctx *ctx, int handle);
    /* Tells when the transport's source was last seen to answer; readiness depends on it. A
     * transport that never calls this has no source to lose. */
    void (*polled)(struct berth_ctx *ctx);

    /* ---- for runtimes ---- */

    /* Values of executer_options for this task, like option* above. */
    const char *(*task_option)(struct berth_ctx *ctx, const struct berth_task *task, const char *name);
    int64_t (*task_option_int)(struct berth_ctx *ctx, const struct berth_task *task, const char *name);
    double (*task_option_float)(struct berth_ctx *ctx, const struct berth_task *task, const char *name);
    size_t (*task_option_count)(struct berth_ctx *ctx, const struct berth_task *task, const char *name);
    const char *(*task_option_item)(struct berth_ctx *ctx, const struct berth_task *task,
                                    const char *name, size_t i);
    /* Builds a command: appends an argument, sets a variable of the environment (the last wins).
     * Both copy. Out of memory is remembered and reported when the command is used. */
    void (*command_arg)(struct berth_ctx *ctx, struct berth_command *cmd, const char *format, ...)
#if defined(__GNUC__)
        __attribute__((format(printf, 3, 4)))
#endif
        ;
    void (*command_env)(struct berth_ctx *ctx, struct berth_command *cmd, const char *name,
                        const char *value);
    /* Says more about the failure that this callback is about to return: how the attempt ends, whose
     * fault it is, and a longer text for the operator (may be NULL). Without it a failure is a
     * BERTH_VERDICT_RUNTIME_ERROR blamed on the runtime. */
    void (*blame)(struct berth_ctx *ctx, int verdict, int blame, const char *detail);

    /* ---- for transports, since 1.1 ---- */

    /* How many more tasks would start soon if they were here: how much to fetch from a durable source. */
    uint32_t (*credit)(struct berth_ctx *ctx);
    /* Name of this node (host.name). */
    const char *(*host_name)(struct berth_ctx *ctx);
    /* [0-9a-f]{12}: what hosts of one state directory have in common until the machine boots again, and
     * no others. */
    const char *(*host_mark)(struct berth_ctx *ctx);
    /* See BERTH_TRANSPORT_RESUMES. What a former host left of this transport's tasks, and what was not
     * handed over again, belongs to others now: it is ended, and its results are set aside. */
    void (*resumed)(struct berth_ctx *ctx);
    /* The source has given this message to another host. No reply and no settle follow; its attempt is
     * ended unless somebody else waits for it. Not for a message whose RESULT is under way. */
    void (*revoke)(struct berth_ctx *ctx, uint64_t message);
    /* The answer to `dead`: a msgpack map, or err. */
    void (*dead_done)(struct berth_ctx *ctx, uint64_t ticket, const void *data, size_t len,
                      const struct berth_error *err);
};

/* What a plugin gets in each callback. `data` is the plugin's own. */
struct berth_ctx {
    const struct berth_host *host;
    void *data;
};

#if defined(__GNUC__)
#define BERTH_EXPORT __attribute__((visibility("default")))
#else
#define BERTH_EXPORT
#endif

#ifdef __cplusplus
#define BERTH_EXTERN_C extern "C"
#else
#define BERTH_EXTERN_C
#endif

/*
 * The last line of a plugin: BERTH_PLUGIN(.name = "hello", .runtime = &hello_runtime);
 * (C++ before 20 has no designated initialisers: write berth_plugin_entry by hand there, with
 * size = sizeof(struct berth_plugin) and abi = BERTH_ABI.)
 */
#define BERTH_PLUGIN(...)                                                                          \
    BERTH_EXTERN_C BERTH_EXPORT const struct berth_plugin *berth_plugin_entry(void);               \
    const struct berth_plugin *berth_plugin_entry(void)                                            \
    {                                                                                              \
        static const struct berth_plugin plugin = {.size = (uint32_t)sizeof(struct berth_plugin),  \
                                                   .abi = BERTH_ABI, __VA_ARGS__};                 \
        return &plugin;                                                                            \
    }                                                                                              \
    struct berth_plugin

#ifdef __cplusplus
}
#endif
#endif
