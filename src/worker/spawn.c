/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Starting a payload, as its parent sees it. */
#include "worker/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/spawn_int.h"

static int first_process(void *arg)
{
    const struct spawn_plan *plan = arg;
    if (plan->init)
        init_main(plan);
    child_reset_signals();
    child_enter(plan);
    child_payload(plan);
}

/* A run function may do anything: it needs memory of its own. */
static long start_here(const struct spawn_plan *plan, int *ret_pidfd)
{
    char stack[32 << 10]
        __attribute__((aligned(64))); /* its upper pages have been used before */
    int cgroup = plan->init ? -1 : cgroup_fd(plan->req->cgroup);
    bool copy = plan->req->run && !plan->init;
    pid_t second = 2; /* which is free: nothing of the payload before is left */
    struct clone_args args = {
        .flags = plan->namespaces | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0) |
                 (copy || plan->init ? 0 : CLONE_VFORK),
        .pidfd = (uintptr_t)ret_pidfd,
        .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
        .set_tid = plan->req->sandbox ? (uintptr_t)&second : 0,
        .set_tid_size = plan->req->sandbox ? 1 : 0,
    };
    void *arg = (void *)plan;
    long pid =
        plan->init
            ? clone_child(&args, first_process, arg, plan->stack, plan->stack_size)
            : clone_child(&args, copy ? NULL : first_process, arg, stack, sizeof stack);
    if (pid == 0)
        _exit(first_process(arg));
    return pid;
}

static long start(const struct spawn_plan *plan, int *ret_pidfd)
{
    const struct sandbox *sandbox = plan->req->sandbox;
    int r = sandbox ? sandbox_pids(sandbox, true) : 0;
    if (r < 0)
        return r;
    long pid = start_here(plan, ret_pidfd);
    if (sandbox && sandbox_pids(sandbox, false) < 0)
        abort(); /* its helpers would become the payload's neighbours */
    return pid;
}

static ssize_t read_all(int fd, void *out, size_t len)
{
    ssize_t n;
    do
        n = read(fd, out, len);
    while (n < 0 && errno == EINTR);
    return n;
}

/*
 * While the child sets itself up in this process's memory nothing may happen here:
 * signals stay blocked until it has reported. A change of ids marks that memory as
 * undumpable. It stays so if the payload has this process's own uid, because it could
 * get at init, and so at this memory, with ptrace; only the maps of a user namespace
 * have to be written by a dumpable process.
 */
static int start_guarded(struct spawn_plan *plan, int report, struct spawned *ret,
                         struct spawn_failure *f)
{
    sigset_t all, old;
    bool apart = plan->req->isolate & BERTH_ISOLATE_UID && plan->req->uid != geteuid();
    int dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    if (plan->namespaces & CLONE_NEWUSER)
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    long pid = start(plan, &ret->pidfd);
    close(plan->report_fd); /* the variable is the child's as well */
    ssize_t n = pid < 0 ? 0 : read_all(report, f, sizeof *f);
    prctl(PR_SET_DUMPABLE, apart || !plan->init ? dumpable == 1 : 0, 0, 0, 0);
    sigprocmask(SIG_SETMASK, &old, NULL);
    ret->pid = (pid_t)pid;
    return pid < 0 ? (int)pid : n == sizeof *f;
}

static bool is_task_fault(const struct spawn_failure *f, const struct spawn_request *req)
{
    if (strcmp(f->step, "exec") && strcmp(f->step, "change directory to"))
        return false;
    switch (f->code) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case ENOEXEC:
    case EINVAL:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case E2BIG:
    case ELIBBAD:
        return true;
    case ENOMEM: /* the program alone is more than the limit */
        return req->cgroup;
    default:
        return false;
    }
}

static int tell(const struct spawn_failure *f, const struct spawn_request *req,
                struct berth_error *err)
{
    bool searched = !strcmp(f->step, "exec") && !strchr(f->what, '/');
    if (searched && f->code == ENOENT)
        return berth_fail(err, ENOENT, "exec '%s': no such program in '%s'", f->what,
                          req->search_path ? req->search_path : "the standard path");
    if (!strcmp(f->step, "exec") && f->code == ENOENT && access(f->what, F_OK) == 0)
        return berth_fail(err, ENOENT, "exec '%s': its interpreter does not exist",
                          f->what);
    if (f->what)
        return berth_fail_errno(err, f->code, "%s '%s'", f->step, f->what);
    return berth_fail_errno(err, f->code, "%s", f->step);
}

