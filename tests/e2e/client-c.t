#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# libberth-client as a user builds with it, against a host and Redis that are real.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/redis.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/clients.sh"
need_redis
need openssl pkg-config nm
find_client_python
use_berth

# ---- what is installed ----

export PKG_CONFIG_PATH=$INST/lib/pkgconfig LD_LIBRARY_PATH=$INST/lib
library=$INST/lib/libberth-client.so
build() { # COMPILER... : with what pkg-config says
    # shellcheck disable=SC2046 # flags are a list
    "$@" ${SANITIZE_CFLAGS:-} $(pkg-config --cflags --libs berth-client)
}
is "$(nm -D --defined-only "$library" | awk '$2 != "w" && $3 !~ /^(__(asan|odr_asan|ubsan|gcov)|berth_client_)/ {print $3}')" "" \
    "the library exports its verbs and nothing else"
ok 'build ${CC:-cc} -std=gnu11 -Wall -Wextra -Werror -o "$T/client" "$srcdir/tests/e2e/client.c"' "a program builds with it"
ok 'build ${CC:-cc} -std=c11 -pedantic -Wall -Wextra -Werror -o "$T/example" "$srcdir/examples/clients/run.c"' "so does the example"
echo '#include <berth-client.h>' >"$T/header.cc"
if command -v c++ >/dev/null; then
    ok 'build c++ -std=c++17 -pedantic -Wall -Wextra -Werror -fsyntax-only "$T/header.cc"' "the header is good for C++"
else
    skip "c++ is not installed"
fi
[ -x "$T/client" ] || done_testing

client() { # NAME VERB URL [ARGUMENT...]
    local name=$1
    shift
    "$T/client" "$@" 2>&1 </dev/null | checks "$name"
    is "${PIPESTATUS[0]}" 0 "$name: to the end"
}

ok start_everything "berthd starts" || done_testing
ok is_ready "ready"
client "HTTP" all "$by_http"
client "HTTP over a Unix socket" all "$by_socket"
client "Redis" all "$by_redis"
client "ZeroMQ" all "$by_zmq"

# ---- tokens and certificates ----

BERTH_TOKEN=$token BERTH_CA_FILE=$T/cert.pem client "HTTPS" once "$by_https"
BERTH_TOKEN=$token BERTH_CA_FILE=$T/cert.pem client "Redis with TLS" once "$by_rediss"
BERTH_TOKEN=wrong BERTH_CA_FILE=$T/cert.pem client "a wrong token" denied "$by_https" token
BERTH_TOKEN=wrong BERTH_CA_FILE=$T/cert.pem client "a wrong password" denied "$by_rediss" password
BERTH_TOKEN=$token client "an authority that is not trusted, HTTPS" denied "$by_https" certificate
BERTH_TOKEN=$token client "an authority that is not trusted, Redis" denied "$by_rediss" certificate

client "nobody, HTTP" gone http://127.0.0.1:1
BERTH_TOKEN=$curve_key client "ZeroMQ with keys" once "$by_curve"
client "no key" wrong-url "$by_curve" "secret key"
client "nobody, ZeroMQ" gone zmq://127.0.0.1:1
client "nobody, Redis" gone 'redis://127.0.0.1:1?queue=q'
client "a wrong URL" wrong-url ftp://x "does not begin with one of http://"
client "a wrong URL" wrong-url redis://x/0 "names no queue"
client "a wrong URL" wrong-url 'redis://x/zero?queue=q' "number"
client "a wrong URL" wrong-url 'redis://a,b/0?queue=q' "one server"
client "a wrong URL" wrong-url 'unix:///x?queue=q&level=a%' "level"
client "a wrong URL" wrong-url http://me:secret@x "BERTH_TOKEN"
client "a wrong URL" wrong-url http://x/path "http://127.0.0.1:2591"
client "a wrong URL" wrong-url http+unix://x "begins with /"

# ---- restarts under way ----

start_redis kept --appendonly yes --appendfsync always
sed -i "s|transports = (|transports = ( { plugin = \"redis\"; name = \"kept\"; url = \"unix://$T/kept.sock\"; queue = \"$queue\"; lease = \"2s\"; },|" \
    "$BERTH_CONFIG"
stop_berth
start_berth
text="if [ -e $M/enough ]; then echo enough; else mktemp $M/run.XXXXXX; fi"
declare -A repeats=()
for name in http redis zmq kept; do
    where=by_$name
    [ $name != kept ] || by_kept="unix://$T/kept.sock?queue=$queue"
    "$T/client" repeat "${!where}" "$text" >"$T/$name.out" 2>&1 </dev/null &
    repeats[$name]=$!
done
runs() { find "$M" -name 'run.*' | wc -l; }
more_runs() { # those of all, as far as can be told
    local before
    before=$(runs)
    wait_for "[ \"\$(runs)\" -ge $((before + 30)) ]" 120
}
more_runs
stop_berth
ok start_berth "the host is restarted"
ok more_runs "tasks go on"
stop_redis kept
start_redis kept --appendonly yes --appendfsync always
ok more_runs "and after a restart of Redis"
touch "$M/enough"
for name in "${!repeats[@]}"; do
    wait "${repeats[$name]}"
    grep -v begun "$T/$name.out" | checks "restarts, $name"
done

is "$("$T/example" "$by_http" sh 'echo $((6*7))')" 42 "the example runs"
"$T/example" "$by_http" nobody 2>"$T/err"
is "$? $(cat "$T/err")" "1 run: no executer 'nobody'" "and says what is wrong"
end_redis
done_testing
