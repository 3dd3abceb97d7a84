/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Worker and supervisor with the process runtime: every way an attempt can end, once with
 * the capabilities of a root start, once as a plain user without cgroups.
 */
#include "worker-host.h"

static const char config[] =
    "runtimes = ( { plugin = \"process\"; name = \"p\"; } );\n"
    "adhoc = ( { runtime = \"p\"; } );\n"
    "executers = (\n"
    "  { name = \"sh\"; runtime = \"p\"; command = [ \"/bin/sh\", \"-c\" ]; kill_grace = "
    "\"200ms\";\n"
    "    output_max = \"16M\"; },\n"
    "  { name = \"small\"; runtime = \"p\"; command = [ \"/bin/sh\", \"-c\" ]; output_max "
    "= 1000; },\n"
    "  { name = \"bare\"; runtime = \"p\"; command = [ \"/bin/sh\", \"-c\" ]; kill_grace = "
    "\"100ms\";\n"
    "    pid = false; mount = false; net = false; ipc = false; uts = false; own_uid = "
    "false; },\n"
    "  { name = \"missing\"; runtime = \"p\"; command = [ \"/no/such/program\" ]; },\n"
    "  { name = \"nonet\"; runtime = \"p\"; command = [ \"true\" ]; net = false; require = "
    "[ \"network\" ]; }\n"
    ");\n";

#define SH(id, script, more) \
    "{\"id\":\"" id "\",\"executer\":\"sh\",\"args\":[\"" script "\"]" more "}"

static const char *output_of(const struct value *r)
{
    const struct value *v = value_get(r, "output");
    return v && v->type == VALUE_BIN ? v->s : "(none)";
}

static const char *in(const struct value *r, const char *map, const char *key)
{
    return value_str(value_get(r, map), key, "(none)");
}

static void test_probe(void)
{
    const struct arrived *f = expect(FRAME_WORKER_PROBE, "");
    if (!f)
        return;
    const struct value *e = value_get(&f->body, "enforce");
    ok(value_bool(&f->body, "ok", false), "the runtime is healthy");
    is_str(value_str(e, "time", ""), "supervisor", "time is held");
    is_str(value_str(e, "uid", ""), host.root ? "setuid" : "no", "uid is told as it is");
    is_str(value_str(e, "pids", ""), host.root ? cgroup_base_kind(host.cgroups) : "no",
           "pids are told as they are");
    ok(host.root || *value_str(&f->body, "missing", ""), "what is missing is said: %s",
       value_str(&f->body, "missing", ""));
}

static void test_good_end(void)
{
    run(SH("good", "cat; echo err >&2; sleep 0.2",
           ",\"input\":\"hello\",\"resources\":{\"pids\":50}"));
    const struct arrived *h = expect(FRAME_TASK_HELLO, "good");
    is_str(h ? value_str(&h->body, "state", "") : "", "starting", "hello comes first");
    ok(h && value_get(&h->body, "task"), "hello brings the task");
    const struct arrived *s = expect(FRAME_TASK_STARTED, "good");
    ok(s && value_int(&s->body, "payload_pid", 0) > 0, "started names a pid");
    const struct value *r = result_of("good");
    is_verdict(r, "succeeded", "");
    is_int(value_int(r, "exit_code", -1), 0, "exit code");
    is_str(output_of(r), "hello", "output");
    is_str(value_str(r, "stderr_tail", ""), "err\n", "tail of stderr");
    ok(!value_get(r, "error"), "no error");
    is_int(value_int(value_get(value_get(r, "limits"), "asked"), "pids", 0), 50, "asked");
    is_str(in(value_get(r, "limits"), "enforced", "pids"),
           host.root ? cgroup_base_kind(host.cgroups) : "no", "enforced");
    ok(value_int(value_get(r, "usage"), "wall_ms", -1) >= 0, "usage");
    ok(value_int(r, "started_ms", 0) >= value_int(r, "queued_ms", 1), "times");
}

static void test_bad_ends(void)
{
    run(SH("three", "exit 3", ""));
    const struct value *r = result_of("three");
    is_verdict(r, "failed", "task");
    is_int(value_int(r, "exit_code", -1), 3, "exit code");
    is_str(in(r, "error", "code"), "exit", "code");
    run(SH("nine", "kill -9 $$", ""));
    r = result_of("nine");
    is_verdict(r, "failed", "task");
    is_int(value_int(r, "signal", -1), 9, "a user's kill -9 is told as such");
    is_str(in(r, "evidence", "signal_from"), "other", "it was not ours");
    ok(!value_get(r, "exit_code"), "and there is no exit code");
    run("{\"id\":\"missing\",\"executer\":\"missing\"}");
    r = result_of("missing");
    is_verdict(r, "runtime_error", "task");
    has_str(in(r, "error", "message"), "/no/such/program", "it names the program");
    run("{\"id\":\"adhoc\",\"runtime\":\"p\",\"image\":\"x\",\"command\":[\"true\"]}");
    const struct arrived *f = expect(FRAME_WORKER_REFUSED, "adhoc");
    is_str(f ? value_str(&f->body, "verdict", "") : "", "rejected",
           "the worker has its own opinion");
    ok(f && *value_str(&f->body, "message", ""), "and says why");
}

