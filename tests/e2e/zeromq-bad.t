#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Wrong frames, garbage, floods and vanishing peers: a clear error where there can be one, never more.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/zeromq.sh"
use_berth
host_extra='max_task = "64K";'
ENDPOINT=tcp://127.0.0.1:$(free_port)
zeromq_config 'heartbeat = "1s"; max_message = "100K"; max_clients = 40;' | start_berth - || done_testing
host_pid=$(role_pid host)

# ---- what is no message ----

is "$(peer <<'PY'
p = Peer("frames")
def bad(*frames):
    p.socket.send_multipart(list(frames))
    e = p.error()
    say(e["code"], e["again"], "-", e["message"])
bad(b"PING")
bad(b"PING", msgpack.packb({}), b"")
bad(b"", b"PING", msgpack.packb({}))
bad(*[b"x"] * 10000)
bad(b"ping", msgpack.packb({}))
bad(b"", b"")
bad(b"\xff" * 1000, b"")
bad(b"EVENT", msgpack.packb({}))
bad(b"PING", b"")
bad(b"PING", b"\xc1")
bad(b"PING", b"\x81\xa1n")
bad(b"PING", msgpack.packb({}) + b"x")
bad(b"PING", msgpack.packb([1]))
bad(b"PING", msgpack.packb({"m": 1}))
bad(b"PING", msgpack.packb({"n": "1"}))
bad(b"PING", msgpack.packb({1: 1}))
bad(b"CANCEL", msgpack.packb({}))
bad(b"CANCEL", msgpack.packb({"id": "a b"}))
bad(b"STATUS", msgpack.packb({"id": "x" * 129}))
bad(b"RESULT", msgpack.packb({"id": "x"}))
bad(b"RESULT", msgpack.packb({"ids": "x"}))
bad(b"RESULT", msgpack.packb({"ids": [1]}))
bad(b"READY", msgpack.packb({}))
bad(b"READY", msgpack.packb({"v": 2}))
bad(b"READY", msgpack.packb({"v": 1, "window": 0}))
bad(b"READY", msgpack.packb({"v": 1, "client": "\0"}))
bad(b"READY", b"\xdf\xff\xff\xff\xff")
p.ack("nobody", "x" * 1000, "")
say(p.run(sh("after", "true"))["verdict"])
PY
)" "bad_frames False - a message has two frames, type and body, not 1
bad_frames False - a message has two frames, type and body, not 3: a REQ socket adds one, use DEALER
bad_frames False - a message has two frames, type and body, not 3: a REQ socket adds one, use DEALER
bad_frames False - a message has two frames, type and body, not 10000
bad_type False - unknown type: READY, SUBMIT, RESULT, CANCEL, STATUS, PING, PONG and ERROR are understood
bad_type False - unknown type: READY, SUBMIT, RESULT, CANCEL, STATUS, PING, PONG and ERROR are understood
bad_type False - unknown type: READY, SUBMIT, RESULT, CANCEL, STATUS, PING, PONG and ERROR are understood
bad_type False - only hosts send this type
bad_body False - the body of PING must be a map in MessagePack
bad_body False - the body of PING must be a map in MessagePack
bad_body False - the body ends within 'n'
bad_body False - 1 bytes follow the map in the body of PING
bad_body False - the body of PING must be a map in MessagePack
bad_body False - PING has no key 'm': its keys are 'n'
bad_body False - 'n' must be an integer from 0 to 9223372036854775807
bad_body False - a key of PING is a integer: keys are strings, 'n'
bad_body False - CANCEL needs 'id', the task's
bad_body False - 'id' must be a string of 1 to 128 of [A-Za-z0-9._:-]
bad_body False - 'id' must be a string of 1 to 128 of [A-Za-z0-9._:-]
bad_body False - RESULT has no key 'id': its keys are 'ids'
bad_body False - 'ids' must be an array of strings
bad_body False - 'ids' must be an array of strings
bad_body False - 'v' must be 1, the version of the protocol spoken here
bad_body False - 'v' must be 1, the version of the protocol spoken here
bad_body False - 'window' must be an integer from 1 to 1000
bad_body False - 'client' must be a string of 1 to 64 of [A-Za-z0-9._:-]
bad_body False - the body ends too early, or is no MessagePack
succeeded" "wrong frames, types and bodies are answered with what would be right"

# ---- what is no task ----

is "$(peer <<'PY'
p = Peer("tasks")
def bad(task):
    p.send("SUBMIT", task)
    e = p.error()
    say(e["code"], e["again"], e.get("id"), "-", e["message"])
