#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Where a server can be, and who may use it: TCP, databases, passwords, ACLs, TLS, sentinels, clusters.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/redis.sh"
need_redis
need openssl
use_berth

# ---- what the config may say ----

wrong() { # NAME REGEX KEYS: a config that is refused, with these words
    redis_config "$3" >"$T/wrong.conf"
    like "$(BERTH_CONFIG=$T/wrong.conf timeout 20 "$T/bin/berthd" 2>&1)" "$2" "$1"
}
wrong "no such scheme" "must begin with redis://" 'url = "http://localhost";'
wrong "a password in the url" "password_file" 'url = "redis://me:secret@localhost";'
unlike "$(BERTH_CONFIG=$T/wrong.conf timeout 20 "$T/bin/berthd" 2>&1)" "secret" "and it is not repeated"
wrong "a user without a password" "give password_file or password_env" 'url = "redis://me@localhost";'
wrong "sentinels without a master" "the master's name is missing" 'url = "redis-sentinel://localhost";'
wrong "a wrong port" "the port '70000'" 'url = "redis://localhost:70000";'
wrong "a wrong level" "there twice" 'priorities = [ "normal", "normal" ];'
wrong "a wrong verdict" "'good' is no verdict" 'dead_verdicts = [ "good" ];'
wrong "a short life" "'result_ttl' must be at least" 'result_ttl = "10ms"; url = "redis://localhost";'

# ---- users and passwords ----

printf 'sesame-open\n' >"$T/password"
chmod 644 "$T/password"
start_redis r
acl=$(sed -n '/^ACL SETUSER berth/,/^\.Ed/p' "$srcdir/man/berth-redis.7" | grep -v '^\.' | xargs |
    sed "s/SETUSER berth/SETUSER worker/; s/>\.\.\./>sesame-open/; s/{jobs}/{$queue}/g")
# shellcheck disable=SC2086 # words of a command
is "$(rcli $acl)" OK "the permissions of the manual"
rcli ACL SETUSER boss on '>sesame-open' '~*' '&*' +@all >/dev/null
rcli ACL SETUSER default off >/dev/null
export REDISCLI_AUTH=sesame-open
at=(--no-auth-warning -s "$R" --user boss)
printf 'wrong\n' >"$T/password"
redis_config "url = \"unix://worker@$T/r.sock\"; password_file = \"$T/password\";" | start_berth - || done_testing
ok 'wait_for "grep -q WRONGPASS \"$T/berthd.log\""' "a wrong password is told"
is_ready 503
printf 'sesame-open\n' >"$T/password"
ok 'is_ready' "the file is read again: once it is right, all is well"
send_sh user true >/dev/null
is "$(verdict_of user)" succeeded "a task for a user with an ACL"
send_sh publish "until [ -e $M/publish.open ]; do sleep 0.05; done" >/dev/null
wait_for '[ "$(task_state publish)" = running ]'
rcli ACL SETUSER worker -xreadgroup -hset >/dev/null
touch "$M/publish.open"
ok 'wait_for "grep -q \"no permissions\" \"$T/berthd.log\""' "a permission that is missing is told"
is_ready 503
is "$(rcli EXISTS "${K}result:publish")" 0 "nothing is published by halves"
rcli ACL SETUSER worker +xreadgroup +hset >/dev/null
is "$(verdict_of publish)" succeeded "and once it is given, all is well"
is_ready
is "$(cat "$T/berthd.log" "$T/ready" | grep -c sesame) $(grep -lsa '[s]esame' /proc/[0-9]*/cmdline | wc -l)" "0 0" \
    "the password is in no log and no command line"
stop_berth
export BERTH_TEST_REDIS_PASSWORD=sesame-open
redis_config "url = \"unix://worker@$T/r.sock\"; password_env = \"BERTH_TEST_REDIS_PASSWORD\";" | start_berth -
ok 'is_ready' "the password of an environment variable"
stop_berth
stop_redis r
unset REDISCLI_AUTH BERTH_TEST_REDIS_PASSWORD
at=(-s "$R")

# ---- TCP, by name, in a database ----

tcp=$(free_port)
start_redis r --port "$tcp" --bind 127.0.0.1
redis_config "url = \"redis://localhost:$tcp/3\";" | start_berth -
ok 'is_ready' "a server by name and port"
at=(-s "$R" -n 3)
send_sh three true >/dev/null
is "$(verdict_of three)" succeeded "in database 3"
at=(-s "$R")
is "$(rcli KEYS '*')" "" "and nothing in the first one"
stop_berth
stop_redis r

# ---- TLS ----

openssl req -x509 -newkey rsa:2048 -nodes -keyout "$T/key.pem" -out "$T/cert.pem" -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,IP:127.0.0.1 2>/dev/null
chmod 644 "$T/key.pem"
start_redis r --tls-port "$tcp" --bind 127.0.0.1 --tls-cert-file "$T/cert.pem" --tls-key-file "$T/key.pem" \
    --tls-ca-cert-file "$T/cert.pem" --tls-auth-clients yes
