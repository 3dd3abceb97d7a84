/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Starting payloads: what they are born with, how a failure is told, how they end. */
#include <linux/ioprio.h>
#include <sys/syscall.h>

#include "spawn-help.h"

static char dir[] = "/tmp/berth-spawn-XXXXXX";

static void refuses(struct spawn_request *req, const char *text)
{
    struct spawned s;
    struct berth_error err = {0};
    bool fault = true;
    int r = spawn(req, &s, &fault, &err);
    ok(r == -EINVAL || r == -E2BIG, "refused: %s", err.text);
    has_str(err.text, text, "it says why");
    ok(!fault, "not the task's fault");
}

static void test_arguments(void)
{
    static const char *const argv[] = {"/bin/true", NULL}, *const empty[] = {NULL};
    const char *many[100] = {NULL};
    struct spawned s;
    struct spawn_status st;
    struct berth_error err;
    struct spawn_request req = {.stdio = {0, 1, 2}};
    is_int(spawn(NULL, &s, NULL, &err), -EINVAL, "no request");
    refuses(&req, "no program");
    req.argv = empty;
    refuses(&req, "no program");
    req.argv = argv;
    is_int(spawn(&req, NULL, NULL, NULL), -EINVAL, "nowhere to put it");
    req.stdio[1] = -1;
    refuses(&req, "fd 1");
    req.stdio[1] = 1;
    req.isolate = BERTH_ISOLATE_READONLY;
    refuses(&req, "own mounts");
    req.isolate = BERTH_ISOLATE_UID;
    req.by_userns = true;
    refuses(&req, "user namespace");
    req.by_userns = false;
    req.isolate = BERTH_ISOLATE_SECCOMP;
    refuses(&req, "filter");
    req.isolate = 0;
    for (int i = 0; i < 90; i++)
        many[i] = "/tmp";
    req.bind_rw = many;
    refuses(&req, "writable");
    req.bind_rw = NULL;
    req.devices = many;
    refuses(&req, "device '/tmp' is not");
    many[0] = "/dev/../etc/passwd";
    refuses(&req, "device '/dev/../etc");
    req.devices = NULL;
    static const char *const bad[] = {"x",  "1-",    "-1", "3-1", "1,,2",
                                      "1,", "99999", "",   "0 1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        req.cpu_list = bad[i];
        refuses(&req, "cpu list");
    }
    is_int(spawn_reap(NULL, &st), -EINVAL, "reap nothing");
    s.pidfd = -1;
    is_int(spawn_reap(&s, &st), -EINVAL, "reap what never ran");
    is_int(spawn_net_new(NULL, NULL), -EINVAL, "a network for nobody");
    isolation_probe(NULL);
    seccomp_filter_free(NULL);
    is_int(seccomp_filter_install(NULL), -EINVAL, "no filter to install");
}

static void test_ends(unsigned isolate, bool by_userns)
{
    struct result res;
    struct spawn_request req = {.isolate = isolate, .by_userns = by_userns};
    static const int codes[] = {0, 1, 7, 255};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        char script[32];
        snprintf(script, sizeof script, "exit %d", codes[i]);
        run_sh(&req, script, &res);
        is_int(res.r, 0, "runs");
        is_int(res.st.code, CLD_EXITED, "exits");
        is_int(res.st.value, codes[i], "exit %d", codes[i]);
    }
    run_sh(&req, "kill -9 $$", &res);
    is_int(res.st.code, CLD_KILLED, "killed");
    is_int(res.st.value, SIGKILL, "by KILL");
    run_sh(&req, "kill -SEGV $$", &res);
    is_int(res.st.code, CLD_KILLED, "no core is dumped");
    is_int(res.st.value, SIGSEGV, "by SEGV");
    run_sh(&req, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; cat /dev/null", &res);
    ok(res.st.user_us + res.st.sys_us > 1000, "time is counted (%lld us)",
       (long long)(res.st.user_us + res.st.sys_us));
    ok(res.st.maxrss_kb > 300, "memory is counted (%lld kB)", (long long)res.st.maxrss_kb);
    is_int(res.st.signals_sent, 0, "no signal was sent");
}

static void write_file(const char *name, const char *text, mode_t mode, char *path,
                       size_t size)
{
    snprintf(path, size, "%s/%s", dir, name);
    unlink(path); /* of another uid, perhaps */
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ok(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), "write '%s'",
       name);
    fchmod(fd, mode);
    close(fd);
}

