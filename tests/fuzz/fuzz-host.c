/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A host, in this process, and all that others may say to it. Each line of the input begins with who
 * speaks:
 *   a b c   a connection to host.sock: a worker or a supervisor (results come this way)
 *   p q r   a connection to ctl.sock: berth(1)
 *   m       the monitor: the rest is its line
 *   t       a transport: a digit (1: on the line, 2: msgpack, 4: of a tenant) and the task
 *   s       the store: the rest is a row that it held before this host began
 *   f       an attempt: "ID.N FILE " and what it left in that file of its directory
 * Workers, supervisors and berth(1) go on with the number of a frame and its body as JSON, or '-': the connection is closed.
 */
#include "../../src/host/host.c"
#include "../../src/host/job_int.h"
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "store/rows.h"
#include "wire/header.h"
#include "worker/attempt.h"
#include "worker/tree.h"
#include "worker/worker.h"

#define SPEAKERS 6
#define PATIENCE 60000 /* turns for the store to answer, on a disk that is busy */

static const char config_text[] =
    "host = { name = \"n\"; state_dir = \"%s\"; run_dir = \"%s/run\"; max_queued = 8;\n"
    "  resources = { cpus = 8; memory = \"8G\"; disk = \"8G\"; pids = 4096; gpus = 2; };\n"
    "  gpus = [ \"0\", \"1\" ]; retry_delay = 0; };\n"
    "runtimes = ( { plugin = \"null\"; }, { plugin = \"process\"; } );\n"
    "executers = ( { name = \"any\"; runtime = \"null\"; retries = 1; },\n"
    "  { name = \"other\"; runtime = \"process\"; command = [ \"x\" ]; } );\n"
    "adhoc = ( { runtime = \"null\"; images = [ \"*\" ]; } );\n";

static struct host *h;
static struct transport_link transport;
static uint64_t messages;
static struct loop_timer *pause_timer;
static int monitor = -1, speakers[SPEAKERS];
static int64_t next_row = 1;

static void on_pause(void *arg)
{
    loop_stop(arg);
}

static void turn(int64_t ms)
{
    loop_timer_set(pause_timer, ms);
    loop_run(h->loop);
}

static void on_barrier(void *arg, int rc, const struct berth_error *err)
{
    (void)err;
    fuzz_check(rc == -ENOENT);
    *(bool *)arg = true;
}

/* Until the store has answered all, and what follows from its answers is done. It answers in order: a change of
 * a row that is not there comes back after all that was asked before. */
static void settle(void)
{
    static const struct store_row nothing = {.seq = INT64_MAX, .id = "nothing"};
    turn(0);
    do {
        bool passed = false;
        store_update(h->store, &nothing, false, on_barrier, &passed);
        for (int i = 0; !passed; i++) {
            fuzz_check(i < PATIENCE);
            turn(i < 1000 ? 0 : 1);
        }
    } while (store_backlog(h->store));
    turn(0);
}

static void set_up_files(const char *dir)
{
    char path[512];
    cleanup_buf struct buf text = BUF_INIT;
    snprintf(path, sizeof path, "%s/" ATTEMPTS_DIR, dir);
    fuzz_must(make_dirs(path, 0755), path);
    snprintf(path, sizeof path, "%s/run", dir);
    fuzz_must(make_dirs(path, 0755), path);
    buf_fmt(&text, config_text, dir, dir);
    fuzz_file(100, text.data, text.len);
}

static int on_reply(struct berth_ctx *ctx, const struct berth_reply *reply,
                    struct berth_error *err)
{
    (void)ctx, (void)err;
    fuzz_check(reply->message <= messages && reply->task_id);
    fuzz_check(reply->data && reply->len);
    return 0;
}

static int on_settle(struct berth_ctx *ctx, uint64_t message, int how,
                     struct berth_error *err)
{
    (void)ctx, (void)how, (void)err;
    fuzz_check(message && message <= messages);
    return 0;
}

static void set_up_transport(void)
{
    static const struct config_plugin block = {.plugin = "it", .name = "it"};
    static struct plugin plugin = {.transport = {.reply = on_reply, .settle = on_settle}};
    transport = (struct transport_link){.host = h, .block = &block, .plugin = &plugin};
}

