/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Control groups as they are used: root makes the base and gives it to a uid, a worker
 * of that uid makes groups, puts payloads in, limits, counts, kills and removes. Runs on
 * v1, hybrid and v2 alike.
 */
#include <dirent.h>

#include "cgroup-help.h"

static const struct cgroup_limits no_limits;

static void test_arguments(void)
{
    struct cgroup *g = NULL;
    struct cgroup_usage used;
    struct berth_error err = {0};
    is_int(cgroup_open(NULL, "x", &no_limits, &g, &err), -EINVAL, "no base");
    is_int(cgroup_open(base, "x", NULL, &g, &err), -EINVAL, "no limits");
    is_int(cgroup_open(base, "x", &no_limits, NULL, &err), -EINVAL, "nowhere to put it");
    static const char *const names[] = {NULL, "", ".", "..", "a/b", ".hidden", "a\nb"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        is_int(cgroup_open(base, names[i], &no_limits, &g, &err), -EINVAL, "no name");
        is_int(cgroup_find(base, names[i], &g), -EINVAL, "none to find either");
    }
    is_int(cgroup_find(base, "not-there", &g), -ENOENT, "not there");
    is_int(cgroup_find(NULL, "x", &g), -EINVAL, "find nowhere");
    is_int(cgroup_each(NULL, NULL, NULL), -EINVAL, "each of nothing");
    is_int(cgroup_join(NULL), -EINVAL, "join nothing");
    is_int(cgroup_join_rest(NULL), -EINVAL, "join the rest of nothing");
    is_int(cgroup_fd(NULL), -1, "descriptor of nothing");
    is_str(cgroup_path(NULL), "", "path of nothing");
    is_int(cgroup_signal(NULL, 1), -EINVAL, "signal nothing");
    is_int(cgroup_kill(NULL, 1), -EINVAL, "kill nothing");
    is_int(cgroup_count(NULL), -EINVAL, "count nothing");
    is_int(cgroup_remove(NULL), 0, "remove nothing");
    cgroup_usage(NULL, &used);
    is_int(used.oom_kills, -1, "usage of nothing is not known");
    cgroup_close(NULL);
    cgroup_base_free(NULL);
    ok(!cgroup_has_memory(NULL) && !cgroup_has_cpu(NULL) && !cgroup_has_pids(NULL) &&
           !cgroup_has_kill(NULL),
       "nothing has nothing");
    is_str(cgroup_base_kind(NULL), "none", "and is none");
}

static void test_limits_written(void)
{
    char text[64];
    struct cgroup *g = open_group("limits", 64 << 20, 0.5, 32);
    control(g, "memory.limit_in_bytes", "memory.max", text, sizeof text);
    is_str(text, cgroup_has_memory(base) ? "67108864" : "", "memory");
    control(g, "cpu.cfs_quota_us", "cpu.max", text, sizeof text);
    ok(!cgroup_has_cpu(base) || !strncmp(text, "50000", 5), "half a cpu");
    control(g, "pids.max", "pids.max", text, sizeof text);
    is_str(text, cgroup_has_pids(base) ? "32" : "", "pids");
    has_str(cgroup_path(g), "/limits", "it has a path");
    close_group(g);
    g = open_group("tiny", 0, 0.0001, 0);
    control(g, "cpu.cfs_quota_us", "cpu.max", text, sizeof text);
    ok(!cgroup_has_cpu(base) || !strncmp(text, "1000", 4),
       "less than the kernel's least share");
    close_group(g);
}

