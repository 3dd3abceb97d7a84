#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Who may reach the http transport, and as whom: tokens and tenants, TLS, Unix sockets, addresses beyond loopback.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/http.sh"
# shellcheck disable=SC2016,SC2154,SC2034
need openssl
use_berth

listening() { # LISTEN [KEYS]: a config with this address
    http_extra=${2:-} base_config | sed "s|listen = \"[^\"]*\"|listen = \"$1\"|"
}
hosts_own() { # FILE: only the user that the host runs as may read it
    chmod 600 "$1"
    [ "$(id -u)" -ne 0 ] || chown 65533:65533 "$1"
}
[ "$(id -u)" -ne 0 ] || host_extra='user = "65533"; group = "65533";'
tokens() { # LINE...: the token file
    printf '%s\n' "$@" >"$T/tokens.new"
    hosts_own "$T/tokens.new"
    mv "$T/tokens.new" "$T/tokens"
}
as() { # TOKEN METHOD PATH [CURL-ARGUMENT...]
    local token=$1
    shift
    call "$@" -H "Authorization: Bearer $token"
}

# ---- tokens and tenants ----

tokens '# clients' 'red:red-token' 'blue:blue-token' 'any-token'
ok 'listening "127.0.0.1:$port" "token_file = \"$T/tokens\";" | start_berth -' "berthd starts with a token file"
wait_for 'curl -sf $url/readyz'
for path in /v1/tasks /v1/tasks/x /v1/tasks/x/result /v1/tasks/x/logs /v1/executers /v1/executers/sh/explain /v1/runtimes /v1/stats /stats /metrics; do
    call GET "$path"
    problem 401 unauthorized "Authorization" "GET $path without a token"
done
is "$(header WWW-Authenticate)" 'Bearer realm="berth"' "and what is asked for"
call POST /v1/tasks "${json[@]}" --data-binary '{"executer": "cat"}'
problem 401 unauthorized "Authorization" "a task without a token"
call DELETE /v1/tasks/x
problem 401 unauthorized "Authorization" "cancelling without a token"
as red-toke GET /v1/tasks
problem 401 unauthorized "not one of" "a wrong token"
unlike "$(cat "$out" "$out.head")" "red-token" "no token is told"
for path in /healthz /readyz; do
    call GET "$path"
    is "$code" 200 "GET $path needs no token"
done

as red-token POST '/v1/tasks?wait=60' "${json[@]}" --data-binary '{"executer": "cat", "id": "red-1", "input": "secret"}'
is "$code $(got .verdict)" "200 succeeded" "a tenant's token: its task runs"
as red-token POST /v1/tasks "${json[@]}" --data-binary '{"executer": "sh", "args": ["echo secret; exec sleep 600"], "id": "red-2", "tenant": "red"}'
is "$code" 202 "the task may name the tenant, too"
as red-token POST /v1/tasks "${json[@]}" --data-binary '{"executer": "cat", "tenant": "blue"}'
problem 403 forbidden "'blue'.*'red'" "but not another one"
as any-token POST '/v1/tasks?wait=60' "${json[@]}" --data-binary '{"executer": "cat", "id": "blue-1", "tenant": "blue"}'
is "$code" 200 "a token without tenant hands in for any"
wait_for '[ "$(task_state red-2)" = running ]'
as red-token GET /v1/tasks/red-1
is "$code $(got .tenant)" "200 red" "its owner sees a task"
for path in /v1/tasks/red-1 /v1/tasks/red-1/result /v1/tasks/red-1/logs /v1/tasks/red-2 /v1/tasks/red-2/logs '/v1/tasks/red-2/logs?follow=1'; do
    as blue-token GET "$path"
    problem 404 not-found "no task 'red-" "another tenant, GET $path"
done
as blue-token DELETE /v1/tasks/red-2
problem 404 not-found "no task 'red-2'" "another tenant cannot cancel it"
is "$(task_state red-2)" running "and it goes on"
as blue-token POST '/v1/tasks?wait=5' "${json[@]}" --data-binary '{"executer": "cat", "id": "red-1", "input": "secret"}'
problem 409 conflict "red-1" "another tenant cannot get its result by its id"
unlike "$(cat "$out")" "output" "nor a part of it"
as blue-token GET /v1/tasks
is "$(got '[.tasks[].id] | join(" ")')" "blue-1" "a tenant's list is of its own tasks"
as red-token GET '/v1/tasks?tenant=red'
is "$(got '[.tasks[].id] | join(" ")')" "red-2 red-1" "which it may ask for by name"
as blue-token GET '/v1/tasks?tenant=red'
problem 403 forbidden "'blue'.*'red'" "but not for another's"
as any-token GET /v1/tasks
is "$(got '.tasks | length')" 3 "a token without tenant sees all"
as red-token DELETE /v1/tasks/red-2
is "$code" 202 "its owner can cancel it"
as any-token GET /v1/tasks/red-1/result "${wants_pack[@]}"
is "$code $(output)" "200 secret" "a token without tenant reads any result"

# ---- the token file changes ----

