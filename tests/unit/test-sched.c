/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The scheduler: order, limits, fit, delays, adoption. */
#include "sched-help.h"

static void test_arguments(void)
{
    ok(!sched_new(NULL, &node, NULL), "new without config");
    ok(!sched_new(&config, NULL, NULL), "new without capacity");
    sched_free(NULL);
    struct sched *s = new_sched();
    struct sched_item it = item(1, "one", 1), odd;
    is_int(sched_add(NULL, &it, 0, 0), -EINVAL, "add to nothing");
    is_int(sched_add(s, NULL, 0, 0), -EINVAL, "add nothing");
    odd = it;
    odd.tenant = NULL;
    is_int(sched_add(s, &odd, 0, 0), -EINVAL, "add without tenant");
    odd = it;
    odd.executer = NULL;
    is_int(sched_add(s, &odd, 0, 0), -EINVAL, "add without executer");
    odd = it;
    odd.runtime = NULL;
    is_int(sched_adopt(s, &odd, -1, NULL), -EINVAL, "adopt without runtime");
    is_int(sched_add(s, &it, 0, 0), 0, "add");
    is_int(sched_add(s, &it, 0, 0), -EINVAL, "add twice");
    is_int(sched_adopt(s, &it, -1, NULL), -EINVAL, "adopt what waits");
    sched_remove(s, &it);
    sched_remove(s, &it);
    sched_remove(s, NULL);
    sched_remove(NULL, &it);
    ok(!sched_next(s, 0), "nothing to start");
    is_int(sched_next_ms(s, 0), -1, "nothing to wait for");
    is_int(sched_waiting_of_tenant(s, "nobody"), 0, "unknown tenant");
    is_int(sched_running_of_executer(s, "nobody"), 0, "unknown executer");
    is_int(sched_adopt(s, &it, -2, NULL), -EINVAL, "adopt: slot -2");
    is_int(sched_adopt(s, &it, INT32_MAX, NULL), -EINVAL, "adopt: absurd slot");
    ok(is_empty(s), "none of it counts");
    struct sched_item strange[] = {item(1, "one", NAN), item(2, "one", -1),
                                   item(3, "one", INFINITY), item(4, "one", 1e300),
                                   item(5, "one", 0)};
    strange[4].need = (struct task_resources){.memory_bytes = INT64_MAX, .gpus = INT64_MAX};
    add_all(s, strange, countof(strange));
    is_str(starts(s, 0), "1 2", "needs that are no amounts");
    end(s, strange, countof(strange));
}

static void test_order(void)
{
    struct sched *s = new_sched();
    struct sched_item it[] = {item(1, "one", 1), item(2, "one", 1), item(3, "one", 1),
                              item(4, "one", 1), item(5, "one", 1)};
    it[1].priority = -100;
    it[3].priority = 100;
    it[4].executer = "";
    add_all(s, it, countof(it));
    is_int(sched_waiting_of_tenant(s, "one"), 5, "waiting of the tenant");
    is_int(sched_waiting_of_executer(s, "e"), 4, "waiting of the executer");
    is_str(starts(s, 0), "4 1 3 5 2", "by priority, then arrival, across executers");
    is_int(sched_running_of_executer(s, "e"), 4, "running of the executer");
    is_int(sched_waiting_of_executer(s, "e"), 0, "none waits");

    /* A retry keeps its place, wherever that is. */
    remove_all(s, it, countof(it));
    for (size_t i = 0; i < countof(it); i++)
        it[i].priority = 0;
    static const int orders[][5] = {
        {4, 3, 2, 1, 0}, {0, 4, 1, 3, 2}, {2, 0, 4, 1, 3}, {1, 0, 2, 4, 3}};
    for (size_t o = 0; o < countof(orders); o++) {
        for (int i = 0; i < 5; i++)
            sched_add(s, &it[orders[o][i]], 0, 0);
        is_str(starts(s, 0), "1 2 3 4 5", "order of seq, not of adding (%zu)", o);
        remove_all(s, it, countof(it));
    }
    end(s, it, countof(it));
}

