/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * What a host that was taken over may say to a worker and to a supervisor. Each line of the input is the
 * number of a frame and its body as JSON; type 0 is a record that an attempt left in the state directory.
 * Frames end where a process would be started, and nothing is signalled.
 */
#include "../../src/worker/supervisor.c"
#include "../../src/worker/sweep.c"
#include "fuzz/fuzz.h"

#include <fcntl.h>

#include "worker/cgroup_int.h"

const struct berth_plugin *berth_plugin_entry(void);

/* Tracks all processes, so that no orphan is looked for: the children here are libFuzzer's. */
static struct cgroup_base groups = {.use = CG_TRACK};
static struct plugin plugin;
static struct worker w;
static struct supervisor s;

static void set_up_config(const char *state)
{
    static const char text[] =
        "host = { name = \"n\"; state_dir = \"%s\"; run_dir = \"%s/run\"; uid_base = "
        "200000;\n"
        "  uid_count = 100; resources = { cpus = 8; memory = \"8G\"; pids = 4096; }; };\n"
        "runtimes = ( { plugin = \"null\"; }, { plugin = \"process\"; } );\n"
        "executers = ( { name = \"any\"; runtime = \"null\"; },\n"
        "  { name = \"other\"; runtime = \"process\"; command = [ \"x\" ]; } );\n"
        "adhoc = ( { runtime = \"null\"; images = [ \"*\" ]; } );\n";
    cleanup_buf struct buf b = BUF_INIT;
    struct berth_error err = {0};
    buf_fmt(&b, text, state, state);
    fuzz_file(100, b.data, b.len);
    static struct config *config;
    fuzz_must(config_load("/proc/self/fd/100", &config, &err), err.text);
    w.rt.config = config;
    w.rt.block = &config->runtimes[0];
}

static void fuzz_set_up(void)
{
    const struct berth_plugin *p = berth_plugin_entry();
    char path[512];
    snprintf(path, sizeof path, "%s/" ATTEMPTS_DIR "/left-over.1", fuzz_dir());
    fuzz_must(make_dirs(path, 0755), path);
    set_up_config(fuzz_dir());
    fuzz_quiet();
    plugin.desc = *p;
    memcpy(&plugin.runtime, p->runtime,
           p->runtime->size < sizeof plugin.runtime ? p->runtime->size
                                                    : sizeof plugin.runtime);
    w.rt.plugin = &plugin;
    w.rt.cgroups = &groups;
    w.rt.isolation.can = ~0u;
    probe_default(&w.rt.probe);
    struct berth_error err = {0};
    fuzz_must(options_resolve(p->executer_options, NULL, "it", &w.rt.adhoc_options, &err),
              err.text);
    w.loop = loop_new();
    w.sweep_timer = loop_timer_add(w.loop, 100000, sweep_turn, &w);
    w.link = host_link_new(w.loop, "/nowhere", link_up, NULL, NULL, &w);
    fuzz_must(w.link && w.sweep_timer ? 0 : -ENOMEM, "loop");
    w.sweeping = SWEEP_AT_ONCE; /* so that no other is begun */
}

static void run(const struct value *body)
{
    struct berth_error err = {0};
    struct attempt *at = NULL;
    struct refusal why = {0};
    int r = attempt_new(&w.rt, body, &at, &why, &err);
    fuzz_check_error(r, &err);
    if (r < 0) { /* as the worker then tells the host, with the id as it came */
        cleanup_arena struct arena *a = arena_new();
        struct value said = refusal_value(a, value_str(body, "id", ""),
                                          (int)value_int(body, "attempt", 0), &why, err.text);
        fuzz_check(*value_str(&said, "verdict", "") && *value_str(&said, "blame", ""));
        return;
    }
    fuzz_check(is_task_id(at->id, strlen(at->id)) && at->number > 0);
    fuzz_check(at->uid == (uid_t)-1 || (at->uid >= 200000 && at->uid < 200100));
    fuzz_check(!strncmp(at->instance, "berth-", 6) && strlen(at->instance) < 64);
    attempt_forget_bytes(at);
    attempt_free(at);
}

static void record(const struct value *body)
{
    char path[512];
    cleanup_buf struct buf out = BUF_INIT;
    snprintf(path, sizeof path, "%s/" ATTEMPTS_DIR "/left-over.1/task", fuzz_dir());
    cleanup_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    fuzz_check(value_to_msgpack(body, &out) == 0);
    fuzz_must(fd < 0 || write(fd, out.data, out.len) < 0 ? -errno : 0, path);
}

/* To a supervisor whose attempt is being gathered: nothing is left to kill, and its result is not out. */
static void to_supervisor(int type, const struct value *body)
{
    static struct attempt at = {.id = "x", .number = 1, .lock_fd = -1};
    s = (struct supervisor){.rt = &w.rt, .at = &at, .state = GATHERING, .loop = w.loop};
    link_frame(&s, type, body, NULL);
    fuzz_check(s.state == GATHERING);
    fuzz_check(!s.confirmed || type == FRAME_TASK_CONFIRM);
    s.state = DRAINING;
    s.end.reaped = true;
    link_frame(&s, type, body, NULL);
    fuzz_check(s.state == DRAINING);
}

static void frame(int type, const struct value *body)
{
    switch (type) {
    case 0:
        record(body);
        return;
    case FRAME_RUN: {
        struct options *adhoc = w.rt.adhoc_options;
        run(body);
        w.rt.adhoc_options = NULL; /* a runtime that only executers can use */
        run(body);
        w.rt.adhoc_options = adhoc;
        return;
    }
    case FRAME_SWEEP:
        sweep_asked(&w, body);
        return;
    case FRAME_SWEEP_OTHERS:
        sweep_others(&w, body);
        return;
    default:
        to_supervisor(type, body);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_lines in = {(const char *)data, (const char *)data + size};
    if (!w.loop)
        fuzz_set_up();
    for (char *line; (line = fuzz_line(&in)); free(line)) {
        cleanup_arena struct arena *a = arena_new();
        char *json;
        long type = strtol(line, &json, 10);
        const struct value *body = fuzz_map_packed(a, json);
        if (body && type >= 0 && type < 256)
            frame((int)type, body);
    }
    while (w.sweeps)
        sweep_free(w.sweeps);
    return 0;
}
