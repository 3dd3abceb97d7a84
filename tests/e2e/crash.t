#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# kill -9 of each role while tasks run and wait: payloads go on, results come exactly once, nothing is left.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
# shellcheck disable=SC2016
use_berth
mkdir -m 1777 "$T/marks"
sh_extra="bind_rw = [ \"$T/marks\" ]; max_running = 3;"
base_config >"$BERTH_CONFIG"
ok 'start_berth' "berthd starts"
usable() { wait_for '[ "$(berth runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'; }
usable

# Directories of attempts; those with a tilde are kept empty for the next one.
attempts() { find "$T/state/attempts" -mindepth 1 -maxdepth 1 ! -name "~*"; }

# A running task has two processes of ours: the supervisor and the init of its pid namespace.
# Each task writes a line when it starts and one when it ends; it ends when it is let go.
batch() { # NAME COUNT: ids in the array 'ids'
    local i
    ids=()
    for ((i = 0; i < $2; i++)); do
        ids+=("$(submit_sh "echo start >>$T/marks/$1.$i; while [ ! -e $T/marks/$1.go ]; do sleep 0.05; done; echo end >>$T/marks/$1.$i; echo done $i" --id "$1-$i")")
    done
    wait_for "[ \"\$(ls $T/marks | grep -c '^$1[.][0-9]')\" -ge 3 ]"
}
check_batch() { # NAME COUNT STARTS
    local i bad=""
    touch "$T/marks/$1.go"
    for ((i = 0; i < $2; i++)); do
        result=$(result_of "$1-$i") || bad="$bad $i:no-result"
        [ "$(jq -r .verdict <<<"$result")" = succeeded ] || bad="$bad $i:$(jq -c '[.verdict,.error]' <<<"$result")"
        [ "$(jq -r '.output_b64' <<<"$result" | base64 -d)" = "done $i" ] || bad="$bad $i:output"
        [ "$(grep -c end "$T/marks/$1.$i")" = 1 ] || bad="$bad $i:ends"
    done
    is "$bad" "" "$1: each of $2 tasks succeeded, once"
    is "$(cat "$T"/marks/"$1".[0-9]* | grep -c start)" "$3" "$1: no attempt was begun in vain"
    berth list --json --limit 1000 | jq -r --arg n "$1-" '.tasks[]|select(.id|startswith($n))|.id' | sort | uniq -d >"$T/twice"
    is "$(cat "$T/twice")" "" "$1: no task is there twice"
}

batch host 5
old=$(role_pid host)
kill -KILL "$old"
wait_for '[ -n "$(role_pid host)" ] && [ "$(role_pid host)" != '"$old"' ] && berth status'
check_batch host 5 5

batch worker 5
old=$(role_pid process)
kill -KILL "$old"
wait_for '[ -n "$(role_pid process)" ] && [ "$(role_pid process)" != '"$old"' ]'
usable
check_batch worker 5 5

batch both 5
kill -KILL "$(role_pid process)" "$(role_pid host)"
wait_for 'berth status'
usable
check_batch both 5 5

batch monitor 5
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
wait_for '[ -z "$(role_pid host)$(role_pid process)" ]'
is "$(attempts | wc -l) $(role_pids task | wc -l)" "3 6" "monitor: without it host and worker end, and the tasks go on"
ok 'start_berth' "monitor: a new daemon starts"
usable
check_batch monitor 5 5

batch stop 5
ok 'stop_berth' "stop: the daemon stops while tasks run"
is "$(attempts | wc -l) $(role_pids task | wc -l)" "3 6" "stop: the tasks go on"
touch "$T/marks/stop.go"
wait_for '[ "$(cat $T/marks/stop.[0-9]* | grep -c end)" = 3 ]'
ok 'start_berth' "stop: it starts again after tasks have ended meanwhile"
usable
check_batch stop 5 5

batch reload 5
old=$(role_pid host)
ok 'berth reload' "reload: accepted"
wait_for '[ "$(role_pid host)" != '"$old"' ] && berth status'
is "$(role_pid monitor)" "$daemon_pid" "reload: the daemon's pid stays"
usable
check_batch reload 5 5

cp "$BERTH_CONFIG" "$T/good.conf"
echo 'hots = { };' >>"$BERTH_CONFIG"
err=$(berth reload 2>&1)
like "$err" "hots.*host" "reload: a broken config is refused, with its fault named"
ok 'berth status' "reload: and the daemon goes on with the old one"
for key in state_dir run_dir; do
    sed "s|$key = \"[^\"]*|&-other|" "$T/good.conf" >"$BERTH_CONFIG"
    err=$(berth reload 2>&1)
    like "$err" "'host.$key'.*restart" "reload: another $key is refused"
