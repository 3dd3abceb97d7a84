/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Lists of tasks, a page at a time. */
#include "host/host_int.h"

/* By enum store_state. */
static const char *const state_names[] = {"queued", "starting", "running", "done", NULL};

static void put_time(struct arena *a, struct value *v, const char *key, int64_t ms)
{
    if (ms)
        value_put_int(a, v, key, ms);
}

static const char *row_state(const struct host *h, const struct store_row *row)
{
    const struct job *j = job_find((struct host *)h, row->id);
    return j ? job_state_name(j) : state_names[row->state];
}

struct value task_value(struct arena *a, const struct host *h, const struct store_row *row)
{
    struct value v = value_new_map(a);
    value_put_str(a, &v, "id", row->id);
    value_put_str(a, &v, "state", row_state(h, row));
    value_put_int(a, &v, "attempt", row->attempt);
    value_put_str(a, &v, "executer", row->executer);
    value_put_str(a, &v, "runtime", row->runtime);
    value_put_str(a, &v, "tenant", row->tenant);
    value_put_int(a, &v, "priority", row->priority);
    put_time(a, &v, "queued_ms", row->queued_ms);
    put_time(a, &v, "started_ms", row->started_ms);
    put_time(a, &v, "finished_ms", row->finished_ms);
    if (!strcmp(value_str(&v, "state", ""), "done"))
        value_put_str(a, &v, "verdict", berth_verdict_name(row->verdict));
    if (row->cancel)
        value_put_bool(a, &v, "cancel", true);
    return v;
}

/*
 * Tasks that are not done are in memory, and so are those whose end is not yet in the store:
 * there the store's rows may be old. All others are done and in the store. Both are in order
 * of arrival, the newest first, and are merged.
 */
struct listing {
    struct host *host;
    const struct berth_query *q;
    struct arena *arena;
    struct value tasks;
    int state;              /* -1: any */
    const struct job *next; /* of those in memory, not yet looked at */
    int left;
    int64_t before_seq; /* 0: from the newest */
    int64_t last_seq;
    bool more;
};

static const struct job *newest_job(const struct host *h)
{
    return h->jobs ? ELMT_FROM_HH(h->jobs->hh.tbl, h->jobs->hh.tbl->tail) : NULL;
}

/* False: the page is full. */
static bool list_add(struct listing *l, const struct store_row *row)
{
    if (l->left == 0) {
        l->more = true;
        return false;
    }
    l->left--;
    l->last_seq = row->seq;
    value_add(l->arena, &l->tasks, task_value(l->arena, l->host, row));
    return true;
}

static bool is_asked_for(const struct listing *l, const struct job *j)
{
    const struct berth_query *q = l->q;
    return j->item.seq > 0 && (!l->before_seq || j->item.seq < l->before_seq) &&
           (l->state < 0 || !strcmp(job_state_name(j), state_names[l->state])) &&
           (!q->tenant || !strcmp(q->tenant, j->item.tenant)) &&
           (!q->executer || !strcmp(q->executer, j->item.executer));
}

/* Those in memory that are newer than seq. */
static bool list_jobs(struct listing *l, int64_t seq)
{
    for (; l->next && l->next->item.seq > seq; l->next = l->next->hh.prev) {
        struct store_row row;
        if (!is_asked_for(l, l->next))
            continue;
        job_row(l->next, &row);
        if (!list_add(l, &row))
            return false;
    }
    return true;
}

static int list_row(void *arg, const struct store_row *row)
{
    struct listing *l = arg;
    if (!list_jobs(l, row->seq))
        return 1;
    if (job_find(l->host, row->id)) /* the row was that job's, and is listed */
        return 0;
    return !list_add(l, row);
}

static int state_parse(const char *name, struct berth_error *err)
{
    if (!name || !*name)
        return -1;
    for (int i = 0; state_names[i]; i++)
        if (!strcmp(name, state_names[i]))
            return i;
    const char *near = nearest_name(name, state_names);
    return berth_fail(err, EINVAL,
                      "state '%s' is not one of queued, starting, running, done%s%s", name,
                      near ? "; did you mean " : "", near ? near : "");
}

int list_tasks(struct host *h, const struct berth_query *q, struct arena *a,
               struct value *ret, struct berth_error *err)
{
    struct listing l = {.host = h,
                        .q = q,
                        .arena = a,
                        .tasks = value_new_array(a),
                        .state = state_parse(q->state, err),
                        .next = newest_job(h),
                        .left = q->limit ? (int)(q->limit < 1000 ? q->limit : 1000) : 100};
    struct store_filter f = {
        .tenant = q->tenant, .executer = q->executer, .state = STORE_DONE};
    if (l.state < -1)
        return l.state;
    if (q->cursor && *q->cursor && parse_int(q->cursor, &f.before_seq) < 0)
        return berth_fail(err, EINVAL, "cursor '%s' is not one that this host gave",
                          q->cursor);
    f.limit = l.left + 1 + (int)HASH_COUNT(h->jobs);
    l.before_seq = f.before_seq;
    int rc = l.state < 0 || l.state == STORE_DONE
                 ? store_list(h->store, &f, list_row, &l, err)
                 : 0;
    if (rc < 0)
        return rc;
    if (!l.more)
        list_jobs(&l, 0);
    value_put(a, ret, "tasks", l.tasks);
    if (l.more)
        value_put_str(a, ret, "next", arena_fmt(a, "%lld", (long long)l.last_seq));
    return 0;
}
