/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The store: calls, reads, group commit, retention, its lock. */
#include <stdatomic.h>
#include <sys/syscall.h>

#include "base/str.h"
#include "store-help.h"

/* SQLite syncs through these: counted, then done. */
static atomic_int syncs;
int fdatasync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fdatasync, fd);
}
int fsync(int fd)
{
    syncs++;
    return (int)syscall(SYS_fsync, fd);
}

static int no_row(void *arg, const struct store_row *row)
{
    (void)arg;
    (void)row;
    return 0;
}

static void test_arguments(void)
{
    struct store *s = NULL;
    struct berth_error err = {0};
    char dir[128];
    new_dir(dir);
    is_int(store_open(NULL, loop, &s, &err), -EINVAL, "open: no directory");
    is_int(store_open("", loop, &s, &err), -EINVAL, "open: empty directory");
    is_int(store_open(dir, NULL, &s, &err), -EINVAL, "open: no loop");
    is_int(store_open(dir, loop, NULL, NULL), -EINVAL, "open: no ret, no err");
    is_int(store_open(path_in(dir, "none"), loop, &s, &err), -ENOENT,
           "open: directory missing");
    has_str(err.text, "none/store.lock", "and it is named");
    ok(!s, "ret is untouched");
    store_close(NULL);

    s = open_in(dir);
    struct arena *a cleanup_arena = arena_new();
    struct store_row row;
    struct store_filter f = {.state = -1, .limit = 0};
    const void *task;
    size_t len;
    is_int(store_get(s, NULL, a, &row, &err), -EINVAL, "get: no id");
    is_int(store_get(s, "x", NULL, &row, &err), -EINVAL, "get: no arena");
    is_int(store_get_task(s, 1, a, NULL, &len, &err), -EINVAL, "get_task: no ret");
    is_int(store_get_task(s, 1, a, &task, &len, &err), -ENOENT, "get_task: not there");
    is_int(store_walk_open(s, NULL, NULL, &err), -EINVAL, "walk: no function");
    is_int(store_list(s, NULL, no_row, NULL, &err), -EINVAL, "list: no filter");
    is_int(store_list(s, &f, no_row, NULL, &err), -EINVAL, "list: limit 0");
    f = (struct store_filter){.state = 4, .limit = 1};
    is_int(store_list(s, &f, no_row, NULL, &err), -EINVAL, "list: unknown state");

    row = row_of(0, "x");
    is_int(insert_now(s, &row), -EINVAL, "insert: no seq");
    row = row_of(1, "");
    is_int(insert_now(s, &row), -EINVAL, "insert: empty id");
    row = row_of(1, NULL);
    is_int(insert_now(s, &row), -EINVAL, "insert: id NULL");
    row = row_of(1, "x");
    row.state = 4;
    is_int(insert_now(s, &row), -EINVAL, "insert: unknown state");
    row = row_of(5, "x");
    struct outcome o = update_now(s, &row);
    is_int(o.rc, -ENOENT, "update: no such seq");
    has_str(o.text, "seq 5", "and it is named");
    store_update(s, &row, false, NULL, NULL);
    ok(run_until(is_written, s), "an update of nothing is not retried for ever");
    is_int(store_max_seq(s), 0, "max_seq of an empty store");
    store_close(s);
    remove_dir(dir);
}

static void test_row(void)
{
    char dir[128];
    new_dir(dir);
    struct store *s = open_in(dir);
    struct arena *a cleanup_arena = arena_new();
    struct store_row row = row_of(7, "a"), got = {0};
    row.priority = -5;
    row.not_before_ms = INT64_MAX;
    is_int(insert_now(s, &row), 0, "insert");
    is_int(store_get(s, "a", a, &got, NULL), 0, "get");
    is_int(got.seq, 7, "seq");
    is_int(got.priority, -5, "negative priority");
    is_int(got.slot, -1, "slot");
    is_int(got.not_before_ms, INT64_MAX, "not_before_ms");
    is_str(got.transport, "http", "transport");
    ok(got.task_len == 4 && !memcmp(got.task, "task", 4), "task");
    ok(!got.result, "no result yet");

    row = (struct store_row){.seq = 7,
                             .id = "ignored",
                             .state = STORE_DONE,
                             .attempt = 2,
                             .failures = 1,
                             .losses = 3,
                             .slot = 4,
                             .verdict = 5,
                             .cancel = true,
                             .tenant = "t2",
                             .executer = "e2",
                             .runtime = "r2",
                             .transport = "x2",
                             .queued_ms = 99,
                             .started_ms = 20,
                             .finished_ms = 30,
                             .result = "",
                             .result_len = 0};
    is_int(update_now(s, &row).rc, 0, "update");
    is_int(store_get(s, "a", a, &got, NULL), 0, "get again");
    ok(got.state == 3 && got.attempt == 2 && got.failures == 1 && got.losses == 3 &&
           got.slot == 4 && got.verdict == 5 && got.cancel && got.started_ms == 20 &&
           got.finished_ms == 30,
       "numbers are overwritten");
    ok(!strcmp(got.tenant, "t2") && !strcmp(got.executer, "e2") &&
           !strcmp(got.runtime, "r2") && !strcmp(got.transport, "x2"),
       "strings are overwritten");
    ok(got.queued_ms == 1007 && got.task_len == 4, "queued_ms and task are not");
    ok(got.result && got.result_len == 0, "an empty result is a result");
    row.result = NULL;
    is_int(update_now(s, &row).rc, 0, "update without result");
    is_int(store_get(s, "a", a, &got, NULL), 0, "get a third time");
    ok(got.result != NULL, "keeps the result");

    store_close(s);
    remove_dir(dir);
}

