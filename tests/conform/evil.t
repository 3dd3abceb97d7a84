#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# berth-conform finds each fault: those of a file before it is loaded, and those that a callback can do to
# the process that it is called in. Whatever the plugin does, a whole TAP report comes of it.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
find_tree
conform=$INST/bin/berth-conform
mkdir "$T/plugins"
for kind in command run transport; do
    cp "$builddir/.libs/evil-$kind.so" "$T/plugins/" || skip_all "evil-$kind.so was not built: make check builds it"
done

whole_report() { # is it TAP with a plan that fits, and does the exit status say the same?
    local want
    want=$(grep -cE '^(not )?ok [0-9]+ - ' "$T/report")
    [ "$(tail -n 2 "$T/report" | grep -E '^1\.\.')" = "1..$want" ] &&
        [ "$status" = "$(grep -q '^not ok' "$T/report" && echo 1 || echo 0)" ]
}

good() { # NAME ARGUMENT...: passes
    local name=$1
    shift
    "$conform" "$@" >"$T/report" 2>"$T/errors" </dev/null
    status=$?
    whole_report && [ "$status" -eq 0 ] && [ ! -s "$T/errors" ]
    tap_line $? "$name passes" || diag "$(cat "$T/report" "$T/errors")"
}

bad() { # NAME 'REGEX OF THE CHECK' 'REGEX OF WHAT WAS SEEN' ARGUMENT...: fails, and says so
    local name=$1 check=$2 seen=$3
    shift 3
    "$conform" "$@" >"$T/report" 2>"$T/errors" </dev/null
    status=$?
    whole_report && [ "$status" -eq 1 ] && [ ! -s "$T/errors" ] &&
        grep -A 12 -E "^not ok [0-9]+ - .*$check" "$T/report" | grep -qE "^#.*$seen"
    tap_line $? "$name is found" || diag "$(cat "$T/report" "$T/errors")"
}

# ---- the command line ----

for args in "" "--limit" "--limit 0 x.so" "--messages x x.so" "--executer x x.so" "x.so word" "--nonsense x.so"; do
    # shellcheck disable=SC2086 # a list
    "$conform" $args >"$T/report" 2>"$T/errors"
    is "$?" 2 "usage: '$args'"
    ok '[ -s "$T/errors" ] && [ ! -s "$T/report" ]' "usage: '$args' is explained"
done
like "$("$conform" --version)" "^berth-conform [0-9]" "it says its version"
bad "a file that is not there" "the file" "No such file" "$T/plugins/none.so"
bad "an option that it has not" "options can be resolved" "unknown key 'evli', did you mean 'evil'" "$T/plugins/evil-run.so" evli=x

# ---- files ----

cp "$srcdir/examples/plugin-hello/hello.c" "$T/hello.c"
build() { # NAME OPTION...: a plugin out of the example, in the directory of plugins
    local name=$1
    shift
    # shellcheck disable=SC2086 # a command with options
    ${CC:-cc} -std=gnu11 -O1 -fPIC -fvisibility=hidden -I"$srcdir/include" -shared -o "$T/plugins/$name.so" "$@" \
        >"$T/build.log" 2>&1 || { fail "a plugin is built"; diag "$(cat "$T/build.log")"; }
}
hello() { # TEXT FOR sed: an example that was changed
    sed "$1" "$T/hello.c" >"$T/changed.c"
    build hello "$T/changed.c" "${@:2}"
}
hello ''
good "the example" "$T/plugins/hello.so"
good "the example, with a script" --image "$srcdir/examples/plugin-hello/greet.sh" --executer flags=-e,-u "$T/plugins/hello.so" -- you

whole="a whole shared object, and nobody else can write"
chmod 666 "$T/plugins/hello.so"
bad "a file that others can write" "$whole" "chmod go-w" "$T/plugins/hello.so"
chmod 644 "$T/plugins/hello.so"
chmod 777 "$T/plugins"
bad "a directory that others can write" "$whole" "its directory can be written" "$T/plugins/hello.so"
chmod 755 "$T/plugins"
head -c 3000 "$T/plugins/hello.so" >"$T/plugins/short.so"
bad "a file cut short" "$whole" "cut short" "$T/plugins/short.so"
echo text >"$T/plugins/text.so"
bad "a text" "$whole" "not a shared object" "$T/plugins/text.so"
mv "$T/plugins/hello.so" "$T/plugins/other.so"
bad "another name than the file's" "berthd loads it" "must be called 'hello.so'" "$T/plugins/other.so"