/* The order of host_set_up, without transports and without the giving up of rights. */
static void set_up(void)
{
    struct berth_error err = {0};
    static struct config *config;
    int fds[2];
    sigset_t set;
    fuzz_quiet();
    set_up_files(fuzz_dir());
    fuzz_must(config_load("/proc/self/fd/100", &config, &err), err.text);
    fuzz_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
              "socketpair");
    monitor = fds[0];
    h = calloc(1, sizeof *h);
    h->config = h->start.config = config;
    h->start.monitor_fd = fds[1];
    h->loop = loop_new();
    h->arena = arena_new();
    h->thread = pthread_self();
    h->started_unix_ms = unix_ms();
    fuzz_must(host_runtimes(h, &err), err.text);
    fuzz_must(host_timers(h, &err), err.text);
    /* this program is to end as any other */
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    fuzz_must(host_schedule(h, &err), err.text);
    fuzz_must(store_open(config->state_dir, h->loop, &h->store, &err), err.text);
    fuzz_must(links_open(h, &err), err.text);
    fuzz_must(ctl_open(h, &err), err.text);
    set_up_transport();
    pause_timer = loop_timer_add(h->loop, 0, on_pause, h->loop);
    for (int i = 0; i < SPEAKERS; i++)
        speakers[i] = -1;
}

/* ---- the speakers ---- */

static void hang_up(int i)
{
    if (speakers[i] >= 0)
        close(take_fd(speakers[i]));
    turn(0);
}

static int speaker_fd(int i)
{
    struct berth_error err = {0};
    char path[512];
    if (speakers[i] >= 0)
        return speakers[i];
    snprintf(path, sizeof path, "%s/run/%s.sock", fuzz_dir(), i < 3 ? "host" : "ctl");
    speakers[i] = unix_connect(path, &err);
    fuzz_must(speakers[i], err.text);
    fcntl(speakers[i], F_SETFL, O_NONBLOCK);
    turn(0);
    return speakers[i];
}

static void drain(int fd)
{
    char bytes[65536];
    while (fd >= 0 && recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        ;
}

static void say(int i, const char *rest)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf out = BUF_INIT;
    char *json;
    if (*rest == '-') {
        hang_up(i);
        return;
    }
    long type = strtol(rest, &json, 10);
    struct value *body = i < 3 ? fuzz_map_packed(a, json) : fuzz_map(a, json);
    if (!body || type < 0 || type > 255)
        return;
    fuzz_check(frame_add(&out, (int)type, body) == 0);
    int fd = speaker_fd(i);
    /* a host that hung up may be told so by SIGPIPE only */
    if (send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        hang_up(i);
    settle();
    drain(speakers[i]);
}

static void say_as_monitor(const char *rest)
{
    if (write(monitor, rest, strlen(rest)) > 0)
        settle();
    drain(monitor);
}

/* ---- a transport ---- */

static void send_task(const char *rest)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf packed = BUF_INIT;
    unsigned bits = *rest ? (unsigned)*rest++ & 7 : 0;
    const struct value *v = bits & 2 ? fuzz_map(a, rest) : NULL;
    if (bits & 2 && (!v || value_to_msgpack(v, &packed) < 0))
        return;
    struct berth_message m = {.size = sizeof m,
                              .message = ++messages,
                              .flags = bits & 1 ? BERTH_MESSAGE_ON_THE_LINE : 0,
                              .format = v ? BERTH_FORMAT_MSGPACK : BERTH_FORMAT_JSON,
                              .reply_format = BERTH_FORMAT_JSON,
                              .tenant = bits & 4 ? "blue" : NULL,
                              .data = v ? packed.data : rest,
                              .len = v ? packed.len : strlen(rest)};
    intake_message(&transport, &m);
    settle();
}

/* ---- what attempts left ---- */

static bool files_left;

static void leave_file(const char *rest)
{
    static const char *const known[] = {"task", "result", "stdout", "stdout.pos", "stderr"};
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf out = BUF_INIT;
    char name[200], file[16], id[129], path[1024];
    int number, used = 0;
    if (sscanf(rest, "%199s %15s %n", name, file, &used) != 2 || !used ||
        attempt_name_parse(name, id, &number) < 0)
        return;
    bool good = false;
    for (size_t i = 0; i < countof(known); i++)
        good |= !strcmp(file, known[i]);
    if (!good)
        return;
    const struct value *v = fuzz_map_packed(a, rest + used);
    if (!v || value_to_msgpack(v, &out) < 0)
        buf_str(&out, rest + used);
    snprintf(path, sizeof path, "%s/" ATTEMPTS_DIR "/%s", fuzz_dir(), name);
    fuzz_must(make_dirs(path, 0755), path);
    snprintf(path, sizeof path, "%s/" ATTEMPTS_DIR "/%s/%s", fuzz_dir(), name, file);
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    fuzz_must(fd < 0 || (out.len && write(fd, out.data, out.len) < 0) ? -errno : 0, path);
    files_left = true;
}

