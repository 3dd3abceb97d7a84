#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# In a guest, with control groups of version 2: limits hold, their evidence is told, everything is killed and nothing
# is left, wherever a service manager puts berthd ($BERTH_TEST_LAYOUT, see layout.sh) and when it is started again
# while tasks run. Programs start slowly in there: all of it is done for root and for a user, elsewhere what depends
# on the place.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
# shellcheck disable=SC2016,SC2034,SC2154
layout=$BERTH_TEST_LAYOUT
groups=/sys/fs/cgroup
use_berth
mkdir -m 1777 "$T/marks"
sh_extra="bind_rw = [ \"$T/marks\" ];"
executers_extra=', { name = "bare"; runtime = "process"; command = [ "/bin/sh", "-c" ]; mount = false; pid = false; ipc = false; net = false;
      read_only = false; private_tmp = false; seccomp = false; own_uid = false; uts = false; devices = false; }'
base_config "" >"$BERTH_CONFIG"
case $layout in
user | scope)
    ok 'start_berth_as_user' "berthd starts without privileges"
    ;;
*) ok 'start_berth' "berthd starts" ;;
esac
ask() { "${daemon_user[@]}" berth "$@" </dev/null; }
wait_for '[ "$(ask runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'

# ---- where it is ----
tree=$(find "$groups" -type d -name "$(state_key)")
case $layout in
top | service) want=$groups ;;
subgroup) want=$groups/system.slice/berthd.service ;;
user) want=$groups/user.slice/user-65534.slice/user@65534.service/app.slice/berth.service ;;
scope) want=$groups/user.slice/user-65534.slice/user@65534.service/app.slice/berth.scope ;;
container) want=$groups/machine.slice ;;
esac
is "${tree%/*}" "$want" "its groups are where a restart finds them again"
monitor=$(cut -d: -f3 "/proc/$daemon_pid/cgroup")
is "$groups$monitor" "$tree/daemon" "berthd is in the leaf beside those of tasks"
is "$(ask explain sh --json | jq -r '.limits | [.memory, .cpus, .pids] | map(.enforced) | join(" ")')" "cgroup2 cgroup2 cgroup2" \
    "memory, cpus and pids are held by version 2"

run() { # EXECUTER TEXT [OPTIONS]: the result of a task, waited for, in 'result'
    local executer=$1 text=$2
    shift 2
    result=$(ask submit -e "$executer" --wait --json "$@" -- "$text")
}
get() { jq -r "$1" <<<"$result"; }
task_groups() { find "$tree/tasks" -mindepth 1 -maxdepth 1 -type d; }

written() {
    local id inside
    id=$(ask submit -e sh --memory 48M --cpus 0.5 --pids 17 -- "echo up >$T/marks/up; exec sleep 1000")
    wait_for '[ -e "$T/marks/up" ]'
    inside=$(task_groups)
    is "$(cd "$inside" && cat memory.max memory.swap.max memory.oom.group cpu.max pids.max 2>&1 | xargs)" \
        "50331648 0 1 50000 100000 17" "the kernel knows the limits"
    ok 'pgrep -f "sleep 1000" | grep -qxF -f "$inside/cgroup.procs"' "and the payload is in there"
    ask cancel "$id" >/dev/null
    wait_for '[ ! -d "$inside" ]'
    tap_line $? "a cancelled task's group is gone"
}

too_much() {
    run sh 'x=a; while :; do x=$x$x; done' --memory 32M
    is "$(get '.verdict + " " + .blame + " " + .limits.enforced.memory')" "oom task cgroup2" "too much memory"
    ok '[ "$(get .evidence.oom_kills)" -ge 1 ] && [ "$(get .usage.peak_memory)" -gt 16777216 ]' \
        "with the kernel's count, and the peak"
}

limits_hold() {
    run sh '(x=a; while :; do x=$x$x; done); echo survived' --memory 32M
    is "$(get .verdict)" oom "a child that is too big takes its task with it"
    run sh 'head -c 60000000 /dev/zero >/tmp/file; echo no' --memory 32M
    unlike "$(get '.verdict')" "succeeded" "what is written to /tmp is memory"
    run sh 'n=0; while [ $n -lt 40 ]; do sleep 5 & n=$((n+1)); done; echo made $n' --pids 10
    unlike "$(get '.output_b64' | base64 -d)" "made 40" "forks beyond the limit fail"
    run sh 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done' --cpus 0.2
    ok '[ "$(get .usage.wall_ms)" -gt "$(( 2 * ($(get .usage.user_ms) + $(get .usage.sys_ms)) ))" ]' \
        "a busy task is slowed down to its share"
}

nothing_outlives() { # its task
    run sh 'bomb() { while :; do bomb & done 2>/dev/null; }; bomb & bomb & while :; do :; done' --timeout 2s --pids 60
    is "$(get .verdict)" timeout "a fork bomb is timed out"
    run bare '(trap "" TERM; setsid sleep 631 &); while :; do sleep 632; done' --timeout 2s
    is "$(get '.verdict')" timeout "one without any namespace, too"
    is "$(pgrep -f 'sleep 63[12]')" "" "and what it left behind is gone"
    is "$(task_groups)" "" "no group is left"
}

start_again() {
    local id
    id=$(ask submit -e sh --memory 64M -- "echo up >$T/marks/stay; while [ ! -e $T/marks/go ]; do sleep 0.2; done; echo done")
    wait_for '[ -e "$T/marks/stay" ]'
    ok 'stop_berth' "it stops while a task runs"
    isnt "$(task_groups)" "" "whose group stays"
    ok 'start_berth' "and starts again beside it"
    touch "$T/marks/go"
    wait_for '[ "$(ask status --json '"$id"' | jq -r .state)" = done ]'
    is "$(ask result "$id" --json | jq -r '.verdict + " " + (.attempt|tostring)')" "succeeded 1" \
        "which goes on, and is done once"
}

supervisor_dies() {
    local id
    id=$(ask submit -e bare -- "(setsid sleep 633 &); echo \$\$ >>$T/marks/first; exec sleep 633")
    wait_for '[ -s "$T/marks/first" ] && [ "$(pgrep -c -f "sleep 633")" -ge 2 ]'
    kill -KILL "$(role_pid "task $id")"
    wait_for '[ ! -d "/proc/$(head -n 1 "$T/marks/first")" ]'
    tap_line $? "a supervisor dies, and its payload with it"
    wait_for '[ "$(wc -l <"$T/marks/first")" -eq 2 ]'
    wait_for '[ "$(pgrep -c -f "sleep 633"),$(task_groups | wc -l)" = 2,1 ]'
    tap_line $? "nothing of it is left when it is tried again"
    ask cancel "$id" >/dev/null
    wait_for '! pgrep -f "sleep 633"'
    tap_line $? "and nothing of that when it is cancelled"
}

written
too_much
case $layout in
subgroup | user)
    limits_hold
    nothing_outlives
    start_again
    supervisor_dies
    ;;
service) start_again ;;
container)
    other=$(pgrep -f 'sleep 1001') # see layout.sh
    like "$(cat "$tree/daemon/cgroup.procs")" "(^|[^0-9])$other([^0-9]|$)" "who was there before was moved out of the way"
    kill "$other"
    ;;
esac
done_testing
