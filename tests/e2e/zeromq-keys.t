#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Who may connect: CURVE keys, tenants, and what berthd refuses to start with.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/zeromq.sh"
use_berth
[ "$(id -u)" -ne 0 ] || host_extra='user = "65533"; group = "65533";'

# ---- refused at start ----

zeromq_refuses 'endpoint = "tcp://0.0.0.0:0";' "'tcp://0.0.0.0:0' is beyond this machine: set curve_key_file and curve_clients_file, or take" "all addresses"
zeromq_refuses 'endpoint = "tcp://*:0";' "is beyond this machine" "all addresses, written as *"
zeromq_refuses 'endpoint = "tcp://[::]:0";' "is beyond this machine" "all addresses, IPv6"
zeromq_refuses 'endpoint = "tcp://192.0.2.1:5555"; mode = "connect";' "set curve_key_file and curve_server_key" "a broker elsewhere"
zeromq_refuses 'endpoint = "tcp://broker.example:5555"; mode = "connect";' "set curve_key_file and curve_server_key" "a broker with a name"
zeromq_refuses 'endpoint = "tcp://127.0.0.1";' "write tcp://ADDRESS:PORT" "no port"
zeromq_refuses 'endpoint = "tcp://host:1";' "write the address in numbers" "a name to listen on"
zeromq_refuses 'endpoint = "ipc://x";' "write ipc:///path" "no path"
zeromq_refuses 'endpoint = "inproc://x";' "write tcp://ADDRESS:PORT or ipc:///path" "no transport of ours"
zeromq_refuses 'mode = "both";' "'both' is not bind or connect" "no mode"
zeromq_refuses 'credit = 0;' "'credit' must be from 1" "no credit"
touch "$T/socks/file"
zeromq_refuses "endpoint = \"ipc://$T/socks/file\";" "is there, and no socket" "a file in the way"

# ---- keys ----

secret() { # FILE: only the host may read it
    chmod 600 "$1"
    [ "$(id -u)" -ne 0 ] || chown 65533:65533 "$1"
}
key() { # NAME: a pair of keys in NAME.key, the public one in NAME.pub
    (cd "$T" && sh makekey) >"$T/makekey.log" 2>&1 || diag "$(cat "$T/makekey.log")"
    mv "$T/berth.key" "$T/$1.key"
    secret "$T/$1.key"
    sed -n 's/^public //p' "$T/$1.key" >"$T/$1.pub"
}
# As berth-zeromq(7) says to make them.
manual 2 | sed "s|python3|$python|" >"$T/makekey"
for name in server red blue nobody; do key "$name"; done
{
    echo "# who may connect"
    echo
    echo "client $(cat "$T/red.pub") red"
} >"$T/clients"
curve="curve_key_file = \"$T/server.key\"; curve_clients_file = \"$T/clients\";"
wide='endpoint = "tcp://0.0.0.0:0";'
zeromq_refuses "$wide curve_key_file = \"$T/server.key\";" "curve_key_file is set and curve_clients_file is not" "half of it"
zeromq_refuses "$wide curve_clients_file = \"$T/clients\";" "curve_clients_file is set and curve_key_file is not" "the other half"
zeromq_refuses "$wide $curve curve_server_key = \"x\";" 'curve_server_key is for mode = "connect"' "a key for the other mode"
zeromq_refuses "mode = \"connect\"; curve_key_file = \"$T/server.key\"; curve_server_key = \"x\";" \
    "curve_server_key is no key" "a server's key that is none"
chmod 604 "$T/server.key"
zeromq_refuses "$wide $curve" "is open to others \(mode 0604\): chmod 600 it" "a secret that others can read"
chmod 600 "$T/server.key"
chmod 666 "$T/clients"
zeromq_refuses "$wide $curve" "is open to others \(mode 0666\): chmod 644 it" "a list that others can write"
chmod 644 "$T/clients"
echo "client short" >"$T/wrong"
zeromq_refuses "$wide curve_key_file = \"$T/server.key\"; curve_clients_file = \"$T/wrong\";" \
    "line 1 is not 'client KEY' or 'client KEY TENANT'" "a line that is none"
cp "$T/server.pub" "$T/wrong.key"
secret "$T/wrong.key"
zeromq_refuses "$wide curve_key_file = \"$T/wrong.key\"; curve_clients_file = \"$T/clients\";" \
    "line 1 is not 'secret KEY'" "a file of another format"

