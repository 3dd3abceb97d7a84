/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The system call filter, call by call, as the user that payloads are and as root. */
#include <linux/sched.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "spawn-help.h"

static struct seccomp_filter *filter;

static long code_of(long r)
{
    return r < 0 ? errno : 0;
}

#define DENIED(name)      \
    {                     \
        SYS_##name, #name \
    }
static const struct {
    long nr;
    const char *name;
} calls[] = {
    DENIED(mount),
    DENIED(umount2),
    DENIED(pivot_root),
    DENIED(move_mount),
    DENIED(open_tree),
    DENIED(fsopen),
    DENIED(fsconfig),
    DENIED(fsmount),
    DENIED(fspick),
    DENIED(mount_setattr),
    DENIED(unshare),
    DENIED(setns),
    DENIED(ptrace),
    DENIED(process_vm_readv),
    DENIED(process_vm_writev),
    DENIED(process_madvise),
    DENIED(kcmp),
    DENIED(pidfd_getfd),
    DENIED(add_key),
    DENIED(keyctl),
    DENIED(request_key),
    DENIED(bpf),
    DENIED(perf_event_open),
    DENIED(userfaultfd),
    DENIED(io_uring_setup),
    DENIED(io_uring_enter),
    DENIED(io_uring_register),
    DENIED(fanotify_init),
    DENIED(name_to_handle_at),
    DENIED(open_by_handle_at),
    DENIED(kexec_load),
    DENIED(kexec_file_load),
    DENIED(init_module),
    DENIED(finit_module),
    DENIED(delete_module),
    DENIED(reboot),
    DENIED(swapon),
    DENIED(swapoff),
    DENIED(quotactl),
    DENIED(acct),
    DENIED(settimeofday),
    DENIED(clock_settime),
    DENIED(syslog),
    DENIED(vhangup),
#if defined(__x86_64__)
    DENIED(iopl),
    DENIED(ioperm),
#endif
};

/* Invalid in every argument: a call that is let through fails otherwise than by EPERM,
 * or not at all. */
static void test_denied(void)
{
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        is_int(code_of(syscall(calls[i].nr, -1l, -1l, -1l, -1l, -1l, -1l)), EPERM,
               "%s is refused", calls[i].name);
    is_int(code_of(syscall(SYS_clone3, -1l, -1l)), ENOSYS, "clone3 is not there");
}

static void test_clone(void)
{
    static const unsigned long flags[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                          CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                          CLONE_NEWNET};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        long pid = syscall(SYS_clone, flags[i] | SIGCHLD | (1ul << 40), 0l, 0l, 0l, 0l);
        if (pid == 0)
            _exit(0);
        is_int(code_of(pid), EPERM, "clone with namespace %#lx is refused", flags[i]);
    }
    pid_t pid = fork();
    if (pid == 0)
        _exit(5);
    int status = 0;
    ok(pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 5,
       "fork works");
}

static void *thread(void *arg)
{
    return arg;
}

static void test_allowed(void)
{
    pthread_t t;
    char mark[1];
    void *back = NULL;
    is_int(pthread_create(&t, NULL, thread, mark), 0, "threads work");
    ok(pthread_join(t, &back) == 0 && back == mark, "and end");
    int p[2], fd = memfd_create("x", 0);
    ok(pipe(p) == 0 && fd >= 0, "pipes and memory files work");
    ok(syscall(SYS_getrandom, &p[0], 0l, 0) == 0, "getrandom works");
    ok(code_of(syscall(SYS_vmsplice, p[1], NULL, 0l, 0)) != EPERM,
       "vmsplice is let through");
    ok(code_of(syscall(SYS_set_mempolicy, 0, NULL, 0l)) != EPERM,
       "set_mempolicy is let through");
    is_int(code_of(prctl(PR_SET_NAME, "x", 0, 0, 0)), 0, "prctl works");
    is_int(seccomp_filter_install(filter), 0, "a filter on top of the filter");
}