hello 's/^BERTH_PLUGIN(/static BERTH_PLUGIN(/' -Dberth_plugin_entry=other_entry
bad "a missing entry" "berthd loads it" "no symbol 'berth_plugin_entry'" "$T/plugins/hello.so"
hello '$ a extern int extra_symbol; __attribute__((visibility("default"))) int extra_symbol = 1;'
bad "another export" "exports its entry alone" "extra_symbol" "$T/plugins/hello.so"
hello '$ a extern int nowhere(void); __attribute__((visibility("default"))) int used(void) { return nowhere(); }'
bad "an undefined symbol" "berthd loads it" "undefined symbol: nowhere" "$T/plugins/hello.so"
hello '$ a extern void *seccomp_init(void); __attribute__((visibility("default"))) void *used(void) { return seccomp_init(); }'
bad "a library that is not named" "in a library that it names" "seccomp_init.*-z,defs" "$T/plugins/hello.so"
hello '' -Wl,-z,execstack
bad "an executable stack" "stack executable" "noexecstack" "$T/plugins/hello.so"
hello '' -Wl,-rpath,/tmp:relative
bad "a run path that others can write" "where nobody else can write" "'/tmp' can be written.*'relative' is no absolute" "$T/plugins/hello.so"
hello 's/"program that runs the scripts"/"Program that runs."/'
bad "help with a full stop" "without a full stop" "interpreter 'Program that runs.'" "$T/plugins/hello.so"
hello 's/\.version = "1.0"/.version = ""/'
bad "no version" "it has a version" "rule: berth/plugin.h" "$T/plugins/hello.so"
hello '' -DBERTH_ABI=9u -w
sed 's/^#define BERTH_ABI 1u.*/#define BERTH_ABI 9u/' "$srcdir/include/berth/plugin.h" >"$T/plugin.h"
mkdir -p "$T/next/berth" && cp "$srcdir"/include/berth/*.h "$T/next/berth/" && cp "$T/plugin.h" "$T/next/berth/plugin.h"
build hello "$T/hello.c" -I"$T/next" -iquote "$T/next" -include "$T/next/berth/plugin.h"
bad "another ABI" "berthd loads it" "ABI 9.*update berth" "$T/plugins/hello.so"
hello 's/\.name = "hello"/.size = 24, .name = "hello"/' -w
bad "a descriptor that is too small" "berthd loads it" "too small \(24 bytes\)" "$T/plugins/hello.so"
hello 's/BERTH_RUNTIME(.command/BERTH_RUNTIME(.size = 8, .command/' -w
bad "a table that is too small" "berthd loads it" "runtime table is too small \(8 bytes\)" "$T/plugins/hello.so"
hello 's/"sys_admin"/"sys_amdin"/'
bad "a capability that is none" "berthd loads it" "sys_amdin" "$T/plugins/hello.so"
hello '$ a __attribute__((constructor)) static void runs(void) { umask(0177); }' -include sys/stat.h
bad "a constructor" "nothing runs at load" "functions that run at load" "$T/plugins/hello.so"
bad "a constructor that sets the umask" "'load' leaves the process" "umask: was 022, is 177" "$T/plugins/hello.so"
hello '$ a __attribute__((constructor)) static void runs(void) { __builtin_trap(); }'
bad "a constructor that crashes" "'load' returns" "load crashed with signal" "$T/plugins/hello.so"
hello '$ a __attribute__((constructor)) static void runs(void) { for (;;) pause(); }'
bad "a constructor that hangs" "'load' returns" "did not return within 3 s" --limit 3 "$T/plugins/hello.so"

# ---- a runtime that forgets what it promised ----

hello 's/host->command_arg(ctx, cmd, "%s", task->image);/static const char *kept; host->command_arg(ctx, cmd, "%s", kept ? kept : (kept = strdup(task->image))); kept = *task->argv;/'
[ -n "${SANITIZE_CFLAGS:-}" ] || # which puts freed memory aside
    bad "a kept pointer" "keeps no pointer" "then: argv" --image /etc/passwd "$T/plugins/hello.so" -- one two
hello 's/cmd->isolate |= BERTH_ISOLATE_NET/cmd->isolate = 0x8000 | BERTH_ISOLATE_TMP; cmd->nice = 99; cmd->stop_signal = 0; ((struct berth_task *)(size_t)task)->attempt = 7/'
bad "unknown bits" "'command' keeps the rules" "unknown bits: isolate 0x8020" --image /etc/passwd "$T/plugins/hello.so"
bad "a task that was written to" "'command' keeps the rules" "read-only" --image /etc/passwd "$T/plugins/hello.so"
bad "a nice value that there is not" "'command' keeps the rules" "nice 99" --image /etc/passwd "$T/plugins/hello.so"
hello 's/return ctx->host->fail(ctx, err, ENOENT, "no script .*/return -ENOENT;/'
bad "a failure without a word" "'command' keeps the rules" "returned -2 \(ENOENT\) and wrote no error" "$T/plugins/hello.so"
hello "s/\"no script '%s'\", task->image/\"No such script.\"/"
bad "a failure in another style" "'command' keeps the rules" "'No such script.'" "$T/plugins/hello.so"

