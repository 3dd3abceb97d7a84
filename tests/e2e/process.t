#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Each option of the process runtime, off and on, as the payload itself sees it; as root and as a plain user.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
use_berth

mkdir -m 1777 "$T/marks"
mkdir -m 755 "$T/hidden" "$T/tools"
echo seen >"$T/hidden/file"
echo seen >"$T/hidden-file"
printf '#!/bin/sh\necho own tool\n' >"$T/tools/mytool"
chmod 755 "$T/tools/mytool"
paths=
for i in $(seq 40); do
    mkdir -m 1777 "$T/marks/rw$i"
    paths+="${paths:+, }\"$T/marks/rw$i\""
done

# ---- a /dev with GPUs, for the daemon alone ----

dev=
if [ "$(id -u)" -eq 0 ]; then
    dev=$T/dev
    mkdir "$dev"
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty "$dev/"
    for node in nvidia0 nvidia1 nvidiactl nvidia-uvm; do mknod -m 666 "$dev/$node" c 1 3; done
    mkdir -m 1777 "$dev/shm"
    mkdir -m 755 "$dev/pts"
    cat >"$T/with-dev" <<WRAP
#!/bin/sh
mount --rbind "$dev" /dev && exec "\$@"
WRAP
    chmod 755 "$T/with-dev"
    if unshare -m --propagation private "$T/with-dev" test -e /dev/nvidia0 2>/dev/null; then
        WRAP="unshare -m --propagation private $T/with-dev"
    else
        dev=
    fi
fi

