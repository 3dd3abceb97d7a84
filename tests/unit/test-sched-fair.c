/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Fair shares, no starvation, and random runs of the scheduler. */
#include "sched-help.h"

/* Runs `width` at a time, always the oldest ends, until n have started; counts them by
 * tenant. */
static void simulate(int n, int width, const char *const *names, const int *run_ms,
                     int *ret_counts)
{
    struct task_resources cap = {.cpus = width};
    struct sched *s = sched_new(&config, &cap, NULL);
    sched_set_runtime(s, "r", true);
    enum { BACKLOG = 40 };
    struct sched_item *items = calloc((size_t)(n + 4 * BACKLOG), sizeof(*items));
    int64_t *ends = calloc((size_t)(n + 4 * BACKLOG), sizeof(*ends)), now = 0;
    int made = 0, started = 0, waiting[4] = {0};
    struct sched_item *running[64];
    int running_count = 0;
    while (started < n) {
        for (int t = 0; names[t]; t++)
            for (; waiting[t] < BACKLOG; waiting[t]++, made++) {
                items[made] = item(made + 1, names[t], 1);
                sched_add(s, &items[made], now, 0);
            }
        struct sched_item *it = sched_next(s, now);
        if (it) {
            int t = 0;
            while (strcmp(names[t], it->tenant))
                t++;
            waiting[t]--;
            ret_counts[t]++;
            started++;
            ends[it - items] = now + run_ms[t];
            running[running_count++] = it;
            continue;
        }
        int first = 0;
        for (int i = 1; i < running_count; i++)
            if (ends[running[i] - items] < ends[running[first] - items])
                first = i;
        now = ends[running[first] - items];
        sched_remove(s, running[first]);
        running[first] = running[--running_count];
    }
    remove_all(s, items, (size_t)made);
    ok(is_empty(s), "all is given back");
    sched_free(s);
    free(items);
    free(ends);
}

static void is_near(double got, double want, double tolerance, const char *what)
{
    if (!ok(fabs(got / want - 1) < tolerance, "%s", what))
        printf("#   got %g, want %g\n", got, want);
}

static void test_fairness(void)
{
    static const char *const two[] = {"one", "three", NULL};
    static const char *const three[] = {"one", "three", "other", NULL};
    int c[3] = {0};
    simulate(10000, 1, two, (int[]){0, 0}, c);
    is_near((double)c[1] / c[0], 3, 0.01,
            "weights 1:3, one at a time, tasks that take no time");
    memset(c, 0, sizeof(c));
    simulate(10000, 2, two, (int[]){50, 50}, c);
    is_near((double)c[1] / c[0], 3, 0.02, "weights 1:3, two at a time, 50 ms each");
    memset(c, 0, sizeof(c));
    simulate(10000, 16, three, (int[]){200, 200, 200}, c);
    is_near((double)c[1] / c[0], 3, 0.05, "weights 1:3:1, sixteen at a time");
    is_near((double)c[2] / c[0], 1, 0.05, "the third as the first");
    memset(c, 0, sizeof(c));
    simulate(10000, 4, two, (int[]){1000, 4000}, c);
    is_near(4.0 * c[1] / c[0], 3, 0.1,
            "weights 1:3 of the time where one's tasks take four times as long");
}

/* A tenant that comes back gets neither the past nor everything: it is level with the
 * others. */
static void test_newcomer(void)
{
    enum { N = 400 };
    static struct sched_item it[N];
    struct sched *s = new_sched();
    int newcomer = 0;
    for (int i = 0; i < N; i++) {
        it[i] = item(i + 1, i < N / 2 ? "one" : "other", 8);
        if (i < N / 2)
            sched_add(s, &it[i], 0, 0);
    }
    int64_t now = 0;
    for (int i = 0; i < 100; i++) { /* alone for 100 s */
        struct sched_item *x = sched_next(s, now);
        now += 1000;
        sched_remove(s, x);
    }
    add_all(s, it + N / 2, N / 2);
    for (int i = 0; i < 40; i++) {
        struct sched_item *x = sched_next(s, now);
        newcomer += !strcmp(x->tenant, "other");
        now += 1000;
        sched_remove(s, x);
    }
    ok(newcomer >= 18 && newcomer <= 22, "half of the starts are the newcomer's (%d of 40)",
       newcomer);
    end(s, it, N);
}

/* A task that needs the whole node, against a steady stream of small ones. */
static int starts_until_big(struct sched *s, struct sched_item *big,
                            const char *stream_tenant, int priority, int64_t step_ms)
{
    enum { N = 3000 };
    static struct sched_item small[N];
    struct sched_item *running[8];
    int made = 0, n = 0, count = 0, turn = 0;
    int64_t now = 0;
    memset(small, 0, sizeof(small));
    for (; turn < N - 100; turn++, now += step_ms) {
        while (made - count < 10) {
            small[made] = item(made + 1, stream_tenant, 1);
            small[made].priority = priority;
            sched_add(s, &small[made++], now, 0);
        }
        if (turn == 20)
            sched_add(s, big, now, 0);
        struct sched_item *it;
        while ((it = sched_next(s, now)) && it != big) {
            running[n++] = it;
            count++;
        }
        if (it == big || n == 0)
            break;
        sched_remove(s, running[0]); /* one ends in each turn */
        memmove(running, running + 1, (size_t)--n * sizeof(running[0]));
    }
    remove_all(s, small, (size_t)made);
    return big->state == 3 ? count : -1;
}

