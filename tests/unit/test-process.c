/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The process runtime: what it asks of the core. */
#include <errno.h>
#include <signal.h>

#include "fake-host.h"

static const char *const two[] = {"run", "a b", NULL}, *const none[] = {NULL};
static const char *const env[] = {"A=1", "B=x=y", "HOME=/h", NULL}, *const gpus[] = {
                                                                        "0", "3", NULL};

static struct berth_task a_task(void)
{
    return (struct berth_task){.size = sizeof(struct berth_task),
                               .attempt = 2,
                               .id = "t1",
                               .executer = "e",
                               .image = "",
                               .argv = two,
                               .env = env,
                               .tenant = "",
                               .work_dir = "/w",
                               .instance = "i",
                               .uid = -1,
                               .gid = -1,
                               .cgroup = ""};
}

static int command(const struct berth_task *task, struct berth_command *cmd,
                   struct berth_error *err)
{
    *cmd = (struct berth_command){.size = sizeof(*cmd),
                                  .limits = BERTH_LIMIT_ALL,
                                  .cwd = task->work_dir,
                                  .stop_signal = SIGTERM};
    fake.argv[0] = fake.env[0] = '\0';
    fake.verdict = fake.blame = 0;
    *err = (struct berth_error){0};
    int r = berth_plugin_entry()->runtime->command(&fake_ctx, task, cmd, err);
    options_free(fake.task_options);
    fake.task_options = NULL;
    return r;
}

#define GIVEN(...)       \
    (fake.task_options = \
         fake_options(berth_plugin_entry()->executer_options, __VA_ARGS__, NULL))

static void test_refused(void)
{
    struct berth_error err;
    struct berth_command cmd;
    struct berth_task task = a_task();
    task.argv = none;
    GIVEN("nice", "0");
    is_int(command(&task, &cmd, &err), -EINVAL, "no command");
    is_str(err.text, "executer 'e' has no command", "as told");
    is_int(fake.blame, BERTH_BLAME_CALLER, "the caller is to blame");
    task.executer = "";
    GIVEN("nice", "0");
    is_int(command(&task, &cmd, &err), -EINVAL, "no command of an ad-hoc task");
    is_str(err.text, "task 't1' has no command", "as told");
    task = a_task();
    task.network = BERTH_NETWORK_PRIVATE;
    GIVEN("nice", "0");
    is_int(command(&task, &cmd, &err), -EINVAL, "a network that it does not have");
    task = a_task();
    GIVEN("stop_signal", "TREM");
    is_int(command(&task, &cmd, &err), -EINVAL, "no such signal");
    is_str(err.text,
           "executer 'e': stop_signal 'TREM' is none of TERM INT QUIT HUP USR1 USR2",
           "as told");
    GIVEN("io_class", "fast");
    is_int(command(&task, &cmd, &err), -EINVAL, "no such class");
    GIVEN("nice", "20");
    is_int(command(&task, &cmd, &err), -EINVAL, "too nice");
    is_str(err.text, "executer 'e': nice is not within -20 and 19", "as told");
    GIVEN("io_level", "8");
    is_int(command(&task, &cmd, &err), -EINVAL, "no such level");
}

static void test_defaults(void)
{
    struct berth_error err;
    struct berth_command cmd;
    struct berth_task task = a_task();
    GIVEN("nice", "0");
    is_int(command(&task, &cmd, &err), 0, "a plain task (%s)", err.text);
    is_str(fake.argv, "run|a b|", "its arguments stay apart");
    is_str(fake.env,
           "PATH=/usr/local/bin:/usr/bin:/bin|HOME=/w|TMPDIR=/tmp|LANG=C.UTF-8|A=1|B=x=y|"
           "HOME=/h|BERTH_TASK_ID=t1|BERTH_ATTEMPT=2|CUDA_VISIBLE_DEVICES=|",
           "its environment is clean, the task's own in it, and no GPU visible");
    is_int(cmd.isolate, 0x3ff, "it is set apart in every way");
    is_int(cmd.limits, BERTH_LIMIT_ALL, "all limits are on");
    is_int(cmd.stop_signal, SIGTERM, "it is stopped by SIGTERM");
    ok(!cmd.bind_rw[0] && !cmd.hide[0] && !cmd.cpu_list && !cmd.nice && !cmd.io_class,
       "nothing else");
    task.network = BERTH_NETWORK_HOST;
    task.resources.gpu_count = 2;
    task.resources.gpus = gpus;
    GIVEN("nice", "0");
    is_int(command(&task, &cmd, &err), 0, "a task with network and gpus");
    ok(!(cmd.isolate & BERTH_ISOLATE_NET), "has the node's network");
    has_str(fake.env, "CUDA_VISIBLE_DEVICES=0,3|", "and sees its gpus");
}

