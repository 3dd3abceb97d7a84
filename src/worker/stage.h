/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What staging in and staging out share. All of it runs in a helper, and may block. */
#ifndef WORKER_STAGE_H
#define WORKER_STAGE_H

#include "worker/supervisor_int.h"

/* Says how the attempt ends and whose fault it is, unless something before has said so;
 * returns rc. */
int stage_blame(struct supervisor *s, int verdict, int blame, int rc);
/* By errno: what is wrong with the request is the caller's, what is wrong with the
 * machine the node's. */
int stage_blame_errno(struct supervisor *s, int rc);

/* The configured root that path lies in: fd of the root and the rest of the path.
 * -EPERM: in none. */
int stage_root(const char *const *roots, const char *path, const char **ret_rest,
               struct berth_error *err);
/* Opens path below dir_fd so that nothing leads out of it. 0 flags beyond O_CLOEXEC are
 * added. fd or -errno. */
int open_below(int dir_fd, const char *path, int flags, unsigned mode, bool allow_links);
/* Copies until the end of file; more than max is -EFBIG. Number of bytes or -errno. */
int64_t stage_copy(int from, int to, uint64_t max);
/* Copies a file and its holes, into an empty one. Size of the file or -errno. */
int64_t stage_copy_sparse(int from, int to);
bool stage_is_url(const char *s);

/* Runs the helper program for a URL: `get` writes to fd, `put` reads from it. max: of
 * bytes to be written. */
int fetch_get(struct supervisor *s, const char *url, int to_fd, uint64_t max,
              struct berth_error *err);
int fetch_put(struct supervisor *s, const char *url, int from_fd, struct berth_error *err);

#endif
