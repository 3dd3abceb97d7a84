/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Captured output: a file that holds the last max bytes of a stream. While no more than max was written it
 * is the plain stream. After that it is a ring: byte n of the stream is at n % max, and PATH.pos holds two
 * little-endian numbers of 8 bytes: the stream's length counting what is just being written (set before any byte
 * is overwritten), and the length that is there (set after). Written by the supervisor, read by anyone, also while
 * it grows.
 */
#ifndef WORKER_OUTPUT_H
#define WORKER_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include <berth/error.h>

struct output;
int output_create(const char *path, uint64_t max, struct output **ret, struct berth_error *err);
/* A write error (disk full) is remembered, and the stream is drained and counted on. */
void output_write(struct output *o, const void *data, size_t len);
int output_error(const struct output *o);    /* first write error, positive errno, or 0 */
uint64_t output_total(const struct output *o); /* bytes written to the stream */
int output_tail(struct output *o, uint64_t want, struct buf *out); /* the last want bytes, in order */
void output_close(struct output *o); /* frees; the file stays */

/* Reading, from the host. */
struct output_reader;
int output_reader_open(const char *path, uint64_t max, uint64_t offset, struct output_reader **ret);
/* > 0 bytes copied; 0 nothing now; -errno. *ret_offset: stream offset of the first byte given, which jumps
 * forward when the writer overtook the reader. */
int output_read(struct output_reader *r, void *buf, size_t len, uint64_t *ret_offset);
int output_reader_fd(const struct output_reader *r); /* for inotify's sake: path is watched, not the fd */
void output_reader_close(struct output_reader *r);

#endif
