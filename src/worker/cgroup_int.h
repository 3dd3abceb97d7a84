/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the files of cgroup.h share. */
#ifndef WORKER_CGROUP_INT_H
#define WORKER_CGROUP_INT_H

#include "worker/cgroup.h"

/* What a hierarchy is used for. */
#define CG_MEMORY 1u
#define CG_CPU 2u
#define CG_PIDS 4u
#define CG_TRACK 8u /* every process of every attempt is in it: kill, count, signal */

#define CG_HIERARCHIES 5

struct cgroup_hier {
    int fd;       /* O_PATH: the directory that holds one child per attempt */
    unsigned use; /* CG_* */
    bool v2;
    char *path; /* of that directory below the hierarchy's mount, "/..." */
};

struct cgroup_base {
    struct cgroup_hier hier[CG_HIERARCHIES];
    unsigned count;
    unsigned use; /* all of hier[].use */
    char text[252];
};

/* What every task needs of a version 1 group. They stay open: to open one costs ten times
 * as much as to read it. */
enum cgroup_file {
    CG_TASKS,
    CG_USAGE,
    CG_PEAK,
    CG_OOM,
    CG_PIDS_NOW,
    CG_PIDS_MAX,
    CG_PIDS_REFUSED,
    CG_FILES
};

struct cgroup {
    const struct cgroup_base *base;
    int file[CG_HIERARCHIES][CG_FILES]; /* -1: not open */
    int dir[CG_HIERARCHIES]; /* O_PATH, -1: not in this hierarchy */
    struct cgroup_limits limits;
    struct cgroup_usage before; /* what the counters said when it was renewed; else 0 */
    struct cgroup_usage seen;   /* what they said last */
    char *path;
    char name[];
};

/* Reads or writes one control file below dir in one system call. 0 or -errno; a number
 * or -errno. */
int cgroup_write(int dir, const char *file, const char *value);
int cgroup_read(int dir, const char *file, char *out, size_t size);
int64_t cgroup_read_number(int dir, const char *file);
int64_t cgroup_read_key(int dir, const char *file, const char *key); /* "key N" lines */

/* The same for a file that stays open, of the group in hierarchy i. */
int cgroup_file_open(struct cgroup *g, unsigned i, enum cgroup_file f);
int cgroup_file_write(struct cgroup *g, unsigned i, enum cgroup_file f, const char *value);
int64_t cgroup_file_number(struct cgroup *g, unsigned i, enum cgroup_file f);
int64_t cgroup_file_key(struct cgroup *g, unsigned i, enum cgroup_file f, const char *key);
void cgroup_files_close(struct cgroup *g, unsigned i);

/* Limits and figures of one group in one hierarchy. */
int cgroup1_limit(int dir, unsigned use, const struct cgroup_limits *lim,
                  struct berth_error *err);
/* Puts the figures of an emptied group back. False: it has to be made anew. */
bool cgroup1_renew(struct cgroup *g, unsigned i, const struct cgroup_limits *lim);
void cgroup1_usage(struct cgroup *g, unsigned i, struct cgroup_usage *ret);
int cgroup2_limit(int dir, unsigned use, const struct cgroup_limits *lim,
                  struct berth_error *err);
void cgroup2_usage(int dir, unsigned use, struct cgroup_usage *ret);

/* Where a hierarchy is mounted and where this process stands in it. */
struct cgroup_place {
    char mount[256]; /* mount point */
    char own[512];   /* this process's group below the mount point: "" or "/..." */
    bool at_root;    /* the mount shows a namespace's root, not the machine's */
};

#define WHY_SIZE 200
/* Adds a hierarchy's directory to the base. 0 (v2: the CG_* limits had) or -errno; in
 * why (WHY_SIZE bytes) the reason for what is missing. */
int cgroup1_add(struct cgroup_base *b, const struct cgroup_place *place, unsigned use,
                const char *key, uid_t uid, gid_t gid, char *why);
int cgroup2_add(struct cgroup_base *b, const struct cgroup_place *place, unsigned want,
                const char *key, uid_t uid, gid_t gid, char *why);
/* Common end of the two: opens place/sub and takes it into the base. */
int cgroup_base_add(struct cgroup_base *b, const struct cgroup_place *place,
                    const char *sub, unsigned use, bool v2);

/* Every process below dir, deep; stops when fn returns non-zero and returns that. */
int cgroup_each_pid(int dir, int (*fn)(void *arg, pid_t pid), void *arg);
int cgroup_remove_tree(int parent, const char *name);

#endif
