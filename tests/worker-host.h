/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A host that is only a test: forks a runtime worker, listens on host.sock, and waits
 * for frames. */
#ifndef TESTS_WORKER_HOST_H
#define TESTS_WORKER_HOST_H

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/fail.h"
#include "base/str.h"
#include "plugin/loader.h"
#include "tap.h"
#include "wire/conn.h"
#include "wire/frames.h"
#include "worker/worker.h"
#include <berth/transport.h>

#define WAIT_MS 15000
#define CONNS 64

struct arrived {
    int type, conn;
    struct value body;
};

static struct {
    char dir[64];
    struct config *config;
    struct cgroup_base *cgroups;
    bool root; /* the worker gets capabilities, else it is a plain user's */
    uid_t uid;
    int listen_fd, conns[CONNS], worker_conn;
    pid_t worker;
    int monitor_fd;
    struct arena *arena; /* of everything received */
    struct arrived seen[4096];
    size_t seen_count;
} host = {.listen_fd = -1, .worker_conn = -1, .monitor_fd = -1};

__attribute__((format(printf, 1, 2))) static inline const char *path_of(const char *format,
                                                                        ...)
{
    static char out[8][512];
    static unsigned turn;
    char *to = out[turn++ % 8];
    int n = snprintf(to, 512, "%s/", host.dir);
    va_list ap;
    va_start(ap, format);
    vsnprintf(to + n, 512 - (size_t)n, format, ap);
    va_end(ap);
    return to;
}

static inline void host_listen(void)
{
    struct berth_error err = {0};
    host.listen_fd = unix_listen(path_of("run/host.sock"), 0600, &err);
    if (host.listen_fd < 0 ||
        (host.uid && chown(path_of("run/host.sock"), host.uid, host.uid) < 0))
        printf("Bail out! %s\n", err.text);
    for (int i = 0; i < CONNS; i++)
        host.conns[i] = -1;
    host.worker_conn = -1;
}

/* As kill -9 of the host would have it. */
static inline void host_die(void)
{
    close(host.listen_fd);
    host.listen_fd = -1;
    for (int i = 0; i < CONNS; i++)
        if (host.conns[i] >= 0)
            close(host.conns[i]);
}

static inline void host_accept(void)
{
    int fd = accept4(host.listen_fd, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; fd >= 0 && i < CONNS; i++)
        if (host.conns[i] < 0) {
            host.conns[i] = fd;
            return;
        }
}

static inline void host_receive(int i)
{
    struct arrived *f = &host.seen[host.seen_count];
    struct berth_error err = {0};
    if (wire_recv(host.conns[i], host.arena, &f->type, &f->body, &err) < 0) {
        close(host.conns[i]);
        host.conns[i] = -1;
        return;
    }
    f->conn = i;
    if (f->type == FRAME_WORKER_HELLO)
        host.worker_conn = i;
    host.seen_count++;
}

static inline void host_turn(int wait_ms)
{
    struct pollfd p[CONNS + 1] = {{.fd = host.listen_fd, .events = POLLIN}};
    for (int i = 0; i < CONNS; i++)
        p[i + 1] = (struct pollfd){.fd = host.conns[i], .events = POLLIN};
    if (poll(p, CONNS + 1, wait_ms) <= 0)
        return;
    if (p[0].revents)
        host_accept();
    for (int i = 0; i < CONNS; i++)
        if (p[i + 1].revents && host.conns[i] >= 0)
            host_receive(i);
}

/* The next frame of that type about that task ("" any), taken out of what was seen. NULL
 * in time. */
static inline const struct arrived *expect_within(int type, const char *id, int64_t ms)
{
    static struct arrived found[16];
    static unsigned turn;
    for (int64_t end = now_ms() + ms;;) {
        for (size_t i = 0; i < host.seen_count; i++) {
            struct arrived *f = &host.seen[i];
            if (f->type != type || (*id && strcmp(value_str(&f->body, "id", ""), id) != 0))
                continue;
            struct arrived *to = &found[turn++ % 16];
            *to = *f;
            memmove(f, f + 1, (--host.seen_count - i) * sizeof *f);
            return to;
        }
        int64_t left = end - now_ms();
        if (left <= 0)
            return NULL;
        host_turn((int)left);
    }
}

static inline const struct arrived *expect(int type, const char *id)
{
    const struct arrived *f = expect_within(type, id, WAIT_MS);
    if (!f)
        ok(false, "frame %d of '%s' came", type, id);
    return f;
}

