/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The fake runtime: each fault that can be asked of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake-host.h"

static char dir[] = "/tmp/berth-test-null-XXXXXX";

struct told { /* by the child that ran */
    int r, verdict, blame;
    struct berth_error err;
};

static const struct berth_runtime *runtime(void)
{
    return berth_plugin_entry()->runtime;
}

#define GIVEN(...) \
    (fake.options = fake_options(berth_plugin_entry()->options, __VA_ARGS__, NULL))

static void forget_options(void)
{
    options_free(fake.options);
    fake.options = NULL;
}

static struct berth_task a_task(const char *const *argv)
{
    return (struct berth_task){.size = sizeof(struct berth_task),
                               .attempt = 1,
                               .id = "t1",
                               .executer = "e",
                               .image = "",
                               .argv = argv,
                               .tenant = "",
                               .work_dir = "/",
                               .instance = "inst-1",
                               .uid = -1,
                               .gid = -1};
}

/* Starts `run` in a child with pipes as input and output. told_fd: one struct told when it
 * returns. */
static pid_t start(const char *const *argv, int *in, int *out, int *told_fd)
{
    int i[2], o[2], t[2];
    if (pipe2(i, O_CLOEXEC) < 0 || pipe2(o, O_CLOEXEC) < 0 || pipe2(t, O_CLOEXEC) < 0)
        exit(99);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        struct berth_task task = a_task(argv);
        struct told told = {0};
        setpgid(0, 0);
        dup2(i[0], 0);
        dup2(o[1], 1);
        close(i[1]);
        /* Nothing of a sanitizer between a fault and the kernel. */
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        told.r = runtime()->run(&fake_ctx, &task, &told.err);
        told.verdict = fake.verdict;
        told.blame = fake.blame;
        _exit(write(t[1], &told, sizeof(told)) == sizeof(told) ? 0 : 1);
    }
    close(i[0]);
    close(o[1]);
    close(t[1]);
    *in = i[1];
    *out = o[0];
    *told_fd = t[0];
    return pid;
}

/* Runs to the end. Gives what was written, and the wait status. */
static int run(const char *const *argv, const char *input, char *output, size_t size,
               struct told *told)
{
    int in, out, told_fd, status;
    pid_t pid = start(argv, &in, &out, &told_fd);
    size_t len = 0;
    if (write(in, input, strlen(input)) < 0)
        exit(99);
    close(in);
    for (ssize_t n; (n = read(out, output + len, size - len - 1)) > 0;)
        len += (size_t)n;
    output[len] = '\0';
    *told = (struct told){0};
    if (read(told_fd, told, sizeof(*told)) < 0)
        exit(99);
    close(out);
    close(told_fd);
    waitpid(pid, &status, 0);
    return status;
}

#define ARGV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_steps(void)
{
    char out[4096];
    struct told told;
    GIVEN("fault", "none");
    run(ARGV("exit=3"), "", out, sizeof(out), &told);
    is_int(told.r, 3, "exit");
    run(ARGV("print=a", "echo", "print=b"), "xyz", out, sizeof(out), &told);
    is_str(out, "a\nxyzb\n", "print and echo, in order");
    is_int(told.r, 0, "the end is a success");
    run(ARGV("exit=1", "print=a"), "", out, sizeof(out), &told);
    is_str(out, "", "nothing after exit");
    run(ARGV("flood=3K"), "", out, sizeof(out), &told);
    is_int(strlen(out), 3072, "flood");
    run(ARGV("leak=1M", "sleep=1ms", "spin=1ms", "warn="), "", out, sizeof(out), &told);
    is_int(told.r, 0, "leak, sleep, spin, warn");
    run(ARGV("fail=ENOSPC"), "", out, sizeof(out), &told);
    is_int(told.r, -ENOSPC, "fail");
    run(ARGV("fail-image"), "", out, sizeof(out), &told);
    ok(told.r == -ENOENT && told.verdict == BERTH_VERDICT_IMAGE_ERROR, "fail-image");
    run(ARGV("exot=3"), "", out, sizeof(out), &told);
    ok(told.r == -EINVAL && told.blame == BERTH_BLAME_CALLER,
       "an unknown word is the caller's fault");
    has_str(told.err.text, "'exot=3'", "and is named");
    int st = run(ARGV("crash=segv"), "", out, sizeof(out), &told);
    ok(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV, "crash=segv");
    st = run(ARGV("crash=abort"), "", out, sizeof(out), &told);
    ok(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT, "crash=abort");
    forget_options();
}

