/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Small string work: units, ids, names that are close to a wrong one. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <berth/error.h>

/* "512M" (K M G T P, powers of 1024, optional B or iB) or plain bytes. 0 or -EINVAL, -ERANGE. */
int parse_bytes(const char *s, uint64_t *ret_bytes);
/* "1.5s", "250ms", "2h", "7d"; a plain number is milliseconds. 0 or -EINVAL, -ERANGE. */
int parse_duration(const char *s, int64_t *ret_ms);
int parse_int(const char *s, int64_t *ret);    /* whole string, decimal */
int parse_float(const char *s, double *ret);   /* whole string, finite, locale-independent */
int parse_bool(const char *s, bool *ret);      /* true false yes no on off 1 0 */
void format_bytes(uint64_t bytes, char out[16]);      /* "1.5G" */
void format_duration(int64_t ms, char out[16]);       /* "1.2s", "3m05s" */

bool is_utf8(const char *s, size_t len);
size_t utf8_prefix(const char *s, size_t len); /* how many of the bytes, from the first, are UTF-8 */
/* Makes s one line of at most max bytes of UTF-8, in place: control characters and stray bytes
 * become '?' or a space. */
void clean_text(char *s, size_t max);
bool is_task_id(const char *s, size_t len); /* [A-Za-z0-9._:-]{1,128} */
bool is_name(const char *s);                /* of an executer or tenant: [A-Za-z0-9][A-Za-z0-9._-]{0,63} */
/* A ULID (github.com/ulid/spec), monotonic within a millisecond. */
void make_ulid(char out[27]);
/* Nearest of a NULL-terminated list by edit distance; NULL if none is near (more than a third off). */
const char *nearest_name(const char *wrong, const char *const *names);
/* Same bytes, in a time that does not depend on where they differ. */
bool equal_secret(const void *a, size_t a_len, const void *b, size_t b_len);

int64_t now_ms(void);      /* CLOCK_MONOTONIC */
int64_t unix_ms(void);     /* CLOCK_REALTIME */
const char *boot_id(void); /* of the running kernel, 36 characters; "" if it cannot be read */

/* Reads a whole file of at most max bytes. Caller frees. -EFBIG if larger. */
int read_file(const char *path, size_t max, char **ret_data, size_t *ret_len);
/* Writes data beside path, syncs, renames over it. */
int write_file_atomic(const char *path, const void *data, size_t len, unsigned mode);
/* mkdir -p; existing directories are fine. */
int make_dirs(const char *path, unsigned mode);

#endif
