/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * The arena: a list of chunks, filled from the front. The first chunk comes with the arena
 * itself and holds a common task or frame, so most arenas cost one small malloc. What does
 * not fit well in a chunk gets one of its own, behind the one that is being filled.
 */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN _Alignof(max_align_t)
#define ARENA_FIRST 1024 /* the largest that glibc's per-thread cache keeps */
#define ARENA_CHUNK_MAX (64u << 10)

struct chunk {
    struct chunk *next;
    size_t used, cap;
    _Alignas(max_align_t) char data[];
};

struct arena {
    struct chunk *head; /* the one being filled */
    size_t total, next_cap;
    struct chunk first;
};

struct arena *arena_new(void)
{
    struct arena *a = malloc(ARENA_FIRST);

    if (!a)
        return NULL;
    a->head = &a->first;
    a->total = ARENA_FIRST;
    a->next_cap = 4 * ARENA_FIRST;
    a->first.next = NULL;
    a->first.used = 0;
    a->first.cap = ARENA_FIRST - sizeof(*a);
    return a;
}

void arena_free(struct arena *a)
{
    struct chunk *next;

    if (!a)
        return;
    for (struct chunk *c = a->head; c; c = next) {
        next = c->next;
        if (c != &a->first)
            free(c);
    }
    free(a);
}

static struct chunk *arena_add_chunk(struct arena *a, size_t n)
{
    bool own = n > a->next_cap / 2;
    size_t cap = own ? n : a->next_cap;
    struct chunk *c = malloc(sizeof(*c) + cap);

    if (!c)
        return NULL;
    c->used = 0;
    c->cap = cap;
    a->total += sizeof(*c) + cap;
    if (own) {
        c->next = a->head->next;
        a->head->next = c;
    } else {
        c->next = a->head;
        a->head = c;
        if (a->next_cap < ARENA_CHUNK_MAX)
            a->next_cap *= 2;
    }
    return c;
}

static void *arena_take(struct arena *a, size_t n)
{
    struct chunk *c = a->head;
    void *p;

    if (n > PTRDIFF_MAX / 2)
        return NULL;
    n = (n + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    if (n > c->cap - c->used && !(c = arena_add_chunk(a, n)))
        return NULL;
    p = c->data + c->used;
    c->used += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = arena_take(a, n);

    return p ? memset(p, 0, n) : NULL;
}

char *arena_mem(struct arena *a, const void *data, size_t n)
{
    char *p = n < SIZE_MAX ? arena_take(a, n + 1) : NULL;

    if (!p)
        return NULL;
    if (n)
        memcpy(p, data, n);
    p[n] = '\0';
    return p;
}

char *arena_str(struct arena *a, const char *s)
{
    return s ? arena_mem(a, s, strlen(s)) : NULL;
}

char *arena_fmt(struct arena *a, const char *format, ...)
{
    va_list ap;
    char *p;
    int n;

    va_start(ap, format);
    n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    if (n < 0 || !(p = arena_take(a, (size_t)n + 1)))
        return NULL;
    va_start(ap, format);
    vsnprintf(p, (size_t)n + 1, format, ap);
    va_end(ap);
    return p;
}

size_t arena_size(const struct arena *a)
{
    return a->total;
}
