/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* A growing byte buffer; its memory is malloc's, so that it can be handed on. */
#ifndef HTTP_BUF_H
#define HTTP_BUF_H

#include <stddef.h>

struct http_buf {
    char *data;
    size_t len, size;
};

#define HTTP_BUF_AUTO __attribute__((cleanup(http_buf_fini))) struct http_buf

/* Appends; 0 or -ENOMEM, and then nothing was appended. */
int http_buf_add(struct http_buf *buf, const void *data, size_t len);
int http_buf_str(struct http_buf *buf, const char *text);
__attribute__((format(printf, 2, 3))) int http_buf_printf(struct http_buf *buf,
                                                          const char *format, ...);
/* Appends text as a JSON string with its quotes; what is no UTF-8 becomes U+FFFD. */
int http_buf_json(struct http_buf *buf, const char *text);
/* A berth_write_fn; arg is a struct http_buf. */
int http_buf_write(void *arg, const void *data, size_t len);
void http_buf_fini(struct http_buf *buf);

#endif