static void test_large(void)
{
    char dir[128];
    new_dir(dir);
    struct store *s = open_in(dir);
    struct arena *a cleanup_arena = arena_new();
    struct store_row row;
    const void *task;
    size_t len;
    struct stat st;
    size_t big_len = 9 << 20;
    char *big cleanup_free = calloc(1, big_len);
    big[big_len - 1] = 1;
    row = (struct store_row){.seq = 8, .id = "big", .task = big, .task_len = big_len};
    is_int(insert_now(s, &row), 0, "a large task, all strings NULL");
    is_int(store_get_task(s, 8, a, &task, &len, NULL), 0, "get_task");
    ok(len == big_len && !memcmp(task, big, len), "and it is the same");
    is_int(store_max_seq(s), 8, "max_seq");
    ok(stat(path_in(dir, "berth.db"), &st) == 0 && (st.st_mode & 0777) == 0600,
       "file mode is 0600");
    ok(stat(path_in(dir, "berth.db-wal"), &st) == 0 && (st.st_mode & 0777) == 0600,
       "of the log too");
    store_close(s);
    ok(stat(path_in(dir, "berth.db-wal"), &st) < 0, "a clean close leaves no log behind");
    remove_dir(dir);
}

static void test_duplicates(void)
{
    char dir[128];
    new_dir(dir);
    struct store *s = open_in(dir);
    struct outcome o[5];
    const struct store_row rows[] = {row_of(1, "a"), row_of(2, "a"), row_of(3, "b"),
                                     row_of(3, "c"), row_of(4, "d")};
    for (int i = 0; i < 5; i++)
        insert(s, &rows[i], true, &o[i]);
    wait_all();
    is_int(o[0].rc, 0, "the first of an id");
    is_int(o[1].rc, -EEXIST, "the second of an id");
    has_str(o[1].text, "'a'", "names it");
    is_int(o[2].rc, 0, "another id in the same batch");
    is_int(o[3].rc, -EEXIST, "a seq twice");
    has_str(o[3].text, "seq 3", "names it");
    is_int(o[4].rc, 0, "the last of the batch");
    bool in_order = true;
    for (int i = 1; i < 5; i++)
        in_order &= o[i].order == o[i - 1].order + 1;
    ok(in_order, "done is called in the order of the calls");
    is_int(get_rc(s, "c"), -ENOENT, "what failed is not there");
    store_insert(s, &rows[1], false, NULL, NULL);
    ok(run_until(is_written, s),
       "a duplicate that nobody waits for is not retried for ever");
    store_close(s);
    s = open_in(dir);
    is_int(get_rc(s, "d"), 0, "still there after opening again");
    is_int(insert_now(s, &rows[1]), -EEXIST, "and still a duplicate");
    store_close(s);
    remove_dir(dir);
}

