/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* What the operator allows a task to bring: ad-hoc commands, variables, files. */
#ifndef PLAN_POLICY_H
#define PLAN_POLICY_H

#include "codec/task.h"
#include "config/config.h"

/* May this ad-hoc task run? 0 or -EPERM. */
int policy_adhoc(const struct config *c, const struct task *t, struct berth_error *err);
/* The executer's (may be NULL) and the task's environment as one. -EPERM, -ENOMEM. */
int policy_env(const struct config_executer *e, const struct task *t, struct arena *a,
               const char *const **ret, struct berth_error *err);
/* May files come from there and go there? 0 or -EPERM. */
int policy_files(const struct config *c, const struct task *t, struct berth_error *err);

#endif