static void test_memory(void)
{
    struct result res;
    struct cgroup_usage used;
    if (!cgroup_has_memory(base)) {
        skip(cgroup_base_text(base), 1);
        return;
    }
    struct cgroup *g = open_group("memory", 24 << 20, 0, 0);
    put_in(g, "exit 0", &res);
    cgroup_usage(g, &used);
    is_int(used.oom_kills, 0, "no memory trouble yet");
    put_in(g, "head -c 200m /dev/zero | tail >/dev/null", &res);
    cgroup_usage(g, &used);
    ok(used.oom_kills > 0, "too much memory: the kernel's count is the proof (%lld)",
       (long long)used.oom_kills);
    ok(used.peak_memory_bytes > 16 << 20 && used.peak_memory_bytes <= 24 << 20,
       "the peak is known (%lld)", (long long)used.peak_memory_bytes);
    is_int(cgroup_kill(g, WAIT_MS), 0, "the others end, too"); /* version 2 kills them all */
    close_group(g);
    g = open_group("memory", 24 << 20, 0, 0);
    put_in(g, "kill -9 $$", &res);
    cgroup_usage(g, &used);
    is_int(res.st.value, SIGKILL, "a KILL that is not the kernel's");
    is_int(used.oom_kills, 0, "is not counted");
    close_group(g);
    g = open_group("least", 4096, 0, 0);
    struct spawn_request req = {.cgroup = g};
    run_sh(&req, "true", &res);
    ok(res.r == -ENOMEM || res.st.code != CLD_EXITED || res.st.value != 0,
       "a program that does not fit at all ends; this process does not (%d)", res.r);
    close_group(g);
}

static void test_pids(void)
{
    struct result res;
    struct cgroup_usage used;
    if (!cgroup_has_pids(base)) {
        skip(cgroup_base_text(base), 1);
        return;
    }
    struct cgroup *g = open_group("pids", 0, 0, 5);
    put_in(g, "for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; echo survived", &res);
    ok(!strstr(res.out, "survived"), "a fork too many fails: %s", res.out);
    cgroup_usage(g, &used);
    ok(used.pids_refused > 0, "and is counted (%lld)", (long long)used.pids_refused);
    is_int(cgroup_kill(g, WAIT_MS), 0, "what is left is killed");
    is_int(cgroup_count(g), 0, "nothing is left");
    close_group(g);
}

static struct spawned start_in(struct cgroup *g, const char *script, unsigned isolate,
                               int *ret_out)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    int p[2] = {-1, -1}, null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct berth_error err = {0};
    struct spawned s = {.pidfd = -1};
    if (pipe2(p, O_CLOEXEC) < 0)
        return s;
    struct spawn_request req = {.argv = argv,
                                .env = test_env,
                                .stdio = {null, p[1], p[1]},
                                .cgroup = g,
                                .isolate = isolate | own_uid,
                                .by_userns = isolate && !own_uid,
                                .uid = TASK_UID,
                                .gid = TASK_UID};
    if (!ok(spawn(&req, &s, NULL, &err) == 0, "starts: %s", script))
        printf("# %s\n", err.text);
    close(null);
    close(p[1]);
    *ret_out = p[0];
    return s;
}

static void test_signal(unsigned isolate)
{
    char line[32];
    int out;
    struct spawn_status st;
    struct cgroup *g = open_group("signal", 0, 0, 0);
    is_int(cgroup_signal(g, SIGTERM), 0, "nobody to signal");
    is_int(cgroup_signal(g, -1), -EINVAL, "no such signal");
    struct spawned s =
        start_in(g,
                 "trap 'exit 17' TERM; (trap '' TERM; echo up; exec sleep 1000) & "
                 "while :; do sleep 0.01; done",
                 isolate, &out);
    ok(reads_line(out, line, sizeof line), "it runs");
    ok(cgroup_count(g) >= 2, "several processes");
    struct cgroup *again = NULL;
    is_int(cgroup_find(base, "signal", &again), 0, "found by name");
    ok(cgroup_count(again) >= 2, "with the same processes");
    ok(cgroup_signal(again, SIGTERM) >= 2, "each is signalled");
    is_int(spawn_reap(&s, &st), 0, "the payload ends");
    is_int(st.value, 17, "by its own doing");
    if (!(isolate & BERTH_ISOLATE_PID)) {
        ok(cgroup_count(again) > 0, "one that does not listen is left");
        ok(cgroup_remove(again) == -EBUSY, "so the group cannot be removed");
    }
    is_int(cgroup_kill(again, WAIT_MS), 0, "but killed");
    ok(ends(out, WAIT_MS), "it is gone");
    is_int(cgroup_kill(again, 0), 0, "killing the empty");
    cgroup_close(again);
    close(out);
    close_group(g);
}

