/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The store when things go wrong: kill -9, damaged files, a full disk, a file that others
 * lock. */
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "store-help.h"

/* A child that inserts and writes each acknowledged seq to a pipe, until it is killed. */
static struct {
    struct store *store;
    int fd;
    int64_t seq;
} child;

static void child_acked(void *arg, int rc, const struct berth_error *err);

static void child_insert(void)
{
    char id[32];
    snprintf(id, sizeof(id), "k%lld", (long long)++child.seq);
    struct store_row row = row_of(child.seq, id);
    store_insert(child.store, &row, true, child_acked, (void *)(intptr_t)child.seq);
}

static void child_acked(void *arg, int rc, const struct berth_error *err)
{
    int64_t seq = (intptr_t)arg;
    if (rc < 0 || write(child.fd, &seq, sizeof(seq)) != sizeof(seq)) {
        printf("# seq %lld: %s\n", (long long)seq, rc < 0 ? err->text : "pipe");
        _exit(1);
    }
    child_insert();
}

static _Noreturn void child_main(const char *dir, int fd)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    loop = loop_new();
    child.fd = fd;
    child.store = loop ? open_in(dir) : NULL;
    if (!child.store)
        _exit(2);
    child.seq = store_max_seq(child.store);
    for (int i = 0; i < 20; i++)
        child_insert();
    loop_run(loop);
    _exit(3);
}

/* Kills it after so many acknowledgements; 0 or the number of lost rows. */
static int kill_in_the_middle(const char *dir, int acks, int64_t *acked, int64_t *ret_last)
{
    int fds[2], status, lost = 0, n = 0;
    int64_t seq;
    char id[32];
    if (pipe2(fds, O_CLOEXEC) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0)
        child_main(dir, fds[1]);
    close(fds[1]);
    while (read(fds[0], &seq, sizeof(seq)) == sizeof(seq)) {
        acked[(*ret_last)++] = seq;
        if (++n == acks)
            kill(pid, SIGKILL);
    }
    close(fds[0]);
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status))
        return -1;
    struct store *s = open_in(dir);
    if (!s)
        return -2;
    for (int64_t i = 0; i < *ret_last; i++) {
        snprintf(id, sizeof(id), "k%lld", (long long)acked[i]);
        lost += get_rc(s, id) != 0;
    }
    store_close(s);
    return lost;
}

static void test_kill(void)
{
    char dir[128];
    int64_t acked[20000], n = 0;
    int bad = 0;
    new_dir(dir);
    for (int round = 0; round < 8; round++)
        bad += kill_in_the_middle(dir, 3 + round * 97, acked, &n) != 0;
    is_int(bad, 0,
           "kill -9 in the middle of inserts, 8 times: every acknowledged row is there");
    printf("# %lld rows acknowledged\n", (long long)n);
    remove_dir(dir);
}

static void overwrite(const char *path, off_t at, const void *data, size_t len)
{
    int fd cleanup_close = open(path, O_WRONLY | O_CLOEXEC);
    if (pwrite(fd, data, len, at) != (ssize_t)len)
        abort();
}

static void refused(const char *dir, int code, const char *why, const char *what)
{
    struct store *s = NULL;
    struct berth_error err = {0};
    struct stat before, after;
    char *path = path_in(dir, "berth.db");
    stat(path, &before);
    is_int(store_open(dir, loop, &s, &err), code, "%s is refused", what);
    has_str(err.text, path, "the file is named");
    has_str(err.text, why, "the reason is named");
    has_str(err.text, "move", "the remedy is named");
    ok(strlen(err.text) < sizeof(err.text) - 1, "the text is not cut");
    ok(stat(path, &after) == 0 && after.st_ino == before.st_ino &&
           after.st_size == before.st_size,
       "the file is left alone");
}

