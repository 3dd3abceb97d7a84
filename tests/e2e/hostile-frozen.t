#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# A payload that sleeps where no signal wakes it: in a file system that does not answer. The daemon has that in a mount
# namespace of its own, so that nothing else on the machine touches it.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
use_berth
. "${BERTH_SRCDIR:-.}/tests/e2e/hostile.sh"
[ "$(id -u)" -eq 0 ] || skip_all_machine "only root can mount a file system that freezes"

mkdir -m 755 "$T/frozen"
mkfifo "$T/thaw"
cat >"$T/with-frozen" <<WRAP
#!/bin/sh
"$T/tools/hostile" frozen "$T/frozen" >"$T/frozen.log" 2>&1 &
echo \$! >"$T/frozen.pid"
while ! grep -q ready "$T/frozen.log"; do
    kill -0 \$! 2>/dev/null || exit 1
    sleep 0.02
done
exec "\$@"
WRAP
chmod 755 "$T/with-frozen"
if ! unshare -m --propagation private "$T/with-frozen" true 2>/dev/null; then
    skip_all_machine "no FUSE file system can be mounted here: $(cat "$T/frozen.log")"
fi
kill "$(cat "$T/frozen.pid")"
rm "$T/frozen.log"

WRAP="unshare -m --propagation private $T/with-frozen"
executers_extra=$(hostile_executers)
executers_extra+=", { name = \"cold\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; private_tmp = false; }"
base_config >"$BERTH_CONFIG"
begin_as_root
booked() { ask status --json | jq -c '[.booked.cpus // 0, .running]'; }
before=$(booked)

for name in still cancelled; do
    attack $name cold --timeout "$([ $name = still ] && echo 500ms || echo 10m)" -- "[ \$BERTH_ATTEMPT = 1 ] || exec echo again; cat $T/frozen/x & ls $T/frozen"
done
# Each of the two tasks, which have uids of their own, has come as far as there.
wait_for '[ "$(sed -n "s/^asked.* by //p" "$T/frozen.log" | sort -u | wc -l)" -ge 2 ]' 60
is $? 0 "both hang in the file system"
ask cancel "$mode-cancelled" >/dev/null

# The kill ladder has reached its end, and nothing is claimed that is not so.
wait_for 'grep -q "$mode-still.*resist SIGKILL" "$T/berthd.log" && grep -q "$mode-cancelled.*resist SIGKILL" "$T/berthd.log"' 60
is $? 0 "the operator is told that processes resist"
is "$(ask status --json "$mode-still" | jq -r .state) $(ask status --json "$mode-cancelled" | jq -r .state)" "running running" \
    "both are running still, timeout and cancel notwithstanding"
isnt "$(booked)" "$before" "and what they use stays booked: $(booked)"
others_work "still"
ok 'curl -sf -m 10 "$url/healthz"' "the host answers"

# The daemon is killed and comes back: the supervisors hold on.
old=$(role_pid host)
kill -KILL "$old"
wait_for '[ -n "$(role_pid host)" ] && [ "$(role_pid host)" != '"$old"' ] && ask status'
wait_for '[ "$(ask status --json "$mode-still" | jq -r .state)" = running ]'
is $? 0 "a new host knows them as running"

# Now the file system is gone, and with it what held them.
kill -KILL "$(cat "$T/frozen.pid")"
ended cancelled "cancelled node" # which could not do what it was told to
ok '[ "$(get .evidence.unkillable_ms)" -ge 1000 ]' "with how long it resisted as evidence: $(get .evidence.unkillable_ms) ms"
is "$(get .evidence.sigkill)" true "and that it was sent"
like "$(get .error.message)" "resisted SIGKILL for [0-9]+ ms" "and that is said"
ended still "succeeded "
is "$(get .attempt) $(output)" "2 again" "the other one was tried again: that it hung was the node's fault, not its own"
touch "$T/marks/enough"
wait_for '[ "$(ask status --json "victim-$mode" | jq -r .state)" = done ]'
wait_for '[ "$(booked)" = "[0,0]" ]'
is "$(booked)" "[0,0]" "nothing is booked any more"
kill "$health_pid" 2>/dev/null
wait "$health_pid" 2>/dev/null
is "$(ask result --json "victim-$mode" | jq -r .verdict)" succeeded "the task beside it was not hurt"
ok 'wait_for "[ -z \"\$(left_attempts)\" ]" 30' "no directory is left"
done_testing
