#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# The Python client against a host and Redis that are real, on good days and on bad ones.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/redis.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/clients.sh"
need_redis
need openssl
find_client_python
use_berth
export PYTHONPATH=$srcdir/clients/python PYTHONDONTWRITEBYTECODE=1

client() { # NAME VERB URL [ARGUMENT...]
    local name=$1 verb=$2 where=$3
    shift 3
    "$python" "$srcdir/tests/e2e/client.py" "$verb" "$where" "$M" "$@" 2>>"$T/client.err" </dev/null | checks "$name"
}

if command -v pyflakes3 >/dev/null; then
    is "$(cd "$srcdir" && pyflakes3 clients/python/berth tests/e2e/client.py)" "" "pyflakes has nothing to say"
else
    skip "pyflakes3 is not installed"
fi
is "$("$python" -c 'import sys, berth; print([one for one in ("redis", "msgpack", "zmq") if one in sys.modules])')" "[]" \
    "no library is loaded before its transport is used"

ok start_everything "berthd starts" || done_testing
ok is_ready "ready"

client "HTTP" basics "$by_http"
client "HTTP over a Unix socket" basics "$by_socket"
client "Redis" basics "$by_redis"
client "ZeroMQ" basics "$by_zmq"
client "futures, HTTP" executor "$by_http"
client "futures, Redis" executor "$by_redis"
client "futures, ZeroMQ" executor "$by_zmq"
client "asyncio, HTTP" async "$by_http"
client "asyncio, Redis" async "$by_redis"
client "asyncio, ZeroMQ" async "$by_zmq"
client "HTTPS" secret "$by_https" "$token" "$T/cert.pem"
client "Redis with TLS" secret "$by_rediss" "$token" "$T/cert.pem"
client "lost answers, HTTP" lossy "$by_http"
client "lost answers, Redis" lossy "$by_redis"
client "lost answers, ZeroMQ" lossy "$by_zmq"
client "ZeroMQ with keys" keys "$by_curve" "$curve_key"
client "nobody, HTTP" gone "http://127.0.0.1:1"
client "nobody, ZeroMQ" gone zmq://127.0.0.1:1
client "nobody, Redis" gone "redis://127.0.0.1:1/0?queue=q"

# ---- restarts while somebody waits ----

waiter() { # NAME URL: in the background; its output is in $T/NAME.out
    "$python" "$srcdir/tests/e2e/client.py" away "$2" "$M" "$1" >"$T/$1.out" 2>>"$T/client.err" </dev/null &
    waiters+=($!)
    wait_for 'grep -q waiting "$T/'"$1"'.out"' 120
}
end_waiters() { # NAME...
    local name
    for name; do : >"$M/$name.open"; done
    wait "${waiters[@]}"
    for name; do grep -v waiting "$T/$name.out" | checks "$name"; done
    waiters=()
}

waiters=()
waiter host-away-http "$by_http"
waiter host-away-redis "$by_redis"
waiter host-away-zmq "$by_zmq"
stop_berth
ok 'curl -s "$url" ; [ $? -eq 7 ]' "the host is away"
ok start_berth "and comes back"
end_waiters host-away-http host-away-redis host-away-zmq

start_redis kept --appendonly yes --appendfsync always
sed -i "s|transports = (|transports = ( { plugin = \"redis\"; name = \"kept\"; url = \"unix://$T/kept.sock\"; queue = \"$queue\"; lease = \"2s\"; },|" \
    "$BERTH_CONFIG"
stop_berth
start_berth
waiter redis-away "unix://$T/kept.sock?queue=$queue"
stop_redis kept
ok '! redis-cli -s "$T/kept.sock" ping' "Redis is away"
start_redis kept --appendonly yes --appendfsync always
end_waiters redis-away

# ---- what is installed ----

if [ -f "$builddir/Makefile" ]; then
    ok 'make -s -C "$builddir" install-python DESTDIR="$T/dest" pythondir=/py' "make install-python"
    is "$(cd /tmp && PYTHONPATH=$T/dest/py "$python" -c 'import berth; print(berth.__file__)')" "$T/dest/py/berth/__init__.py" \
        "what it installs can be imported"
    is "$(diff -rq -x __pycache__ "$srcdir/clients/python/berth" "$T/dest/py/berth")" "" "and is all of it"
fi
out=$("$python" "$srcdir/examples/clients/fanout.py" "$by_http" sh 'echo $(($1 * $1))' 2>&1)
is "$(sort -n <<<"$out" | tail -n 1)" "9801" "the example of the README runs" || diag "$out"

[ ! -s "$T/client.err" ] || diag "$(tail -n 60 "$T/client.err")"
end_redis
done_testing
