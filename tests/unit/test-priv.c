/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Giving up privileges: each drop in a child, judged by what /proc/self/status says of it.
 * */
#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "priv/priv.h"
#include "tap.h"

#define NOBODY 65534
#define OTHER 65533

struct status {
    uint64_t inh, prm, eff, bnd, amb, nnp, uid[4], gid[4];
    char groups[256];
};

static struct status read_status(void)
{
    static const struct {
        const char *key;
        size_t offset;
        int base;
    } keys[] = {
        {"CapInh:", offsetof(struct status, inh), 16},
        {"CapPrm:", offsetof(struct status, prm), 16},
        {"CapEff:", offsetof(struct status, eff), 16},
        {"CapBnd:", offsetof(struct status, bnd), 16},
        {"CapAmb:", offsetof(struct status, amb), 16},
        {"NoNewPrivs:", offsetof(struct status, nnp), 10},
    };
    struct status st = {.nnp = 99};
    char line[512];
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f)) {
        for (size_t i = 0; i < countof(keys); i++)
            if (!strncmp(line, keys[i].key, strlen(keys[i].key)))
                *(uint64_t *)((char *)&st + keys[i].offset) =
                    strtoull(line + strlen(keys[i].key), NULL, keys[i].base);
        sscanf(line, "Uid: %" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64, &st.uid[0],
               &st.uid[1], &st.uid[2], &st.uid[3]);
        sscanf(line, "Gid: %" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64, &st.gid[0],
               &st.gid[1], &st.gid[2], &st.gid[3]);
        sscanf(line, "Groups: %255[^\n]", st.groups);
    }
    if (f)
        fclose(f);
    return st;
}

/* Runs test in a child of its own; its checks count here, for the child's output is this
 * one's. */
static void in_child(void (*test)(void))
{
    fflush(stdout);
    int fds[2], counts[2] = {tap_count, tap_failed + 1};
    if (pipe(fds) < 0)
        exit(99);
    pid_t pid = fork();
    if (pid == 0) {
        test();
        counts[0] = tap_count;
        counts[1] = tap_failed;
        _exit(write(fds[1], counts, sizeof(counts)) == sizeof(counts) ? 0 : 1);
    }
    close(fds[1]);
    if (read(fds[0], counts, sizeof(counts)) < 0)
        exit(99);
    close(fds[0]);
    waitpid(pid, NULL, 0);
    tap_count = counts[0];
    tap_failed = counts[1];
}

static capset caps(const char *one, const char *two)
{
    const char *const names[] = {one, two, NULL};
    capset set = 0;
    capset_parse(names, &set, NULL);
    return set;
}

static bool has_setpcap(void)
{
    return capset_permitted() & caps("setpcap", NULL);
}

static void test_arguments(void)
{
    struct berth_error err = {0};
    uid_t uid = 7;
    gid_t gid = 7;
    capset set = 7;
    char text[8] = "x";
    is_int(priv_drop(NULL, &err), -EINVAL, "drop: nothing told");
    is_int(priv_drop(&(struct priv_drop){.group_count = 1}, NULL), -EINVAL,
           "drop: groups not told");
    is_int(capset_parse(NULL, &set, &err), -EINVAL, "parse: no names");
    is_int(priv_lookup(NULL, NULL, &uid, &gid, &err), -EINVAL, "lookup: no user");
    is_int(priv_lookup("", NULL, &uid, &gid, &err), -EINVAL, "lookup: empty user");
    is_int(priv_lookup("0", NULL, NULL, &gid, &err), -EINVAL, "lookup: no result");
    is_int(priv_lookup_group("", &gid, &err), -EINVAL, "lookup: empty group");
    is_int(priv_lookup_group(NULL, &gid, NULL), -EINVAL, "lookup: no group");
    capset_format(0, NULL, 8);
    capset_format(0, text, 0);
    is_str(text, "x", "format: no room, nothing written");
    ok(uid == 7 && gid == 7 && set == 7, "results are untouched");
}

static void test_names(void)
{
    struct berth_error err = {0};
    capset set = 0;
    char text[64];
    is_int(capset_parse((const char *const[]){"setuid", "CAP_SETGID", NULL}, &set, &err), 0,
           "parse");
    is_int(set, 1 << 6 | 1 << 7, "to the numbers of capabilities(7)");
    capset_format(set, text, sizeof(text));
    is_str(text, "setgid setuid", "and back");
    capset_format(set, text, 10);
    is_str(text, "setgid", "only whole names are written");
    capset_format(0, text, sizeof(text));
    is_str(text, "none", "none");
    is_int(capset_parse((const char *const[]){NULL}, &set, &err), 0, "no names");
    is_int(set, 0, "is the empty set");
    is_int(capset_parse((const char *const[]){"sys_admn", NULL}, &set, &err), -EINVAL,
           "a typo");
    is_str(err.text, "unknown capability 'sys_admn', did you mean 'sys_admin'?",
           "and the right one");
    is_int(capset_parse((const char *const[]){"", NULL}, &set, &err), -EINVAL,
           "an empty name");
    is_int(capset_parse((const char *const[]){"5", NULL}, &set, &err), -EINVAL, "a number");
}