tokens 'red:red-token' 'green:green-token'
wait_for '[ "$(curl -s -o /dev/null -w "%{http_code}" -H "Authorization: Bearer green-token" $url/v1/tasks)" = 200 ]'
as blue-token GET /v1/tasks
problem 401 unauthorized "not one of" "a token that is taken out of the file is not valid any more"
tokens 'red:red token with spaces'
wait_for 'grep -q "token_file.*line 1" "$T/berthd.log"'
as green-token GET /v1/tasks
is "$code" 200 "a broken token file leaves the tokens in force, and the log says so"
wait_for '[ "$(task_state red-2)" = done ]'
is "$(grep -c 'red-token\|green-token\|any-token' "$T/berthd.log")" 0 "no token is in the log"
check_seen 'was never seen$'
ok stop_berth "berthd stops"

# ---- refused at start ----

refused() { # REGEX NAME: the config is in berth.conf
    : >"$T/refused.log"
    "$T/bin/berthd" >"$T/refused.log" 2>&1 </dev/null &
    daemon_pid=$!
    wait_for 'grep -q "cannot start:" "$T/refused.log"' 20
    like "$(grep -m 1 'cannot start:' "$T/refused.log")" "$1" "$2: refused, and said so"
    is "$(berth status >/dev/null 2>&1; echo $?) $(curl -sk -o /dev/null "$url/healthz"; echo $?)" "3 7" "$2: nobody listens"
    stop_berth
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$T/key.pem" -out "$T/cert.pem" 2>/dev/null
hosts_own "$T/key.pem"
tokens 'red:red-token' 'any-token'
tls="tls_cert = \"$T/cert.pem\"; tls_key = \"$T/key.pem\";"
listening "0.0.0.0:$port" >"$BERTH_CONFIG"
refused "reached from outside.*token_file" "all addresses, without a token"
listening "0.0.0.0:$port" "token_file = \"$T/tokens\";" >"$BERTH_CONFIG"
refused "tls_cert" "all addresses, without TLS"
listening "[::]:$port" "$tls" >"$BERTH_CONFIG"
refused "token_file" "all addresses of IPv6, with TLS but no token"
chmod 644 "$T/tokens"
listening "127.0.0.1:$port" "token_file = \"$T/tokens\";" >"$BERTH_CONFIG"
refused "tokens.*chmod 600" "a token file that others can read"
chmod 600 "$T/tokens"
listening "127.0.0.1:$port" "tls_cert = \"$T/cert.pem\";" >"$BERTH_CONFIG"
refused "tls_key" "a certificate without its key"

# ---- TLS, beyond loopback ----

ok 'listening "0.0.0.0:$port" "token_file = \"$T/tokens\"; $tls" | start_berth -' "all addresses, with token and TLS: berthd starts"
plain=$url
url=https://localhost:$port
call_args=(--cacert "$T/cert.pem")
wait_for 'curl -sf --cacert "$T/cert.pem" $url/readyz'
call GET /v1/tasks
problem 401 unauthorized "Authorization" "TLS: no token"
as red-token POST '/v1/tasks?wait=60' "${json[@]}" --data-binary '{"executer": "cat", "input": "over TLS"}'
is "$code $(output)" "200 over TLS" "TLS: a task, and its result"
as red-token GET "/v1/tasks/$(got .id)/logs"
is "$(cat "$out")" "over TLS" "TLS: its log"
isnt "$(curl -s "$url/healthz" >/dev/null; echo $?)" 0 "TLS: a client that does not know the certificate refuses it"
isnt "$(curl -s -m 10 "$plain/healthz" >/dev/null; echo $?)" 0 "TLS: plain HTTP is not answered"
isnt "$(curl -s --cacert "$T/cert.pem" --tls-max 1.1 "$url/healthz" >/dev/null; echo $?)" 0 "TLS: not before 1.2"
check_seen ' was never seen$'
ok stop_berth "berthd stops"

# ---- a Unix socket ----

call_args=(--unix-socket "$T/run/http.sock")
url=http://localhost
ok 'listening "unix:$T/run/http.sock" "socket_mode = \"0600\";" | start_berth -' "a Unix socket: berthd starts"
wait_for 'curl -sf "${call_args[@]}" $url/readyz'
is "$(stat -c %a "$T/run/http.sock")" 600 "a Unix socket: its mode"
submit '/v1/tasks?wait=60' '{"executer": "cat", "input": "through a socket"}'
is "$code $(output)" "200 through a socket" "a Unix socket: a task, and its result"
if [ "$(id -u)" -eq 0 ]; then
    isnt "$(as_user curl -s "${call_args[@]}" "$url/healthz" >/dev/null; echo $?)" 0 "a Unix socket: not for other users"
else
    skip_machine "not root: there is no other user"
fi
old=$(role_pid host)
kill -KILL "$old"
wait_for 'curl -sf "${call_args[@]}" $url/readyz'
is "$(stat -c %a "$T/run/http.sock")" 600 "a Unix socket: there again after a crash of the host"
check_seen ' was never seen$'
ok stop_berth "berthd stops"
ok '[ ! -e "$T/run/http.sock" ]' "a Unix socket: gone with the daemon"
done_testing