static void fails(const char *const *argv, unsigned isolate, bool by_userns, int code,
                  const char *text)
{
    struct result res;
    struct spawn_request req = {.argv = argv, .isolate = isolate, .by_userns = by_userns};
    run_request(&req, &res);
    is_int(res.r, -code, "'%s' cannot be started", argv[0]);
    is_int(res.err.code, code, "the code is told");
    has_str(res.err.text, text, "the text says it");
    ok(res.fault, "it is the task's fault");
}

static void test_exec_failures(unsigned isolate, bool by_userns)
{
    char path[128], text[200];
    const char *argv[] = {"/nonexistent/program", NULL};
    fails(argv, isolate, by_userns, ENOENT, "exec '/nonexistent/program': No such file");
    argv[0] = "no-such-program";
    fails(argv, isolate, by_userns, ENOENT, "exec 'no-such-program': no such program in");
    argv[0] = dir;
    fails(argv, isolate, by_userns, EACCES, "exec '/tmp/berth-spawn");
    argv[0] = path;
    write_file("plain", "#!/bin/sh\n", 0644, path, sizeof path);
    fails(argv, isolate, by_userns, EACCES, "Permission denied");
    write_file("odd", "no program\n", 0755, path, sizeof path);
    fails(argv, isolate, by_userns, ENOEXEC, "Exec format error");
    write_file("orphan", "#!/nonexistent/interpreter\n", 0755, path, sizeof path);
    snprintf(text, sizeof text, "exec '%s': its interpreter does not exist", path);
    fails(argv, isolate, by_userns, ENOENT, text);
    struct result res;
    struct spawn_request req = {
        .isolate = isolate, .by_userns = by_userns, .cwd = "/nonexistent"};
    run_sh(&req, "true", &res);
    is_int(res.r, -ENOENT, "no directory to work in");
    has_str(res.err.text, "change directory to '/nonexistent'", "which is told");
    ok(res.fault, "the task's fault as well");
}

static void test_search_path(void)
{
    char path[128], search[256];
    struct result res;
    write_file("tool", "#!/bin/sh\necho found $1\n", 0755, path, sizeof path);
    snprintf(search, sizeof search, "/nonexistent:/etc/passwd::%s", dir);
    const char *argv[] = {"tool", "it", NULL};
    struct spawn_request req = {.argv = argv, .search_path = search, .cwd = "/"};
    run_request(&req, &res);
    is_str(res.out, "found it\n", "found in the last place of the search path");
    req.search_path = "";
    run_request(&req, &res);
    is_int(res.r, -ENOENT, "an empty search path finds nothing");
    req.cwd = dir;
    req.search_path = ":";
    run_request(&req, &res);
    is_int(res.r, -ENOENT, "nor is the current directory searched");
    argv[0] = "./tool";
    run_request(&req, &res);
    is_str(res.out, "found it\n", "a path with a slash is taken from cwd");
}

/* Everything a payload is born with, out of a parent that has it all different. */
static void test_birth(unsigned isolate, bool by_userns)
{
    struct result res;
    static const char *const env[] = {"ONLY=this", NULL};
    struct spawn_request req = {.isolate = isolate, .by_userns = by_userns, .cwd = "/usr"};
    sigset_t block, old;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&block);
    sigaddset(&block, SIGTERM);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, &old);
    mode_t mask = umask(0);
    int leak = open("/dev/null", O_RDONLY), high = fcntl(leak, F_DUPFD, 100);
    run_sh(&req, "exec cat /proc/self/status", &res);
    has_str(
        res.out,
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n",
        "signals: none blocked, ignored or caught");
    run_sh(&req,
           "read pid comm state ppid pgrp sid rest </proc/self/stat; "
           "[ $pid = $pgrp ] && [ $pid = $sid ] && echo own",
           &res);
    is_str(res.out, "own\n", "its own session and process group");
    run_sh(&req, "exec ls /proc/self/fd", &res);
    is_str(res.out, "0\n1\n2\n3\n",
           "no descriptor but 0 1 2 (and the one that ls looks through)");
    run_sh(&req, "umask; pwd; ulimit -c", &res);
    is_str(res.out, "0022\n/usr\n0\n", "umask, directory, no core dumps");
    req.env = env;
    run_sh(&req, "exec /usr/bin/env", &res);
    has_str(res.out, "ONLY=this\n", "the environment is given");
    ok(!strstr(res.out, "PATH="), "and nothing of the parent's");
    close(leak);
    close(high);
    umask(mask);
    sigprocmask(SIG_SETMASK, &old, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
}

static int io_class(void *arg)
{
    ++*(int *)arg;
    return (int)syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0) >> IOPRIO_CLASS_SHIFT;
}

