/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Isolation, seen from the inside: each bit alone does what it says, all together do
 * too, for a worker with capabilities and for a plain user by way of a user namespace.
 */
#include "spawn-help.h"

#define SYSTEM                                                          \
    (BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_READONLY | BERTH_ISOLATE_TMP | \
     BERTH_ISOLATE_DEVICES)

/* BASE/open writable by all; BASE/state hidden but for BASE/state/attempts/1/work. */
static char base[64], work[128], state[96], other[96];

static void make(const char *path, mode_t mode, uid_t uid)
{
    if (mkdir(path, mode) < 0 || chmod(path, mode) < 0 ||
        (geteuid() == 0 && chown(path, uid, uid) < 0))
        printf("# cannot make '%s': %s\n", path, strerror(errno));
}

static void make_dirs_for(uid_t daemon, uid_t task, const char *where)
{
    char path[160];
    snprintf(base, sizeof base, "%s/berth-sandbox-XXXXXX", where);
    ok(mkdtemp(base) != NULL, "a directory in '%s'", where);
    snprintf(state, sizeof state, "%s/state", base);
    snprintf(other, sizeof other, "%s/open", base);
    snprintf(work, sizeof work, "%s/attempts/1/work", state);
    chmod(base, 0755);
    if (geteuid() == 0 && chown(base, daemon, daemon) < 0)
        return;
    make(other, 0777, daemon);
    make(state, 0755, daemon);
    snprintf(path, sizeof path, "%s/secret", state);
    make(path, 0755, daemon);
    snprintf(path, sizeof path, "%s/attempts", state);
    make(path, 0755, daemon);
    snprintf(path, sizeof path, "%s/attempts/1", state);
    make(path, 0755, daemon);
    make(work, 0700, task);
}

static void remove_dirs(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", base);
    ok(system(command) == 0, "clean up");
}

/* Is the namespace the parent's? */
static bool is_shared(struct spawn_request *req, const char *name)
{
    char path[64], own[64] = "", script[96];
    struct result res;
    snprintf(path, sizeof path, "/proc/self/ns/%s", name);
    if (readlink(path, own, sizeof own - 1) < 0)
        return false;
    snprintf(script, sizeof script, "exec readlink %s", path);
    run_sh(req, script, &res);
    res.out[strcspn(res.out, "\n")] = '\0';
    if (res.r < 0 || !res.out[0])
        ok(false, "cannot look at namespace '%s'", name);
    return !strcmp(own, res.out);
}

