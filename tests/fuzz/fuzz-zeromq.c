/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Bodies of ZeroMQ messages. The first byte is their type. What was read must be well-formed, and the same when it is
 * written and read again; what is refused must say why; and of a list of ids there are no more than it says.
 */
#include "fuzz/fuzz.h"

#include <string.h>

#include "plugins/transport-zeromq/zeromq_body.h"
#include "plugins/transport-zeromq/zeromq_pack.h"

#define ID_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-"

static void check_word(const char *word, size_t size)
{
    size_t len = strnlen(word, size);
    fuzz_check(len < size && strspn(word, ID_CHARS) == len);
}

static void check_again(const struct body *b)
{
    struct pack p = {.len = 0};
    struct item it;
    int64_t n = b->n < 0 ? 0 : b->n;
    pack_map(&p, 2);
    pack_str(&p, b->message);
    pack_int(&p, (uint64_t)n);
    pack_str(&p, b->client);
    pack_bool(&p, b->events);
    struct reader r = {.at = (const void *)p.data,
                       .end = (const unsigned char *)p.data + p.len};
    fuzz_check(item_read(&r, &it) == 0 && it.type == ITEM_MAP && it.count == 2);
    fuzz_check(item_read(&r, &it) == 0 && item_is(&it, b->message));
    fuzz_check(item_read(&r, &it) == 0 && it.type == ITEM_INT && it.n == n);
    fuzz_check(item_read(&r, &it) == 0 && item_is(&it, b->client));
    fuzz_check(item_read(&r, &it) == 0 && it.type == ITEM_BOOL && it.n == b->events);
    fuzz_check(r.at == r.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum body_type types[] = {BODY_READY,  BODY_SUBMIT, BODY_RESULT,
                                           BODY_CANCEL, BODY_STATUS, BODY_PING,
                                           BODY_PONG,   BODY_ERROR};
    struct body b;
    char why[BODY_WHY] = "", id[BODY_ID];
    if (!size)
        return -1;
    enum body_type type = types[data[0] % (sizeof types / sizeof types[0])];
    if (body_read(type, data + 1, size - 1, &b, why) < 0) {
        fuzz_check(why[0] && memchr(why, '\0', sizeof why));
        return 0;
    }
    check_word(b.client, sizeof b.client);
    check_word(b.id, sizeof b.id);
    check_again(&b);
    fuzz_check(body_type_of(body_type_name(type), strlen(body_type_name(type))) == type);
    fuzz_check(b.window >= 1 && b.window <= ZEROMQ_WINDOW_MAX);
    for (uint32_t left = b.id_count; body_next_id(&b, id); left--)
        fuzz_check(left > 0 && memchr(id, '\0', sizeof id));
    return 0;
}
