#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Every route of the http transport, in JSON and MessagePack, against a running daemon; and doc/openapi.json.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/http.sh"
# shellcheck disable=SC2016,SC2154
use_berth
mkdir -m 1777 "$T/marks"
sh_extra="bind_rw = [ \"$T/marks\" ];"
executers_extra=", { name = \"single\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; max_running = 1; bind_rw = [ \"$T/marks\" ]; },
  { name = \"small\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; output_max = \"4K\"; }"
ok 'base_config | start_berth -' "berthd starts"
wait_for 'curl -sf $url/readyz'

task() { # EXECUTER TEXT [JQ-OBJECT]: a task as JSON
    jq -cn --arg executer "$1" --arg text "$2" '{$executer, args: [$text]} + ('"${3:-{\}}"')'
}
until_mark() { # NAME: shell text that waits for a mark
    echo "while [ ! -e $T/marks/$1 ]; do sleep 0.02; done"
}
state_of() { curl -s "$url/v1/tasks/$1" | jq -r .state; }

# ---- handing in: both formats, there and back ----

head -c 1000 /dev/urandom >"$T/bytes"
base64 -w 0 "$T/bytes" | jq -R '{executer: "cat", input_b64: .}' >"$T/task.json"
wire pack <"$T/task.json" >"$T/task.msgpack"
for from in json msgpack; do
    for to in json msgpack; do
        call POST '/v1/tasks?wait=60' -H "Content-Type: application/$from" -H "Accept: application/$to" --data-binary "@$T/task.$from"
        is "$code $type $(got .verdict)" "200 application/$to succeeded" "POST $from, wait, answer in $to: the result"
        is "$(output | md5sum)" "$(md5sum <"$T/bytes")" "POST $from, wait, answer in $to: the bytes came back"
        call POST '/v1/tasks' -H "Content-Type: application/$from" -H "Accept: application/$to" --data-binary "@$T/task.$from"
        is "$code $type" "202 application/$to" "POST $from, answer in $to: accepted"
        is "$(header Location)" "/v1/tasks/$(got .id)" "POST $from, answer in $to: Location"
        last=$(got .id)
        http_done "$last"
    done
done
for name in application/x-msgpack application/vnd.msgpack 'application/json; charset=utf-8'; do
    body=$T/task.msgpack
    [[ $name != *json* ]] || body=$T/task.json
    call POST '/v1/tasks?wait=60' -H "Content-Type: $name" --data-binary "@$body"
    is "$code $type" "200 application/json" "Content-Type '$name' is understood"
done
call POST '/v1/tasks?wait=60' "${json[@]}" -H 'Transfer-Encoding: chunked' --data-binary "@$T/task.json"
is "$code" 200 "a body in chunks"

# ---- each GET, in both formats, and HEAD ----

for path in /v1/tasks "/v1/tasks/$last" "/v1/tasks/$last/result" /v1/executers /v1/executers/sh/explain /v1/runtimes /v1/stats /stats /healthz /readyz; do
    call GET "$path"
    plain=$(got 'del(.tasks)')
    is "$code $type" "200 application/json" "GET $path: JSON"
    length=$(header Content-Length)
    call GET "$path" "${wants_pack[@]}"
    is "$code $type" "200 application/msgpack" "GET $path: MessagePack"
    is "$(got 'del(.tasks)' | jq -S .)" "$(jq -S . <<<"$plain")" "GET $path: the same in both"
    call HEAD "$path"
    is "$code $type $(header Content-Length)" "200 application/json $length" "HEAD $path"
done
call GET /v1/tasks -H 'Accept: application/msgpack;q=0.2, application/json;q=0.9'
is "$type" application/json "what is liked better is sent"
is "$(curl -s -o /dev/null -o /dev/null -w '%{num_connects} ' "$url/healthz" "$url/v1/stats")" "1 0 " "a connection is kept for the next request"
call GET /v1/runtimes
is "$(got '.runtimes[0] | [.name, .healthy] | join(" ")')" "process true" "/v1/runtimes tells of the runtime"
call GET /v1/executers
is "$(got '[.executers[].name] | join(" ")')" "sh cat single small" "/v1/executers tells of each"
call GET /v1/executers/sh/explain
is "$(got '.limits | keys | join(" ")')" "cpus disk gpus memory network pids read_only time uid" "explain tells of each limit"
call GET /v1/executers/shh/explain
problem 404 not-found "'shh'.*'sh'" "explain of an executer that is none"

# ---- waiting ----

submit '/v1/tasks?wait=0.2' "$(task sh "$(until_mark expiry); echo late" '{id: "expiry"}')"
is "$code $(got .id) $(header Location)" "202 expiry /v1/tasks/expiry" "a wait that is over: 202"
wait_for '[ "$(state_of expiry)" = running ]'
call GET /v1/tasks/expiry/result
problem 409 not-done "expiry" "no result yet"
touch "$T/marks/expiry"
http_done expiry
call GET /v1/tasks/expiry/result
is "$(output)" late "and later the result"
curl -s -m 0.3 "${json[@]}" --data-binary "$(task sh "$(until_mark left); echo stays" '{id: "left"}')" "$url/v1/tasks?wait=30" >/dev/null
touch "$T/marks/left"
wait_for '[ "$(state_of left)" = done ]'
call GET /v1/tasks/left/result
is "$(output)" stays "a client that goes away: the task goes on, and its result is kept"
for wait in 9999 -1 x ''; do
    submit "/v1/tasks?wait=$wait" '{"executer": "cat"}'
    problem 400 bad-parameter "wait" "wait '$wait'"
done

# ---- the same id again ----

call GET /v1/stats
accepted=$(got .accepted)
once=$(task sh "echo run >>$T/marks/once; $(until_mark once.go); echo \$\$" '{id: "once"}')
for i in 1 2 3 4 5; do
    curl -s -m 60 "${json[@]}" --data-binary "$once" "$url/v1/tasks?wait=50" -o "$T/once.$i" &
done
wait_for '[ "$(curl -s $url/v1/stats | jq .deduplicated)" -ge 4 ]'
touch "$T/marks/once.go"
for i in 1 2 3 4 5; do wait_for 'jq -e .verdict "$T/once.'$i'"'; done
is "$(jq -c '[.id, .verdict, .output_b64]' "$T"/once.[1-5] | sort -u | wc -l)" 1 "five callers with one id get one result"
is "$(wc -l <"$T/marks/once")" 1 "and the task ran once"
call GET /v1/stats
is "$(got .accepted)" $((accepted + 1)) "and was taken in once"
submit /v1/tasks "$once"
is "$code $(got .state)" "202 done" "the id of a task that is done: accepted, and done"
submit '/v1/tasks?wait=5' "$once"
is "$code $(jq -S . "$out")" "200 $(jq -S . "$T/once.1")" "and with wait, its result again"
submit /v1/tasks "$(task sh 'echo other' '{id: "once"}')"
problem 409 conflict "'once'" "the same id with other content"
wire pack <<<"$once" >"$T/once.msgpack"
call POST '/v1/tasks?wait=5' "${packed[@]}" --data-binary "@$T/once.msgpack"
is "$code" 200 "the same task in the other format is the same task"

# ---- logs ----

submit /v1/tasks "$(task sh "echo one; echo problem >&2; $(until_mark logs); echo two" '{id: "logs"}')"
curl -sN -m 60 "$url/v1/tasks/logs/logs?follow=1" -o "$T/followed" &
follower=$!
wait_for '[ "$(cat "$T/followed")" = one ]'
is "$(state_of logs)" running "follow: what was written is there while the task runs"
call GET /v1/tasks/logs/logs
is "$code $type $(cat "$out")" "200 application/octet-stream one" "without follow: what is there so far"
touch "$T/marks/logs"
wait "$follower"
is "$? $(paste -sd ' ' "$T/followed")" "0 one two" "follow: the rest comes, and the stream ends with the task"
http_done logs
call GET '/v1/tasks/logs/logs?follow=true'
is "$(paste -sd ' ' "$out")" "one two" "follow of a task that is done: all of it, at once"
call GET '/v1/tasks/logs/logs?offset=4'
is "$(cat "$out")" two "offset: from that byte on"
call GET '/v1/tasks/logs/logs?offset=4000'
is "$code $(cat "$out")" "200 " "offset behind the end: nothing"
call GET '/v1/tasks/logs/logs?stream=stderr'
is "$(cat "$out")" problem "stream=stderr"
call HEAD /v1/tasks/logs/logs
is "$code" 200 "HEAD of a log"
for bad in stream=stdin offset=-1 offset=x follow=maybe; do
    call GET "/v1/tasks/logs/logs?$bad"
    problem 400 bad-parameter "${bad%=*}" "logs with $bad"
done
call GET /v1/tasks/none/logs
problem 404 not-found "none" "logs of a task that is none"
submit '/v1/tasks?wait=60' "$(task small 'i=0; while [ $i -lt 1000 ]; do printf "line %04d\n" $i; i=$((i+1)); done' '{id: "much"}')"
is "$(got .output_truncated)" true "more output than is kept"
call GET /v1/tasks/much/logs
is "$(tail -n 1 "$out")" "line 0999" "of that, the log has the end"
call GET '/v1/tasks/much/logs?offset=9980'
is "$(cat "$out")" "line 0998"$'\n'"line 0999" "and an offset counts from the first byte that was ever written"

# ---- cancelling ----

submit /v1/tasks "$(task single 'echo up; exec sleep 600' '{id: "busy"}')"
wait_for '[ "$(state_of busy)" = running ]'
submit /v1/tasks "$(task single 'echo up' '{id: "behind"}')"
is "$(state_of behind)" queued "a task behind another waits"
call GET /v1/tasks/behind/logs
is "$code $(cat "$out")" "200 " "the log of a task that waits: nothing"
call DELETE /v1/tasks/behind
is "$code $(got .id)" "202 behind" "a queued task is cancelled"
http_done behind
call GET /v1/tasks/behind
is "$(got '[.state, .verdict, .result.blame, .attempt] | join(" ")')" "done cancelled caller 0" "and never began"
call DELETE /v1/tasks/busy "${wants_pack[@]}"
is "$code $type $(got .id)" "202 application/msgpack busy" "a running task is cancelled"
http_done busy
call GET /v1/tasks/busy/result
is "$(got '[.verdict, .blame] | join(" ")')" "cancelled caller" "and ends"
call DELETE /v1/tasks/busy
problem 409 already-done "busy" "too late to cancel"
call DELETE /v1/tasks/none
problem 404 not-found "none" "cancelling a task that is none"
for path in /v1/tasks/none /v1/tasks/none/result; do
    call GET "$path"
    problem 404 not-found "none" "GET $path"
done
call GET '/v1/tasks/a%2fb'
problem 400 bad-parameter "id" "an id that is none"

# ---- lists ----

for i in 1 2 3 4 5; do submit '/v1/tasks?wait=60' "$(jq -cn --arg i "$i" '{executer: "cat", id: "list-\($i)", tenant: (if $i > "3" then "red" else "blue" end)}')"; done
submit /v1/tasks "$(task single 'exec sleep 600' '{id: "list-running"}')"
wait_for '[ "$(state_of list-running)" = running ]'
submit /v1/tasks "$(task single 'exec sleep 600' '{id: "list-queued"}')"
call GET '/v1/tasks?limit=1000'
got '.tasks[].id' >"$T/all"
is "$(got .next)" null "all on one page: no next"
like "$(head -n 3 "$T/all" | paste -sd ' ')" "^list-queued list-running list-5" "newest first"
: >"$T/pages"
cursor='' pages=0
while :; do
    call GET "/v1/tasks?limit=3${cursor:+&cursor=$cursor}"
    got '.tasks[].id' >>"$T/pages"
    pages=$((pages + 1)) cursor=$(got '.next // ""')
    [ -n "$cursor" ] && [ "$pages" -lt 100 ] || break
done
is "$(cat "$T/pages")" "$(cat "$T/all")" "page by page: each once, in order"
is "$pages" $((($(wc -l <"$T/all") + 2) / 3)) "and no page for nothing"
ids() { call GET "/v1/tasks?$1"; got '[.tasks[].id] | join(" ")'; }
is "$(ids state=queued)" list-queued "state=queued"
wait_for '[ "$(ids state=running)" = list-running ]'
is "$(ids state=running)" list-running "state=running"
is "$(ids tenant=red)" "list-5 list-4" "tenant"
is "$(ids 'tenant=blue&limit=2')" "list-3 list-2" "tenant and limit"
is "$(ids 'executer=single&state=done')" "behind busy" "executer and state"
is "$(ids 'executer=none')" "" "an executer that nothing was for"
while read -r query regex; do
    call GET "/v1/tasks?$query"
    problem 400 bad-parameter "$regex" "list with $query"
done <<'QUERIES'
state=runing runing.*running
limit=0 limit
limit=1001 limit
limit=x limit
cursor=x cursor
executor=sh executor.*executer
QUERIES
call DELETE /v1/tasks/list-queued
call DELETE /v1/tasks/list-running
http_done list-running

# ---- problems ----

call GET /v2/tasks
problem 404 no-route "/v2/tasks" "a path that is none"
call PUT /v1/tasks/once "${json[@]}" --data-binary '{}'
problem 405 method-not-allowed "PUT" "a method that the path does not have"
is "$(header Allow)" "GET, HEAD, DELETE" "and those it has"
call GET /v1/tasks -H 'Accept: text/html'
problem 406 not-acceptable "text/html" "an Accept that cannot be met"
call POST /v1/tasks "${json[@]}"
problem 411 length-required "Content-Length" "no length"
head -c 20000000 /dev/zero >"$T/big"
call POST /v1/tasks "${json[@]}" --data-binary "@$T/big"
problem 413 too-large "max_body" "a body that is too large"
call POST /v1/tasks -H 'Content-Type: text/plain' --data-binary '{"executer":"cat"}'
problem 415 unsupported-media-type "text/plain" "a type that is not spoken"
call GET /v1/tasks -H 'Host: evil.example'
problem 421 misdirected "evil.example" "another name in Host"
submit /v1/tasks '{"executer": "catt"}'
problem 422 unknown-executer "'catt'.*'cat'" "an executer that is none"
is "$(got '[.result.verdict, .result.blame] | join(" ")')" "rejected caller" "with the result of the refusal"
submit /v1/tasks '{"executer": "catt"}' "${wants_pack[@]}"
problem 422 unknown-executer "'catt'.*'cat'" "also where MessagePack was asked for"
call GET /v1/tasks -H "X-Long: $(head -c 20000 /dev/zero | tr '\0' x)"
problem 431 head-too-large "header_limit" "a head that is too large"
submit /v1/tasks '{"executer": "cat", "prioritty": 1}'
problem 400 invalid-task "prioritty.*priority" "a key that is none"
submit /v1/tasks '{"runtime": "docker", "image": "x"}'
like "$code" '^4' "an ad-hoc runtime that is not there"
submit /v1/tasks '{"executer": "cat", "network": "host"}'
problem 403 forbidden "network" "a network that is not allowed"

# ---- metrics ----

metric() { sed -n "s/^$1 //p" "$out"; }
call GET /metrics
is "$code $(header Content-Type)" "200 text/plain; version=0.0.4; charset=utf-8" "/metrics: Prometheus' text"
before=$(metric 'berth_tasks_accepted_total') good=$(metric 'berth_tasks_finished_total{verdict="succeeded"}')
bad=$(metric 'berth_tasks_rejected_total') failed=$(metric 'berth_tasks_finished_total{verdict="failed"}')
runs=$(metric 'berth_task_run_seconds_count') attempts=$(metric 'berth_runtime_attempts_total{runtime="process"}')
messages=$(metric 'berth_transport_messages_total{transport="http"}')
submit '/v1/tasks?wait=60' '{"executer": "cat"}'
submit '/v1/tasks?wait=60' "$(task sh 'exit 3')"
submit '/v1/tasks' '{"executer": "none"}'
submit /v1/tasks "$(task sh "$(until_mark metrics)" '{id: "metrics", resources: {cpus: 0.5, memory: "64M"}}')"
wait_for '[ "$(state_of metrics)" = running ]'
call GET /metrics
is "$(metric berth_tasks_accepted_total)" $((before + 3)) "tasks taken in are counted"
is "$(metric 'berth_tasks_finished_total{verdict="succeeded"}')" $((good + 1)) "successes are counted"
is "$(metric 'berth_tasks_finished_total{verdict="failed"}')" $((failed + 1)) "failures are counted"
is "$(metric berth_tasks_rejected_total)" $((bad + 1)) "refusals are counted"
is "$(metric berth_task_run_seconds_count)" $((runs + 2)) "times are counted"
is "$(metric 'berth_runtime_attempts_total{runtime="process"}')" $((attempts + 3)) "attempts of the runtime are counted"
is "$(metric 'berth_transport_messages_total{transport="http"}')" $((messages + 4)) "messages of the transport are counted"
is "$(metric berth_tasks_running) $(metric 'berth_resources{resource="cpus",kind="booked"}') $(metric 'berth_resources{resource="memory_bytes",kind="booked"}')" \
    "1 0.5 67108864" "what runs is booked"
is "$(wire metrics "$out")" "" "the text is well-formed"
is "$(sed -n 's/^# TYPE //p' "$out" | LC_ALL=C sort)" "$(LC_ALL=C sort <<'NAMES'
berth_attempts_adopted_total counter
berth_attempts_total counter
berth_build_info gauge
berth_host_restarts_total counter
berth_host_start_time_seconds gauge
berth_late_results_total counter
berth_resources gauge
berth_retries_total counter
berth_runtime_attempts_total counter
berth_runtime_healthy gauge
berth_store_backlog gauge
berth_task_run_seconds histogram
berth_task_wait_seconds histogram
berth_tasks_accepted_total counter
berth_tasks_deduplicated_total counter
berth_tasks_delayed gauge
berth_tasks_finished_total counter
berth_tasks_rejected_total counter
berth_tasks_running gauge
berth_tasks_waiting gauge
berth_transport_last_poll_seconds gauge
berth_transport_messages_total counter
NAMES
)" "the names are the stable ones"
touch "$T/marks/metrics"
http_done metrics

