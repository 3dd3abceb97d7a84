/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The runtime side of the plugin ABI: where tasks run.
 *
 * Simple form: `command` says what to execute; the core spawns it, limits it, captures its output,
 * times it, kills it and collects its verdict. Full form: `run` is blocking code that stands for the
 * payload, for engines with an API of their own. A plugin gives exactly one of the two.
 */
#ifndef BERTH_RUNTIME_H
#define BERTH_RUNTIME_H

#include <berth/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bits of berth_command.isolate: what the core puts around the command. */
#define BERTH_ISOLATE_MOUNT 0x001u   /* own mount namespace, run and state directory hidden */
#define BERTH_ISOLATE_PID 0x002u     /* own pid namespace, with a reaper as its init */
#define BERTH_ISOLATE_IPC 0x004u
#define BERTH_ISOLATE_NET 0x008u     /* own, empty network namespace */
#define BERTH_ISOLATE_READONLY 0x010u /* the system read-only; needs MOUNT */
#define BERTH_ISOLATE_TMP 0x020u     /* own /tmp, /var/tmp and /dev/shm; needs MOUNT */
#define BERTH_ISOLATE_SECCOMP 0x040u /* the core's system call filter */
#define BERTH_ISOLATE_DEVICES 0x080u /* a /dev of null zero full random urandom tty; needs MOUNT */
#define BERTH_ISOLATE_UID 0x100u     /* run as task->uid, task->gid */
#define BERTH_ISOLATE_UTS 0x200u     /* own host name */

/* Bits of berth_command.limits: which limits the core shall put on the command's own cgroup and
 * rlimits. A runtime whose engine enforces one itself leaves the bit out. */
#define BERTH_LIMIT_MEMORY 0x1u
#define BERTH_LIMIT_CPU 0x2u
#define BERTH_LIMIT_PIDS 0x4u
#define BERTH_LIMIT_DISK 0x8u
#define BERTH_LIMIT_ALL 0xfu

/*
 * What to execute. The core fills in the defaults noted here before it calls `command`; argv and
 * the environment start empty and are built with host->command_arg and host->command_env.
 * Strings that the plugin puts here must live until `command` has returned; the core copies them.
 */
struct berth_command {
    uint32_t size;
    uint32_t isolate; /* BERTH_ISOLATE_*; default 0 */
    uint32_t limits;  /* BERTH_LIMIT_*; default BERTH_LIMIT_ALL */
    const char *cwd;  /* default task->work_dir */
    const char *search_path; /* where a program without a slash is looked up; default the standard path */
    int nice;         /* -20..19; default 0 */
    int io_class;     /* IOPRIO_CLASS_*: 0 as inherited, 1 realtime, 2 best-effort, 3 idle */
    int io_level;     /* 0..7 */
    const char *cpu_list; /* "0-3,8": CPU affinity; NULL: any */
    const char *const *bind_rw; /* further paths that stay writable under READONLY; NULL-terminated */
    const char *const *hide;    /* further paths that are covered; NULL-terminated */
    int stop_signal;  /* first step of the kill ladder; default SIGTERM */
    int32_t uid, gid; /* with BERTH_ISOLATE_UID; default task->uid, task->gid. Not 0 */
};

/* What the runtime can hold here, as the probe found it: BERTH_ENFORCE_* per thing. */
enum berth_enforce { BERTH_ENFORCE_NO = 0, BERTH_ENFORCE_YES = 1, BERTH_ENFORCE_CORE = 2 /* as the core can */ };

struct berth_probe {
    uint32_t size;
    char version[64];   /* of the engine, "" if there is none */
    char detail[252];   /* one line: what was found, what is missing and the remedy */
    uint8_t memory, cpus, pids, disk, network_none, read_only, uid, gpus; /* enum berth_enforce */
};

/* Evidence that the engine has of how an attempt ended. Fields start as -1: not known. */
struct berth_evidence {
    uint32_t size;
    int exit_code;         /* of the payload, by the engine's own report */
    int signal;            /* that ended it */
    int oom_killed;        /* 1: the engine says the kernel killed for memory */
    int64_t peak_memory_bytes;
    int64_t user_ms, sys_ms;
    char text[252];        /* the engine's own words; starts "" */
};

/* How a task ended that needed no process. */
struct berth_answer {
    uint32_t size;
    int exit_code;      /* 0..255; starts 0 */
    const void *output; /* the plugin's; read when `answer` has returned */
    size_t output_len;
};

typedef void berth_progress_fn(void *arg, const char *line);

struct berth_runtime {
    uint32_t size; /* filled by BERTH_RUNTIME */

    /* Simple form. 0 or -errno. Runs in the supervisor of the attempt. */
    int (*command)(struct berth_ctx *ctx, const struct berth_task *task, struct berth_command *cmd,
                   struct berth_error *err);

    /* Full form. Runs in a process forked for it, in place of the payload: fd 0 is the input, fds 1
     * and 2 are captured, SIGTERM is unblocked and default. Returns the exit code 0..255 to report
     * or -errno (the engine failed). The kill ladder acts on this process; what the engine
     * holds is stopped through `signal` and `cleanup`. */
    int (*run)(struct berth_ctx *ctx, const struct berth_task *task, struct berth_error *err);

    /* Optional, full form. Sends a signal to the payload inside the engine. Without it the process of
     * `run` gets the signal. */
    int (*signal)(struct berth_ctx *ctx, const struct berth_task *task, int signo,
                  struct berth_error *err);
    /* Optional. Called once after the end, before cleanup: what the engine knows of the end. */
    int (*collect)(struct berth_ctx *ctx, const struct berth_task *task,
                   struct berth_evidence *evidence, struct berth_error *err);
    /* Optional. Removes the instance with all that belongs to it; succeeds if there is none.
     * Called after each attempt and for what a crash left behind. */
    int (*cleanup)(struct berth_ctx *ctx, const char *instance, struct berth_error *err);
    /* Optional. Is the engine there, and what can it hold? Asked at start and periodically; a failure
     * makes the runtime unhealthy until a later probe succeeds. Default: all _CORE. */
    int (*probe)(struct berth_ctx *ctx, struct berth_probe *probe, struct berth_error *err);
    /* Optional. Makes an image usable (pull, convert). At most one call per image at a time;
     * may take long; ended by SIGKILL when nobody wants it any more. */
    int (*prepare)(struct berth_ctx *ctx, const char *image, berth_progress_fn *progress, void *arg,
                   struct berth_error *err);
    /* Since 1.1. Optional: answers a task at once, without a process, a work directory or limits. Runs in
     * the worker, where nobody else is served meanwhile. 0: done; 1: this one is to be run; -errno: failed.
     * Tasks with files, or that require a limit, are not asked for. */
    int (*answer)(struct berth_ctx *ctx, const struct berth_task *task, struct berth_answer *answer,
                  struct berth_error *err);
};

#define BERTH_RUNTIME(...) {.size = (uint32_t)sizeof(struct berth_runtime), __VA_ARGS__}

#ifdef __cplusplus
}
#endif
#endif
