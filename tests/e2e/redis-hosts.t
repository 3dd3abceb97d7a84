#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Several hosts on one queue: they share it, take over from each other, and publish each result once.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/redis.sh"
need_redis
need ip iptables nsenter
use_berth
host_of() { result_json "$1" | jq -r '.host + " " + (.attempt|tostring)'; } # ID: "HOST ATTEMPT" of its result

# ---- two share by free capacity ----

start_redis r
lease=60s
host_extra='max_running = 2;' redis_config >"$T/two.conf"
start_host a "$T/two.conf" && start_host b "$T/two.conf" || done_testing
for i in 1 2 3 4 5 6 7 8; do
    send_sh "share$i" "until [ -e $M/share.open ]; do sleep 0.05; done" >/dev/null
done
ok 'wait_for "[ \"\$(stat_of running a) \$(stat_of running b)\" = \"2 2\" ]"' "two hosts with room for two each run two each"
is "$(waiting) $(pending)" "8 4" "neither holds more than it can run"
open_gate share
for i in 1 2 3 4 5 6 7 8; do verdict_of "share$i"; done >"$T/verdicts"
is "$(sort "$T/verdicts" | uniq -c | xargs)" "8 succeeded" "all eight are done"

# ---- drain: what waits goes to the other at once, what runs is finished ----

stop_host a
stop_host b
executers_extra=', { name = "one"; runtime = "process"; command = [ "/bin/sh", "-c" ]; max_running = 1; }' \
    host_extra='max_losses = 0;' redis_config >"$T/one.conf"
start_host a "$T/one.conf"
gate drained
for i in 1 2 3 4; do
    rcli XADD "${K}tasks" '*' t "{\"id\":\"one$i\",\"executer\":\"one\",\"args\":[\"[ $i != 1 ] || sleep 1000\"]}" >/dev/null
done
wait_for '[ "$(pending)" = 5 ]'
start_host b "$T/one.conf"
is "$(pending)" 5 "all tasks are with the first host"
host a berth drain >/dev/null
is "$(verdict_of one4)" succeeded "drained, it hands back what waits, long before its lease is over"
like "$(host_of one4)" "^b 1" "to the other host, as a first attempt"
rcli XADD "${K}control" '*' cancel one1 >/dev/null
is "$(verdict_of one1)" cancelled "what runs there is still cancelled"
open_gate drained
is "$(verdict_of drained)" succeeded "and finished"
is "$(host_of drained)" "a 1" "where it was"
host a berth drain --off >/dev/null
host b berth drain >/dev/null
gate moved
wait_for '[ "$(stat_of running a)" = 1 ]'
host b berth drain --off >/dev/null
host a berth drain --deadline 1ms >/dev/null
wait_for '[ "$(stat_of running b)" = 1 ]'
tap_line $? "at its deadline it hands back what runs, too"
open_gate moved
is "$(verdict_of moved)" succeeded "which another host finishes"
like "$(host_of moved)" "^b " "although one loss would be one too many (max_losses)"
is "$(curl -s "$url/none" >/dev/null; stat_of late a)" 0 "nothing was set aside"
stop_host a
stop_host b

# ---- sent twice: the host that has never heard of it does not run it again ----

lease=2s
redis_config >"$T/twice.conf"
start_host a "$T/twice.conf"
send_sh twice "echo >>$M/twice.runs" >/dev/null
rcli XADD "${K}tasks" '*' id named t "{\"executer\":\"sh\",\"args\":[\"echo >>$M/named.runs\"]}" >/dev/null
is "$(verdict_of twice) $(verdict_of named)" "succeeded succeeded" "a host runs two tasks"
stop_host a
send_sh left "echo >>$M/left.runs" >/dev/null
rcli XREADGROUP GROUP berth dead COUNT 1 STREAMS "${K}tasks" '>' >/dev/null
send_sh left "echo >>$M/left.runs" >/dev/null
start_host b "$T/twice.conf"
is "$(verdict_of left)" succeeded "another one runs what is sent while a dead host holds the same task"
send_sh twice "echo >>$M/twice.runs" >/dev/null
rcli XADD "${K}tasks" '*' id named t "{\"executer\":\"sh\",\"args\":[\"echo >>$M/named.runs\"]}" >/dev/null
start_host c "$T/twice.conf"
ok 'wait_for nothing_pending' "what is sent once more is acknowledged, and what the dead host had, too"
is "$(cat "$M"/{twice,named,left}.runs | wc -l)" 3 "and has run once each"
is "$(times_published twice) $(times_published named) $(times_published left)" "1 1 1" "with one result each"
send_sh twice "echo >>$M/other.runs" >/dev/null
ok 'wait_for "[ \"\$(letters)\" = 1 ]" && wait_for nothing_pending' "another task under that id is a dead letter"
is "$(letter_of twice reason)" "id 'twice' was used for a different task" "with the reason"
rcli DEL "${K}dead" >/dev/null
stop_host b
stop_host c

# ---- a task that costs each host its life ----

lease=2s
host_extra='max_losses = 1;' redis_config >"$T/plain.conf"
for name in d1 d2; do
    start_host $name "$T/plain.conf"
    [ $name = d2 ] || gate deadly
    wait_runs deadly "${name#d}"
    stop_host $name KILL
done
start_host d3 "$T/plain.conf"
is "$(verdict_of deadly)" lost "a task that was lost with two hosts is not begun by a third"
is "$(letter_of deadly verdict) $(letter_of deadly attempts)" "lost 2" "it is a dead letter, with the attempts of all hosts"
like "$(letter_of deadly reason)" "lost" "and the reason"
is "$(wc -l <"$M/deadly.runs")" 2 "it was begun twice"
start_host d1
start_host d2
ok 'wait_for "[ \"\$(stat_of late d1) \$(stat_of late d2)\" = \"1 1\" ]"' \
    "hosts that come back end what is no longer theirs, and count it"
