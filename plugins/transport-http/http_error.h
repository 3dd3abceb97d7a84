/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Fills an error, for the files here that know no host. */
#ifndef HTTP_ERROR_H
#define HTTP_ERROR_H

#include <berth/error.h>

/* err may be NULL. Returns -code. */
__attribute__((format(printf, 3, 4))) int http_fail(struct berth_error *err, int code,
                                                    const char *format, ...);

#endif
