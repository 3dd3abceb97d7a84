/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A payload dies with the process that started it. */
#include "spawn-help.h"

/* In a process that is then killed. */
static void test_parent_death(unsigned isolate, bool by_userns)
{
    int p[2], go[2];
    if (pipe2(p, O_CLOEXEC) < 0 || pipe2(go, O_CLOEXEC) < 0)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        static const char *const argv[] = {"/bin/sh", "-c",
                                           "echo up; sleep 1000 & exec sleep 1000", NULL};
        struct spawn_request req = {.argv = argv,
                                    .env = test_env,
                                    .stdio = {go[0], p[1], p[1]},
                                    .isolate = isolate,
                                    .by_userns = by_userns};
        struct spawned s;
        if (spawn(&req, &s, NULL, NULL) < 0)
            _exit(1);
        close(p[1]);
        for (;;)
            pause();
    }
    char line[16];
    close(p[1]);
    ok(reads_line(p[0], line, sizeof line), "a payload runs");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ok(ends(p[0], WAIT_MS), "its parent's death kills it and its children");
    close(p[0]);
    close(go[0]);
    close(go[1]);
}

static void test_parent_death_direct(void)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        static const char *const argv[] = {"/bin/sh", "-c", "echo up; exec sleep 1000",
                                           NULL};
        struct spawn_request req = {
            .argv = argv, .env = test_env, .stdio = {0, p[1], p[1]}};
        struct spawned s;
        if (spawn(&req, &s, NULL, NULL) < 0)
            _exit(1);
        close(p[1]);
        for (;;)
            pause();
    }
    char line[16];
    close(p[1]);
    ok(reads_line(p[0], line, sizeof line), "a payload without init runs");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ok(ends(p[0], WAIT_MS), "its parent's death kills it");
    close(p[0]);
}

static void test_user(void *arg)
{
    struct isolation is;
    (void)arg;
    become_user();
    isolation_probe(&is);
    if (is.can & BERTH_ISOLATE_PID)
        test_parent_death(BERTH_ISOLATE_PID, is.by_userns);
    else
        skip(is.text, 1);
}

static void test_root(void *arg)
{
    (void)arg;
    become_worker();
    test_parent_death(BERTH_ISOLATE_PID, false);
}

int main(void)
{
    test_parent_death_direct();
    if (geteuid() == 0)
        in_child(test_root, NULL);
    else
        skip("needs root", 1);
    in_child(test_user, NULL);
    return tap_done();
}
