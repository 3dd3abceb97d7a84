# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
#
# For tests in bash: TAP, a daemon of one's own from the installed tree, and proof that nothing stays.
#
#   . "${BERTH_SRCDIR:-.}/tests/lib.sh"
#   use_berth                                  # needs the installed tree
#   start_berth - <<CONFIG
#   ...
#   CONFIG
#   is "$(berth submit ...)" "hello" "it answers"
#   done_testing
#
# Variables: T, a directory of the test's own (mode 0755, gone at the end); INST, the prefix of the installed
# tree, readable by all users; srcdir, builddir. State and run directory are $T/state and $T/run.
# A test waits for an event with wait_for; no test sleeps and hopes. Under CI=true a missing
# tool is a failure; what the machine itself cannot do is a skip everywhere (skip_machine).
# shellcheck disable=SC2016,SC2034 # text to evaluate later; variables for the tests

set -u
shopt -s lastpipe # "config | start_berth -" is to set variables of this shell
srcdir=${BERTH_SRCDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)}
builddir=${BERTH_BUILDDIR:-$PWD}
unset XDG_STATE_HOME XDG_RUNTIME_DIR BERTH_CONFIG BERTH_STATE_DIR BERTH_RUN_DIR
umask 022

tap_count=0
tap_failed=0
daemon_pid=
daemon_user=() # command that starts it as another user
use_daemon=
T=$(mktemp -d "${TMPDIR:-/tmp}/berth-test.XXXXXX") || exit 99
chmod 755 "$T"
export BERTH_TEST_MARK=$T # in the environment of whatever a test starts: how leaks are found
trap 'cleanup_all' EXIT
trap 'exit 99' INT TERM HUP

# ---- TAP ----

