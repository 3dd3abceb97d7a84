#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Plugins that crash, hang, exit, fork and break the process they are in: a runtime costs one attempt, a transport
# one restart of the host that no task notices. Others are served meanwhile, and the log says who it was.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
use_berth
umask 022
mkdir "$T/plugins"
mkdir -m 1777 "$T/marks"
mkdir -m 777 "$T/spool" # the host takes files away there
for kind in command run transport; do
    cp "$builddir/.libs/evil-$kind.so" "$T/plugins/" || skip_all "evil-$kind.so was not built: make check builds it"
done
sh_extra="bind_rw = [ \"$T/marks\" ];"
host_extra="max_losses = 1;"
retry_delay=10ms
path="plugin_path = [ \"$T/plugins\" ];"
log() { sed "1,${log_from:-0}d" "$T/berthd.log"; }
log_now() { log_from=$(wc -l <"$T/berthd.log"); }
said() { # EXTENDED-REGEX NAME: the log since log_now says so, or will
    wait_for "log | grep -qE $(printf %q "$1")" 30
    tap_line $? "$2" || diag "$(log | tail -n 20)"
}
what_is_left() {
    diag "$(left_processes | while read -r pid; do tr '\0' ' ' <"/proc/$pid/cmdline"; done)" "$(left_mounts)" "$(left_cgroups)"
}
runtime() { berth runtimes --json | jq -r ".runtimes[]|select(.name == \"$1\")|$2"; }
healthy() { [ "$(runtime "$1" .healthy)" = true ]; }

# ---- runtimes: all at once, each under a name of its own ----

callbacks_command="crash abort exit hang close-all sigmask sigchld fork fork-return fd memory stdout umask chdir thread alarm"
runtimes_extra='' executers_extra=''
add_runtime() { # KIND CALLBACK EVIL [KEYS]
    runtimes_extra+=", { plugin = \"evil-$1\"; name = \"$2-$3\"; callback = \"$2\"; evil = \"$3\"; ${4:-} }"
    executers_extra+=", { name = \"$2-$3\"; runtime = \"$2-$3\"; command = [ \"/bin/echo\", \"ran\" ]; image = \"image\"; }"
}
for evil in $callbacks_command; do add_runtime command command "$evil"; done
for callback in prepare probe collect; do
    for evil in crash exit close-all fork fork-return sigmask; do add_runtime command "$callback" "$evil"; done
done
for evil in crash exit close-all fork; do add_runtime command cleanup "$evil" "count = \"$T/marks/cleanup-$evil.count\";"; done
for evil in exit close-all fork sigmask; do add_runtime run run "$evil"; done
for evil in crash exit; do add_runtime command open "$evil"; done
add_runtime command start fork
base_config "$path" >"$BERTH_CONFIG"
ok 'start_berth' "berthd starts with all of them"
wait_for 'healthy process && healthy command-crash && healthy cleanup-fork'

evils=$(sed -n 's/.*name = "\([a-z]*-[a-z-]*\)"; runtime.*/\1/p' <<<"${executers_extra//, {/$'\n'}" | grep -v '^open\|^probe-\(crash\|exit\|close\)')
for evil in $evils; do
    berth submit -e "$evil" --id "$evil" </dev/null >/dev/null
done
result=$(berth submit -e sh --wait --json -- 'echo meanwhile' </dev/null)
is "$(jq -r .verdict <<<"$result")" succeeded "a task of another runtime is served meanwhile"

ends() { # NAME 'VERDICT BLAME' [MESSAGE]
    local got
    result=$(result_of "$1")
    got=$(jq -r '.verdict + " " + (.blame // "")' <<<"$result")
    like "$got" "^($2)\$" "$1: verdict and blame" || diag "$(jq -c '{error,evidence}' <<<"$result")"
    [ -z "${3:-}" ] || like "$(jq -r .error.message <<<"$result")" "$3" "$1: it says why"
}
fine="succeeded "
for evil in crash abort; do ends "command-$evil" "plugin_error runtime" "signal (11|6) .*'command' of plugin 'evil-command'"; done
ends command-exit "plugin_error runtime" "plugin 'evil-command' ended its supervisor with exit status 3 in 'command'"
ends command-hang "plugin_error runtime" "plugin 'evil-command' did not return from 'command' in time"
ends command-close-all ".* (node|runtime)"
for evil in sigmask sigchld fork fork-return fd memory stdout umask chdir thread alarm; do ends "command-$evil" "$fine"; done
for evil in crash exit close-all; do ends "prepare-$evil" "plugin_error runtime"; done
for callback in prepare probe collect cleanup; do
    for evil in fork fork-return sigmask; do
        case " $evils " in *"$callback-$evil"*) ends "$callback-$evil" "$fine" ;; esac
    done
done
for evil in crash exit close-all; do ends "collect-$evil" "$fine"; done
for evil in crash exit close-all; do ends "cleanup-$evil" "$fine"; done
ends start-fork "$fine"
ends run-exit "failed task"
for evil in close-all fork sigmask; do ends "run-$evil" "$fine|[a-z_]+ (node|runtime)"; done
is "$(jq -r .output_b64 <<<"$(result_of command-fork-return)" | base64 -d)" ran "a supervisor that a plugin doubled runs its payload once"
for evil in crash exit close-all; do
    is "$(runtime "probe-$evil" .healthy)" false "probe-$evil: not healthy"
done
is "$(runtime open-crash .connected)" false "open-crash: not there"
said "open-crash ended with signal 11 .Segmentation fault. in 'open' of plugin 'open-crash', starting it again in [0-9]+ ms" \
    "open-crash: the log names plugin and callback"