static void test_limits(void)
{
    struct sched *s = new_sched();
    struct sched_item it[9];
    for (int i = 0; i < 9; i++)
        it[i] = item(i + 1, i < 4 ? "few" : "one", 0);
    it[5].executer = it[6].executer = it[7].executer = "two";
    it[8].executer = it[8].runtime = "sick";
    add_all(s, it, countof(it));
    is_str(starts(s, 0), "1 5 2 6 7",
           "limits of a tenant, an executer, a runtime that is not up");
    sched_remove(s, &it[5]);
    is_str(starts(s, 0), "8", "the executer has room again");
    sched_remove(s, &it[0]);
    is_str(starts(s, 0), "3", "the tenant has room again");
    sched_set_runtime(s, "sick", true);
    sched_set_paused(s, true);
    is_str(starts(s, 0), "", "nothing starts while paused");
    sched_set_paused(s, false);
    is_str(starts(s, 0), "9", "the runtime is well again");
    sched_set_runtime(s, "r", false);
    sched_remove(s, &it[1]);
    is_str(starts(s, 0), "", "and the other one is not");
    end(s, it, countof(it));

    config.max_running = 3;
    s = new_sched();
    for (int i = 0; i < 9; i++)
        it[i] = item(i + 1, "one", 0);
    add_all(s, it, countof(it));
    is_str(starts(s, 0), "1 2 3", "max_running of the host");
    sched_remove(s, &it[1]);
    is_str(starts(s, 0), "4", "one more when one has ended");
    is_int(it[3].slot, 1, "in the slot that came free");
    end(s, it, countof(it));
    config.max_running = 0;
}

static void test_fit(void)
{
    struct sched *s = new_sched();
    struct sched_item it[12];
    for (int i = 0; i < 12; i++)
        it[i] = item(i + 1, "one", 0.8);
    add_all(s, it, 12);
    is_str(starts(s, 0), "1 2 3 4 5 6 7 8 9 10", "ten times 0.8 of 8 cpus");
    int bad = 0;
    for (int i = 0; i < 10; i++)
        bad += it[i].slot != i;
    is_int(bad, 0, "slots from 0 on");
    end(s, it, 12);

    s = new_sched();
    struct sched_item g[] = {item(1, "one", 0), item(2, "one", 0), item(3, "one", 0),
                             item(4, "one", 0)};
    g[0].need.gpus = 2;
    g[1].need.gpus = 2;
    g[2].need.gpus = 4; /* never */
    g[3].need.gpus = 1;
    add_all(s, g, 4);
    is_str(starts(s, 0), "1 4", "gpus");
    is_str(g[0].gpus[0], "g0", "by name");
    is_str(g[0].gpus[1], "g1", "the second");
    ok(!g[0].gpus[2], "and no more");
    is_str(g[3].gpus[0], "g2", "nobody else's");
    sched_remove(s, &g[3]);
    sched_remove(s, &g[0]);
    is_str(starts(s, SCHED_WAIT_MS * 3), "2",
           "as soon as two are free; the impossible holds up nobody");
    is_str(g[1].gpus[0], "g0", "the first free ones");
    end(s, g, 4);

    s = new_sched();
    struct sched_item m[] = {item(1, "one", 1), item(2, "one", 1), item(3, "one", 0),
                             item(4, "one", 1)};
    m[0].need.memory_bytes = 6 << 20;
    m[1].need.memory_bytes = 3 << 20;
    m[2].need.disk_bytes = INT64_MAX;
    m[3].need.pids = 1001;
    add_all(s, m, 4);
    is_str(starts(s, 0), "1 3", "memory; disk without a capacity is not limited; pids");
    end(s, m, 4);
}

