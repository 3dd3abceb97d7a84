/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Making the payload, and ending it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "worker/sandbox_keep.h"
#include "worker/supervisor_int.h"

#define COMMAND_SECONDS 10 /* a plugin's `command` only puts strings together */
#define KILL_WAIT_MS 200
#define SMALL_TASK 65536

/* What `run` says when the engine failed, over a pipe: it is in another process. */
struct fault {
    int rc;
    struct berth_error err;
    struct runtime_said said;
};

/* ---- before the start ---- */

/* Not made yet: what it shall limit is for `command` to say. */
static const char *cgroup_of(const struct supervisor *s)
{
    const struct cgroup_base *g = s->rt->cgroups;
    if (!s->at->group || !strcmp(cgroup_base_kind(g), "none"))
        return "";
    return arena_fmt(s->at->arena, "%s/%s", cgroup_base_path(g), s->at->group) ?: "";
}

void payload_view(struct supervisor *s)
{
    struct attempt *at = s->at;
    const struct plan *p = &at->plan;
    s->view = (struct berth_task){
        .size = sizeof s->view,
        .attempt = (uint32_t)at->number,
        .id = at->id,
        .executer = p->executer ? p->executer->name : "",
        .image = p->image ? p->image : "",
        .argv = p->argv,
        .env = p->env,
        .input = at->task.input_len ? at->task.input : NULL,
        .input_len = at->task.input_len,
        .resources = {.cpus = p->resources.cpus,
                      .memory_bytes = (uint64_t)p->resources.memory_bytes,
                      .disk_bytes = (uint64_t)p->resources.disk_bytes,
                      .pids = (uint32_t)p->resources.pids,
                      .gpu_count = (uint32_t)at->gpu_count,
                      .gpus = at->gpus},
        .network = p->network,
        .timeout_ms = p->timeout_ms,
        .tenant = at->task.tenant,
        .work_dir = at->work,
        .instance = at->instance,
        .uid = (int32_t)at->uid,
        .gid = (int32_t)at->gid,
        .cgroup = cgroup_of(s),
    };
}

/* A failure in a step of ours, unless the plugin said whose it is. */
static int start_failed(struct supervisor *s, int blame, const char *code,
                        const struct berth_error *err)
{
    failure_set(&s->end.failure, BERTH_VERDICT_RUNTIME_ERROR, blame, code, "%s", err->text);
    return -(err->code ? err->code : EIO);
}

int payload_plugin_failed(struct supervisor *s, const char *code,
                          const struct runtime_said *said, const struct berth_error *err)
{
    struct failure *f = &s->end.failure;
    failure_set(f, said->verdict ? said->verdict : BERTH_VERDICT_RUNTIME_ERROR,
                said->blame ? said->blame : BERTH_BLAME_RUNTIME, code, "%s", err->text);
    snprintf(f->detail, sizeof f->detail, "%s", said->detail);
    return -(err->code ? err->code : EIO);
}

/* ---- limits ---- */

static bool core_limits(const struct supervisor *s, unsigned bit, unsigned level)
{
    if (runtime_is_full(s->rt) && level != BERTH_ENFORCE_CORE)
        return false;
    return s->held.limits & bit;
}

static int open_cgroup(struct supervisor *s, struct berth_error *err)
{
    const struct task_resources *r = &s->at->plan.resources;
    const struct berth_probe *p = &s->rt->probe;
    struct cgroup_limits lim = {0};
    if (!strcmp(cgroup_base_kind(s->rt->cgroups), "none"))
        return 0;
    if (core_limits(s, BERTH_LIMIT_MEMORY, p->memory))
        lim.memory_bytes = (uint64_t)r->memory_bytes;
    if (core_limits(s, BERTH_LIMIT_CPU, p->cpus))
        lim.cpus = r->cpus;
    if (core_limits(s, BERTH_LIMIT_PIDS, p->pids))
        lim.pids = (uint32_t)r->pids;
    if (!s->spare)
        return cgroup_open(s->rt->cgroups, s->at->group, &lim, &s->cgroup, err);
    int rc = cgroup_renew(&s->spare, &lim, err);
    s->cgroup = take_ptr(s->spare);
    return rc;
}

static void set_rlimits(const struct supervisor *s, struct spawn_request *req)
{
    const struct task_resources *r = &s->at->plan.resources;
    const struct cgroup_base *g = s->rt->cgroups;
    if (core_limits(s, BERTH_LIMIT_MEMORY, s->rt->probe.memory) && !cgroup_has_memory(g))
        req->rlimit_as = (uint64_t)r->memory_bytes;
    if (core_limits(s, BERTH_LIMIT_PIDS, s->rt->probe.pids) && !cgroup_has_pids(g) &&
        s->held.isolate & BERTH_ISOLATE_UID)
        req->rlimit_nproc = (uint64_t)r->pids;
}

