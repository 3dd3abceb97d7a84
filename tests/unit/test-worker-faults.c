/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What happens when something dies: host, worker, supervisor, plugin, machine. */
#include "worker-host.h"

static const char config[] =
    "runtimes = (\n"
    "  { plugin = \"process\"; name = \"p\"; },\n"
    "  { plugin = \"null\"; name = \"n\"; instances = \"%s/files\"; },\n"
    "  { plugin = \"null\"; name = \"sick\"; fault = \"probe-crash\"; },\n"
    "  { plugin = \"null\"; name = \"dirty\"; fault = \"cleanup-fail\"; },\n"
    "  { plugin = \"null\"; name = \"blind\"; fault = \"collect-crash\"; },\n"
    "  { plugin = \"null\"; name = \"closed\"; fault = \"open-fail\"; },\n"
    "  { plugin = \"nothing\"; name = \"absent\"; }\n"
    ");\n"
    "executers = (\n"
    "  { name = \"sh\"; runtime = \"p\"; command = [ \"/bin/sh\", \"-c\" ]; kill_grace = "
    "\"100ms\"; },\n"
    "  { name = \"bare\"; runtime = \"p\"; command = [ \"/bin/sh\", \"-c\" ]; kill_grace = "
    "\"100ms\";\n"
    "    pid = false; },\n"
    "  { name = \"null\"; runtime = \"n\"; kill_grace = \"100ms\"; },\n"
    "  { name = \"image\"; runtime = \"n\"; image = \"missing-one\"; },\n"
    "  { name = \"dirty\"; runtime = \"dirty\"; },\n"
    "  { name = \"blind\"; runtime = \"blind\"; },\n"
    "  { name = \"absent\"; runtime = \"absent\"; }\n"
    ");\n";

static void run_one(const char *id, const char *executer, const char *arg)
{
    run("{\"id\":\"%s\",\"executer\":\"%s\",\"args\":[\"%s\"]}", id, executer, arg);
}

static pid_t supervisor_of(const char *id)
{
    const struct arrived *f = expect(FRAME_TASK_HELLO, id);
    return f ? (pid_t)value_int(&f->body, "pid", -1) : -1;
}

static pid_t payload_of(const char *id)
{
    const struct arrived *f = expect(FRAME_TASK_STARTED, id);
    return f ? (pid_t)value_int(&f->body, "payload_pid", -1) : -1;
}

static const char *error_of(const struct value *r, const char *key)
{
    return value_str(value_get(r, "error"), key, "(none)");
}

static bool is_running(const char *args)
{
    char line[128];
    snprintf(line, sizeof line, "pgrep -f '^%s$' >/dev/null", args);
    return system(line) == 0;
}

/* ---- the host dies ---- */

static void test_host_dies(void)
{
    char go[512];
    snprintf(go, sizeof go, "%s", path_of("files/go"));
    run("{\"id\":\"before\",\"executer\":\"null\",\"args\":[\"sleep=300ms\",\"print=one\"]"
        "}");
    run_one("during", "null", "sleep=100ms");
    payload_of("before");
    payload_of("during");
    host_die();
    host.seen_count = 0;
    usleep(
        200000); /* not waited for: the second shall have ended by now, but need not have */
    host_listen();
    const struct arrived *w = expect(FRAME_WORKER_HELLO, "");
    const struct value *list = w ? value_get(&w->body, "attempts") : NULL;
    is_int(list ? list->count : 0, 2,
           "the worker finds the new host and names its attempts");
    ok(expect(FRAME_WORKER_PROBE, ""), "and repeats what it can hold");
    const struct arrived *h = expect(FRAME_TASK_HELLO, "before");
    ok(h && value_get(&h->body, "task") && value_int(&h->body, "started_ms", 0) > 0,
       "a supervisor finds it too, and brings all that is to be known");
    const struct value *r = result_of("before");
    is_verdict(r, "succeeded", "");
    const struct arrived *d = expect(FRAME_TASK_DONE, "during");
    is_verdict(d ? value_get(&d->body, "result") : NULL, "succeeded", "");
    host_die();
    host.seen_count = 0;
    host_listen();
    expect(FRAME_WORKER_HELLO, "");
    h = expect(FRAME_TASK_HELLO, "during");
    is_str(h ? value_str(&h->body, "state", "") : "", "done",
           "unconfirmed: told again to the next");
    is_verdict(result_of("during"), "succeeded", "");
}

/* ---- a supervisor dies ---- */

static void test_supervisor_dies(const char *executer)
{
    run_one("victim", executer, "sleep 7531 & sleep 7531");
    pid_t supervisor = supervisor_of("victim"), payload = payload_of("victim");
    kill(supervisor, SIGKILL);
    const struct arrived *g = expect(FRAME_WORKER_GONE, "victim");
    ok(g && WTERMSIG((int)value_int(&g->body, "status", 0)) == SIGKILL,
       "%s: it is reported", executer);
    ok(wait_dead(payload), "%s: its payload is dead", executer);
    ok(!is_running("sleep 7531"), "%s: with all that it started", executer);
    ok(access(path_of("state/attempts/victim.1"), F_OK) < 0, "%s: nothing is left",
       executer);
}