zport=$(free_port)
ENDPOINT=tcp://127.0.0.1:$zport
export KEYS=$T
zeromq_config "endpoint = \"tcp://0.0.0.0:$zport\"; heartbeat = \"1s\"; $curve" | start_berth - || done_testing
like "$(cat "$T/berthd.log")" "listening on tcp://0.0.0.0:$zport with CURVE" "with keys it listens for all"
unlike "$(cat "$T/berthd.log" /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ')" \
    "$(sed -n 's/^secret //p' "$T/server.key" | sed 's/[][\.*^$+?(){}|/]/\\&/g')" "no secret is in the log or in arguments"

keyed() { # runs a snippet that can say curve(NAME)
    {
        echo "def words(name):"
        echo "    return dict(line.split() for line in open(f\"{os.environ['KEYS']}/{name}.key\"))"
        echo "def curve(name, server='server'):"
        echo "    k = words(name)"
        echo "    return words(server)['public'].encode(), k['public'].encode(), k['secret'].encode()"
        cat
    } | peer
}

is "$(keyed <<'PY'
p = Peer("one", curve=curve("red"))
say(p.run(sh("k1", "true"))["verdict"])
p.send("SUBMIT", sh("k2", "true", tenant="blue"))
say(p.error(id="k2")["code"])
bad = [Peer(curve=curve("nobody"), ready=False), Peer(curve=curve("blue"), ready=False), Peer(ready=False),
       Peer(curve=curve("red", "blue"), ready=False)]
for b in bad:
    b.send("READY", {"v": 1})
time.sleep(1)
say([b.socket.poll(500) for b in bad])
p.send("STATUS", {"id": "k1"})
say(p.wait("STATUS")["tenant"])
PY
)" "succeeded
forbidden
[0, 0, 0, 0]
red" "a key of the list may connect, and has its tenant; others, a wrong server, and no key may not"

echo "client $(cat "$T/blue.pub") blue" >>"$T/clients"
is "$(keyed <<'PY'
p = Peer("one", curve=curve("blue"), ready=False)
say(p.back()["resumed"])
p.send("STATUS", {"id": "k1"})
say(p.error(id="k1")["code"])
p.send("CANCEL", {"id": "k1"})
say(p.error(id="k1")["code"])
say(p.run(sh("k3", "true"))["verdict"])
PY
)" "False
unknown
unknown
succeeded" "a key that is added is known at once; what is another tenant's does not exist, nor its client of the same name"

revoked() {
    keyed <<'PY'
p = Peer("one", curve=curve("red"))
say("here")
def forbidden():
    p.send("PING", {})
    m = p.recv(5)
    return m and m[0] == "ERROR" and m[1]["code"]
eventually(forbidden)
say(forbidden())
PY
}
revoked >"$T/revoked" &
client=$!
ok 'wait_for "grep -q here \"$T/revoked\""' "a client is here"
grep -v red "$T/clients" >"$T/clients.new"
cat "$T/clients.new" >"$T/clients"
wait "$client"
is "$(tail -n +2 "$T/revoked")" "forbidden" "its key is taken from the list: it is heard no more"
echo "client nonsense" >>"$T/clients"
ok 'wait_for "grep -q \"the keys read before stay in force\" \"$T/berthd.log\""' "a list that is wrong is told of"
is "$(keyed <<'PY'
say(Peer(curve=curve("blue")).run(sh("k4", "true"))["verdict"])
PY
)" "succeeded" "and the one before stays"
stop_berth

# ---- to a broker ----

broker() {
    keyed <<'PY'
router = context.socket(zmq.ROUTER)
k = words("server")
router.curve_server = True
router.curve_secretkey = k["secret"].encode()
router.bind(ENDPOINT)
assert router.poll(PATIENCE_S * 1000), "nothing came"
route, kind, body = router.recv_multipart()
say(kind)
PY
}
broker >"$T/broker" &
broker=$!
zeromq_config "mode = \"connect\"; endpoint = \"$ENDPOINT\"; curve_key_file = \"$T/red.key\";
    curve_server_key = \"$(cat "$T/server.pub")\";" | start_berth - || done_testing
wait "$broker"
is "$(cat "$T/broker")" "b'READY'" "with keys it connects to a broker that has them"
done_testing
