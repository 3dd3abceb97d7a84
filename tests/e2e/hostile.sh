# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the tests with hostile payloads share: executers, a victim beside each attack, and a look at what is left.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of and for others

[ -x "$builddir/tests/hostile/hostile" ] || {
    echo "Bail out! no tests/hostile/hostile: run 'make check' or 'make tests/hostile/hostile' in $builddir"
    exit 99
}
need curl
mkdir -m 755 "$T/tools"
mkdir -m 1777 "$T/marks"
install -m 755 "$builddir/tests/hostile/hostile" "$T/tools/hostile"

both_dirs="bind_rw = [ \"$T/tools\", \"$T/marks\" ];" # else the private /tmp covers them
hostile_executers() { # [KEYS]: of the executer 'at'
    echo ", { name = \"at\"; runtime = \"process\"; command = [ \"$T/tools/hostile\" ]; $both_dirs ${1:-} }
          , { name = \"victim\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; $both_dirs }"
}

ask() { "${daemon_user[@]}" berth "$@"; }
get() { jq -r "$1" <<<"$result"; }
output() { get '.output_b64 // empty' | base64 -d; }

begin_as_root() {
    mode=root
    ok 'start_berth' "root: berthd starts" || done_testing
    begin_victim
}

begin_as_user() { # with a state of its own; where the test is no root's, as it is
    if [ -n "$daemon_pid" ]; then
        end_mode
        rm -rf "$T/state" "$T/run"
        mkdir "$T/state" "$T/run"
    fi
    mode=user
    ok 'start_berth_as_user' "user: berthd starts" || done_testing
    begin_victim
}

# ---- who must not be hurt ----

# A task of another executer that works all the while, and a client that asks the host how it is.
begin_victim() {
    wait_for '[ "$(ask runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'
    rm -f "$T/marks"/*
    ask submit -e victim --id "victim-$mode" --timeout 10m -- \
        "n=0; while [ ! -e $T/marks/enough ]; do n=\$((n + 1)); echo \$n >count; [ \"\$(cat count)\" = \$n ] || exit 1; sleep 0.1; done; echo unhurt" \
        </dev/null >/dev/null
    wait_for '[ "$(ask status --json victim-$mode | jq -r .state)" = running ]'
    : >"$T/health"
    (
        trap - EXIT # lib.sh's is the parent's
        while [ ! -e "$T/marks/enough" ]; do
            curl -s -o /dev/null -m 10 -w '%{http_code}\n' "$url/healthz" >>"$T/health"
            sleep 0.2
        done
    ) &
    health_pid=$!
}

end_victim() {
    touch "$T/marks/enough"
    wait "$health_pid"
    is "$(sort -u "$T/health" | tr '\n' ' ')" "200 " "$mode: the host answered all the while" || diag "$(sort "$T/health" | uniq -c)"
    wait_for '[ "$(ask status --json victim-$mode | jq -r .state)" = done ]'
    result=$(ask result --json "victim-$mode")
    is "$(get '.verdict + " " + (.attempt|tostring)') $(output)" "succeeded 1 unhurt" "$mode: the task beside all of this was not hurt"
}

end_mode() { # victim, leftovers, daemon
    end_victim
    ok 'wait_for "[ -z \"\$(left_attempts)\" ]" 30' "$mode: no directory of an attempt is left" || diag "$(left_attempts)"
    stop_berth
    ok 'wait_for nothing_left 30' "$mode: no process, mount or cgroup is left" || diag "$(left_processes; left_mounts; left_cgroups)"
}

# ---- attacks ----

# Begins one; its task's id is MODE-NAME.
attack() { # NAME EXECUTER [OPTIONS] -- ARGUMENTS
    local name=$1 executer=$2
    shift 2
    ask submit -e "$executer" --id "$mode-$name" "$@" </dev/null >/dev/null 2>"$T/err" || diag "$name: $(cat "$T/err")"
}

# Waits for its end, and looks at it; the result is in $result.
ended() { # NAME "VERDICT BLAME" [SECONDS]
    if ! wait_for '[ "$(ask status --json '"$mode-$1"' | jq -r .state)" = done ]' "${3:-60}"; then
        fail "$mode, $1: ends"
        ask cancel "$mode-$1" >/dev/null
        result='{}'
        return 1
    fi
    result=$(ask result --json "$mode-$1")
    is "$(get '.verdict + " " + .blame')" "$2" "$mode, $1: $2" || diag "$(get '.error, .evidence, .stderr_tail')"
}

# Another task gets through, in time.
others_work() { # NAME
    local out
    out=$(timeout 60 "${daemon_user[@]}" berth submit -e victim --wait --json -- 'echo fine' </dev/null | jq -r .output_b64 | base64 -d)
    is "$out" fine "$mode, $1: others get their turn"
}

enforced() { [ "$(ask explain at --json | jq -r ".limits.$1.enforced")" != no ]; }
payloads_of() { pgrep -f "^$T/tools/hostile $1"; } # NAME: pids of what runs as "hostile NAME"
