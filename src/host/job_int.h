/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the files about the life of a task share. */
#ifndef HOST_JOB_INT_H
#define HOST_JOB_INT_H

#include "host/host_int.h"

void job_free(struct job *j);
void job_save(struct job *j, bool sync, store_done_fn *done);
/* Where nobody's promise hangs on it: a short task is over before, and its row written once. After a crash the attempt's
 * directory or its supervisor tells the same. */
void job_save_soon(struct job *j);
void job_tell(struct job *j, int kind);                      /* enum berth_reply_kind */
void job_publish(struct job *j, const struct value *result); /* RESULT to all who wait */
void job_confirm(struct job *j);                             /* the supervisor may go */
void job_close_if_done(struct job *j);                       /* frees it */
void job_refuse_waiters(struct job *j, int rc, const struct berth_error *err);
void job_finish_plain(struct job *j, int verdict, int blame, const char *code,
                      const char *message);

#endif
