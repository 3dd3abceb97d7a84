/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The end of an attempt, and of a task. One result is published, and for a task that was acknowledged only
 * after the store has it; the supervisor is confirmed, and with it the evidence thrown away, last of all.
 */
#include "base/crash.h"
#include "host/job_int.h"

#define STORE_AGAIN_MS 1000

static void finish_stored(void *arg, int rc, const struct berth_error *err);

static void job_store_failed(struct job *j, loop_fn *again)
{
    loop_timer_remove(&j->again);
    j->again = loop_timer_add(j->host->loop, STORE_AGAIN_MS, again, j);
}

/*
 * Whether the store must be told, whatever it takes. A row that is there and says "running" would be taken
 * for a lost attempt by the next host, and the task run once more; also one whose caller has the result.
 */
static bool job_must_be_told(const struct job *j, int rc)
{
    return rc < 0 && rc != -ENOENT && (j->durable || j->stored);
}

static void finish_again(void *arg)
{
    struct job *j = arg;
    job_save(j, j->durable, finish_stored);
}

/* "done" is said when the result can be had. */
static void job_make_known(struct job *j, const struct value *result)
{
    CRASH_POINT(publish);
    job_publish(j, result);
    CRASH_POINT(published);
    ctl_event(j->host, j, "done", value_str(value_get(result, "error"), "message", NULL));
}

static void finish_stored(void *arg, int rc, const struct berth_error *err)
{
    struct job *j = arg;
    host_disk(j->host, rc, err);
    if (job_must_be_told(j, rc)) {
        if (!j->again)
            log_line(BERTH_LOG_ERR, j->id, "cannot store the result, trying on: %s",
                     err->text);
        job_store_failed(j, finish_again);
        return;
    }
    CRASH_POINT(result_stored);
    j->result_stored = true;
    if (!j->published) {
        struct arena *a = arena_new();
        struct value result = {0};
        if (a && value_from_msgpack(a, j->result.data, j->result.len, &result_limits,
                                    &result, NULL) == 0)
            job_make_known(j, &result);
        arena_free(a);
    }
    job_close_if_done(j);
}

static void job_count_end(struct job *j)
{
    struct host *h = j->host;
    j->finished_ms = unix_ms();
    h->stats.finished[j->verdict]++;
    host_pace(h);
    if (j->started_ms)
        histogram_add(&h->stats.run, j->finished_ms - j->started_ms);
}

static void job_finish(struct job *j, const struct value *result)
{
    job_out_of_limbo(j);
    if (j->item.state)
        sched_remove(j->host->sched, &j->item);
    host_ask_dispatch(j->host);
    loop_timer_remove(&j->deadline);
    j->state = JOB_FINISHING;
    j->verdict = berth_verdict_parse(value_str(result, "verdict", ""));
    if (j->verdict == BERTH_VERDICT_NONE)
        j->verdict = BERTH_VERDICT_PLUGIN_ERROR;
    job_count_end(j);
    buf_free(&j->result);
    if (value_to_msgpack(result, &j->result) < 0) {
        log_line(BERTH_LOG_ERR, j->id, "no memory for its result, trying again");
        j->state = JOB_RUNNING; /* a supervisor repeats DONE when it meets the next host */
        return;
    }
    CRASH_POINT(result_store);
    if (!j->durable)
        job_make_known(j, result);
    job_save(j, j->durable, finish_stored);
}

void job_finish_plain(struct job *j, int verdict, int blame, const char *code,
                      const char *message)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value result = result_make(a, j, verdict, blame, code, message);
    job_finish(j, &result);
}

/* ---- trying again ---- */

static int64_t retry_delay(const struct job *j)
{
    int64_t delay = j->host->config->retry_delay_ms;
    for (int i = 1; i < j->failures + j->losses && delay < 60000; i++)
        delay *= 2;
    return delay < 60000 ? delay : 60000;
}

static void retry_stored(void *arg, int rc, const struct berth_error *err);

static void retry_again(void *arg)
{
    job_save(arg, false, retry_stored);
}

