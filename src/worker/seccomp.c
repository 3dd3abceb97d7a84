/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The system call filter of payloads, and the only user of libseccomp. Everything is
 * allowed but what reaches for the kernel's own state, other processes' memory or new
 * namespaces. A payload has no capabilities; this takes away the code that has held most
 * of the kernel's holes. ptrace is refused too: payloads may share a uid. Calls of
 * another ABI of the processor (i386, x32) end the process.
 *
 * The program is made once, by the worker; a child only hands it to the kernel.
 */
#include <seccomp.h>

#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"
#include "worker/spawn.h"

struct seccomp_filter {
    struct sock_fprog program;
    struct sock_filter code[];
};

static const char *const denied[] = {
    /* mounts and namespaces */
    "mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "open_tree_attr",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr", "unshare", "setns",
    /* other processes */
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp",
    "pidfd_getfd",
    /* kernel facilities that few programs need and many attacks use */
    "add_key", "keyctl", "request_key", "bpf", "perf_event_open", "userfaultfd",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "fanotify_init",
    "lookup_dcookie", "name_to_handle_at", "open_by_handle_at", "uselib", "ustat", "sysfs",
    "_sysctl", "nfsservctl", "vm86", "vm86old",
    /* the machine */
    "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
    "create_module", "query_module", "get_kernel_syms", "reboot", "swapon", "swapoff",
    "quotactl", "quotactl_fd", "acct", "settimeofday", "clock_settime", "clock_settime64",
    "stime", "iopl", "ioperm", "syslog", "vhangup"};

static int deny(scmp_filter_ctx ctx, const char *name, int code,
                const struct scmp_arg_cmp *arg)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr ==
        __NR_SCMP_ERROR) /* younger than this libseccomp, or of another architecture */
        return 0;
    return seccomp_rule_add_array(ctx, SCMP_ACT_ERRNO(code), nr, arg ? 1 : 0, arg);
}

static int deny_bits(scmp_filter_ctx ctx, const char *name, unsigned arg, uint64_t mask,
                     uint64_t value)
{
    struct scmp_arg_cmp cmp = SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value);
    return deny(ctx, name, EPERM, &cmp);
}

/* clone3 passes its flags in memory, where a filter cannot look: without it libc falls
 * back to clone. */
static int deny_namespaces(scmp_filter_ctx ctx)
{
    static const uint64_t flags[] = {CLONE_NEWNS,  CLONE_NEWCGROUP, CLONE_NEWUTS,
                                     CLONE_NEWIPC, CLONE_NEWUSER,   CLONE_NEWPID,
                                     CLONE_NEWNET};
    int r = deny(ctx, "clone3", ENOSYS, NULL);
    for (size_t i = 0; i < countof(flags) && !r; i++)
        r = deny_bits(ctx, "clone", 0, flags[i], flags[i]);
    return r;
}

/* Left are unix, inet, inet6 and netlink, which the C library needs. The numbers are
 * those of Linux's socket.h; the comparison is of 64 bits, so a value with rubbish on
 * top is above AF_NETLINK. */
static int deny_sockets(scmp_filter_ctx ctx)
{
    struct scmp_arg_cmp above = SCMP_CMP64(0, SCMP_CMP_GT, AF_NETLINK);
    int r = deny(ctx, "socket", EAFNOSUPPORT, &above);
    for (uint64_t family = 3; family < AF_NETLINK && !r; family++) {
        struct scmp_arg_cmp is = SCMP_CMP64(0, SCMP_CMP_EQ, family);
        if (family != AF_INET6)
            r = deny(ctx, "socket", EAFNOSUPPORT, &is);
    }
    return r;
}

/*
 * Of what personality(2) knows only READ_IMPLIES_EXEC passes, and the question
 * 0xffffffff. A rule can compare an argument just once; but in any other number of these
 * bits one is set whose next higher one (around the corner) is not.
 */
static int deny_personality(scmp_filter_ctx ctx)
{
    const uint64_t known = 0x0ffe001f & ~(uint64_t)READ_IMPLIES_EXEC;
    int r = 0;
    for (uint64_t bit = 1; bit <= known && !r; bit <<= 1) {
        uint64_t above = known & ~(bit | (bit - 1)), next = above ? above & -above : 1;
        if (bit & known)
            r = deny_bits(ctx, "personality", 0, bit | next, bit);
    }
    return r;
}

/* Typing into the terminal that the daemon was started from. The kernel looks at 32
 * bits. */
static int deny_ioctls(scmp_filter_ctx ctx)
{
    int r = deny_bits(ctx, "ioctl", 1, 0xffffffff, TIOCSTI);
    return r ? r : deny_bits(ctx, "ioctl", 1, 0xffffffff, TIOCLINUX);
}

static int add_rules(scmp_filter_ctx ctx)
{
    int r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (!r)
        r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE,
                             2); /* a tree instead of a list */
    for (size_t i = 0; i < countof(denied) && !r; i++)
        r = deny(ctx, denied[i], EPERM, NULL);
    if (!r)
        r = deny_namespaces(ctx);
    if (!r)
        r = deny_sockets(ctx);
    if (!r)
        r = deny_personality(ctx);
    return r ? r : deny_ioctls(ctx);
}

static int load(int fd, struct seccomp_filter **ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    struct seccomp_filter *f = malloc(sizeof *f + (size_t)st.st_size);
    if (!f)
        return -ENOMEM;
    if (pread(fd, f->code, (size_t)st.st_size, 0) != st.st_size) {
        free(f);
        return -EIO;
    }
    f->program.len = (unsigned short)((size_t)st.st_size / sizeof f->code[0]);
    f->program.filter = f->code;
    *ret = f;
    return 0;
}

struct seccomp_filter *seccomp_filter_new(struct berth_error *err)
{
    struct seccomp_filter *f = NULL;
    cleanup_close int fd = memfd_create("seccomp", MFD_CLOEXEC);
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    int r = fd < 0 ? -errno : !ctx ? -ENOMEM : add_rules(ctx);
    if (!r)
        r = seccomp_export_bpf(ctx, fd);
    if (!r)
        r = load(fd, &f);
    if (ctx)
        seccomp_release(ctx);
    if (r < 0)
        berth_fail_errno(err, -r, "cannot make the system call filter");
    return f;
}

void seccomp_filter_free(struct seccomp_filter *f)
{
    free(f);
}

int seccomp_filter_install(const struct seccomp_filter *f)
{
    if (!f)
        return -EINVAL;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &f->program) < 0 ? -errno : 0;
}
