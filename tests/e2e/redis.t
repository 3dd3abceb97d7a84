#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Tasks through Redis on a good day, what becomes of bad input, and dead letters.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/redis.sh"
need_redis
use_berth
start_redis r
retry_delay=60s
host_extra='max_task = "64K"; max_losses = 1;'
redis_config 'priorities = [ "high", "normal", "low" ]; result_ttl = "1h";' | start_berth - || done_testing
ok 'is_ready' "ready once Redis answers"

# ---- a task and what is written about it ----

rcli --raw SUBSCRIBE "${K}done" >"$T/done" 2>&1 &
subscriber=$!
wait_for 'grep -q subscribe "$T/done"'
send_sh one 'echo hello' >"$T/entry"
is "$(verdict_of one)" succeeded "a task runs"
is "$(result_json one | jq -r '.output_b64 // .output' | base64 -d 2>/dev/null)" hello "its result has the output"
is "$(rcli --raw HMGET "${K}result:one" attempt entry | paste -sd' ')" "1 $(cat "$T/entry")" "the key has its fields"
ok '[ "$(rcli PTTL "${K}result:one")" -gt 3500000 ]' "and lives for result_ttl"
is "$(times_published one)" 1 "it stands once in the stream of results"
ok 'wait_for "grep -qx one \"$T/done\""' "its end was announced"
kill "$subscriber" && wait "$subscriber" 2>/dev/null
send_sh stays 'sleep 2' >"$T/stays"
ok 'wait_for "rcli --raw XRANGE \"${K}events\" - + | paste -sd\" \" | grep -q \"id stays state running attempt 1 host testnode\""' \
    "the start of one that runs for a while is among the events"
is "$(verdict_of stays)" succeeded "and it ends"
ok 'wait_for nothing_pending' "the entry is gone, from the stream and from the pending list"

entry=$(rcli XADD "${K}tasks" '*' t '{"executer":"sh","args":["echo $((6*7))"]}')
is "$(verdict_of "$queue:$entry")" succeeded "a task without an id is called by queue and entry"
entry=$(rcli XADD "${K}tasks:low" '*' t '{"executer":"sh","args":["true"]}')
is "$(verdict_of "$queue:low:$entry")" succeeded "and by the level, where that is not the normal one"
entry=$(rcli XADD "${K}tasks" '*' id mine t '{"executer":"sh","args":["true"]}')
is "$(verdict_of mine)" succeeded "or as the field id says"

printf '\x83\xa2id\xa6packed\xa8executer\xa3cat\xa5input\xc4\x09\x00\xff\r\n*1\r\n!' >"$T/task"
rcli -x XADD "${K}tasks" '*' t <"$T/task" >/dev/null
is "$(verdict_of packed)" succeeded "a task in msgpack runs"
like "$(rcli --raw HGET "${K}result:packed" r | od -An -tx1 | tr -d ' \n')" \
    "a66f7574707574c40900ff0d0a2a310d0a21" "its result is msgpack, and keeps every byte"

for i in $(seq 300); do
    echo "XADD ${K}tasks * t {\"id\":\"n$i\",\"executer\":\"sh\",\"args\":[\"true\"]}"
done | sed 's/t {/t "{/; s/}$/}"/; s/\\*"\([a-z0-9]*\)\\*"/\\"\1\\"/g; s/"{\\/"{\\/' | rcli >"$T/sent"
is "$(grep -c -- - "$T/sent")" 300 "three hundred are sent at once"
ok 'wait_for "[ \"\$(rcli --raw KEYS \"${K}result:n*\" | wc -l)\" = 300 ]" 120' "and have results"
is "$(rcli --raw XRANGE "${K}results" - + | grep -aA1 -x id | grep -aE '^n[0-9]' | sort | uniq -d)" "" "one each"

# ---- the same id again ----

before=$(stat_of attempts)
send_sh one 'echo hello' >/dev/null
ok 'wait_for nothing_pending' "a task that was sent again is acknowledged"
is "$(times_published one) $(stat_of attempts)" "1 $before" "it neither runs nor is published again"
send_sh two 'sleep 1' >/dev/null
send_sh two 'sleep 1' >/dev/null
is "$(verdict_of two)" succeeded "sent twice in a row"
wait_for nothing_pending
is "$(times_published two) $(stat_of attempts)" "1 $((before + 1))" "it runs and is published once"
send_sh two 'echo another task' >/dev/null
ok 'wait_for "[ \"\$(letters)\" = 1 ]"' "a different task with a used id is a dead letter"
like "$(letter_of two reason)" "id 'two' was used for a different task" "that says why"
is "$(rcli HGET "${K}result:two" verdict) $(times_published two)" "succeeded 2" \
    "the first one's result stays, the other's is told in the stream"
rcli DEL "${K}dead" >/dev/null

# ---- bad input ----

refused() { # NAME REASON FIELD VALUE...: an entry that gets an error result and a dead letter
    local name=$1 reason=$2 entry
    shift 2
    entry=$(rcli XADD "${K}tasks" '*' "$@")
    is "$(verdict_of "${id:-$queue:$entry}")" rejected "$name: rejected"
    like "$(letter_of "${id:-$queue:$entry}" reason)" "$reason" "$name: the dead letter says why"
    id=
}
refused "no field t" "no field 't'" foo bar
refused "empty" "" t ""
refused "garbage" "" t $'\xc1\x00\xff garbage'
refused "no map" "" t '"text"'
refused "half a task" "" t '{"executer":"sh"'
id=nobody refused "unknown executer" "no executer 'nobody'" t '{"id":"nobody","executer":"nobody"}'
id=typo refused "unknown key" "exekuter" t '{"id":"typo","exekuter":"sh"}'
refused "wrong id" "" t '{"id":"a b","executer":"sh"}' id 'c d'
head -c 100000 /dev/zero | tr '\0' x >"$T/large"
entry=$(rcli -x XADD "${K}tasks" '*' t <"$T/large")
is "$(verdict_of "$queue:$entry")" rejected "too large: rejected"
refused "binary names" "no field 't'" $'\xff\xfe' $'\x00'
# shellcheck disable=SC2046 # a list of words
refused "many fields" "no field 't'" $(seq 2000)
long=$(head -c 1000 /dev/zero | tr '\0' a)
refused "a long id beside" "" t "{}" id "$long"
ok 'wait_for nothing_pending' "nothing is stuck"
is "$(rcli TYPE "${K}dead")" stream "dead letters are a stream"