static void test_timeout(void)
{
    run(SH("late", "trap '' TERM; echo on; while :; do sleep 0.05; done",
           ",\"timeout_ms\":300"));
    const struct value *r = result_of("late");
    is_verdict(r, "timeout", "task");
    ok(value_bool(value_get(r, "evidence"), "sigkill", false),
       "who ignores TERM is killed");
    is_str(in(r, "evidence", "signal_from"), "berth", "by us");
    is_str(output_of(r), "on\n", "what it said before is kept");
    run(SH("polite", "trap 'exit 0' TERM; while :; do sleep 0.05; done",
           ",\"timeout_ms\":300"));
    r = result_of("polite");
    is_verdict(r, "timeout", "task");
    ok(!value_bool(value_get(r, "evidence"), "sigkill", true), "who obeys is not killed");
    is_int(value_int(r, "exit_code", -1), 0, "its status is told all the same");
    run("{\"id\":\"passed\",\"executer\":\"sh\",\"args\":[\"true\"],\"deadline_ms\":%lld}",
        (long long)unix_ms() - 1000);
    r = result_of("passed");
    is_verdict(r, "timeout", "caller");
    is_str(in(r, "error", "code"), "deadline", "a deadline that passed is no start");
}

static void test_cancel(void)
{
    run(SH("stop", "sleep 100 & sleep 100", ""));
    expect(FRAME_TASK_STARTED, "stop");
    const struct arrived *h = expect(FRAME_TASK_HELLO, "stop");
    if (!h)
        return;
    send_to(h->conn, FRAME_TASK_CANCEL, "other", 1, NULL, (struct value){0});
    send_to(h->conn, FRAME_TASK_CANCEL, "stop", 1, "verdict",
            value_new_str(host.arena, "preempted"));
    const struct value *r = result_of("stop");
    is_verdict(r, "preempted", "node");
    run(SH("unwanted", "sleep 100", ""));
    expect(FRAME_TASK_STARTED, "unwanted");
    confirm(expect(FRAME_TASK_HELLO, "unwanted"));
    ok(wait_gone(path_of("state/attempts/unwanted.1")),
       "a confirmation ends what nobody wants");
    ok(!expect_within(FRAME_TASK_DONE, "unwanted", 1), "without a result");
}

static void test_oom(void)
{
    run(SH("oom", "head -c 200000000 /dev/zero | tail -n 1 >/dev/null; exit 1",
           ",\"resources\":{\"memory\":33554432}"));
    const struct value *r = result_of("oom");
    if (!host.root || !cgroup_has_memory(host.cgroups)) {
        is_verdict(r, "failed", "task");
        is_str(in(value_get(r, "limits"), "enforced", "memory"), "rlimit",
               "held by a rlimit");
        return;
    }
    is_verdict(r, "oom", "task");
    ok(value_int(value_get(r, "evidence"), "oom_kills", 0) > 0, "with the kernel's count");
    run(SH("survivor", "head -c 200000000 /dev/zero | tail -n 1 >/dev/null; exit 0",
           ",\"resources\":{\"memory\":33554432}"));
    r = result_of("survivor");
    if (!strcmp(cgroup_base_kind(host.cgroups), "cgroup2")) /* memory.oom.group: none survives */
        is_verdict(r, "oom", "task");
    else
        is_verdict(r, "succeeded", "");
}

static void test_output(void)
{
    run("{\"id\":\"ring\",\"executer\":\"small\",\"args\":[\"seq 1 1000\"]}");
    const struct value *r = result_of("ring");
    const struct value *v = value_get(r, "output");
    ok(v && v->len == 1000 && !strncmp(v->s + 992, "99\n1000\n", 8), "the tail is kept");
    ok(value_bool(r, "output_truncated", false), "and said to be one");
    size_t len = 10 << 20;
    char *bytes = arena_alloc(host.arena, len);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    struct task t;
    task_of(SH("big", "cat", ""), &t);
    t.input = bytes;
    t.input_len = len;
    run_task(&t, 1);
    r = result_of("big");
    v = value_get(r, "output");
    ok(v && v->len == len && !memcmp(v->s, bytes, len), "10 MiB go through unchanged");
    run(SH("text", "printf 'a\\\\377\\\\000b' >&2", ""));
    is_str(value_str(result_of("text"), "stderr_tail", ""), "a??b", "stderr becomes text");
}