static void free_rest(struct spawned *s)
{
    if (s->pidfd >= 0)
        close(take_fd(s->pidfd));
    if (s->status_fd >= 0)
        close(take_fd(s->status_fd));
    if (s->stack)
        munmap(take_ptr(s->stack), s->stack_size);
}

static void reap_failed(struct spawned *s)
{
    siginfo_t info;
    while (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        ;
}

static int start_and_wait(struct spawn_plan *plan, int report, struct spawned *s,
                          bool *ret_task_fault, struct berth_error *err)
{
    struct spawn_failure f;
    int r = start_guarded(plan, report, s, &f);
    if (r < 0)
        return berth_fail_errno(err, -r, "clone3");
    if (r == 0)
        return 0;
    reap_failed(s);
    if (ret_task_fault)
        *ret_task_fault = is_task_fault(&f, plan->req);
    return tell(&f, plan->req, err);
}

/* For init. Addresses are all that an untouched stack costs; a run function shall have
 * the usual room. */
static int make_stack(struct spawn_plan *plan, struct berth_error *err)
{
    if (!plan->init)
        return 0;
    plan->stack_size = plan->req->run ? 16 << 20 : 128 << 10;
    plan->stack = mmap(NULL, plan->stack_size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (plan->stack != MAP_FAILED)
        return 0;
    plan->stack = NULL;
    return berth_fail_errno(err, errno, "mmap");
}

static int launch(struct spawn_plan *plan, struct spawned *s, bool *ret_task_fault,
                  struct berth_error *err)
{
    int report[2], status[2] = {-1, -1};
    int r = make_stack(plan, err);
    if (r < 0)
        return r;
    s->stack = plan->stack;
    s->stack_size = plan->stack_size;
    if (pipe2(report, O_CLOEXEC) < 0)
        return berth_fail_errno(err, errno, "pipe");
    cleanup_close int report_read = report[0];
    plan->report_read = report[0];
    plan->report_fd = report[1];
    if (plan->init && pipe2(status, O_CLOEXEC) < 0) {
        close(report[1]);
        return berth_fail_errno(err, errno, "pipe");
    }
    s->status_fd = status[0];
    cleanup_close int status_write = plan->status_fd = status[1];
    return start_and_wait(plan, report_read, s, ret_task_fault, err);
}

int spawn(const struct spawn_request *req, struct spawned *ret, bool *ret_task_fault,
          struct berth_error *err)
{
    struct spawn_plan plan;
    if (ret_task_fault)
        *ret_task_fault = false;
    if (!ret)
        return berth_fail(err, EINVAL, "nowhere to put the started process");
    int r = plan_fill(&plan, req, err);
    struct spawned s = {.pid = -1, .pidfd = -1, .status_fd = -1};
    struct berth_error why = {0};
    if (!r)
        r = launch(&plan, &s, ret_task_fault, &why);
    plan_fini(&plan);
    if (!r)
        *ret = s;
    else
        free_rest(&s);
    return r && why.code ? berth_fail(err, why.code, "%s", why.text) : r;
}

static int64_t to_us(struct timeval t)
{
    return t.tv_sec * 1000000ll + t.tv_usec;
}

int spawn_reap(struct spawned *s, struct spawn_status *st)
{
    if (!s || !st || s->pidfd < 0)
        return -EINVAL;
    siginfo_t info = {0};
    struct rusage used = {0};
    /* The system call, unlike the function, also tells what the child has used. */
    while (syscall(SYS_waitid, P_PIDFD, s->pidfd, &info, WEXITED, &used) < 0)
        if (errno != EINTR)
            return -errno;
    struct spawn_status own = {
        .code = info.si_code,
        .value = info.si_status,
        .user_us = to_us(used.ru_utime),
        .sys_us = to_us(used.ru_stime),
        .maxrss_kb = used.ru_maxrss,
    };
    struct spawn_status told;
    if (s->status_fd >= 0 && read_all(s->status_fd, &told, sizeof told) == sizeof told)
        own = told;
    *st = own;
    free_rest(s);
    return 0;
}

int spawn_net_new(int *ret_fd, struct berth_error *err)
{
    if (!ret_fd)
        return berth_fail(err, EINVAL, "nowhere to put the network namespace");
    cleanup_close int old = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (old < 0 || unshare(CLONE_NEWNET) < 0)
        return berth_fail_errno(err, errno, "cannot make a network namespace");
    cleanup_close int made = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    int code = made < 0 ? errno : 0;
    if (setns(old, CLONE_NEWNET) < 0)
        return berth_fail_errno(err, errno, "cannot go back to the network");
    if (code)
        return berth_fail_errno(err, code, "cannot open the new network namespace");
    *ret_fd = take_fd(made);
    return 0;
}
