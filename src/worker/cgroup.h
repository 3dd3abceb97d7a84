/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Control groups of attempts: v2, else v1 (also the hybrid layout), else none. One directory tree per
 * daemon, found or made once by the monitor, before privileges go; one child per attempt.
 */
#ifndef WORKER_CGROUP_H
#define WORKER_CGROUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "codec/task.h"
#include <berth/error.h>

struct cgroup_base; /* inherited over fork; holds paths and what can be enforced */
struct cgroup;      /* of one attempt */

/*
 * Makes this daemon's tree below the cgroup that berthd was started in, named after key (derived from the state
 * directory, so that a restarted daemon finds its own), moves berthd out of the way where v2's no-inner-process
 * rule needs it, and gives the tree to uid:gid (-1: leave). Never fails for want of permission: what cannot be had is
 * absent from the result and named in cgroup_base_text. NULL only if out of memory.
 */
struct cgroup_base *cgroup_base_new(const char *key, uid_t uid, gid_t gid);
void cgroup_base_free(struct cgroup_base *b);
bool cgroup_has_memory(const struct cgroup_base *b);
bool cgroup_has_cpu(const struct cgroup_base *b);
bool cgroup_has_pids(const struct cgroup_base *b);
bool cgroup_has_kill(const struct cgroup_base *b); /* every process of an attempt can be found */
const char *cgroup_base_kind(const struct cgroup_base *b); /* "cgroup2" "cgroup1" "none" */
const char *cgroup_base_text(const struct cgroup_base *b); /* one line: what is missing, and why */

struct cgroup_limits {
    uint64_t memory_bytes; /* 0: no limit, for each */
    double cpus;
    uint32_t pids;
};
/* Makes the group NAME in just those hierarchies that a limit, accounting of memory, or killing needs. An empty
 * group left by a crash is reused. */
int cgroup_open(struct cgroup_base *b, const char *name, const struct cgroup_limits *lim,
                struct cgroup **ret, struct berth_error *err);
/*
 * The group of an attempt that has ended, empty, for the next one: to make one anew costs as much as a short task.
 * Where it still holds memory, or other limits are asked, it is made anew all the same. After a failure *g is freed,
 * and NULL. Only if cgroup_can_renew: not on version 2, where the peak of memory cannot be put back (before Linux
 * 6.12), and newer kernels kill at birth what clone3 puts into a group that cgroup.kill was written to.
 */
bool cgroup_can_renew(const struct cgroup *g);
int cgroup_renew(struct cgroup **g, const struct cgroup_limits *lim, struct berth_error *err);
/* The same group found again (sweep after a crash); -ENOENT if there is nothing of that name. */
int cgroup_find(struct cgroup_base *b, const char *name, struct cgroup **ret);
/* Calls found for each name that exists. */
int cgroup_each(struct cgroup_base *b, void (*found)(void *arg, const char *name), void *arg);
void cgroup_close(struct cgroup *g); /* frees; the group stays */

/* Joins the calling process; async-signal-safe, for a child before exec. 0 or -errno. */
int cgroup_join(struct cgroup *g);
/* The same for a child that was cloned into cgroup_fd: the hierarchies that clone3 does not cover. */
int cgroup_join_rest(const struct cgroup *g);
/* Descriptor for clone3's CLONE_INTO_CGROUP (v2), or -1. Owned by g. */
int cgroup_fd(const struct cgroup *g);
/* Path below the hierarchy's mount, for engines that take a cgroup parent. */
const char *cgroup_path(const struct cgroup *g);
/* The same for a group that is not made yet: all but "/NAME". */
const char *cgroup_base_path(const struct cgroup_base *b);

int cgroup_signal(struct cgroup *g, int signo); /* each process; number signalled or -errno */
/* SIGKILL for all (cgroup.kill, or freeze + kill + thaw), until it is empty or timeout_ms is over: 0 when empty,
 * -ETIMEDOUT when something cannot be killed. Blocks up to timeout_ms. */
int cgroup_kill(struct cgroup *g, int timeout_ms);
int cgroup_count(struct cgroup *g); /* processes in it, now */

struct cgroup_usage {
    int64_t peak_memory_bytes, user_ms, sys_ms; /* -1: not known */
    int64_t oom_kills;                          /* since cgroup_open; -1: not known */
    int64_t pids_refused;                       /* forks refused by the limit; -1: not known */
};
void cgroup_usage(struct cgroup *g, struct cgroup_usage *ret);
int cgroup_remove(struct cgroup *g); /* the directories; 0 or -EBUSY ...; free with cgroup_close */

#endif
