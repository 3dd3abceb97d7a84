/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Whether a payload gets the sandbox of the one before, and what becomes of it after. */
#include <errno.h>

#include "base/fail.h"
#include "base/log.h"
#include "worker/sandbox_keep.h"
#include "worker/supervisor_int.h"

#define KILL_WAIT_MS 200

/* One uid has no secrets from itself: only payloads with another than this process's are
 * apart from init. Without a group nobody knows what of the payload is left. */
static bool can_keep(const struct supervisor *s, const struct spawn_request *req)
{
    unsigned need = BERTH_ISOLATE_MOUNT | BERTH_ISOLATE_PID | BERTH_ISOLATE_TMP |
                    BERTH_ISOLATE_NET | BERTH_ISOLATE_IPC | BERTH_ISOLATE_UID;
    return s->rt->isolation.keeps && !s->no_sandbox && !s->held.disk &&
           (req->isolate & need) == need && req->net_fd > 0 && req->uid != geteuid() &&
           s->cgroup && cgroup_has_kill(s->rt->cgroups) && !s->rt->plugin->runtime.cleanup;
}

static void failed(struct supervisor *s, const struct berth_error *err)
{
    log_line(BERTH_LOG_DEBUG, s->at->id, "no sandbox is kept: %s", err->text);
    s->no_sandbox = true;
    sandbox_close(&s->sandbox, KILL_WAIT_MS);
}

static void get_ready(struct supervisor *s, struct spawn_request *req)
{
    struct berth_error err = {0};
    if (!can_keep(s, req))
        return;
    if (sandbox_ready(&s->sandbox, req, &err) == 0)
        req->sandbox = s->sandbox;
    else
        failed(s, &err);
}

int payload_spawn(struct supervisor *s, struct spawn_request *req, bool *ret_task_fault,
                  struct berth_error *err)
{
    struct berth_error why = {0};
    get_ready(s, req);
    s->in_sandbox = req->sandbox;
    if (req->sandbox) {
        if (spawn(req, &s->payload, ret_task_fault, &why) == 0)
            return 0;
        if (*ret_task_fault)
            return berth_fail(err, why.code, "%s", why.text);
        failed(s, &why);
        req->sandbox = NULL;
        s->in_sandbox = false;
    }
    return spawn(req, &s->payload, ret_task_fault, err);
}

int payload_sandbox_leave(struct supervisor *s)
{
    bool empty = s->sandbox && !s->hard_killed && cgroup_count(s->cgroup) == 0;
    return empty ? 0 : sandbox_close(&s->sandbox, KILL_WAIT_MS);
}
