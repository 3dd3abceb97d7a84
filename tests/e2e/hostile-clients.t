#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Clients that mean harm, of the http transport and of the control socket (tests/hostile), while a good one is served:
# it gets all its answers within $patience, and the host's memory and descriptors go back to what they were.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/http.sh"
# shellcheck disable=SC2016,SC2154,SC2034
need openssl
use_berth
patience=20000 # ms, of a machine that does other things as well
memory_max=$((160 * 1024)) # kB: its own, and max_buffered, and what malloc keeps of them
[ -z "${SANITIZE_CFLAGS:-}" ] || memory_max=$((memory_max * 8))
scale=${BERTH_HOSTILE_SCALE:-1} # of the attacks; CI has 1
export seed=${seed:-$RANDOM}
diag "seed=$seed"

tls_port=$(free_port)
wanted=$port
http_extra='idle_timeout = "2s"; request_timeout = "5s"; max_connections = 300; max_body = "2M"; max_buffered = "32M"; header_limit = "16K";'
printf '%s\n' 'red:red-token' >"$T/tokens"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost' -keyout "$T/key.pem" -out "$T/cert.pem" 2>/dev/null
chmod 600 "$T/tokens" "$T/key.pem"
if [ "$(id -u)" -eq 0 ]; then
    host_extra='user = "65533"; group = "65533";'
    chown 65533:65533 "$T/tokens" "$T/key.pem"
fi
transports_extra=", { plugin = \"http\"; name = \"tls\"; listen = \"127.0.0.1:$tls_port\"; token_file = \"$T/tokens\";
    tls_cert = \"$T/cert.pem\"; tls_key = \"$T/key.pem\"; idle_timeout = \"2s\"; request_timeout = \"5s\"; max_connections = 100; }"
ok 'base_config | start_berth -' "berthd starts"
wait_for 'curl -sf $url/readyz'
host=$(role_pid host)

descriptors() { find "/proc/$host/fd" -mindepth 1 2>/dev/null | wc -l; }
hostile() { # FILE NAME [ARGUMENT...]: complaints
    local file=$1 name=$2 where=$port
    shift 2
    [ "$file" != ctl ] || where=$T/run/ctl.sock
    timeout 300 "$python" "$srcdir/tests/hostile/$file.py" "$name" "$where" "$@" 2>&1
}
under() { # TEXT FILE NAME [ARGUMENT...]: an attack, and a good client beside it
    local text=$1 good
    shift
    rm -f "$T/good.ready"
    "$python" "$srcdir/tests/hostile/clients.py" behave "$port" "$T/good.ready" >"$T/good.json" 2>"$T/good.err" &
    good=$!
    wait_for '[ -e "$T/good.ready" ]'
    is "$(hostile "$@")" "" "$text"
    kill -TERM "$good"
    wait "$good"
    is "$(jq -c '[.failed, .requests > 0, .worst_ask_ms < '$patience', .worst_task_ms < '$patience']' "$T/good.json")" \
        '[[],true,true,true]' "$text: others were served meanwhile" || diag "$(cat "$T/good.json" "$T/good.err")"
    ok 'is_alive "$host"' "$text: the host lives"
    wait_for '[ "$(descriptors)" -le '$((files + 8))' ]'
    tap_line $? "$text: its descriptors are closed" || diag "$(ls -l "/proc/$host/fd" | tail -n 30)"
}

is "$(hostile clients abandon 20)" "" "a few tasks, so that all is there that will stay"
files=$(descriptors)

# ---- requests that are none ----

under "malformed requests" clients shapes
under "oversized requests are told the limit" clients oversized 2097152 16384
under "bodies that expand" clients bodies

# ---- slow, idle, many ----

under "200 connections, a byte every half second" clients slow 200 60
under "1500 idle connections for 300 places" clients idle $((1500 * scale)) $((5 * scale))
under "a flood of connections" clients flood $((3 * scale))
under "a pipeline of 1000 requests" clients pipeline 1000

# ---- clients that do not read, or go away ----