/* ---- the simple form ---- */

/* The uid is the slot's, unless the command wants the worker's or names one. */
static int choose_ids(struct supervisor *s, const struct berth_command *cmd,
                      struct berth_error *err)
{
    struct attempt *at = s->at;
    if (at->uid == (uid_t)-1)
        return 0;
    if (cmd->uid == 0 || cmd->gid == 0)
        return berth_fail(err, EPERM, "no payload is run as root");
    at->uid = cmd->isolate & BERTH_ISOLATE_UID ? (uid_t)cmd->uid : (uid_t)-1;
    at->gid = cmd->isolate & BERTH_ISOLATE_UID ? (gid_t)cmd->gid : (gid_t)-1;
    return 0;
}

/* What a plugin did to the process must not look like the task's fault later. */
static void undo_plugin(const sigset_t *mask)
{
    umask(022);
    signal(SIGCHLD, SIG_DFL); /* ignored, nobody would learn how the payload ended */
    sigprocmask(SIG_SETMASK, mask, NULL);
}

static int build_command(struct supervisor *s)
{
    sigset_t mask;
    struct berth_error err = {0};
    struct runtime *rt = s->rt;
    s->command = command_new(s->at->work);
    if (!s->command) {
        berth_fail(&err, ENOMEM, "out of memory");
        return start_failed(s, BERTH_BLAME_NODE, "out_of_memory", &err);
    }
    s->command->cmd.uid = s->view.uid;
    s->command->cmd.gid = s->view.gid;
    runtime_said_clear(rt);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    alarm(COMMAND_SECONDS); /* ends this process; the worker tells the host why */
    mark_enter(rt->block->name, "command");
    int rc = rt->plugin->runtime.command(&rt->ctx, &s->view, &s->command->cmd, &err);
    mark_leave();
    alarm(0);
    undo_plugin(&mask);
    if (rc >= 0 && command_seal(s->command) < 0)
        rc = berth_fail(&err, ENOMEM, "out of memory");
    if (rc >= 0 && !s->command->argc)
        rc = berth_fail(&err, EINVAL, "plugin '%s' gave no program to execute",
                        rt->block->plugin);
    if (rc < 0 && !err.code)
        berth_fail(&err, -rc, "plugin '%s' failed without saying why", rt->block->plugin);
    if (rc < 0)
        return payload_plugin_failed(s, "command", &rt->said, &err);
    const struct berth_command *cmd = &s->command->cmd;
    if (choose_ids(s, cmd, &err) < 0)
        return payload_plugin_failed(s, "command", &rt->said, &err);
    s->held = enforce_command(rt, cmd, s->at->uid != (uid_t)-1);
    if (cmd->stop_signal > 0)
        s->stop_signal = cmd->stop_signal;
    return 0;
}

static const char *const *list_join(struct arena *a, const char *first, const char *second,
                                    const char *const *rest)
{
    size_t n = 0, count = 0;
    while (rest && rest[count])
        count++;
    const char **list = arena_alloc(a, (count + 3) * sizeof *list);
    if (!list)
        return NULL;
    list[n++] = first;
    if (second)
        list[n++] = second;
    for (size_t i = 0; i < count; i++)
        list[n++] = rest[i];
    return list;
}

/* The device nodes of NVIDIA's driver for the task's GPUs; names that are not its indices have none. */
static const char *const *gpu_devices(struct supervisor *s, struct arena *a)
{
    static const char *const common[] = {"/dev/nvidiactl", "/dev/nvidia-uvm",
                                         "/dev/nvidia-uvm-tools"};
    size_t n = 0, max = (size_t)s->at->gpu_count + countof(common);
    const char **list = arena_alloc(a, (max + 1) * sizeof *list);
    for (size_t i = 0; list && i < (size_t)s->at->gpu_count; i++) {
        const char *path = arena_fmt(a, "/dev/nvidia%s", s->at->gpus[i]);
        if (path && !strchr(s->at->gpus[i], '/') && access(path, F_OK) == 0)
            list[n++] = path;
    }
    for (size_t i = 0; list && n && i < countof(common); i++)
        if (access(common[i], F_OK) == 0)
            list[n++] = common[i];
    return list;
}

/* Kept: making one costs more than a short task. 0: the payload gets a new one. */
static int network_of(struct supervisor *s)
{
    if (!(s->held.isolate & BERTH_ISOLATE_NET) || s->rt->isolation.by_userns ||
        s->at->plan.network != BERTH_NETWORK_NONE)
        return 0;
    if (!s->net_fd && spawn_net_new(&s->net_fd, NULL) < 0)
        s->net_fd = 0;
    return s->net_fd;
}

