/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * clone3 in the two ways of spawn_int.h. A copy of a supervisor's page tables, with the
 * faults that follow, costs nearly as much as a whole task, and its copied pages are
 * memory for as long as init lives. glibc's clone() cannot pass CLONE_INTO_CGROUP, and a
 * child on its own stack cannot return through syscall(): hence the assembly.
 */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/spawn_int.h"

/* The address sanitizer's shadow would follow the child's stack in the memory it shares. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define HAVE_CLONE_VM 1
#else
#define HAVE_CLONE_VM 0
#endif

#if HAVE_CLONE_VM
static long clone_vm(struct clone_args *args, int (*fn)(void *arg), void *arg)
{
    long ret;
    register int (*child_fn)(void *) __asm__("r8") = fn;
    register void *child_arg __asm__("r9") = arg;
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "mov %%r9, %%rdi\n\t"
                     "call *%%r8\n\t"
                     "hlt\n"
                     "1:"
                     : "=a"(ret)
                     : "a"(SYS_clone3), "D"(args), "S"(sizeof *args), "r"(child_fn),
                       "r"(child_arg)
                     : "rcx", "r11", "memory", "cc");
    return ret;
}
#endif

static long clone_copy(const struct clone_args *args)
{
    long pid = syscall(SYS_clone3, args, sizeof *args);
    if (pid >= 0 || errno != ENOSYS || args->flags & CLONE_INTO_CGROUP)
        return pid < 0 ? -errno : pid;
    /* Under valgrind, and in some containers, there is only the older call. */
    uint64_t flags = (args->flags & ~(uint64_t)CLONE_VFORK) | SIGCHLD;
    pid = syscall(SYS_clone, flags, NULL, (void *)(uintptr_t)args->pidfd, NULL, NULL);
    return pid < 0 ? -errno : pid;
}

long clone_child(struct clone_args *args, int (*fn)(void *arg), void *arg, void *stack,
                 size_t stack_size)
{
    long pid;
    args->exit_signal = SIGCHLD;
#if HAVE_CLONE_VM
    struct clone_args shared = *args;
    shared.flags |= CLONE_VM;
    shared.stack = (uintptr_t)stack;
    shared.stack_size = stack_size;
    pid = fn ? clone_vm(&shared, fn, arg) : -ENOSYS;
    if (pid != -ENOSYS)
        return pid;
#else
    (void)stack;
    (void)stack_size;
#endif
    pid = clone_copy(args);
    if (pid == 0 && fn)
        _exit(fn(arg));
    return pid;
}