said "open-exit ended with status 3 in 'open' of plugin 'open-exit'" "open-exit: the same"
said "open-crash ended .*starting it again in 1000 ms" "open-crash: ever later, up to a second"
is "$(runtime process .healthy)" true "and the others have not suffered"
is "$(role_pids host | wc -l)" 1 "nor has the host"
ok 'stop_berth' "berthd stops"
wait_for nothing_left
tap_line $? "nothing is left of what they forked" || what_is_left

# ---- transports ----

runtimes_extra='' executers_extra=''
spool() { # NAME COUNT: tasks that come by the evil transport
    local i
    for ((i = 0; i < $2; i++)); do
        printf '{"id":"%s","executer":"sh","args":["echo x >>%s; echo done"]}' "$1-$i" "$T/marks/$1-$i" >"$T/spool/$1-$i.part"
        mv "$T/spool/$1-$i.part" "$T/spool/$1-$i.json"
    done
}
answered() { # NAME COUNT
    [ "$(find "$T/spool" -name "$1-*.result" | wc -l)" -eq "$2" ] && [ -z "$(find "$T/spool" -name "$1-*.json")" ]
}
start_evil() { # NAME CALLBACK EVIL TIMES: a daemon with that transport
    rm -f "$T"/spool/*
    log_now
    transports_extra=", { plugin = \"evil-transport\"; name = \"t-$1\"; callback = \"$2\"; evil = \"$3\"; times = $4; count = \"$T/marks/$1.count\"; spool = \"$T/spool\"; }"
    base_config "$path" >"$BERTH_CONFIG"
    start_berth
}
transport() { # CALLBACK EVIL HOW-IT-ENDS [TIMES]: HOW: regex of the log's words, or "" where the host is to live on
    local name=$1-$2 i bad=''
    rm -f "$T/marks/hold.go"
    start_evil "$name" "$1" "$2" "${4:-1}" || { fail "$name: berthd starts"; return; }
    # The host may go while it is being told; the id makes it safe to say it again.
    hold="echo x >>$T/marks/$name-hold; while [ ! -e $T/marks/hold.go ]; do sleep 0.05; done; echo held"
    wait_for 'submit_sh "$hold" --id "'"$name"'-hold"'
    spool "$name" 4
    wait_for "answered $name 4"
    tap_line $? "$name: its tasks are answered" || diag "$(ls "$T/spool"; log | tail -n 20)"
    [ -z "$3" ] || said "$3" "$name: the log says who it was"
    wait_for 'submit_sh "echo after" --id "'"$name"'-after"'
    is "$(jq -r .verdict <<<"$(result_of "$name-after")")" succeeded "$name: other tasks are served"
    touch "$T/marks/hold.go"
    is "$(jq -r '.verdict + " " + (.attempt|tostring)' <<<"$(result_of "$name-hold")")" "succeeded 1" "$name: one that ran has not noticed"
    for ((i = 0; i < 4; i++)); do
        [ "$(cat "$T/marks/$name-$i")" = x ] && [ "$(jq -r '.verdict' "$T/spool/$name-$i.result" | sort -u)" = succeeded ] || bad+=" $i"
    done
    is "$bad$(wc -l <"$T/marks/$name-hold")" 1 "$name: each ran once, and succeeded"
    stop_berth || fail "$name: berthd stops"
    wait_for nothing_left 20
    tap_line $? "$name: nothing is left" || what_is_left
}
crashed() { echo "host ended with signal $3.* in '$1' of plugin 't-$1-$2', starting it again"; }

transport recv crash "$(crashed recv crash 11)"
transport recv abort "$(crashed recv abort 6)" 4
said "host ended .*starting it again in [34]00 ms" "crash after crash the host waits longer"
transport recv exit "host ended with status 3 in 'recv' of plugin 't-recv-exit'"
transport recv close-all "host ended with status 1 after 'recv' of plugin 't-recv-close-all'"
transport recv fork ""
transport recv fork-return ""
transport recv sigmask ""
transport recv stdout ""
transport recv fd ""
transport recv memory ""
transport reply crash "$(crashed reply crash 11)"
transport settle crash "$(crashed settle crash 11)"
transport timer crash "$(crashed timer crash 11)"
transport recv hang-deaf "plugin 't-recv-hang-deaf' has not returned from 'recv' for 1[5-9] s: killing its process"

# It forks, and then it dies: its child must not hold what the next host needs.
start_evil fork-then recv fork 1
wait_for '[ -s "$T/marks/fork-then.count" ]'
old=$(role_pid host)
child=$(role_pids host | grep -v "^$old\$")
isnt "$child" "" "a child of the host lives"
kill -KILL "$old"
wait_for '[ "$(role_pids host | wc -l)" = 1 ] && berth status'
ok 'wait_for "! is_alive $child"' "it goes when the host ends"
said "killing process [0-9]+, which a plugin had left behind" "and the log says so"
stop_berth

# A transport that cannot even start is a matter for the operator, at once.
log_now
start_evil open-crash open crash 99 && fail "a transport that crashes in open keeps berthd from starting"
like "$(log)" "the host could not start: it ended with signal 11 .* in 'open' of plugin 't-open-crash'" "it is named"
log_now
transports_extra=""
cat >"$T/bad.c" <<'C'
#include <stdlib.h>
__attribute__((constructor)) static void at_load(void) { abort(); }
C
${CC:-cc} -fPIC -shared -o "$T/plugins/bad.so" "$T/bad.c"
runtimes_extra=', { plugin = "bad"; }'
base_config "$path" >"$BERTH_CONFIG"
start_berth && fail "a plugin that crashes while it is loaded keeps berthd from starting"
like "$(log)" "plugin '.*/plugins/bad.so' crashed or hung in 'load' when it was loaded .signal 6" "a plugin that crashes while it is loaded is named"
done_testing
