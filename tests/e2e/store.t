#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What was acknowledged is kept: over kill -9, a full disk, a damaged database; old results go as the
# operator says; one daemon per state directory.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
need curl
use_berth
mkdir -m 1777 "$T/marks"
runtimes_extra=', { plugin = "null"; }'
sh_extra="bind_rw = [ \"$T/marks\" ];"
executers_extra=', { name = "null"; runtime = "null"; }'
base_config >"$BERTH_CONFIG"
get() { jq -r "$1" <<<"$result"; }
usable() { wait_for '[ "$(berth runtimes --json | jq -c "[.runtimes[].healthy]")" = "[true,true]" ]'; }
post() { # FILE: the status; the answer is in $T/body
    curl -s -o "$T/body" -w '%{http_code}' -H 'Content-Type: application/json' --data-binary "@$1" "$url/v1/tasks"
}
count_done() {
    berth list --json --limit 1000 --state 'done' | jq '.tasks|length'
}

# ---- kill -9 in the middle of submissions ----

ok 'start_berth' "berthd starts"
usable
client() { # NUMBER: sends 50 tasks, each until it is acknowledged; then, and only then, it notes the id
    local i code
    for ((i = 0; i < 50; i++)); do
        printf '{"id":"kill-%d-%d","executer":"sh","args":["echo x >>%s/marks/kill-%d-%d"]}' "$1" "$i" "$T" "$1" "$i" >"$T/client.$1"
        code=000
        for ((n = 0; n < 3000; n++)); do
            code=$(curl -s -o /dev/null -m 20 -w '%{http_code}' -H 'Content-Type: application/json' \
                --data-binary "@$T/client.$1" "$url/v1/tasks")
            case $code in
            202 | 200) break ;;
            000 | 503) sleep 0.01 ;;
            *) break ;;
            esac
        done
        echo "$code kill-$1-$i" >>"$T/acks.$1"
    done
}
clients=()
for i in 1 2 3 4; do
    : >"$T/acks.$i"
    client "$i" &
    clients+=($!)
done
for enough in 40 90 140; do
    wait_for '[ "$(cat "$T"/acks.* | wc -l)" -ge '$enough' ]' 120
    old=$(role_pid host)
    kill -KILL "$old"
    wait_for '[ -n "$(role_pid host)" ] && [ "$(role_pid host)" != '"$old"' ]'
done
wait "${clients[@]}"
is "$(cat "$T"/acks.* | grep -cE '^20[02] ')" 200 "200 submissions, three times kill -9 of the host: each is acknowledged in the end"
wait_for '[ "$(count_done)" -ge 200 ]' 120
berth list --json --limit 1000 | jq -r '.tasks[].id' | sort >"$T/ids"
is "$(wc -l <"$T/ids") $(uniq "$T/ids" | wc -l)" "200 200" "each is there, once"
is "$(berth list --json --limit 1000 | jq -r '.tasks[].verdict' | sort | uniq -c | tr -s ' ')" " 200 succeeded" "each has its result"
is "$(cat "$T"/marks/kill-* | wc -l) $(ls "$T/marks" | wc -l)" "200 200" "each ran, once"
is "$(left_attempts)" "" "no attempt's directory is left"

# ---- retention ----

