/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Error texts, and the names of verdicts and blames. */
#include "base/fail.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/str.h"

/* Written to a place of its own first: the arguments may point into err->text. */
static int fail_set(struct berth_error *err, int code, const char *tail, const char *format,
                    va_list ap)
{
    char text[2 * sizeof(err->text)];
    size_t len;

    code = code < 0 ? -code : code ? code : EIO;
    if (!err)
        return -code;
    vsnprintf(text, sizeof(text), format, ap);
    len = strlen(text);
    if (tail)
        snprintf(text + len, sizeof(text) - len, ": %s", tail);
    clean_text(text, sizeof(err->text) - 1);
    err->code = code;
    memcpy(err->text, text, strlen(text) + 1);
    return -code;
}

int berth_fail(struct berth_error *err, int code, const char *format, ...)
{
    va_list ap;
    int r;

    va_start(ap, format);
    r = fail_set(err, code, NULL, format, ap);
    va_end(ap);
    return r;
}

int berth_fail_errno(struct berth_error *err, int code, const char *format, ...)
{
    char reason[128];
    va_list ap;
    int r;

    va_start(ap, format);
    r = fail_set(err, code, strerror_r(code < 0 ? -code : code, reason, sizeof(reason)),
                 format, ap);
    va_end(ap);
    return r;
}

int berth_wrap(struct berth_error *err, const char *format, ...)
{
    char inner[sizeof(err->text)];
    va_list ap;
    int r;

    if (!err)
        return -EIO;
    memcpy(inner, err->text, sizeof(inner));
    va_start(ap, format);
    r = fail_set(err, err->code, inner, format, ap);
    va_end(ap);
    return r;
}

static const char *const verdict_names[] = BERTH_VERDICT_NAMES;
_Static_assert(countof(verdict_names) == BERTH_VERDICT_REJECTED + 1, "a name for each");

static const char *const blame_names[] = {
    [BERTH_BLAME_NONE] = "",
    [BERTH_BLAME_TASK] = "task",
    [BERTH_BLAME_RUNTIME] = "runtime",
    [BERTH_BLAME_NODE] = "node",
    [BERTH_BLAME_TRANSPORT] = "transport",
    [BERTH_BLAME_CALLER] = "caller",
};

static const char *name_of(const char *const *names, size_t count, int i)
{
    return i >= 0 && (size_t)i < count ? names[i] : "";
}

static int number_of(const char *const *names, size_t count, const char *name)
{
    if (!name)
        return 0;
    for (size_t i = 0; i < count; i++)
        if (!strcmp(names[i], name))
            return (int)i;
    return 0;
}

const char *berth_verdict_name(int verdict)
{
    return name_of(verdict_names, countof(verdict_names), verdict);
}

const char *berth_blame_name(int blame)
{
    return name_of(blame_names, countof(blame_names), blame);
}

int berth_verdict_parse(const char *name)
{
    return number_of(verdict_names, countof(verdict_names), name);
}

int berth_blame_parse(const char *name)
{
    return number_of(blame_names, countof(blame_names), name);
}