# ---- callbacks ----

evil() { # KIND CALLBACK EVIL CHECK SEEN [ARGUMENT...]
    local kind=$1 callback=$2 evil=$3 check=$4 seen=$5 limit=20
    shift 5
    if [ "$evil" = memory ] && [ -n "${SANITIZE_CFLAGS:-}" ]; then
        skip_machine "a sanitizer's allocator does not tell what is in use"
        return
    fi
    case $evil in hang*) limit=3 ;; esac # long enough for the good callbacks of a machine under load
    bad "$kind, $callback: $evil" "$check" "$seen" --limit $limit "$@" "$T/plugins/evil-$kind.so" "callback=$callback" "evil=$evil" \
        "spool=$T/spool"
}
everything() { # KIND CALLBACK: each evil
    local leaves="'$2' leaves the process as it found it" returns="'$2' returns"
    evil "$1" "$2" crash "$returns" "$2 crashed with signal 11"
    evil "$1" "$2" abort "$returns" "$2 crashed with signal 6"
    evil "$1" "$2" exit "$returns" "$2 ended the process with exit status 3"
    evil "$1" "$2" hang "$returns" "$2 did not return within 3 s"
    evil "$1" "$2" hang-deaf "$returns" "$2 did not return within 3 s"
    evil "$1" "$2" memory "takes no more memory each time" "bytes more each time"
    evil "$1" "$2" fork "$leaves" "children: a process was left"
    evil "$1" "$2" fork-return "$leaves" "children: a process was left"
    evil "$1" "$2" stdout "$leaves" "stdout: 18 bytes were written: 'a plugin was here"
    evil "$1" "$2" stderr "$leaves" "stderr: 18 bytes were written: 'a plugin was here"
    evil "$1" "$2" close-all "$leaves" "descriptor 0: was the host's, is closed"
    evil "$1" "$2" sigmask "$leaves" "signal mask: SIGHUP is blocked now"
    evil "$1" "$2" sigchld "$leaves" "signal disposition: SIGCHLD is ignored now"
    evil "$1" "$2" chdir "$leaves" "working directory: was .* is '/usr'"
    evil "$1" "$2" umask "$leaves" "umask: was 022, is 177"
    evil "$1" "$2" environ "$leaves" "environment: 'EVIL=yes' is new"
    evil "$1" "$2" alarm "$leaves" "timer: alarm"
    evil "$1" "$2" host "'$2' keeps the rules" "option: 'no_such_option' is not in its table"
}
some() { # KIND CALLBACK [ARGUMENT...]: those of which each stands for a family
    local leaves="'$2' leaves the process as it found it"
    evil "$1" "$2" crash "'$2' returns" "$2 crashed with signal 11" "${@:3}"
    evil "$1" "$2" fork "$leaves" "children: a process was left" "${@:3}"
    evil "$1" "$2" sigmask "$leaves" "signal mask: SIGHUP is blocked now" "${@:3}"
    evil "$1" "$2" close-all "$leaves" "descriptor 1: was the host's, is closed" "${@:3}"
}

