/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Frames as bytes. */
#include "wire/header.h"

#include <errno.h>
#include <string.h>

#include "base/fail.h"
#include "wire/conn.h"

/* A task or a result, as deep as those may be, some levels down in the frame's own map. */
const struct value_limits wire_limits = {WIRE_MAX_BODY, 20, 1000000};

void header_write(unsigned char out[WIRE_HEADER], int type, size_t len)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (unsigned char)(len >> (8 * i));
    out[4] = WIRE_VERSION;
    out[5] = (unsigned char)type;
    out[6] = out[7] = 0;
}

int header_read(const unsigned char *in, int *ret_type, size_t *ret_len,
                struct berth_error *err)
{
    size_t len =
        (size_t)in[0] | (size_t)in[1] << 8 | (size_t)in[2] << 16 | (size_t)in[3] << 24;

    if (in[4] < WIRE_VERSION_MIN || in[4] > WIRE_VERSION || in[6] || in[7])
        return berth_fail(
            err, EPROTO,
            "no frame of version %d to %d (header %02x%02x%02x%02x %02x%02x%02x%02x)",
            WIRE_VERSION_MIN, WIRE_VERSION, in[0], in[1], in[2], in[3], in[4], in[5], in[6],
            in[7]);
    if (len > WIRE_MAX_BODY)
        return berth_fail(err, EPROTO, "frame of type %d with %zu bytes, the limit is %u",
                          in[5], len, WIRE_MAX_BODY);
    *ret_type = in[5];
    *ret_len = len;
    return 0;
}

int body_read(struct arena *a, int type, const void *data, size_t len, struct value *ret,
              struct berth_error *err)
{
    struct value v;
    int r = value_from_msgpack(a, data, len, &wire_limits, &v, err);

    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        berth_wrap(err, "frame of type %d", type);
        if (err)
            err->code = EPROTO;
        return -EPROTO;
    }
    if (v.type != VALUE_MAP)
        return berth_fail(err, EPROTO, "frame of type %d: body is not a map", type);
    *ret = v;
    return 0;
}

int frame_add(struct buf *out, int type, const struct value *body)
{
    unsigned char header[WIRE_HEADER] = {0};
    size_t before = out->len, len;
    int r;

    buf_add(out, header, sizeof(header));
    r = out->failed ? -ENOMEM : value_to_msgpack(body, out);
    len = out->len - before - WIRE_HEADER;
    if (r >= 0 && len > WIRE_MAX_BODY)
        r = -EMSGSIZE;
    if (r < 0) {
        out->len = before;
        return r;
    }
    header_write((unsigned char *)out->data + before, type, len);
    return 0;
}
