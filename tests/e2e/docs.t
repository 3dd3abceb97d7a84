#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the documents say is there, and what is there is in the documents; their examples work.
# shellcheck disable=SC2016 # $T is for ok, which evaluates its text
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
need pkg-config python3
use_berth

missing() { # FILE PATTERN: those lines of standard input, put into the pattern for '%', that no line of FILE has
    local word
    while read -r word; do
        grep -qE -- "${2//%/$word}" "$1" || echo "$word"
    done | paste -sd ' '
}

literal() { # FILE N: the N-th literal display of a manual, as it is typed
    awk -v n="$2" '/^\.Bd -literal/ {i++; show = i == n; next} /^\.Ed/ {show = 0} show' "$1" |
        sed 's/\\e/\\/g; s/\\(dq/"/g; s/\\-/-/g'
}

# ---- the config ----

config_man=$srcdir/man/berth.conf.5
item='^\.It Cm ([a-z_]+ , )*%( |$)'

keys_in_source() {
    sed -n 's/.*KEY("\([a-z_]*\)", FIELD.*/\1/p' "$srcdir"/src/config/load_*.c | sort -u
}
keys_in_sample() { # also those behind '#'; without what belongs to a plugin, and names of variables
    grep -oE '(^|[{;#]) *[a-z_]+ = ' "$srcdir/conf/berth.conf" | tr -d '{;#= ' | grep -vxE "listen|url|queue|endpoint" | sort -u
}
top_level='host|plugin_path|transports|runtimes|executers|tenants|adhoc'

isnt "$(keys_in_sample)" "" "the sample config has keys"
is "$(keys_in_source | missing "$srcdir/conf/berth.conf" '(^|[{;#]) *% = ')" "" \
    "each key of the config is in the sample"
is "$(keys_in_source | grep -vxE "$top_level" | missing "$config_man" "$item|^\.It Cm .*(^| )%( |$)")" "" \
    "each key of the config is in berth.conf(5)"
is "$(keys_in_sample | grep -vxE "$top_level" | missing "$config_man" "$item|^\.It Cm .*(^| )%( |$)")" "" \
    "each key of the sample is in berth.conf(5)"
is "$(tr '|' '\n' <<<"$top_level" | missing "$config_man" '^\.(It )?Cm %( |$)')" "" \
    "each group of the config is in berth.conf(5)"
for file in berth.conf quickstart.conf; do
    ok "berthd --check '$srcdir/conf/$file'" "berthd --check finds $file good"
done
literal "$config_man" 1 >"$T/example.conf"
ok 'grep -q executers "$T/example.conf" && berthd --check "$T/example.conf"' "the example of berth.conf(5) is good"

# ---- the commands ----

berth --help | sed -n 's/^  \([a-z]*\) .*/\1/p' >"$T/commands"
is "$(wc -l <"$T/commands")" "$(grep -cE 'cmd_[a-z]+\},' "$srcdir/src/cli/berth.c")" \
    "berth --help names each command"
is "$(missing "$srcdir/man/berth.1" '^\.It Cm (.* , )?%( |$)' <"$T/commands")" "" \
    "each command is in berth(1)"