static void test_supervisor_dies_alone(void)
{
    run_one("alone", "null", "hang");
    pid_t supervisor = supervisor_of("alone");
    payload_of("alone");
    host_die();
    host.seen_count = 0;
    kill(supervisor, SIGKILL);
    ok(wait_gone(path_of("state/attempts/alone.1")), "swept while there is no host");
    host_listen();
    expect(FRAME_WORKER_HELLO, "");
    ok(expect(FRAME_WORKER_GONE, "alone"), "and told to the next");
}

/* ---- the worker dies ---- */

static void test_worker_dies(void)
{
    char name[8] = "p";
    run_one("orphan", "sh", "sleep 0.5; echo on");
    run_one("orphan2", "sh", "sleep 7532");
    pid_t second = supervisor_of("orphan2");
    payload_of("orphan");
    payload_of("orphan2");
    kill(host.worker, SIGKILL);
    waitpid(host.worker, NULL, 0);
    close(host.monitor_fd);
    is_verdict(result_of("orphan"), "succeeded", "");
    host.seen_count = 0;
    worker_start(name);
    send_to(host.worker_conn, FRAME_SWEEP, "orphan2", 1, NULL, (struct value){0});
    const struct arrived *s = expect(FRAME_WORKER_SWEPT, "orphan2");
    ok(s && !value_bool(&s->body, "ok", true), "what lives is not swept: %s",
       s ? value_str(&s->body, "error", "") : "");
    kill(second, SIGKILL);
    waitpid(second, NULL, 0);
    send_to(host.worker_conn, FRAME_SWEEP, "orphan2", 1, NULL, (struct value){0});
    s = expect(FRAME_WORKER_SWEPT, "orphan2");
    ok(s && value_bool(&s->body, "ok", false), "what is dead is");
    ok(!is_running("sleep 7532") && access(path_of("state/attempts/orphan2.1"), F_OK) < 0,
       "and nothing is left of it");
    send_to(host.worker_conn, FRAME_SWEEP, "orphan2", 1, NULL, (struct value){0});
    s = expect(FRAME_WORKER_SWEPT, "orphan2");
    ok(s && value_bool(&s->body, "ok", false), "sweeping nothing succeeds");
}

static void make_left_over(const char *name, const char *file)
{
    struct value record = value_new_map(host.arena);
    struct buf out = BUF_INIT;
    value_put_str(host.arena, &record, "runtime", "p");
    value_put_int(host.arena, &record, "slot", 3);
    value_to_msgpack(&record, &out);
    make_dirs(path_of("state/attempts/%s/work/deep", name), 0755);
    write_text(path_of("state/attempts/%s/lock", name), "");
    write_text(path_of("state/attempts/%s/%s", name, file), "");
    write_file_atomic(path_of("state/attempts/%s/task", name), out.data, out.len, 0644);
    buf_free(&out);
    char line[256];
    snprintf(line, sizeof line, "chown -R %u %s", host.uid,
             path_of("state/attempts/%s", name));
    if (host.uid && system(line) != 0)
        printf("# chown\n");
}

static void test_sweep_others(void)
{
    struct value keep = value_new_array(host.arena), it = value_new_map(host.arena);
    make_left_over("old.1", "stdout");
    make_left_over("kept.2", "stdout");
    make_left_over("spilled.1", "result");
    value_put_str(host.arena, &it, "id", "kept");
    value_put_int(host.arena, &it, "attempt", 2);
    value_add(host.arena, &keep, it);
    send_to(host.worker_conn, FRAME_SWEEP_OTHERS, "", 0, "keep", keep);
    ok(wait_gone(path_of("state/attempts/old.1")), "what nobody wants is removed");
    ok(access(path_of("state/attempts/kept.2"), F_OK) == 0, "what the host keeps is not");
    ok(access(path_of("state/attempts/spilled.1/result"), F_OK) == 0, "nor is a result");
}

/* ---- the machine goes down ---- */

static void test_shutdown(void)
{
    run_one("spill", "sh", "echo part; sleep 7533");
    run_one("spill2", "sh", "echo whole");
    pid_t first = supervisor_of("spill"), second = supervisor_of("spill2");
    payload_of("spill");
    expect(FRAME_TASK_DONE, "spill2");
    host_die();
    host.seen_count = 0;
    kill(first, SIGTERM);
    kill(second, SIGTERM);
    ok(wait_there(path_of("state/attempts/spill.1/result")) &&
           wait_there(path_of("state/attempts/spill2.1/result")),
       "without a host, results go to the disk");
    char *data = NULL;
    size_t len = 0;
    struct value r = {0};
    read_file(path_of("state/attempts/spill.1/result"), 1 << 20, &data, &len);
    is_int(value_from_msgpack(host.arena, data, len, &value_limits_default, &r, NULL), 0,
           "readable");
    is_verdict(&r, "preempted", "node");
    is_str(error_of(&r, "code"), "shutdown", "code");
    free(data);
    ok(wait_dead(first) && wait_dead(second) && !is_running("sleep 7533"),
       "and nothing runs");
    host_listen();
    expect(FRAME_WORKER_HELLO, "");
    ok(expect(FRAME_WORKER_GONE, "spill") && expect(FRAME_WORKER_GONE, "spill2"),
       "the worker tells");
    ok(access(path_of("state/attempts/spill.1/result"), F_OK) == 0,
       "and leaves the result");
}