tap_line() { # STATUS NAME: one line of TAP; returns the status
    tap_count=$((tap_count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $tap_count - $2"
    else
        echo "not ok $tap_count - $2"
        tap_failed=$((tap_failed + 1))
        echo "#   at ${BASH_SOURCE[2]##*/}:${BASH_LINENO[1]}"
    fi
    return "$1"
}

diag() { # lines for whoever reads the log
    printf '%s\n' "$*" | sed 's/^/# /'
}

ok() { # 'SHELL TEXT' NAME: passes if the text, evaluated, succeeds
    local status
    eval "$1" >"$T/ok.out" 2>&1 </dev/null
    status=$?
    tap_line "$status" "$2" && return 0
    diag "failed with status $status: $1"
    [ ! -s "$T/ok.out" ] || diag "$(cat "$T/ok.out")"
    return 1
}

is() { # GOT WANT NAME
    [ "$1" = "$2" ]
    tap_line $? "$3" && return 0
    diag " got: '$1'"
    diag "want: '$2'"
    return 1
}

isnt() { # GOT UNWANTED NAME
    [ "$1" != "$2" ]
    tap_line $? "$3" && return 0
    diag "got what it should not be: '$1'"
    return 1
}

like() { # GOT EXTENDED-REGEX NAME
    [[ "$1" =~ $2 ]]
    tap_line $? "$3" && return 0
    diag "   got: '$1'"
    diag "nothing like: '$2'"
    return 1
}

unlike() { # GOT EXTENDED-REGEX NAME
    ! [[ "$1" =~ $2 ]]
    tap_line $? "$3" && return 0
    diag "       got: '$1'"
    diag "too much like: '$2'"
    return 1
}

pass() { tap_line 0 "$1"; }
fail() { tap_line 1 "$1"; }

skip_machine() { # REASON [COUNT]: this machine cannot do it, and no package would help
    local i
    for ((i = 0; i < ${2:-1}; i++)); do
        tap_count=$((tap_count + 1))
        echo "ok $tap_count # SKIP $1"
    done
}

skip() { # REASON [COUNT]: something is not installed; a failure under CI=true
    local i
    if [ "${CI:-}" != true ]; then
        skip_machine "$@"
        return
    fi
    for ((i = 0; i < ${2:-1}; i++)); do
        tap_line 1 "must not be skipped here: $1"
    done
}

skip_all() { # REASON: the whole file needs something that is not installed
    if [ "${CI:-}" = true ]; then
        fail "must not be skipped here: $1"
        done_testing
    fi
    echo "1..0 # SKIP $1"
    exit 0
}

skip_all_machine() { # REASON: like skip_machine, for the whole file
    echo "1..0 # SKIP $1"
    exit 0
}

need() { # TOOL...: skips the file if one is missing
    local tool
    for tool; do
        command -v "$tool" >/dev/null || skip_all "'$tool' is not installed"
    done
}

done_testing() { # the last line of a test: stops the daemon, looks for what was left, prints the plan
    if [ -n "$use_daemon" ]; then
        check_leaks
        check_reports
    fi
    echo "1..$tap_count"
    [ "$tap_failed" -eq 0 ]
    exit
}

# ---- waiting ----

wait_for() { # 'SHELL TEXT' [SECONDS]: until the text succeeds; fails, and says so, when the time is over
    local end=$((SECONDS + ${2:-60}))
    until eval "$1" >/dev/null 2>&1; do
        if [ "$SECONDS" -ge "$end" ]; then
            diag "waited ${2:-60} s in vain for: $1"
            return 1
        fi
        sleep 0.02
    done
}

free_port() { # prints a TCP port of the loopback that nobody listens on
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# ---- the daemon ----

find_tree() { # sets INST
    [ -f "$builddir/tests/inst.stamp" ] && read -r INST <"$builddir/tests/inst.stamp" && [ -d "$INST" ] || {
        echo "Bail out! no installed tree: run 'make check' or 'make tests/inst.stamp' in $builddir"
        exit 99
    }
}

use_berth() { # the installed programs, with directories of the test's own
    find_tree
    need jq
    use_daemon=yes
    # A copy, so that whose process it is can be seen from /proc/PID/exe.
    mkdir "$T/bin" "$T/state" "$T/run"
    cp "$INST/sbin/berthd" "$T/bin/berthd"
    PATH=$T/bin:$INST/bin:$PATH
    export BERTH_STATE_DIR=$T/state BERTH_RUN_DIR=$T/run BERTH_CONFIG=$T/berth.conf
    if [ -n "${SANITIZE_CFLAGS:-}" ]; then
        # Looking for leaks needs ptrace, which roles that have dropped everything no longer have.
        mkdir -m 1777 "$T/reports"
        export ASAN_OPTIONS=detect_leaks=0:log_path=$T/reports/asan
        export UBSAN_OPTIONS=print_stacktrace=1:log_path=$T/reports/ubsan
    fi
}

start_berth() { # [FILE or "-"]: starts berthd with this config, or again with the one it had
    [ $# -eq 0 ] || cat "$1" >"$BERTH_CONFIG" || return
    # shellcheck disable=SC2086 # WRAP is a command with arguments, or nothing
    "${daemon_user[@]}" ${WRAP:-} "$T/bin/berthd" >>"$T/berthd.log" 2>&1 </dev/null &
    daemon_pid=$!
    wait_for '"${daemon_user[@]}" berth status || ! is_alive "$daemon_pid"'
    is_alive "$daemon_pid" && return 0
    daemon_pid=
    diag "berthd did not start; the end of its log:"
    diag "$(tail -n 20 "$T/berthd.log")"
    return 1
}

start_berth_as_user() { # like start_berth, without privileges
    unprivileged
    daemon_user=("${as_user[@]}")
    [ ${#as_user[@]} -eq 0 ] || chown 65534:65534 "$T/state" "$T/run"
    start_berth "$@"
}

stop_berth() { # SIGTERM, and waits for the end; payloads go on, as they do in real life
    [ -n "$daemon_pid" ] || return 0
    kill -TERM "$daemon_pid" 2>/dev/null
    wait_for '! is_alive "$daemon_pid"' || return
    wait "$daemon_pid" 2>/dev/null
    daemon_pid=
}

unprivileged() { # sets as_user: the command in front of one that shall run without privileges
    as_user=()
    [ "$(id -u)" -eq 0 ] || return 0
    mkdir -p "$T/home"
    chown 65534:65534 "$T/home"
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all env "HOME=$T/home")
}

as_user() { # COMMAND...: runs it as a user without any privilege (as it is, where the test has none)
    unprivileged
    "${as_user[@]}" "$@"
}

is_alive() { # PID: there, and not a zombie that nobody has reaped yet
    local state
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)
    [ -n "$state" ] && [ "$state" != Z ]
}

# ---- what is left ----

left_processes() { # pids of what this test started, by program, directory, arguments, or mark
    local pid
    {
        grep -lsaF -e "$T" /proc/[0-9]*/cmdline /proc/[0-9]*/environ
        find /proc -maxdepth 2 \( -name exe -o -name cwd \) -lname "*$T*" 2>/dev/null
    } | cut -d/ -f3 | sort -un | while read -r pid; do
        if is_alive "$pid"; then echo "$pid"; fi
    done
}

role_pids() { # TITLE: pids of this daemon's processes whose title is "berthd: TITLE..."
    local pid
    for pid in $(left_processes); do
        case $( { tr "\0" " " <"/proc/$pid/cmdline"; } 2>/dev/null) in
        "berthd: $1"*) echo "$pid" ;;
        esac
    done
}

left_mounts() {
    grep -F -e "$T" /proc/self/mountinfo | cut -d' ' -f5
}

state_key() { # part of the name of the daemon's control groups: FNV-1a of its state directory
    local text=$T/state hash=2166136261 code i
    for ((i = 0; i < ${#text}; i++)); do
        printf -v code %d "'${text:i:1}"
        hash=$((((hash ^ code) * 16777619) & 0xffffffff))
    done
    printf 'berth-%08x' "$hash"
}

daemon_cgroups() { # deepest first
    [ -d /sys/fs/cgroup ] && find /sys/fs/cgroup -depth -type d -path "*$(state_key)*" 2>/dev/null
}

left_cgroups() { # of attempts; the tree above them stays for the next daemon of that state directory
    local dir
    daemon_cgroups | while read -r dir; do
        case ${dir##*/} in
        *"$(state_key)" | daemon | tasks) [ -z "$(cat "$dir/cgroup.procs" 2>/dev/null)" ] || echo "$dir" ;;
        *) echo "$dir" ;;
        esac
    done
}

nothing_left() {
    [ -z "$(left_processes)$(left_mounts)$(left_cgroups)" ]
}

check_leaks() {
    local pid
    # A supervisor whose payload has just gone still owes the host its result, and keeps it for the next host.
    [ -z "$daemon_pid" ] || wait_for '[ -z "$(role_pids "task ")" ]' 20
    stop_berth || fail "berthd stops when it is told to"
    wait_for nothing_left 20
    tap_line $? "no process, mount or cgroup is left behind" && return
    for pid in $(left_processes); do
        diag "process $pid: $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)"
    done
    diag "mounts: $(left_mounts)"
    diag "cgroups: $(left_cgroups)"
}

check_reports() { # of the sanitizers, from any role
    [ -d "$T/reports" ] || return 0
    is "$(cat "$T/reports"/* 2>/dev/null)" "" "the sanitizers have nothing to report"
}

cleanup_all() { # whatever happened: nothing of the test stays on the machine
    local status=$? pid
    trap - EXIT
    [ -z "$daemon_pid" ] || kill -TERM "$daemon_pid" 2>/dev/null
    if [ -n "$use_daemon" ]; then
        [ "$status" -eq 0 ] || [ ! -s "$T/berthd.log" ] || diag "$(tail -n 40 "$T/berthd.log")"
        while pid=$(left_processes) && [ -n "$pid" ]; do
            # shellcheck disable=SC2086 # a list
            kill -KILL $pid 2>/dev/null
            sleep 0.05
        done
        left_mounts | while read -r pid; do umount -l "$pid"; done
        daemon_cgroups | while read -r pid; do rmdir "$pid" 2>/dev/null; done
    fi
    rm -rf "$T"
    exit "$status"
}