static int request_command(struct supervisor *s, struct spawn_request *req)
{
    static const char *const nothing[] = {NULL};
    struct command *c = s->command;
    const struct config *cfg = s->rt->config;
    req->argv = c->argv;
    req->env = c->env ? c->env : nothing;
    req->cwd = c->cmd.cwd;
    req->search_path = c->cmd.search_path;
    req->isolate = s->held.isolate;
    req->by_userns = s->rt->isolation.by_userns;
    req->uid = s->at->uid;
    req->gid = s->at->gid;
    req->filter = s->rt->filter;
    req->net_fd = network_of(s);
    req->bind_rw = list_join(c->arena, s->at->work, NULL, c->cmd.bind_rw);
    req->hide = list_join(c->arena, cfg->run_dir, cfg->state_dir, c->cmd.hide);
    req->devices = gpu_devices(s, c->arena);
    req->nice = c->cmd.nice;
    req->io_class = c->cmd.io_class;
    req->io_level = c->cmd.io_level;
    req->cpu_list = c->cmd.cpu_list;
    req->host_name = s->at->instance;
    return req->bind_rw && req->hide ? 0 : -ENOMEM;
}

/* ---- the full form ---- */

/* Stands for the payload, in a process of its own. */
static int run_engine(void *arg)
{
    struct supervisor *s = arg;
    struct fault f = {0};
    sigset_t none;
    host_link_free_after_fork(
        s->link); /* or the host would not see that the supervisor died */
    helpers_forget();
    sigemptyset(&none);
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    runtime_said_clear(s->rt);
    f.rc = s->rt->plugin->runtime.run(&s->rt->ctx, &s->view, &f.err);
    if (f.rc >= 0)
        return f.rc & 0xff;
    if (!f.err.code)
        berth_fail(&f.err, -f.rc, "plugin '%s' failed without saying why",
                   s->rt->block->plugin);
    f.said = s->rt->said;
    return write(s->fault_fd, &f, sizeof f) == sizeof f ? 125 : 126;
}

static void read_fault(struct supervisor *s)
{
    struct fault f;
    if (s->fault_fd < 0)
        return;
    if (read(s->fault_fd, &f, sizeof f) == sizeof f)
        payload_plugin_failed(s, "run", &f.said, &f.err);
    close(take_fd(s->fault_fd));
}

/* ---- the start ---- */

/* So that it may open them again, as /dev/stdout. Without an input it is /dev/null, and that is everybody's. */
static void give_streams(const struct supervisor *s, int in, const int outs[2])
{
    if (s->at->uid == (uid_t)-1)
        return;
    if ((s->view.input_len && fchown(in, s->at->uid, s->at->gid) < 0) ||
        fchown(outs[0], s->at->uid, s->at->gid) < 0 ||
        fchown(outs[1], s->at->uid, s->at->gid) < 0)
        log_line(BERTH_LOG_DEBUG, s->at->id, "its streams cannot be opened by name");
}

static int spawn_with(struct supervisor *s, struct spawn_request *req, bool *ret_task_fault,
                      struct berth_error *err)
{
    int outs[2] = {-1, -1};
    int in = input_open(s->view.input, s->view.input_len, err);
    if (in < 0)
        return in;
    int rc = streams_open(s, outs, err);
    if (rc == 0) {
        give_streams(s, in, outs);
        req->stdio[0] = in;
        req->stdio[1] = outs[0];
        req->stdio[2] = outs[1];
        rc = payload_spawn(s, req, ret_task_fault, err);
    }
    close(in);
    for (int i = 0; i < 2; i++)
        if (outs[i] >= 0)
            close(outs[i]);
    if (rc < 0) {
        s->payload.pid = 0;
        streams_cut(s);
        s->end.cut = false;
    }
    return rc;
}

static int spawn_engine(struct supervisor *s, struct spawn_request *req,
                        struct berth_error *err)
{
    static const char *const nothing[] = {NULL};
    int fds[2];
    bool fault;
    if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
        return berth_fail_errno(err, errno, "pipe");
    s->fault_fd = fds[1]; /* for the child; this side reads the other end */
    req->argv = req->env = nothing;
    req->cwd = s->at->work;
    req->run = run_engine;
    req->run_arg = s;
    int rc = spawn_with(s, req, &fault, err);
    close(fds[1]);
    s->fault_fd = fds[0];
    return rc;
}

/* Is all that is required held by what will really be put around it? */
static int check_require(struct supervisor *s)
{
    const char *unmet = enforce_unmet(s->rt, &s->held, s->at->plan.require);
    if (!unmet)
        return 0;
    failure_set(&s->end.failure, BERTH_VERDICT_REJECTED, BERTH_BLAME_CALLER,
                "not_enforceable",
                "'%s' is required, and this executer does not enforce it here", unmet);
    return -EOPNOTSUPP;
}

static bool wants_disk(const struct supervisor *s)
{
    return s->held.limits & BERTH_LIMIT_DISK && s->rt->probe.disk == BERTH_ENFORCE_CORE &&
           enforce_disk_fits(s->rt, &s->at->plan.resources);
}