bad(b"garbage")
bad(b"")
bad({"executer": "sh"})
bad({"id": "", "executer": "sh"})
bad({"id": "a", "executer": "nobody"})
bad({"id": "b", "exekuter": "sh"})
bad({"id": "c", "executer": "sh", "args": 5})
bad({"id": "d", "executer": "sh", "resources": {"cpus": 100000}})
bad(sh("e", "true", input=b"x" * 70000))
bad(sh("f", "true", input=b"x" * 120000))
deep = b"\x82\xa2id\xa1g\xa1x" + b"\x91" * 50000 + b"\xc0"
bad(deep)
say(p.run(sh("a", "true"))["verdict"])
PY
)" "bad_body False None - the body of SUBMIT must be a map in MessagePack
bad_body False None - the body of SUBMIT must be a map in MessagePack
bad_body False None - the task has no 'id': give it one, by which it is known when it is sent again
bad_body False None - 'id' must be a string of 1 to 128 of [A-Za-z0-9._:-]
unknown False a - no executer 'nobody'
invalid False b - key 'exekuter': unknown key; did you mean 'executer'?
invalid False c - key 'args': must be a list of strings, not an integer
invalid False d - key 'resources.cpus': must be 0.001 to 65536
too_large False e - msgpack: 70040 bytes, the limit is 65536
too_large False None - the body has 120040 bytes, max_message allows 102400: send large input by file
too_large False g - msgpack: deeper than 16 levels at byte 23
succeeded" "bad tasks are refused with the reason, and their ids are still free"

is "$(peer <<'PY'
p = Peer("large")
p.send("SUBMIT", sh("x", "true", input=b"x" * 250000))
p.back()
p.send("STATUS", {"id": "x"})
say(p.error(id="x")["code"])
PY
)" "unknown" "what is far too large costs the connection"

is "$(peer <<'PY'
p = Peer("early", ready=False)
for kind, body in ("SUBMIT", sh("x", "true")), ("PING", {}), ("RESULT", {"ids": []}), ("STATUS", {"id": "x"}):
    p.send(kind, body)
    say(p.error(type=kind)["code"])
PY
)" "not_ready
not_ready
not_ready
not_ready" "who has not said READY is told so"

# ---- floods ----

is "$(peer <<'PY'
import random
import socket
random.seed(4)
host, port = ENDPOINT[6:].split(":")
def raw(data):
    s = socket.create_connection((host, int(port)))
    s.sendall(data)
    return s
signature = b"\xff" + b"\0" * 8 + b"\x7f"
greeting = signature + b"\x03\0NULL" + b"\0" * 16 + b"\0" * 32
raws = [raw(random.randbytes(random.randrange(1, 300))) for i in range(20)]
raws += [raw(signature), raw(greeting), raw(b"GET / HTTP/1.1\r\n\r\n"), raw(greeting + b"\4\x0a\5READY")]
raws += [raw(greeting + b"\4\x0a\5READY" + random.randbytes(40)) for i in range(20)]
raws += [raw(greeting + b"\x06\xff\xff\xff\xff\xff\xff\xff\xff") for i in range(5)]
for i in range(60):
    Peer(f"passing{i}", ready=False).send("READY", {"v": 1, "client": f"passing{i}"})
flood = Peer("flood")
for i in range(20000):
    try:
        flood.socket.send_multipart([random.randbytes(random.randrange(9)), random.randbytes(20)], zmq.DONTWAIT)
    except zmq.Again:
        time.sleep(0.001)
quick = Peer("quick", ready=False)
say("in:", eventually(lambda: quick.back()))
say([quick.run(sh(f"q{i}", "true"))["verdict"] for i in range(10)].count("succeeded"))
e = flood.error()
say(e["code"])
PY
)" "in: True
10
bad_type" "garbage on the line, crowds of clients and a flood keep no one else out"

vanishing() {
    peer <<'PY'
p = Peer("vanishes")
for i in range(50):
    p.send("SUBMIT", sh(f"v{i}", f"echo x >>{M}/v{i}"))
p.wait("ACCEPTED", id="v49")
os.kill(os.getpid(), 9)
PY
}
vanishing >/dev/null 2>&1
ok 'wait_for "[ \"\$(cat \"\$M\"/v* | wc -l)\" = 50 ]"' "the tasks of a client that was killed are run"
ok 'wait_for "[ \"\$(task_state v49)\" = done ]"' "to their end"
is "$(peer <<'PY'
p = Peer("vanishes")
say({p.result(f"v{i}")["verdict"] for i in range(50)})
PY
)" "{'succeeded'}" "and it gets all results when it returns"

is "$(role_pid host)" "$host_pid" "the host is the same as before all this"
most=60000
[ -z "${SANITIZE_CFLAGS:-}" ] || most=800000 # which keep for a while what was freed
memory=$(status_of "$host_pid" VmRSS)
ok '[ "${memory% kB}" -lt $most ]' "and no larger than it should be ($memory)"
done_testing