done
if [ "$(id -u)" -eq 0 ]; then
    sed 's|host = {|& user = "nobody";|' "$T/good.conf" >"$BERTH_CONFIG"
    like "$(berth reload 2>&1)" "'host.user'.*restart" "reload: another user is refused"
fi
is "$(role_pid monitor) $(role_pids host | wc -l)" "$daemon_pid 1" "reload: and the daemon goes on"
cp "$T/good.conf" "$BERTH_CONFIG"

# A supervisor that dies takes its payload with it; the attempt is lost, and made again for free.
touch "$T/marks/sup"
chmod 666 "$T/marks/sup" # the second attempt may have another uid
id=$(submit_sh "echo start >>$T/marks/sup; [ -e $T/marks/sup.go ] || exec sleep 613.$$; echo again")
wait_for '[ "$(task_state "$id")" = running ] && pgrep -f "^sleep 613.$$"'
touch "$T/marks/sup.go"
berth events "$id" >"$T/events" 2>&1 &
events=$!
kill -KILL "$(role_pid "task $id")"
result=$(result_of "$id")
kill "$events" 2>/dev/null
is "$(jq -r '.verdict + " " + (.attempt|tostring)' <<<"$result")" "succeeded 2" "supervisor: the attempt was lost and made again"
ok '! pgrep -f "sleep 613.$$"' "supervisor: its payload died with it"
is "$(wc -l <"$T/marks/sup")" 2 "supervisor: it ran twice, as the result says"

# An idle one reads what a host told it that died since. The next host has found no attempt, and has it made elsewhere.
wait_for '[ -n "$(role_pid idle)" ]'
old=$(role_pid host)
idle=$(role_pids idle)
for pid in $idle; do kill -STOP "$pid"; done
touch "$T/marks/idle"
chmod 666 "$T/marks/idle"
id=$(submit_sh "echo \$BERTH_ATTEMPT >>$T/marks/idle")
wait_for '[ "$(task_state "$id")" = starting ]'
kill -KILL "$old"
result=$(result_of "$id")
is "$(jq -r .verdict <<<"$result") $(wc -l <"$T/marks/idle")" "succeeded 1" "idle supervisor: the next host does not wait for it"
for pid in $idle; do kill -CONT "$pid"; done
for pid in $idle; do wait_for "! is_alive $pid"; done
is "$(wc -l <"$T/marks/idle")" 1 "idle supervisor: what the dead host told it is not begun"

host_extra="max_losses = 0;" base_config >"$BERTH_CONFIG"
ok 'berth reload' "reload with other limits"
wait_for 'berth status'; usable
id=$(submit_sh "exec sleep 614.$$")
wait_for '[ "$(task_state "$id")" = running ] && pgrep -f "sleep 614.$$"'
kill -KILL "$(role_pid "task $id")"
result=$(result_of "$id")
is "$(jq -r '.verdict + " " + .blame' <<<"$result")" "lost node" "supervisor: lost is the node's fault"

# Worker and supervisor at once: nobody is left who saw it.
id=$(submit_sh "exec sleep 615.$$")
wait_for '[ "$(task_state "$id")" = running ] && pgrep -f "sleep 615.$$"'
kill -KILL "$(role_pid process)" "$(role_pid "task $id")"
result=$(result_of "$id")
is "$(jq -r '.verdict + " " + .blame' <<<"$result")" "lost node" "worker and supervisor: lost, and told"
ok '! pgrep -f "sleep 615.$$"' "worker and supervisor: the payload is gone"

# A worker that was stopped still reads what a host told it that is gone. The next one waits for its end.
old=$(role_pid process)
kill -STOP "$old"
id=$(submit_sh "echo \$BERTH_ATTEMPT >>$T/marks/stopped")
wait_for '[ "$(task_state "$id")" = starting ]'
kill -KILL "$daemon_pid"
wait "$daemon_pid" 2>/dev/null
wait_for '[ -z "$(role_pid host)" ]'
ok 'start_berth' "stopped worker: a new daemon starts"
wait_for 'grep -q "waits for its lock" "$T/berthd.log"'
kill -CONT "$old"
result=$(result_of "$id")
is "$(jq -r '.verdict + " " + (.attempt|tostring)' <<<"$result") $(cat "$T/marks/stopped")" "succeeded 1 1" \
    "stopped worker: its attempt is the only one"

# Only one daemon per state directory.
err=$("$T/bin/berthd" 2>&1); status=$?
isnt "$status" 0 "a second daemon does not start"
like "$err" "already runs.*$daemon_pid" "and says who is there"
is "$(attempts | wc -l)" 0 "no attempt's directory is left" || ls -R "$T/state/attempts"
done_testing
