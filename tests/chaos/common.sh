# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the short forms of the chaos test share.
# shellcheck disable=SC2154,SC2034 # set by lib.sh; for the tests

find_tree
need python3 mount unshare
if [ -n "${SANITIZE_CFLAGS:-}" ]; then
    mkdir -m 1777 "$T/reports"
    export ASAN_OPTIONS=detect_leaks=0:log_path=$T/reports/asan
    export UBSAN_OPTIONS=print_stacktrace=1:log_path=$T/reports/ubsan
fi
export TMPDIR=$T # its directories go with ours
chaos=(python3 "$srcdir/tests/chaos/chaos" --inst "$INST" --jobs 2)

run_chaos() { # NAME ARGUMENT...
    local name=$1 status
    shift
    "${chaos[@]}" "$@" >"$T/chaos.log" 2>&1
    status=$?
    tap_line "$status" "$name" || diag "$(tail -n 150 "$T/chaos.log")"
}
