#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
#
# The first process of a guest: a machine with control groups of version 2 only, laid out as systemd does. It runs
# the tests of /tests, a line each: "LAYOUT SECONDS COMMAND...". What they say goes to the console between two lines
# that begin with "## ", which cgroup2.t turns into one TAP.
# The kernel hands parts of its command line on to here as environment: BERTH_SRCDIR, BERTH_BUILDDIR, CI.
# shellcheck disable=SC2154
mount -t devtmpfs none /dev
exec </dev/null >/dev/console 2>&1
stty -F /dev/console -opost -echo
export PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin HOME=/root
top=/sys/fs/cgroup
mount -t proc none /proc
mount -t sysfs none /sys
mount -t cgroup2 none $top
mkdir /dev/shm
mount -t tmpfs -o mode=1777 none /dev/shm
chmod 1777 /tmp /var/tmp
busybox ifconfig lo up

hand_on() { # GROUP: what berth limits is there for the groups below it
    echo "+memory +cpu +pids" >"$1/cgroup.subtree_control"
}

lay_out() {
    local user=$top/user.slice/user-65534.slice
    mkdir -p $top/{system.slice,machine.slice} "$user/user@65534.service/test.scope"
    hand_on $top
    hand_on $top/system.slice
    hand_on $top/user.slice
    hand_on "$user"
    # What systemd gives to a user's own manager.
    chown 65534:65534 "$user/user@65534.service"{,/test.scope}{,/cgroup.procs,/cgroup.threads,/cgroup.subtree_control}
    hand_on "$user/user@65534.service"
    setpriv --reuid=65534 --regid=65534 --clear-groups mkdir "$user/user@65534.service/app.slice"
    hand_on "$user/user@65534.service/app.slice"
}

run_test() { # LAYOUT SECONDS COMMAND...
    local place=$top
    case $1 in
    user | scope) place=$top/user.slice/user-65534.slice/user@65534.service/test.scope ;;
    esac
    (
        echo 0 >"$place/cgroup.procs"
        export BERTH_TEST_LAYOUT=$1 BERTH_TEST_CGROUP=cgroup2 WRAP=$BERTH_SRCDIR/tests/guest/layout.sh
        exec timeout --kill-after=10 "$2" "${@:3}"
    )
}

lay_out
while read -r layout seconds command; do
    echo "## begin $layout: ${command##*/}"
    start=$SECONDS
    # shellcheck disable=SC2086 # words
    run_test "$layout" "$seconds" $command
    status=$?
    echo
    echo "## end $status after $((SECONDS - start)) s"
done </tests
echo "## all"
stty -F /dev/console sane # waits until everything is written
exec busybox reboot -f
