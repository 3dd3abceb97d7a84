/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Numbers with and without units, read strictly: the whole string or nothing. */
#include "base/str.h"

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* An unsigned decimal number, exact: whole + part / scale. */
struct decimal {
    uint64_t whole, part, scale;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Moves *s behind the number. Digits of the fraction past the ninth do not count. */
static int read_decimal(const char **s, struct decimal *ret)
{
    struct decimal d = {0, 0, 1};

    if (!is_digit(**s))
        return -EINVAL;
    for (; is_digit(**s); (*s)++)
        if (__builtin_mul_overflow(d.whole, 10, &d.whole) ||
            __builtin_add_overflow(d.whole, (uint64_t)(**s - '0'), &d.whole))
            return -ERANGE;
    if (**s == '.') {
        if (!is_digit(*++*s))
            return -EINVAL;
        for (; is_digit(**s); (*s)++)
            if (d.scale < 1000000000) {
                d.part = d.part * 10 + (uint64_t)(**s - '0');
                d.scale *= 10;
            }
    }
    *ret = d;
    return 0;
}

static int scale_decimal(const struct decimal *d, uint64_t unit, uint64_t max,
                         uint64_t *ret)
{
    unsigned __int128 n = (unsigned __int128)d->whole * unit;

    n += (unsigned __int128)d->part * unit / d->scale;
    if (n > max)
        return -ERANGE;
    *ret = (uint64_t)n;
    return 0;
}

static const char byte_units[] = "KMGTP";

int parse_bytes(const char *s, uint64_t *ret_bytes)
{
    const char *unit;
    struct decimal d;
    int shift = 0, r;

    if (!s)
        return -EINVAL;
    r = read_decimal(&s, &d);
    if (r < 0)
        return r;
    if (*s && (unit = strchr(byte_units, *s >= 'a' && *s <= 'z' ? *s - 32 : *s))) {
        shift = (int)(unit - byte_units + 1) * 10;
        s++;
        if (*s == 'i' && s[1] != 'B')
            return -EINVAL;
        s += *s == 'i';
    }
    s += *s == 'B';
    if (*s || (!shift && d.scale > 1))
        return -EINVAL;
    return scale_decimal(&d, UINT64_C(1) << shift, UINT64_MAX, ret_bytes);
}

int parse_duration(const char *s, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        uint64_t ms;
    } units[] = {{"", 1},      {"ms", 1},      {"s", 1000},
                 {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    struct decimal d;
    uint64_t ms;
    int r;

    if (!s)
        return -EINVAL;
    r = read_decimal(&s, &d);
    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(s, units[i].name) || (!*s && d.scale > 1))
            continue;
        r = scale_decimal(&d, units[i].ms, INT64_MAX, &ms);
        if (!r)
            *ret_ms = (int64_t)ms;
        return r;
    }
    return -EINVAL;
}

int parse_int(const char *s, int64_t *ret)
{
    const char *digits;
    long long n;
    char *end;

    if (!s)
        return -EINVAL;
    digits = s + (*s == '-');
    if (!is_digit(*digits))
        return -EINVAL;
    errno = 0;
    n = strtoll(s, &end, 10);
    if (*end)
        return -EINVAL;
    if (errno)
        return -errno;
    *ret = n;
    return 0;
}

static locale_t c_locale(void)
{
    static locale_t locale;

    if (!locale)
        locale = newlocale(LC_ALL_MASK, "C", NULL);
    return locale;
}

int parse_float(const char *s, double *ret)
{
    locale_t locale = c_locale();
    char *end;
    double f;

    /* strtod alone would take spaces, hexadecimal, "nan" and "inf" */
    if (!s || !*s || s[strspn(s, "0123456789+-.eE")])
        return -EINVAL;
    if (!locale)
        return -ENOMEM;
    f = strtod_l(s, &end, locale);
    if (*end || end == s)
        return -EINVAL;
    if (!isfinite(f))
        return -ERANGE;
    *ret = f;
    return 0;
}

int parse_bool(const char *s, bool *ret)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};

    for (size_t i = 0; s && i < 4; i++) {
        if (!strcasecmp(s, yes[i]) || !strcasecmp(s, no[i])) {
            *ret = !strcasecmp(s, yes[i]);
            return 0;
        }
    }
    return -EINVAL;
}

void format_bytes(uint64_t bytes, char out[16])
{
    unsigned unit = 0;
    unsigned tenths;

    if (bytes < 1024) {
        snprintf(out, 16, "%" PRIu64 "B", bytes);
        return;
    }
    while (unit < 4 && bytes >> (10 * (unit + 2)))
        unit++;
    tenths =
        (uint64_t)(((unsigned __int128)bytes * 10 + (UINT64_C(1) << (10 * unit + 9))) >>
                   (10 * (unit + 1)));
    if (tenths >= 10240 && unit < 4) {
        unit++;
        tenths = 10;
    }
    if (tenths % 10)
        snprintf(out, 16, "%u.%u%c", tenths / 10, tenths % 10, byte_units[unit]);
    else
        snprintf(out, 16, "%u%c", tenths / 10, byte_units[unit]);
}

void format_duration(int64_t ms, char out[16])
{
    uint64_t s;

    if (ms < 0)
        ms = 0;
    s = (uint64_t)ms / 1000;
    if (ms < 1000)
        snprintf(out, 16, "%dms", (int)ms);
    else if (s < 60)
        snprintf(out, 16, "%d.%ds", (int)s, (int)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(out, 16, "%dm%02ds", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        snprintf(out, 16, "%dh%02dm", (int)(s / 3600), (int)(s / 60 % 60));
    else
        snprintf(out, 16, "%" PRIu64 "d%02uh", s / 86400 % 100000000,
                 (unsigned)(s / 3600 % 24));
}