mkdir "$T/spool"
good "a runtime in the simple form" --image img "$T/plugins/evil-command.so"
good "a runtime in the full form" --image img "$T/plugins/evil-run.so"
feed="for i in 1 2 3; do echo '{\"executer\":\"x\"}' >$T/spool/\$\$-\$i.part; mv $T/spool/\$\$-\$i.part $T/spool/\$\$-\$i.json; done"
good "a transport" --feed "$feed; sleep 0.02" "$T/plugins/evil-transport.so" "spool=$T/spool"
ok '[ "$(cat "$T"/spool/*.result | grep -c conform-1)" -ge 8 ]' "its tasks were answered"
rm -f "$T"/spool/*

everything command command
evil command command fd "'command' leaves" "'/dev/null'\) was left open"
evil command command thread "'command' leaves" "threads: there were 1, there are 2"
for callback in probe collect cleanup; do some command $callback; done
some command prepare --image img
evil command open memory "gives back the memory" "bytes more each time"
evil command open fd "'close' keeps the rules" "descriptors were open before 'open', [0-9]+ are after 'close'"
evil command open thread "'open' leaves" "threads: there were 1"
evil command start thread "'start' leaves" "threads: there were 1"
for callback in open start close; do some command $callback; done
for how in crash exit hang; do evil run run $how "'run' returns" "run (crashed|ended|did not return)"; done
some run signal

everything transport recv
evil transport recv fd "idle round takes no more descriptors" "more after"
evil transport recv sleep "'recv' keeps the rules" "ms on the event loop: a callback must not block"
for callback in open start close drain timer; do some transport $callback; done
evil transport open fd "'close' keeps the rules" "descriptors were open"
evil transport open thread "'open' leaves" "threads: there were 1"
evil transport start thread "'close' keeps the rules" "of its threads still run"
evil transport close memory "gives back the memory" "bytes more each time"
for callback in reply settle; do
    some transport $callback --feed "$feed; sleep 0.02"
    evil transport $callback memory "served message takes no more memory" "bytes more" --feed "$feed; sleep 0.02"
    evil transport $callback fd "served message takes no more descriptors" "more after" --feed "$feed; sleep 0.02"
done
rm -f "$T"/spool/*
bad "a transport that nothing comes from" "comes in through 'recv'" "0 messages came" --feed "sleep 0.1" \
    "$T/plugins/evil-transport.so" "spool=$T/spool"

# ---- what leaves a callback in C++ ----

if command -v "${CXX:-c++}" >/dev/null; then
    cat >"$T/thrower.cc" <<'CC'
#include <berth/runtime.h>
static int thrower_command(berth_ctx *, const berth_task *, berth_command *, berth_error *) { throw 7; }
static const berth_runtime table = {sizeof(berth_runtime), thrower_command, 0, 0, 0, 0, 0, 0};
static const berth_plugin plugin = {sizeof(berth_plugin), BERTH_ABI, "thrower", "1", "throws", 0, 0, 0, 0, 0, 0, &table, 0};
BERTH_EXTERN_C BERTH_EXPORT const berth_plugin *berth_plugin_entry(void) { return &plugin; }
CC
    if "${CXX:-c++}" -fPIC -fvisibility=hidden -I"$srcdir/include" -shared -o "$T/plugins/thrower.so" "$T/thrower.cc" >"$T/build.log" 2>&1; then
        bad "an exception" "'command' returns" "crashed with signal 6" "$T/plugins/thrower.so"
    else
        fail "a plugin in C++ is built"
        diag "$(cat "$T/build.log")"
    fi
else
    skip "no C++ compiler"
fi

is "$(find "${TMPDIR:-/tmp}" -maxdepth 1 -name 'berth-conform.*' -newer "$T/hello.c" 2>/dev/null)" "" "no directory of its own is left"
is "$(pgrep -f "$T/plugins" || true)" "" "no process is left"
done_testing