submit '/v1/tasks?wait=60' '{"executer":"sh","id":"big","args":["head -c 1000000 /dev/zero | tr \"\\\\0\" x"]}'
is "$code" 200 "a task with much output"
submit /v1/tasks '{"executer":"sh","id":"chatty","args":["while :; do echo a line and another; done"],"timeout_ms":600000}'
is "$code" 202 "a task that writes without end"
wait_for '[ "$(task_state chatty)" = running ]'
under "clients that never read their answers" clients stuck 60 4 /v1/tasks/big/result /v1/tasks/big/logs \
    '/v1/tasks?limit=1000' '/v1/tasks/chatty/logs?follow=1'
berth cancel chatty >/dev/null
under "clients that go away at any moment" clients vanish $((150 * scale))
under "300 waits that are abandoned" clients abandon $((300 * scale))

# ---- the control socket ----

under "control socket: no frames, and wrong ones" ctl garbage
under "control socket: clients that never read" ctl deaf
under "control socket: 1500 idle connections" ctl many 1500
under "control socket: 1500 that wait" ctl waiting 1500
cp "$BERTH_CONFIG" "$T/good.conf"
echo 'nonsense = ' >"$BERTH_CONFIG"
under "control socket: a reload that fails, asked for by a client that never reads" ctl reload_deaf
wait_for 'grep -q "reload refused" "$T/berthd.log"'
cp "$T/good.conf" "$BERTH_CONFIG"

# ---- tokens ----

port=$tls_port url=https://localhost:$tls_port
call_args=(--cacert "$T/cert.pem")
for path in '/v1/tasks?token=red-token' '/v1/tasks?access_token=red-token' '/v1/tasks?authorization=Bearer%20red-token'; do
    call GET "$path"
    problem 401 unauthorized "Authorization" "a token in the query, $path"
done
for field in 'Bearer' 'Bearer ' 'Bearer red-toke' 'Bearer red-tokens' 'Bearer red-token,' 'Bearer red:red-token' 'Bearer RED-TOKEN' \
    'Basic cmVkOnJlZC10b2tlbg==' 'red-token' 'Bearerred-token' "Bearer $(head -c 10000 /dev/zero | tr '\0' x)"; do
    call GET /v1/tasks -H "Authorization: $field"
    problem 401 unauthorized "not one of|Authorization" "Authorization '${field:0:40}'"
done
call GET /v1/tasks -H 'Authorization: Bearer red-token' -H 'Authorization: Bearer x'
problem 400 bad-request "more than once" "two tokens"
call GET /v1/tasks -H 'Authorization: Bearer red-token'
is "$code" 200 "the token itself"

# ---- TLS ----

hello() { # OPENSSL-ARGUMENT...: how a handshake ends
    openssl s_client -connect "127.0.0.1:$tls_port" -CAfile "$T/cert.pem" -brief "$@" </dev/null >"$T/hello" 2>&1
    echo $?
}
is "$(hello -tls1_2) $(hello -tls1_3)" "0 0" "TLS 1.2 and 1.3"
isnt "$(hello -tls1_1 -cipher 'ALL:@SECLEVEL=0')" 0 "not TLS 1.1"
unlike "$(cat "$T/hello")" "no protocols available" "which the client would have spoken"
isnt "$(hello -tls1 -cipher 'ALL:@SECLEVEL=0')" 0 "nor TLS 1.0"
isnt "$(hello -tls1_2 -cipher 'NULL:@SECLEVEL=0')" 0 "nor without a cipher"
isnt "$(hello -tls1_2 -cipher 'aNULL:@SECLEVEL=0')" 0 "nor without a certificate"
{ printf 'R\n'; printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n'; } |
    timeout 60 openssl s_client -connect "127.0.0.1:$tls_port" -CAfile "$T/cert.pem" -tls1_2 -ign_eof >"$T/renegotiation" 2>&1
unlike "$(cat "$T/renegotiation")" "HTTP/1.1 200" "a client that renegotiates is not served"
for kind in plain half garbage; do
    is "$(hostile clients tls "$kind" 150)" "" "150 connections to TLS, $kind, beside a good client"
done

is "$(role_pid host)" "$host" "the host has lived through all of it"
peak=$(status_of "$host" VmHWM)
[ "${peak% kB}" -le "$memory_max" ]
tap_line $? "its memory stayed below $memory_max kB: ${peak% kB}"
port=$wanted
unlike "$(cat "$T/berthd.log")" "red-token" "no token is in the log"
done_testing
