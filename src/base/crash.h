/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/*
 * Crash points: named steps of a task's way at which a test kills the process that takes
 * them. They are there only with --enable-crash-points, and even then do nothing unless
 * BERTH_CRASH_FILE names a file, which all roles map and the test reads and writes while they
 * run: how often each role passed each point, at which passage it shall die, and how far the
 * wall clock is off. Without the option nothing of this is in the program.
 */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#include <stdint.h>

/* A helper is what a worker or supervisor forks for work that may take long. */
enum crash_role {
    CRASH_MONITOR,
    CRASH_HOST,
    CRASH_WORKER,
    CRASH_SUPERVISOR,
    CRASH_HELPER,
    CRASH_ROLE_COUNT
};

#define CRASH_M (1u << CRASH_MONITOR)
#define CRASH_H (1u << CRASH_HOST)
#define CRASH_W (1u << CRASH_WORKER)
#define CRASH_S (1u << CRASH_SUPERVISOR)
#define CRASH_X (1u << CRASH_HELPER)

/* X(point, roles that pass it). What is about to happen is a verb, what just happened a participle. */
#define CRASH_POINTS(X)                                    \
    X(frame_send, CRASH_H | CRASH_W | CRASH_S)             \
    X(frame_sent, CRASH_H | CRASH_W | CRASH_S)             \
    /* the daemon's own life */                            \
    X(lock_taken, CRASH_M)                                 \
    X(set_up, CRASH_M)                                     \
    X(role_fork, CRASH_M)                                  \
    X(role_forked, CRASH_M)                                \
    X(role_ended, CRASH_M)                                 \
    X(roles_end, CRASH_M)                                  \
    X(roles_told, CRASH_M)                                 \
    X(roles_gone, CRASH_M)                                 \
    X(exec_again, CRASH_M)                                 \
    /* a host from its start */                            \
    X(host_begun, CRASH_H)                                 \
    X(store_opened, CRASH_H)                               \
    X(tasks_restored, CRASH_H)                             \
    X(host_listening, CRASH_H)                             \
    X(host_ready, CRASH_H)                                 \
    X(host_stop, CRASH_H)                                  \
    X(store_close, CRASH_H)                                \
    /* the store, for each of its transactions */          \
    X(commit, CRASH_H)                                     \
    X(committed, CRASH_H)                                  \
    X(commit_told, CRASH_H)                                \
    /* a task comes */                                     \
    X(message_taken, CRASH_H)                              \
    X(task_insert, CRASH_H)                                \
    X(task_inserted, CRASH_H)                              \
    X(accepted_tell, CRASH_H)                              \
    X(accepted_told, CRASH_H)                              \
    /* an attempt */                                       \
    X(run_send, CRASH_H)                                   \
    X(run_sent, CRASH_H)                                   \
    X(run_update, CRASH_H)                                 \
    X(run_taken, CRASH_W)                                  \
    X(dir_make, CRASH_W)                                   \
    X(dir_made, CRASH_W)                                   \
    X(dir_locked, CRASH_W)                                 \
    X(dir_recorded, CRASH_W)                               \
    X(spare_recorded, CRASH_S)                             \
    X(spare_renamed, CRASH_S)                              \
    X(supervisor_fork, CRASH_W)                            \
    X(supervisor_forked, CRASH_W)                          \
    X(supervisor_begun, CRASH_S)                           \
    X(cgroup_made, CRASH_S)                                \
    X(work_made, CRASH_S)                                  \
    X(payload_make, CRASH_S)                               \
    X(payload_made, CRASH_S)                               \
    X(started_taken, CRASH_H)                              \
    X(payload_ended, CRASH_S)                              \
    X(payload_reaped, CRASH_S)                             \
    X(rest_killed, CRASH_S)                                \
    X(gather, CRASH_S)                                     \
    X(done_send, CRASH_S)                                  \
    X(done_sent, CRASH_S)                                  \
    X(done_taken, CRASH_H)                                 \
    X(retry_store, CRASH_H)                                \
    X(retry_stored, CRASH_H)                               \
    /* its result */                                       \
    X(result_store, CRASH_H)                               \
    X(result_stored, CRASH_H)                              \
    X(publish, CRASH_H)                                    \
    X(published, CRASH_H)                                  \
    X(settle, CRASH_H)                                     \
    X(settled, CRASH_H)                                    \
    X(confirm, CRASH_H)                                    \
    X(confirmed, CRASH_H)                                  \
    X(confirm_taken, CRASH_S)                              \
    X(cgroup_removed, CRASH_S)                             \
    X(retire_emptied, CRASH_S)                             \
    X(retire_erased, CRASH_S)                              \
    X(retire_renamed, CRASH_S)                             \
    X(retired, CRASH_S)                                    \
    X(supervisor_ended, CRASH_W)                           \
    /* what went wrong */                                  \
    X(spill_written, CRASH_S)                              \
    X(spilled_taken, CRASH_H)                              \
    X(spilled_remove, CRASH_H)                             \
    X(spilled_removed, CRASH_H)                            \
    X(hello_taken, CRASH_H)                                \
    X(limbo_entered, CRASH_H)                              \
    X(sweep_send, CRASH_H)                                 \
    X(sweep_taken, CRASH_W)                                \
    X(sweep_begun, CRASH_X)                                \
    X(sweep_killed, CRASH_X)                               \
    X(sweep_removed, CRASH_X)                              \
    X(sweep_tell, CRASH_W)                                 \
    X(lost_taken, CRASH_H)                                 \
    X(refused_taken, CRASH_H)                              \
    X(cancel_send, CRASH_H)

#ifdef BERTH_CRASH_POINTS

#define CRASH_ENUM(point, roles) CRASH_POINT_##point,
enum crash_point_id { CRASH_POINTS(CRASH_ENUM) CRASH_POINT_COUNT };

void crash_open(void); /* once, at the program's start */
void crash_set_role(enum crash_role role);
void crash_pass(enum crash_point_id point);
int64_t crash_clock_offset_ms(void);

#define CRASH_OPEN() crash_open()
#define CRASH_ROLE(role) crash_set_role(role)
#define CRASH_POINT(point) crash_pass(CRASH_POINT_##point)

#else

#define CRASH_OPEN() ((void)0)
#define CRASH_ROLE(role) ((void)0)
#define CRASH_POINT(point) ((void)0)
#define crash_clock_offset_ms() 0

#endif
#endif
