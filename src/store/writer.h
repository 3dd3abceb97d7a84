/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The thread that writes: calls go in, and come back finished. */
#ifndef STORE_WRITER_H
#define STORE_WRITER_H

#include "store/db.h"
#include "store/store.h"

enum call_kind { CALL_INSERT, CALL_UPDATE, CALL_DELETE };

struct call {
    struct call *next;
    enum call_kind kind;
    bool sync;
    int rc; /* -EINVAL from the start: comes back as it is, in its turn */
    store_done_fn *done;
    void *arg;
    struct store_row row; /* points into data */
    struct berth_error err;
    char data[];
};

struct call_list {
    struct call *head, *last;
};
void call_list_append(struct call_list *l, struct call *c);
struct call *call_list_pop(struct call_list *l); /* NULL if empty */

/* d is the thread's alone until writer_free. It writes to event_fd when calls have
 * finished. */
struct writer;
int writer_new(struct db *d, int event_fd, struct writer **ret, struct berth_error *err);
void writer_free(struct writer *w); /* after it has written what it was given */

void writer_add(struct writer *w, struct call *take_c);
void writer_purge(struct writer *w, int64_t before_ms,
                  int64_t keep_count); /* as store_purge */
struct call_list
writer_take_finished(struct writer *w); /* the caller's; done not yet called */
size_t writer_backlog(const struct writer *w);
uint64_t writer_commits(const struct writer *w);

#endif
