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
    ok '[ "$(get .usage.wall_ms)" -ge 300 ] && [ "$(get .evidence.output_cut)" = null ]' "$mode, close-all: has not ended when it closes its output, and nothing is cut"
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

disk() {
    if enforced disk; then
        attack disk at --disk 8M -- disk .
        attack inodes at --disk 8M -- inodes . 200000
        ended disk "succeeded "
        is "$(output)" "8388608, then: No space left on device" "$mode, disk: it had what it asked for"
        ended inodes "succeeded "
        like "$(output)" "^9[0-9]{3}, then: No space left on device" "$mode, inodes: so with files that are empty"
    else
        skip_machine "the disk cannot be limited here" 4
    fi
    attack tmp-inodes at --memory 512M -- inodes /tmp 200000
    attack tmp at --memory 512M -- disk /tmp
    attack shm at --memory 512M -- disk /dev/shm
    ended tmp "succeeded "
    like "$(output)" "No space left on device" "$mode, tmp: its own, and limited"
    ended shm "succeeded "
    like "$(output)" "No space left on device" "$mode, shm: its own, and limited"
    ended tmp-inodes "succeeded "
    like "$(output)" "^6[0-9]{4}, then: No space left on device" "$mode, tmp-inodes: so are empty files"
}

memory() {
    local want="oom task"
    [ "$(ask explain at --json | jq -r .limits.memory.enforced)" != rlimit ] || want="failed task"
    attack descriptors at --pids 20 -- descriptors 10 500
    attack memory-fast at --memory 64M -- memory fast 4000000000
    attack memory-slow at --memory 64M -- memory slow 4000000000
    others_work descriptors
    ended descriptors "succeeded "
    like "$(output)" "^[0-9]+, then: Too many open files" "$mode, descriptors: there are no more"
    ended memory-fast "$want"
    ended memory-slow "$want"
    [ "$want" = "failed task" ] || ok '[ "$(get .evidence.oom_kills)" -ge 1 ]' "$mode, memory-slow: with the kernel's count"
    if [ "$want" = "oom task" ]; then
        attack pipes at --memory 64M -- pipes
        ended pipes "oom task"
    else # what one process maps is all that is held, and told so
        is "$(get .limits.enforced.memory)" rlimit "$mode, pipes: that memory of the kernel's is not held is told"
    fi
}

arguments() {
    local how err
    head -c 200000 /dev/zero | tr '\0' x >"$T/long"
    for how in '{args: ["memory", $x]}' '{args: ["memory"], env: {LONG: $x}}'; do
        jq -n --rawfile x "$T/long" "{executer: \"at\"} + $how" >"$T/task.json"
        err=$(ask submit --file "$T/task.json" --wait --json 2>&1 </dev/null)
        is $? 5 "$mode, arguments: more than the kernel takes: refused"
        like "$err" "(args\[1\]|env.LONG).*131071" "$mode, arguments: said so"
    done
    jq -n '{executer: "at", args: (["memory", "slow", "1"] + [range(60000) | "x"])}' >"$T/task.json"
    is "$(ask submit --file "$T/task.json" --wait --json </dev/null | jq -r .verdict)" succeeded "$mode, arguments: sixty thousand are none too many"
    is "$(ask submit -e victim --wait --json -- 'sed -n "s/^Max core file size *//p" /proc/self/limits' </dev/null | jq -r .output_b64 | base64 -d | tr -s ' ')" \
        "1 1 bytes " "$mode, core: no dump, neither to a file nor to a program"
}

check() {
    streams
    disk
    memory
    arguments
}

if [ "$(id -u)" -eq 0 ]; then
    begin_as_root
    check
fi
begin_as_user
check
end_mode
done_testing