is "$(times_published deadly)" 1 "there is one result"
let_go() { wait_for "! host $2 berth status $1"; } # TASK HOST: its attempt is ended, too
let_go deadly d1
let_go deadly d2
for name in d1 d2 d3; do stop_host $name; done

# ---- retries are counted over hosts, too ----

send_sh counted "echo >>$M/counted.runs; [ \$(wc -l <$M/counted.runs) -ge 2 ] && until [ -e $M/counted.open ]; do sleep 0.05; done; exit 1" \
    '"retries":1' >/dev/null
start_host e1 "$T/plain.conf"
wait_runs counted 2
wait_for 'rcli HVALS "${K}attempts" | grep -q "^2:1:0:"' # it is on record
stop_host e1 KILL
start_host e2 "$T/plain.conf"
wait_runs counted 3
open_gate counted
is "$(verdict_of counted)" failed "a task with one retry, which one host has used up"
is "$(host_of counted) $(wc -l <"$M/counted.runs")" "e2 3 3" "gets no further one from the next"
start_host e1
ok 'wait_for "[ \"\$(stat_of late e1)\" = 1 ]"' "and the first one's is set aside"
let_go counted e1
stop_host e1
stop_host e2

# ---- a server that stops and goes on: nobody has died ----

lease=2s
redis_config >"$T/pause.conf"
start_host p1 "$T/pause.conf" && start_host p2 "$T/pause.conf" || done_testing
for i in 1 2 3 4; do gate "paused$i"; done
is "$(($(stat_of running p1) + $(stat_of running p2)))" 4 "two hosts have four tasks, and room for more"
for i in 1 2 3; do
    stop_redis r STOP
    sleep 3 # longer than the lease
    kill -CONT "${redis_pid[r]}"
    wait_for '[ "$(rcli --raw XPENDING "${K}tasks" berth IDLE 0 - + 9 | awk "NR % 4 == 3 && \$1 < 1500" | wc -l)" = 4 ]'
done
is "$(cat "$M"/paused*.runs | wc -l)" 4 "after each time that it was stopped they go on where they were"
is "$(stat_of late p1) $(stat_of late p2)" "0 0" "nothing was taken over"
for i in 1 2 3 4; do open_gate "paused$i"; done
for i in 1 2 3 4; do verdict_of "paused$i"; done >"$T/verdicts"
is "$(sort "$T/verdicts" | uniq -c | xargs)" "4 succeeded" "and end well"
stop_host p1
stop_host p2

# ---- a network that is cut ----

ns=berth$$
remove_net() { for side in a r; do [ ! -e /run/netns/$ns$side ] || ip netns del $ns$side; done; }
on_exit() { # as lib.sh, and the network
    local code=$?
    remove_net
    (exit "$code")
    cleanup_all
}
trap on_exit EXIT
if [ "$(id -u)" -ne 0 ] || ! ip netns add ${ns}a 2>/dev/null || ! ip netns add ${ns}r; then
    skip_machine "network namespaces cannot be made here" 8
    end_redis
    done_testing
fi
ip link add "${ns:0:10}a" netns ${ns}a type veth peer name "${ns:0:10}r" netns ${ns}r
ip -n ${ns}a addr add 10.213.7.2/24 dev "${ns:0:10}a"
ip -n ${ns}r addr add 10.213.7.1/24 dev "${ns:0:10}r"
for side in a r; do
    ip -n $ns$side link set lo up
    ip -n $ns$side link set "${ns:0:10}$side" up
done
in_net() { nsenter "--net=/run/netns/${ns}r" "$@"; }
cut_line() { # both ways
    in_net iptables -A INPUT -j DROP && in_net iptables -A OUTPUT -j DROP
}
heal() { in_net iptables -F; }

stop_redis r
redis_real=$redis_server
cat >"$T/redis-in-net" <<SH
#!/bin/sh
exec nsenter --net=/run/netns/${ns}r $redis_real "\$@"
SH
chmod 755 "$T/redis-in-net"
redis_server=$T/redis-in-net
start_redis r --port 6379 --bind 10.213.7.1 --protected-mode no
redis_server=$redis_real
redis_config 'url = "redis://10.213.7.1";' >"$T/far.conf"
host_wrap="nsenter --net=/run/netns/${ns}a" start_host far "$T/far.conf"
gate healed
gate cut
start_host near "$T/plain.conf"
cut_line
wait_runs healed 2
wait_runs cut 2
pass "cut off for longer than its lease, a host loses its tasks to another"
open_gate cut
is "$(verdict_of cut)" succeeded "that one publishes"
is "$(host_of cut)" "near 2" "as the second attempt"
wait_for '[ "$(host far berth status --json cut | jq -r .state)" = done ]'
is "$(stat_of late far)" 0 "the first host knows nothing of it, and ends the task too"
heal
ok 'wait_for "[ \"\$(stat_of late far)\" = 2 ]"' \
    "the line mended, its result is set aside, what still runs is ended, and both are counted"
ok 'let_go healed far' "it has let go of the other task"
open_gate healed
is "$(verdict_of healed)" succeeded "which the second host finishes"
is "$(host_of healed) $(times_published cut) $(times_published healed)" "near 2 1 1" "one result each"
ok 'wait_for nothing_pending' "nothing is stuck"
end_redis
done_testing
