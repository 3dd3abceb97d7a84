/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A signal for what an engine holds: through the plugin, which may take its time. */
#include <errno.h>

#include "base/log.h"
#include "worker/supervisor_int.h"

#define SIGNAL_MS 5000

struct engine_signal {
    struct supervisor *s;
    int signo;
};

static int signal_work(void *arg, struct buf *out, struct berth_error *err)
{
    struct engine_signal *e = arg;
    (void)out;
    return e->s->rt->plugin->runtime.signal(&e->s->rt->ctx, &e->s->view, e->signo, err);
}

static void signalled(void *arg, const struct helper_end *end)
{
    struct supervisor *s = arg;
    s->helper = NULL;
    if (end->rc < 0)
        log_line(BERTH_LOG_WARN, s->at->id, "the plugin's signal: %s", end->err.text);
}

int supervisor_signal_engine(struct supervisor *s, int signo)
{
    struct engine_signal e = {s, signo}; /* the helper has its copy of this stack */
    if (!runtime_is_full(s->rt) || !s->rt->plugin->runtime.signal || s->hard_killed)
        return -EOPNOTSUPP;
    helper_cancel(&s->helper);
    s->end.sent |= UINT64_C(1) << signo;
    return helper_start(s->rt, s->loop, SIGNAL_MS, signal_work, &e, signalled, s,
                        &s->helper, NULL);
}