/* A process that goes its own way neither delays the result nor outlives it. */
static void test_descendants(const char *executer)
{
    run("{\"id\":\"leaver-%s\",\"executer\":\"%s\",\"args\":[\"(setsid sleep 987 &) ; "
        "sleep 0.1; echo $(pgrep -n "
        "sleep || echo 0)\"]}",
        executer, executer);
    const struct arrived *f =
        expect(FRAME_TASK_DONE, *executer == 's' ? "leaver-sh" : "leaver-bare");
    if (!f)
        return;
    is_verdict(value_get(&f->body, "result"), "succeeded", "");
    is_int(system("pgrep -f '^sleep 987$' >/dev/null") == 0, 0,
           "%s: nothing is left running", executer);
    confirm(f);
    ok(wait_gone(path_of("state/attempts/leaver-%s.1", executer)), "%s: all is removed",
       executer);
}

static void test_files(void)
{
    write_text(path_of("files/in.txt"), "from outside");
    chmod(path_of("files/in.txt"), 0644);
    run("{\"id\":\"files\",\"executer\":\"sh\",\"args\":[\"cat a/b c; cp c out.txt; mkdir "
        "-p d/e; echo x >d/e/1.log; "
        "chmod 0 d\"],\"files\":{\"in\":[{\"path\":\"a/b\",\"data\":\"inline "
        "\"},{\"path\":\"c\",\"from\":\"%s\"}],"
        "\"out\":[{\"path\":\"out.txt\",\"to\":\"%s\"},{\"path\":\"a/"
        "*\"},{\"path\":\"none\",\"optional\":true}]}}",
        path_of("files/in.txt"), path_of("files/out.txt"));
    const struct value *r = result_of("files");
    is_verdict(r, "succeeded", "");
    is_str(output_of(r), "inline from outside", "files are staged in");
    char *text = NULL;
    size_t len;
    is_int(read_file(path_of("files/out.txt"), 100, &text, &len), 0,
           "a file is staged out");
    is_str(text, "from outside", "with its content");
    free(text);
    const struct value *list = value_get(r, "files");
    is_int(list ? list->count : 0, 2, "two files are told of");
    run("{\"id\":\"nofile\",\"executer\":\"sh\",\"args\":[\"ln -s /etc/passwd "
        "link\"],\"files\":{\"out\":[{\"path\":\"link\"}]}}");
    r = result_of("nofile");
    is_verdict(r, "failed", "task");
    run("{\"id\":\"noin\",\"executer\":\"sh\",\"args\":[\"true\"],\"files\":{\"in\":[{"
        "\"path\":\"c\",\"from\":\"%s\"}]}}",
        path_of("files/nothing"));
    r = result_of("noin");
    is_verdict(r, "rejected", "caller");
    has_str(in(r, "error", "message"), "files/nothing", "it names the file");
}

static void test_limits(void)
{
    run("{\"id\":\"req\",\"executer\":\"nonet\"}");
    is_verdict(result_of("req"), "rejected", "caller");
    run(SH("disk", "head -c 3000000 /dev/zero >f || echo full",
           ",\"resources\":{\"disk\":1048576,\"memory\":67108864}"));
    const struct value *r = result_of("disk");
    is_verdict(r, "succeeded", "");
    is_str(in(value_get(r, "limits"), "enforced", "disk"), "tmpfs", "disk is held");
    is_str(output_of(r), "full\n", "it is");
    run(SH("disk2", "true", ",\"resources\":{\"disk\":104857600,\"memory\":67108864}"));
    r = result_of("disk2");
    is_str(in(value_get(r, "limits"), "enforced", "disk"), "no",
           "more disk than memory is not, and said so");
    run("{\"id\":\"reqpids\",\"executer\":\"sh\",\"args\":[\"true\"],\"require\":[\"pids\"]"
        "}");
    if (host.root) {
        is_verdict(result_of("reqpids"), "succeeded", "");
        return;
    }
    const struct arrived *f = expect(FRAME_WORKER_REFUSED, "reqpids");
    is_str(f ? value_str(&f->body, "verdict", "") : "", "rejected",
           "what cannot be held is refused");
}

static void all(bool root)
{
    printf("# %s\n", root ? "with capabilities" : "as a plain user");
    place_make(root, config);
    worker_start("p");
    test_probe();
    test_good_end();
    test_bad_ends();
    test_timeout();
    test_cancel();
    test_oom();
    test_output();
    test_descendants("sh");
    test_descendants("bare");
    test_files();
    test_limits();
    is_int(worker_stop(), 0, "the worker ends with its monitor");
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