static void test_switches(void)
{
    static const struct {
        const char *name;
        unsigned isolate, limits;
    } cases[] = {
        {"mount",
         BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_READONLY | BERTH_ISOLATE_TMP |
             BERTH_ISOLATE_DEVICES,
         0},
        {"pid", BERTH_ISOLATE_PID, 0},
        {"ipc", BERTH_ISOLATE_IPC, 0},
        {"net", BERTH_ISOLATE_NET, 0},
        {"uts", BERTH_ISOLATE_UTS, 0},
        {"read_only", BERTH_ISOLATE_READONLY, 0},
        {"private_tmp", BERTH_ISOLATE_TMP, 0},
        {"seccomp", BERTH_ISOLATE_SECCOMP, 0},
        {"devices", BERTH_ISOLATE_DEVICES, 0},
        {"own_uid", BERTH_ISOLATE_UID, 0},
        {"limit_memory", 0, BERTH_LIMIT_MEMORY},
        {"limit_cpu", 0, BERTH_LIMIT_CPU},
        {"limit_pids", 0, BERTH_LIMIT_PIDS},
        {"limit_disk", 0, BERTH_LIMIT_DISK},
    };
    for (size_t i = 0; i < countof(cases); i++) {
        struct berth_error err;
        struct berth_command cmd;
        struct berth_task task = a_task();
        GIVEN(cases[i].name, "off");
        is_int(command(&task, &cmd, &err), 0, "%s off (%s)", cases[i].name, err.text);
        is_int(cmd.isolate, 0x3ffu & ~cases[i].isolate, "%s off: isolation", cases[i].name);
        is_int(cmd.limits, BERTH_LIMIT_ALL & ~cases[i].limits, "%s off: limits",
               cases[i].name);
        if (cases[i].isolate & BERTH_ISOLATE_TMP)
            has_str(fake.env, "TMPDIR=/w|", "%s off: TMPDIR is the task's own",
                    cases[i].name);
    }
}

static void test_given(void)
{
    struct berth_error err;
    struct berth_command cmd;
    struct berth_task task = a_task();
    struct options *o = GIVEN("nice", "5", "io_class", "idle", "io_level", "7", "cpu_list",
                              "0-1", "search_path", "/opt/bin", "bind_rw", "/a|/b", "hide",
                              "/c|", "stop_signal", "INT");
    memset(&cmd, 0, sizeof(cmd));
    fake.argv[0] = fake.env[0] = '\0';
    is_int(berth_plugin_entry()->runtime->command(&fake_ctx, &task, &cmd, &err), 0,
           "all that can be said");
    ok(cmd.nice == 5 && cmd.io_class == 3 && cmd.io_level == 7 && cmd.stop_signal == SIGINT,
       "numbers");
    is_str(cmd.cpu_list, "0-1", "cpu_list");
    is_str(cmd.search_path, "/opt/bin", "search_path");
    has_str(fake.env, "PATH=/opt/bin|", "PATH is the search_path");
    ok(!strcmp(cmd.bind_rw[0], "/a") && !strcmp(cmd.bind_rw[1], "/b") && !cmd.bind_rw[2],
       "bind_rw");
    ok(!strcmp(cmd.hide[0], "/c") && !cmd.hide[1], "hide");
    options_free(o);
    fake.task_options = NULL;
}

int main(void)
{
    test_refused();
    test_defaults();
    test_switches();
    test_given();
    return tap_done();
}
