#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# berth submit --to: the command line as a client of hosts elsewhere, and of queues.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/redis.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/clients.sh"
need_redis
need openssl
find_client_python
use_berth
ok start_everything "berthd starts" || done_testing
ok is_ready "ready"

head -c 1048576 /dev/urandom >"$T/blob"
for by in http socket redis zmq; do
    where=by_$by
    to() { # [OPTIONS]: with nothing on standard input
        berth submit --to "${!where}" "$@" </dev/null 2>"$T/err"
    }
    is "$(echo hello | berth submit --to "${!where}" -e cat --wait --quiet 2>&1)" hello "$by: the output is printed"
    out=$(to -e sh --wait -- 'echo out; echo err >&2; exit 3')
    is "$? $out" "10 out" "$by: the exit status tells the verdict"
    like "$(paste -sd' ' "$T/err")" 'err [^ ]*: failed in .*, exit code 3' "$by: and standard error how it ended"
    berth submit --to "${!where}" -e cat --wait --quiet <"$T/blob" >"$T/out" 2>&1
    ok 'cmp "$T/blob" "$T/out"' "$by: 1 MiB of binary goes in and out"
    is "$(to -e sh -w --json --env X=1 --put a="$T/err" --label b=c --memory 64M --cpus 0.1 --timeout 1m -- 'echo $X' |
        jq -r '.verdict + " " + (.output_b64 | @base64d) + (.limits.asked.memory | tostring)')" \
        "$(printf 'succeeded 1\n67108864')" "$by: options and --json"
    id=$(to -e sh -- 'echo later')
    like "$id" '^[0-9A-Z]{26}$' "$by: without --wait the id is printed"
    is "$(to -e sh --id "$id" --wait --quiet -- 'echo later')" later "$by: sent again it is the same task"
    to -e sh --id "$id" --wait -- 'echo other'
    is "$? $(cat "$T/err")" "5 berth: id '$id' was used for a different task" "$by: another one under its id is refused"
    to -e nobody --wait
    is "$? $(grep -c "no executer 'nobody'" "$T/err")" "4 1" "$by: an unknown executer"
done
where=by_http
to -e nobody
is "$?" 4 "over HTTP that is known at once"

# ---- tokens and certificates ----

export BERTH_TOKEN=$token BERTH_CA_FILE=$T/cert.pem
for by in https rediss; do
    where=by_$by
    is "$(to -e sh --wait --quiet -- 'echo in')" in "$by: with its token and authority"
    BERTH_TOKEN=wrong to -e sh -- true
    is "$?" 5 "$by: a wrong token is refused"
done
unset BERTH_TOKEN BERTH_CA_FILE
by_url=http://127.0.0.1:1 where=by_url
to -e cat --patience 300ms
is "$? $(grep -c 'does not answer' "$T/err")" "3 1" "a host that is not there"
to -e cat --patience soon
is "$? $(grep -c 'no duration' "$T/err")" "1 1" "a wrong patience"
by_url=ftp://x
to -e cat
is "$? $(grep -c "'ftp://x' does not begin with one of http://" "$T/err")" "5 1" "a wrong URL"

# ---- restarts while it waits ----

pids=()
for by in http redis zmq; do
    where=by_$by
    berth submit --to "${!where}" --patience 1m -e sh --wait --quiet -- \
        "touch $M/$by; until [ -e $M/open ]; do sleep 0.05; done; echo end" >"$T/$by.out" 2>&1 </dev/null &
    pids+=($!)
    wait_for '[ -e "$M/$by" ]'
done
stop_berth
ok start_berth "the host is restarted"
touch "$M/open"
wait "${pids[@]}"
is "$(cat "$T"/{http,redis,zmq}.out | paste -sd' ')" "end end end" "and who waits has the result all the same"
end_redis
done_testing