/* Until the store knows that this attempt is over, its supervisor or directory is the only one who does. */
static void retry_stored(void *arg, int rc, const struct berth_error *err)
{
    struct job *j = arg;
    struct host *h = j->host;
    host_disk(h, rc, err);
    j->stored |= rc == 0; /* it may have been the first that was written of it */
    if (job_must_be_told(j, rc)) {
        if (!j->again)
            log_line(BERTH_LOG_ERR, j->id, "cannot store the retry, trying on: %s",
                     err->text);
        job_store_failed(j, retry_again);
        return;
    }
    loop_timer_remove(&j->again);
    CRASH_POINT(retry_stored);
    job_confirm(j);
    if (j->disowned) {
        job_drop(j);
        return;
    }
    if (job_is_held(j)) {
        j->state = JOB_NEW;
        return;
    }
    j->state = JOB_QUEUED;
    int64_t now = now_ms();
    if (j->cancel)
        job_finish_plain(j, BERTH_VERDICT_CANCELLED, BERTH_BLAME_CALLER, "cancelled",
                         "cancelled before another attempt");
    else if (h->draining && job_hand_back(j))
        return;
    else if (sched_add(h->sched, &j->item, now, now + retry_delay(j)) < 0)
        job_finish_plain(j, BERTH_VERDICT_LOST, BERTH_BLAME_NODE, "out_of_memory",
                         "no memory to queue another attempt");
    host_ask_dispatch(h);
}

static void job_retry(struct job *j, const char *why)
{
    job_out_of_limbo(j);
    sched_remove(j->host->sched, &j->item);
    j->state = JOB_RETRYING;
    j->started_ms = 0;
    j->host->stats.retries++;
    ctl_event(j->host, j, "retry", why);
    job_tell(j, BERTH_REPLY_STATE);
    CRASH_POINT(retry_store);
    job_save(j, false, retry_stored);
}

/* Ended by berth for the node's sake: a supervisor gives these reasons for nothing else. What a runtime calls
 * preempted is its own word, and a loss like others: a task could go on like that for ever. */
static bool was_preempted(const struct value *result, int verdict)
{
    const char *code = value_str(value_get(result, "error"), "code", "");
    return verdict == BERTH_VERDICT_PREEMPTED &&
           (!strcmp(code, "preempted") || !strcmp(code, "shutdown"));
}

/* Whether the end of an attempt earns the task another, and whose account that is on. */
static bool job_may_retry(struct job *j, const struct value *result, int verdict, int blame)
{
    if (j->cancel || verdict == BERTH_VERDICT_SUCCEEDED ||
        verdict == BERTH_VERDICT_CANCELLED || verdict == BERTH_VERDICT_REJECTED ||
        blame == BERTH_BLAME_CALLER)
        return false;
    if (j->deadline_ms && unix_ms() >= j->deadline_ms)
        return false;
    if (was_preempted(result, verdict)) /* nobody's failure */
        return true;
    if (blame == BERTH_BLAME_TASK)
        return j->failures++ < j->retries;
    return j->losses++ < j->host->config->max_losses;
}

static void job_count_runtime(struct job *j, int verdict)
{
    struct runtime_link *r = host_runtime(j->host, j->item.runtime);
    if (r && verdict != BERTH_VERDICT_SUCCEEDED)
        r->failed++;
}

void job_ended(struct job *j, const struct value *result)
{
    if (j->state != JOB_STARTING && j->state != JOB_RUNNING)
        return;
    if (j->disowned) {
        job_drop(j);
        return;
    }
    if (j->state == JOB_STARTING && value_int(result, "started_ms", 0))
        job_started(j, result); /* it was over before that could be told */
    int verdict = berth_verdict_parse(value_str(result, "verdict", ""));
    int blame = berth_blame_parse(value_str(result, "blame", ""));
    job_count_runtime(j, verdict);
    if (job_may_retry(j, result, verdict, blame))
        job_retry(j, berth_verdict_name(verdict));
    else
        job_finish(j, result);
}

static void job_end_plain(struct job *j, int verdict, int blame, const char *code,
                          const char *message)
{
    cleanup_arena struct arena *a = arena_new();
    if (!a)
        return;
    struct value result = result_make(a, j, verdict, blame, code, message);
    job_ended(j, &result);
}

void job_lost(struct job *j, const char *why)
{
    if (j->state != JOB_STARTING && j->state != JOB_RUNNING)
        return;
    CRASH_POINT(lost_taken);
    if (!adopt_spilled(j))
        job_end_plain(j, BERTH_VERDICT_LOST, BERTH_BLAME_NODE, "lost", why);
}

void job_refused(struct job *j, const struct value *body)
{
    CRASH_POINT(refused_taken);
    job_end_plain(j, berth_verdict_parse(value_str(body, "verdict", "runtime_error")),
                  berth_blame_parse(value_str(body, "blame", "runtime")),
                  value_str(body, "code", "refused"), value_str(body, "message", ""));
}