static void test_delay(void)
{
    struct sched *s = new_sched();
    struct sched_item it[] = {item(1, "one", 1), item(2, "one", 1), item(3, "one", 1),
                              item(4, "one", 1)};
    struct sched_totals t;
    sched_add(s, &it[0], 1000, 1500);
    sched_add(s, &it[1], 1000, 1200);
    sched_add(s, &it[2], 1000, 1000);
    sched_add(s, &it[3], 1000, 1300);
    sched_totals(s, &t);
    ok(t.waiting == 1 && t.delayed == 3, "one waits, three are delayed");
    is_int(sched_waiting_of_tenant(s, "one"), 4, "the tenant is told of all");
    is_int(sched_next_ms(s, 1000), 200, "time to the next");
    is_str(starts(s, 1000), "3", "before it only one");
    sched_remove(s, &it[3]);
    is_str(starts(s, 1200), "2", "at its time");
    is_int(sched_next_ms(s, 1400), 100, "a removed one is not waited for");
    is_int(sched_next_ms(s, 1600), 0, "one that is due");
    is_str(starts(s, 1499), "", "not a millisecond early");
    is_str(starts(s, 5000), "1", "late is fine");
    is_int(sched_next_ms(s, 5000), -1, "no more");
    end(s, it, countof(it));
}

static void test_adopt(void)
{
    struct sched *s = new_sched();
    static const char *const known[] = {"g1", NULL}, *const gone[] = {"old", "g1", NULL};
    struct sched_item a = item(1, "one", 6), b = item(2, "one", 6), c = item(3, "one", 1),
                      d = item(4, "one", 0), e = item(5, "one", 0);
    a.need.gpus = 1;
    d.need.gpus = 2;
    is_int(sched_adopt(s, &a, 1, known), 0, "adopt");
    is_int(a.slot, 1, "with its slot");
    is_int(sched_adopt(s, &b, 1, NULL), -EEXIST, "a slot that is taken");
    is_int(b.state, 0, "leaves it out");
    is_int(sched_adopt(s, &b, 700, gone), 0, "more than there is, and a gpu that is gone");
    is_str(b.gpus[0], "old", "keeps its names");
    is_int(sched_adopt(s, &e, -1, NULL), 0, "adopt into any slot");
    is_int(e.slot, 0, "the lowest");
    sched_add(s, &c, 0, 0);
    sched_add(s, &d, 0, 0);
    struct sched_item *next = sched_next(s, 0);
    ok(next == &d, "what fits beside it starts");
    is_int(d.slot, 2, "in the lowest slot");
    ok(!strcmp(d.gpus[0], "g0") && !strcmp(d.gpus[1], "g2"), "with the gpus that are left");
    sched_remove(s, &a);
    ok(sched_next(s, 0) == &c, "and the rest when it is free");
    is_int(c.slot, 1, "the lowest again");
    is_int(sched_move(s, &c, 0), -EEXIST, "a move into a slot that is taken");
    is_int(sched_move(s, &c, 100), 0, "into a free one");
    is_int(c.slot, 100, "it has that");
    is_int(sched_move(s, &c, 100), 0, "where it is already");
    is_int(sched_move(s, &c, -1), -EINVAL, "into none");
    is_int(sched_move(s, &c, INT32_MAX), -EINVAL, "into one beyond all");
    is_int(sched_move(s, &a, 3), -EINVAL, "what is not booked cannot move");
    sched_remove(s, &b);
    a.need.gpus = 0;
    sched_add(s, &a, 0, 0);
    ok(sched_next(s, 0) == &a && a.slot == 1, "and the one it left is free");
    sched_remove(s, &a);
    sched_remove(s, &c);
    sched_remove(s, &d);
    end(s, &e, 1);
}

int main(void)
{
    test_arguments();
    test_order();
    test_limits();
    test_fit();
    test_delay();
    test_adopt();
    return tap_done();
}
