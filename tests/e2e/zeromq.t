#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Tasks through ZeroMQ on a good day, both ways of connecting, and what is resent.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/zeromq.sh"
use_berth
host_extra='max_task = "256K";'
zeromq_config 'heartbeat = "1s"; resend = "2s"; credit = 20;' | start_berth - || done_testing

# ---- a task ----

is "$(peer <<'PY'
p = Peer("one", events=True)
a = p.answer
say(a["v"], a["host"], a["resumed"], a["credit"], a["draining"], a["heartbeat_ms"])
t = sh("first", "cat; echo done", input=b"\x00\xff hello\n")
p.send("SUBMIT", t)
say(sorted(p.wait("ACCEPTED")))
say(p.wait("EVENT", state="running"))
r = p.result("first")
say(r["verdict"], r["exit_code"], r["output"])
p.send("SUBMIT", {"id": "second", "executer": "sh", "args": ["exit 3"]})
r = p.result("second")
say(r["verdict"], r["exit_code"])
PY
)" "1 testnode False 20 False 1000
['attempt', 'id', 'state']
{'id': 'first', 'state': 'running', 'attempt': 1}
succeeded 0 b'\\x00\\xff hello\\ndone\\n'
failed 3" "a task runs: accepted, running, its result"
is "$(stat -c %a "$T/socks/z.sock")" 660 "the socket is for owner and group"

is "$(peer <<'PY'
p = Peer("many", events=False, window=7)
waiting, results = [f"m{i}" for i in range(200)], {}
open_tasks = 0
while len(results) < 200:
    while waiting and open_tasks < p.answer["credit"]:
        task = waiting.pop()
        p.send("SUBMIT", sh(task, "echo " + task))
        open_tasks += 1
    kind, body = p.recv()
    if kind == "RESULT":
        p.ack(body["id"])
        open_tasks -= body["id"] not in results  # a slow machine may get it twice
        results[body["id"]] = body["output"].decode().strip()
    else:
        assert kind == "ACCEPTED", (kind, body)
say(all(k == v for k, v in results.items()))
say(eventually(lambda: p.quiet("RESULT", 2.5)), not any(kind == "EVENT" for kind, _ in p.seen))
PY
)" "True
True True" "two hundred, as the credit and the window allow; events only for those who ask"

# ---- said twice ----

is "$(peer <<'PY'
p = Peer("again")
t = sh("twice", f"echo x >>{M}/twice; until [ -e {M}/twice.open ]; do sleep 0.05; done")
p.submit(t)
p.submit(t)
p.submit(t)
p.send("SUBMIT", sh("twice", "true"))
e = p.error(id="twice")
say(e["code"], e["again"], e["type"])
touch(M + "/twice.open")
p.result("twice", ack=False)
p.send("SUBMIT", t)
say("resent:", p.result("twice", ack=False)["verdict"])
say("not acknowledged:", p.result("twice")["verdict"])
p.send("SUBMIT", t)
say("known:", p.wait("ACCEPTED", id="twice")["id"], p.result("twice")["verdict"])
q = Peer("other")
q.send("SUBMIT", t)
say("another's:", q.result("twice")["verdict"])
q.send("SUBMIT", sh("twice", "false"))
say(q.error(id="twice")["message"])
PY
)" "conflict False SUBMIT
resent: succeeded
not acknowledged: succeeded
known: twice succeeded
another's: succeeded
id 'twice' was used for a different task" "what is sent again is the same task, and its result is sent until it is acknowledged"
is "$(wc -l <"$M/twice")" 1 "and it ran once"

# ---- questions and cancels ----

is "$(peer <<'PY'
p = Peer("asks")
p.submit(sh("sleeps", f"touch {M}/sleeps; sleep 300"))
exists(M + "/sleeps")
p.send("STATUS", {"id": "sleeps"})
s = p.wait("STATUS")
say(s["id"], s["state"], s["attempt"])
p.send("CANCEL", {"id": "sleeps"})
say(p.wait("STATUS")["id"])
say(p.result("sleeps")["verdict"])
p.send("CANCEL", {"id": "sleeps"})
say(p.error(id="sleeps", type="CANCEL")["code"])
p.send("STATUS", {"id": "sleeps"})
s = p.wait("STATUS")
say(s["state"], s["result"]["verdict"])
for kind in "CANCEL", "STATUS":
    p.send(kind, {"id": "nobody"})
    say(p.error(id="nobody", type=kind)["code"])
p.send("PING", {"n": 42})
say(p.wait("PONG"))
p.send("PING", {})
say(p.wait("PONG"))
PY
)" "sleeps running 1
sleeps
cancelled
done
done cancelled
unknown
unknown
{'n': 42}
{}" "STATUS, CANCEL and PING are answered"

is "$(peer <<'PY'
p = Peer("line", durable=False)
p.send("SUBMIT", sh("online", "echo 1"))
say(p.result("online")["verdict"], p.quiet("ACCEPTED", 0.3), p.seen)
PY
)" "succeeded True []" "not durable: the result is the acknowledgement"

