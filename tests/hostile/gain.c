/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * gain [SETUID-PROGRAM]: ways to more than a payload has. None may work in the sandbox; outside of
 * it some of them do, which shows that they are tried the right way.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hostile.h"

/* ---- ids and capabilities ---- */

static long become_root(const char *what)
{
    (void)what;
    return setresuid(0, 0, 0) < 0 && setuid(0) < 0 && seteuid(0) < 0 ? -1 : 0;
}

static long become_group(const char *what)
{
    gid_t root = 0;
    (void)what;
    return setresgid(0, 0, 0) < 0 && setgroups(1, &root) < 0 ? -1 : 0;
}

static long take_capabilities(const char *what)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct all[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
    (void)what;
    return syscall(SYS_capset, &head, all);
}

static long raise_ambient(const char *what)
{
    (void)what;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0);
}

static long new_privileges(const char *what)
{
    (void)what;
    if (prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0) < 0 &&
        prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))
        return -1;
    return 0;
}

static long run_setuid(const char *what)
{
    execl(what, what, "whoami", (char *)NULL);
    return -1;
}

int hostile_whoami(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return geteuid() == 0 ? 0 : EPERM; /* as hostile_try reads it */
}

static long keep_setuid_copy(const char *what)
{
    int fd = open("own-setuid", O_RDWR | O_CREAT, 0700);
    (void)what;
    return fd < 0 ? -1 : fchown(fd, 0, 0);
}

/* ---- namespaces and mounts ---- */

static long new_namespace(const char *what)
{
    return unshare((int)strtol(what, NULL, 0));
}

static long clone_namespace(const char *what)
{
    long pid = syscall(SYS_clone, strtol(what, NULL, 0) | SIGCHLD, 0l, 0l, 0l, 0l);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long clone3_namespace(const char *what)
{
    uint64_t args[11] = {(uint64_t)strtol(what, NULL, 0), 0, 0, 0, SIGCHLD};
    long pid = syscall(SYS_clone3, args, sizeof args);
    if (pid == 0)
        _exit(0);
    return pid;
}

static long enter_namespace(const char *what)
{
    int fd = open(what, O_RDONLY);
    return fd < 0 ? -1 : setns(fd, 0);
}

static long mount_tmpfs(const char *what)
{
    return mount("none", what, "tmpfs", 0, NULL);
}

static long mount_bind(const char *what)
{
    return mount("/", what, NULL, MS_BIND, NULL);
}

static long remount_writable(const char *what)
{
    return mount(NULL, what, NULL, MS_REMOUNT | MS_BIND, NULL);
}

static long take_away_mount(const char *what)
{
    return umount2(what, MNT_DETACH);
}

static long change_root(const char *what)
{
    return chroot(what) < 0 && syscall(SYS_pivot_root, what, what) < 0 ? -1 : 0;
}

static long clone_tree(const char *what)
{
    return syscall(SYS_open_tree, AT_FDCWD, what, 1 /* OPEN_TREE_CLONE */);
}

static long open_filesystem(const char *what)
{
    return syscall(SYS_fsopen, what, 0);
}

static long mount_attributes(const char *what)
{
    uint64_t attr[4] = {0, MS_RDONLY, 0, 0};
    return syscall(SYS_mount_setattr, AT_FDCWD, what, 0x8000 /* AT_RECURSIVE */, attr,
                   sizeof attr);
}

/* ---- the kernel ---- */

static long call_keyctl(const char *what)
{
    (void)what;
    return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1);
}

static long call_add_key(const char *what)
{
    return syscall(SYS_add_key, "user", what, "x", 1ul, KEY_SPEC_PROCESS_KEYRING);
}

static long call_bpf(const char *what)
{
    uint32_t attr[32] = {2 /* array */, 4, 4, 1};
    (void)what;
    return syscall(SYS_bpf, 0 /* BPF_MAP_CREATE */, attr, sizeof attr);
}

static long call_perf(const char *what)
{
    uint32_t attr[32] = {1 /* software */, sizeof attr};
    (void)what;
    return syscall(SYS_perf_event_open, attr, 0, -1, -1, 0ul);
}

static long call_io_uring(const char *what)
{
    char params[256] = {0};
    (void)what;
    return syscall(SYS_io_uring_setup, 4, params);
}

static long call_userfaultfd(const char *what)
{
    (void)what;
    return syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* USER_MODE_ONLY */);
}

static long call_fanotify(const char *what)
{
    (void)what;
    return syscall(SYS_fanotify_init, 0x200 /* FAN_REPORT_FID */, O_RDONLY);
}