static void test_limits(void)
{
    struct result res;
    int touched = 0;
    struct spawn_request req = {.rlimit_nofile = 64,
                                .rlimit_fsize = 1 << 20,
                                .rlimit_as = 1ull << 30,
                                .nice = 5,
                                .cpu_list = "0",
                                .io_class = IOPRIO_CLASS_IDLE};
    run_sh(
        &req,
        "ulimit -n; ulimit -f; ulimit -v; nice; grep Cpus_allowed_list /proc/self/status",
        &res);
    is_str(res.out, "64\n2048\n1048576\n5\nCpus_allowed_list:\t0\n",
           "limits, nice and affinity");
    req.run = io_class;
    req.run_arg = &touched;
    run_request(&req, &res);
    is_int(res.st.value, IOPRIO_CLASS_IDLE,
           "io priority; a function in place of a program");
    is_int(touched, 0, "which has memory of its own");
    req.run = NULL;
    req.cpu_list = "1023";
    run_sh(&req, "true", &res);
    is_int(res.r, -EINVAL, "a cpu that is not there");
    has_str(res.err.text, "use the cpus '1023'", "which is told");
}

static int returns(void *arg)
{
    return *(int *)arg;
}

static void test_run(unsigned isolate, bool by_userns)
{
    struct result res;
    int value = 42;
    struct spawn_request req = {
        .isolate = isolate, .by_userns = by_userns, .run = returns, .run_arg = &value};
    run_request(&req, &res);
    is_int(res.st.code, CLD_EXITED, "a function ends");
    is_int(res.st.value, 42, "with what it returns");
}

/* Descriptors whose numbers are those that the payload needs, crosswise. */
static void crossed_stdio(void *arg)
{
    (void)arg;
    static const char *const argv[] = {"/bin/cat", NULL};
    int keep = fcntl(1, F_DUPFD_CLOEXEC, 50);
    int in = memfd_create("in", MFD_CLOEXEC), out = memfd_create("out", MFD_CLOEXEC);
    struct spawned s;
    struct spawn_status st;
    char text[16] = "";
    struct spawn_request req = {.argv = argv, .stdio = {1, 0, 0}};
    bool good = write(in, "hello", 5) == 5 && lseek(in, 0, SEEK_SET) == 0;
    fflush(stdout);
    dup2(out, 0);
    dup2(in, 1);
    int r = spawn(&req, &s, NULL, NULL);
    r = r ? r : spawn_reap(&s, &st);
    dup2(keep, 1);
    ok(good && r == 0, "0 and 1 swapped: starts");
    good = pread(0, text, sizeof text - 1, 0) == 5;
    ok(good && !strcmp(text, "hello"), "0 and 1 swapped: reads and writes the right ones");
}

/* Payload in a pipe; returns the read end of its stdout. */
static int start_sh(const char *script, unsigned isolate, bool by_userns, int in,
                    struct spawned *s)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    int p[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (pipe2(p, O_CLOEXEC) < 0)
        return -1;
    struct spawn_request req = {.argv = argv,
                                .env = test_env,
                                .stdio = {in >= 0 ? in : null, p[1], p[1]},
                                .isolate = isolate,
                                .by_userns = by_userns};
    struct berth_error err = {0};
    ok(spawn(&req, s, NULL, &err) == 0, "starts: %s", script);
    close(null);
    close(p[1]);
    return p[0];
}

