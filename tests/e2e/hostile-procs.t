#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Payloads that do not want to end, multiply, run away, hide, or go for who started them.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
use_berth
. "${BERTH_SRCDIR:-.}/tests/e2e/hostile.sh"

executers_extra=$(hostile_executers)
base_config >"$BERTH_CONFIG"
objects() { # System V objects and POSIX queues of the node
    cat /proc/sysvipc/shm /proc/sysvipc/sem /proc/sysvipc/msg | awk '{print $1, $2}'
    ls /dev/shm
}

bomb() {
    attack bomb at --pids 40 --cpus 0.5 -- bomb
    ok 'wait_for "[ \$(payloads_of bomb | wc -l) -ge 35 ]"' "$mode, bomb: it has gone off"
    others_work bomb
    ask cancel "$mode-bomb" >/dev/null
    ended bomb "cancelled caller"
    is "$(payloads_of bomb)" "" "$mode, bomb: all of it is dead when the result is out"
    ok '[ "$(get .evidence.pids_refused)" = null ] || [ "$(get .evidence.pids_refused)" -gt 0 ]' "$mode, bomb: what was refused is counted"
}

check() {
    if enforced pids; then
        bomb
    else
        is "$(ask submit -e at --wait --json -- keep 1 </dev/null | jq -r .limits.enforced.pids)" no "$mode, bomb: that nothing holds it is told"
    fi

    attack deaf at --timeout 500ms -- deaf
    attack stop-self at --timeout 500ms -- stop-self
    attack disguise at -- disguise
    ended deaf "timeout task"
    is "$(get .signal) $(get .evidence.signal_from)" "9 berth" "$mode, deaf: by SIGKILL, which berth sent"
    ended stop-self "timeout task"
    is "$(get .evidence.sigkill)" true "$mode, stop-self: by SIGKILL"

    attack flee at -- flee 1717
    ended flee "succeeded "
    is "$(payloads_of linger)" "" "$mode, flee: who ran away did not get far"

    attack at-parent at --timeout 20s -- at-parent
    ended at-parent "succeeded "
    is "$(output)" "still here: yes" "$mode, at-parent: nobody above it was moved"
    attack limit-init at --timeout 5s -- limit-init
    ended limit-init "succeeded "
    others_work limit-init

    wait_for '[ -n "$(ask logs $mode-disguise)" ]'
    ok 'curl -sf "$url/healthz" >/dev/null && [ -n "$(role_pid host)" ]' "$mode, disguise: changes nothing"
    ask cancel "$mode-disguise" >/dev/null
    ended disguise "cancelled caller"

    objects >"$T/before"
    attack keep at -- keep 0x68737465
    ended keep "succeeded "
    is "$(output)" made "$mode, keep: could make shared memory, semaphores and queues"
    is "$(objects | diff - "$T/before" | grep -i '6873\|1752396901\|berth-hostile')" "" "$mode, keep: which are gone"
}

if [ "$(id -u)" -eq 0 ]; then
    begin_as_root
    check
fi
begin_as_user
check
end_mode
done_testing
