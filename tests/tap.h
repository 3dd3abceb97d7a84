/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* TAP, the least of it: plan at the end, one line per check, the place of a failure. */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int tap_count, tap_failed;

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(bool good, const char *file, int line,
                                                               const char *format, ...)
{
    va_list ap;
    printf("%sok %d - ", good ? "" : "not ", ++tap_count);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    printf("\n");
    if (!good) {
        tap_failed++;
        printf("#   at %s:%d\n", file, line);
    }
    fflush(stdout);
    return good;
}

#define ok(cond, ...) tap_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...)                                                                     \
    ({                                                                                             \
        long long got_ = (long long)(got), want_ = (long long)(want);                              \
        if (!tap_ok(got_ == want_, __FILE__, __LINE__, __VA_ARGS__))                               \
            printf("#   got %lld, want %lld\n", got_, want_);                                     \
    })
#define is_str(got, want, ...)                                                                     \
    ({                                                                                             \
        const char *got_ = (got), *want_ = (want);                                                 \
        if (!tap_ok(got_ && want_ ? !strcmp(got_, want_) : got_ == want_, __FILE__, __LINE__,      \
                    __VA_ARGS__))                                                                  \
            printf("#   got '%s', want '%s'\n", got_ ? got_ : "(null)", want_ ? want_ : "(null)"); \
    })
#define has_str(hay, needle, ...)                                                                  \
    ({                                                                                             \
        const char *hay_ = (hay), *needle_ = (needle);                                             \
        if (!tap_ok(hay_ && strstr(hay_, needle_), __FILE__, __LINE__, __VA_ARGS__))               \
            printf("#   '%s' not in '%s'\n", needle_, hay_ ? hay_ : "(null)");                    \
    })
#define skip(why, ...) (printf("ok %d # SKIP %s\n", ++tap_count, why))

static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    return tap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