running=$(submit_sh "while [ ! -e $T/marks/go ]; do sleep 0.05; done; echo kept")
wait_for '[ "$(task_state "$running")" = running ]'
id=$(berth submit -e null -- print=newest </dev/null)
result_of "$id" >/dev/null
host_extra="retention = { count = 10; };" base_config >"$BERTH_CONFIG"
ok 'berth reload && wait_for "berth status" && usable' "reload with retention by count"
ok 'wait_for "[ \"\$(count_done)\" = 10 ]"' "of 201 results ten are kept"
ok 'berth result "$id"' "among them the newest"
ok '! berth result kill-1-0' "and not the oldest"
like "$(berth result kill-1-0 2>&1)" "no task 'kill-1-0'" "which is not known any more"
is "$(curl -s -o /dev/null -w '%{http_code}' "$url/v1/tasks/kill-1-0")" 404 "over HTTP: 404"
old_ms=$(berth status --json "$id" | jq .finished_ms)
wait_for '[ $(($(date +%s%3N) - old_ms)) -gt 1100 ]'
host_extra='retention = { age = "1s"; };' base_config >"$BERTH_CONFIG"
ok 'berth reload && wait_for "berth status" && usable' "reload with retention by age"
ok 'wait_for "[ \"\$(count_done)\" = 0 ]"' "results older than that are gone"
is "$(task_state "$running")" running "a task that runs is not old, however long it takes"
base_config >"$BERTH_CONFIG"
ok 'berth reload && wait_for "berth status" && usable' "reload"
touch "$T/marks/go"
result=$(result_of "$running")
is "$(get .verdict) $(get .output_b64 | base64 -d)" "succeeded kept" "and its result arrives"

# ---- a second daemon ----

mkdir "$T/run2"
ln -s "$T/state" "$T/link"
other=$(free_port)
sed -e "s|run_dir = [^;]*|run_dir = \"$T/run2\"|; s|127.0.0.1:$port|127.0.0.1:$other|" "$BERTH_CONFIG" >"$T/second.conf"
for dir in state link; do
    sed -i "s|state_dir = [^;]*|state_dir = \"$T/$dir\"|" "$T/second.conf"
    err=$(BERTH_CONFIG=$T/second.conf "$T/bin/berthd" 2>&1 </dev/null); status=$?
    is "$status" 1 "a second daemon on the same state directory ($dir): does not start"
    like "$err" "already runs.*pid $daemon_pid" "and says who is there"
done
ok 'berth status' "the first one has not noticed"
is "$(cat "$T/state/monitor.lock")" "$daemon_pid" "nor lost its lock"

# ---- a damaged database ----

stop_berth
cp -a "$T/state/berth.db" "$T/good.db"
ok '[ ! -s "$T/state/berth.db-wal" ]' "a daemon that stopped leaves no log beside its database"
size=$(stat -c %s "$T/state/berth.db")
damaged() { # NAME: a daemon with what is in place of the database
    local sum
    sum=$(md5sum <"$T/state/berth.db")
    timeout 60 "$T/bin/berthd" >"$T/damaged.log" 2>&1 </dev/null
    is "$?" 1 "$1: berthd does not start"
    like "$(grep -m 1 "cannot start" "$T/damaged.log")" "berth.db' is damaged .*recover" "$1: said so, with a way out"
    is "$(md5sum <"$T/state/berth.db")" "$sum" "$1: what is there is not touched"
}
printf 'this is no database at all' | dd of="$T/state/berth.db" conv=notrunc status=none
damaged "a database with a broken head"
cp "$T/good.db" "$T/state/berth.db"
head -c $((size - 4096)) /dev/zero | tr '\0' '\377' | dd of="$T/state/berth.db" bs=4096 seek=1 conv=notrunc status=none
damaged "a database with broken pages"
cp "$T/good.db" "$T/state/berth.db"
truncate -s $((size - 5000)) "$T/state/berth.db"
damaged "a database that was cut"
cp "$T/good.db" "$T/state/berth.db"
ok 'start_berth' "with the good one in place it starts"
is "$(berth result --json "$running" | jq -r .verdict)" succeeded "and has what it had"
stop_berth

# ---- a full disk ----

if [ "$(id -u)" -ne 0 ] || ! mount -t tmpfs -o size=8m,mode=0755 tmpfs "$T/state" 2>/dev/null; then
    skip_machine "no tmpfs can be mounted here" 17
    done_testing
fi
ok 'start_berth' "berthd starts on a small disk"
usable
runners=()
for i in 1 2 3; do
    runners+=("$(submit_sh "echo early $i; while [ ! -e $T/marks/full ]; do sleep 0.05; done; echo late $i >$T/marks/late-$i")")
