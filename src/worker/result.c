/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The result map (DESIGN: Formats). */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fail.h"
#include "base/str.h"
#include "worker/supervisor_int.h"

#define STDERR_TAIL 8192
#define OUTPUT_TAIL (24u << 20) /* and 32 MiB of files: a result has to fit into a frame */

/* Zeros and less stand for what is not known or was not asked. */
static void put_if(struct arena *a, struct value *map, const char *key, int64_t i)
{
    if (i > 0)
        value_put_int(a, map, key, i);
}

static void put_known(struct arena *a, struct value *map, const char *key, int64_t i)
{
    if (i >= 0)
        value_put_int(a, map, key, i);
}

static int64_t first_known(int64_t a, int64_t b, int64_t c)
{
    return a >= 0 ? a : b >= 0 ? b : c;
}

static struct value usage(const struct supervisor *s, struct arena *a)
{
    const struct end *e = &s->end;
    struct value map = value_new_map(a);
    bool own =
        e->reaped && !e->is_engine; /* an engine's client says nothing of the payload */
    put_known(a, &map, "wall_ms", e->reaped || s->answer ? e->wall_ms : -1);
    put_known(a, &map, "user_ms",
              first_known(e->engine.user_ms, e->usage.user_ms,
                          own ? e->status.user_us / 1000 : -1));
    put_known(
        a, &map, "sys_ms",
        first_known(e->engine.sys_ms, e->usage.sys_ms, own ? e->status.sys_us / 1000 : -1));
    put_known(a, &map, "peak_memory",
              first_known(e->engine.peak_memory_bytes, e->usage.peak_memory_bytes,
                          own ? e->status.maxrss_kb * 1024 : -1));
    put_known(a, &map, "stdout_bytes", (int64_t)output_total(s->out[0].file));
    put_known(a, &map, "stderr_bytes", (int64_t)output_total(s->out[1].file));
    return map;
}

static struct value limits(const struct supervisor *s, struct arena *a)
{
    static const char *const networks[] = {"none", "host", "private"};
    const struct plan *p = &s->at->plan;
    struct value map = value_new_map(a), asked = value_new_map(a);
    if (p->resources.cpus > 0)
        value_put_float(a, &asked, "cpus", p->resources.cpus);
    put_if(a, &asked, "memory", p->resources.memory_bytes);
    put_if(a, &asked, "pids", p->resources.pids);
    put_if(a, &asked, "disk", p->resources.disk_bytes);
    put_if(a, &asked, "gpus", p->resources.gpus);
    put_if(a, &asked, "timeout_ms", p->timeout_ms);
    put_if(a, &asked, "deadline_ms", s->at->task.deadline_ms);
    if (p->network >= 0 && (size_t)p->network < countof(networks))
        value_put_str(a, &asked, "network", networks[p->network]);
    value_put(a, &map, "asked", asked);
    value_put(a, &map, "enforced", enforce_map(a, s->rt, &s->held));
    return map;
}

static struct value evidence(const struct supervisor *s, struct arena *a)
{
    const struct end *e = &s->end;
    struct value map = value_new_map(a);
    if (e->reaped)
        value_put_str(a, &map, "process",
                      e->status.code == CLD_EXITED   ? "exited"
                      : e->status.code == CLD_DUMPED ? "dumped core"
                                                     : "killed");
    value_put_str(a, &map, "signal_from", verdict_signal_from(e));
    value_put_str(a, &map, "ended_by", e->cause_code);
    if (e->cause)
        value_put_bool(a, &map, "sigkill", e->sent & (UINT64_C(1) << SIGKILL));
    put_known(a, &map, "oom_kills", e->usage.oom_kills);
    put_known(a, &map, "pids_refused", e->usage.pids_refused);
    if (e->engine.oom_killed >= 0)
        value_put_bool(a, &map, "engine_oom_killed", e->engine.oom_killed);
    if (e->engine.text[0])
        value_put_str(a, &map, "engine", e->engine.text);
    if (e->unkillable)
        value_put_int(a, &map, "unkillable_ms", e->unkillable_ms);
    if (e->cut)
        value_put_bool(a, &map, "output_cut", true);
    for (int i = 0; i < 2; i++) {
        int code = s->out[i].error  ? s->out[i].error
                   : s->out[i].file ? output_error(s->out[i].file)
                                    : 0;
        if (code)
            value_put_str(a, &map, i ? "stderr_error" : "stdout_error", strerror(code));
    }
    return map;
}

