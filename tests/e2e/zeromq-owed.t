#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What clients are owed: by a host that is killed, to clients that go away, come back, are slow, or never read.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/zeromq.sh"
use_berth
zeromq_config 'heartbeat = "500ms"; resend = "1s"; max_unread = "64K";' | start_berth - || done_testing

# ---- the host is killed ----

killed() {
    peer <<'PY'
p = Peer("faithful")
tasks = [sh(f"k{i}", f"echo x >>{M}/k{i}; until [ -e {M}/k.open ]; do sleep 0.05; done") for i in range(10)]
tasks.append(sh("ended", f"echo x >>{M}/ended"))
for t in tasks:
    p.submit(t)
p.result("ended", ack=False)
say("accepted")
exists(M + "/killed")
say(p.back()["resumed"])
p.send("SUBMIT", sh("k0", "false"))
say(p.error(id="k0")["code"])
for t in tasks:
    p.submit(t)
touch(M + "/k.open")
say({p.result(t["id"])["verdict"] for t in tasks})
say(eventually(lambda: p.quiet("RESULT", 2.5)))
q = Peer("forgetful")
q.send("STATUS", {"id": "k3"})
say(q.wait("STATUS")["result"]["verdict"])
PY
}
killed >"$T/killed" &
client=$!
ok 'wait_for "grep -q accepted \"$T/killed\""' "tasks are accepted"
kill -KILL "$(role_pid host)"
touch "$M/killed"
wait "$client"
is "$(tail -n +2 "$T/killed")" "False
conflict
{'succeeded'}
True
succeeded" "the host is killed: tasks that are submitted again are known, and have one result each"
is "$(cat "$M"/k[0-9] "$M/ended" | wc -l)" 11 "and each ran once"

# ---- a client goes away, and comes back ----

peer >"$T/gone" <<'PY'
p = Peer("wanderer")
p.submit(sh("w1", "echo 1"))
p.submit(sh("w2", f"until [ -e {M}/w.open ]; do sleep 0.05; done; echo 2"))
p.result("w1", ack=False)
PY
is "$(cat "$T/gone")" "" "a client goes away"
touch "$M/w.open"
ok 'wait_for "[ \"\$(task_state w2)\" = done ]"' "its tasks go on"
is "$(peer <<'PY'
p = Peer("wanderer")
say(p.answer["resumed"])
say(sorted([p.result("w1")["id"], p.result("w2")["id"]]))
p.send("PING", {})
p.wait("PONG")
p.close()
p = Peer("wanderer")
say(p.quiet("RESULT", 2.5))
PY
)" "True
['w1', 'w2']
True" "back, it gets what was not acknowledged, and that no more"

is "$(peer <<'PY'
p = Peer("double")
p.submit(sh("d1", f"until [ -e {M}/d.open ]; do sleep 0.05; done"))
q = Peer("double")
say(q.answer["resumed"], p.error()["code"])
p.send("PING", {})
say(p.error(type="PING")["code"])
touch(M + "/d.open")
say(q.result("d1")["verdict"])
PY
)" "True replaced
not_ready
succeeded" "a second connection of the same name takes over, and the first is told"

stop_berth

# ---- how much and how long ----

zeromq_config 'heartbeat = "200ms"; resend = "1s"; keep = "2s"; credit = 3; open_max = 5; max_clients = 2;' |
    start_berth - || done_testing
is "$(peer <<'PY'
p = Peer("greedy")
for i in range(3):
    p.submit(sh(f"g{i}", "true"))
p.send("SUBMIT", sh("g3", "true"))
e = p.error(id="g3")
say(e["code"], e["again"])
for i in range(3):
    p.result(f"g{i}", ack=False)
p.send("SUBMIT", sh("g3", "true"))
say(p.error(id="g3")["message"])
p.ack("g0", "g1")
p.submit(sh("g3", "true"))
q = Peer("second")
p.submit(sh("g4", "true"))
for i in range(2):
    q.submit(sh(f"s{i}", "true"))
q.send("SUBMIT", sh("s2", "true"))
say(q.error(id="s2")["message"])
r = Peer("third", ready=False)
r.send("READY", r.hello)
say(r.error()["message"])
PY
)" "credit True
3 tasks are open, and the credit is 3: read results, and acknowledge them
all clients together have 5 tasks open, as many as may be
as many clients as max_clients allows are here: try again later" "no client has more tasks open than its credit"
is "$(peer <<'PY'
p = Peer("third", ready=False)
say("came in:", eventually(lambda: p.back()))
def is_done():
    p.send("STATUS", {"id": "g3"})
    return p.wait("STATUS")["state"] == "done"
say("g3 is done:", eventually(is_done))
PY
)" "came in: True
g3 is done: True" "who is gone makes room for others"
ok 'wait_for "grep -q \"did not come back: \" \"$T/berthd.log\"" 60' "what is owed to a client is not kept for ever"
is "$(peer <<'PY'
p = Peer("greedy")
say(p.answer["resumed"])
p.send("SUBMIT", sh("g2", "true"))
say(p.result("g2")["verdict"])
PY
)" "False
succeeded" "but a task that is submitted again has its result for as long as the store keeps it"
stop_berth

# ---- slow ones ----

zeromq_config 'heartbeat = "1s"; resend = "1s"; max_unread = "64K";' | start_berth - || done_testing
is "$(peer <<'PY'
slow = Peer("slow", window=1000, options={zmq.RCVHWM: 1, zmq.RCVBUF: 4096})
mute = Peer("mute", window=1000, options={zmq.RCVHWM: 1, zmq.RCVBUF: 4096})
big = "head -c 30000 /dev/zero"
for i in range(300):
    for p in slow, mute:
        p.socket.send_multipart([b"SUBMIT", msgpack.packb(sh(f"{p.hello['client']}{i}", big))])
for i in range(3000):
    mute.socket.send_multipart([b"STATUS", msgpack.packb({"id": f"mute{i % 300}"})])
quick = Peer("quick")
start = time.monotonic()
say([quick.run(sh(f"q{i}", "true"))["verdict"] for i in range(20)].count("succeeded"))
got = set()
while len(got) < 300:
    got.add(slow.wait("RESULT")["id"])
    slow.ack(*got)
say(len(got))
got = set()
busy = 0
while len(got) < 300:
    kind, body = mute.recv()
    if kind == "RESULT":
        got.add(body["id"])
        mute.ack(body["id"])
    elif kind == "ERROR":
        busy += body["code"] == "busy"
say(len(got), busy > 0)
PY
)" "20
300
300 True" "slow clients, and one that does not read at all, keep no other from its results; each gets its own in the end"
most=120000
[ -z "${SANITIZE_CFLAGS:-}" ] || most=800000 # which keep for a while what was freed
memory=$(status_of "$(role_pid host)" VmRSS)
ok '[ "${memory% kB}" -lt $most ]' "and the host's memory is bounded ($memory)"

# ---- heartbeats ----

is "$(peer <<'PY'
p = Peer("beats")
p.pongs = False
p.submit(sh("beat", f"until [ -e {M}/beat.open ]; do sleep 0.05; done"))
say([p.wait("PING") for i in range(5)])
touch(M + "/beat.open")
say(p.quiet("RESULT", 2))
p.send("PING", {})
say(p.result("beat")["verdict"])
PY
)" "[{}, {}, {}, {}, {}]
True
succeeded" "a client that does not answer is gone after three heartbeats, and is there again with its next word"
done_testing