static void test_group_commit(void)
{
    enum { N = 3000 };
    char dir[128], id[32];
    new_dir(dir);
    struct store *s = open_in(dir);
    static struct outcome o[N];
    int bad = 0, before = syncs;
    for (int i = 0; i < N; i++) {
        snprintf(id, sizeof(id), "g%d", i);
        struct store_row row = row_of(i + 1, id);
        insert(s, &row, false, &o[i]);
    }
    wait_all();
    for (int i = 0; i < N; i++)
        bad += o[i].rc != 0;
    is_int(bad, 0, "%d inserts", N);
    is_int(store_backlog(s), 0, "nothing is left over");
    printf("# %d calls in %d transactions\n", N, (int)store_commits(s));
    ok(store_commits(s) < N / 2, "share their transactions");
    is_int(syncs, before, "none asked to be synced, none was");

    struct outcome first, last;
    struct store_row row = row_of(N + 1, "synced"), plain = row_of(N + 2, "plain");
    before = syncs;
    insert(s, &row, true, &first);
    wait_all();
    ok(first.rc == 0 && syncs > before, "a sync insert is synced before done");
    before = syncs;
    insert(s, &plain, false, &last);
    wait_all();
    is_int(syncs, before, "the next plain one is not");
    store_close(s);

    s = open_in(dir);
    for (int i = 0; i < 100; i++) {
        snprintf(id, sizeof(id), "close%d", i);
        row = row_of(N + 10 + i, id);
        store_insert(s, &row, false, on_done, &first);
    }
    int done_before = done_count;
    store_close(s);
    is_int(done_count, done_before, "close calls no callback");
    s = open_in(dir);
    is_int(store_max_seq(s), N + 109, "but writes what was handed over");
    store_close(s);
    remove_dir(dir);
}

struct seen {
    int count, stop_at;
    int64_t seqs[64];
    bool bodies, ascending;
    struct store *nested;
    int nested_rc;
};

static int on_row(void *arg, const struct store_row *row)
{
    struct seen *s = arg;
    s->ascending &= s->count == 0 || row->seq > s->seqs[s->count - 1];
    s->seqs[s->count++] = row->seq;
    s->bodies &= row->task && row->task_len == 4;
    if (s->nested) {
        s->nested_rc = store_walk_open(s->nested, no_row, NULL, NULL);
        is_int(get_rc(s->nested, row->id), 0, "get within a walk");
    }
    return s->count == s->stop_at;
}

static struct seen list(struct store *s, struct store_filter f)
{
    struct seen seen = {0};
    is_int(store_list(s, &f, on_row, &seen, NULL), 0, "list");
    return seen;
}

static void test_reads(void)
{
    char dir[128], id[32];
    struct outcome o;
    new_dir(dir);
    struct store *s = open_in(dir);
    for (int i = 1; i <= 40; i++) { /* states 0 1 2 3 0 …; tenants a b; executers x y z */
        snprintf(id, sizeof(id), "r%d", i);
        struct store_row row = row_of(i, id);
        row.state = i % 4;
        row.tenant = i % 2 ? "a" : "b";
        row.executer = i % 3 == 0 ? "x" : i % 3 == 1 ? "y" : "z";
        insert(s, &row, false, &o);
    }
    wait_all();

    struct seen seen = {.bodies = true, .ascending = true};
    is_int(store_walk_open(s, on_row, &seen, NULL), 0, "walk");
    is_int(seen.count, 30, "sees what is not done");
    ok(seen.ascending && seen.bodies, "in order of seq, with the tasks");
    seen = (struct seen){.stop_at = 3, .nested = s};
    is_int(store_walk_open(s, on_row, &seen, NULL), 0, "walk that is stopped");
    is_int(seen.count, 3, "stops there");
    is_int(seen.nested_rc, -EBUSY, "the same walk within it is refused");

    seen = list(s, (struct store_filter){.state = -1, .limit = 7});
    ok(seen.count == 7 && seen.seqs[0] == 40 && seen.seqs[6] == 34, "newest first");
    ok(!seen.bodies, "without the tasks");
    seen = list(s, (struct store_filter){.state = -1, .before_seq = 34, .limit = 50});
    ok(seen.count == 33 && seen.seqs[0] == 33 && seen.seqs[32] == 1, "the page after");
    seen = list(s, (struct store_filter){.state = -1, .before_seq = 1, .limit = 50});
    is_int(seen.count, 0, "after the last page there is none");
    int total = 0;
    for (int state = -1; state < 4; state++)
        for (int by = 0; by < 4; by++) {
            struct store_filter f = {.state = state,
                                     .tenant = by & 1 ? "a" : NULL,
                                     .executer = by & 2 ? "x" : NULL,
                                     .limit = 64,
                                     .before_seq = 30};
            int want = 0, bad = 0;
            for (int i = 1; i < 30; i++)
                want += (state < 0 || i % 4 == state) && (!(by & 1) || i % 2) &&
                        (!(by & 2) || i % 3 == 0);
            seen = list(s, f);
            for (int i = 1; i < seen.count; i++)
                bad += seen.seqs[i] >= seen.seqs[i - 1];
            ok(seen.count == want && !bad, "list by state %d, tenant %d, executer %d",
               state, by & 1, by >> 1);
            total += seen.count;
        }
    ok(total > 60, "and the lists were not empty");
    is_int(
        list(s, (struct store_filter){.state = -1, .tenant = "' OR 1", .limit = 9}).count,
        0, "a name is a name");
    store_close(s);
    remove_dir(dir);
}

