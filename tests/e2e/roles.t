#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Who holds what: capabilities, ids and flags of each role and of the payload, as /proc tells them.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
# shellcheck disable=SC2154,SC2016
[ "$(id -u)" -eq 0 ] || skip_all_machine "not root: there is nothing to drop"
use_berth
executers_extra=', { name = "as-nobody"; runtime = "process"; command = [ "/usr/bin/id", "-u" ]; user = "nobody"; },
    { name = "as-root"; runtime = "process"; command = [ "/usr/bin/id", "-u" ]; user = "root"; }'
ok 'base_config | start_berth -' "berthd starts"
wait_for '[ "$(berth runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'

none=0000000000000000
id=$(submit_sh 'cat /proc/self/status; exec sleep 600')
wait_for '[ "$(task_state "$id")" = running ]'
wait_for 'berth logs "$id" | grep -q CapBnd'

monitor=$(role_pid monitor) host=$(role_pid host) worker=$(role_pid process)
supervisor=$(role_pid "task $id")
isnt "$monitor$host$worker$supervisor" "" "the four roles have names of their own"
is "$(role_pids monitor | wc -l) $(role_pids host | wc -l) $(role_pids process | wc -l)" "1 1 1"     "one monitor, one host, one worker"

host_uid=$(status_of "$host" Uid | cut -f1)
isnt "$host_uid" 0 "the host does not run as root"
for role in host worker supervisor; do
    pid=${!role}
    is "$(status_of "$pid" Uid | tr '\t' ' ')" "$host_uid $host_uid $host_uid $host_uid" "$role: one uid in all places, not root's"
    is "$(status_of "$pid" NoNewPrivs)" 1 "$role: no_new_privs"
    for set in CapInh CapBnd CapAmb; do
        is "$(status_of "$pid" $set)" $none "$role: $set is empty"
    done
    is "$(status_of "$pid" Groups | tr -d ' ')" "" "$role: no supplementary groups"
done
for set in CapPrm CapEff; do
    is "$(status_of "$host" $set)" $none "host: $set is empty"
done

mask_of() { # NAME...: the set as /proc prints it
    local name bits=0 n
    for name; do
        n=$(sed -n "s/^#define CAP_${name^^}[[:space:]]\{1,\}\([0-9]\{1,\}\)$/\1/p" /usr/include/linux/capability.h)
        bits=$((bits | 1 << n))
    done
    printf '%016x' "$bits"
}
wants=$(berth plugin show process --json | jq -r '.capabilities[]')
# shellcheck disable=SC2086 # a list
granted=$(mask_of $wants)
for role in worker supervisor; do
    for set in CapPrm CapEff; do
        is "$(status_of "${!role}" $set)" "$granted" "$role: $set is what the config grants its runtime"
    done
done
# shellcheck disable=SC2086
is "$(status_of "$monitor" CapEff)" "$(mask_of setuid setgid setpcap kill $wants)"     "monitor: what it needs and what it may hand out"
is "$(status_of "$monitor" NoNewPrivs)" 1 "monitor: no_new_privs"
for set in CapInh CapAmb; do
    is "$(status_of "$monitor" $set)" $none "monitor: $set is empty"
done

# The payload's own view, and the kernel's from outside.
inside=$(berth logs "$id")
field() { sed -n "s/^$1:[[:space:]]*//p" <<<"$inside"; }
for set in CapInh CapPrm CapEff CapBnd CapAmb; do
    is "$(field $set)" $none "payload: $set is empty"
done
is "$(field NoNewPrivs)" 1 "payload: no_new_privs"
is "$(field Seccomp)" 2 "payload: filtered"
uid=$(field Uid | cut -f1)
isnt "$uid" 0 "payload: not root"
isnt "$uid" "$host_uid" "payload: not the host's uid"
ok '[ "$uid" -ge 1879048192 ]' "payload: a uid of the dynamic range"
second=$(submit_sh 'id -u; exec sleep 600')
wait_for '[ -n "$(berth logs "$second")" ]'
isnt "$(berth logs "$second")" "$uid" "another task at the same time has another uid"
is "$(field Groups | tr -d ' ')" "" "payload: no supplementary groups"

for pid in $monitor $host $worker $supervisor; do
    ok '[ "$(status_of '"$pid"' Threads)" -le 2 ]' "pid $pid has no more threads than the store's"
done
is "$(status_of "$supervisor" Threads) $(status_of "$worker" Threads) $(status_of "$monitor" Threads)" "1 1 1"     "whoever forks has one thread"
is "$(berth submit -e as-nobody --wait --quiet </dev/null)" "$(id -u nobody)" "payload: the user that the executer names"
like "$(berth submit -e as-root --wait </dev/null 2>&1)" "no payload is run as root" "payload: never root"
berth cancel "$id" "$second" >/dev/null
is "$(result_of "$id" | jq -r .verdict)" cancelled "the task ends when it is cancelled"
result_of "$second" >/dev/null
done_testing
