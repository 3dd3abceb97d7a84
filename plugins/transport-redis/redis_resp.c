/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * hiredis' reader makes the replies by way of callbacks; its own reply type stays unseen. Of RESP3 only what
 * an old server could say, too, is understood: we never ask for it.
 */
#include "redis_resp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis/hiredis.h>

#define ITEMS_MAX (1u << 20) /* of one array: no reply to our commands is near it */

#if HIREDIS_MAJOR >= 1
typedef size_t array_size;
#else
typedef int array_size;
#endif

struct resp_reader {
    redisReader *reader;
};

static const struct resp nil = {.type = RESP_NIL};

static void *attach(const redisReadTask *task, struct resp *v)
{
    if (v && task->parent) {
        struct resp *parent = task->parent->obj;
        parent->items[task->idx] = v;
    }
    return v;
}

static void *make(const redisReadTask *task, enum resp_type type, size_t extra)
{
    struct resp *v = calloc(1, sizeof *v + extra);
    if (v) {
        v->type = type;
        v->s = extra ? (char *)(v + 1) : NULL;
    }
    return attach(task, v);
}

static void *make_string(const redisReadTask *task, char *s, size_t len)
{
    struct resp *v =
        make(task, task->type == REDIS_REPLY_ERROR ? RESP_ERROR : RESP_STRING, len + 1);
    if (!v)
        return NULL;
    memcpy(v->s, s, len);
    v->len = len;
    return v;
}

static void *make_array(const redisReadTask *task, array_size count)
{
    size_t n = count > 0 ? (size_t)count : 0;
    struct resp *v = n <= ITEMS_MAX ? calloc(1, sizeof *v) : NULL;
    if (!v)
        return NULL;
    v->type = RESP_ARRAY;
    v->count = n;
    v->items = calloc(n ? n : 1, sizeof *v->items);
    if (!v->items) {
        free(v);
        return NULL;
    }
    return attach(task, v);
}

static void *make_int(const redisReadTask *task, long long n)
{
    struct resp *v = make(task, RESP_INT, 0);
    if (v)
        v->n = n;
    return v;
}

static void *make_nil(const redisReadTask *task)
{
    return make(task, RESP_NIL, 0);
}

static void free_object(void *v)
{
    resp_free(v);
}

static redisReplyObjectFunctions functions = {.createString = make_string,
                                              .createArray = make_array,
                                              .createInteger = make_int,
                                              .createNil = make_nil,
                                              .freeObject = free_object};

struct resp_reader *resp_reader_new(void)
{
    struct resp_reader *r = calloc(1, sizeof *r);
    if (r && !(r->reader = redisReaderCreateWithFunctions(&functions))) {
        free(r);
        return NULL;
    }
    return r;
}

void resp_reader_free(struct resp_reader *r)
{
    if (!r)
        return;
    redisReaderFree(r->reader);
    free(r);
}

int resp_feed(struct resp_reader *r, const void *data, size_t len)
{
    return redisReaderFeed(r->reader, data, len) == REDIS_OK ? 0 : -ENOMEM;
}

int resp_next(struct resp_reader *r, struct resp **ret)
{
    void *v = NULL;
    if (redisReaderGetReply(r->reader, &v) != REDIS_OK)
        return -EPROTO;
    *ret = v;
    return v != NULL;
}

void resp_free(struct resp *v)
{
    if (!v)
        return;
    for (size_t i = 0; i < v->count; i++)
        resp_free(v->items[i]);
    free(v->items);
    free(v);
}

const struct resp *resp_at(const struct resp *v, size_t i)
{
    return v && v->type == RESP_ARRAY && i < v->count && v->items[i] ? v->items[i] : &nil;
}

const char *resp_str(const struct resp *v)
{
    return v && v->type == RESP_STRING ? v->s : "";
}

long long resp_int(const struct resp *v)
{
    if (v && v->type == RESP_INT)
        return v->n;
    return strtoll(resp_str(v), NULL, 10);
}

bool resp_is_error(const struct resp *v)
{
    return !v || v->type == RESP_ERROR;
}