variant() { # NAME KEYS: an executer like sh, with these
    executers_extra+=", { name = \"$1\"; runtime = \"${3:-process}\"; command = [ \"/bin/sh\", \"-c\" ]; $2 }"
}
switches="mount pid ipc net uts read_only private_tmp seccomp devices own_uid limit_memory limit_cpu limit_pids limit_disk"
variants() {
    local name
    executers_extra=
    for name in $switches; do variant "no-$name" "$name = false;"; done
    variant no-mount-pid "mount = false; pid = false;"
    variant nothing "mount = false; pid = false; ipc = false; net = false; uts = false; read_only = false; private_tmp = false;
        seccomp = false; devices = false; own_uid = false;"
    variant nice "nice = 7;"
    variant hurry "nice = -5;"
    variant hurry-granted "nice = -5;" quick
    variant io-idle 'io_class = "idle";'
    variant io-best 'io_class = "best-effort"; io_level = 6;'
    variant cpu0 'cpu_list = "0";'
    variant cpu-wrong 'cpu_list = "zero";'
    variant rw "bind_rw = [ \"$T/marks\" ];"
    variant rw40 "bind_rw = [ $paths ];"
    variant rw-missing "bind_rw = [ \"$T/nowhere\" ];"
    variant hide "hide = [ \"$T/hidden\", \"$T/hidden-file\", \"$T/nowhere\" ]; private_tmp = false;"
    variant usr1 'stop_signal = "USR1";'
    variant sig-wrong 'stop_signal = "USR3";'
    variant tools "search_path = \"$T/tools:/usr/bin:/bin\"; private_tmp = false;"
    executers_extra+=", { name = \"by-name\"; runtime = \"process\"; command = [ \"mytool\" ]; search_path = \"$T/tools\"; private_tmp = false; }
      , { name = \"env\"; runtime = \"process\"; command = [ \"/usr/bin/env\" ]; env = { COLOR = \"blue\"; SHAPE = \"round\"; }; }
      , { name = \"env-few\"; runtime = \"process\"; command = [ \"/usr/bin/env\" ]; env_allow = [ \"OMP_*\" ]; }"
}
variants
runtimes_extra=', { plugin = "process"; name = "quick"; capabilities = [ "setuid", "setgid", "kill", "sys_admin", "sys_chroot", "chown", "sys_nice" ]; }'
config() {
    host_extra='gpus = [ "0", "1" ];' base_config >"$BERTH_CONFIG"
}

ask() { "${daemon_user[@]}" berth "$@"; }
run() { # EXECUTER TEXT [OPTIONS]: the output; the result is in $T/result
    local executer=$1 text=$2
    shift 2
    ask submit -e "$executer" --wait --json "$@" -- "$text" </dev/null >"$T/result" 2>"$T/err"
    jq -r '.output_b64 // empty' "$T/result" | base64 -d
    jq -r 'select(.error)|.error|"[" + .code + ": " + .message + "]"' "$T/result"
    cat "$T/err"
}
enforced() { jq -r ".limits.enforced.$1" "$T/result"; }
inode() { readlink "/proc/$$/ns/$1"; }
both() { # SWITCH TEXT WANT-WHEN-ON WANT-WHEN-OFF NAME [EXECUTER-WHEN-OFF]
    like "$(run sh "$2")" "$3" "$mode, $1: on: $5"
    like "$(run "${6:-no-$1}" "$2")" "$4" "$mode, $1: off: not so"
}
holds() { [ "$(ask explain sh --json | jq -r ".limits.$1.enforced")" != no ]; }

check_namespaces() {
    local ns
    for ns in pid ipc net uts; do
        unlike "$(run sh "readlink /proc/self/ns/$ns")" "^$(inode $ns)\$" "$mode, $ns: on: a namespace of its own"
        is "$(run no-$ns "readlink /proc/self/ns/$ns")" "$(inode $ns)" "$mode, $ns: off: the node's"
    done
    both pid 'ls /proc | grep -c "^[0-9]"' '^[1-6]$' '^([0-9][0-9]+|[7-9])$' "sees only itself"
    both uts 'cat /proc/sys/kernel/hostname' '^b-|^berth' "^$(cat /proc/sys/kernel/hostname)\$" "a host name of its own"
    both net 'tail -n +3 /proc/net/dev | wc -l' '^1$' "^$(tail -n +3 /proc/net/dev | wc -l)\$" "only the loopback"
    is "$(run sh 'cat /proc/sys/kernel/hostname; exit 0' >/dev/null; enforced network)" namespace "$mode, net: on: told in the result"
    run no-net true >/dev/null
    is "$(enforced network)" no "$mode, net: off: told in the result"
}

check_files() {
    both mount "[ -e $T/state/monitor.lock ] && echo there; echo end" '^end' '^there' "the state directory is out of sight"
    both read_only 'touch /etc/berth-x 2>&1; grep -c " / / ro" /proc/self/mountinfo' "Read-only file system.*1" \
        "[Pp]ermission denied.*0" "the system cannot be written"
    both private_tmp "ls -d $T/hidden 2>&1; echo x >/tmp/berth-own-\$\$; ls -d /tmp/berth-own-*; rm /tmp/berth-own-\$\$" \
        "^ls: .*No such" "^$T/hidden" "a /tmp of its own"
    is "$(run sh 'for d in /tmp /var/tmp /dev/shm; do echo x >$d/x && cat $d/x; done')" "$(printf 'x\nx\nx')" "$mode, private_tmp: all three can be written"
    both devices 'ls /dev | tr "\n" " "' '^fd full null random shm stderr stdin stdout( tty)? urandom zero $' \
        "$(ls "${dev:-/dev}" | head -n 3 | tail -n 1)" "a small /dev"
    is "$(run sh 'echo x >/dev/null && head -c 3 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c')" \
        "$(printf '3\n4')" "$mode, devices: what is there works"
    is "$(run sh 'echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin; echo end')" "$(printf 'out\nend')" "$mode, devices: so do /dev/stdout, stderr and stdin"
    is "$(jq -r .stderr_tail "$T/result")" err "$mode, devices: /dev/stderr has its own way"
    is "$(ask submit -e sh --wait --json -- 'cat /dev/stdin' <<<"by its name" | jq -r .output_b64 | base64 -d)" "by its name" "$mode, devices: /dev/stdin with an input"
    is "$(run rw "echo x >$T/marks/x && cat $T/marks/x; rm $T/marks/x")" x "$mode, bind_rw: can be written"
    like "$(run sh "echo x >$T/marks/x" 2>&1; cat "$T/result")" "Read-only|No such|nonexistent|Directory" "$mode, bind_rw: not without it"
    is "$(run rw40 "for i in \$(seq 40); do echo \$i >$T/marks/rw\$i/x && rm $T/marks/rw\$i/x || exit; done; echo all")" all "$mode, bind_rw: forty paths"
    like "$(run rw-missing 'echo ran')" "start: .*$T/nowhere" "$mode, bind_rw: a path that is not there: named"
    is "$(run hide "ls -A $T/hidden; cat $T/hidden-file; echo end")" end "$mode, hide: a directory, a file, and what is not there"
    is "$(run tools 'mytool; echo $PATH')" "$(printf 'own tool\n%s:/usr/bin:/bin' "$T/tools")" "$mode, search_path: is the PATH"
    like "$(ask submit -e by-name --wait --json </dev/null | jq -r .output_b64 | base64 -d)" "own tool" "$mode, search_path: and where the program is found"
    is "$(run sh 'ls /proc/self/fd | tr "\n" " "; readlink /proc/self/fd/0')" "0 1 2 3 /dev/null" "$mode: no descriptor but the three"
    is "$(run no-mount-pid 'readlink /proc/self/ns/mnt; basename "$PWD"; echo x >x; cat x')" \
        "$(printf '%s\nwork\nx' "$(readlink "/proc/$daemon_pid/ns/mnt")")" "$mode, mount: off: the daemon's mounts; it runs all the same"
}

check_others() {
    both seccomp 'sed -n "s/^Seccomp:.//p" /proc/self/status; unshare -U true 2>&1 && echo made' '^2.*(not permitted|EPERM)' '^0' "filtered"
    is "$(run sh 'grep -c "^NoNewPrivs:.1" /proc/self/status; grep "^Cap" /proc/self/status | grep -vc 0000000000000000; true')" "$(printf '1\n0')" \
        "$mode: no_new_privs, and no capability"
    is "$(run nothing 'grep -c "^NoNewPrivs:.1" /proc/self/status; grep "^Cap" /proc/self/status | grep -v CapBnd | grep -vc 0000000000000000; true')" "$(printf '1\n0')" \
        "$mode: also with everything off"
    is "$(run nothing 'echo x >x; cat x; id -u')" "$(printf 'x\n%s' "$host_uid")" "$mode, own_uid: off, with everything else: runs, as berth's own user"
    is "$(run nice nice)" "$(($(nice) + 7))" "$mode, nice"
    is "$(run io-idle 'ionice -p $$')" idle "$mode, io_class: idle"
    is "$(run io-best 'ionice -p $$')" "best-effort: prio 6" "$mode, io_class and io_level"
    is "$(run cpu0 'sed -n "s/^Cpus_allowed_list:.//p" /proc/self/status')" 0 "$mode, cpu_list"
    like "$(run cpu-wrong true)" "cpu list 'zero'" "$mode, cpu_list: one that is wrong: named"
    like "$(run sig-wrong true)" "USR3.*TERM" "$mode, stop_signal: one that is wrong: named, with what is right"
    like "$(run usr1 'trap "echo got USR1; exit 0" USR1; trap "echo got TERM; exit 0" TERM; while :; do sleep 0.05; done' --timeout 400ms)" \
        "got USR1.*timeout" "$mode, stop_signal: USR1 comes first"
    like "$(run sh 'trap "echo got TERM; exit 0" TERM; while :; do sleep 0.05; done' --timeout 400ms)" "got TERM.*timeout" "$mode, stop_signal: TERM, unless said otherwise"
    is "$(jq -r .usage.wall_ms "$T/result" | grep -c .) $(enforced time)" "1 supervisor" "$mode: the time is limited by the supervisor"
}

check_environment() {
    local out
    out=$(ask submit -e env --wait --json --id env-1-"$mode_id" --env A=1 --env SHAPE=square </dev/null | jq -r .output_b64 | base64 -d | sort)
    is "$(cut -d= -f1 <<<"$out" | tr '\n' ' ')" \
        "A BERTH_ATTEMPT BERTH_TASK_ID COLOR CUDA_VISIBLE_DEVICES HOME LANG PATH SHAPE TMPDIR " "$mode, environment: these, and no other"
    like "$out" "^A=1.*BERTH_ATTEMPT=1.*BERTH_TASK_ID=env-1-$mode_id.*COLOR=blue.*CUDA_VISIBLE_DEVICES=.*HOME=.*/work.*PATH=/usr/local/bin:/usr/bin:/bin.*SHAPE=square.*TMPDIR=/tmp" \
        "$mode, environment: with these values"
    like "$(ask submit -e env --env LD_PRELOAD=x 2>&1 </dev/null)" "LD_PRELOAD" "$mode, environment: what may not be set is refused"
    like "$(ask submit -e env-few --env A=1 2>&1 </dev/null)" "'A" "$mode, env_allow: only what is named"
    like "$(ask submit -e env-few --wait --json --env OMP_NUM_THREADS=3 </dev/null | jq -r .output_b64 | base64 -d)" "OMP_NUM_THREADS=3" "$mode, env_allow: that is allowed"
    is "$(run no-private_tmp '[ "$TMPDIR" = "$(pwd)" ] && mktemp >/dev/null && echo same')" same \
        "$mode, environment: without a /tmp of its own TMPDIR is the work directory"
}

check_limits() {
    local memory='x=a; while [ ${#x} -lt 40000000 ]; do x=$x$x; done; echo ${#x}'
    if holds memory; then
        unlike "$(run sh "$memory" --memory 24M)" "^[0-9]{8}" "$mode, limit_memory: on: held"
    else
        skip_machine "nothing can hold memory here"
    fi
    like "$(run no-limit_memory "$memory" --memory 24M)" "^[0-9]{8}" "$mode, limit_memory: off: not held"
    is "$(enforced memory)" no "$mode, limit_memory: off: told in the result"
    local fork='n=0; while [ $n -lt 30 ]; do sleep 3 & n=$((n+1)); done 2>/dev/null; echo made $n; kill $(jobs -p) 2>/dev/null'
    if holds pids; then
        unlike "$(run sh "$fork" --pids 8)" "made 30" "$mode, limit_pids: on: held"
    else
        skip_machine "nothing can hold the number of processes here"
    fi
    like "$(run no-limit_pids "$fork" --pids 8)" "made 30" "$mode, limit_pids: off: not held"
    is "$(enforced pids)" no "$mode, limit_pids: off: told in the result"
    run no-limit_cpu true --cpus 0.5 >/dev/null
    is "$(enforced cpus)" no "$mode, limit_cpu: off: told in the result"
    local fill='head -c 8000000 /dev/zero >big 2>&1; stat -c %s big; grep -c "/work tmpfs\|/work .*tmpfs" /proc/self/mountinfo; true'
    if holds disk; then
        like "$(run sh "$fill" --disk 4M)" "^4[01][0-9]{5}.*[1-9]$" "$mode, limit_disk: on: held, by a tmpfs"
        is "$(jq -r .verdict "$T/result") $(enforced disk)" "succeeded tmpfs" "$mode, limit_disk: on: told in the result"
        is "$(run sh 'echo x >x; cat x; stat -c %U . >/dev/null && echo mine' --disk 4M)" "$(printf 'x\nmine')" "$mode, limit_disk: on: the work directory is usable"
    else
        skip_machine "nothing can hold the disk here" 3
    fi
    like "$(run no-limit_disk "$fill" --disk 4M)" "^8000000.*0$" "$mode, limit_disk: off: not held, and nothing is mounted"
    is "$(enforced disk)" no "$mode, limit_disk: off: told in the result"
}

check_gpus() {
    local list='ls /dev | grep nvidia | tr "\n" " "; echo "[$CUDA_VISIBLE_DEVICES]"'
    is "$(run sh "$list")" "[]" "$mode, gpus: none asked for: no device is there"
    is "$(run sh "$list" --gpus 1)" "nvidia-uvm nvidia0 nvidiactl [0]" "$mode, gpus: one: its device, and what belongs to all"
    is "$(run sh "$list; echo x >/dev/nvidia0 && echo usable" --gpus 2)" "$(printf 'nvidia-uvm nvidia0 nvidia1 nvidiactl [0,1]\nusable')" "$mode, gpus: both"
    is "$(run no-devices "$list" --gpus 1)" "nvidia-uvm nvidia0 nvidia1 nvidiactl [0]" "$mode, gpus: devices off: all nodes are there, the variable still says which"
    is "$(enforced gpus)" no "$mode, gpus: devices off: told in the result that nothing holds it"
}

check() { # MODE: all of it, of the daemon that runs
    mode=$1
    mode_id=${1%% *}
    wait_for '[ "$(ask runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'
    host_uid=$(status_of "$(role_pid host)" Uid | cut -f1)
    check_namespaces
    check_files
    check_others
    check_environment
    check_limits
}

config
ok 'start_berth' "berthd starts"
if [ "$(id -u)" -eq 0 ]; then
    check root
    both own_uid 'id -u' '^18790[0-9]{5}$|^1879[0-9]{6}$' "^$host_uid\$" "a uid of its own"
    is "$(run no-own_uid 'echo x >x; cat x; stat -c %u . x' | tr '\n' ' ')" "x $host_uid $host_uid " "root, own_uid: off: the work directory is its own"
    is "$(enforced uid)" no "root, own_uid: off: told in the result"
    like "$(run hurry nice)" "nice.*denied" "root, nice: below 0 needs a capability, and says what failed"
    wait_for '[ "$(ask runtimes --json | jq -r ".runtimes[1].healthy")" = true ]'
    is "$(run hurry-granted nice)" "$(($(nice) - 5))" "root, nice: below 0, with the capability granted"
    if [ -n "$dev" ]; then check_gpus; else skip_machine "no mount namespace with devices of our own can be made here" 5; fi
    stop_berth
    wait_for '[ -z "$(left_processes)" ]'
    rm -rf "$T/state" "$T/run"
    mkdir "$T/state" "$T/run"
    WRAP=
    dev=
    config
    ok 'start_berth_as_user' "berthd starts as a plain user"
else
    skip_machine "not root"
fi
check "plain user"
done_testing
