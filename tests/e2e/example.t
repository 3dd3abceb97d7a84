#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# The example plugin, as somebody else's: built outside the tree out of what is installed, loaded and run.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
need pkg-config make nm
use_berth

# Its scripts have to lie where a task sees them, which has a /tmp of its own.
place=
for dir in /run /var/lib "$HOME"; do
    place=$(mktemp -d "$dir/berth-test.XXXXXX" 2>/dev/null) && break
done
[ -n "$place" ] || skip_all_machine "no directory but /tmp can be written"
trap 'status=$?; rm -rf "$place"; (exit $status); cleanup_all' EXIT
chmod 755 "$place"

# ---- built ----

hello=$place/hello
if [ -f "$INST/lib/pkgconfig/berth.pc" ]; then
    export PKG_CONFIG_PATH=$INST/lib/pkgconfig
    cp -R "$INST/share/doc/berth/examples/plugin-hello" "$hello"
else # not an installed tree: the same, by hand
    mkdir -p "$T/prefix/include" "$T/prefix/lib/pkgconfig"
    cp -R "$srcdir/include/berth" "$T/prefix/include/"
    sed -e "s|@prefix@|$T/prefix|; s|@exec_prefix@|$T/prefix|; s|@libdir@|$T/prefix/lib|; s|@includedir@|$T/prefix/include|" \
        -e 's|@BERTH_ABI@|1|; s|@PACKAGE_VERSION@|0|' "$srcdir/berth.pc.in" >"$T/prefix/lib/pkgconfig/berth.pc"
    export PKG_CONFIG_PATH=$T/prefix/lib/pkgconfig
    cp -R "$srcdir/examples/plugin-hello" "$hello"
fi
chmod -R u+w,go-w "$hello"
ok '[ "$(wc -l <"$hello/hello.c")" -lt 100 ]' "the example has under 100 lines"
is "$(sed -n 's/^#include *//p' "$hello/hello.c" | grep berth)" "<berth/runtime.h>" "of ours it includes one header"
ok 'make -s -C "$hello" CC="${CC:-cc}" CFLAGS="-O2 -Wall -Wextra -Werror" && [ -f "$hello/hello.so" ]' "it builds out of the installed headers"
is "$(nm -D --defined-only "$hello/hello.so" | awk '{print $NF}' | grep -v '^_')" berth_plugin_entry "it exports one symbol"
ok 'make -s -C "$hello" check' "make check, as its README says"
ok 'make -s -C "$hello" install DESTDIR="$T/dest" && [ -f "$T/dest$(pkg-config --variable=plugindir berth)/hello.so" ]' \
    "make install puts it where berth looks"
like "$(berth plugin check "$hello/hello.so" 2>&1)" "hello" "berth plugin check"

# ---- loaded by the config that comes with it ----

example_config() { # KEYS OF THE RUNTIME [KEYS OF THE EXECUTER]
    {
        echo "host = { name = \"testnode\"; state_dir = \"$T/state\"; run_dir = \"$T/run\"; retry_delay = \"10ms\"; max_losses = 1; };"
        echo "plugin_path = [ \"$hello\" ];"
        sed -e "s|127.0.0.1:2591|127.0.0.1:$port|; s|/usr/local/share/hello|$hello|" \
            -e "s|interpreter = |${1:-} interpreter = |; s|name = \"greet\";|name = \"greet\"; ${2:-}|" "$hello/hello.conf"
    } >"$BERTH_CONFIG"
}
grant='capabilities = [ \"setuid\", \"setgid\", \"kill\", \"sys_admin\", \"chown\" ];'
runtime() { berth runtimes --json | jq -r ".runtimes[0]$1"; }
ready() { wait_for '[ "$(runtime .healthy)" = true ]'; }
greet() { berth submit -e greet --wait --json "$@"; }
get() { jq -r "$1" <<<"$result"; }
output() { get .output_b64 | base64 -d; }

example_config
like "$("$T/bin/berthd" --check "$BERTH_CONFIG" 2>&1)" "good" "its config is good"
like "$(berth plugin list --json | jq -c '.plugins[]|select(.name=="hello")|[.kind,.version]')" '"runtime","1.0"' "berth plugin list has it"
like "$(berth plugin show hello)" "interpreter.*/bin/sh.*flags.*sandbox" "berth plugin show: its options, with defaults and help"
ok 'start_berth' "berthd starts with it"
if [ "$(id -u)" -eq 0 ]; then
    wait_for '[ -n "$(runtime .detail)" ] && [ "$(runtime .connected)" = true ]'
    wait_for 'runtime .detail | grep -q capabilities'
    is "$(runtime .healthy)" false "a plugin from elsewhere is granted nothing by default"
    like "$(runtime .detail)" "hello.*(chown|setuid).*capabilities.*berth.conf:[0-9]+" "and says what it needs, and where to write it"
    id=$(berth submit -e greet -- waiting </dev/null)
    is "$(task_state "$id")" queued "its tasks wait"
    example_config "$grant"
    err=$(berth reload 2>&1)
    is "$?" 5 "a reload cannot hand out what the monitor has dropped: refused"
    like "$err" "hello.*chown.*restart" "with the way to do it"
    ok 'berth status' "and the daemon goes on"
    stop_berth
    ok 'start_berth && ready' "started with the capabilities granted it is usable"
    result=$(result_of "$id")
    is "$(get .verdict) $(output)" "succeeded hello, waiting" "and the task that waited runs"
