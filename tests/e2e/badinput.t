#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Bad input earns a clear error and nothing else: over HTTP as JSON and msgpack, and in the config.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
# shellcheck disable=SC2016
need curl
use_berth
ok 'base_config | start_berth -' "berthd starts"
wait_for 'curl -sf $url/readyz'
host=$(role_pid host)

post() { # TYPE FILE: status and body
    curl -s -o "$T/body" -w '%{http_code}' -H "Content-Type: $1" --data-binary "@$2" "$url/v1/tasks?wait=20"
}
refused() { # NAME TYPE REGEX: the content is in $T/bad
    local code
    code=$(post "$2" "$T/bad")
    like "$code" "^4[0-9][0-9]$" "$1: refused" || diag "$(head -c 300 "$T/body")"
    like "$(jq -r .detail "$T/body" 2>/dev/null)" "$3" "$1: said so"
}
json() { # NAME TEXT REGEX
    printf '%s' "$2" >"$T/bad"
    refused "JSON, $1" application/json "$3"
}
pack() { # NAME PRINTF-TEXT REGEX
    # shellcheck disable=SC2059 # bytes by escapes
    printf "$2" >"$T/bad"
    refused "msgpack, $1" application/msgpack "$3"
}
json "nothing" '' "."
json "cut off" '{"executer":"cat"' "."
json "not an object" '[1]' "map|object"
json "unknown key" '{"executer":"cat","prioritty":1}' "prioritty.*priority"
json "double key" '{"executer":"cat","executer":"sh"}' "executer|duplicate|twice"
json "unknown executer" '{"executer":"catt"}' "catt.*cat"
json "wrong type" '{"executer":7}' "executer"
json "wrong version" '{"v":2,"executer":"cat"}' "v"
json "id with a slash" '{"executer":"cat","id":"a/b"}' "id"
json "impossible memory" '{"executer":"cat","resources":{"memory":"900000G"}}' "memory"
json "memory that is none" '{"executer":"cat","resources":{"memory":"many"}}' "memory"
json "not UTF-8" $'{"executer":"cat","input":"\xff\xfe"}' "."
json "a NUL in a string" '{"executer":"cat","args":["a\u0000b"]}' "."
json "too deep" "$(printf '{"executer":"cat","labels":'; printf '[%.0s' {1..40}; printf ']%.0s' {1..40}; printf '}')" "deep|depth|nest"
json "both executer and runtime" '{"executer":"cat","runtime":"process"}' "runtime"
json "a variable that may not be set" '{"executer":"cat","env":{"LD_PRELOAD":"x"}}' "LD_PRELOAD"
json "network that is not allowed" '{"executer":"cat","network":"host"}' "network"
pack "nothing" '' "."
pack "a number" '\x01' "map"
pack "cut off" '\x81\xa8exec' "."
pack "trailing bytes" '\x81\xa8executer\xa3cat\x00' "trailing|after"
pack "double key" '\x82\xa8executer\xa3cat\xa8executer\xa2sh' "executer|duplicate|twice"
pack "not UTF-8" '\x81\xa8executer\xa3\xff\xfe\xfd' "utf-8"
pack "an array of four thousand million" '\xdd\xff\xff\xff\xff' "."
pack "too deep" "$(printf '\\x91%.0s' {1..40})\\xc0" "deep|depth|nest"
pack "extension type" '\x81\xa8executer\xd4\x01\x00' "."
head -c 20000000 /dev/zero >"$T/bad"
is "$(post application/json "$T/bad")" 413 "an oversized body: 413"
echo '{"executer":"cat"}' >"$T/bad"
is "$(post text/plain "$T/bad")" 415 "a content type that is not spoken: 415"
is "$(role_pid host)" "$host" "the host lived through all of it"
is "$(berth list --json | jq '.tasks|length')" 0 "and took nothing in"

# ---- config ----
check() { # NAME LINE REGEX: adds a line to a good config
    base_config "$2" >"$T/bad.conf"
    local out status
    out=$("$T/bin/berthd" --check "$T/bad.conf" 2>&1)
    status=$?
    is "$status" 1 "config, $1: refused"
    like "$out" "$3" "config, $1: said so"
}
base_config >"$T/good.conf"
like "$("$T/bin/berthd" --check "$T/good.conf" 2>&1)" "good" "a good config is called good"
check "a key that is none" 'hosst = { };' "bad.conf:[0-9]+.*hosst.*host"
check "a bracket that is missing" 'tenants = (' "bad.conf:[0-9]+"
check "a tenant without a name" 'tenants = ( { weight = 2.0; } );' "bad.conf:[0-9]+.*name"
executers_extra=', { name = "x"; runtime = "proces"; command = [ "a" ]; }' base_config >"$T/bad.conf"
like "$("$T/bin/berthd" --check "$T/bad.conf" 2>&1)" "bad.conf:[0-9]+.*proces.*process" "config, a runtime that is none: the nearest named"
executers_extra=', { name = "x"; runtime = "process"; command = [ "a" ]; read_onyl = true; }' base_config >"$T/bad.conf"
like "$("$T/bin/berthd" --check "$T/bad.conf" 2>&1)" "bad.conf:[0-9]+.*read_onyl.*read_only" "config, a key that the runtime does not have: the nearest named"
http_extra='tokenfile = "/x";' base_config >"$T/bad.conf"
like "$("$T/bin/berthd" --check "$T/bad.conf" 2>&1)" "bad.conf:[0-9]+.*tokenfile.*token_file" "config, a key that the transport does not have: the nearest named"
runtimes_extra=', { plugin = "dokker"; }' base_config >"$T/bad.conf"
like "$("$T/bin/berthd" --check "$T/bad.conf" 2>&1)" "dokker" "config, a plugin that is not there: named, with the places"
stop_berth
http_extra='token_file = "/nonexistent/tokens";' base_config >"$T/bad.conf"
out=$(timeout 30 "$T/bin/berthd" -c "$T/bad.conf" 2>&1)
is "$?" 1 "a transport that cannot open: berthd does not go on trying"
like "$out" "/nonexistent/tokens" "and says why"
done_testing
