#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Who runs when: priority, shares, limits, resources, GPUs, deadlines, retries. The runtime is the fake one
# where a task only has to take its time.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
need curl
use_berth
mkdir -m 1777 "$T/marks"
runtimes_extra=', { plugin = "null"; }'
little='resources = { memory = "32M"; };'
sh_extra="bind_rw = [ \"$T/marks\" ]; $little"
executers_extra=", { name = \"null\"; runtime = \"null\"; $little }
  , { name = \"one\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; bind_rw = [ \"$T/marks\" ]; max_running = 1; $little }
  , { name = \"two\"; runtime = \"null\"; max_running = 2; $little }"
config() { # HOST KEYS [FURTHER TEXT]
    host_extra="resources = { cpus = 4.0; memory = \"1G\"; pids = 4096; }; gpus = [ \"0\", \"1\" ]; $1" base_config "${2:-}"
}
usable() { wait_for '[ "$(berth runtimes --json | jq -c "[.runtimes[].healthy]")" = "[true,true]" ]'; }
restart() { # like config: the daemon with that one
    config "$@" >"$BERTH_CONFIG"
    berth reload && wait_for 'berth status' && usable
}
config "" >"$BERTH_CONFIG"
ok 'start_berth' "berthd starts"
usable
get() { jq -r "$1" <<<"$result"; }
state_is() { wait_for '[ "$(task_state '"$1"')" = '"$2"' ]' "${3:-30}"; }
ended() { state_is "$1" 'done' "${2:-30}"; } # ID [SECONDS]
submit() { # EXECUTER ID WORDS...
    local executer=$1 id=$2
    shift 2
    berth submit -e "$executer" --id "$id" "$@" </dev/null >/dev/null
}
started() { berth status --json "$1" | jq -r '.started_ms // empty'; }

# ---- priority ----
# One at a time; the first holds the door until all of the others wait.
submit one first -- "while [ ! -e $T/marks/first ]; do sleep 0.02; done"
state_is first running
for i in 1 2 3 4 5 6 7 8 9; do
    submit one "prio-$i" --priority $(((i * 7) % 10)) -- "echo $(((i * 7) % 10)) >>$T/marks/order"
done
is "$(berth status --json prio-9 | jq -r .state)" queued "max_running of an executer: one runs, others wait"
touch "$T/marks/first"
ended prio-3 && for i in 1 2 3 4 5 6 7 8 9; do ended "prio-$i"; done
is "$(tr -d '\n' <"$T/marks/order")" 987654321 "the highest priority comes first"
rm -f "$T/marks/order"
submit one door -- "while [ ! -e $T/marks/door ]; do sleep 0.02; done"
state_is door running
for i in 1 2 3 4 5 6; do submit one "fifo-$i" -- "echo $i >>$T/marks/order"; done
touch "$T/marks/door"
ended fifo-6
is "$(tr -d '\n' <"$T/marks/order")" 123456 "within one priority: in the order of arrival"

# ---- limits on what runs ----
for i in 1 2 3 4; do submit two "two-$i" -- hang; done
state_is two-1 running && state_is two-2 running
is "$(berth executers --json | jq -c '.executers[]|select(.name=="two")|[.running,.waiting]')" "[2,2]" \
    "max_running of an executer: two run, two wait"
submit null other -- print=x
ok 'ended other' "another executer is not held up by that"
berth cancel two-1 >/dev/null
ok 'state_is two-3 running' "the next one follows when one ends"
is "$(task_state two-4)" queued "and no more than that"

# ---- cancelling what waits ----
ok 'berth cancel two-4' "a waiting task can be cancelled"
result=$(result_of two-4)
is "$(get '.verdict + " " + .blame + " " + (.attempt|tostring)')" "cancelled caller 0" "cancelled before it ran: no attempt was made"
is "$(get '.started_ms')" null "and it never started"
berth cancel two-2 two-3 >/dev/null
ended two-2 && ended two-3

# ---- a deadline that passes while it waits ----
submit one block -- "while [ ! -e $T/marks/block ]; do sleep 0.02; done"
state_is block running
jq -n --argjson d "$(($(date +%s%3N) + 300))" '{id:"too-late",executer:"one",args:["true"],deadline_ms:$d}' >"$T/task.json"
result=$(berth submit --file "$T/task.json" --wait --json </dev/null)
is "$(get '.verdict + " " + .blame + " " + (.attempt|tostring)')" "timeout caller 0" "a deadline that passes in the queue: no attempt is made"
like "$(get .error.message)" "deadline.*before" "and said so"
touch "$T/marks/block"
ended block

# ---- retries ----
result=$(berth submit -e sh --wait --json --retries 3 -- "echo x >>$T/marks/tries; [ \$(wc -l <$T/marks/tries) -ge 3 ]" </dev/null)
is "$(get '.verdict + " " + (.attempt|tostring)')" "succeeded 3" "its own failures are retried until it succeeds"
rm "$T/marks/tries"
result=$(berth submit -e sh --wait --json -- "echo x >>$T/marks/tries; exit 1" </dev/null)
is "$(get '.attempt') $(wc -l <"$T/marks/tries")" "1 1" "without retries it runs once"
result=$(berth submit -e null --wait --json --retries 1 -- fail=EIO </dev/null)
is "$(get '.verdict + " " + .blame + " " + (.attempt|tostring)')" "runtime_error runtime 4" "the runtime's failures are retried for free, but not for ever"
result=$(berth submit -e null --wait --json --retries 2 -- crash=kill exit=1 </dev/null)
is "$(get '.attempt')" 4 "and use up none of its retries"
result=$(berth submit -e null --wait --json --retries 1 --timeout 200ms -- hang </dev/null)
is "$(get '.verdict + " " + (.attempt|tostring)')" "timeout 2" "a timeout is its own fault, and retried"
retry_delay=800ms
ok 'restart ""' "reload"
result=$(berth submit -e sh --wait --json --retries 2 -- "date +%s%3N >>$T/marks/times; exit 1" </dev/null)
mapfile -t at <"$T/marks/times"
ok '[ $((at[1] - at[0])) -ge 800 ] && [ $((at[2] - at[1])) -ge 1600 ]' "before a retry there is a delay, and then twice as much" ||
    diag "${at[*]}"
id=$(berth submit -e sh --retries 5 -- "echo x >>$T/marks/again; exit 1" </dev/null)
wait_for '[ "$(berth status --json "$id" | jq -r ".state + (.attempt|tostring)")" = queued1 ]'
ok 'berth cancel "$id"' "a task that waits for its retry can be cancelled"
result=$(result_of "$id")
is "$(get .verdict) $(wc -l <"$T/marks/again")" "cancelled 1" "and is not tried again"

# ---- resources ----
retry_delay=50ms
restart ""
submit null big-1 --cpus 3 -- hang
state_is big-1 running
submit null big-2 --cpus 2 -- hang
submit null small --cpus 1 -- print=x
ok 'ended small' "what fits into what is free runs"
is "$(task_state big-2)" queued "what does not fit waits"
berth cancel big-1 >/dev/null
ok 'state_is big-2 running' "until there is room"
is "$(berth status --json | jq -c .booked.cpus)" 2 "what is booked is told"
berth cancel big-2 >/dev/null
ended big-2
submit null mem-1 --memory 700M -- hang
submit null mem-2 --memory 700M -- hang
state_is mem-1 running
submit null mem-3 --memory 100M -- print=x
ended mem-3
is "$(task_state mem-2)" queued "memory counts as well"
berth cancel mem-1 mem-2 >/dev/null
err=$(berth submit -e null --cpus 5 -- print=x 2>&1 </dev/null); status=$?
is "$status" 5 "more than the node has: refused"
like "$err" "cpus.*5.*4" "with both numbers"

# A big task among a stream of small ones: each that ends lets the next in, and the node is never empty.
stream() { # FROM TO: in one process, which is faster than they run on the busiest machine
    local i
    for i in $(seq "$1" "$2"); do
        printf 'url = "%s/v1/tasks"\nheader = "Content-Type: application/json"\noutput = "/dev/null"\n' "$url"
        printf 'data = "{\\"executer\\":\\"null\\",\\"id\\":\\"stream-%d\\",' "$i"
        printf '\\"args\\":[\\"sleep=100ms\\"],\\"resources\\":{\\"cpus\\":1}}"\n'
        [ "$i" -eq "$2" ] || echo next
    done >"$T/stream"
    curl -sS -f -K "$T/stream"
}
stream 1 24
state_is stream-1 running
submit null whole --cpus 4 -- print=x
stream 25 150
is "$(task_state stream-150)" queued "a stream of small tasks"
ended whole 60
for i in $(seq 150); do ended "stream-$i" 60; done
before=$(berth list --json --limit 1000 | jq '[.tasks[]|select(.id=="whole" or (.id|startswith("stream-")))]|sort_by(.started_ms)|map(.id)|index("whole")')
ok '[ "$before" -lt 110 ]' "a big task is not starved by small ones that come after it"
diag "$before of 150 went before it"

# ---- GPUs ----
rm -f "$T"/marks/*
for i in 1 2 3 4 5 6; do
    submit sh "gpu-$i" --gpus 1 -- "d=\$CUDA_VISIBLE_DEVICES; [ ! -e $T/marks/in-\$d ] || echo shared >>$T/marks/shared
        : >$T/marks/in-\$d; n=0; while [ ! -e $T/marks/go-$i ] && [ \$n -lt 600 ]; do sleep 0.05; n=\$((n+1)); done; rm $T/marks/in-\$d; echo \"[\$d]\""
done
wait_for '[ -e "$T/marks/in-0" ] && [ -e "$T/marks/in-1" ]'
is "$(berth list --json --state running | jq '.tasks|length')" 2 "two GPUs: two tasks at a time"
pass "each of the two has one of its own"
submit sh none -- 'echo "[$CUDA_VISIBLE_DEVICES]"'
result=$(result_of none)
is "$(get .output_b64 | base64 -d)" "[]" "a task without GPUs runs meanwhile, and sees none"
touch "$T"/marks/go-{1,2,3,4,5,6}
for i in 1 2 3 4 5 6; do
    result=$(result_of "gpu-$i")
    like "$(get .output_b64 | base64 -d)" '^\[[01]\]$' "gpu task $i: one device"
done
ok '[ ! -e "$T/marks/shared" ]' "no device was ever given to two"
result=$(berth submit -e sh --wait --json --gpus 2 -- 'echo $CUDA_VISIBLE_DEVICES' </dev/null)
is "$(get .output_b64 | base64 -d)" "0,1" "a task with two GPUs has both"
err=$(berth submit -e sh --gpus 3 -- true 2>&1 </dev/null)
is "$?" 5 "three GPUs of two: refused"
id=$(submit_sh "echo \$CUDA_VISIBLE_DEVICES; while [ ! -e $T/marks/adopted ]; do sleep 0.05; done" --gpus 1)
state_is "$id" running
old=$(role_pid host)
kill -KILL "$old"
wait_for '[ -n "$(role_pid host)" ] && [ "$(role_pid host)" != '"$old"' ] && berth status'
usable
result=$(berth submit -e sh --wait --json --gpus 1 -- 'echo $CUDA_VISIBLE_DEVICES' </dev/null)
isnt "$(get .output_b64 | base64 -d)" "$(berth logs "$id")" "after kill -9 of the host its device is still taken"
touch "$T/marks/adopted"
ended "$id"

# ---- tenants ----
rm -f "$T"/marks/*
tenants='tenants = ( { name = "alice"; weight = 2.0; }, { name = "bob"; weight = 1.0; },
  { name = "carol"; max_running = 1; }, { name = "dave"; max_queued = 3; }, { name = "*"; max_queued = 100; } );'
restart "" "$tenants"
submit null before --cpus 4 -- hang
state_is before running
for i in $(seq 30); do submit null "alice-$i" --tenant alice --cpus 2 -- sleep=100ms; done
for i in $(seq 15); do submit null "bob-$i" --tenant bob --cpus 2 -- sleep=100ms; done
berth cancel before >/dev/null
for i in $(seq 30); do ended "alice-$i" 60; done
for i in $(seq 15); do ended "bob-$i" 60; done
# Of the first 18 a third or so has to be his.
bobs=$(berth list --json --limit 1000 | jq -r '[.tasks[]|select(.tenant=="alice" or .tenant=="bob")]
    |sort_by(.started_ms)|.[0:18]|map(select(.tenant=="bob"))|length')
ok '[ "$bobs" -ge 4 ] && [ "$bobs" -le 9 ]' "two tenants by weights of 2 and 1: he who came late has his third" || diag "$bobs of 18"
for i in 1 2 3; do submit null "carol-$i" --tenant carol -- hang; done
state_is carol-1 running
submit null erin-1 --tenant erin -- print=x
ended erin-1
is "$(berth list --json --tenant carol --state queued | jq '.tasks|length')" 2 "max_running of a tenant: one runs, two wait"
berth cancel carol-1 >/dev/null
ok 'state_is carol-2 running' "the next follows"
berth cancel carol-2 carol-3 >/dev/null

# ---- queues that are full ----
submit null hog --cpus 4 -- hang
state_is hog running
for i in 1 2 3; do submit null "dave-$i" --tenant dave -- print=x; done
err=$(berth submit -e null --tenant dave -- print=x 2>&1 </dev/null); status=$?
is "$status" 5 "max_queued of a tenant: refused"
like "$err" "dave.*3.*later" "and said so, with his limit"
jq -n '{executer:"null",args:["print=x"],tenant:"dave"}' >"$T/task.json"
is "$(curl -s -o "$T/body" -w '%{http_code}' -D "$T/head" -H 'Content-Type: application/json' --data-binary "@$T/task.json" "$url/v1/tasks")" \
    503 "over HTTP: 503"
like "$(cat "$T/head")" "Retry-After: [0-9]" "with Retry-After"
is "$(jq -r .type "$T/body")" "urn:berth:problem:overloaded" "and the kind of the problem"
ok 'submit null erin-2 --tenant erin -- print=x' "another tenant is not refused"
submit null dave-1 --tenant dave -- print=x
is "$?" 0 "a task that is there already is not refused: it takes no more room"
berth cancel hog >/dev/null
for i in 1 2 3; do ended "dave-$i"; done
ended erin-2
restart "max_queued = 5;"
submit null hog-2 --cpus 4 -- hang
state_is hog-2 running
for i in 1 2 3 4 5; do submit null "full-$i" -- print=x; done
err=$(berth submit -e null -- print=x 2>&1 </dev/null); status=$?
is "$status" 5 "max_queued of the host: refused"
like "$err" "queue is full.*5" "and said so"
is "$(curl -s -o "$T/body" -w '%{http_code}' -H 'Content-Type: application/json' -d '{"executer":"null","args":["print=x"]}' "$url/v1/tasks")" 503 "over HTTP: 503"
berth cancel hog-2 >/dev/null
for i in 1 2 3 4 5; do ended "full-$i"; done
submit null room -- print=x
ok 'ended room' "and taken again when there is room"
done_testing
