#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Each role dies once at each crash point: no task is lost, none has two results, nothing is left. See README.md.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
# shellcheck disable=SC2154 # srcdir is set by lib.sh
. "$srcdir/tests/chaos/common.sh"

"${chaos[@]}" --list >"$T/points" || fail "the crash points can be listed"
if [ -s "$T/points" ]; then
    run_chaos "a crash at each of $(wc -l <"$T/points") points" --walk
    like "$(grep '^walk:' "$T/chaos.log")" "^walk: $(wc -l <"$T/points") of" "every point was reached"
else
    is "$(grep -c BERTH_CRASH_FILE "$INST/sbin/berthd")" 0 "a build without --enable-crash-points has none of it"
fi
check_reports
done_testing