static void forget_files(void)
{
    int dir = open(fuzz_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (files_left && dir >= 0) {
        fuzz_must(tree_remove(dir, ATTEMPTS_DIR, (uid_t)-1, (gid_t)-1), ATTEMPTS_DIR);
        fuzz_must(mkdirat(dir, ATTEMPTS_DIR, 0755) < 0 ? -errno : 0, ATTEMPTS_DIR);
    }
    files_left = false;
    if (dir >= 0)
        close(dir);
}

/* ---- what was in the store ---- */

static void ignore(void *arg, int rc, const struct berth_error *err)
{
    (void)arg;
    fuzz_check_error(rc, err);
}

static void store_had(const char *json)
{
    cleanup_arena struct arena *a = arena_new();
    const struct value *v = fuzz_map_packed(a, json), *task = value_get(v, "task");
    if (!v || !task || task->type != VALUE_BIN)
        return;
    struct store_row row = {.seq = next_row++,
                            .id = value_str(v, "id", "x"),
                            .state = (int)value_int(v, "state", 0),
                            .attempt = (int)value_int(v, "attempt", 0),
                            .failures = (int)value_int(v, "failures", 0),
                            .losses = (int)value_int(v, "losses", 0),
                            .slot = (int)value_int(v, "slot", -1),
                            .priority = (int)value_int(v, "priority", 0),
                            .tenant = value_str(v, "tenant", ""),
                            .executer = value_str(v, "executer", "any"),
                            .runtime = value_str(v, "runtime", "null"),
                            .transport = value_str(v, "transport", ""),
                            .cancel = value_bool(v, "cancel", false),
                            .verdict = (int)value_int(v, "verdict", 0),
                            .queued_ms = value_int(v, "queued_ms", 0),
                            .started_ms = value_int(v, "started_ms", 0),
                            .finished_ms = value_int(v, "finished_ms", 0),
                            .not_before_ms = value_int(v, "not_before_ms", 0),
                            .task = task->s,
                            .task_len = task->len};
    store_insert(h->store, &row, false, ignore, NULL);
}

static void start_with_rows(void)
{
    struct berth_error err = {0};
    settle();
    fuzz_check_error(adopt_all(h, &err), &err);
    settle();
}

/* ---- from one input to the next ---- */

static void forget_rows(void)
{
    static struct db *db;
    struct berth_error err = {0};
    char path[512];
    snprintf(path, sizeof path, "%s/berth.db", fuzz_dir());
    if (!db)
        fuzz_must(rows_open_writer(path, &db, &err), err.text);
    fuzz_must(
        db_exec(db, "DELETE FROM tasks; DELETE FROM bodies; DELETE FROM results", &err),
        err.text);
}

static void forget_all(void)
{
    for (int i = 0; i < SPEAKERS; i++)
        hang_up(i);
    for (int i = 0; i < PATIENCE && (h->links || h->clients); i++)
        turn(0);
    fuzz_check(!h->links && !h->clients);
    settle();
    while (h->jobs)
        job_free(h->jobs);
    fuzz_check(!h->limbo && !h->body_bytes);
    struct sched_totals t;
    sched_totals(h->sched, &t);
    fuzz_check(!t.waiting && !t.delayed && !t.running);
    fuzz_check(!t.booked.memory_bytes && !t.booked.pids && !t.booked.gpus);
    h->draining = false;
    drain(monitor);
    forget_rows();
    forget_files();
}

/* Before the host has begun there is only what another left. */
static bool is_of_before(char *line)
{
    if (*line == 's')
        store_had(line + 1);
    else if (*line == 'f')
        leave_file(line + 1);
    else
        return false;
    return true;
}

static void hear(const char *line)
{
    static const char names[SPEAKERS + 1] = "abcpqr";
    const char *who = *line ? strchr(names, *line) : NULL;
    if (*line == 'm')
        say_as_monitor(line + 1);
    else if (*line == 't')
        send_task(line + 1);
    else if (*line == 'f')
        leave_file(line + 1);
    else if (who)
        say((int)(who - names), line + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_lines in = {(const char *)data, (const char *)data + size};
    bool begun = false;
    if (!h)
        set_up();
    h->next_seq = 1000;
    next_row = 1;
    messages = 0;
    for (char *line; (line = fuzz_line(&in)); free(line)) {
        if (!begun && is_of_before(line))
            continue;
        if (!begun)
            start_with_rows();
        begun = true;
        hear(line);
    }
    if (!begun)
        start_with_rows();
    forget_all();
    return 0;
}