tls_keys="tls_ca = \"$T/cert.pem\"; tls_cert = \"$T/cert.pem\"; tls_key = \"$T/key.pem\";"
for name in localhost 127.0.0.1; do
    redis_config "url = \"rediss://$name:$tcp\"; $tls_keys" | start_berth -
    ok 'is_ready' "a server with TLS, as $name"
    send_sh "tls-$name" "head -c 300000 /dev/urandom" >/dev/null
    is "$(verdict_of "tls-$name")" succeeded "a task and a large result through TLS"
    stop_berth
done
redis_config "url = \"rediss://localhost:$tcp\";" | start_berth -
ok 'wait_for "grep -q \"certificate is not accepted\" \"$T/berthd.log\""' "a certificate that nobody vouches for is refused"
stop_berth
stop_redis r

# ---- a sentinel, and a master that dies ----

one=$(free_port) two=$(free_port) sentinel=$(free_port)
start_redis one --port "$one" --bind 127.0.0.1
start_redis two --port "$two" --bind 127.0.0.1 --replicaof "127.0.0.1 $one"
printf '%s\n' "port $sentinel" "bind 127.0.0.1" "sentinel monitor m 127.0.0.1 $one 1" \
    "sentinel down-after-milliseconds m 500" "sentinel failover-timeout m 3000" >"$T/sentinel.conf"
"$redis_server" "$T/sentinel.conf" --sentinel >"$T/sentinel.log" 2>&1 &
redis_pid[sentinel]=$!
at=(-s "$T/one.sock")
wait_for 'redis-cli -p "$sentinel" sentinel replicas m | grep -q slave && rcli info replication | grep -q state=online'
redis_config "url = \"redis-sentinel://127.0.0.1:1,localhost:$sentinel/m\";" | start_berth -
ok 'is_ready' "the master is asked of a sentinel, the second one, as the first is not there"
gate failover
ok '[ "$(rcli WAIT 1 10000)" = 1 ]' "its replica has it all"
stop_redis one
open_gate failover
at=(-s "$T/two.sock")
is "$(verdict_of failover)" succeeded "after a failover the result is published to the new master"
is "$(times_published failover)" 1 "once"
is_ready
send_sh afterwards true >/dev/null
is "$(verdict_of afterwards)" succeeded "and tasks run"
ok 'wait_for nothing_pending' "nothing is stuck"
stop_berth
stop_redis two
stop_redis sentinel

# ---- a cluster ----

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
cluster_port() { # one whose bus, ten thousand higher, is free, too, and is no port of outgoing connections
    local port
    until port=$((10000 + RANDOM % 10000)) && is_free "$port" && is_free $((port + 10000)); do :; done
    echo "$port"
}
nodes=()
for i in 1 2 3; do
    p=$(cluster_port)
    nodes+=("127.0.0.1:$p")
    start_redis "c$i" --port "$p" --bind 127.0.0.1 --cluster-enabled yes --cluster-node-timeout 2000
done
ok 'redis-cli --cluster create "${nodes[@]}" --cluster-yes' "a cluster of three"
at=(-c -p "${nodes[0]#*:}")
wait_for 'rcli cluster info | grep -q cluster_state:ok'
redis_config "url = \"redis://${nodes[0]},${nodes[1]},${nodes[2]}\";" >"$T/cluster.conf"
for queue in q0 q1 q2 q3; do # of which the first node has not all
    K="berth:{$queue}:"
    sed "s/queue = \"q\"/queue = \"$queue\"/" "$T/cluster.conf" | start_berth -
    is_ready
    send_sh "in-$queue" true >/dev/null
    is "$(verdict_of "in-$queue")" succeeded "queue $queue, at the node that has its slot"
    [ "$queue" = q3 ] || stop_berth
done
gate moved
slot=$(rcli cluster keyslot "${K}tasks")
from=
for node in "${nodes[@]}"; do
    id=$(redis-cli -p "${node#*:}" cluster myid)
    if redis-cli -p "${node#*:}" cluster countkeysinslot "$slot" | grep -qvx 0; then from=$node from_id=$id; else to=$node to_id=$id; fi
done
redis-cli -p "${to#*:}" cluster setslot "$slot" importing "$from_id" >/dev/null
redis-cli -p "${from#*:}" cluster setslot "$slot" migrating "$to_id" >/dev/null
redis-cli -p "${from#*:}" cluster getkeysinslot "$slot" 100 | while read -r key; do
    redis-cli -p "${from#*:}" migrate 127.0.0.1 "${to#*:}" "$key" 0 5000 >/dev/null
done
open_gate moved
for node in "$to" "$from"; do redis-cli -p "${node#*:}" cluster setslot "$slot" node "$to_id" >/dev/null; done
is "$(verdict_of moved)" succeeded "the slot is moved to another node: the result goes there"
is "$(times_published moved)" 1 "once"
send_sh settled true >/dev/null
is "$(verdict_of settled)" succeeded "and tasks run"
ok 'wait_for nothing_pending' "nothing is stuck"
end_redis
done_testing