else
    ready
fi
result=$(echo "good morning" | greet -- you)
is "$(get .verdict)" succeeded "a task succeeds" || diag "$result"
is "$(output)" "$(printf 'hello, you\ngood morning')" "with its arguments and its input"
is "$(get .runtime) $(get .executer)" "hello greet" "under its name"
result=$(greet -- '$(id); `id` "x" *' </dev/null)
is "$(output)" 'hello, $(id); `id` "x" *' "arguments are not interpreted"
like "$(berth explain greet)" "hello" "berth explain knows it"

# ---- the script is a task like any other ----

cat >"$hello/probe.sh" <<'S'
id -u
grep -E '^(NoNewPrivs|CapEff|Seccomp):' /proc/self/status | tr -d '\t ' | tr '\n' ' '
echo "$HOME" "${COLOR:-}"
echo private >/tmp/hello-test-file
touch /etc/hello-test 2>/dev/null || echo read-only
tail -n +3 /proc/net/dev | wc -l
S
with_image() { # FILE [KEYS]
    example_config "$([ "$(id -u)" -ne 0 ] || echo "$grant")" "${2:-}"
    sed -i "s|greet.sh|$1|" "$BERTH_CONFIG"
    berth reload && wait_for 'berth status' && ready
}
with_image probe.sh
result=$(greet --env COLOR=blue </dev/null)
like "$(output)" "CapEff:0000000000000000 NoNewPrivs:1 Seccomp:2.*/work blue.*read-only.*1" "it runs apart from the system" || diag "$result"
ok '[ ! -e /tmp/hello-test-file ]' "with a /tmp of its own"
[ "$(id -u)" -ne 0 ] || ok '[ "$(output | head -n 1)" -ge 1879048192 ]' "and a uid of its own"
result=$(greet --timeout 300ms </dev/null)
is "$(get .verdict)" succeeded "a timeout that is not reached"
echo 'exec sleep 600' >"$hello/sleep.sh"
with_image sleep.sh
result=$(greet --timeout 300ms </dev/null)
is "$(get '.verdict + " " + .blame')" "timeout task" "a timeout"
id=$(berth submit -e greet </dev/null)
wait_for '[ "$(task_state "$id")" = running ]'
berth cancel "$id" >/dev/null
result=$(result_of "$id")
is "$(get .verdict)" cancelled "it can be cancelled"
echo 'echo $UNSET_VARIABLE; echo reached' >"$hello/unset.sh"
with_image unset.sh
result=$(greet </dev/null)
like "$(get '.verdict + " " + (.exit_code|tostring) + .stderr_tail')" "failed [12].*UNSET_VARIABLE" "the option 'flags' reaches the interpreter"
with_image probe.sh 'sandbox = false;'
result=$(greet </dev/null)
like "$(output)" "Seccomp:0 " "the option 'sandbox' can be off" || diag "$result"
is "$(get .verdict)" succeeded "and then it runs as well"
rm -f /tmp/hello-test-file
with_image nowhere.sh
result=$(greet </dev/null)
is "$(get '.verdict + " " + .blame + " " + (.attempt|tostring)')" "image_error caller 1" "a script that is not there"
like "$(get .error.message)" "nowhere.sh" "is named"

# ---- what is wrong is said ----

example_config 'interpretr = \"x\";'
like "$("$T/bin/berthd" --check "$BERTH_CONFIG" 2>&1)" "berth.conf:[0-9]+.*interpretr.*interpreter" "an option that it does not have: the nearest is named"
example_config "$grant" 'flag = [ \"-e\" ];'
like "$("$T/bin/berthd" --check "$BERTH_CONFIG" 2>&1)" "berth.conf:[0-9]+.*'flag'.*flags" "the same for an executer"
example_config "$grant"
sed -i 's|"/bin/sh"|"/bin/no-such-shell"|' "$BERTH_CONFIG"
ok 'berth reload && wait_for "berth status"' "an interpreter that is not there"
wait_for 'runtime .detail | grep -q no-such-shell'
is "$(runtime .healthy)" false "makes the runtime not usable"
like "$(runtime .detail)" "no-such-shell'" "with the plugin's own words"
example_config "$grant"
chmod 666 "$hello/hello.so"
like "$("$T/bin/berthd" --check "$BERTH_CONFIG" 2>&1)" "hello.so.*writable|hello.so.*others" "a plugin that others may write is refused"
chmod 644 "$hello/hello.so"
chmod 777 "$hello"
like "$("$T/bin/berthd" --check "$BERTH_CONFIG" 2>&1)" "hello.*writable|hello.*others" "and one in a directory that others may write"
chmod 755 "$hello"
mv "$hello/hello.so" "$hello/other.so"
sed 's|plugin = "hello"|plugin = "other"|; s|runtime = "hello"|runtime = "other"|' "$BERTH_CONFIG" >"$T/other.conf"
like "$("$T/bin/berthd" --check "$T/other.conf" 2>&1)" "other.*hello|hello.*other" "a plugin under another name than its own is refused"
done_testing
