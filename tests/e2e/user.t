#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# All of it started by a plain user: it runs, and says what it cannot enforce.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
# shellcheck disable=SC2016,SC2154
use_berth
mkdir -m 1777 "$T/marks"
sh_extra="bind_rw = [ \"$T/marks\" ];"
base_config >"$BERTH_CONFIG"
ok 'start_berth_as_user' "berthd starts without privileges"
ask() { "${as_user[@]}" berth "$@"; }
wait_for '[ "$(ask runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'
me=$(status_of "$daemon_pid" Uid | cut -f1)
isnt "$me" 0 "not root"
for role in host process; do
    is "$(status_of "$(role_pid $role)" Uid | cut -f1)" "$me" "$role: the same user"
    is "$(status_of "$(role_pid $role)" CapPrm)" 0000000000000000 "$role: no capability"
    is "$(status_of "$(role_pid $role)" NoNewPrivs)" 1 "$role: no_new_privs"
done
result=$(ask submit -e sh --wait --json -- 'echo hello; id -u; grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status' </dev/null)
out=$(jq -r .output_b64 <<<"$result" | base64 -d)
is "$(jq -r .verdict <<<"$result")" succeeded "a task runs" || diag "$result"
like "$out" "hello" "and says so"
like "$out" "CapEff:[[:space:]]*0000000000000000" "its payload has no capability"
like "$out" "NoNewPrivs:[[:space:]]*1" "its payload has no_new_privs"
result=$(ask submit -e sh --wait --json --timeout 300ms -- '(setsid sleep 616 &); sleep 616' </dev/null)
is "$(jq -r .verdict <<<"$result")" timeout "a timeout is enforced"
ok '! pgrep -f "sleep 616"' "and what it left behind is gone"

explain=$(ask explain sh --json)
for limit in memory cpus pids network time uid read_only; do
    like "$(jq -r ".limits.$limit.enforced" <<<"$explain")" "." "explain tells about $limit"
done
is "$(jq -r .limits.uid.enforced <<<"$explain")" no "explain: no uid of the payload's own"
result=$(ask submit -e sh --wait --json -- true </dev/null)
is "$(jq -r .limits.enforced.uid <<<"$result")" no "and the result says the same"
memory=$(jq -r .limits.memory.enforced <<<"$explain")
err=$(ask submit -e sh --require uid --wait -- true 2>&1 </dev/null); status=$?
is "$status" 5 "what cannot be enforced can be required: then the task is refused"
like "$err" "uid" "and the limit is named"
ask explain sh >"$T/explain.txt"
like "$(cat "$T/explain.txt")" "NOT ENFORCED HERE" "for people it is said plainly"
diag "memory without privileges: $memory"

# Crash-only without privileges, too.
id=$(ask submit -e sh -- "while [ ! -e $T/marks/go ]; do sleep 0.05; done; echo end >>$T/marks/end; echo ok" </dev/null)
wait_for '[ "$(ask status --json "$id" | jq -r .state)" = running ]'
old=$(role_pid host)
kill -KILL "$old" "$(role_pid process)"
wait_for '[ -n "$(role_pid host)" ] && [ "$(role_pid host)" != '"$old"' ] && ask status'
touch "$T/marks/go"
wait_for '[ "$(ask status --json "$id" | jq -r .state)" = done ]'
is "$(ask result "$id" --json | jq -r .verdict)" succeeded "a task outlives host and worker"
is "$(wc -l <"$T/marks/end")" 1 "and runs once"

id=$(ask submit -e sh -- 'exec sleep 617' </dev/null)
wait_for 'pgrep -f "sleep 617"'
kill -KILL "$(role_pid "task $id")"
wait_for '! pgrep -x -f "sleep 617" || [ "$(ask status --json "$id" | jq -r .attempt)" -gt 1 ]'
pass "a supervisor's death ends its payload"
ask cancel "$id" >/dev/null
wait_for '[ "$(ask status --json "$id" | jq -r .state)" = done ]'
done_testing