static void test_hanging(void)
{
    char c;
    int in, out, told, status;
    GIVEN("fault", "none");
    pid_t pid = start(ARGV("print=x", "hang"), &in, &out, &told);
    ok(read(out, &c, 1) == 1 && waitpid(pid, &status, WNOHANG) == 0, "hang: it runs");
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM, "hang: SIGTERM ends it");
    close(in), close(out), close(told);

    pid = start(ARGV("ignore-term", "print=x", "echo"), &in, &out, &told);
    ok(read(out, &c, 1) == 1, "ignore-term: it runs");
    kill(pid, SIGTERM);
    close(in);
    waitpid(pid, &status, 0);
    ok(WIFEXITED(status), "ignore-term: SIGTERM does not end it");
    close(out), close(told);

    pid = start(ARGV("fork=2"), &in, &out, &told);
    waitpid(pid, &status, 0);
    int flags = fcntl(out, F_GETFL);
    fcntl(out, F_SETFL, flags | O_NONBLOCK);
    ok(read(out, &c, 1) < 0 && errno == EAGAIN,
       "fork: children hold the output after the end");
    fcntl(out, F_SETFL, flags);
    kill(-pid, SIGKILL);
    is_int(read(out, &c, 1), 0, "fork: and are gone with their group");
    close(in), close(out), close(told);
    forget_options();
}

static void test_instances(void)
{
    char out[64], path[128];
    struct told told;
    struct berth_error err;
    GIVEN("instances", dir);
    snprintf(path, sizeof path, "%s/inst-1", dir);
    is_int(runtime()->cleanup(&fake_ctx, "inst-1", &err), 0, "cleanup of nothing");
    run(ARGV("exit=0"), "", out, sizeof(out), &told);
    ok(access(path, F_OK) == 0, "the instance is there");
    is_int(runtime()->cleanup(&fake_ctx, "inst-1", &err), 0, "cleanup");
    ok(access(path, F_OK) < 0, "and is gone");
    forget_options();
}

static void test_faults(void)
{
    struct berth_error err;
    struct berth_probe probe = {.size = sizeof(probe)};
    struct berth_evidence e = {.exit_code = -1, .oom_killed = -1};
    struct berth_task task = a_task(ARGV("report=oom", "report=7"));
    GIVEN("fault", "none");
    is_int(berth_plugin_entry()->open(&fake_ctx, &err), 0, "no fault");
    is_int(runtime()->probe(&fake_ctx, &probe, &err), 0, "the probe succeeds");
    is_int(runtime()->collect(&fake_ctx, &task, &e, &err), 0, "collect");
    ok(e.oom_killed == 1 && e.exit_code == 7, "evidence on request");
    is_int(runtime()->prepare(&fake_ctx, "x", NULL, NULL, &err), 0, "prepare");
    is_int(runtime()->prepare(&fake_ctx, "missing", NULL, NULL, &err), -ENOENT,
           "a missing image");
    forget_options();
    GIVEN("fault", "open-fail");
    is_int(berth_plugin_entry()->open(&fake_ctx, &err), -EIO, "open-fail");
    forget_options();
    GIVEN("fault", "probe-fail");
    is_int(runtime()->probe(&fake_ctx, &probe, &err), -EIO, "probe-fail");
    is_int(runtime()->collect(&fake_ctx, &task, &e, &err), 0,
           "only the one that was named");
    forget_options();
    GIVEN("fault", "probe-explode");
    is_int(berth_plugin_entry()->open(&fake_ctx, &err), -EINVAL, "an unknown fault");
    has_str(err.text, "'probe-explode'", "is named");
    forget_options();
    char out[64];
    struct told told;
    GIVEN("fault", "run-crash");
    int st = run(ARGV("exit=0"), "", out, sizeof(out), &told);
    ok(WIFSIGNALED(st) && WTERMSIG(st) == SIGSEGV, "run-crash");
    forget_options();
}

int main(void)
{
    if (!mkdtemp(dir))
        return 99;
    test_steps();
    test_hanging();
    test_instances();
    test_faults();
    is_int(rmdir(dir), 0, "cleaned up");
    return tap_done();
}