static void test_each_namespace(const struct isolation *is, uid_t uid)
{
    static const struct {
        unsigned bit;
        const char *name;
    } all[] = {{BERTH_ISOLATE_MOUNT, "mnt"},
               {BERTH_ISOLATE_PID, "pid"},
               {BERTH_ISOLATE_IPC, "ipc"},
               {BERTH_ISOLATE_NET, "net"},
               {BERTH_ISOLATE_UTS, "uts"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (size_t j = 0; j < sizeof all / sizeof *all; j++) {
            struct spawn_request req = {
                .isolate = all[i].bit, .by_userns = is->by_userns, .uid = uid, .gid = uid};
            bool with_pid =
                all[i].bit == BERTH_ISOLATE_PID && all[j].bit == BERTH_ISOLATE_MOUNT;
            ok(is_shared(&req, all[j].name) == (i != j && !with_pid),
               "with %s alone: %s is %s", all[i].name, all[j].name,
               i == j || with_pid ? "own" : "shared");
        }
}

static void test_network(const struct isolation *is)
{
    struct result res;
    struct spawn_request req = {.isolate = BERTH_ISOLATE_NET, .by_userns = is->by_userns};
    run_sh(&req, "tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '", &res);
    is_str(res.out, "lo\n", "only a loopback");
    run_sh(&req, "cat /proc/net/fib_trie /proc/net/if_inet6", &res);
    ok(!strstr(res.out, "127.0.0.1"), "which is down");
    if (is->by_userns)
        return;
    struct berth_error err = {0};
    char want[64], path[64];
    int fd = -1;
    ok(spawn_net_new(&fd, &err) == 0, "a network made ahead %s", err.text);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(path, want, sizeof want - 2);
    want[n > 0 ? n : 0] = '\0';
    strcat(want, "\n");
    req.net_fd = fd;
    for (int i = 0; i < 2; i++) {
        run_sh(&req, "exec readlink /proc/self/ns/net", &res);
        is_str(res.out, want, "is entered");
    }
    req.isolate |= BERTH_ISOLATE_PID;
    run_sh(&req, "exec readlink /proc/self/ns/net", &res);
    is_str(res.out, want, "also with a pid namespace");
    req.isolate = 0;
    ok(is_shared(&req, "net"), "and this process is where it was");
    close(fd);
}

static void test_host_name(const struct isolation *is)
{
    struct result res;
    struct spawn_request req = {
        .isolate = BERTH_ISOLATE_UTS, .by_userns = is->by_userns, .host_name = "sandbox-7"};
    run_sh(&req, "uname -n", &res);
    is_str(res.out, "sandbox-7\n", "own host name");
}

static void test_read_only(const struct isolation *is, uid_t uid)
{
    const char *bind[] = {work, NULL};
    char script[256];
    struct result res;
    struct spawn_request req = {.isolate = BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_READONLY |
                                           (is->can & BERTH_ISOLATE_UID),
                                .by_userns = is->by_userns,
                                .uid = uid,
                                .gid = uid,
                                .cwd = work,
                                .bind_rw = bind};
    snprintf(script, sizeof script, "touch %s/x; touch x && pwd", other);
    run_sh(&req, script, &res);
    has_str(res.out, "Read-only file system", "what all may write is read-only");
    has_str(res.out, work, "the work directory is not, at its own path");
    run_sh(&req, "cut -d' ' -f5,6 /proc/self/mountinfo | grep '^/ '", &res);
    has_str(res.out, "ro,nosuid", "set-uid programs have no effect");
    snprintf(script, sizeof script, "%s/x", work);
    ok(access(script, F_OK) == 0 || errno == EACCES, "what is written there is there");
    req.isolate &= ~BERTH_ISOLATE_READONLY;
    snprintf(script, sizeof script, "touch %s/y && echo writable", other);
    run_sh(&req, script, &res);
    is_str(res.out, "writable\n", "without the bit it is writable");
}

static void test_tmp(const struct isolation *is)
{
    const char *bind[] = {work, NULL};
    char mine[] = "/tmp/berth-outside-XXXXXX", script[512];
    struct result res;
    int fd = mkstemp(mine);
    struct spawn_request req = {.isolate = BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_TMP,
                                .by_userns = is->by_userns,
                                .bind_rw = bind,
                                .tmp_bytes = 1 << 20};
    snprintf(script, sizeof script,
             "ls -A /var/tmp /dev/shm; ls /tmp | grep outside; touch %s-in /var/tmp/a "
             "/dev/shm/b "
             "&& stat -c %%a /tmp",
             mine);
    run_sh(&req, script, &res);
    is_str(res.out,
           strncmp(base, "/var/tmp/", 9) ? "/dev/shm:\n\n/var/tmp:\n1777\n" : res.out,
           "own /tmp, /var/tmp and /dev/shm: empty and writable");
    ok(!strstr(res.out, "outside"), "nothing of the node's");
    snprintf(script, sizeof script, "%s-in", mine);
    ok(access(script, F_OK) < 0, "nothing comes out");
    run_sh(&req, "head -c 2m /dev/zero >/tmp/big", &res);
    has_str(res.out, "No space left", "their size is limited");
    snprintf(script, sizeof script, "cd %s && pwd", work);
    run_sh(&req, script, &res);
    has_str(res.out, work, "a work directory below is there");
    close(fd);
    unlink(mine);
}

static void test_hide(const struct isolation *is)
{
    const char *bind[] = {work, NULL},
               *hide[] = {state, "/nonexistent/place", "/etc/hostname", NULL};
    char script[512];
    struct result res;
    struct spawn_request req = {.isolate = BERTH_ISOLATE_MOUNT,
                                .by_userns = is->by_userns,
                                .bind_rw = bind,
                                .hide = hide,
                                .cwd = work};
    snprintf(script, sizeof script,
             "ls -A %s %s/attempts; touch %s/new; wc -c </etc/hostname; touch seen && pwd",
             state, state, state);
    run_sh(&req, script, &res);
    has_str(res.out, "state:\nattempts\n\n",
            "hidden but for the way to the work directory");
    has_str(res.out, "attempts:\n1\n", "other attempts are not seen");
    has_str(res.out, "Read-only", "nothing can be put there");
    has_str(res.out, "\n0\n", "a file is hidden, too");
    has_str(res.out, work, "work is where it was");
    const char *gone[] = {"/nonexistent/bind", NULL};
    req.bind_rw = gone;
    run_sh(&req, "true", &res);
    is_int(res.r, -ENOENT, "a path to keep that does not exist");
    has_str(res.err.text, "keep '/nonexistent/bind'", "is told");
    ok(!res.fault, "it is not the task's fault");
}

static void test_devices(const struct isolation *is)
{
    const char *more[] = {"/dev/kmsg", NULL};
    struct result res;
    struct spawn_request req = {.isolate = BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_DEVICES,
                                .by_userns = is->by_userns};
    run_sh(&req,
           "echo /dev/*; echo x >/dev/null; head -c 4 /dev/urandom | wc -c; cat /dev/fd/0",
           &res);
    is_str(res.out,
           "/dev/fd /dev/full /dev/null /dev/random /dev/shm /dev/stderr /dev/stdin "
           "/dev/stdout /dev/tty "
           "/dev/urandom /dev/zero\n4\n",
           "the least of a /dev, and it works");
    req.isolate |= BERTH_ISOLATE_READONLY;
    req.devices = more;
    run_sh(&req, "test -c /dev/kmsg && echo x >/dev/null && echo there", &res);
    is_str(res.out, "there\n", "a further device, and a read-only system");
}

/* Everything at once, as a task gets it. */
static void test_all(const struct isolation *is, uid_t uid)
{
    const char *bind[] = {work, NULL}, *hide[] = {state, NULL};
    struct berth_error err = {0};
    struct result res;
    struct seccomp_filter *filter = seccomp_filter_new(&err);
    struct spawn_request req = {.isolate = is->can,
                                .by_userns = is->by_userns,
                                .uid = uid,
                                .gid = uid,
                                .filter = filter,
                                .bind_rw = bind,
                                .hide = hide,
                                .cwd = work,
                                .host_name = "box"};
    run_sh(&req, "cat /proc/self/status", &res);
    has_str(res.out,
            "\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:"
            "\t0000000000000000\n"
            "CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:"
            "\t2\n",
            "no capability in any set, no_new_privs, filter");
    char ids[128];
    snprintf(ids, sizeof ids, "%u %u\n", uid, uid);
    run_sh(&req, "echo $(id -u) $(id -g)", &res);
    is_str(res.out, ids, "its ids");
    if (is->can & BERTH_ISOLATE_UID) {
        run_sh(&req, "id -G", &res);
        snprintf(ids, sizeof ids, "%u\n", uid);
        is_str(res.out, ids, "no other group");
    }
    run_sh(
        &req,
        "touch here /tmp/x /dev/shm/y && ls -A . && uname -n && set -- /proc/[0-9]* && echo $#",
        &res);
    has_str(res.out, "here\n", "writes to work and /tmp");
    has_str(res.out, "box\n2\n", "own name, own processes");
    run_sh(&req, "unshare -U true; mount -t tmpfs x /tmp; echo done", &res);
    ok(strstr(res.out, "unshare failed: Operation not permitted"), "no new namespaces");
    ok(strstr(res.out, "done"), "no mounts");
    run_sh(&req, "kill -9 -1; exit 3", &res);
    is_int(res.st.value, 3, "it cannot harm others");
    seccomp_filter_free(filter);
}

/* A payload of root's uid may be wanted; root's power is not. */
static void test_root_payload(void)
{
    struct result res;
    struct spawn_request req = {.isolate = BERTH_ISOLATE_PID | BERTH_ISOLATE_MOUNT};
    run_sh(&req,
           "id -u; grep -h Cap... /proc/self/status | sort -u -k2 | cut -f2; "
           "echo 1 >/proc/sys/kernel/printk; cat /etc/shadow >/dev/null && echo own files",
           &res);
    has_str(res.out, "0\n0000000000000000\n", "uid 0 without capabilities");
    has_str(res.out, "Read-only", "cannot set the kernel");
}

static void run_as(const struct isolation *is, uid_t uid)
{
    test_each_namespace(is, uid);
    test_network(is);
    test_host_name(is);
    if (is->can & BERTH_ISOLATE_UID)
        test_read_only(is, uid);
    test_devices(is);
}

/* Both below /tmp, which the private one covers, and elsewhere. */
static void test_places(const struct isolation *is, uid_t uid)
{
    static const char *const places[] = {"/tmp", "/var/tmp"};
    for (size_t i = 0; i < 2; i++) {
        make_dirs_for(geteuid(), geteuid(), places[i]);
        test_tmp(is);
        test_hide(is);
        if (!(is->can & BERTH_ISOLATE_UID)) {
            test_read_only(is, uid);
            test_all(is, uid);
        }
        remove_dirs();
    }
}

static void as_worker(void *arg)
{
    struct isolation is;
    (void)arg;
    become_worker();
    isolation_probe(&is);
    is_int(is.can, 0x3ff, "a worker with sys_admin, setuid and setgid can isolate fully");
    ok(!is.by_userns, "without a user namespace");
    is_str(is.text, "", "nothing is missing");
    run_as(&is, TASK_UID);
    test_all(&is, TASK_UID);
    test_places(&is, TASK_UID);
}

static void as_user(void *arg)
{
    struct isolation is;
    (void)arg;
    become_user();
    isolation_probe(&is);
    printf("# %s\n", is.text);
    has_str(is.text, "uid", "a user cannot change ids, and is told so");
    if (!is.by_userns) {
        skip(is.text, 1);
        return;
    }
    is_int(is.can, 0x3ff & ~BERTH_ISOLATE_UID, "all else can be had by a user namespace");
    run_as(&is, geteuid());
    test_places(&is, geteuid());
}

int main(void)
{
    if (geteuid() == 0) {
        make_dirs_for(TEST_UID, TASK_UID, "/var/tmp");
        in_child(as_worker, NULL);
        remove_dirs();
        test_root_payload();
    } else {
        skip("needs root", 1);
    }
    in_child(as_user, NULL);
    return tap_done();
}