/* The plugin is asked first: whose the work directory will be, and what limits it, is in its command. */
int payload_prepare(struct supervisor *s)
{
    struct berth_error err = {0};
    payload_view(s);
    s->held.limits = BERTH_LIMIT_ALL;
    int rc = runtime_is_full(s->rt) ? 0 : build_command(s);
    if (rc == 0)
        rc = check_require(s);
    if (rc < 0)
        return rc;
    if (open_cgroup(s, &err) < 0)
        return start_failed(s, BERTH_BLAME_NODE, "cgroup", &err);
    CRASH_POINT(cgroup_made);
    rc = attempt_work_make(s->at, &err);
    if (rc == 0 && wants_disk(s)) {
        rc = disk_mount(s, &err);
        s->held.disk = rc == 0;
    }
    CRASH_POINT(work_made);
    return rc < 0 ? start_failed(s, BERTH_BLAME_NODE, "work_directory", &err) : 0;
}

static int launch(struct supervisor *s)
{
    struct berth_error err = {0};
    struct spawn_request req = {0};
    bool task_fault = false, full = runtime_is_full(s->rt);
    int rc;
    req.cgroup = s->cgroup;
    set_rlimits(s, &req);
    s->pid_namespace = s->held.isolate & BERTH_ISOLATE_PID;
    if (!s->pid_namespace && !cgroup_has_kill(s->rt->cgroups))
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    if (full)
        rc = spawn_engine(s, &req, &err);
    else if (request_command(s, &req) < 0)
        rc = berth_fail(&err, ENOMEM, "out of memory");
    else
        rc = spawn_with(s, &req, &task_fault, &err);
    if (rc < 0)
        return start_failed(s, task_fault ? BERTH_BLAME_TASK : BERTH_BLAME_NODE,
                            task_fault ? "cannot_execute" : "start", &err);
    return 0;
}

static void payload_ended(void *arg)
{
    supervisor_event(arg, EVENT_ENDED);
}

int payload_launch(struct supervisor *s)
{
    CRASH_POINT(payload_make);
    int rc = launch(s);
    CRASH_POINT(payload_made);
    command_free(take_ptr(s->command));
    if (rc < 0)
        return rc;
    if (s->at->task_len > SMALL_TASK) {
        attempt_forget_bytes(s->at);
        s->view.input = NULL;
        s->view.input_len = 0;
        s->bytes_gone = true;
    }
    if (!cgroup_has_kill(s->rt->cgroups))
        attempt_witness_write(s->at->dir, s->payload.pid); /* it dies with us even so */
    s->watch = loop_child_add(s->loop, s->payload.pidfd, payload_ended, s);
    if (!s->watch || streams_watch(s) < 0) {
        log_line(BERTH_LOG_ERR, s->at->id, "out of memory");
        _exit(SUPERVISOR_FAILED); /* the payload dies with its parent, the worker sweeps */
    }
    return 0;
}

/* ---- the end ---- */

void payload_signal(struct supervisor *s, int signo)
{
    s->end.sent |= UINT64_C(1) << signo;
    /* Init hands them on to the whole group; this one has no init of its own. */
    if (s->in_sandbox && !s->end.reaped && kill(-s->payload.pid, signo) == 0)
        return;
    if (!s->end.reaped)
        pidfd_send_signal(s->payload.pidfd, signo, NULL, 0);
}

void payload_kill(struct supervisor *s)
{
    s->hard_killed = true;
    if (s->in_sandbox && s->sandbox)
        sandbox_kill(s->sandbox);
    payload_signal(s, SIGKILL);
}

static bool not_an_orphan(void *arg, pid_t pid)
{
    const struct supervisor *s = arg;
    return (pid == s->payload.pid && !s->end.reaped) || helper_has_pid(pid);
}

int payload_kill_rest(struct supervisor *s)
{
    if (!s->end.reaped)
        return -EAGAIN;
    if (s->in_sandbox)
        return payload_sandbox_leave(s);
    if (s->pid_namespace) /* the kernel lets no init end before all of its processes have */
        return 0;
    if (s->cgroup && cgroup_has_kill(s->rt->cgroups))
        return cgroup_kill(s->cgroup, KILL_WAIT_MS) < 0 ? -EAGAIN : 0;
    return orphans_kill(not_an_orphan, s) > 0 ? -EAGAIN : 0;
}

void payload_reaped(struct supervisor *s)
{
    if (s->end.reaped)
        return;
    loop_child_remove(&s->watch);
    spawn_reap(&s->payload, &s->end.status);
    s->end.reaped = true;
    s->end.finished_ms = unix_ms();
    s->end.wall_ms = now_ms() - s->started_mono_ms;
    read_fault(s);
}
