#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# One task after another in a sandbox that is kept: it is the same one, and nothing of one is there for the next.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
need python3
use_berth

mkdir "$T/hidden" "$T/place"
echo secret >"$T/hidden/it"
one="runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; max_running = 1; bind_rw = [ \"$T/marks\" ];"
mkdir -m 1777 "$T/marks"
executers_extra=", { name = \"one\"; $one }, { name = \"hide\"; $one hide = [ \"$T/hidden\" ]; private_tmp = true; }"
base_config >"$BERTH_CONFIG"
ok 'start_berth' "berthd starts" || done_testing
wait_for '[ "$(berth runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'

run() { # TEXT [OPTIONS]: the output; the result is in $T/result
    local text=$1
    shift
    berth submit -e "${executer:-one}" --wait --json "$@" -- "$text" </dev/null >"$T/result" 2>"$T/err"
    jq -r '.output_b64 // empty' "$T/result" | base64 -d
    cat "$T/err"
}
get() { jq -r "$1" "$T/result"; }
where() { # the inits of sandboxes, after a task
    local pid
    run true >/dev/null
    for pid in $(left_processes); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != berth-init ] || echo "$pid"
    done
}
kept() { # NAME: the sandbox is that of the task before; it will be compared with the next
    now=$(where)
    is "$now" "$last" "$1: the same sandbox"
    last=$now
}
renewed() { # NAME
    now=$(where)
    like "$now" '^[0-9]+$' "$1: a sandbox"
    isnt "$now" "$last" "$1: but another"
    last=$now
}

last=$(where)
like "$last" '^[0-9]+$' "a task is in a sandbox"
kept "a second task"

# ---- what each finds ----

first=$(run 'echo $$; hostname; pwd; ls -a /tmp /var/tmp /dev/shm; ls ../..; (:) & echo $!; ls /proc/1 2>&1; grep -c . /proc/self/mountinfo')
second=$(run 'echo $$; hostname; pwd; ls -a /tmp /var/tmp /dev/shm; ls ../..; (:) & echo $!; ls /proc/1 2>&1; grep -c . /proc/self/mountinfo')
is "$(head -n 1 <<<"$second")" 2 "the payload is process 2 again"
is "$(sed -E 's/berth-[^ ]*|[0-9A-Z]{26}//' <<<"$second")" "$(sed -E 's/berth-[^ ]*|[0-9A-Z]{26}//' <<<"$first")" "it finds what the one before found"
is "$(sed -n 2p <<<"$second")" "$(get .instance | cut -c 1-64)" "the host name is its own"
is "$(sed -n 3p <<<"$second")" "$T/state/attempts/$(get .id).1/work" "its work directory has its own name"
is "$(run 'ls ../..')" "$(get .id).1" "and is the only one"
kept "after that"

# ---- what one leaves ----

is "$(run 'umask 0; for d in /tmp /var/tmp /dev/shm; do mkdir $d/a; echo x >$d/b; rm -r $d/a $d/b; done; echo removed')" removed "files in /tmp, removed"
kept "after files that were removed"
for d in /tmp /var/tmp /dev/shm; do
    run "echo mine >$d/left; chmod 666 $d/left" >/dev/null
    is "$(run "cat $d/left 2>&1; ls -A $d | grep -v '^${T##*/}\$'")" "cat: $d/left: No such file or directory" "and the file is gone"
done
kept "after files in them"
run "cd /tmp && chmod 700 . ; setfattr -n user.a -v b . ; chattr +i . ; mv /tmp/../tmp /tmp/x; touch -d 1999-01-01 ." >/dev/null 2>&1
is "$(run 'stat -c %a /tmp; find /tmp /var/tmp /dev/shm -maxdepth 0 -newermt "2 minutes ago" | wc -l')" $'1777\n3' "the directories themselves are nobody's to change"
last=$(where)
run 'echo x >file; mkdir dir' >/dev/null
kept "after files in the work directory"
is "$(run 'ls -A . ..')" $'.:\n\n..:\nwork' "and there are none"
kept "after that"
run 'for p in .. ../.. ../../../..; do echo x >$p/x; mkdir $p/y; done; rmdir ../work; mv ../work ../w' >/dev/null 2>&1
is "$(run 'ls -A .. ../..; cat ../x')" "..:"$'\nwork\n\n../..:\n'"$(get .id).1" "above the work directory nothing can be made" || diag "$(cat "$T/result")"

# ---- who stays ----

run 'setsid sleep 1000 >/dev/null 2>&1 & sleep 0.1; echo $!' >/dev/null
renewed "after a process that stayed"
is "$(run 'set -- /proc/[0-9]*; echo $#')" 1 "nobody is to be seen but the payload"
run '(setsid sh -c "sleep 0.2; echo x" >/dev/null 2>&1 & ) ; sleep 0.5' >/dev/null
last=$(where)
run 'trap "" TERM; sleep 1000' --timeout 200ms >/dev/null
is "$(get .verdict)" timeout "one that must be killed"
renewed "takes its sandbox along"
run 'kill -9 $$' >/dev/null
is "$(get '.verdict + " " + (.signal|tostring)')" "failed 9" "one that kills itself"
kept "leaves its sandbox"
run 'kill -9 1; kill -TERM -1; kill -9 -1; echo lives' >/dev/null
is "$(get .verdict)" succeeded "one that kills whom it can finds nobody"
kept "and not its init"
run 'exec /nowhere/program' >/dev/null
kept "after a program that is not there"
ipc='import ctypes, sys
c = ctypes.CDLL(None, use_errno=True)
def ids(): return [l.split()[1] for n in ("shm", "sem", "msg") for l in open("/proc/sysvipc/" + n).readlines()[1:]]
print(len(ids()))
c.shmget(7, 4096, 0o1666); c.semget(7, 1, 0o1666); c.msgget(7, 0o1666); print(c.mq_open(b"/q", 0o302, 0o666, None) >= 0)
print(len(ids()))'
printf '%s\n' "$ipc" >"$T/place/ipc.py"
cp "$T/place/ipc.py" "$T/marks/ipc.py"
chmod 644 "$T/marks/ipc.py"
is "$(run "python3 $T/marks/ipc.py")" $'0\nTrue\n3' "objects of IPC can be made"
is "$(run "python3 $T/marks/ipc.py")" $'0\nTrue\n3' "and are not there for the next"

# ---- what the node does meanwhile ----

executer=hide
last=$(where)
kept "with a directory hidden"
is "$(run "cat $T/hidden/it 2>/dev/null; ls -A $T/hidden 2>&1" | grep -c secret)" 0 "it is hidden"
mv "$T/hidden" "$T/away"
mkdir "$T/hidden"
echo secret >"$T/hidden/it"
is "$(run "cat $T/hidden/it 2>/dev/null; ls -A $T/hidden 2>&1" | grep -c secret)" 0 "so is what takes its place"
mount -t tmpfs kept-test "$T/marks"
echo here >"$T/marks/new"
is "$(run "cat $T/marks/new")" here "a mount of the node's is there for the next task"
umount "$T/marks"
is "$(run "cat $T/marks/new 2>&1" | grep -c here)" 0 "and gone after it"
ok 'stop_berth' "berthd stops"
wait_for '[ -z "$(left_processes)" ]'
is "$(left_processes)" "" "no process is left"
done_testing
