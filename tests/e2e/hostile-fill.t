#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Payloads that take too much: output, disk, inodes, descriptors, memory, arguments; and what they do with their pipes.
# BERTH_FLOOD_BYTES: how much output the flood writes.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
use_berth
. "${BERTH_SRCDIR:-.}/tests/e2e/hostile.sh"

flood_bytes=${BERTH_FLOOD_BYTES:-10000000000}
executers_extra=$(hostile_executers "limit_cpu = false;")
base_config >"$BERTH_CONFIG"

streams() {
    attack steal-output at --timeout 2s -- steal-output
    attack close-all at -- close-all 700
    attack flood at --timeout 2m -- flood "$flood_bytes"
    attack flood-stderr at --timeout 2m -- flood 100000000 2

    ended close-all "succeeded "
    ok '[ "$(get .usage.wall_ms)" -ge 700 ] && [ "$(get .evidence.output_cut)" = null ]' "$mode, close-all: has not ended when it closes its output, and nothing is cut"
    ended steal-output "timeout task" 30
    others_work flood
    while [ "$(ask status --json "$mode-flood" | jq -r .state)" != "done" ]; do
        du -s -B1 "$T/state/attempts" 2>/dev/null | cut -f1
        sleep 0.1
    done | sort -n | tail -n 1 >"$T/most"
    ended flood "succeeded "
    is "$(get .usage.stdout_bytes)" "$flood_bytes" "$mode, flood: $flood_bytes bytes were taken"
    ok '[ "$(get .output_truncated)" = true ] && [ "$(output | wc -c)" -le 1048576 ]' "$mode, flood: its end was kept"
    ok '[ "$(cat "$T/most")" -lt 8000000 ]' "$mode, flood: the disk never held more than a little of it" || diag "$(cat "$T/most") bytes"
    ended flood-stderr "succeeded "
    is "$(get '.stderr_tail | test("^x+$")')" true "$mode, flood-stderr: so was its tail"
    ok 'timeout 20 "${daemon_user[@]}" berth logs "$mode-flood" | head -c 5 | grep -q xxxxx' "$mode, flood: its log can be read"
}

check() {
    streams
}

if [ "$(id -u)" -eq 0 ]; then
    begin_as_root
    check
fi
begin_as_user
check
end_mode
done_testing