done
for id in "${runners[@]}"; do wait_for '[ "$(berth logs '"$id"')" ]'; done
head -c 16M /dev/zero >"$T/state/ballast" 2>/dev/null
is "$(df --output=avail "$T/state" | tail -n 1 | tr -d ' ')" 0 "its disk is full"

# What SQLite has of its log already can still take some.
head -c 60000 /dev/urandom | base64 -w0 | jq -R '{executer:"null",args:["print=x"],input:.}' >"$T/task.json"
taken=()
code=
for ((i = 0; i < 200; i++)); do
    jq -c --arg id "full-$i" '.id = $id' "$T/task.json" >"$T/one.json"
    code=$(post "$T/one.json")
    [ "$code" = 202 ] || break
    taken+=("full-$i")
done
is "$code" 507 "a task that cannot be kept is refused with 507"
is "$(jq -r .type "$T/body")" "urn:berth:problem:no-space" "with the kind of the problem"
like "$(jq -r .detail "$T/body")" "disk" "and its reason"
err=$(berth submit --file "$T/one.json" 2>&1 </dev/null); status=$?
is "$status" 5 "berth submit: refused"
like "$err" "disk" "with the reason"
is "$(curl -s -o "$T/body" -w '%{http_code}' "$url/readyz")" 503 "the node is not ready"
like "$(cat "$T/body")" "disk" "and says why"
ok 'berth list' "questions are answered"
diag "${#taken[@]} were taken before that"

touch "$T/marks/full"
wait_for '[ "$(cat "$T"/marks/late-* | wc -l)" = 3 ]'
wait_for 'grep -q "cannot store the result" "$T/berthd.log"'
host=$(role_pid host)
is "$(count_done)" 0 "what ends now is not called done as long as its result cannot be kept"
rm "$T/state/ballast"
for id in "${runners[@]}"; do
    result=$(result_of "$id")
    is "$(get .verdict) $(get .output_b64 | base64 -d | cut -c1-5)" "succeeded early" "a task that ran through it has its result once there is space"
done
ok 'wait_for "curl -sf $url/readyz"' "the node is ready again"
lost=
for id in "${taken[@]}"; do
    [ "$(result_of "$id" | jq -r .verdict)" = succeeded ] || lost+=" $id"
done
is "$lost" "" "of those that were taken none is lost"
is "$(role_pid host)" "$host" "the host lived through all of it"
is "$(grep -c "new tasks are refused" "$T/berthd.log") $(grep -c "cannot store the result" "$T/berthd.log") $(grep -c "there is room" "$T/berthd.log")" "1 3 1" \
    "the operator is told, and not more often than needed"
is "$(post "$T/one.json")" 202 "and takes tasks"
result=$(result_of "full-$i")
is "$(get .verdict)" succeeded "which run"

head -c 16M /dev/zero >"$T/state/ballast" 2>/dev/null
jq -c '.id = "refused"' "$T/task.json" >"$T/one.json"
wait_for '[ "$(post "$T/one.json")" = 507 ]'
is "$(curl -s -o /dev/null -w '%{http_code}' "$url/readyz")" 503 "full again: not ready"
rm "$T/state/ballast"
ok 'wait_for "curl -sf $url/readyz"' "and ready again when there is room, without anybody sending a task"

# The same, but the daemon has to start on a full disk.
id=$(submit_sh "while [ ! -e $T/marks/again ]; do sleep 0.05; done")
wait_for '[ "$(task_state "$id")" = running ]'
head -c 16M /dev/zero >"$T/state/ballast" 2>/dev/null
kill -KILL "$(role_pid host)"
touch "$T/marks/again"
wait_for '[ "$(role_pid host)" != "$host" ]'
wait_for 'berth status || grep -q "cannot start.*full" "$T/berthd.log"'
rm "$T/state/ballast"
result=$(result_of "$id")
is "$(get .verdict)" succeeded "a host that dies on a full disk: its tasks have their results in the end"
stop_berth
wait_for '[ -z "$(role_pids task)" ]'
umount "$T/state"
done_testing