static void test_lookup(void)
{
    struct berth_error err = {0};
    uid_t uid = 7;
    gid_t gid = 7;
    is_int(priv_lookup("root", NULL, &uid, &gid, &err), 0, "a user by name");
    ok(uid == 0 && gid == 0, "with the group of the database");
    is_int(priv_lookup("54321", NULL, &uid, &gid, &err), 0, "a number without an entry");
    ok(uid == 54321 && gid == 54321, "is its own group");
    is_int(priv_lookup("54321", "root", &uid, &gid, &err), 0, "with a group");
    ok(uid == 54321 && gid == 0, "that one counts");
    is_int(priv_lookup("no-such-user", NULL, &uid, &gid, &err), -ENOENT, "no such user");
    has_str(err.text, "'no-such-user'", "it is named");
    is_int(priv_lookup("0", "no-such-group", &uid, &gid, &err), -ENOENT, "no such group");
    is_int(priv_lookup("-1", NULL, &uid, &gid, &err), -ENOENT, "-1 is no uid");
    is_int(priv_lookup("4294967295", NULL, &uid, &gid, &err), -ENOENT,
           "nor is its other spelling");
    ok(uid == 54321 && gid == 0, "results are untouched");
}

static void all_gone(const char *what, bool bounding)
{
    struct status st = read_status();
    ok(!st.inh && !st.prm && !st.eff && !st.amb, "%s: no capability", what);
    if (bounding)
        is_int(st.bnd, 0, "%s: bounding set empty", what);
    is_int(st.nnp, 1, "%s: no_new_privs", what);
}

static void drop_all(void)
{
    struct berth_error err = {0};
    bool setpcap = has_setpcap();
    is_int(priv_drop(&(struct priv_drop){0}, &err), 0, "everything is dropped (%s)",
           err.text);
    all_gone("drop all", setpcap);
    is_int(priv_drop(&(struct priv_drop){0}, &err), 0, "a second time changes nothing (%s)",
           err.text);
    is_int(priv_drop(&(struct priv_drop){.keep = caps("kill", NULL)}, &err), -EPERM,
           "what is gone cannot be kept");
    has_str(err.text, "kill", "and is named");
    is_int(priv_drop_child(), 0, "nor does the child's way fail");
}

static void drop_child(void)
{
    bool setpcap = has_setpcap();
    is_int(priv_drop_child(), 0, "everything is dropped between fork and exec");
    all_gone("drop in a child", setpcap);
}

static void drop_host(void)
{
    static const gid_t groups[] = {OTHER};
    struct berth_error err = {0};
    const struct priv_drop d = {.change_ids = true,
                                .uid = NOBODY,
                                .gid = NOBODY,
                                .groups = groups,
                                .group_count = 1};
    is_int(priv_drop(&d, &err), 0, "to another user (%s)", err.text);
    all_gone("host", true);
    struct status st = read_status();
    bool same = true;
    for (int i = 0; i < 4; i++)
        same &= st.uid[i] == NOBODY && st.gid[i] == NOBODY;
    ok(same, "real, effective, saved and file system ids are the new ones");
    is_int(atoi(st.groups), OTHER, "only the group that was named (%s)", st.groups);
    is_int(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 1, "its own /proc entries stay its own");
    is_int(access("/proc/self/fd/0", F_OK) < 0 && access("/proc/self/maps", R_OK) < 0, 0,
           "and can be read");
    ok(setresuid(0, 0, 0) < 0 && setresgid(0, 0, 0) < 0 && setgroups(0, NULL) < 0,
       "no way back");
    drop_all(); /* as a plain user would start */
}

