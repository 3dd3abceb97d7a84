/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Names of single capabilities, as libcap has them. */
#ifndef PRIV_CAPS_H
#define PRIV_CAPS_H

/* Number of "kill" or "cap_kill"; -EINVAL if this kernel has none of that name. */
int capset_number(const char *name);
/* "kill"; -EINVAL past the last one that this kernel has. */
int capset_name(int n, char out[40]);

#endif
