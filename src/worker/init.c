/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Process 1 of a payload's pid namespace: it starts the payload, hands signals on, reaps
 * what is orphaned, and tells how the payload ended. Its own end, or the supervisor's,
 * makes the kernel kill everything in the namespace. It stays outside the attempt's
 * cgroup, so that killing that, or the kernel's oom killer, never takes the messenger.
 *
 * Init shares the supervisor's memory: a copy of it would cost more than the payload's
 * start. The supervisor waits, with all signals blocked, until the last copy of the
 * report pipe is closed. From there on (close_rest) the two run side by side, and init
 * uses only its own stack and raw_call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "worker/raw_call.h"
#include "worker/sandbox_int.h"
#include "worker/spawn_int.h"

static int payload_process(void *arg)
{
    child_payload(arg);
}

static pid_t start_payload(const struct spawn_plan *plan)
{
    int cgroup = cgroup_fd(plan->req->cgroup);
    bool copy = plan->req->run;
    struct clone_args args = {
        .flags = (cgroup >= 0 ? CLONE_INTO_CGROUP : 0) | (copy ? 0 : CLONE_VFORK),
        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
    };
    void *arg = (void *)plan;
    long pid = clone_child(&args, copy ? NULL : payload_process, arg, plan->stack,
                           plan->stack_size / 2);
    if (pid == 0)
        _exit(payload_process(arg));
    child_check(plan, pid < 0 ? (int)pid : 0, "clone3", NULL);
    return (pid_t)pid;
}

/* The parent's id is 0 from inside the namespace, so its death before prctl shows
 * otherwise: it has the only read end of the report pipe, once this copy is closed. */
static void die_with_parent(const struct spawn_plan *plan)
{
    close(plan->report_read);
    child_check(plan, prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0,
                "set pdeathsig", NULL);
    struct pollfd p = {.fd = plan->report_fd};
    if (poll(&p, 1, 0) == 1 && p.revents & POLLERR)
        _exit(127);
}

/* Signals to a payload of another uid are all that it still needs a capability for. */
static void keep_only_kill(const struct spawn_plan *plan)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}, {0}}, have[2];
    if (syscall(SYS_capget, &head, have) == 0 && plan->req->isolate & BERTH_ISOLATE_UID)
        data[0].permitted = data[0].effective = have[0].permitted & (1u << CAP_KILL);
    syscall(SYS_capset, &head, data);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Status moves to 0, all else goes: pipes of the payload's output must end with the
 * payload. */
static void close_rest(int status_fd)
{
    raw_call(SYS_dup3, status_fd, 0, O_CLOEXEC, 0, 0);
    raw_call(SYS_close_range, 1, ~0u, 0, 0, 0);
}

static int64_t to_us(struct timeval t)
{
    return t.tv_sec * 1000000ll + t.tv_usec;
}

/* Counts what the payload left to be reaped here, too. */
static _Noreturn void tell_end(const siginfo_t *info, int64_t signals)
{
    struct rusage used;
    raw_call(SYS_getrusage, RUSAGE_CHILDREN, (long)&used, 0, 0, 0);
    struct spawn_status st = {
        .code = info->si_code,
        .value = info->si_status,
        .user_us = to_us(used.ru_utime),
        .sys_us = to_us(used.ru_stime),
        .maxrss_kb = used.ru_maxrss,
        .signals_sent = signals,
    };
    raw_call(SYS_write, 0, (long)&st, sizeof st, 0, 0);
    for (;;)
        raw_call(SYS_exit_group, 0, 0, 0, 0, 0);
}

static void reap(pid_t payload, int64_t signals)
{
    for (;;) {
        siginfo_t info;
        info.si_pid = 0;
        long r = raw_call(SYS_waitid, P_ALL, 0, (long)&info, WEXITED | WNOHANG, 0);
        if (r < 0 || info.si_pid == 0)
            return;
        if (info.si_pid == payload)
            tell_end(&info, signals);
    }
}

/* To the payload's process group; only what came from outside, whose pids read as 0 in
 * here. */
static int64_t hand_on(const siginfo_t *info, pid_t payload)
{
    if (info->si_pid != 0)
        return 0;
    if (raw_call(SYS_kill, -payload, info->si_signo, 0, 0, 0) < 0)
        raw_call(SYS_kill, payload, info->si_signo, 0, 0, 0);
    return info->si_signo < 64 ? (int64_t)(1ull << info->si_signo) : 0;
}

static _Noreturn void watch(pid_t payload)
{
    const uint64_t all = ~0ull;
    int64_t signals = 0;
    for (;;) {
        siginfo_t info;
        long signo =
            raw_call(SYS_rt_sigtimedwait, (long)&all, (long)&info, 0, sizeof all, 0);
        if (signo == SIGCHLD)
            reap(payload, signals);
        else if (signo > 0)
            signals |= hand_on(&info, payload);
    }
}

static int own_space(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int hand_over(const struct spawn_plan *plan)
{
    struct kept_spaces spaces = {
        .mnt = own_space("/proc/self/ns/mnt"),
        .pid = own_space("/proc/self/ns/pid"),
        .uts = own_space("/proc/self/ns/uts"),
    };
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof spaces)];
    } control = {.head = {.cmsg_level = SOL_SOCKET,
                          .cmsg_type = SCM_RIGHTS,
                          .cmsg_len = CMSG_LEN(sizeof spaces)}};
    memcpy(CMSG_DATA(&control.head), &spaces, sizeof spaces);
    struct iovec io = {"", 1};
    struct msghdr m = {.msg_iov = &io,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof control};
    return sendmsg(plan->req->keep_sock, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Payloads come from outside; the kernel reaps what they orphan. */
static _Noreturn void keep_sandbox(const struct spawn_plan *plan)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    struct {
        void (*handler)(int);
        long rest[7];
    } ignore = {.handler = SIG_IGN}; /* the kernel's struct sigaction */
    child_check(plan, hand_over(plan), "hand over the sandbox", NULL);
    raw_call(SYS_rt_sigaction, SIGCHLD, (long)&ignore, 0, _NSIG / 8, 0);
    syscall(SYS_capset, &head, none);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    raw_call(SYS_close_range, 0, ~0u, 0, 0, 0);
    for (;;)
        raw_call(SYS_rt_sigsuspend, (long)&(uint64_t){~0ull}, sizeof(uint64_t), 0, 0, 0);
}

_Noreturn void init_main(const struct spawn_plan *plan)
{
    int status_fd = plan->status_fd;
    prctl(PR_SET_NAME, "berth-init", 0, 0, 0);
    die_with_parent(plan);
    child_reset_signals();
    child_enter(plan);
    if (plan->req->keep_sock > 0)
        keep_sandbox(plan);
    /* A payload of the same uid could else get at this memory, shared or not. It is too late for this only in the
     * maps of a user namespace, and they are written. */
    if (!(plan->req->isolate & BERTH_ISOLATE_UID) || plan->req->uid == geteuid())
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    pid_t payload = start_payload(plan);
    keep_only_kill(plan);
    close_rest(status_fd);
    watch(payload);
}