/* Whatever the payload wrote becomes text: what is no UTF-8 is replaced, a cut character
 * at the start too. */
static void make_text(char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        size_t n = c < 0x80                ? 1
                   : c >= 0xc2 && c < 0xe0 ? 2
                   : c >= 0xe0 && c < 0xf0 ? 3
                   : c >= 0xf0 && c < 0xf5 ? 4
                                           : 0;
        if (n == 0 || c == 0 || i + n > len || !is_utf8(s + i, n)) {
            s[i] = '?';
            n = 1;
        }
        i += n;
    }
}

static void put_output(struct supervisor *s, struct arena *a, struct value *r)
{
    cleanup_buf struct buf out = BUF_INIT, tail = BUF_INIT;
    uint64_t max = (uint64_t)s->at->plan.output_max_bytes;
    if (s->out[0].file)
        output_tail(s->out[0].file, max < OUTPUT_TAIL ? max : OUTPUT_TAIL, &out);
    if (s->out[1].file)
        output_tail(s->out[1].file, STDERR_TAIL, &tail);
    if (s->answer && s->answer->output)
        buf_add(&out, s->answer->output, s->answer->output_len);
    value_put_bin(a, r, "output", out.data ? out.data : "", out.len);
    value_put_bool(a, r, "output_truncated",
                   output_total(s->out[0].file) > out.len || s->end.cut);
    if (tail.len)
        make_text(tail.data, tail.len);
    value_put_str(a, r, "stderr_tail", tail.len ? tail.data : "");
}

static void put_error(const struct supervisor *s, struct arena *a, struct value *r,
                      const struct verdict *v)
{
    const struct failure *f = &s->end.failure;
    if (!v->code)
        return;
    struct value map = value_new_map(a);
    value_put_str(a, &map, "code", v->code);
    value_put_str(a, &map, "message", v->text);
    if (f->detail[0] && v->code == f->code)
        value_put_str(a, &map, "detail", f->detail);
    value_put(a, r, "error", map);
}

static void put_files(const struct supervisor *s, struct arena *a, struct value *r)
{
    static const struct value_limits lim = {64u << 20, 8, 1000000};
    struct value files;
    if (s->files.len &&
        value_from_msgpack(a, s->files.data, s->files.len, &lim, &files, NULL) == 0)
        value_put(a, r, "files", files);
}

struct value result_build(struct supervisor *s, struct arena *a)
{
    const struct attempt *at = s->at;
    struct value r = value_new_map(a);
    struct verdict v;
    verdict_decide(&s->end, &v);
    value_put_int(a, &r, "v", 1);
    value_put_str(a, &r, "id", at->id);
    value_put_int(a, &r, "attempt", at->number);
    value_put_str(a, &r, "verdict", berth_verdict_name(v.verdict));
    value_put_str(a, &r, "blame", berth_blame_name(v.blame));
    put_known(a, &r, "exit_code", v.exit_code);
    put_if(a, &r, "signal", v.signal);
    put_output(s, a, &r);
    value_put(a, &r, "usage", usage(s, a));
    value_put(a, &r, "limits", limits(s, a));
    value_put(a, &r, "evidence", evidence(s, a));
    put_error(s, a, &r, &v);
    value_put_str(a, &r, "executer", at->plan.executer ? at->plan.executer->name : "");
    value_put_str(a, &r, "runtime", s->rt->block->name);
    value_put_str(a, &r, "instance", at->instance);
    value_put_str(a, &r, "host", s->rt->config->name);
    value_put_int(a, &r, "queued_ms", at->queued_ms);
    put_if(a, &r, "started_ms", s->end.started_ms);
    value_put_int(a, &r, "finished_ms", s->end.finished_ms);
    put_files(s, a, &r);
    return r;
}
