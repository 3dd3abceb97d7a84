/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* From clone to exec: what the payload's own process does to itself. */
#include <errno.h>
#include <fcntl.h>
#include <linux/ioprio.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "priv/priv.h"
#include "worker/raw_call.h"
#include "worker/spawn_int.h"

_Noreturn void child_fail(const struct spawn_plan *plan, const char *step, const char *what,
                          int code)
{
    struct spawn_failure f = {step, what, code};
    if (write(plan->report_fd, &f, sizeof f) < 0)
        _exit(126); /* nobody is left to be told */
    _exit(127);
}

void child_check(const struct spawn_plan *plan, int r, const char *step, const char *what)
{
    if (r < 0)
        child_fail(plan, step, what, -r);
}

static int or_errno(long r)
{
    return r < 0 ? -errno : (int)r;
}

/* Ignored signals survive exec, and inherited handlers have no business here. */
void child_reset_signals(void)
{
    char dfl[64] = {
        0}; /* the kernel's struct sigaction: SIG_DFL is 0, flags and mask are too */
    for (int i = 1; i < _NSIG;
         i++) /* libc's own two, which sigaction(2) of libc refuses, as well */
        raw_call(SYS_rt_sigaction, i, (long)dfl, 0, _NSIG / 8, 0);
}

static int put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = or_errno(write(fd, text, strlen(text)));
    close(fd);
    return r < 0 ? r : 0;
}

static void map_ids(const struct spawn_plan *plan)
{
    int r =
        put_file("/proc/self/setgroups", "deny"); /* before gid_map: user_namespaces(7) */
    child_check(plan, r == -ENOENT ? 0 : r, "write", "/proc/self/setgroups");
    child_check(plan, put_file("/proc/self/uid_map", plan->uid_map), "write",
                "/proc/self/uid_map");
    child_check(plan, put_file("/proc/self/gid_map", plan->gid_map), "write",
                "/proc/self/gid_map");
}

void child_enter(const struct spawn_plan *plan)
{
    const struct spawn_request *req = plan->req;
    umask(022);
    if (plan->namespaces & CLONE_NEWUSER)
        map_ids(plan);
    if (req->isolate & BERTH_ISOLATE_NET && !(plan->namespaces & CLONE_NEWNET))
        child_check(plan, or_errno(setns(req->net_fd, CLONE_NEWNET)), "enter the network",
                    NULL);
    if (req->sandbox)
        sandbox_join(plan);
    if (req->isolate & BERTH_ISOLATE_UTS && req->host_name)
        child_check(plan, or_errno(sethostname(req->host_name, strlen(req->host_name))),
                    "set the host name", req->host_name);
    if (plan->namespaces & CLONE_NEWNS)
        sandbox_mount(plan);
}

static void set_limits(const struct spawn_plan *plan)
{
    for (int i = 0; i < plan->limit_count; i++)
        child_check(plan, or_errno(setrlimit(plan->limit_of[i], &plan->limit[i])),
                    "set a limit", NULL);
}

static void set_priorities(const struct spawn_plan *plan)
{
    const struct spawn_request *req = plan->req;
    if (req->nice)
        child_check(plan, or_errno(setpriority(PRIO_PROCESS, 0, req->nice)), "set nice",
                    NULL);
    if (req->io_class)
        child_check(plan,
                    or_errno(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
                                     IOPRIO_PRIO_VALUE(req->io_class, req->io_level))),
                    "set io priority", NULL);
    if (req->cpu_list)
        child_check(plan, or_errno(sched_setaffinity(0, sizeof plan->cpus, &plan->cpus)),
                    "use the cpus", req->cpu_list);
}

/* Sources below 3 are moved out of the way first, so that none is overwritten before its
 * turn. */
static void set_stdio(const struct spawn_plan *plan)
{
    int from[3];
    for (int i = 0; i < 3; i++) {
        from[i] = plan->req->stdio[i];
        if (from[i] < 3 && from[i] != i)
            child_check(plan, from[i] = or_errno(fcntl(from[i], F_DUPFD_CLOEXEC, 3)), "dup",
                        NULL);
    }
    for (int i = 0; i < 3; i++) {
        int r = from[i] == i ? fcntl(i, F_SETFD, 0) : dup2(from[i], i);
        child_check(plan, or_errno(r), "dup2", NULL);
    }
}

/*
 * The system calls themselves: the library's functions would tell all threads of the
 * parent, whose memory this is. The secure bit lets capabilities outlive a change from
 * uid 0, so that priv_drop_child can still empty the bounding set; where it is refused
 * there is none to empty.
 */
static void change_ids(const struct spawn_plan *plan)
{
    const struct spawn_request *req = plan->req;
    prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0);
    child_check(plan, or_errno(syscall(SYS_setgroups, 0, NULL)), "drop the groups", NULL);
    child_check(plan, or_errno(syscall(SYS_setresgid, req->gid, req->gid, req->gid)),
                "change gid", NULL);
    child_check(plan, or_errno(syscall(SYS_setresuid, req->uid, req->uid, req->uid)),
                "change uid", NULL);
}

/* After the change of ids, which clears it. Where there is an init, its end is that of all
 * processes in its namespace. */
static void die_with_parent(const struct spawn_plan *plan)
{
    child_check(plan, or_errno(prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)), "set pdeathsig",
                NULL);
    if (getppid() != plan->parent)
        _exit(127);
}

static void exec_program(const struct spawn_plan *plan)
{
    const struct spawn_request *req = plan->req;
    static char *const no_env[] = {NULL};
    char *const *env = req->env ? (char *const *)req->env : no_env;
    int code = ENOENT;
    for (char **path = plan->programs; *path; path++) {
        execve(*path, (char *const *)req->argv, env);
        if (errno == EACCES || (errno != ENOENT && errno != ENOTDIR))
            code = errno;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
    }
    child_fail(plan, "exec", req->argv[0], code);
}

_Noreturn void child_payload(const struct spawn_plan *plan)
{
    const struct spawn_request *req = plan->req;
    sigset_t none;
    setsid();
    if (req->cgroup)
        child_check(plan, cgroup_join_rest(req->cgroup), "join cgroup",
                    cgroup_path(req->cgroup));
    set_priorities(plan);
    set_stdio(plan);
    if (req->isolate & BERTH_ISOLATE_UID)
        change_ids(plan);
    set_limits(
        plan); /* not before: exec would fail if the new uid has many processes already */
    if (req->cwd)
        child_check(plan, or_errno(chdir(req->cwd)), "change directory to", req->cwd);
    if (!plan->init && !req->sandbox)
        die_with_parent(plan);
    if (!req->run)
        child_check(plan, priv_drop_child(), "drop privileges", NULL);
    child_check(plan, or_errno(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC)),
                "close_range", NULL);
    if (req->isolate & BERTH_ISOLATE_SECCOMP)
        child_check(plan, seccomp_filter_install(req->filter),
                    "install the system call filter", NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (!req->run)
        exec_program(plan);
    close(plan->report_fd);
    _exit(req->run(req->run_arg) & 0xff);
}
