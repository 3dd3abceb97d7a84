/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Results that the host writes itself, for tasks that no supervisor could speak for. */
#include "host/host_int.h"

struct value result_make(struct arena *a, const struct job *j, int verdict, int blame,
                         const char *code, const char *message)
{
    struct value r = value_new_map(a), error = value_new_map(a), usage = value_new_map(a);
    int64_t now = unix_ms();
    value_put_int(a, &r, "v", 1);
    value_put_str(a, &r, "id", j->id);
    value_put_int(a, &r, "attempt", j->attempt);
    value_put_str(a, &r, "verdict", berth_verdict_name(verdict));
    value_put_str(a, &r, "blame", berth_blame_name(blame));
    value_put_str(a, &r, "executer", j->item.executer);
    value_put_str(a, &r, "runtime", j->item.runtime);
    value_put_str(a, &r, "host", j->host->config->name);
    value_put_int(a, &r, "queued_ms", j->queued_ms);
    if (j->started_ms) {
        value_put_int(a, &r, "started_ms", j->started_ms);
        value_put_int(a, &usage, "wall_ms", now - j->started_ms);
    }
    value_put_int(a, &r, "finished_ms", now);
    value_put(a, &r, "usage", usage);
    value_put_str(a, &error, "code", code);
    value_put_str(a, &error, "message", message);
    value_put(a, &r, "error", error);
    return r;
}