# ---- dead letters ----

all=$(letters)
is "$(berth dead list --json | jq '.letters|length')" "$all" "berth dead list shows all"
is "$(berth dead list --json | jq -r '.letters[]|select(.id == "nobody")|.verdict + " " + .host')" "rejected testnode" \
    "with the verdict and the host"
like "$(berth dead list)" "no executer 'nobody'" "and for people the reason"
is "$(berth dead list -n 2 --json | jq -r '.letters|length') $(berth dead list -n 1000 --json | jq -r .next)" "2 null" \
    "page by page"
ok 'berth dead purge nobody' "one is deleted"
is "$(letters)" $((all - 1)) "and only that"
berth dead purge nobody >/dev/null 2>&1
is $? 4 "what is not there cannot be"
berth dead requeue >/dev/null 2>&1
is $? 2 "nothing is not everything: it must be said"
ok 'berth dead purge --all' "all are deleted"
is "$(letters)" 0 "none is left"

send_sh fails "test -e $M/mended" >/dev/null
is "$(verdict_of fails)" failed "a task fails"
is "$(letter_of fails verdict) $(letter_of fails attempts)" "failed 1" "it is a dead letter, with its verdict and attempts"
touch "$M/mended"
is "$(berth dead requeue fails --json)" '{"count":1}' "put back into the queue"
ok 'wait_for "[ \"\$(rcli HGET \"${K}result:fails\" verdict)\" = succeeded ]"' "it runs again, under its id"
is "$(letters)" 0 "and the letter is gone"
send_sh again1 false >/dev/null
send_sh again2 false >/dev/null
wait_for '[ "$(letters)" = 2 ]'
is "$(berth dead requeue --all --json)" '{"count":2}' "all are put back"
ok 'wait_for "[ \"\$(letters)\" = 2 ] && nothing_pending"' "and fail once more"
berth dead purge --all >/dev/null

# ---- cancels ----

send_sh long 'sleep 300' >/dev/null
ok 'wait_for "[ \"\$(task_state long)\" = running ]"' "a long task runs"
rcli XADD "${K}control" '*' cancel long >/dev/null
is "$(verdict_of long)" cancelled "it is cancelled through the control stream"
rcli XADD "${K}control" '*' cancel nothing-of-the-kind junk '' cancel '' >/dev/null
berth drain >/dev/null
send_sh later 'true' >/dev/null
rcli XADD "${K}control" '*' cancel later >/dev/null
berth drain --off >/dev/null
is "$(verdict_of later)" cancelled "one that waits is cancelled when it is taken"
send_sh fresh 'true' >/dev/null
is "$(verdict_of fresh)" succeeded "others are not"
send_sh between 'exit 1' '"retries":1' >/dev/null
wait_for '[ "$(rcli HVALS "${K}attempts")" = 1:1:0:1 ]'
rcli XADD "${K}control" '*' cancel between >/dev/null
is "$(verdict_of between)" cancelled "one that waits to be tried again is cancelled"
is "$(rcli EXISTS "${K}attempts")" 0 "with it goes what was on record of its attempts"
is "$(letters)" 0 "a cancelled task is no dead letter"

# ---- no room ----

stop_berth
lease=1s redis_config 'priorities = [ "high", "normal", "low" ];' >"$T/tenant.conf"
sed 's/^adhoc/tenants = ( { name = "poor"; max_running = 1; max_queued = 1; } );\n&/' "$T/tenant.conf" | start_berth -
berth drain >/dev/null
for i in 1 2 3 4; do send_sh "poor$i" true '"tenant":"poor"' >/dev/null; done
berth drain --off >/dev/null
for i in 1 2 3 4; do verdict_of "poor$i"; done >"$T/verdicts"
is "$(sort "$T/verdicts" | uniq -c | xargs)" "4 succeeded" "what a tenant's limit sends back is run later, not refused"
ok '[ "$(wc -l <"$T/berthd.log")" -lt 100 ]' "and the log is not flooded"

# ---- priorities ----

berth drain >/dev/null
for level in low normal high; do
    stream=${K}tasks:$level
    [ $level != normal ] || stream=${K}tasks
    rcli XADD "$stream" '*' t "{\"id\":\"p-$level\",\"executer\":\"sh\",\"resources\":{\"cpus\":$(nproc)},
        \"args\":[\"true\"]}" >/dev/null
done
berth drain --off >/dev/null
is "$(verdict_of p-low)" succeeded "tasks of all levels run"
is "$(rcli --raw XRANGE "${K}results" - + | grep -aoE '^p-[a-z]*' | paste -sd' ')" "p-high p-normal p-low" \
    "the level that stands first comes first"

# ---- scripts and secrets ----

rcli SCRIPT FLUSH >/dev/null
send_sh flushed 'true' >/dev/null
is "$(verdict_of flushed)" succeeded "scripts that the server forgot are loaded again"
end_redis
done_testing