static void test_sockets(void)
{
    static const int good[] = {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        int fd = socket(good[i], SOCK_DGRAM, 0);
        ok(fd >= 0 || errno != EPERM, "sockets of family %d", good[i]);
        close(fd);
    }
    static const long bad[] = {AF_KEY, AF_PACKET,         AF_ALG,           AF_VSOCK,
                               AF_XDP, AF_TIPC,           AF_RDS,           AF_CAN,
                               AF_X25, AF_ALG | 1l << 32, AF_KEY | 1l << 32};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        is_int(code_of(syscall(SYS_socket, bad[i], (long)SOCK_RAW, 0l)), EAFNOSUPPORT,
               "no sockets of family %#lx", bad[i]);
}

static void test_arguments_of_calls(void)
{
    is_int(code_of(syscall(SYS_personality, 0xfffffffful)), 0, "personality may be asked");
    is_int(code_of(syscall(SYS_personality, 0x0400000ul)), 0,
           "READ_IMPLIES_EXEC may be set");
    is_int(code_of(syscall(SYS_personality, 0ul)), 0, "and taken away");
    static const unsigned long bad[] = {
        8,         0x0040000,  0x0100000, 0x0440000, 0x0020008,
        0x8000000, 0x0bbe001f, 1,         0x10,      0x7fffffff & ~0x100000ul};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        is_int(code_of(syscall(SYS_personality, bad[i])), EPERM,
               "personality %#lx is refused", bad[i]);
    is_int(code_of(syscall(SYS_ioctl, -1l, (long)TIOCSTI, 0l)), EPERM,
           "TIOCSTI is refused");
    is_int(code_of(syscall(SYS_ioctl, -1l, TIOCSTI | 1l << 32, 0l)), EPERM,
           "with rubbish on top, too");
    is_int(code_of(syscall(SYS_ioctl, -1l, (long)TIOCLINUX, 0l)), EPERM,
           "TIOCLINUX is refused");
    is_int(code_of(syscall(SYS_ioctl, -1l, (long)TIOCGWINSZ, 0l)), EBADF,
           "other ioctls are let through");
}

static void test_foreign_abi(void)
{
#if defined(__x86_64__)
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        long r = 20; /* getpid of i386 */
        __asm__ volatile("int $0x80" : "+a"(r) : : "memory");
        _exit(1);
    }
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS,
       "a call by the i386 way ends the process");
    pid = fork();
    if (pid == 0) {
        syscall(0x40000000 | SYS_getpid);
        _exit(1);
    }
    waitpid(pid, &status, 0);
    ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "so does one by the x32 way");
#else
    skip("this processor has one way only", 1);
#endif
}

static void inside(void *arg)
{
    if (arg)
        become_user();
    ok(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    is_int(seccomp_filter_install(filter), 0, "the filter is installed");
    is_int(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2, "and works");
    test_denied();
    test_clone();
    test_allowed();
    test_sockets();
    test_arguments_of_calls();
    test_foreign_abi();
}

static void without_nnp(void *arg)
{
    (void)arg;
    if (geteuid() == 0 && (setresgid(TEST_UID, TEST_UID, TEST_UID) < 0 ||
                           setresuid(TEST_UID, TEST_UID, TEST_UID) < 0))
        return;
    is_int(seccomp_filter_install(filter), -EACCES,
           "without no_new_privs a user is refused");
}

int main(void)
{
    struct berth_error err = {0};
    seccomp_filter_free(NULL);
    is_int(seccomp_filter_install(NULL), -EINVAL, "nothing to install");
    filter = seccomp_filter_new(&err);
    if (!ok(filter != NULL, "a filter is made %s", err.text))
        return tap_done();
    in_child(without_nnp, NULL);
    in_child(inside, NULL);
    in_child(inside, filter);
    seccomp_filter_free(filter);
    return tap_done();
}
