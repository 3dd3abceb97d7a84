#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# A runtime that breaks, in every way and in every callback: the attempt ends with the right verdict and
# blame, nothing stays behind, and the next task is fine.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
use_berth
mkdir -m 1777 "$T/marks" "$T/instances"

faulty() { # NAME [KEYS]: a runtime with this fault, and its executer
    runtimes_extra+=", { plugin = \"null\"; name = \"$1\"; fault = \"$1\"; ${2:-} }"
    executers_extra+=", { name = \"$1\"; runtime = \"$1\"; image = \"image\"; }"
}
runtimes_extra=", { plugin = \"null\"; instances = \"$T/instances\"; }
  , { plugin = \"process\"; name = \"poor\"; capabilities = [ \"setuid\", \"kill\" ]; }"
executers_extra=', { name = "null"; runtime = "null"; image = "image"; }
  , { name = "poor"; runtime = "poor"; command = [ "/bin/true" ]; }'
runtimes_extra+=', { plugin = "null"; name = "at-once"; at_once = true; }'
executers_extra+=', { name = "at-once"; runtime = "at-once"; }
  , { name = "held"; runtime = "at-once"; require = [ "pids" ]; resources = { pids = 5; }; }'
for callback in prepare run collect; do
    for how in fail hang crash; do
        faulty "$callback-$how"
    done
done
for name in cleanup-fail cleanup-crash probe-fail probe-hang probe-crash; do
    touch "$T/marks/$name"
    faulty "$name" "fault_while = \"$T/marks/$name\"; instances = \"$T/instances\";"
done
for callback in open start; do
    faulty "$callback-fail"
    faulty "$callback-crash"
done
host_extra="max_losses = 1;" base_config >"$BERTH_CONFIG"
ok 'start_berth' "berthd starts, whatever its runtimes do"
runtime() { berth runtimes --json | jq -r ".runtimes[]|select(.name == \"$1\")|$2"; }
wait_for '[ "$(runtime null .healthy)" = true ] && [ "$(runtime process .healthy)" = true ]'

run() { # EXECUTER [OPTIONS --] WORDS: the result, waited for
    local executer=$1
    shift
    berth submit -e "$executer" --wait --json "$@" </dev/null
}
get() { jq -r "$1" <<<"$result"; }
ends() { # NAME "VERDICT BLAME ATTEMPTS"
    is "$(get '.verdict + " " + (.blame // "") + " " + (.attempt|tostring)')" "$2" "$1: verdict, blame, attempts" ||
        diag "$(get '{error,evidence}')"
}

# ---- the payload ----

result=$(run null -- print=hello warn=careful)
ends "a good task" "succeeded  1"
is "$(get '.output_b64' | base64 -d) $(get .stderr_tail)" "hello careful" "a good task: both outputs"
result=$(run null -- exit=3); ends "exit" "failed task 1"
is "$(get .exit_code)" 3 "exit: its code"
result=$(run null --timeout 300ms -- hang); ends "hang" "timeout task 1"
result=$(run null --timeout 300ms -- ignore-term hang); ends "hang, ignoring SIGTERM" "timeout task 1"
is "$(get .evidence.sigkill)" true "hang, ignoring SIGTERM: SIGKILL it was"
result=$(run null --timeout 300ms -- fork=5 ignore-term hang); ends "hang with children" "timeout task 1"
result=$(run null -- crash=segv); ends "crash" "plugin_error runtime 2"
result=$(run null -- crash=abort); ends "abort" "plugin_error runtime 2"
result=$(run null -- crash=kill); ends "killed by somebody" "runtime_error node 2"
result=$(run null -- fail=EIO); ends "fail" "runtime_error runtime 2"
like "$(get .error.message)" "failed on request" "fail: in the runtime's own words"
result=$(run null -- fail-image); ends "fail, the caller's fault" "image_error caller 1"
result=$(run null -- fail-preempted); ends "preempted by the runtime's own word" "preempted node 2"
result=$(run null -- nonsense); ends "refused by the runtime" "rejected caller 1"
like "$(get .error.message)" "nonsense" "refused by the runtime: with its reason"
result=$(run null -- exit=1 report=oom); ends "oom by the engine's word" "oom task 1"
is "$(get .evidence.engine_oom_killed)" true "oom by the engine's word: which is named as proof"
result=$(run null -- report=7); ends "an exit code by the engine's word" "failed task 1"
is "$(get .exit_code)" 7 "an exit code by the engine's word: taken"
result=$(run null -- flood=3M print=end)
is "$(get .output_truncated) $(get .output_b64 | base64 -d | tail -c 4)" "true end" "flood: cut, with its end kept"
result=$(run null --timeout 20s -- sleep=300ms print=late); ends "slow" "succeeded  1"
if [ "$(berth explain null --json | jq -r .limits.memory.enforced)" != rlimit ]; then
    result=$(run null --memory 32M -- leak=256M); ends "leak" "oom task 1"
    is "$(runtime null .healthy)" true "leak: the runtime has not suffered"
else
    skip_machine "no cgroup can hold memory here" 2
fi
is "$(ls "$T/instances")" "" "no instance is left by any of these"

# ---- each callback ----

result=$(run run-fail -- print=x); ends "run fails" "runtime_error runtime 2"
result=$(run run-crash -- print=x); ends "run crashes" "plugin_error runtime 2"
result=$(run run-hang --timeout 300ms -- print=x); ends "run hangs" "timeout task 1"
result=$(run prepare-fail -- print=x); ends "prepare fails" "image_error runtime 2"
like "$(get .error.message)" "prepare failed on request" "prepare fails: in the runtime's own words"
result=$(run prepare-crash -- print=x)
is "$(get '.verdict + " " + .blame')" "plugin_error runtime" "prepare crashes: the plugin's error" || diag "$(get .error)"
like "$(get .error.message)" "crashed with signal 11" "prepare crashes: said so"
id=$(berth submit -e prepare-hang -- print=x </dev/null)
wait_for '[ "$(task_state "$id")" = starting ]'
ok 'berth cancel "$id"' "prepare hangs: the task can be cancelled"
result=$(result_of "$id"); ends "prepare hangs" "cancelled caller 1"
jq -n --argjson d "$(($(date +%s%3N) + 400))" '{executer:"prepare-hang",args:["print=x"],deadline_ms:$d}' >"$T/deadline.json"
result=$(berth submit --file "$T/deadline.json" --wait --json </dev/null)
ends "prepare hangs, with a deadline" "timeout caller 1"

hangs=$(berth submit -e collect-hang -- print=x </dev/null)
for how in fail crash; do
    result=$(run collect-$how -- print=x); ends "collect: $how" "succeeded  1"
    like "$(get .evidence.engine)" "collect: " "collect: $how: is in the evidence"
done
for how in fail crash; do
    result=$(run cleanup-$how -- print=x); ends "cleanup: $how" "succeeded  1"
    isnt "$(ls "$T/instances")" "" "cleanup: $how: the instance is there as long as that"
    id=late-$how
    result=$(run cleanup-$how --id "$id" --timeout 300ms -- hang) &
    late=$!
    wait_for '[ "$(task_state "$id")" = running ]'
    is "$(berth list --json -e cleanup-$how --state running | jq '.tasks|length')" 1 \
        "cleanup: $how: the result of a killed attempt waits for it"
    wait_for 'grep -q "$id: its instance cannot be removed" "$T/berthd.log"'
    rm "$T/marks/cleanup-$how"
    ok 'wait "$late"; wait_for "[ -z \"\$(ls $T/instances)\" ]"' "cleanup: $how: and is tried until it succeeds"
    result=$(result_of "$id"); ends "cleanup: $how, after a timeout" "timeout task 1"
done
result=$(result_of "$hangs"); ends "collect hangs" "succeeded  1"
like "$(get .evidence.engine)" "collect: .*took too long" "collect hangs: is in the evidence"

# ---- a runtime that cannot be used ----

for name in probe-fail probe-hang probe-crash open-fail open-crash start-fail start-crash poor; do
    wait_for '[ -n "$(runtime '$name' .detail)" ]' 30
    is "$(runtime $name .healthy)" false "$name: not usable"
done
like "$(runtime probe-fail .detail)" "probe failed on request" "probe-fail: its reason is shown"
like "$(runtime probe-hang .detail)" "probe.*took too long" "probe-hang: its reason is shown"
like "$(runtime probe-crash .detail)" "probe.*crashed with signal 11" "probe-crash: its reason is shown"
like "$(runtime open-fail .detail)" "open failed on request" "open-fail: its reason is shown"
like "$(runtime start-fail .detail)" "start failed on request" "start-fail: its reason is shown"
like "$(berth executers --json | jq -c '.executers[]|select(.name=="probe-fail")')" '"healthy":false' "its executer is shown as not usable"
ok '! curl -sf "$url/readyz"' "the node is not ready as long as a runtime is not usable"
like "$(curl -s "$url/readyz")" "not usable" "and says which"

# ---- answers without a process ----

wait_for '[ "$(runtime at-once .healthy)" = true ]'
result=$(berth submit -e at-once --wait --json -- print=x <<<"in and out"); ends "answered at once" "succeeded  1"
is "$(get '.output_b64' | base64 -d) $(get '.limits.enforced.memory')" "in and out no" "its output, and that nothing held it"
is "$(left_attempts)" "" "it has no directory"
if [ "$(berth explain held --json | jq -r '.limits.pids.enforced')" != no ]; then
    result=$(run held -- print=x); ends "a limit is required" "succeeded  1"
    is "$(get '.output_b64' | base64 -d)" "x" "so that one is run in a process that the limit can hold"
else
    skip_machine "no cgroup to hold a limit" 2
fi
for i in $(seq 200); do
    [ $((i % 50)) -ne 0 ] || kill -KILL "$(role_pid at-once)"
    berth submit -e at-once --id "once$i" </dev/null
done >/dev/null
for i in $(seq 200); do result_of "once$i" | jq -r .verdict; done >"$T/once"
is "$(sort "$T/once" | uniq -c | xargs)" "200 succeeded" "none is lost with its worker"

if [ "$(id -u)" -eq 0 ]; then
    like "$(runtime poor .detail)" "'poor'.*setgid.*sys_admin.*capabilities.*berth.conf:[0-9]+" \
        "a capability that was not granted: named, with the place in the config"
    like "$(runtime poor .detail)" 'capabilities = \[ .*"setgid"' "and with the line to write there"
else
    skip_machine "not root: there is nothing to grant" 2
fi

id=$(berth submit -e probe-fail -- print=patience </dev/null)
is "$(task_state "$id")" queued "a task of a runtime that is not usable waits"
result=$(run null -- print=x); ends "meanwhile, another runtime" "succeeded  1"
rm "$T/marks/probe-fail" "$T/marks/probe-crash" "$T/marks/probe-hang"
ok 'wait_for "[ \"\$(runtime probe-fail .healthy)\" = true ]"' "a later probe finds it in order"
result=$(result_of "$id"); ends "the task that waited" "succeeded  1"
result=$(run probe-crash -- print=x); ends "probe-crash, later" "succeeded  1"

id=$(berth submit -e open-crash -- print=x </dev/null)
is "$(task_state "$id")" queued "a task of a runtime that crashes at once waits"
ok 'berth cancel "$id"' "and can be cancelled"
result=$(result_of "$id"); ends "waiting for a broken runtime" "cancelled caller 0"

result=$(run null -- print=fine); ends "after all this" "succeeded  1"
result=$(berth submit -e sh --wait --json -- 'echo fine' </dev/null); ends "after all this, in another runtime" "succeeded  1"
is "$(ls "$T/instances")" "" "no instance is left"
is "$(left_attempts)" "" "no attempt's directory is left"
done_testing