static void test_damaged(void)
{
    char dir[128], garbage[8192];
    new_dir(dir);
    struct store_row row = row_of(1, "a");
    struct store *s = open_in(dir);
    is_int(insert_now(s, &row), 0, "something is in it");
    store_close(s);
    char path[256];
    snprintf(path, sizeof(path), "%s/berth.db", dir);

    overwrite(path, 60, "\0\0\0\7", 4); /* user_version of the SQLite header */
    refused(dir, -ENOTSUP, "schema 7", "a newer schema");
    overwrite(path, 60, "\0\0\0\1", 4);
    overwrite(path, 68, "abcd", 4); /* application_id */
    refused(dir, -EUCLEAN, "another program", "another program's database");
    overwrite(path, 68, "brth", 4);
    s = open_in(dir);
    is_int(s ? get_rc(s, "a") : -1, 0, "set right it opens again");
    store_close(s);

    struct stat st;
    stat(path, &st);
    if (truncate(path, 4096 * 2) < 0)
        abort();
    refused(dir, -EUCLEAN, "damaged", "a file cut short");
    memset(garbage, 'x', sizeof(garbage));
    overwrite(path, 0, garbage, sizeof(garbage));
    refused(dir, -EUCLEAN, "damaged", "a file of garbage");
    unlink(path);
    if (symlink("/nowhere", path) < 0)
        abort();
    struct berth_error err = {0};
    is_int(store_open(dir, loop, &s, &err), -ELOOP, "a symbolic link is not followed");
    remove_dir(dir);
}

/* Fills the disk until an insert is refused; the seq that was refused. */
static int64_t fill(struct store *s, int64_t seq, size_t size, struct outcome *ret)
{
    char *body cleanup_free = calloc(1, size);
    char id[32];
    for (;; seq++) {
        snprintf(id, sizeof(id), "f%lld", (long long)seq);
        struct store_row row = row_of(seq, id);
        row.task = body;
        row.task_len = size;
        insert(s, &row, true, ret);
        wait_all();
        if (ret->rc < 0 || seq > 5000)
            return seq;
    }
}