static inline void send_to(int conn, int type, const char *id, int attempt, const char *key,
                           struct value v)
{
    struct value body = value_new_map(host.arena);
    value_put_str(host.arena, &body, "id", id);
    value_put_int(host.arena, &body, "attempt", attempt);
    value_put_int(host.arena, &body, "slot", 1);
    value_put_int(host.arena, &body, "queued_ms", unix_ms());
    if (key)
        value_put(host.arena, &body, key, v);
    if (conn >= 0)
        wire_send(host.conns[conn], type, &body, NULL);
}

static inline void run_task(const struct task *t, int attempt)
{
    struct buf out = BUF_INIT;
    task_encode(t, &out);
    send_to(host.worker_conn, FRAME_RUN, t->id, attempt, "task",
            value_new_bin(host.arena, out.data, out.len));
    buf_free(&out);
}

static inline void task_of(const char *json, struct task *ret)
{
    struct berth_error err = {0};
    if (task_decode(host.arena, json, strlen(json), BERTH_FORMAT_JSON, 64 << 20, ret,
                    &err) < 0)
        ok(false, "the test's own task: %s", err.text);
}

/* RUN of the first attempt of a task in JSON. */
__attribute__((format(printf, 1, 2))) static inline void run(const char *format, ...)
{
    char json[8192];
    va_list ap;
    va_start(ap, format);
    vsnprintf(json, sizeof json, format, ap);
    va_end(ap);
    struct task t;
    task_of(json, &t);
    run_task(&t, 1);
}

static inline void confirm(const struct arrived *f)
{
    if (f)
        send_to(f->conn, FRAME_TASK_CONFIRM, value_str(&f->body, "id", ""),
                (int)value_int(&f->body, "attempt", 0), NULL, (struct value){0});
}

static inline bool wait_gone(const char *path)
{
    for (int64_t end = now_ms() + WAIT_MS; now_ms() < end; host_turn(5))
        if (access(path, F_OK) < 0)
            return true;
    return false;
}

static inline bool wait_there(const char *path)
{
    for (int64_t end = now_ms() + WAIT_MS; now_ms() < end; host_turn(5))
        if (access(path, F_OK) == 0)
            return true;
    return false;
}

/* Dead, or a zombie that nobody has reaped yet. */
static inline bool wait_dead(pid_t pid)
{
    char file[64];
    snprintf(file, sizeof file, "/proc/%d/stat", (int)pid);
    for (int64_t end = now_ms() + WAIT_MS; now_ms() < end; host_turn(5)) {
        char *text = NULL;
        size_t len;
        bool dead = read_file(file, 4096, &text, &len) < 0 || strstr(text, ") Z ");
        free(text);
        if (dead)
            return true;
    }
    return false;
}

/* The result of a task, confirmed, with its directory gone. */
static inline const struct value *result_of(const char *id)
{
    const struct arrived *f = expect(FRAME_TASK_DONE, id);
    if (!f)
        return NULL;
    confirm(f);
    ok(wait_gone(path_of("state/attempts/%s.1", id)), "%s: its directory is removed", id);
    return value_get(&f->body, "result");
}

#define is_verdict(result, want_verdict, want_blame)                                    \
    do {                                                                                \
        const struct value *r_ = (result);                                              \
        is_str(value_str(r_, "verdict", ""), want_verdict, "verdict %s", want_verdict); \
        is_str(value_str(r_, "blame", ""), want_blame, "blame '%s'", want_blame);       \
        if (strcmp(value_str(r_, "verdict", ""), want_verdict))                         \
            printf("#   error: %s\n",                                                   \
                   value_str(value_get(r_, "error"), "message", "none"));               \
    } while (0)

/* ---- the worker ---- */

static inline void become_plain_user(void)
{
    if (host.uid &&
        (setgroups(0, NULL) < 0 || setresgid(host.uid, host.uid, host.uid) < 0 ||
         setresuid(host.uid, host.uid, host.uid) < 0))
        _exit(99);
}

static inline void worker_child(const char *runtime, int fd)
{
    struct worker_start start = {
        .config = host.config, .cgroups = host.cgroups, .monitor_fd = fd};
    char *file = NULL;
    start.block = config_runtime(host.config, runtime);
    start.plugin_fd = plugin_find(host.config->plugin_path, start.block->plugin, &file,
                                  &start.plugin_error);
    start.plugin_path = file;
    start.drop.uid = start.drop.gid = host.uid;
    start.drop.change_ids = host.root;
    static const char *const caps[] = {"setuid",     "setgid", "kill",         "sys_admin",
                                       "sys_chroot", "chown",  "dac_override", "fowner", NULL};
    if (host.root)
        capset_parse(caps, &start.drop.keep, NULL);
    else
        become_plain_user();
    close(host.listen_fd);
    worker_main(&start);
}

