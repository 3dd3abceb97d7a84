/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Failing with a message, and what undoes half-done work on the way out. */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <berth/error.h>

/* Fills err (may be NULL) and returns -code: `return berth_fail(err, ENOENT, "no '%s'", name);` */
int berth_fail(struct berth_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with ": strerror(code)" appended. */
int berth_fail_errno(struct berth_error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Puts "context: " before err's text and returns -err->code. */
int berth_wrap(struct berth_error *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const char *berth_verdict_name(int verdict); /* "succeeded"; "" if unknown */
const char *berth_blame_name(int blame);     /* "task"; "" for none or unknown */
int berth_verdict_parse(const char *name);   /* BERTH_VERDICT_NONE if unknown */
int berth_blame_parse(const char *name);

static inline void cleanup_freep(void *p)
{
    free(*(void **)p);
}
static inline void cleanup_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
static inline void cleanup_filep(FILE **f)
{
    if (*f)
        fclose(*f);
}
#define cleanup_free __attribute__((cleanup(cleanup_freep)))
#define cleanup_close __attribute__((cleanup(cleanup_closep)))
#define cleanup_file __attribute__((cleanup(cleanup_filep)))

/* Hands the value over and clears the variable, so that its cleanup does nothing. */
#define take_fd(var)                                                                               \
    ({                                                                                             \
        int take_fd_ = (var);                                                                      \
        (var) = -1;                                                                                \
        take_fd_;                                                                                  \
    })
#define take_ptr(var)                                                                              \
    ({                                                                                             \
        __auto_type take_ptr_ = (var);                                                             \
        (var) = NULL;                                                                              \
        take_ptr_;                                                                                 \
    })

#define countof(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(p, type, member) ((type *)((char *)(p) - offsetof(type, member)))

#endif