/* ---- the plugin ---- */

static void test_engine(void)
{
    run_one("e1", "null", "exit=7");
    const struct value *r = result_of("e1");
    is_int(value_int(r, "exit_code", -1), 7, "run's status");
    is_str(value_str(value_get(value_get(r, "limits"), "enforced"), "network", ""), "no",
           "what the engine cannot hold is told");
    run_one("e2", "null", "fail=EIO");
    r = result_of("e2");
    is_verdict(r, "runtime_error", "runtime");
    has_str(error_of(r, "message"), "failed on request", "in the plugin's words");
    run_one("e3", "null", "fail-image");
    r = result_of("e3");
    is_verdict(r, "image_error", "caller");
    is_str(error_of(r, "detail"), "asked for by 'fail-image'", "with the longer text");
    run_one("e4", "null", "crash");
    is_verdict(result_of("e4"), "plugin_error", "runtime");
    run_one("e5", "null", "report=oom");
    is_verdict(result_of("e5"), "succeeded", "");
    run("{\"id\":\"e6\",\"executer\":\"null\",\"args\":[\"report=oom\",\"exit=1\"]}");
    is_verdict(result_of("e6"), "oom", "task");
    run("{\"id\":\"e7\",\"executer\":\"image\"}");
    is_verdict(result_of("e7"), "image_error", "caller");
    run("{\"id\":\"e8\",\"executer\":\"null\",\"args\":[\"ignore-term\",\"hang\"],"
        "\"timeout_ms\":100}");
    is_verdict(result_of("e8"), "timeout", "task");
    is_int(system("ls "
                  "/tmp/berth-worker-*/files/berth-e8* >/dev/null 2>&1") == 0,
           0, "an instance that was stopped is removed");
    run_one("e9", "sh", "true");
    const struct arrived *f = expect(FRAME_WORKER_REFUSED, "e9");
    is_str(f ? value_str(&f->body, "code", "") : "", "wrong_worker",
           "a task of another runtime");
    send_to(host.worker_conn, FRAME_RUN, "e10", 1, NULL, (struct value){0});
    ok(expect(FRAME_WORKER_REFUSED, "e10"), "a RUN without a task");
}

static void test_bad_plugins(void)
{
    static const char *const names[] = {"sick", "closed", "absent"};
    for (size_t i = 0; i < countof(names); i++) {
        host.seen_count = 0;
        worker_start(names[i]);
        const struct arrived *p = expect(FRAME_WORKER_PROBE, "");
        for (; p && value_bool(&p->body, "ok", false); p = expect(FRAME_WORKER_PROBE, ""))
            host.seen_count = 0; /* the last word of the worker before */
        ok(p && !value_bool(&p->body, "ok", true) && *value_str(&p->body, "error", ""),
           "%s: not healthy: %s", names[i], p ? value_str(&p->body, "error", "") : "");
        worker_stop();
    }
    worker_start("absent");
    run_one("a1", "absent", "x");
    const struct arrived *f = expect(FRAME_WORKER_REFUSED, "a1");
    is_str(f ? value_str(&f->body, "blame", "") : "", "runtime",
           "a worker without plugin refuses");
    worker_stop();
    worker_start("blind");
    run_one("b1", "blind", "exit=2");
    const struct value *r = result_of("b1");
    is_verdict(r, "failed", "task");
    has_str(value_str(value_get(r, "evidence"), "engine", ""), "crashed",
            "collect that crashes is told");
    worker_stop();
    worker_start("dirty");
    run_one("d1", "dirty", "exit=0");
    confirm(expect(FRAME_TASK_DONE, "d1"));
    ok(!expect_within(FRAME_WORKER_GONE, "d1", 300),
       "a failed cleanup after confirmation is no loss");
    ok(access(path_of("state/attempts/d1.1"), F_OK) == 0, "but is not forgotten");
    worker_stop();
}

static void all(bool root)
{
    printf("# %s\n", root ? "with capabilities" : "as a plain user");
    place_make(root, config);
    worker_start("p");
    test_supervisor_dies("sh");
    test_supervisor_dies("bare");
    test_worker_dies();
    test_sweep_others();
    test_shutdown();
    is_int(worker_stop(), 0, "the worker ends with its monitor");
    worker_start("n");
    test_engine();
    test_host_dies();
    test_supervisor_dies_alone();
    worker_stop();
    if (root)
        test_bad_plugins();
    place_remove();
}

int main(void)
{
    if (geteuid() == 0)
        all(true);
    else
        skip("not root", "no capabilities to grant");
    all(false);
    return tap_done();
}