static void test_no_starvation(void)
{
    static const char *const whose[] = {"one", "other", "three"};
    for (size_t i = 0; i < countof(whose); i++)
        for (int64_t step = 0; step <= 200; step += 200) {
            struct sched *s = new_sched();
            struct sched_item big = item(10, "one", 8);
            int n = starts_until_big(s, &big, whose[i], 0, step);
            printf("# the big one ran after %d small ones\n", n);
            ok(n > 0 && n < 28 + SCHED_PASSES * 8,
               "a big task is not starved by '%s' (%d ms)", whose[i], (int)step);
            end(s, &big, 1);
        }
    struct sched *s = new_sched();
    struct sched_item big = item(10, "one", 8);
    is_int(starts_until_big(s, &big, "other", 1, 200), -1,
           "but higher priority goes first");
    end(s, &big, 1);

}

/* Only what it lacks is kept for it. */
static void test_reservation_keeps(void)
{
    struct sched *s = new_sched();
    struct sched_item it[] = {item(1, "one", 5), item(2, "one", 8), item(3, "other", 2),
                              item(4, "other", 0), item(5, "other", 1)};
    it[3].need.gpus = 1;
    it[4].priority = 1;
    add_all(s, it, 2);
    is_str(starts(s, 0), "1", "the big one waits");
    is_str(starts(s, SCHED_WAIT_MS), "", "and gets its reservation");
    sched_add(s, &it[2], SCHED_WAIT_MS, 0);
    sched_add(s, &it[3], SCHED_WAIT_MS, 0);
    is_str(starts(s, SCHED_WAIT_MS), "4", "what uses other resources starts");
    sched_add(s, &it[4], SCHED_WAIT_MS, 0);
    is_str(starts(s, SCHED_WAIT_MS), "5", "and what has a higher priority");
    sched_remove(s, &it[0]);
    is_str(starts(s, SCHED_WAIT_MS), "", "what it needs is kept together");
    sched_remove(s, &it[4]);
    is_str(starts(s, SCHED_WAIT_MS), "2", "until it fits");
    sched_remove(s, &it[1]);
    is_str(starts(s, SCHED_WAIT_MS), "3", "then the others go on");
    end(s, it, countof(it));

}

/* What can never fit gets none; and a reservation goes with its task, and with its runtime. */
static void test_reservation_goes(void)
{
    struct sched *s = new_sched();
    struct sched_item n[] = {item(1, "one", 9), item(2, "one", 7), item(3, "one", 1)};
    add_all(s, n, 2);
    is_str(starts(s, 0), "2", "beside one that needs more than there is");
    starts(s, SCHED_WAIT_MS);
    sched_add(s, &n[2], SCHED_WAIT_MS, 0);
    is_str(starts(s, SCHED_WAIT_MS), "3", "others start for ever");
    end(s, n, countof(n));

    s = new_sched();
    struct sched_item r[] = {item(1, "one", 5), item(2, "one", 8), item(3, "other", 2),
                             item(4, "other", 1)};
    r[1].executer = r[1].runtime = "sick";
    sched_set_runtime(s, "sick", true);
    add_all(s, r, 2);
    is_str(starts(s, 0), "1", "again the big one waits");
    starts(s, SCHED_WAIT_MS);
    sched_add(s, &r[2], SCHED_WAIT_MS, 0);
    is_str(starts(s, SCHED_WAIT_MS), "", "with a reservation");
    sched_set_runtime(s, "sick", false);
    is_str(starts(s, SCHED_WAIT_MS), "3", "that goes when its runtime is not up");
    sched_set_runtime(s, "sick", true);
    starts(s, SCHED_WAIT_MS);
    sched_remove(s, &r[1]);
    sched_add(s, &r[3], SCHED_WAIT_MS, 0);
    is_str(starts(s, SCHED_WAIT_MS), "4", "or when it is cancelled");
    end(s, r, countof(r));
}

/* A small generator: the same numbers everywhere. */
static uint64_t seed;
static unsigned rnd(unsigned n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % n;
}

enum { RANDOM_ITEMS = 300, RUNNING_MAX = 64 };

static struct sched_item random_item(int64_t seq)
{
    static const char *const names[] = {"one", "three", "few", "x", "y"};
    struct sched_item it = item(seq, names[rnd(5)], rnd(100) < 5 ? 8 : rnd(80) / 20.0);
    it.priority = (int)rnd(3) - 1;
    it.executer = rnd(3) ? "e" : rnd(2) ? "two" : "";
    it.need.memory_bytes = rnd(100) < 5 ? 8 << 20 : rnd(4 << 20);
    it.need.gpus = rnd(4) ? 0 : rnd(4);
    it.need.pids = rnd(200);
    return it;
}