static void drop_worker(void)
{
    struct berth_error err = {0};
    capset keep = caps("kill", "chown");
    const struct priv_drop d = {
        .change_ids = true, .uid = NOBODY, .gid = NOBODY, .keep = keep};
    is_int(priv_drop(&d, &err), 0, "with something kept (%s)", err.text);
    struct status st = read_status();
    is_int(st.prm, keep, "worker: permitted is what was kept");
    is_int(st.eff, keep, "worker: effective too");
    ok(!st.inh && !st.amb && !st.bnd,
       "worker: inheritable, ambient and bounding are empty");
    is_int(st.nnp, 1, "worker: no_new_privs");
    is_int(st.uid[0], NOBODY, "worker: its uid");
    is_str(st.groups, "", "worker: no groups");
    ok(prctl(PR_GET_SECUREBITS, 0, 0, 0, 0) & 1, "worker: uid 0 means nothing (noroot)");
    ok(prctl(PR_SET_SECUREBITS, 0, 0, 0, 0) < 0, "worker: and that is locked");
    is_int(priv_drop_child(), 0, "worker: its payload drops the rest");
    all_gone("worker's payload", true);
}

static void drop_root(void)
{
    struct berth_error err = {0};
    is_int(priv_drop(&(struct priv_drop){.keep = caps("kill", NULL)}, &err), 0,
           "ids stay, capabilities go (%s)", err.text);
    struct status st = read_status();
    is_int(st.prm, caps("kill", NULL), "root: permitted");
    is_int(st.bnd, 0, "root: bounding");
    is_int(st.uid[0], 0, "root: uid");
    fflush(stdout);
    int rc = system("grep -q '^CapEff:.0000000000000000' /proc/self/status");
    is_int(rc, 0, "root: a program that it starts has none");
}

static void drop_monitor(void)
{
    struct berth_error err = {0};
    capset keep = caps("setpcap", "setuid");
    capset before = read_status().bnd;
    is_int(priv_drop(&(struct priv_drop){.keep = keep, .keep_bounding = true}, &err), 0,
           "the monitor (%s)", err.text);
    struct status st = read_status();
    is_int(st.prm, keep, "monitor: permitted");
    is_int(st.bnd, before, "monitor: the bounding set stays");
    is_int(st.nnp, 1, "monitor: no_new_privs");
    fflush(stdout);
    char command[128];
    snprintf(command, sizeof(command),
             "grep -q '^CapPrm:.%016" PRIx64 "' /proc/self/status", keep);
    is_int(system(command), 0, "monitor: started afresh it has the same again");
    is_int(priv_drop(&(struct priv_drop){.keep = caps("setuid", NULL)}, &err), 0,
           "monitor: its children drop further (%s)", err.text);
    is_int(read_status().bnd, 0, "monitor: with an empty bounding set");
}

static void drop_missing(void)
{
    struct berth_error err = {0};
    capset all = ~capset_permitted() & read_status().bnd;
    capset missing = all ? all : ~capset_permitted() & (((capset)1 << 40) - 1);
    if (!missing) {
        skip("this process has every capability", "");
        return;
    }
    is_int(priv_drop(&(struct priv_drop){.keep = missing}, &err), -EPERM,
           "what is not there");
    ok(capset_permitted() & 1, "and nothing was dropped");
}

static void without_setpcap(void)
{
    struct berth_error err = {0};
    capset keep = capset_permitted() & ~caps("setpcap", NULL);
    is_int(priv_drop(&(struct priv_drop){.keep = keep, .keep_bounding = true}, &err), 0,
           "all but setpcap (%s)", err.text);
    is_int(priv_drop(&(struct priv_drop){.keep = caps("kill", NULL)}, &err), -EPERM,
           "with something kept the bounding set must go, and cannot");
    has_str(err.text, "'setpcap'", "and that is told");
    is_int(priv_drop(&(struct priv_drop){0}, &err), 0, "with nothing kept it may stay (%s)",
           err.text);
}

static void drop_ids_refused(void)
{
    struct berth_error err = {0};
    const struct priv_drop d = {.change_ids = true, .uid = OTHER, .gid = OTHER};
    if (geteuid() == 0 && (setgroups(0, NULL) < 0 || setresuid(NOBODY, NOBODY, NOBODY) < 0))
        _exit(1);
    is_int(priv_drop(&d, &err), -EPERM, "a plain user cannot change ids");
    ok(*err.text, "and is told so");
}

int main(void)
{
    test_arguments();
    test_names();
    test_lookup();
    in_child(drop_all);
    in_child(drop_child);
    in_child(drop_ids_refused);
    if (geteuid() != 0 || !has_setpcap()) {
        skip("needs root with CAP_SETPCAP", "");
        return tap_done();
    }
    in_child(drop_host);
    in_child(drop_worker);
    in_child(drop_root);
    in_child(drop_monitor);
    in_child(drop_missing);
    in_child(without_setpcap);
    return tap_done();
}
