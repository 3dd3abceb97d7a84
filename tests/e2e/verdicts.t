#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# How tasks end: each verdict, with its blame and its evidence; each limit enforced.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
# shellcheck disable=SC2016
use_berth
executers_extra=', { name = "missing"; runtime = "process"; command = [ "/nonexistent/program" ]; }
  , { name = "bare"; runtime = "process"; command = [ "/bin/sh", "-c" ]; mount = false; pid = false; ipc = false; net = false;
      read_only = false; private_tmp = false; seccomp = false; own_uid = false; uts = false; devices = false; }'
ok 'base_config | start_berth -' "berthd starts"
wait_for '[ "$(berth runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'

run() { # TEXT [OPTIONS]: the result of a task, waited for
    local text=$1
    shift
    berth submit -e sh --wait --json "$@" -- "$text" </dev/null
}
get() { jq -r "$1" <<<"$result"; }

result=$(run 'echo out; echo err >&2; exit 0'); status=$?
is "$status" 0 "success: exit status of berth submit --wait"
is "$(get .verdict)" succeeded "success: verdict"
is "$(get .blame)" "" "success: blames nobody" || get .blame
is "$(get .exit_code)" 0 "success: exit code"
is "$(get .output_b64 | base64 -d)" out "success: output"
is "$(get .stderr_tail)" "err" "success: tail of the errors"
is "$(get .attempt)" 1 "success: first attempt"
is "$(get .host)" testnode "success: the node's name"
ok '[ "$(get .finished_ms)" -ge "$(get .started_ms)" ] && [ "$(get .started_ms)" -ge "$(get .queued_ms)" ]' "success: times in order"
ok '[ "$(get .usage.wall_ms)" -ge 0 ] && [ "$(get .usage.peak_memory)" -gt 0 ]' "success: usage"

result=$(run 'exit 7'); status=$?
is "$status" 10 "exit 7: exit status of berth submit --wait"
is "$(get '.verdict + " " + .blame + " " + (.exit_code|tostring)')" "failed task 7" "exit 7: failed, the task's fault, with its code"

result=$(run 'kill -SEGV $$')
is "$(get '.verdict + " " + .blame + " " + (.signal|tostring)')" "failed task 11" "a signal of its own: failed, with the signal"

result=$(run 'kill -KILL $$')
is "$(get '.verdict + " " + (.signal|tostring)')" "failed 9" "its own kill -9 is not called oom"

result=$(run 'exec sleep 600' --timeout 300ms); status=$?
is "$(get '.verdict + " " + .blame')" "timeout task" "timeout: told, and whose fault"
is "$status" 11 "timeout: exit status of berth submit --wait"
result=$(run 'trap "" TERM; while :; do sleep 1; done' --timeout 300ms)
is "$(get .verdict)" timeout "timeout: one that ignores SIGTERM is killed"
is "$(get '.signal')" 9 "timeout: by SIGKILL, after the grace"

soon=$(( $(date +%s%3N) + 400 ))
jq -n --argjson d "$soon" '{executer:"sh",args:["exec sleep 600"],deadline_ms:$d}' >"$T/deadline.json"
result=$(berth submit --file "$T/deadline.json" --wait --json </dev/null)
is "$(get .verdict)" timeout "a deadline in the middle of an attempt ends it"

if [ "$(berth explain sh --json | jq -r .limits.memory.enforced)" != no ]; then
    result=$(run 'x=a; while :; do x=$x$x; done' --memory 32M); status=$?
    is "$(get '.verdict + " " + .blame')" "oom task" "memory: oom, the task's fault"
    ok '[ "$(get .evidence.oom_kills)" -ge 1 ]' "memory: with the kernel's count as proof"
    is "$status" 12 "memory: exit status of berth submit --wait"
    is "$(get .limits.asked.memory)" 33554432 "memory: the limit asked for is in the result"
    isnt "$(get .limits.enforced.memory)" no "memory: and how it was enforced"
    result=$(run '(x=a; while :; do x=$x$x; done); echo survived' --memory 32M)
    ok '[ "$(get .verdict)" = succeeded ] || [ "$(get .verdict)" = oom ]' "memory: a child that was killed does not decide alone"
else
    skip_machine "no cgroup can hold memory here" 6
fi
if [ "$(berth explain sh --json | jq -r .limits.pids.enforced)" != no ]; then
    result=$(run 'n=0; while [ $n -lt 40 ]; do sleep 5 & n=$((n+1)); done; echo made $n' --pids 10 --timeout 20s)
    isnt "$(get .output_b64 | base64 -d)" "made 40" "pids: forks beyond the limit fail"
else
    skip_machine "nothing can hold the number of processes here"
fi
if [ "$(berth explain sh --json | jq -r .limits.cpus.enforced)" != no ]; then
    result=$(run 'i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done' --cpus 0.2)
    ok '[ "$(get .usage.wall_ms)" -gt "$(( 2 * $(get .usage.user_ms) ))" ]' "cpus: a busy task is slowed down to its share"