static long call_handle(const char *what)
{
    struct {
        struct file_handle h;
        char room[128];
    } f = {.h = {.handle_bytes = 128}};
    int id;
    if (name_to_handle_at(AT_FDCWD, what, &f.h, &id, 0) < 0)
        return -1;
    return open_by_handle_at(open("/", O_RDONLY), &f.h, O_RDONLY);
}

static long call_personality(const char *what)
{
    (void)what;
    return personality(ADDR_NO_RANDOMIZE);
}

static long call_syslog(const char *what)
{
    char text[64];
    (void)what;
    return syscall(SYS_syslog, 3, text, (int)sizeof text);
}

static long call_module(const char *what)
{
    return syscall(SYS_finit_module, open("/proc/self/exe", O_RDONLY), what, 0);
}

static long call_reboot(const char *what)
{
    (void)what;
    return syscall(SYS_reboot, 0xfee1dead, 672274793, 0 /* LINUX_REBOOT_CMD_CAD_OFF */,
                   NULL);
}

static long call_clock(const char *what)
{
    struct timespec t;
    (void)what;
    return clock_gettime(CLOCK_REALTIME, &t) < 0 ? -1 : clock_settime(CLOCK_REALTIME, &t);
}

static long call_ioports(const char *what)
{
    (void)what;
    return syscall(SYS_iopl, 3);
}

static long type_into_terminal(const char *what)
{
    int fd = open("/dev/tty", O_RDWR);
    return ioctl(fd < 0 ? 0 : fd, TIOCSTI, what);
}

/* ---- other processes, of its own even ---- */

static pid_t sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pause();
        _exit(0);
    }
    return pid;
}

static long trace_child(const char *what)
{
    pid_t pid = sleeper();
    (void)what;
    long r = ptrace(PTRACE_ATTACH, pid, NULL, NULL);
    int code = errno;
    kill(pid, SIGKILL);
    errno = code;
    return r;
}

static long read_child(const char *what)
{
    static char secret[8];
    char got[8];
    pid_t pid = sleeper();
    struct iovec here = {got, sizeof got}, there = {secret, sizeof secret};
    (void)what;
    long r = process_vm_readv(pid, &here, 1, &there, 1, 0);
    int code = errno;
    kill(pid, SIGKILL);
    errno = code;
    return r;
}

static long take_descriptor(const char *what)
{
    pid_t pid = sleeper();
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    (void)what;
    long r = syscall(SYS_pidfd_getfd, fd, 0, 0);
    int code = errno;
    kill(pid, SIGKILL);
    errno = code;
    return r;
}

/* ---- files, devices, priorities, sockets ---- */

static long write_file(const char *what)
{
    int fd = open(what, O_WRONLY);
    return fd < 0 ? -1 : write(fd, "0", 1);
}

static long open_device(const char *what)
{
    return open(what, O_RDONLY | O_NONBLOCK);
}

static long make_device(const char *what)
{
    return mknod("device", (strcmp(what, "block") ? S_IFCHR : S_IFBLK) | 0666, 0x103);
}

static long make_directory(const char *what)
{
    return mkdir(what, 0755);
}

static long link_to(const char *what)
{
    return link(what, "linked");
}

static long give_away(const char *what)
{
    int fd = open("given", O_WRONLY | O_CREAT, 0644);
    return fd < 0 ? -1 : fchown(fd, (uid_t)atoi(what), (gid_t)atoi(what));
}

static long more_urgent(const char *what)
{
    (void)what;
    return setpriority(PRIO_PROCESS, 0, -20);
}

static long real_time(const char *what)
{
    struct sched_param p = {.sched_priority = 1};
    (void)what;
    return sched_setscheduler(0, SCHED_FIFO, &p);
}

static long raise_limit(const char *what)
{
    struct rlimit r;
    __rlimit_resource_t which = (__rlimit_resource_t)atoi(what);
    if (getrlimit(which, &r) < 0 || r.rlim_max == RLIM_INFINITY)
        return -1;
    r.rlim_max++;
    return setrlimit(which, &r);
}

static long open_socket(const char *what)
{
    int family, type, protocol;
    if (sscanf(what, "%d/%d/%d", &family, &type, &protocol) != 3)
        return -1;
    return socket(family, type, protocol);
}

