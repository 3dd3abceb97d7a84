#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Control groups of version 2, in a QEMU guest that has nothing else: the tests of groups and sandbox as root and as a
# plain user, and the limits of tasks with berthd where service managers put it.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/guest/guest.sh"
# shellcheck disable=SC2154
unit=$builddir/tests/unit
limits="bash $srcdir/tests/guest/limits.t"
as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
run_in_guest <<TESTS
top 60 $unit/test-cgroup
user 60 $as_nobody $srcdir/tests/guest/layout.sh $unit/test-cgroup
top 60 $unit/test-spawn-death
service $guest_end $limits
subgroup $guest_end $limits
user $guest_end $limits
scope $guest_end $limits
container $guest_end $limits
TESTS
done_testing
