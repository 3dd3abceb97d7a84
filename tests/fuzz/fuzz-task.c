/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * A task from anybody, as JSON or msgpack. What is taken goes JSON -> task -> msgpack -> task -> JSON and is the
 * same; nothing that the sender said is lost on the way. Then it is planned for.
 */
#include "fuzz/fuzz.h"

#include <errno.h>
#include <string.h>

#include "codec/task.h"
#include "config/config.h"
#include "plan/plan.h"
#include <berth/transport.h>

#define TASK_MAX (1 << 20)

static const char config_text[] =
    "host = { name = \"n\"; state_dir = \"/nowhere\"; run_dir = \"/nowhere/run\";\n"
    "  resources = { cpus = 8; memory = \"8G\"; disk = \"8G\"; pids = 4096; gpus = 2; };\n"
    "  gpus = [ \"0\", \"1\" ];\n"
    "  files = { in_roots = [ \"/in\" ]; out_roots = [ \"/out\" ]; urls = [ \"https://a/\" "
    "]; }; };\n"
    "runtimes = ( { plugin = \"process\"; }, { plugin = \"null\"; } );\n"
    "executers = (\n"
    "  { name = \"any\"; runtime = \"process\"; command = [ \"/bin/x\", \"-v\" ];\n"
    "    env = [ \"A=1\", \"B=2\" ]; env_allow = [ \"*\" ]; allow_network = true; },\n"
    "  { name = \"tight\"; runtime = \"null\"; allow_args = false; require = [ \"memory\" "
    "];\n"
    "    max = { cpus = 1; memory = \"1G\"; }; max_timeout = \"1h\"; } );\n"
    "adhoc = ( { runtime = \"process\"; images = [ \"img*\" ]; commands = [ \"/bin/*\" ];\n"
    "  tenants = [ \"t*\" ]; } );\n";

static const struct config *the_config(void)
{
    static struct config *config;
    struct berth_error err = {0};
    if (!config) {
        fuzz_file(100, config_text, strlen(config_text));
        int r = config_load("/proc/self/fd/100", &config, &err);
        fuzz_must(r, err.text);
    }
    return config;
}

static void to_json(struct arena *a, const struct task *t, struct buf *out)
{
    struct value v = task_to_value(a, t);
    fuzz_check(value_to_json(&v, out, false) == 0);
}

static bool is_same(const struct value *a, const struct value *b)
{
    cleanup_buf struct buf x = BUF_INIT, y = BUF_INIT;
    fuzz_check(value_to_json(a, &x, false) == 0 && value_to_json(b, &y, false) == 0);
    return x.len == y.len && !memcmp(x.data, y.data, x.len);
}

/* Keys whose value stands in the task as the sender wrote it, unless it is empty. */
static void check_kept(struct arena *a, const struct value *sent, const struct task *t)
{
    static const char *const keys[] = {"id",      "executer",   "runtime",     "image",
                                       "command", "args",       "tenant",      "trace",
                                       "network", "timeout_ms", "deadline_ms", "retries",
                                       "labels",  "require",    "input"};
    struct value v = task_to_value(a, t);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct value *was = value_get(sent, keys[i]), *is = value_get(&v, keys[i]);
        bool empty = was && ((was->type == VALUE_STR && !was->len) ||
                             (was->type == VALUE_ARRAY && !was->count));
        if (was && !empty)
            fuzz_check_said(is && is_same(was, is), keys[i]);
    }
}

static void check_round(struct arena *a, const struct task *t, const struct buf *text)
{
    cleanup_buf struct buf msgpack = BUF_INIT, again = BUF_INIT, third = BUF_INIT;
    struct berth_error err = {0};
    struct task back;
    fuzz_check(task_encode(t, &msgpack) == 0);
    int r = task_decode(a, msgpack.data, msgpack.len, BERTH_FORMAT_MSGPACK, SIZE_MAX, &back,
                        &err);
    fuzz_check_said(r == 0, err.text);
    to_json(a, &back, &again);
    fuzz_check_said(text->len == again.len && !memcmp(text->data, again.data, text->len),
                    text->data);
    r = task_decode(a, text->data, text->len, BERTH_FORMAT_JSON, SIZE_MAX, &back, &err);
    fuzz_check_said(r == 0, err.text);
    to_json(a, &back, &third);
    fuzz_check_said(text->len == third.len && !memcmp(text->data, third.data, text->len),
                    text->data);
}

static void check_plan(struct arena *a, const struct task *t)
{
    struct berth_error err = {0};
    struct plan p;
    int r = plan_make(the_config(), t, a, &p, &err);
    fuzz_check_error(r, &err);
    if (r < 0)
        return;
    fuzz_check(p.runtime && p.argv && p.env && p.require);
    fuzz_check(p.resources.cpus >= 0 && p.resources.cpus <= 8);
    fuzz_check(p.resources.memory_bytes >= 0 && p.resources.memory_bytes <= 8LL << 30);
    fuzz_check(p.timeout_ms >= 0 && p.retries >= 0);
}

static bool decode(const uint8_t *data, size_t size, int format)
{
    cleanup_arena struct arena *a = arena_new();
    cleanup_buf struct buf text = BUF_INIT;
    struct berth_error err = {0};
    struct value sent;
    struct task t;
    int r = task_decode(a, data, size, format, TASK_MAX, &t, &err);
    fuzz_check_error(r, &err);
    if (r < 0)
        return false;
    r = format == BERTH_FORMAT_JSON ? value_from_json(a, data, size, NULL, &sent, &err)
                                    : value_from_msgpack(a, data, size, NULL, &sent, &err);
    fuzz_check(r == 0);
    check_kept(a, &sent, &t);
    to_json(a, &t, &text);
    check_round(a, &t, &text);
    check_plan(a, &t);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!decode(data, size, BERTH_FORMAT_JSON))
        decode(data, size, BERTH_FORMAT_MSGPACK);
    return 0;
}