# ---- health ----

berth drain >/dev/null
call GET /readyz
problem 503 not-ready "draining" "not ready while draining"
is "$(got '.readiness | [.ready, .reasons[0]] | join(" ")')" "false draining" "with the reasons as data"
call GET /readyz "${wants_pack[@]}"
is "$code" 503 "not ready, MessagePack asked for"
submit /v1/tasks '{"executer": "cat"}'
problem 503 draining "draining" "no task is taken while draining"
like "$(header Retry-After)" '^[0-9]+$' "and when to try again"
call GET /healthz
is "$code" 200 "healthy while draining"
berth drain --off >/dev/null
call GET /readyz
is "$code $(got .ready)" "200 true" "ready again"

# ---- a daemon that stops ----

curl -s -m 60 "${json[@]}" --data-binary "$(task sh "$(until_mark stop); echo outlived" '{id: "stop"}')" "$url/v1/tasks?wait=50" >"$T/stop.out" &
caller=$!
wait_for '[ "$(state_of stop)" = running ]'
ok stop_berth "berthd stops while a caller waits on the line"
wait "$caller"
ok start_berth "and starts again"
wait_for 'curl -sf $url/readyz'
touch "$T/marks/stop"
http_done stop
call GET /v1/tasks/stop/result
is "$code $(output)" "200 outlived" "the caller can ask for the result by the task's id"

# ---- the description ----

check_seen
printf 'GET\t/v1/stats\t418\tapplication/json\t%s\n' "$out" >"$T/wrong"
like "$(wire openapi "$srcdir/doc/openapi.json" "$T/wrong")" "418: the status is not described" "a status that is not described would be found"
echo '{"state": "asleep"}' >"$T/asleep"
printf 'GET\t/v1/tasks/x\t200\tapplication/json\t%s\n' "$T/asleep" >"$T/wrong"
like "$(wire openapi "$srcdir/doc/openapi.json" "$T/wrong")" "'id' is missing.*'asleep' is not one of" "a body that does not fit would be found"
done_testing