static inline void worker_start(const char *runtime)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        return;
    host.worker = fork();
    if (host.worker == 0) {
        close(fds[0]);
        worker_child(runtime, fds[1]);
    }
    close(fds[1]);
    host.monitor_fd = fds[0];
    expect(FRAME_WORKER_HELLO, "");
}

/* The way it ends when the monitor dies. */
static inline int worker_stop(void)
{
    int status = -1;
    close(host.monitor_fd);
    waitpid(host.worker, &status, 0);
    return status;
}

/* ---- the place ---- */

static inline void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static inline bool build_plugin(const char *dir, const char *name)
{
    char line[1024];
    const char *src = getenv("BERTH_SRCDIR") ?: ".", *cc = getenv("CC") ?: "cc";
    snprintf(line, sizeof line,
             "%s -std=gnu17 -shared -fPIC -O1 -I%s/include -o %s/%s.so "
             "%s/plugins/runtime-%s/%s.c",
             cc, src, dir, name, src, name, name);
    return system(line) == 0;
}

/* config: what follows host = { ... }; with at most one %s for the place. */
static inline void place_make(bool root, const char *config)
{
    struct berth_error err = {0};
    char text[8192], own[4096];
    host.root = root;
    host.uid = geteuid() ? 0 : 60999;
    host.arena = arena_new();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    snprintf(host.dir, sizeof host.dir, "/tmp/berth-worker-XXXXXX");
    if (!mkdtemp(host.dir) || chmod(host.dir, 0755) < 0)
        printf("Bail out! mkdtemp\n");
    static const char *const dirs[] = {"state", "run", "plugins", "files"};
    for (size_t i = 0; i < countof(dirs); i++) {
        mkdir(path_of("%s", dirs[i]), 0711);
        if (host.uid && i != 2 && chown(path_of("%s", dirs[i]), host.uid, host.uid) < 0)
            printf("Bail out! chown\n");
    }
    ok(build_plugin(path_of("plugins"), "null") &&
           build_plugin(path_of("plugins"), "process"),
       "plugins are built");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(own, sizeof own, config, host.dir);
#pragma GCC diagnostic pop
    snprintf(
        text, sizeof text,
        "host = { name = \"test\"; state_dir = \"%s/state\"; run_dir = \"%s/run\";\n"
        "log_level = \"%s\"; max_task = \"32M\"; files = { in_roots = [ \"%s/files\" ]; "
        "out_roots = [ \"%s/files\" ]; };\n"
        "uid_base = 700000; uid_count = 100; };\nplugin_path = [ \"%s/plugins\" ];\n%s",
        host.dir, host.dir, getenv("TEST_LOG") ?: "err", host.dir, host.dir, host.dir, own);
    write_text(path_of("berth.conf"), text);
    if (config_load(path_of("berth.conf"), &host.config, &err) < 0)
        printf("Bail out! %s\n", err.text);
    host.cgroups = cgroup_base_new(root ? host.dir + 5 : NULL, host.uid, host.uid);
    host_listen();
}

/* Whatever a failed test left running came to us, the subreaper. */
static inline void kill_orphans(void)
{
    char *text = NULL;
    size_t len;
    for (; read_file("/proc/thread-self/children", 65536, &text, &len) == 0 && len > 1;
         text = NULL) {
        for (char *save, *p = strtok_r(text, " ", &save); p;
             p = strtok_r(NULL, " ", &save))
            kill((pid_t)atol(p), SIGKILL);
        waitpid(-1, NULL, 0); /* whoever ends: an init waits for what died in its namespace */
        free(text);
    }
    free(text);
}

static inline void place_remove(void)
{
    char line[400];
    host_die();
    kill_orphans();
    config_free(host.config);
    cgroup_base_free(host.cgroups); /* the tree stays for the next daemon: not so a test's */
    /* On version 2 this process, and so the shell, is in there. And find complains when
     * groups of other tests vanish under it. */
    snprintf(line, sizeof line,
             "exec 2>/dev/null; for pid in $PPID $$; do echo $pid >/sys/fs/cgroup/cgroup.procs; done;"
             " all() { find /sys/fs/cgroup -depth -type d -path '*%.50s*' \"$@\"; };"
             " all -exec rmdir {} +; test -z \"$(all)\"",
             host.dir + 5);
    ok(!host.root || system(line) == 0, "its control groups are empty and removed");
    arena_free(host.arena);
    host.seen_count = 0;
    snprintf(line, sizeof line, "rm -rf %.60s", host.dir);
    ok(system(line) == 0, "its directory is removed");
}

#endif
