# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the tests of the clients share: a host that can be reached by every way there is.
# shellcheck disable=SC2154,SC2034 # variables of lib.sh and common.sh; variables for the tests

S=$T/sockets
token=let-me-in-for-the-test
tls_port=$(free_port)
redis_tls_port=$(free_port)
zmq_port=$(free_port)
mkdir -m 1777 "$S"

find_client_python() { # sets python, which has what the Python client needs
    local one
    python=
    for one in python3 /usr/bin/python3; do
        if [ -z "$python" ] && "$one" -c 'import msgpack, redis, zmq' 2>/dev/null; then python=$one; fi
    done
    [ -n "$python" ] || skip_all "python3-msgpack, python3-redis or python3-zmq is not installed"
}

make_certificate() { # $T/cert.pem for 127.0.0.1, which is its own authority
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=berth-test \
        -addext subjectAltName=IP:127.0.0.1 -keyout "$T/key.pem" -out "$T/cert.pem" 2>/dev/null
    chmod 644 "$T/key.pem"
}

make_keys() { # of a host, and of a client that it knows: sets curve_key, curve_server and by_curve
    local host me
    pair() { "$python" -c 'import zmq; print(*(key.decode() for key in zmq.curve_keypair()))'; }
    read -ra host <<<"$(pair)"
    read -ra me <<<"$(pair)"
    (umask 077 && printf 'secret %s\n' "${host[1]}" >"$T/host.key")
    printf 'client %s\n' "${me[0]}" >"$T/clients.key"
    curve_key=${me[1]}
    by_curve="zmq://127.0.0.1:$zmq_port?server_key=$(jq -rn --arg key "${host[0]}" '$key | @uri')"
}

start_everything() { # Redis with and without TLS; a host with HTTP on TCP, a socket and TLS, and both queues
    make_certificate
    make_keys
    start_redis r
    start_redis tls --port 0 --tls-port "$redis_tls_port" --tls-cert-file "$T/cert.pem" --tls-key-file "$T/key.pem" \
        --tls-ca-cert-file "$T/cert.pem" --tls-auth-clients no --requirepass "$token"
    echo "$token" >"$T/tokens"
    install -m 600 "$T/tokens" "$T/tokens.http"
    if [ "$(id -u)" -eq 0 ]; then
        host_extra='user = "65533"; group = "65533";'
        chown 65533:65533 "$T/tokens.http" "$T/host.key"
    fi
    transports_more=", { plugin = \"http\"; name = \"socket\"; listen = \"unix:$S/http\"; socket_mode = \"0666\"; },
        { plugin = \"http\"; name = \"https\"; listen = \"127.0.0.1:$tls_port\"; token_file = \"$T/tokens.http\";
          tls_cert = \"$T/cert.pem\"; tls_key = \"$T/key.pem\"; },
        { plugin = \"zeromq\"; endpoint = \"ipc://$S/zmq\"; socket_mode = \"0666\"; },
        { plugin = \"zeromq\"; name = \"curve\"; endpoint = \"tcp://127.0.0.1:$zmq_port\";
          curve_key_file = \"$T/host.key\"; curve_clients_file = \"$T/clients.key\"; },
        { plugin = \"redis\"; name = \"rediss\"; url = \"rediss://127.0.0.1:$redis_tls_port\"; queue = \"q\";
          password_file = \"$T/tokens\"; tls_ca = \"$T/cert.pem\"; }"
    redis_config | start_berth -
}

by_http=$url
by_socket=http+unix://$S/http
by_https=https://127.0.0.1:$tls_port
by_zmq=zmq+ipc://$S/zmq
by_redis="unix://$R?queue=$queue"
by_rediss="rediss://127.0.0.1:$redis_tls_port/0?queue=$queue"

checks() { # PREFIX: lines "ok NAME" and "not NAME" as checks of this test
    local word name
    while read -r word name; do
        case $word in
        ok) pass "$1: $name" ;;
        not) fail "$1: $name" ;;
        *) diag "$word $name" ;;
        esac
    done
}