sed -n 's/.*{\.name = "\([a-z-]*\)".*/\1/p' "$srcdir"/src/cli/*.c | sort -u >"$T/options"
isnt "$(cat "$T/options")" "" "the commands have options"
is "$(missing "$srcdir/conf/berth.bash-completion" '--%( |$|\))' <"$T/options")" "" \
    "each option is in the completion"
# -f, -e, -w stand for the long ones there.
is "$(grep -vxE 'follow|executer|config' "$T/options" | missing "$srcdir/man/berth.1" 'Fl (. , )?-%( |$)')" "" \
    "each option is in berth(1)"

complete_berth() { # WORD...: what the completion offers for the last word
    bash -c '. "$1" && shift && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _berth &&
        echo "${COMPREPLY[*]}"' - "$srcdir/conf/berth.bash-completion" "$@"
}
is "$(complete_berth berth '' | tr ' ' '\n' | grep -v '^-' | sort)" "$(sort "$T/commands")" \
    "each command is in the completion"
is "$(complete_berth berth ex)" "executers explain" "a command is completed"
is "$(complete_berth berth submit --ti)" "--timeout" "an option is completed"
is "$(complete_berth berth plugin show proc)" "process" "the name of a plugin is completed"

# ---- the plugins ----

for plugin in process http redis zeromq; do
    [ -f "$INST/lib/berth/$plugin.so" ] || continue

    page=$srcdir/man/berth-$plugin.7
    berth plugin show "$plugin" --json >"$T/plugin.json"
    jq -r '(.options + .executer_options)[].name' "$T/plugin.json" >"$T/names"
    isnt "$(cat "$T/names")" "" "plugin $plugin has options"
    is "$(missing "$page" '^\.It .*(^| )%( |$)' <"$T/names")" "" "each of them is in berth-$plugin(7)"
done
literal "$srcdir/man/berth-process.7" 1 >"$T/process.conf"
ok 'grep -q executers "$T/process.conf" && berthd --check "$T/process.conf"' "the synopsis of berth-process(7) is good"
{
    echo 'runtimes = ( { plugin = "process"; } ); executers = ('
    literal "$srcdir/man/berth-process.7" 2
    echo ');'
} >"$T/process.conf"
ok 'grep -q devices "$T/process.conf" && berthd --check "$T/process.conf"' "the example of berth-process(7) is good"
literal "$srcdir/man/berth-plugin.3" 1 >"$T/tiny.c"
ok '"${CC:-cc}" -std=gnu11 -Wall -Wextra -Werror -fPIC -fvisibility=hidden -I"$INST/include" \
    -shared -Wl,-z,defs -o "$T/tiny.so" "$T/tiny.c" && chmod go-w "$T/tiny.so" &&
    berth plugin check "$T/tiny.so"' "the plugin of berth-plugin(3) is built and loaded"

# ---- the clients ----

literal "$srcdir/man/berth-client.3" 1 >"$T/hello.c"
# shellcheck disable=SC2046 # flags are a list
ok '"${CC:-cc}" -std=c11 -Wall -Wextra -Werror -o "$T/hello" "$T/hello.c" ${SANITIZE_CFLAGS:-} \
    $(PKG_CONFIG_PATH="$INST/lib/pkgconfig" pkg-config --cflags --libs berth-client)' "the example of berth-client(3) is built"
python3 -c 'import ast, re, sys
for text in re.findall(r"```python\n(.*?)```", open(sys.argv[1]).read(), re.S):
    compile(text, "README", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)' "$srcdir/clients/python/README.md"
is $? 0 "the examples of the Python README are Python"

# ---- HTTP ----

sed -n 's/^ *{"\([A-Z]*\)", "\(\/[^"]*\)", http_.*/\1 \2/p' "$srcdir/plugins/transport-http/http_route.c" |
    sort >"$T/routes"
jq -r '.paths | to_entries[] | .key as $path | .value | keys[] | select(. != "parameters") |
    ascii_upcase + " " + $path' "$srcdir/doc/openapi.json" | sort >"$T/described"
isnt "$(cat "$T/routes")" "" "there are routes"
is "$(diff "$T/routes" "$T/described")" "" "doc/openapi.json has the routes of the http transport, and no others"

# ---- links ----

for page in "$srcdir"/man/*.[1-8]; do
    grep -oE '^\.Xr berth[a-z.-]* [1-8]' "$page" | tr ' ' . | cut -d. -f3- | while read -r name; do
        [ -f "$srcdir/man/$name" ] || echo "$name"
    done >"$T/broken"
    is "$(cat "$T/broken")" "" "the pages that ${page##*/} points at are there"
done
for page in README.md doc/architecture.md doc/dependencies.md clients/python/README.md examples/plugin-hello/README.md; do
    grep -oE '\]\([^)#:]+\)' "$srcdir/$page" | tr -d '])(' | while read -r link; do
        [ -e "$srcdir/$(dirname "$page")/$link" ] || echo "$link"
    done >"$T/broken"
    is "$(cat "$T/broken")" "" "the links of $page lead somewhere"
done
grep -oE '\b(src|tests|include|plugins|clients|man|doc|conf|examples)/[a-zA-Z0-9_/.-]*[a-zA-Z0-9]' \
    "$srcdir/README.md" "$srcdir/doc/"*.md -h | sort -u | while read -r path; do
    [ -e "$srcdir/$path" ] || echo "$path"
done >"$T/broken"
is "$(grep -v '^doc/berth/' "$T/broken")" "" "the files that the documents name are there"
ok '[ "$(wc -l <"$srcdir/README.md")" -lt 120 ]' "the README is short"

done_testing
