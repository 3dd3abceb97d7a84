/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Giving up privileges: one struct, one call. The only user of libcap. */
#ifndef PRIV_PRIV_H
#define PRIV_PRIV_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <berth/error.h>

/* A set of capabilities, bit n is capability number n (capabilities(7)). */
typedef uint64_t capset;

int capset_parse(const char *const *names, capset *ret, struct berth_error *err); /* nearest named */
void capset_format(capset set, char *out, size_t len); /* "setgid setuid"; "none" */
capset capset_permitted(void); /* of this process */

struct priv_drop {
    bool change_ids;      /* setgroups, setgid, setuid to what follows; false where there is no root */
    uid_t uid;
    gid_t gid;
    const gid_t *groups;  /* supplementary */
    size_t group_count;
    capset keep;          /* stays in permitted and effective; inheritable, ambient and bounding
                             become empty in every case */
    bool keep_bounding;   /* monitor only: it must be able to start afresh after a reload */
};
/*
 * Drops for good: ids, the five capability sets, PR_SET_NO_NEW_PRIVS, secure bits as far as allowed, and makes
 * the process dumpable again so that its own /proc entries stay its own. Then reads back all of
 * it and fails if anything is left. Single-threaded callers only.
 */
int priv_drop(const struct priv_drop *d, struct berth_error *err);

/* For a child between fork and exec, where only async-signal-safe calls are allowed: raw capset and prctl.
 * Everything gone, no_new_privs. 0 or -errno. */
int priv_drop_child(void);

/* User and group by name or number. Numbers need no entry in the databases. */
int priv_lookup(const char *user, const char *group, uid_t *ret_uid, gid_t *ret_gid,
                struct berth_error *err);
int priv_lookup_group(const char *group, gid_t *ret, struct berth_error *err);

#endif