/* Forks faster than anyone could list it. A shell that cannot fork ends: the first one does not try again. */
static void test_fork_bomb(void)
{
    int out;
    char line[32];
    struct spawn_status st;
    struct cgroup *g = open_group("bomb", 0, 0, 60);
    struct spawned s =
        start_in(g,
                 "bomb() { while :; do bomb & done 2>/dev/null; }; echo up; "
                 "bomb & while :; do :; done",
                 0, &out);
    ok(reads_line(out, line, sizeof line), "a fork bomb");
    if (cgroup_has_pids(base)) {
        struct cgroup_usage used = {0};
        for (int i = 0; i < WAIT_MS && used.pids_refused <= 0; i++) {
            usleep(1000);
            cgroup_usage(g, &used);
        }
        ok(used.pids_refused > 0, "at its limit");
    }
    is_int(cgroup_kill(g, WAIT_MS), 0, "is killed");
    is_int(cgroup_count(g), 0, "to the last process");
    spawn_reap(&s, &st);
    is_int(st.value, SIGKILL, "its first one, too");
    close(out);
    close_group(g);
}

static void test_join(void)
{
    struct cgroup *g = open_group("join", 0, 1, 10);
    int p[2], go[2], status;
    char c;
    if (pipe2(p, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        c = (char)-cgroup_join(g);
        close(go[1]);
        _exit(write(p[1], &c, 1) != 1 || read(go[0], &c, 1) != 0);
    }
    ok(read(p[0], &c, 1) == 1 && c == 0, "a process joins by itself (%d)", c);
    is_int(cgroup_count(g), 1, "and is counted");
    close(go[1]);
    waitpid(pid, &status, 0);
    is_int(cgroup_count(g), 0, "until it ends");
    close(go[0]);
    close(p[0]);
    close(p[1]);
    close_group(g);
}

/* On version 1 each hierarchy costs; one that no limit needs is left alone. */
static void test_joined(void)
{
    static const char in[] = "grep /joined /proc/self/cgroup | cut -d: -f2 | tr '\\n' ' '";
    struct result res;
    struct cgroup *g = open_group("joined", 0, 0, 0);
    put_in(g, in, &res);
    ok(res.out[0] && !strstr(res.out, "cpu") && !strstr(res.out, "freezer"),
       "what no limit needs is not joined: %s", res.out);
    close_group(g);
    g = open_group("joined", 0, 1, 0);
    put_in(g, in, &res);
    ok(base->hier[0].v2 || !cgroup_has_cpu(base) || strstr(res.out, "cpu"),
       "what one needs is: %s", res.out);
    close_group(g);
}

static void remember(void *arg, const char *name)
{
    strcat(strcat(arg, name), " ");
}

static int refuse(void *arg)
{
    (void)arg;
    return 0;
}

/* What a crash leaves: groups without an owner, used or empty, with groups below them. */
static void test_leftovers(void)
{
    char names[256] = "", text[64];
    struct cgroup *a = open_group("left-a", 64 << 20, 1, 20),
                  *b = open_group("left-b", 0, 0, 0), *c = NULL;
    cgroup_close(a);
    is_int(cgroup_each(base, remember, names), 0, "each is told");
    ok(strstr(names, "left-a ") && strstr(names, "left-b ") && strlen(names) == 14,
       "once: %s", names);
    a = open_group("left-a", 32 << 20, 1, 0);
    control(a, "memory.limit_in_bytes", "memory.max", text, sizeof text);
    ok(!cgroup_has_memory(base) || !strcmp(text, "33554432"),
       "a name is used again, with new limits");
    control(a, "pids.max", "pids.max", text, sizeof text);
    ok(!cgroup_has_pids(base) || !text[0] || !strcmp(text, "max"), "and none of the old");
    struct spawn_request req = {.cgroup = b, .run = refuse};
    struct result res;
    run_request(&req, &res);
    is_int(res.r, 0, "a function as payload in a group");
    for (unsigned i = 0; i < base->count; i++)
        if (b->dir[i] >= 0)
            ok(mkdirat(b->dir[i], "engine", 0755) == 0 &&
                   mkdirat(b->dir[i], "engine/deep", 0755) == 0,
               "an engine makes groups below");
    int out;
    char line[16];
    struct spawned s = start_in(b, "echo up; exec sleep 1000", 0, &out);
    reads_line(out, line, sizeof line);
    struct cgroup_limits lim = {0};
    struct berth_error err = {0};
    is_int(cgroup_open(base, "left-b", &lim, &c, &err), -EBUSY,
           "one with processes is not taken over");
    has_str(err.text, "left-b", "which is told");
    is_int(cgroup_kill(b, WAIT_MS), 0, "killed");
    struct spawn_status st;
    spawn_reap(&s, &st);
    close(out);
    close_group(b);
    close_group(a);
    names[0] = '\0';
    cgroup_each(base, remember, names);
    is_str(names, "", "nothing is left");
}

/* Of a process that had joined one hierarchy only, when all others were removed. */
static void test_removed_by_halves(void)
{
    struct cgroup *g = open_group("halves", 64 << 20, 1, 20), *again = NULL;
    int kept = -1;
    for (unsigned i = 0; i < base->count; i++)
        if (g->dir[i] >= 0 && !(base->hier[i].use & CG_TRACK))
            kept = (int)i;
    if (kept < 0) {
        ok(base->count == 1, "there is one hierarchy, all or nothing is removed");
        close_group(g);
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        cgroup_write(g->dir[kept], "tasks", "0");
        for (unsigned i = 0; i < base->count; i++)
            if ((int)i != kept && g->dir[i] >= 0)
                cgroup_remove_tree(base->hier[i].fd, "halves");
        raise(SIGSTOP);
        _exit(0);
    }
    siginfo_t info;
    is_int(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0, "a process has joined one");
    is_int(cgroup_find(base, "halves", &again), 0, "the rest of the group is found");
    is_int(cgroup_remove(again), -EBUSY, "and cannot be removed");
    is_int(cgroup_kill(again, WAIT_MS), 0, "before who is in there was killed");
    is_int(waitid(P_PID, (id_t)pid, &info, WEXITED), 0, "which is dead");
    close_group(again);
    cgroup_close(g);
}

static void test_cpu_time(void)
{
    struct cgroup *g = open_group("time", 0, 0, 0);
    struct cgroup_usage used;
    struct result res;
    put_in(g, "i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done", &res);
    cgroup_usage(g, &used);
    if (cgroup_fd(g) >= 0)
        ok(used.user_ms >= 0 && used.sys_ms >= 0, "cpu time by cgroup");
    else
        ok(res.st.user_us > 0, "cpu time by wait");
    close_group(g);
}

static void use_base(void)
{
    test_limits_written();
    test_memory();
    test_pids();
    test_signal(0);
    test_signal(BERTH_ISOLATE_PID);
    test_fork_bomb();
    test_join();
    test_joined();
    test_leftovers();
    test_removed_by_halves();
    test_cpu_time();
    test_renew();
}

static void note_paths(char *shared)
{
    for (unsigned i = 0; i < base->count; i++) {
        char path[64], *at = shared + i * 600;
        snprintf(path, sizeof path, "/proc/self/fd/%d", base->hier[i].fd);
        ssize_t n = readlink(path, at, 599);
        at[n > 0 ? n : 0] = '\0';
        if (base->hier[i].v2 && n > 6)
            at[n - 6] = '\0'; /* "/tasks" */
    }
}

/* Where it is known what the machine has, nothing may be missing. */
static void check_kind(void)
{
    const char *want = getenv("BERTH_TEST_CGROUP");
    printf("# %s: %s\n", cgroup_base_kind(base), cgroup_base_text(base));
    ok(!want || !strcmp(cgroup_base_kind(base), want), "the kind that is there is used");
    ok(!want || !*cgroup_base_text(base), "and nothing is missing");
}

static void as_worker(void *shared)
{
    base = cgroup_base_new(key, TEST_UID, TEST_UID);
    if (!ok(base != NULL, "a base"))
        return;
    check_kind();
    note_paths(shared);
    test_arguments();
    become_worker();
    if (cgroup_has_kill(base))
        use_base();
    else
        skip(cgroup_base_text(base), 1);
    cgroup_base_free(base);
}

/* A hybrid machine's version 2 has no controllers, but can keep track of processes. */
static void by_version2(void *shared)
{
    struct cgroup_place place = {.mount = "/sys/fs/cgroup/unified"};
    char why[WHY_SIZE] = "", name[80];
    snprintf(name, sizeof name, "berth-%s-v2", key);
    base = calloc(1, sizeof *base);
    if (access("/sys/fs/cgroup/unified/cgroup.procs", F_OK) < 0) {
        skip("no version 2 beside version 1", 1);
        return;
    }
    is_int(cgroup2_add(base, &place, 0, name, TEST_UID, TEST_UID, why), 0,
           "version 2 alone %s", why);
    note_paths(shared);
    is_str(cgroup_base_kind(base), "cgroup2", "it is of that kind");
    become_worker();
    use_base();
    struct cgroup *g = open_group("fd", 0, 0, 0);
    ok(cgroup_fd(g) >= 0, "it has a descriptor to be cloned into");
    close_group(g);
    cgroup_base_free(base);
}

/* Twice in a row: a daemon started again finds its own. */
static void by_restart(void *shared)
{
    (void)shared;
    base = cgroup_base_new(key, TEST_UID, TEST_UID);
    ok(cgroup_has_kill(base), "a base of an earlier daemon is found");
    cgroup_base_free(base);
}

static void as_user(void *shared)
{
    bool was_root = geteuid() == 0;
    become_user();
    base = cgroup_base_new("user-test", (uid_t)-1, (gid_t)-1);
    ok(base != NULL, "a plain user gets a base");
    if (!was_root)
        check_kind();
    if (cgroup_has_kill(base)) { /* delegated */
        note_paths(shared);
        own_uid = 0;
        use_base();
    } else if (!strcmp(cgroup_base_kind(base), "none")) {
        has_str(cgroup_base_text(base), "cannot limit memory cpu pids",
                "without limits, and is told so");
        struct cgroup *g = open_group("empty", 1 << 20, 1, 10);
        struct result res;
        struct spawn_request req = {.cgroup = g};
        run_sh(&req, "exit 4", &res);
        is_int(res.st.value, 4, "payloads run all the same");
        is_int(cgroup_kill(g, 10), -ENOTSUP, "but cannot be found");
        close_group(g);
    }
    cgroup_base_free(base);
}

static void clean_up(char *shared)
{
    for (int i = 0; i < CG_HIERARCHIES; i++) {
        char *path = shared + i * 600, *slash = strrchr(path, '/');
        if (!slash)
            continue;
        *slash = '\0';
        int parent = open(path, O_PATH | O_DIRECTORY);
        is_int(cgroup_remove_tree(parent, slash + 1), 0, "remove %s/%s", path, slash + 1);
        close(parent);
        path[0] = '\0';
    }
}

int main(void)
{
    char *shared =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    snprintf(key, sizeof key, "test-%d", (int)getpid());
    if (geteuid() == 0) {
        in_child(as_worker, shared);
        in_child(by_restart, NULL);
        clean_up(shared);
        in_child(by_version2, shared);
        clean_up(shared);
    } else {
        skip("needs root", 1);
    }
    in_child(as_user, shared);
    clean_up(shared);
    return tap_done();
}