else
    skip_machine "no cgroup can hold cpus here"
fi

# ---- cancelling, refusing ----
id=$(submit_sh 'exec sleep 600')
wait_for '[ "$(task_state "$id")" = running ]'
ok 'berth cancel "$id"' "a running task can be cancelled"
result=$(result_of "$id")
is "$(get '.verdict + " " + .blame')" "cancelled caller" "cancelled while running"
ok '! berth cancel "$id"' "a task that is done cannot be cancelled"
is "$(berth result "$id" >/dev/null; echo $?)" 13 "berth result: exit status of a cancelled task"

result=$(berth submit -e missing --wait --json </dev/null)
is "$(get '.verdict')" runtime_error "a missing program: runtime_error"
like "$(get .error.message)" "/nonexistent/program.*[Nn]o such file" "a missing program: named, with the kernel's words"
is "$(get .attempt)" 1 "a missing program is not tried again"

err=$(berth submit -e chat </dev/null 2>&1); status=$?
is "$status" 4 "an unknown executer: exit status"
like "$err" "'chat'.*'cat'" "an unknown executer: named, with the nearest there is"
err=$(run 'true' --memory 100000G 2>&1); status=$?
is "$status" 5 "more memory than the node has: refused"
like "$err" "memory" "more memory than the node has: said so"

# ---- retries ----
result=$(run 'exit 3' --retries 2)
is "$(get '.verdict + " " + (.attempt|tostring)')" "failed 3" "two retries make three attempts"

# ---- the kill ladder ----
result=$(run 'setsid sh -c "sleep 611" & (setsid setsid sleep 611 &) ; echo gone')
is "$(get .verdict)" succeeded "a payload that leaves daemons behind has ended when it ends"
ok '! pgrep -f "sleep 611"' "and its daemons with it"

result=$(berth submit -e bare --wait --json --timeout 300ms -- '(setsid sleep 612 &) ; sleep 600' </dev/null)
is "$(get .verdict)" timeout "without any namespace: timed out"
ok '! pgrep -f "sleep 612"' "without any namespace: what it left behind is gone too"

# ---- isolation ----
result=$(run 'touch /etc/berth-was-here 2>&1; echo rc $?')
like "$(get .output_b64 | base64 -d)" "Read-only.*rc 1" "the system is read-only"
result=$(run 'echo private >/tmp/berth-private && ls /tmp | grep -v berth-test')
is "$(get .output_b64 | base64 -d)" berth-private "/tmp is its own"
ok '[ ! -e /tmp/berth-private ]' "and not the node's"
result=$(run 'pwd; echo x >file && cat file; ls -ld . | cut -c1-10')
like "$(get .output_b64 | base64 -d)" "/work.*x" "the work directory is its own and writable"
result=$(run "ls $T/state 2>&1; ls $T/run 2>&1; cat $T/state/berth.db 2>&1 | head -c 10")
unlike "$(get .output_b64 | base64 -d)" "berth.db$|SQLite|sock" "state and run directory are out of sight"
result=$(run 'cat /proc/net/dev | wc -l')
like "$(get .output_b64 | base64 -d)" "^3$" "no network interface but the loopback"
result=$(run 'env | sort' --env A=1)
unlike "$(get .output_b64 | base64 -d)" "BERTH_CONFIG|BERTH_TEST_MARK|BERTH_STATE_DIR" "the daemon's environment is not the payload's"
like "$(get .output_b64 | base64 -d)" "A=1" "the task's is"

# ---- output ----
head -c 300000 /dev/urandom >"$T/blob"
result=$(berth submit -e cat --wait --json <"$T/blob")
is "$(get .output_b64 | base64 -d | md5sum)" "$(md5sum <"$T/blob")" "300 kB of binary pass through unchanged"
result=$(run 'head -c 3000000 /dev/zero; echo end')
is "$(get .output_truncated)" true "more output than is kept: said so"
is "$(get .output_b64 | base64 -d | tail -c 4)" "end" "and the tail is kept"

# ---- files ----
echo hello >"$T/in.txt"
result=$(jq -n '{executer:"sh",args:["cat in.txt; tr a-z A-Z <in.txt >out.txt"],
    files:{in:[{path:"in.txt",data:"hello\n"}],out:[{path:"out.txt"}]}}' >"$T/files.json"; berth submit --file "$T/files.json" --wait --json </dev/null)
is "$(get .output_b64 | base64 -d)" hello "a file that travelled with the task is in the work directory"
is "$(get '.files[0].data_b64 // .files.out[0].data_b64' | base64 -d)" HELLO "a file asked for comes back"
err=$(jq -n '{executer:"sh",args:["true"],files:{in:[{path:"../x",data:"y"}]}}' >"$T/files.json"; berth submit --file "$T/files.json" --wait </dev/null 2>&1)
like "$err" "path" "a path out of the work directory is refused"
done_testing
