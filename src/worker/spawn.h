/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The one place where a payload is started: clone, namespaces, mounts, limits, ids, filter, exec. All is
 * prepared by the caller before; between clone and exec the child makes only async-signal-safe calls and reports a failure by step
 * and errno over a close-on-exec pipe.
 *
 * Isolation has two ways. With CAP_SYS_ADMIN in the worker, namespaces are made directly and the ids are
 * changed with CAP_SETUID. Without, a user namespace is made first that maps only the caller's own id.
 * With BERTH_ISOLATE_PID the child is a small init (a fork of the supervisor) that starts the payload as its child,
 * passes on signals, reaps, and ends when the payload ends, which makes the kernel kill all the rest.
 */
#ifndef WORKER_SPAWN_H
#define WORKER_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "worker/cgroup.h"
#include <berth/error.h>
#include <berth/runtime.h>

struct seccomp_filter; /* compiled once per worker, inherited */
struct seccomp_filter *seccomp_filter_new(struct berth_error *err); /* NULL and err; uses libseccomp */
void seccomp_filter_free(struct seccomp_filter *f);
/* Puts the filter on the calling process, for good; async-signal-safe. Needs no_new_privs. 0 or -errno. */
int seccomp_filter_install(const struct seccomp_filter *f);

/* What isolation can be had by this process; probed by trying, once, in a throw-away child. */
struct isolation {
    unsigned can;      /* BERTH_ISOLATE_* bits */
    bool by_userns;    /* through a user namespace */
    bool keeps;        /* a sandbox can be entered again */
    char text[252];    /* what is missing, why, and the remedy; "" if all is there */
};
void isolation_probe(struct isolation *ret);

struct sandbox; /* sandbox_keep.h */

struct spawn_request {
    const char *const *argv; /* argv[0] without a slash is looked up in search_path */
    const char *const *env;
    const char *cwd, *search_path;
    int stdio[3];            /* become 0, 1, 2 */
    unsigned isolate;        /* BERTH_ISOLATE_*; only bits of isolation.can */
    bool by_userns;
    uid_t uid; gid_t gid;    /* used with BERTH_ISOLATE_UID */
    struct cgroup *cgroup;   /* joined before exec; NULL: none */
    const struct seccomp_filter *filter;
    const char *const *bind_rw; /* stays writable and visible: work directory first. NULL-terminated */
    const char *const *hide;    /* covered by an empty read-only tmpfs (after bind_rw paths below it were saved) */
    const char *const *devices; /* further device nodes to show under BERTH_ISOLATE_DEVICES */
    uint64_t tmp_bytes;      /* size limit of the private /tmp; 0: 64 MiB */
    int nice, io_class, io_level;
    const char *cpu_list;    /* NULL: any */
    /* rlimits, 0: leave as is. The core sets RLIMIT_CORE 0 always. */
    uint64_t rlimit_as, rlimit_nproc, rlimit_nofile, rlimit_fsize;
    const char *host_name;   /* with BERTH_ISOLATE_UTS */
    int net_fd;              /* with BERTH_ISOLATE_NET: network namespace to enter; 0: a new one. Not by_userns */
    struct sandbox *sandbox; /* made ready for this request; NULL: namespaces are made for it alone. Not with run */
    int keep_sock;           /* above 0: only the sandbox, and its init stays. For sandbox_keep.c */
    int (*run)(void *arg);   /* instead of exec: its return value is the exit status. May be NULL */
    void *run_arg;
};

struct spawned {
    pid_t pid;      /* child of the caller: the payload, or its init */
    int pidfd;
    int status_fd;  /* read end: one struct spawn_status when the payload has ended; EOF without it: init died.
                       -1 if there is no init */
    void *stack;    /* init's, until spawn_reap */
    size_t stack_size;
};
struct spawn_status { /* as waitid gave it to the payload's parent */
    int code;  /* CLD_EXITED, CLD_KILLED, CLD_DUMPED */
    int value; /* exit status or signal */
    int64_t user_us, sys_us, maxrss_kb;
    int64_t signals_sent; /* bit n: this side passed on signal n to the payload */
};

/*
 * Returns when the payload runs (exec succeeded) or with the reason why not: err->code as execve or the step gave it,
 * err->text naming the step ("exec '/x/y': no such file or directory"; "mount proc: ..."). *ret_task_fault tells whether
 * the failure lies in what was asked (no such program, not executable) rather than in the node.
 */
int spawn(const struct spawn_request *req, struct spawned *ret, bool *ret_task_fault,
          struct berth_error *err);
/* Reaps after the pidfd became readable and fills st, whichever way the status came. Closes both descriptors. */
int spawn_reap(struct spawned *s, struct spawn_status *st);

/*
 * A new, empty network namespace for spawn_request.net_fd. Making one costs more than a whole task, and a payload has
 * no capability with which it could leave anything in it, so one may serve task after task, never two at once.
 */
int spawn_net_new(int *ret_fd, struct berth_error *err);

#endif
