/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The eight bytes before each frame. */
#ifndef WIRE_HEADER_H
#define WIRE_HEADER_H

#include "codec/value.h"

#define WIRE_HEADER 8
#define WIRE_VERSION_MIN 1

/* Limits of a body. */
extern const struct value_limits wire_limits;

void header_write(unsigned char out[WIRE_HEADER], int type, size_t len);
/* 0, or -EPROTO if this cannot be the header of a frame. */
int header_read(const unsigned char *in, int *ret_type, size_t *ret_len,
                struct berth_error *err);
/* The body as a value; anything but a map is refused with -EPROTO. */
int body_read(struct arena *a, int type, const void *data, size_t len, struct value *ret,
              struct berth_error *err);
/* Appends a whole frame. 0, -ENOMEM or -EMSGSIZE, and then out is as before. */
int frame_add(struct buf *out, int type, const struct value *body);

#endif
