/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A growable byte buffer and an arena. Both remember that memory ran out instead of failing at each
 * call, so that builders check once, at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* NUL-terminated when len > 0; the NUL is not counted */
    size_t len, cap;
    bool failed; /* an allocation failed; data is what fitted before */
};
#define BUF_INIT {0}

void buf_free(struct buf *b); /* and makes it empty again */
void buf_add(struct buf *b, const void *data, size_t len);
void buf_str(struct buf *b, const char *s);
void buf_fmt(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_fmtv(struct buf *b, const char *format, va_list ap);
void buf_utf8(struct buf *b, const char *s, size_t len); /* U+FFFD for each byte that is not UTF-8 */
void buf_drop(struct buf *b, size_t n);   /* removes the first n bytes */
char *buf_room(struct buf *b, size_t n);  /* room for n more bytes at data + len, NULL on failure */
int buf_write(void *arg, const void *data, size_t len); /* a berth_write_fn on a struct buf */
#define cleanup_buf __attribute__((cleanup(buf_free)))

/* Memory that is freed all at once. */
struct arena;
struct arena *arena_new(void); /* NULL if out of memory */
void arena_free(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);  /* zeroed, aligned for any type; NULL on failure */
char *arena_str(struct arena *a, const char *s); /* NULL in, NULL out */
char *arena_mem(struct arena *a, const void *data, size_t n); /* copy with a NUL after it */
char *arena_fmt(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
size_t arena_size(const struct arena *a);
static inline void arena_freep(struct arena **a)
{
    arena_free(*a);
}
#define cleanup_arena __attribute__((cleanup(arena_freep)))

#endif
