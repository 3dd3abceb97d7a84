/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* The config file, read and checked, as plain structs. Nothing else names libconfig. */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "codec/task.h"

/* One key that belongs to a plugin, as written: checked later against the plugin's option table. */
struct config_key {
    const char *name;
    const char *const *values; /* scalars have one; NULL-terminated */
    bool is_list;
    const char *file;
    int line;
};

struct config_keys {
    const struct config_key *items;
    size_t count;
    const char *const *own; /* what the config itself reads beside them, for messages about a wrong
                               key; NULL-terminated, or NULL */
};

struct config_plugin { /* an entry of transports or runtimes */
    const char *plugin;              /* file name without .so */
    const char *name;                /* default: plugin; unique within its list */
    const char *const *capabilities; /* runtimes: granted; "sys_admin" form; NULL-terminated */
    bool capabilities_given;         /* else the plugin's own wants are granted, if shipped defaults allow */
    const char *const *groups;       /* runtimes: supplementary groups granted */
    int64_t ready_ms;                /* transports: /readyz fails when not polled for so long; default 30 s */
    struct config_keys keys;         /* the rest, for the plugin */
    const char *file;
    int line;
};

struct config_executer {
    const char *name;
    const char *runtime; /* name of an entry of runtimes */
    const char *image;   /* "" if none */
    const char *const *command;
    const char *const *env;       /* "NAME=value" */
    const char *const *env_allow; /* patterns of names that a task may set; default see plan.h */
    bool allow_args;              /* task's args are appended; default true */
    struct task_resources resources; /* what a task gets that does not ask; -1: host.defaults */
    struct task_resources max;       /* what a task may ask at most; -1: what the node has */
    int64_t timeout_ms;           /* default host.defaults.timeout; 0: none */
    int64_t max_timeout_ms;       /* 0: not limited */
    int64_t kill_grace_ms;        /* between the stop signal and SIGKILL */
    int64_t output_max_bytes;     /* kept of stdout, and of stderr */
    int retries;
    int max_running;              /* 0: not limited */
    int network;                  /* enum berth_network, or TASK_NETWORK_UNSET: none */
    bool allow_network;           /* a task may ask for another network; default false */
    const char *const *require;   /* memory cpus pids disk network uid read_only time gpus */
    struct config_keys keys;      /* the rest, for the runtime plugin's executer_options */
    const char *file;
    int line;
};

struct config_tenant {
    const char *name; /* "*" for every tenant not named */
    double weight;    /* share; default 1 */
    int max_running;  /* 0: not limited */
    int max_queued;   /* 0: not limited */
};

struct config_adhoc { /* who may bring runtime, image and command of their own */
    const char *runtime;
    const char *const *images;   /* glob patterns; an empty list allows only image "" */
    const char *const *commands; /* glob patterns of argv[0]; default "*" */
    const char *const *tenants;  /* glob patterns; default "*" */
    bool allow_network;          /* such a task may ask for a network; default false */
};

struct config {
    struct arena *arena; /* owns everything below */
    const char *path;    /* of the file; "(built in)" for the embedded default */

    /* host = { … } */
    const char *name;                 /* of the node; default: host name */
    const char *state_dir, *run_dir;  /* absolute; defaults by user, see config_default_dirs */
    const char *user, *group;         /* of the host process where berthd starts as root; NULL: default */
    const char *ctl_group;            /* group that may use berth(1); NULL: the host's own */
    int log_level;
    size_t max_task_bytes;            /* default 8 MiB */
    int max_queued;                   /* default 100000 */
    int max_running;                  /* default 0: by resources only */
    struct task_resources capacity;   /* what tasks may use of the node; -1: what the machine has */
    const char *const *gpus;          /* device names; NULL: found by inventory */
    struct {
        struct task_resources resources; /* of a task whose executer says nothing */
        int64_t timeout_ms;              /* default 1 h */
        int64_t kill_grace_ms;           /* default 10 s */
        int64_t output_max_bytes;        /* default 1 MiB */
        int retries;                     /* default 0 */
    } defaults;
    int max_losses;                   /* free retries of an attempt lost to node or runtime; default 3 */
    int64_t retry_delay_ms;           /* before a retry, doubled each time, at most 1 min; default 1 s */
    int64_t adopt_ms;                 /* how long a new host waits for a supervisor known to live; 30 s */
    int64_t retention_ms;             /* of finished tasks; default 7 d */
    int64_t retention_count;          /* default 100000 */
    uint32_t uid_base, uid_count;     /* dynamic range for payloads; see doc of berth.conf(5) */
    const char *const *in_roots, *const *out_roots; /* files: allowed absolute directories */
    const char *const *urls;          /* files: allowed URL prefixes */
    const char *const *plugin_path;   /* never empty: the installed directory is the last */

    struct config_plugin *transports;
    size_t transport_count;
    struct config_plugin *runtimes;
    size_t runtime_count;
    struct config_executer *executers;
    size_t executer_count;
    struct config_tenant *tenants;
    size_t tenant_count;
    struct config_adhoc *adhoc;
    size_t adhoc_count;
};

/*
 * Reads path (NULL: BERTH_CONFIG, then the installed default path, then the embedded default) and checks all
 * that can be checked without loading a plugin: syntax, types, ranges, unknown and double keys (with
 * the nearest valid one), references between entries. Errors read "FILE:LINE: key 'x': …".
 */
int config_load(const char *path, struct config **ret, struct berth_error *err);
void config_free(struct config *c);
const struct config_executer *config_executer(const struct config *c, const char *name);
const struct config_plugin *config_runtime(const struct config *c, const char *name);
const struct config_tenant *config_tenant(const struct config *c, const char *name); /* never NULL */
/* For root /var/lib/berth and /run/berth; else $XDG_STATE_HOME/berth (~/.local/state/berth) and
 * $XDG_RUNTIME_DIR/berth (state dir + "/run" without one). BERTH_STATE_DIR, BERTH_RUN_DIR override. */
void config_default_dirs(struct arena *a, const char **ret_state, const char **ret_run);

#endif
