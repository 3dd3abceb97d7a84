#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What a payload leaves: outputs that are not what they seem, trees that are hard to remove, text that is not for a
# terminal, and an output whose other end somebody else still holds.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
need python3
use_berth
. "${BERTH_SRCDIR:-.}/tests/e2e/hostile.sh"

mkdir -m 777 "$T/out"
echo secret >"$T/out/secret"
chmod 600 "$T/out/secret"
host_extra="files = { out_roots = [ \"$T/out\" ]; };"
executers_extra=$(hostile_executers "limit_cpu = false;")
executers_extra+=", { name = \"talker\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; output_max = \"100M\"; $both_dirs }"
base_config >"$BERTH_CONFIG"

leaves() { # NAME TEXT OUT-AS-JSON "VERDICT BLAME" REGEX-OF-MESSAGE
    jq -n --arg t "$2" --argjson f "$3" '{executer: "victim", args: [$t], files: {out: $f}}' >"$T/task.json"
    result=$(ask submit --file "$T/task.json" --wait --json </dev/null 2>"$T/err")
    is "$(get '.verdict + " " + .blame + " " + (.attempt|tostring)')" "$4 1" "$mode, $1: $4, at once" || diag "$(get .error) $(cat "$T/err")"
    like "$(get '.error.message // ""')" "${5:-}" "$mode, $1: said so"
}

outputs() {
    leaves "work directory shut" 'echo x >f; chmod 000 .' '[{"path":"f"}]' "failed task" "'f'.*denied"
    leaves "work directory shut, pattern" 'echo x >f; chmod 000 .' '[{"path":"f*"}]' "failed task" "denied"
    leaves "file shut" 'echo x >f; chmod 000 f' '[{"path":"f"}]' "failed task" "denied"
    leaves "directory shut" 'mkdir d; chmod 000 d' '[{"path":"d/f"}]' "failed task" "denied"
    leaves "file as directory" 'echo x >f' '[{"path":"f/g"}]' "failed task" "Not a directory"
    leaves "link to itself" 'ln -s f f' '[{"path":"f"}]' "failed task" "symbolic links"
    leaves "linked directory, pattern" 'ln -s /etc f' '[{"path":"f/pass*"}]' "failed task" "symbolic links"
    leaves "good and bad" 'echo good >f1; ln -s /etc/passwd f2' '[{"path":"f*"}]' "failed task" "'f2'"
    leaves "socket" 'python3 -c "import socket; socket.socket(socket.AF_UNIX).bind(\"f\")"' '[{"path":"f"}]' "failed task" "'f'"
    leaves "device" 'ln -s /dev/zero f' '[{"path":"f"}]' "failed task" "symbolic links"
    leaves "hard link to what others own" "ln /etc/passwd f || ln $T/out/secret f || exit 0" '[{"path":"f","optional":true}]' "succeeded "
    is "$(get '.files | length')" 0 "$mode, hard link to what others own: could not be made"
    leaves "90 files of a megabyte" 'for i in $(seq 90); do head -c 1000000 /dev/zero >f$i; done' '[{"path":"f*"}]' "failed task" "fit into a result"
    leaves "a terabyte of nothing, inline" 'truncate -s 1T f' '[{"path":"f"}]' "failed task" "fit into a result"
    leaves "a terabyte of nothing" "printf begin >f; truncate -s 1T f; printf end >>f" "[{\"path\":\"f\",\"to\":\"$T/out/sparse-$mode\"}]" "succeeded "
    ok '[ "$(stat -c %s "$T/out/sparse-$mode")" = $((1099511627776 + 3)) ] && [ "$(du -k "$T/out/sparse-$mode" | cut -f1)" -lt 100 ]' "$mode, a terabyte of nothing: takes no room"
    is "$(head -c 5 "$T/out/sparse-$mode") $(tail -c 3 "$T/out/sparse-$mode")" "begin end" "$mode, a terabyte of nothing: and what there is is right"
    leaves "names" 'for n in "f
line" "$(printf "f\033[31m")" "$(printf "f\377")" "f\\" "f\"" "-rf" "f*"; do echo x >"./$n" || exit; done' '[{"path":"f*"},{"path":"-rf"}]' "succeeded "
    is "$(get '.files | length')" 7 "$mode, names: all of them are told"
}

