#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# berth-conform on the plugins that are installed, and on the example: all of ours keep the contract.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
find_tree
need curl
plugins=$INST/lib/berth

conforms() { # NAME LEAST-NUMBER-OF-CHECKS ARGUMENT...
    local name=$1 least=$2
    shift 2
    "$INST/bin/berth-conform" "$@" >"$T/report" 2>"$T/errors" </dev/null
    is "$?" 0 "$name" || diag "$(cat "$T/report" "$T/errors")"
    ok "[ \"\$(grep -c '^ok' '$T/report')\" -ge $least ]" "$name: by at least $least checks"
    unlike "$(cat "$T/report")" "#   '[a-z]+': " "$name: without a remark"
}

conforms "null" 30 --image image "$plugins/null.so" "instances=$T" -- print=hello exit=0
like "$(cat "$T/report")" "it returned 0" "null: its task ran"
conforms "null, with a task that fails" 30 "$plugins/null.so" -- fail=EIO
conforms "null, which answers at once" 30 "$plugins/null.so" at_once=true -- x
conforms "process" 20 "$plugins/process.so" -- echo 'a b' '$c'
unlike "$(cat "$T/report")" "no good command" "process: it made a command"
conforms "process, with options" 20 --executer bind_rw=/tmp,/var/tmp --executer nice=5 --executer io_class=idle \
    "$plugins/process.so" -- true
conforms "process, with an option that is wrong" 20 --executer io_class=fast "$plugins/process.so"
like "$(cat "$T/report")" "io_class 'fast' is none of" "process: and says so"

tasks() { # COUNT: lines of JSON
    local i
    for ((i = 0; i < $1; i++)); do echo '{"executer":"x","args":["'"$i"'"]}'; done
}
tasks 5 >"$T/tasks"
mkfifo "$T/in"
conforms "stdio, idle" 25 "$plugins/stdio.so" "in=$T/in" "out=$T/out"
conforms "stdio, with a file" 25 "$plugins/stdio.so" "in=$T/tasks" "out=$T/out"
is "$(grep -c '"kind":"result"' "$T/out")" 5 "stdio: each task of the file had its result"
conforms "stdio, served" 35 --messages 50 --feed "cat $T/tasks >$T/in" "$plugins/stdio.so" "in=$T/in" out=/dev/null
conforms "stdio, served on the line" 35 --feed "cat $T/tasks >$T/in" "$plugins/stdio.so" "in=$T/in" out=/dev/null on_the_line=true

if [ -f "$plugins/http.so" ]; then
    port=$(free_port)
    cat >"$T/client.sh" <<C
url=http://127.0.0.1:$port/v1/tasks
post() { curl -sS -o /dev/null -H 'Content-Type: application/json' -d '{"executer":"x"}' "\$@"; }
for wait in '' '?wait=0' '?wait=9'; do post "\$url\$wait"; done
post -m 0.001 "\$url?wait=9" 2>/dev/null
curl -sS -o /dev/null "\$url" "\$url/x" "\$url/x/logs" "\$url/../metrics"
C
    conforms "http, idle" 30 "$plugins/http.so" "listen=127.0.0.1:$port"
    conforms "http, served" 40 --messages 30 --feed "sh $T/client.sh" "$plugins/http.so" "listen=127.0.0.1:$port"
    conforms "http, served over a socket" 40 --feed "curl -sS -o /dev/null --unix-socket $T/sock -H 'Content-Type: application/json' \
        -d '{\"executer\":\"x\"}' http://berth/v1/tasks?wait=9" "$plugins/http.so" "listen=unix:$T/sock"
else
    skip "the http plugin was not built" 9
fi

if [ -f "$plugins/redis.so" ]; then
    conforms "redis, without a server" 30 "$plugins/redis.so" queue=q url=redis://127.0.0.1:1/0
else
    skip "the redis plugin was not built" 3
fi

if [ -f "$plugins/zeromq.so" ]; then
    zmq_python=python3
    python3 -c 'import msgpack, zmq' 2>/dev/null || zmq_python=/usr/bin/python3
    cat >"$T/client.py" <<'C'
from zeromq_peer import *
p = Peer(f"feed{os.getpid()}")
for i in range(3):
    task = {"id": f"t{os.getpid()}-{i}", "executer": "x"}
    p.send("SUBMIT", task)
    p.send("SUBMIT", task)
    kind = p.recv()[0]
    while kind not in ("RESULT", "ERROR"):
        kind = p.recv()[0]
    p.ack(task["id"])
    p.send("STATUS", {"id": task["id"]})
    p.send("CANCEL", {"id": "x"})
p.send("SUBMIT", b"garbage")
p.send("PING", {})
p.wait("PONG")
C
    feed="env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$srcdir/tests/e2e ENDPOINT=ipc://$T/z $zmq_python $T/client.py"
    conforms "zeromq, idle" 30 "$plugins/zeromq.so" "endpoint=ipc://$T/z"
    conforms "zeromq, to a broker" 30 "$plugins/zeromq.so" "endpoint=ipc://$T/z" mode=connect
    conforms "zeromq, served" 40 --messages 30 --feed "$feed" "$plugins/zeromq.so" "endpoint=ipc://$T/z" heartbeat=200ms
else
    skip "the zeromq plugin was not built" 9
fi

mkdir "$T/hello"
cp "$srcdir"/examples/plugin-hello/* "$T/hello/"
chmod -R go-w "$T/hello"
ok '${CC:-cc} -std=gnu11 -fPIC -fvisibility=hidden -I"$INST/include" -shared -Wl,-z,defs -o "$T/hello/hello.so" "$T/hello/hello.c"' \
    "the example is built"
conforms "the example" 20 --image "$T/hello/greet.sh" --executer flags=-e,-u "$T/hello/hello.so" -- you
conforms "the example, without a script" 20 "$T/hello/hello.so"
done_testing
