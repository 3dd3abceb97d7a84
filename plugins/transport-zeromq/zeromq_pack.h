/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* MessagePack: small maps written, foreign ones read where they lie. */
#ifndef ZEROMQ_PACK_H
#define ZEROMQ_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pack { /* being written, into a fixed place: bodies of our own are short */
    unsigned char data[1024];
    size_t len;
};

/* What does not fit is left out: a writer cuts its texts before. */
void pack_map(struct pack *p, unsigned count); /* up to 15 */
void pack_str(struct pack *p, const char *s);
void pack_int(struct pack *p, uint64_t n);
void pack_bool(struct pack *p, bool on);

enum item_type {
    ITEM_NIL,
    ITEM_BOOL,
    ITEM_INT,
    ITEM_FLOAT, /* and integers beyond int64_t */
    ITEM_STR,
    ITEM_BIN,
    ITEM_EXT,
    ITEM_ARRAY,
    ITEM_MAP
};

struct item {
    enum item_type type;
    int64_t n;     /* BOOL, INT */
    const char *s; /* STR, BIN, EXT: no NUL at its end */
    size_t len;
    uint32_t count; /* ARRAY: elements, MAP: pairs; they follow */
};

struct reader {
    const unsigned char *at, *end;
};

/* 0, or -EPROTO: it ends too early, or is no MessagePack. */
int item_read(struct reader *r, struct item *ret); /* of an array or map only the head */
int item_skip(struct reader *r);                   /* all of the next item */
bool item_is(const struct item *it, const char *text);
/* Copies a string; false if it is none, has a NUL, or is too long. */
bool item_copy(const struct item *it, char *ret, size_t size);
const char *item_type_name(enum item_type type);

#endif