static bool has_purged(void *arg)
{
    struct seen seen = {.stop_at = 1};
    struct store_filter f = {.state = STORE_DONE, .limit = 1000000};
    int64_t *want_oldest = arg;
    int64_t oldest = 0;
    struct store *s = (struct store *)(intptr_t)want_oldest[1];
    while (store_list(s, &f, on_row, &seen, NULL) == 0 && seen.count == 1) {
        oldest = f.before_seq = seen.seqs[0];
        seen.count = 0;
    }
    return oldest == want_oldest[0];
}

static void test_purge(void)
{
    char dir[128], id[32];
    struct outcome o;
    new_dir(dir);
    struct store *s = open_in(dir);
    for (int i = 1; i <= 400; i++) {
        snprintf(id, sizeof(id), "p%d", i);
        struct store_row row = row_of(i, id);
        row.state = i == 5 ? STORE_RUNNING : STORE_DONE;
        row.finished_ms = i;
        row.result = "r";
        row.result_len = 1;
        insert(s, &row, false, &o);
    }
    wait_all();
    int64_t want[2] = {200, (int64_t)(intptr_t)s};
    store_purge(s, 200, 1000);
    ok(run_until(has_purged, want), "purge by age, in several batches");
    is_int(get_rc(s, "p199"), -ENOENT, "older ones are gone");
    is_int(get_rc(s, "p5"), 0, "one that still runs is not");
    struct store_row again = row_of(1000, "p199");
    is_int(insert_now(s, &again), 0, "a purged id is free again");
    want[0] = 391;
    store_purge(s, 0, 10);
    ok(run_until(has_purged, want), "purge by count");
    store_purge(s, 0, -1);
    struct store_row row = row_of(5, "p5");
    is_int(update_now(s, &row).rc, 0, "writes go on");
    is_int(get_rc(s, "p391"), 0, "keep_count -1 keeps all");
    store_delete(s, 391);
    store_delete(s, 12345);
    row = row_of(1001, "p391");
    is_int(insert_now(s, &row), 0, "a deleted task's id is free again, and one that is not there does no harm");
    want[0] = 0;
    store_purge(s, INT64_MAX, 0);
    ok(run_until(has_purged, want), "purge of all that is done");
    is_int(get_rc(s, "p5"), 0, "and only of that");
    is_int(get_rc(s, "p391"), 0, "a new task that has the id of a deleted one stays");
    store_close(s);
    remove_dir(dir);
}

static void test_lock(void)
{
    char dir[128], text[32];
    struct berth_error err = {0};
    struct store *second = NULL;
    new_dir(dir);
    struct store *s = open_in(dir);
    is_int(store_open(dir, loop, &second, &err), -EWOULDBLOCK, "a second opener");
    snprintf(text, sizeof(text), "process %d", (int)getpid());
    has_str(err.text, text, "is told who has it");
    has_str(err.text, dir, "and where");
    store_close(s);
    s = open_in(dir);
    ok(s != NULL, "free again after close");
    store_close(s);
    remove_dir(dir);
}

static void test_signals(void)
{
    sigset_t before, after;
    int changed = 0;
    char dir[128];
    new_dir(dir);
    pthread_sigmask(SIG_BLOCK, NULL, &before);
    struct store *s = open_in(dir);
    pthread_sigmask(SIG_BLOCK, NULL, &after);
    for (int i = 1; i < NSIG; i++)
        changed += sigismember(&before, i) != sigismember(&after, i);
    is_int(changed, 0, "the caller's signal mask is as before");
    int open_to_signals = 0, threads = 0;
    DIR *d = opendir("/proc/self/task");
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char path[300], *text = NULL;
        size_t len;
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", e->d_name);
        if (e->d_name[0] == '.' || atoi(e->d_name) == getpid() ||
            read_file(path, 65536, &text, &len) < 0)
            continue;
        threads++;
        char *blocked = strstr(text, "SigBlk:\t");
        open_to_signals +=
            !blocked || !(strtoull(blocked + 8, NULL, 16) & (1ull << (SIGTERM - 1)));
        free(text);
    }
    closedir(d);
    ok(threads >= 1 && open_to_signals == 0, "signals are blocked in the thread");
    store_close(s);
    remove_dir(dir);
}

int main(void)
{
    if (!help_init())
        return 1;
    test_arguments();
    test_row();
    test_large();
    test_duplicates();
    test_group_commit();
    test_reads();
    test_purge();
    test_lock();
    test_signals();
    help_fini();
    return tap_done();
}