static void ballast(const char *dir, size_t size)
{
    int fd cleanup_close =
        open(path_in(dir, "ballast"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (posix_fallocate(fd, 0, (off_t)size) != 0)
        abort();
}

static void full_disk_mixed_batch(struct store *s, int64_t seq)
{
    /* The disk is all but full: the large one does not fit, the small ones about it do. */
    char *body cleanup_free = calloc(1, 1 << 20);
    struct store_row small1 = row_of(seq, "small1"), large = row_of(seq + 1, "large"),
                     small2 = row_of(seq + 2, "small2");
    large.task = body;
    large.task_len = 1 << 20;
    struct outcome o[3];
    insert(s, &small1, true, &o[0]);
    insert(s, &large, true, &o[1]);
    insert(s, &small2, true, &o[2]);
    wait_all();
    is_int(o[1].rc, -ENOSPC, "what does not fit fails");
    ok(o[0].rc == 0 && o[2].rc == 0, "and only that, in one batch");
    is_int(get_rc(s, "large"), -ENOENT, "nothing of it is there");
}

static void full_disk(const char *dir)
{
    struct outcome o;
    struct arena *a cleanup_arena = arena_new();
    struct store_row got;
    char id[32];
    ballast(dir, 256 * 1024);
    struct store *s = open_in(dir);
    full_disk_mixed_batch(s, 10000);
    int64_t refused_seq = fill(s, 1, 20000, &o);
    is_int(o.rc, -ENOSPC, "a full disk");
    has_str(o.text, "disk is full", "is said");
    has_str(o.text, dir, "with the place");
    fill(s, 6000, 1, &o); /* not even a small one */

    struct store_row row = row_of(1, "f1");
    row.state = STORE_DONE;
    char *result cleanup_free = calloc(1, 65536);
    row.result = result;
    row.result_len = 65536;
    store_update(s, &row, true, NULL, NULL);
    row.state = STORE_RUNNING;
    o = update_now(s, &row);
    is_int(o.rc, -ENOSPC, "a later call for a row that is to be retried does not overtake");
    is_int(store_backlog(s), 1, "the call that nobody waits for is kept");
    row = row_of(99999, "nothing");
    is_int(update_now(s, &row).rc, -ENOENT, "others still get their own answers");

    unlink(path_in(dir, "ballast"));
    ok(run_until(is_written, s), "and written once there is room");
    is_int(store_get(s, "f1", a, &got, NULL), 0, "it is there");
    ok(got.state == STORE_DONE && got.result_len == 65536, "whole");
    snprintf(id, sizeof(id), "f%lld", (long long)refused_seq);
    row = row_of(refused_seq, id);
    is_int(insert_now(s, &row), 0, "what was refused is accepted now");
    store_close(s);
    s = open_in(dir);
    int lost = 0;
    for (int64_t i = 1; i < refused_seq; i++) {
        snprintf(id, sizeof(id), "f%lld", (long long)i);
        lost += get_rc(s, id) != 0;
    }
    ok(lost == 0 && refused_seq > 1, "nothing acknowledged is lost (%lld rows)",
       (long long)refused_seq);
    store_close(s);
}

/* A call that does not fit is kept; what comes for the same row waits for it, though it would
 * fit: else the retry would overwrite what is newer. */
static void held_back(const char *dir)
{
    struct arena *a cleanup_arena = arena_new();
    struct store_row got, row = row_of(1, "a"), other = row_of(2, "b");
    size_t len = 450 * 1024;
    char *result cleanup_free = calloc(1, len);
    ballast(dir, 512 * 1024);
    struct store *s = open_in(dir);
    is_int(insert_now(s, &row), 0, "a row");
    row.state = STORE_RUNNING;
    row.result = result;
    row.result_len = len;
    store_update(s, &row, true, NULL, NULL);
    row.result = NULL;
    row.state = STORE_QUEUED;
    struct outcome o = update_now(s, &row);
    is_int(o.rc, -ENOSPC, "a small call for its row is held back");
    has_str(o.text, "disk is full", "and told why");
    row.state = STORE_DONE;
    store_update(s, &row, true, NULL, NULL);
    is_int(insert_now(s, &other), 0, "one for another row is not");
    is_int(store_backlog(s), 2, "two are kept");
    unlink(path_in(dir, "ballast"));
    ok(run_until(is_written, s), "both are written once there is room");
    is_int(store_get(s, "a", a, &got, NULL), 0, "the row is there");
    ok(got.state == STORE_DONE && got.result_len == len, "as of the later call");
    store_close(s);
}

static void on_small_disk(void (*fn)(const char *dir))
{
    char dir[128];
    new_dir(dir);
    if (mount("berth-test", dir, "tmpfs", MS_NODEV | MS_NOSUID, "size=1M") < 0) {
        skip("a small tmpfs cannot be mounted here");
        rmdir(dir);
        return;
    }
    fn(dir);
    is_int(umount2(dir, MNT_DETACH), 0, "umount");
    rmdir(dir);
}

/* Another program that takes SQLite's write lock: byte 120 of the shared index
 * (walformat.html). */
static void test_busy(void)
{
    char dir[128], c;
    int fds[2], status;
    new_dir(dir);
    struct store *s = open_in(dir);
    struct store_row row = row_of(1, "a"), row2 = row_of(2, "b");
    is_int(insert_now(s, &row), 0, "before");
    if (pipe2(fds, O_CLOEXEC) < 0)
        abort();
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 120, .l_len = 1};
        int fd = open(path_in(dir, "berth.db-shm"), O_RDWR | O_CLOEXEC);
        if (fcntl(fd, F_SETLKW, &lock) < 0 || write(fds[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    is_int(read(fds[0], &c, 1), 1, "another program takes the lock");
    struct outcome o[2];
    insert(s, &row2, true, &o[0]);
    insert(s, &row2, true, &o[1]);
    wait_all();
    is_int(o[0].rc, -EBUSY, "a locked file is reported in the end");
    has_str(o[0].text, "locked by another", "with the reason");
    is_int(get_rc(s, "a"), 0, "reads go on");
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    is_int(insert_now(s, &row2), 0, "and writes, once it is free");
    close(fds[0]);
    close(fds[1]);
    store_close(s);
    remove_dir(dir);
}

int main(void)
{
    if (!help_init())
        return 1;
    test_kill(); /* first: it forks, and no thread has been started yet */
    test_damaged();
    on_small_disk(full_disk);
    on_small_disk(held_back);
    test_busy();
    help_fini();
    return tap_done();
}