static bool is_within(const struct sched *s, struct sched_item *const *running, int n)
{
    struct sched_totals t;
    double cpus = 0;
    int64_t memory = 0, gpus = 0;
    unsigned gpu_seen = 0;
    sched_totals(s, &t);
    for (int i = 0; i < n; i++) {
        cpus += running[i]->need.cpus;
        memory += running[i]->need.memory_bytes;
        for (const char *const *g = running[i]->gpus; *g; g++, gpus++) {
            unsigned bit = 1u << ((*g)[1] - '0');
            if (gpu_seen & bit)
                return false;
            gpu_seen |= bit;
        }
        for (int k = 0; k < i; k++)
            if (running[k]->slot == running[i]->slot)
                return false;
        if (running[i]->slot < 0 || running[i]->slot >= RUNNING_MAX)
            return false;
    }
    return t.running == n && cpus < 8.001 && memory <= node.memory_bytes &&
           fabs(t.booked.cpus - cpus) < 1e-6 && t.booked.memory_bytes == memory &&
           t.booked.gpus == gpus && t.booked.pids <= node.pids;
}

/* Adds, starts, ends, retries and cancels at random; true if all came to run. */
static bool random_run(void)
{
    static struct sched_item it[RANDOM_ITEMS];
    struct sched_item *running[RUNNING_MAX], *next;
    struct sched *s = new_sched();
    int n = 0, made = 0, done = 0;
    int64_t now = 0;
    bool good = true;
    for (int turn = 0; turn < 20000 && done < RANDOM_ITEMS && good;
         turn++, now += rnd(50)) {
        for (unsigned k = rnd(6); k > 0 && made < RANDOM_ITEMS; k--, made++) {
            it[made] = random_item(made + 1);
            sched_add(s, &it[made], now, rnd(3) ? 0 : now + rnd(2000));
        }
        while ((next = sched_next(s, now))) {
            running[n++] = next;
            good &= is_within(s, running, n);
        }
        if (n > 0 && rnd(3)) {
            unsigned i = rnd((unsigned)n);
            next = running[i];
            sched_remove(s, next);
            running[i] = running[--n];
            if (rnd(10) == 0) /* a retry */
                sched_add(s, next, now, rnd(2) ? now + rnd(3000) : 0);
            else
                done++;
        }
        if (rnd(50) == 0 && made > 0) { /* cancelled, and sent again */
            next = &it[rnd((unsigned)made)];
            if (next->state == 1 || next->state == 2) {
                sched_remove(s, next);
                sched_add(s, next, now, 0);
            }
        }
    }
    good &= done == RANDOM_ITEMS && is_empty(s);
    remove_all(s, it, RANDOM_ITEMS);
    sched_free(s);
    return good;
}

static void test_random(void)
{
    int bad = 0;
    for (unsigned i = 1; i <= 200; i++) {
        seed = i;
        if (!random_run()) {
            printf("# seed %u\n", i);
            bad++;
        }
    }
    is_int(bad, 0,
           "200 random runs: never more than there is, all come to run, nothing is left");
}

/* Would take hours if the cost of a decision, an addition or a removal grew with what
 * waits. */
static void test_many(void)
{
    enum { N = 200000, TENANTS = 3000 };
    struct sched_item *it = calloc(N, sizeof(*it));
    struct sched *s = new_sched();
    int started = 0, bad = 0;
    for (int i = 0; i < N; i++) {
        it[i] = item(i + 1, i % 2 ? "one" : "three", 4);
        bad += sched_add(s, &it[i], 0, i % 10 ? 0 : i) != 0;
    }
    is_int(bad, 0, "%d items are added", N);
    for (int i = 0; i < 1000;
         i++) /* nothing starts: the whole order is gone through each time */
        while (sched_next(s, 0))
            started++;
    is_int(started, 2, "two of them fit");
    for (int64_t i = 0; i < N; i++) {
        sched_remove(s, &it[i]);
        it[i].seq = i; /* older than all that wait: a retry */
        bad += i % 100 == 0 && sched_add(s, &it[i], 0, 0) != 0;
        struct sched_item *next = sched_next(s, N);
        started += next != NULL;
        sched_remove(s, next);
    }
    ok(bad == 0 && started > N / 4, "started, removed and added again");
    for (int i = 0; i < N; i++)
        sched_remove(s, &it[i]);
    ok(is_empty(s), "all is given back");
    char(*names)[16] = calloc(TENANTS, sizeof(*names));
    for (int i = 0; i < TENANTS; i++) {
        snprintf(names[i], sizeof(names[i]), "t%d", i);
        it[i] = item(i + 1, names[i], 0.001);
        sched_add(s, &it[i], 0, 0);
        sched_remove(s, &it[i]);
    }
    end(s, it, TENANTS);
    free(names);
    free(it);
}

int main(void)
{
    test_fairness();
    test_newcomer();
    test_no_starvation();
    test_reservation_keeps();
    test_reservation_goes();
    test_random();
    test_many();
    return tap_done();
}
