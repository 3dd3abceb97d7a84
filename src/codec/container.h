/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* How the decoders fill arrays and maps, and how a builder's failure is remembered. */
#ifndef CODEC_CONTAINER_H
#define CODEC_CONTAINER_H

#include "codec/value.h"

#define VALUE_ROOM 500 /* encoded, most results and frames fit: a buffer need not grow to that by and by */
#define VALUE_DEPTH_MAX 32u /* of any decoder; msgpack-c has a stack of this size */

/* Makes room for n more entries. */
void container_reserve(struct arena *a, struct value *v, uint32_t n);
/* The next entry, already counted; NULL if memory ran out, which v remembers. */
struct value *container_item(struct arena *a, struct value *array);
struct value_pair *container_pair(struct arena *a, struct value *map);
/* True if building v itself (not what it holds) ran out of memory. */
bool value_has_failed(const struct value *v);

static inline unsigned limit_depth(const struct value_limits *lim)
{
    return lim->max_depth < VALUE_DEPTH_MAX ? lim->max_depth : VALUE_DEPTH_MAX;
}

#endif