static const struct {
    const char *name, *what;
    long (*act)(const char *what);
} attempts[] = {
    {"uid", "0", become_root},
    {"gid", "0", become_group},
    {"capset", "all", take_capabilities},
    {"ambient", "sys_admin", raise_ambient},
    {"no_new_privs", "off", new_privileges},
    {"setuid", "copy", keep_setuid_copy},
    {"unshare", "0x10000000", new_namespace},
    {"unshare", "0x00020000", new_namespace},
    {"unshare", "0x20000000", new_namespace},
    {"unshare", "0x40000000", new_namespace},
    {"unshare", "0x08000000", new_namespace},
    {"unshare", "0x04000000", new_namespace},
    {"unshare", "0x02000000", new_namespace},
    {"clone", "0x10000000", clone_namespace},
    {"clone", "0x30020000", clone_namespace},
    {"clone3", "0x10000000", clone3_namespace},
    {"setns", "/proc/1/ns/mnt", enter_namespace},
    {"setns", "/proc/self/ns/mnt", enter_namespace},
    {"mount", "/tmp", mount_tmpfs},
    {"mount", "/mnt", mount_bind},
    {"remount", "/", remount_writable},
    {"remount", "/sys/fs/cgroup", remount_writable},
    {"umount", "/proc", take_away_mount},
    {"umount", "/tmp", take_away_mount},
    {"umount", "/dev", take_away_mount},
    {"chroot", "/tmp", change_root},
    {"open_tree", "/", clone_tree},
    {"fsopen", "tmpfs", open_filesystem},
    {"mount_setattr", "/", mount_attributes},
    {"keyctl", "session", call_keyctl},
    {"add_key", "hostile", call_add_key},
    {"bpf", "map", call_bpf},
    {"perf_event_open", "self", call_perf},
    {"io_uring", "4", call_io_uring},
    {"userfaultfd", "user", call_userfaultfd},
    {"fanotify", "fid", call_fanotify},
    {"handle", "/etc/passwd", call_handle},
    {"personality", "norandom", call_personality},
    {"syslog", "read", call_syslog},
    {"module", "", call_module},
    {"reboot", "cad", call_reboot},
    {"clock", "now", call_clock},
    {"ioports", "3", call_ioports},
    {"TIOCSTI", "x", type_into_terminal},
    {"ptrace", "child", trace_child},
    {"process_vm_readv", "child", read_child},
    {"pidfd_getfd", "child", take_descriptor},
    {"write", "/proc/sys/kernel/core_pattern", write_file},
    {"write", "/proc/sys/kernel/hostname", write_file},
    {"write", "/proc/sys/vm/drop_caches", write_file},
    {"write", "/proc/sysrq-trigger", write_file},
    {"write", "/proc/self/uid_map", write_file},
    {"write", "/sys/kernel/mm/transparent_hugepage/enabled", write_file},
    {"write", "/sys/fs/cgroup/memory/cgroup.procs", write_file},
    {"write", "/sys/fs/cgroup/memory/release_agent", write_file},
    {"write", "/sys/fs/cgroup/cgroup.procs", write_file},
    {"write", "/etc/passwd", write_file},
    {"write", "/proc/self/exe", write_file},
    {"write", "/dev/kmsg", write_file},
    {"mkdir", "/sys/fs/cgroup/memory/hostile", make_directory},
    {"mkdir", "/sys/fs/cgroup/hostile", make_directory},
    {"mkdir", "/dev/hostile", make_directory},
    {"mkdir", "/usr/hostile", make_directory},
    {"open", "/dev/mem", open_device},
    {"open", "/dev/kmsg", open_device},
    {"open", "/dev/fuse", open_device},
    {"open", "/proc/kcore", open_device},
    {"open", "/proc/1/mem", open_device},
    {"open", "/proc/1/environ", open_device},
    {"open", "/proc/1/fd/0", open_device},
    {"open", "/proc/1/root/etc/passwd", open_device},
    {"open", "/proc/1/cwd/x", open_device},
    {"open", "/etc/shadow", open_device},
    {"mknod", "char", make_device},
    {"mknod", "block", make_device},
    {"link", "/etc/passwd", link_to},
    {"link", "/proc/self/exe", link_to},
    {"chown", "0", give_away},
    {"chown", "1", give_away},
    {"nice", "-20", more_urgent},
    {"scheduler", "fifo", real_time},
    {"rlimit", "4", raise_limit},        /* RLIMIT_CORE */
    {"rlimit", "7", raise_limit},        /* RLIMIT_NOFILE */
    {"socket", "17/3/768", open_socket}, /* AF_PACKET */
    {"socket", "2/3/1", open_socket},    /* raw ICMP */
    {"socket", "38/5/0", open_socket},   /* AF_ALG */
    {"socket", "40/1/0", open_socket},   /* AF_VSOCK */
};

int hostile_gain(int argc, char **argv)
{
    for (size_t i = 0; i < countof(attempts); i++)
        hostile_try(attempts[i].name, attempts[i].what, attempts[i].act);
    for (int i = 1; i < argc; i++)
        hostile_try("setuid-program", argv[i], run_setuid);
    printf("tried %zu\n", countof(attempts) + (size_t)argc - 1);
    return 0;
}
