#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
#
# Starts berthd where its service manager would: in the control group that $BERTH_TEST_LAYOUT stands for.
# Usage: layout.sh COMMAND [ARGUMENT...]
#
#   service    a unit's group, for root (systemd before version 254, or another manager)
#   subgroup   the same with DelegateSubgroup=daemon: the group "daemon" below the unit's
#   user       a unit of a user's own manager, with DelegateSubgroup=daemon
#   scope      a scope of a user's own manager: "systemd-run --user --scope -p Delegate=yes"
#   container  the root of a cgroup namespace, where somebody else is, too
#   top        the machine's topmost group
#
# As managers do, it does not ask whether something of an earlier start is still in there.
set -eu
top=/sys/fs/cgroup
user=$top/user.slice/user-65534.slice/user@65534.service/app.slice

enter() { # GROUP: makes it and moves this process there
    mkdir -p "$1"
    echo 0 >"$1/cgroup.procs"
}

case $BERTH_TEST_LAYOUT in
service) enter $top/system.slice/berth.service ;;
subgroup) enter $top/system.slice/berthd.service/daemon ;;
user) enter "$user/berth.service/daemon" ;;
scope) enter "$user/berth.scope" ;;
container)
    enter $top/machine.slice
    # shellcheck disable=SC2016 # the inner shell's
    exec unshare --cgroup --mount sh -ec 'umount /sys/fs/cgroup
        mount -t cgroup2 none /sys/fs/cgroup
        sleep 1001 & exec "$@"' sh "$@"
    ;;
top) ;;
*)
    echo "$0: BERTH_TEST_LAYOUT is '$BERTH_TEST_LAYOUT'" >&2
    exit 2
    ;;
esac
exec "$@"
