#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# The layers: who may include what.
# shellcheck disable=SC2154 # srcdir is set by lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
cd "$srcdir" || exit 99

layer() { # FOLDER: its height; nothing if it is not known
    case $1 in
    base | fetch) echo 0 ;;
    loop | codec) echo 1 ;;
    wire | config | priv) echo 2 ;;
    plan | plugin | store | sched) echo 3 ;;
    worker | host) echo 4 ;;
    monitor | cli | conform) echo 5 ;;
    esac
}

# ---- no file includes a header of a higher layer ----

too_high() { # prints "FILE: HEADER" for each
    local file dir header mine theirs
    grep -rHoE '^ *# *include *"[^"]+"' src --include='*.[ch]' |
        sed 's/: *# *include *"/ /; s/"$//' | while read -r file header; do
        dir=${file#src/}
        if [ "$dir" = "${dir##*/}" ]; then
            mine=6
        else
            mine=$(layer "${dir%%/*}")
        fi
        theirs=$(layer "${header%%/*}")
        [ -e "src/$header" ] && [ -n "$theirs" ] && [ -n "$mine" ] && [ "$theirs" -le "$mine" ] ||
            echo "$file: \"$header\""
    done
}
is "$(too_high)" "" "each file includes only \"folder/header.h\" of its own layer or below"

private_headers() { # *_int.h belongs to its own folder
    grep -rHoE '^ *# *include *"[^"]+_int\.h"' src --include='*.[ch]' |
        sed 's/: *# *include *"/ /; s/"$//' | while read -r file header; do
        [ "$(dirname "${file#src/}")" = "${header%/*}" ] || echo "$file: \"$header\""
    done
}
is "$(private_headers)" "" "a folder's *_int.h is included by that folder alone"

# ---- the core knows no plugin by name ----

names=$( (
    find plugins -mindepth 1 -maxdepth 1 -type d | sed 's|.*/[a-z]*-||'
    printf '%s\n' docker podman singularity apptainer microvm redis zeromq zmq
) | sort -u | paste -sd'|')
named() { # but for keys of maps and for JSON's null, which only look like names of plugins
    grep -rnE "\"($names)(\.so)?\"" src --include='*.c' |
        grep -vE "value_[a-z_]+\([^\"]*\"($names)\"|^src/codec/[a-z_]+\.c:[0-9]+:.*\"null\""
}
is "$(named)" "" "no plugin is named in src/"

# ---- each external library is named in one file ----

users() { # HEADER-REGEX: files that include it
    grep -rlE "^ *# *include *<$1>" src plugins --include='*.[ch]' | sort
}
one_user() { # HEADER-REGEX FILE-REGEX
    local files
    files=$(users "$1")
    is "$(wc -w <<<"$files")" 1 "<$1> is included by one file" || diag "$files"
    like "$files" "^$2\$" "and that is $2"
}
one_user 'libconfig\.h' 'src/config/config_file\.c'
one_user 'msgpack(/.*)?\.h' 'src/codec/msgpack\.c'
one_user 'jansson\.h' 'src/codec/json\.c'
one_user 'sqlite3\.h' 'src/store/[a-z_]*\.c'
one_user 'sys/capability\.h' 'src/priv/priv\.c'
one_user 'seccomp\.h' 'src/worker/seccomp\.c'
one_user 'dlfcn\.h' 'src/plugin/loader\.c'
one_user 'curl/.*' 'src/fetch/[a-z_-]*\.c'
one_user 'hiredis/.*' 'plugins/transport-redis/redis_resp\.c'
one_user 'openssl/.*' 'plugins/transport-redis/redis_tls\.c'
one_user 'zmq\.h' 'plugins/transport-zeromq/zeromq_wire\.c'
one_user 'microhttpd\.h' 'plugins/transport-http/[a-z_]*\.[ch]'

# ---- a plugin sees the public headers, libc, its own files and its own library ----

libc='(assert|ctype|dirent|endian|errno|fcntl|fnmatch|getopt|glob|grp|inttypes|limits|locale|math|netdb'
libc+='|poll|pthread|pwd|sched|signal|spawn|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib'
libc+='|string|strings|time|unistd|(arpa|asm|linux|net|netinet)/[a-z0-9_]+|sys/[a-z0-9_]+)\.h'
own_library() { # PLUGIN-FOLDER: regex of its library's headers
    case $1 in
    */transport-http) echo 'microhttpd\.h' ;;
    */transport-zeromq) echo 'zmq\.h' ;;
    */transport-redis) echo '(hiredis|openssl)/[a-z0-9_]+\.h' ;;
    *) echo 'none' ;;
    esac
}
for plugin in plugins/*/ examples/plugin-*/; do
    [ -d "$plugin" ] || continue
    plugin=${plugin%/}
    foreign=$(grep -rHoE '^ *# *include *<[^>]+>' "$plugin" --include='*.[ch]' |
        grep -vE "<(berth/[a-z]+\.h|uthash\.h|utlist\.h|$libc|$(own_library "$plugin"))>\$")
    quoted=$(grep -rhoE '^ *# *include *"[^"]+"' "$plugin" --include='*.[ch]' | sed 's/.*"\(.*\)"/\1/' |
        sort -u | while read -r header; do [ -e "$plugin/$header" ] || echo "$header"; done)
    is "$foreign$quoted" "" "$plugin includes public headers, libc, its own library and its own files"
done

# ---- the clients ----

is "$(grep -rlE '^ *# *include *<curl/' clients)" clients/c/client_http.c "of the C client one file includes libcurl"
is "$(grep -rhoE '^ *# *include *"[^"]+"' clients/c | sed 's/.*"\(.*\)"/\1/' | sort -u |
    grep -vE '^(base|codec)/|^redis_(bytes|resp|tls|url)\.h$' |
    while read -r header; do [ -e "clients/c/$header" ] || echo "$header"; done)" "" \
    "it uses of ours the lowest layers, and what reads Redis' replies and URLs"
is "$(grep -nE '# *include' clients/c/berth-client.h | grep -vE '<(berth/error|stddef|stdint)\.h>')" "" \
    "its header includes nothing else"

# ---- the public headers need nothing else: tests/abi/headers.t compiles them ----

is "$(grep -nE '# *include' include/berth/*.h | grep -vE '<(berth/[a-z]+|stdarg|stddef|stdint)\.h>')" "" \
    "the public headers include nothing but each other and the compiler's own"

done_testing