# ---- the manual's client ----

manual 1 >"$T/example.py"
is "$("$python" "$T/example.py" "$ENDPOINT" example-1 2>&1)" "succeeded b'hi\\n'" "the client of berth-zeromq(7) works"
is "$("$python" "$T/example.py" "$ENDPOINT" example-1 2>&1)" "succeeded b'hi\\n'" "a second time, too"

# ---- drain ----

drained() {
    peer <<'PY'
p = Peer("drained")
say("here")
say(p.wait("READY", draining=True)["credit"])
p.send("SUBMIT", sh("late", "true"))
e = p.error(id="late")
say(e["code"], e["again"], e["message"])
say(p.wait("READY", draining=False)["credit"])
p.submit(sh("late", "true"))
say(p.result("late")["verdict"])
PY
}
drained >"$T/drained" &
drained=$!
ok 'wait_for "grep -q here \"$T/drained\""' "a client is here"
berth drain >/dev/null
ok 'wait_for "grep -q busy \"$T/drained\""' "a draining host takes no tasks"
berth drain --off >/dev/null
wait "$drained"
is "$(tail -n +2 "$T/drained")" "0
busy True the host is draining: it takes no new tasks
20
succeeded" "clients are told when it drains, and when it does no longer"

# ---- TCP, and as a client of a broker ----

stop_berth
zport=$(free_port)
ENDPOINT=tcp://127.0.0.1:$zport
zeromq_config 'heartbeat = "1s";' | start_berth - || done_testing
is "$(peer <<'PY'
p = Peer()
say(p.run(sh("tcp", "echo tcp"))["output"])
PY
)" "b'tcp\\n'" "over TCP, by a client without a name"
like "$(cat "$T/berthd.log")" "listening on tcp://127.0.0.1:$zport" "the log says where it listens"
stop_berth

broker() {
    peer <<'PY'
router = context.socket(zmq.ROUTER)
router.bind(ENDPOINT)
def recv():
    while True:
        assert router.poll(PATIENCE_S * 1000), "nothing came"
        route, kind, body = router.recv_multipart()
        kind, body = kind.decode(), msgpack.unpackb(body)
        if kind == "PING":
            router.send_multipart([route, b"PONG", msgpack.packb(body)])
            continue
        return route, kind, body
def send(route, kind, body):
    router.send_multipart([route, kind.encode(), msgpack.packb(body)])
route, kind, body = recv()
say(kind, body["host"], body["resumed"], body["credit"] >= 1, route.decode().startswith("testnode-"))
send(route, "READY", {"v": 1})
credit, left, held, done = body["credit"], [f"b{i}" for i in range(100)], 0, {}
while len(done) < 100:
    while left and held < credit:
        send(route, "SUBMIT", sh(left.pop(), "true"))
        held += 1
    route, kind, body = recv()
    if kind == "READY":
        credit = body["credit"]
    elif kind == "RESULT":
        done[body["id"]] = body["verdict"]
        send(route, "RESULT", {"ids": [body["id"]]})
        held -= 1
    else:
        assert kind == "ACCEPTED", (kind, body)
say(set(done.values()))
send(route, "SUBMIT", sh("left", f"until [ -e {M}/left.open ]; do sleep 0.05; done"))
while kind != "ACCEPTED":
    route, kind, body = recv()
PY
}
next_broker() {
    peer <<'PY'
router = context.socket(zmq.ROUTER)
router.bind(ENDPOINT)
while True:
    assert router.poll(PATIENCE_S * 1000), "nothing came"
    route, kind, body = router.recv_multipart()
    body = msgpack.unpackb(body)
    if kind == b"READY":
        say(kind.decode(), body["resumed"])
        router.send_multipart([route, b"READY", msgpack.packb({"v": 1})])
        touch(M + "/left.open")
    elif kind == b"RESULT":
        say(body["id"], body["verdict"])
        break
    else:
        body = {"code": "not_ready", "message": "who are you?"}
        router.send_multipart([route, b"ERROR", msgpack.packb(body)])
PY
}
broker >"$T/broker" &
broker=$!
zeromq_config 'mode = "connect"; heartbeat = "1s"; ready = "3s";' | start_berth - || done_testing
wait "$broker"
is "$(cat "$T/broker")" "READY testnode False True True
{'succeeded'}" "connected to a broker: it announces itself, and takes tasks as its credit allows"
is_ready() { wait_for "[ \"\$(curl -s -o /dev/null -w '%{http_code}' '$url/readyz')\" = $1 ]" 60; }
ok 'is_ready 503' "without the broker it is not ready"
next_broker >"$T/broker" &
broker=$!
ok 'is_ready 200' "with a new one it is"
wait "$broker"
is "$(cat "$T/broker")" "READY True
left succeeded" "which is told that tasks are open, and gets their results"
done_testing
