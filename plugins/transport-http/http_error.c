/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Fills an error. */
#include "http_error.h"

#include <stdarg.h>
#include <stdio.h>

int http_fail(struct berth_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, format);
        vsnprintf(err->text, sizeof(err->text), format, ap);
        va_end(ap);
        err->code = code;
    }
    return -code;
}
