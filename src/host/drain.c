/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Taking no new tasks. What waits goes back to the queue that it came from, if that keeps it; what runs is
 * finished. At the deadline, if there is one, what still runs is stopped as preempted: then it goes back as
 * well, or waits here, unharmed, until the drain is taken back.
 *
 * It lasts over deaths of the host and over reloads, but not over an end of the daemon: RUN/drain has the
 * deadline (Unix time in milliseconds, 0: none).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/log.h"
#include "base/str.h"
#include "host/job_int.h"

#define LOOK_MS 1000 /* while something runs that was told to end; the wall clock may be set, too */

static char *drain_path(const struct host *h)
{
    char *path;
    return asprintf(&path, "%s/drain", h->config->run_dir) < 0 ? NULL : path;
}

static void drain_remember(const struct host *h)
{
    char text[32];
    cleanup_free char *path = drain_path(h);
    int n = snprintf(text, sizeof text, "%lld", (long long)h->drain_deadline_ms);
    int rc = path ? write_file_atomic(path, text, (size_t)n, 0640) : -ENOMEM;
    if (rc < 0)
        log_warn("the drain would not outlive this host process: '%s': %s", path ? path : "",
                 strerror(-rc));
}

static void drain_forget(const struct host *h)
{
    cleanup_free char *path = drain_path(h);
    if (path)
        unlink(path);
}

static bool drain_recall(struct host *h)
{
    cleanup_free char *path = drain_path(h), *text = NULL;
    size_t len;
    return path && read_file(path, 32, &text, &len) == 0 &&
           parse_int(text, &h->drain_deadline_ms) == 0;
}

static unsigned preempt_all(struct host *h)
{
    struct job *j, *next;
    unsigned n = 0;
    HASH_ITER (hh, h->jobs, j, next) {
        if (j->state != JOB_STARTING && j->state != JOB_RUNNING)
            continue;
        n++;
        if (j->link)
            link_cancel(j->link, j, BERTH_VERDICT_PREEMPTED);
    }
    return n;
}

void drain_look(void *arg)
{
    struct host *h = arg;
    if (!h->draining || !h->drain_deadline_ms)
        return;
    if (unix_ms() >= h->drain_deadline_ms) {
        unsigned n = preempt_all(h);
        if (!h->drain_over)
            log_info("the drain's deadline has come: %u running tasks are stopped", n);
        h->drain_over = true;
    }
    loop_timer_set(h->drain_timer, LOOK_MS);
}

static void drain_start(struct host *h)
{
    h->draining = true;
    transports_drain(h, true);
    jobs_hand_back(h);
    drain_look(h);
}

void drain_begin(struct host *h, int64_t deadline_ms)
{
    h->drain_deadline_ms = deadline_ms > 0 ? unix_ms() + deadline_ms : 0;
    h->drain_over = false;
    drain_remember(h);
    drain_start(h);
}

void drain_end(struct host *h)
{
    h->draining = h->drain_over = false;
    drain_forget(h);
    transports_drain(h, false);
    host_ask_dispatch(h);
}

void drain_resume(struct host *h)
{
    if (h->start.first) {
        drain_forget(h);
    } else if (drain_recall(h)) {
        log_info("draining, as before: 'berth drain --off' takes it back");
        drain_start(h);
    }
}
