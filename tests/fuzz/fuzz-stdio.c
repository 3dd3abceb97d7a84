/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The frames of the stdio transport. The first byte of the input chooses the format; each message is answered,
 * and no byte of the input is handed over twice.
 */
#include "fake-host.h"
#include "fuzz/fuzz.h"

#define MAX 64

static void answer(const struct berth_plugin *p, const struct berth_message *m)
{
    struct berth_error err = {0};
    struct berth_reply reply = {.size = sizeof reply,
                                .kind = BERTH_REPLY_RESULT,
                                .message = m->message,
                                .ticket = m->message,
                                .format = m->reply_format,
                                .data = "{}",
                                .len = 2};
    int r = p->transport->reply(&fake_ctx, &reply, &err);
    fuzz_check_said(r == 0, err.text);
    p->transport->settle(&fake_ctx, m->message, BERTH_SETTLE_ACK, &err);
}

static size_t take_all(const struct berth_plugin *p)
{
    size_t taken = 0;
    uint64_t last = 0;
    for (;;) {
        struct berth_error err = {0};
        struct berth_message m = {.size = sizeof m};
        int r = p->transport->recv(&fake_ctx, &m, &err);
        fuzz_check_said(r >= 0, err.text);
        if (r == 0)
            return taken;
        fuzz_check(m.message > last && m.len <= MAX + 1);
        last = m.message;
        taken += m.len;
        cleanup_buf struct buf copy = BUF_INIT;
        buf_add(&copy, m.data, m.len); /* reads every byte */
        answer(p, &m);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct berth_plugin *p = berth_plugin_entry();
    struct berth_error err = {0};
    if (!size)
        return -1;
    fuzz_file(100, data + 1, size - 1);
    fake.options =
        fake_options(p->options, "in", "/proc/self/fd/100", "out", "/dev/null", "format",
                     data[0] & 1 ? "msgpack" : "json", "max_bytes", "64", NULL);
    int r = p->open(&fake_ctx, &err);
    fuzz_check_said(r == 0, err.text);
    if (data[0] & 2) {
        p->transport->drain(&fake_ctx, 1);
        fuzz_check(take_all(p) == 0);
        p->transport->drain(&fake_ctx, 0);
    }
    fuzz_check(take_all(p) < size);
    p->close(&fake_ctx);
    options_free(fake.options);
    return 0;
}