# A tree that cannot be listed, 10 000 levels deep, with names as long as they may be. Nothing of it differs without root.
trees() {
    local levels=10000
    [ "$mode" = root ] || levels=500
    attack deep at -- deep $levels
    attack flood-all talker --memory 256M -- "$T/tools/hostile flood 150000000"
    ended deep "succeeded " 120
    is "$(output)" "$levels levels" "$mode, deep: it was made"
    wait_for '[ "$(ask status --json $mode-flood-all | jq -r .state)" = done ]'
    is "$(ask result --json "$mode-flood-all" | jq -r '[.verdict, .output_truncated, (.output_b64 | length)] | join(" ")')" \
        "succeeded true $((32 << 20))" "$mode, flood-all: of a large output_max a result gets what fits, 24 MiB"
}

# One task hands its output on to another, and ends.
handed_on() {
    local pass='import array, os, socket, sys, time
side, path, done = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
if side == "keep":
    s.bind(path); os.chmod(path, 0o777); s.listen()
    c, _ = s.accept()
    _, anc, _, _ = c.recvmsg(1, socket.CMSG_SPACE(4))
    fd = array.array("i", anc[0][2])[0]
    c.send(b"y")
    while not os.path.exists(done): time.sleep(0.05)
    try:
        os.write(fd, b"from beyond"); print("written")
    except BrokenPipeError:
        print("broken")
else:
    while True:
        try:
            s.connect(path); break
        except OSError: time.sleep(0.05)
    s.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [1]))])
    s.recv(1)'
    attack keeper victim --timeout 1m -- "exec python3 -c '$pass' keep $T/marks/sock $T/marks/passed"
    attack passer victim --timeout 1m -- "echo own words; exec python3 -c '$pass' pass $T/marks/sock x"
    ended passer "succeeded "
    is "$(get .evidence.output_cut) $(output)" "true own words" "$mode, passer: its result does not wait for who has its output now, and tells so"
    touch "$T/marks/passed"
    ended keeper "succeeded "
    is "$(output)" broken "$mode, keeper: and has no use of it"
}

# Escape sequences, a C1 control, bytes that are no UTF-8: harmless on a terminal, unchanged elsewhere.
terminal() {
    local text='printf "\033]0;owned\007\033[31mred\302\23331m\r\377\n" >&2; printf "\033[2Jout\302\233\n"; exit 3'
    local how id=$mode-escape
    ask submit -e victim --id "$id" --wait -- "$text" </dev/null >"$T/plain" 2>&1
    ok 'grep -q "$(printf "\033")\[2Jout" "$T/plain"' "$mode, escapes: pass unchanged where there is no terminal"
    is "$(ask result --json "$id" | jq -r .stderr_tail | cat -v)" '^[]0;owned^G^[[31mredM-BM-^[31m^M?' "$mode, escapes: the tail is UTF-8"
    for how in "submit -e victim --wait -- '$text'" "logs $id" "logs --stderr $id" "result $id" "result --json $id"; do
        eval "ask_on_terminal $how" >"$T/shown" 2>&1
        like "$(cat -v "$T/shown")" "red|out" "$mode, escapes: '${how%% --*}' shows the text"
        is "$(grep -caP '\x1b|\x07|\xc2[\x80-\x9f]|\xff|\r[^\n]' "$T/shown")" 0 "$mode, escapes: and nothing that a terminal obeys" || diag "$(cat -v "$T/shown")"
    done
}
ask_on_terminal() { "${daemon_user[@]}" python3 "$srcdir/tests/hostile/terminal.py" berth "$@" </dev/null; }

check() {
    outputs
    handed_on
    terminal
    trees
}

if [ "$(id -u)" -eq 0 ]; then
    begin_as_root
    check
fi
begin_as_user
check
end_mode
done_testing
