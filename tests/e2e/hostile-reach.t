#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Payloads that reach for what is not theirs: privileges, the daemon, its sockets and its store, other tasks.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
need python3
use_berth
. "${BERTH_SRCDIR:-.}/tests/e2e/hostile.sh"

install -m 4755 "$builddir/tests/hostile/hostile" "$T/tools/setuid"
executers_extra=$(hostile_executers "limit_cpu = false;")
# To see that the ways are tried as they should be: some are open where nothing holds the payload.
executers_extra+=", { name = \"loose\"; runtime = \"process\"; command = [ \"$T/tools/hostile\" ]; mount = false; pid = false; ipc = false;
    net = false; uts = false; read_only = false; private_tmp = false; seccomp = false; devices = false; own_uid = false; }"
# The daemon is in sight, under its own uid: what is left to hold is file modes and ids.
executers_extra+=", { name = \"near\"; runtime = \"process\"; command = [ \"$T/tools/hostile\" ]; mount = false; pid = false; ipc = false;
    net = false; uts = false; read_only = false; private_tmp = false; devices = false; }"
base_config >"$BERTH_CONFIG"

begin_listener() { # of an abstract socket, in the node's network
    : >"$T/listening"
    python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind("\0" + sys.argv[1]); s.listen()
print("listening", flush=True)
time.sleep(3600)' "$T/abstract" >"$T/listening" &
    listener=$!
    wait_for '[ -s "$T/listening" ]'
}
end_listener() {
    kill "$listener"
    wait "$listener" 2>/dev/null
}

gains() { # what worked of what "hostile gain" tried
    output | sed -n 's/^DONE //p' | tr '\n' ';'
}

gain() {
    local some way want=
    # There the small /dev is made by the payload's own uid: it may play in it, and nobody else sees that.
    [ "$mode" = root ] || want="mkdir /dev/hostile;"
    result=$(ask submit -e at --wait --json --timeout 1m -- gain "$T/tools/setuid" </dev/null)
    is "$(get .verdict) $(gains)" "succeeded $want" "$mode, gain: no way to more privileges"
    some=$(output | sed -n 's/^tried //p')
    is "$(output | grep -c '^refused \|^DONE ')" "$some" "$mode, gain: each of $some was tried"
    result=$(ask submit -e loose --wait --json --timeout 1m -- gain </dev/null)
    for way in "clone3 0x10000000" "ptrace child" "process_vm_readv child" "personality norandom" "keyctl session" "io_uring 4"; do
        like "$(gains)" "$way;" "$mode, gain: '$way' works where nothing holds it"
    done
}

# In the sandbox: the daemon's processes, the other tasks', files, sockets, ports.
reach() {
    local targets=() pid
    for pid in $(left_processes); do targets+=("pid:$pid"); done
    ok '[ '${#targets[@]}' -ge 5 ]' "$mode, reach: there are others to reach for"
    for path in state/berth.db state/attempts run/ctl.sock run/host.sock state run "state/attempts/victim-$mode.1" \
        "state/attempts/victim-$mode.1/stdout" "state/attempts/victim-$mode.1/work/count" "state/attempts/victim-$mode.1/lock"; do
        [ -e "$T/$path" ] || [ "${path##*/}" = stdout ] || diag "there is no $path"
        targets+=("path:$T/$path")
    done
    for path in "$T/run"/*; do [ ! -S "$path" ] || targets+=("socket:$path"); done
    targets+=("abstract:$T/abstract" "tcp:$port")
    result=$(ask submit -e "$1" --wait --json --timeout 1m -- reach "${targets[@]}" </dev/null)
    is "$(get .verdict) $(output | tail -n 1)" "succeeded tried all" "$mode, reach from '$1': all was tried"
    ok '[ "$(output | grep -c "^refused ")" -gt 50 ]' "$mode, reach from '$1': and refused"
}
# Without an uid of its own it owns the way to its work directory, which is in its private /tmp here. What it does there
# is done to nothing of the node's.
held() {
    is "$(output | grep '^DONE ' | { [ "$mode" = root ] && cat || grep -v "^DONE \(make\|rename\) $T/state"; })" "" "$mode, reach: nothing was there"
    is "$(find "$T" -name '*hostile' -not -path "$T/tools/*")" "" "$mode, reach: and nothing was changed"
}

check() {
    begin_listener
    gain
    reach at
    held
    [ "$mode" != root ] || reach_by_ids
    end_listener
}

# Without a network of its own it can connect to what listens on the loopback, as any user of the node can.
reach_by_ids() {
    reach near
    is "$(output | sed -n 's/^DONE //p' | grep -v '^connect-abstract\|^connect-tcp')" "" "root, reach from 'near': the ids alone hold all the rest"
}

if [ "$(id -u)" -eq 0 ]; then
    begin_as_root
    check
fi
begin_as_user
check
end_mode
done_testing
