/* SPDX-License-Identifier: Apache-2.0 */
/* SPDX-FileCopyrightText: The berth authors */
/* Removing what a payload left behind, however it is nested, named and protected. */
#ifndef WORKER_TREE_H
#define WORKER_TREE_H

#include <sys/types.h>

/* Removes name below dir_fd with all that is in it. No symbolic link is followed, no mount point entered. What
 * cannot be removed as the caller is tried with the file system ids uid, gid (-1: no such try). 0 or -errno. */
int tree_remove(int dir_fd, const char *name, uid_t uid, gid_t gid);

#endif
