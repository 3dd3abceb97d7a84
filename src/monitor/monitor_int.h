/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the files of the monitor share. */
#ifndef MONITOR_MONITOR_INT_H
#define MONITOR_MONITOR_INT_H

#include "loop/loop.h"
#include "monitor/monitor.h"
#include "plugin/mark.h"
#include "priv/priv.h"
#include "worker/cgroup.h"

struct role { /* the host, or one worker */
    struct monitor *monitor;
    const struct config_plugin *block; /* NULL: the host */
    capset grants;
    gid_t *groups;
    size_t group_count;
    int plugin_fd;
    char *plugin_path;
    pid_t pid; /* 0: not running */
    int fd;    /* our end of its socketpair; its EOF at the other end tells of our death */
    struct loop_io *io;
    struct loop_timer *again;
    int restarts;
    int64_t started_ms;
    struct mark *mark;    /* the callback that it is in */
    uint32_t mark_calls;  /* the callback that was seen last, */
    int64_t mark_seen_ms; /* and when that was first */
};

struct monitor {
    const struct config *config;
    char **argv;
    char *self; /* path of this program, for a reload */
    struct loop *loop;
    struct cgroup_base *cgroups;
    int lock_fd;
    bool is_root;
    uid_t uid;
    gid_t gid;
    struct loop_timer *watch; /* for callbacks that do not return */
    struct role *roles; /* the host first */
    size_t role_count;
    int *transport_fds;
    const char **transport_paths;
    pid_t *inherited; /* see monitor_note_children; 0: gone */
    size_t inherited_count;
    bool reloaded;  /* this is the new image of a daemon that was told to reload */
    bool served;    /* a host has been ready */
    bool stopping, reloading;
    int status;     /* exit status */
};

/* roles.c: what plugins did to the processes that they are in. */
/* "signal 11 (Segmentation fault) in 'recv' of plugin 'name'"; "after", if that had returned. */
const char *role_end_text(const struct role *r, int status, char *buf, size_t len);
void role_watch(void *monitor); /* a timer: kills roles whose plugin does not return */
/* What a plugin forked and left is a child of ours once its role has ended. Supervisors have sessions of their own
 * and stay. */
void monitor_kill_orphans(struct monitor *m);
/* Children from before this program was executed, of a shell that became berthd, are nobody's left-over. */
void monitor_note_children(struct monitor *m);
void monitor_forget_child(struct monitor *m, pid_t pid); /* it was reaped */

/* check.c: loads config and plugins in a process that is thrown away. *ret_wants (may be NULL) gets one capset per
 * runtime of c: what its plugin needs. path NULL: checks c itself. */
int monitor_check(const struct monitor *m, const char *path, capset *ret_wants,
                  struct berth_error *err);

/* setup.c: directories, lock, plugins' files, grants: all that needs privileges. */
int monitor_set_up(struct monitor *m, struct berth_error *err);
/* Could m, with what it still has, be set up anew with this config? Leaves things open: for a process to be thrown away. */
int monitor_try(const struct monitor *m, const struct config *fresh, struct berth_error *err);

#endif
