# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the tests of the redis transport share: servers of one's own, tasks sent by hand, more than one host.
# shellcheck disable=SC2154,SC2034,SC2016 # T is set by lib.sh; variables for the tests; text to evaluate later

redis_server=$(command -v valkey-server || command -v redis-server)
queue=q
K="berth:{$queue}:"
M=$T/marks # a directory that payloads see, too
sh_extra="bind_rw = [ \"$M\" ];"
mkdir -m 1777 "$M"
R=$T/r.sock
at=(-s "$R") # the server that rcli speaks to, and as whom
declare -A redis_pid=()

need_redis() { # skips the file where there is no server
    [ -n "$redis_server" ] || skip_all "neither redis-server nor valkey-server is installed"
    need redis-cli python3
}

start_redis() { # NAME [OPTIONS]: a server on $T/NAME.sock; again: with what it had saved
    local name=$1
    shift
    mkdir -p "$T/redis-$name"
    "$redis_server" --port 0 --unixsocket "$T/$name.sock" --unixsocketperm 777 --save '' --appendonly no \
        --dir "$T/redis-$name" --loglevel warning "$@" >>"$T/redis-$name.log" 2>&1 </dev/null &
    redis_pid[$name]=$!
    wait_for "[ \"\$(redis-cli -s '$T/$name.sock' ping 2>&1)\" = PONG ] ||
        redis-cli -s '$T/$name.sock' ping 2>&1 | grep -qE 'NOAUTH|LOADING'" 30
}

stop_redis() { # NAME [SIGNAL]
    kill "-${2:-KILL}" "${redis_pid[$1]}" 2>/dev/null
    [ "${2:-KILL}" = STOP ] || wait "${redis_pid[$1]}" 2>/dev/null
}

rcli() { redis-cli "${at[@]}" "$@"; }

# ---- hosts ----

redis_config() { # [KEYS OF THE TRANSPORT]: the base config with a redis transport, quick to notice things
    local keys=${1:-}
    [[ $keys = *url\ =* ]] || keys+=" url = \"unix://$R\";"
    transports_extra=", { plugin = \"redis\"; queue = \"$queue\"; ready = \"3s\"; lease = \"${lease:-2s}\";
        timeout = \"${timeout:-1s}\"; $keys } ${transports_more:-}" base_config
}

host() { # NAME COMMAND...: the command for another host than the test's own
    local name=$1
    shift
    BERTH_STATE_DIR=$T/$name/state BERTH_RUN_DIR=$T/$name/run BERTH_CONFIG=$T/$name/berth.conf "$@"
}

declare -A host_pid=()
start_host() { # NAME CONFIG-FILE or -: another host, with a node name and directories of its own
    local name=$1
    mkdir -p "$T/$name/state" "$T/$name/run"
    [ $# -lt 2 ] || sed "s|$T/state|$T/$name/state|; s|$T/run|$T/$name/run|; s|testnode|$name|
        s|127.0.0.1:$port|127.0.0.1:0|" "$2" >"$T/$name/berth.conf" || return
    # shellcheck disable=SC2086 # host_wrap is a command with arguments, or nothing
    env "BERTH_STATE_DIR=$T/$name/state" "BERTH_RUN_DIR=$T/$name/run" "BERTH_CONFIG=$T/$name/berth.conf" \
        ${host_wrap:-} "$T/bin/berthd" >>"$T/$name/berthd.log" 2>&1 </dev/null &
    host_pid[$name]=$!
    wait_for "host $name berth status || ! is_alive ${host_pid[$name]}"
    is_alive "${host_pid[$name]}" && return 0
    diag "host $name did not start; the end of its log:"
    diag "$(tail -n 20 "$T/$name/berthd.log")"
    return 1
}

stop_host() { # NAME [SIGNAL]
    kill "-${2:-TERM}" "${host_pid[$1]}" 2>/dev/null
    wait_for "! is_alive ${host_pid[$1]}"
    wait "${host_pid[$1]}" 2>/dev/null
}

end_redis() { # before done_testing: the servers and the further hosts go
    local name dir
    for name in "${!host_pid[@]}"; do
        is_alive "${host_pid[$name]}" && stop_host "$name"
        (
            T=$T/$name
            daemon_cgroups
        ) | while read -r dir; do rmdir "$dir" 2>/dev/null; done
    done
    stop_berth
    for name in "${!redis_pid[@]}"; do
        kill -CONT "${redis_pid[$name]}" 2>/dev/null
        stop_redis "$name"
    done
}

stat_of() { # KEY [HOST]: a counter of the host
    if [ $# -gt 1 ]; then
        host "$2" berth status --json | jq -r ".$1"
    else
        berth status --json | jq -r ".$1"
    fi
}

is_ready() { # [EXPECTED]: waits until /readyz says so
    wait_for "[ \"\$(curl -s -o '$T/ready' -w '%{http_code}' '$url/readyz')\" = ${1:-200} ]" "${2:-60}"
}

# ---- tasks ----

send_sh() { # ID TEXT [FIELDS OF THE TASK]: a task that runs TEXT in a shell
    rcli XADD "${K}tasks" '*' t "{\"id\":\"$1\",\"executer\":\"sh\",\"args\":[$(jq -Rs . <<<"$2")]${3:+,$3}}"
}

gate() { # ID [FIELDS OF THE TASK]: a task that runs until open_gate ID
    send_sh "$1" "echo >>$M/$1.runs; until [ -e $M/$1.open ]; do sleep 0.05; done" "${2:-}" >/dev/null
    wait_runs "$1" 1
}
wait_runs() { wait_for "[ \"\$(wc -l <'$M/$1.runs')\" = $2 ]"; } # ID COUNT: until it has been begun so often
open_gate() { touch "$M/$1.open"; }

verdict_of() { # ID [SECONDS]: waits for its result in Redis and prints the verdict
    wait_for "[ \"\$(rcli EXISTS '${K}result:$1')\" = 1 ]" "${2:-60}" || return
    rcli HGET "${K}result:$1" verdict
}

result_json() { rcli --raw HGET "${K}result:$1" r; } # ID: the result of a task that was sent as JSON

times_published() { # ID: how often it stands in the stream of results
    rcli --raw XRANGE "${K}results" - + | grep -aA1 -x id | grep -acxF "$1"
}

pending() { rcli XPENDING "${K}tasks" berth | head -n 1; }
waiting() { rcli XLEN "${K}tasks"; }
letters() { rcli XLEN "${K}dead"; }
letter_of() { # ID FIELD: of the dead letter of a task
    rcli --raw XRANGE "${K}dead" - + | awk -v id="$1" -v field="$2" '
        prev == "id" { mine = ($0 == id) } mine && prev == field { print; exit } { prev = $0 }'
}
nothing_pending() { [ "$(pending)" = 0 ] && [ "$(waiting)" = 0 ]; }