static void test_init(bool by_userns)
{
    struct result res;
    struct spawned s;
    struct spawn_status st;
    char line[32];
    struct spawn_request req = {.isolate = BERTH_ISOLATE_PID, .by_userns = by_userns};
    run_sh(&req, "echo $$ $PPID; set -- /proc/[0-9]*; echo $#", &res);
    is_str(res.out, "2 1\n2\n", "process 2, child of 1, sees only init and itself");
    run_sh(&req,
           "for i in 1 2 3 4 5; do (sh -c 'exit 3' &); done; n=0; "
           "while grep -q '^State:.Z' /proc/[0-9]*/status; do n=$((n+1)); [ $n -gt 500 ] "
           "&& exit 1; "
           "sleep 0.01; done",
           &res);
    is_int(res.st.value, 0, "orphans are reaped");
    int out = start_sh("sh -c 'sleep 1000 & setsid sleep 1000 &' ; exit 5",
                       BERTH_ISOLATE_PID, by_userns, -1, &s);
    is_int(spawn_reap(&s, &st), 0, "a payload leaves daemons behind");
    is_int(st.value, 5, "its own status is told");
    ok(ends(out, 0), "and by then they are dead");
    close(out);
    out = start_sh("trap 'exit 42' TERM; echo ready; while :; do sleep 0.01; done",
                   BERTH_ISOLATE_PID, by_userns, -1, &s);
    ok(reads_line(out, line, sizeof line), "it is ready");
    is_int(pidfd_send_signal(s.pidfd, SIGTERM, NULL, 0), 0, "a signal to init");
    spawn_reap(&s, &st);
    is_int(st.value, 42, "reaches the payload");
    is_int(st.signals_sent, 1 << SIGTERM, "and is told");
    close(out);
    run_sh(&req, "kill -TERM 1; kill -KILL 1; exit 9", &res);
    is_int(res.st.value, 9, "from inside nothing reaches init");
    is_int(res.st.signals_sent, 0, "so nothing is told");
    out = start_sh("echo up; exec sleep 1000", BERTH_ISOLATE_PID, by_userns, -1, &s);
    reads_line(out, line, sizeof line);
    pidfd_send_signal(s.pidfd, SIGKILL, NULL, 0);
    spawn_reap(&s, &st);
    is_int(st.code, CLD_KILLED, "init killed");
    ok(ends(out, 0), "kills all");
    close(out);
}

/* The parent must see the end of output although init lives on. */
static void test_output_ends(bool by_userns)
{
    int in[2];
    struct spawned s;
    struct spawn_status st;
    if (pipe2(in, O_CLOEXEC) < 0)
        return;
    int out = start_sh("exec >/dev/null 2>&1; read line", BERTH_ISOLATE_PID, by_userns,
                       in[0], &s);
    ok(ends(out, WAIT_MS), "output ends when the payload closes it");
    struct pollfd p = {.fd = s.pidfd, .events = POLLIN};
    is_int(poll(&p, 1, 0), 0, "while it runs on");
    close(in[0]);
    close(in[1]);
    is_int(spawn_reap(&s, &st), 0, "until its input ends");
    close(out);
}

static void test_many(bool by_userns)
{
    struct spawned s[8];
    struct spawn_status st;
    int out[8], good = 0;
    for (int i = 0; i < 8; i++) {
        char script[32];
        snprintf(script, sizeof script, "exit %d", i + 10);
        out[i] =
            start_sh(script, i & 1 ? BERTH_ISOLATE_PID : 0, by_userns && i & 1, -1, &s[i]);
    }
    for (int i = 7; i >= 0; i--) {
        good += spawn_reap(&s[i], &st) == 0 && st.value == i + 10;
        close(out[i]);
    }
    is_int(good, 8, "several at a time, reaped in any order");
}

static void test_user(void *arg)
{
    struct isolation is;
    struct result res;
    (void)arg;
    become_user();
    isolation_probe(&is);
    test_ends(0, false);
    test_birth(0, false);
    struct spawn_request req = {.nice = -5};
    run_sh(&req, "true", &res);
    is_int(res.r, -EACCES, "a user cannot be more important");
    ok(!res.fault, "which is not the task's fault");
    if (!(is.can & BERTH_ISOLATE_PID)) {
        skip(is.text, 1);
        return;
    }
    test_ends(BERTH_ISOLATE_PID, is.by_userns);
    test_exec_failures(BERTH_ISOLATE_PID, is.by_userns);
    test_birth(BERTH_ISOLATE_PID, is.by_userns);
    test_init(is.by_userns);
    test_output_ends(is.by_userns);
    test_run(BERTH_ISOLATE_PID, is.by_userns);
}

static void test_root(void *arg)
{
    (void)arg;
    become_worker();
    test_ends(BERTH_ISOLATE_PID, false);
    test_exec_failures(BERTH_ISOLATE_PID, false);
    test_birth(BERTH_ISOLATE_PID, false);
    test_init(false);
    test_output_ends(false);
    test_run(BERTH_ISOLATE_PID, false);
    test_many(false);
}

int main(void)
{
    if (!mkdtemp(dir) || chmod(dir, 0777) < 0)
        return EXIT_FAILURE;
    test_arguments();
    test_ends(0, false);
    test_exec_failures(0, false);
    test_search_path();
    test_birth(0, false);
    test_limits();
    test_run(0, false);
    in_child(crossed_stdio, NULL);
    if (geteuid() == 0)
        in_child(test_root, NULL);
    else
        skip("needs root", 1);
    char command[64];
    in_child(test_user, NULL);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    ok(system(command) == 0, "clean up");
    return tap_done();
}
