#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# The bad days of a Redis server: after each of them tasks run again, each one has one result, and nothing is stuck.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/redis.sh"
need_redis
use_berth
kept=(--appendonly yes --appendfsync always)
start_redis r "${kept[@]}"
redis_config "url = \"unix://$T/r.sock\";" | start_berth - || done_testing
is_ready

runs() { # NAME: a task does
    local id=works-$RANDOM$RANDOM
    is_ready || fail "$1: ready again"
    send_sh "$id" true >/dev/null
    is "$(verdict_of "$id")" succeeded "$1: tasks run again"
}
works() { # NAME: the whole thing works again
    runs "$1"
    ok 'wait_for nothing_pending' "$1: nothing is stuck"
}

# ---- gone, and there again ----

gate killed
stop_redis r
is_ready 503
like "$(cat "$T/ready")" "redis" "without its server the host is not ready, and says why"
open_gate killed
ok 'wait_for "[ \"\$(task_state killed)\" = done ]"' "the task goes on without it"
ok 'start_redis r "${kept[@]}"' "Redis is back, with what it had"
is "$(verdict_of killed)" succeeded "the result that waited is published"
is "$(times_published killed)" 1 "once"
works "killed"

# ---- back, but empty ----

late=$(stat_of late)
gate emptied
stop_redis r
rm -rf "$T/redis-r"
start_redis r "${kept[@]}"
ok 'wait_for "[ -z \"\$(task_state emptied)\" ]"' "what an empty server knows nothing of is ended here"
is "$(stat_of late)" $((late + 1)) "and counted"
open_gate emptied
works "restarted empty"
is "$(rcli EXISTS "${K}result:emptied")" 0 "nothing is published for what it does not know"

# ---- it hangs ----

gate hung
stop_redis r STOP
is_ready 503
open_gate hung
wait_for '[ "$(task_state hung)" = done ]'
sleep 3 # longer than the lease, which ends for all while nobody can renew
kill -CONT "${redis_pid[r]}"
is "$(verdict_of hung)" succeeded "after a stop longer than the lease the result is published"
is "$(times_published hung)" 1 "once, though it was sent more than once"
works "stopped"

# ---- no memory ----

gate full
rcli CONFIG SET maxmemory-policy noeviction maxmemory 1mb >/dev/null
open_gate full
wait_for '[ "$(task_state full)" = done ]'
wait_for 'grep -q "OOM command not allowed" "$T/berthd.log"'
sleep 3 # longer than the lease: it is renewed without memory
is "$(rcli EXISTS "${K}result:full") $(pending)" "0 1" "without memory nothing is published and nothing is lost"
rcli CONFIG SET maxmemory 0 >/dev/null
is "$(verdict_of full)" succeeded "it is published when there is memory again"
is "$(times_published full)" 1 "once"
ok '[ "$(grep -c "OOM command" "$T/berthd.log")" -lt 10 ]' "and the log was not flooded"
works "out of memory"

# ---- a replica that may only be read, and back ----

gate readonly
rcli REPLICAOF 127.0.0.1 1 >/dev/null
open_gate readonly
is_ready 503
rcli REPLICAOF NO ONE >/dev/null
is "$(verdict_of readonly)" succeeded "a master that was a replica for a while"
is "$(times_published readonly)" 1 "gets the result once"
works "read-only"

# ---- things vanish ----

gate group
rcli XGROUP DESTROY "${K}tasks" berth >/dev/null
runs "group destroyed" # makes it anew, and reads all that is there again: also what runs
open_gate group
is "$(verdict_of group)" succeeded "group destroyed: what ran meanwhile is published"
works "group destroyed"
is "$(times_published group)" 1 "group destroyed: once"

gate stream
rcli DEL "${K}tasks" >/dev/null
ok 'wait_for "[ -z \"\$(task_state stream)\" ]"' "stream deleted: its tasks are withdrawn"
open_gate stream
works "stream deleted"
rcli FLUSHALL >/dev/null
works "everything deleted"
rcli SET "${K}dead" "not a stream" >/dev/null
send_sh wrongtype false >/dev/null
wait_for 'grep -q "WRONGTYPE.*dead" "$T/berthd.log"'
is "$(rcli EXISTS "${K}results" "${K}result:wrongtype")" 1 "a key of the wrong type: nothing is done by halves"
rcli DEL "${K}dead" >/dev/null
is "$(verdict_of wrongtype)" failed "and once it is gone, all of it"
rcli XTRIM "${K}tasks" MAXLEN 0 >/dev/null
works "trimmed"

# ---- the line is cut in the middle of a reply ----

cat >"$T/proxy.py" <<'PYTHON'
"""Passes bytes between two Unix sockets; each connection is cut after a number of bytes from the server, which
grows, so that replies are cut at ever other places and in the end all gets through."""
import os, random, socket, sys, threading
ours, theirs, seed = sys.argv[1:4]
dice = random.Random(int(seed))
def pump(a, b, left):
    try:
        while left > 0:
            data = a.recv(min(65536, left))
            if not data:
                break
            b.sendall(data)
            left -= len(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
listener = socket.socket(socket.AF_UNIX)
listener.bind(ours)
os.chmod(ours, 0o777)
listener.listen(64)
most = 600
while True:
    client, _ = listener.accept()
    server = socket.socket(socket.AF_UNIX)
    try:
        server.connect(theirs)
    except OSError:
        client.close()
        continue
    left = dice.randrange(most // 2, most)
    most = int(most * 1.05)
    threading.Thread(target=pump, args=(client, server, 1 << 60), daemon=True).start()
    threading.Thread(target=pump, args=(server, client, left), daemon=True).start()
PYTHON
seed=${SEED:-$RANDOM}
diag "seed of the proxy: $seed"
python3 "$T/proxy.py" "$T/proxy.sock" "$T/r.sock" "$seed" &
proxy=$!
wait_for '[ -S "$T/proxy.sock" ]'
stop_berth
redis_config "url = \"unix://$T/proxy.sock\";" | start_berth -
for i in $(seq 60); do send_sh "cut$i" "echo $i >>$M/cut" >/dev/null; done
ok 'wait_for "[ \"\$(rcli --raw KEYS \"${K}result:cut*\" | wc -l)\" = 60 ]" 180' \
    "over a line that breaks all the time all tasks come to an end"
wait_for nothing_pending 120
is "$(rcli --raw XRANGE "${K}results" - + | grep -aA1 -x id | grep -aE '^cut' | sort | uniq -d)" "" "with one result each"
is "$(sort -n "$M/cut" | uniq -d)" "" "and none runs twice"
kill "$proxy"
wait "$proxy" 2>/dev/null

# ---- the host dies ----

stop_berth
redis_config "url = \"unix://$T/r.sock\";" | start_berth -
is_ready
gate hostdies
kill -KILL "$(role_pid host)"
ok 'wait_for "[ \"\$(stat_of restarts)\" = 1 ]"' "the host is killed and comes back"
ok 'wait_for "[ \"\$(task_state hostdies)\" = running ]"' "it knows what runs"
open_gate hostdies
is "$(verdict_of hostdies)" succeeded "the result of an adopted task is published"
is "$(times_published hostdies) $(result_json hostdies | jq .attempt)" "1 1" "once, of the first attempt"
gate nohost
stop_berth
open_gate nohost
start_berth
is "$(verdict_of nohost)" succeeded "what ended while nothing of berth ran is published"
is "$(times_published nohost)" 1 "once"
works "host killed"
end_redis
done_testing
