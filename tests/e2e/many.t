#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# More tasks run at a time than the soft limit of open files seems to allow.
# shellcheck disable=SC2034,SC2154,SC2016 # variables of lib.sh and common.sh; text to evaluate later
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
use_berth
need prlimit curl pgrep
count=120
executers_extra=', { name = "stay"; runtime = "process"; command = [ "/bin/sleep", "600" ];
    resources = { cpus = 0.001; memory = "4M"; pids = 4; }; }'
base_config >"$BERTH_CONFIG"
WRAP="prlimit --nofile=100:4000"
ok 'start_berth' "berthd starts with a low soft limit"
is "$(awk '/^Max open files/ {print $4}' "/proc/$(role_pid host)/limits")" 4000 "the host takes what the hard limit gives"
stats() { curl -s "$url/v1/stats" | jq -r "$1"; }
for ((i = 0; i < count; i++)); do
    echo "url = $url/v1/tasks"
done | curl -sS -K - -H 'Content-Type: application/json' -d "{\"executer\":\"stay\"}" >"$T/accepted"
running() { curl -s "$url/v1/tasks?state=running&limit=1000" | jq '.tasks | length'; }
wait_for '[ "$(running)" -eq $count ]' 120
is "$(running)" "$count" "$count tasks run at a time"
payload=$(pgrep -x sleep -P "$(role_pids task | paste -sd,)" | head -n 1) # the child of an init
is "$(awk '/^Max open files/ {print $4}' "/proc/$payload/limits")" 100 "a payload keeps the limit that berthd was started with"
for id in $(curl -s "$url/v1/tasks?limit=1000" | jq -r '.tasks[].id'); do
    echo "url = $url/v1/tasks/$id"
done | curl -sS -K - -X DELETE >"$T/cancelled"
wait_for '[ "$(stats .finished.cancelled)" -eq $count ]' 120
is "$(stats .finished.cancelled)" "$count" "and all can be cancelled"
done_testing
