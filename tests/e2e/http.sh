# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the tests of the http transport share: requests whose answers are kept and looked at.
# shellcheck disable=SC2154,SC2034 # variables of lib.sh and common.sh; variables for the tests

python=
for one in python3 /usr/bin/python3; do
    if [ -z "$python" ] && "$one" -c 'import msgpack' 2>/dev/null; then python=$one; fi
done
[ -n "$python" ] || skip_all "python3-msgpack is not installed"
need curl

wire() { "$python" "$srcdir/tests/e2e/wire.py" "$@"; }

mkdir "$T/answers"
call_args=() # of curl, for every call
json=(-H 'Content-Type: application/json')
packed=(-H 'Content-Type: application/msgpack')
wants_pack=(-H 'Accept: application/msgpack')

call() { # METHOD PATH [CURL-ARGUMENT...]: sets code, type, and out, the file of the body
    local method=$1 path=$2 how=(-X "$1")
    shift 2
    out=$(mktemp "$T/answers/XXXXXX")
    [ "$method" != HEAD ] || how=(--head)
    code=$(curl -sS -m 60 "${how[@]}" -o "$out" -D "$out.head" -w '%{http_code}' "${call_args[@]}" "$@" "$url$path" 2>"$out.err")
    type=$(header Content-Type)
    type=${type%%;*}
    printf '%s\t%s\t%s\t%s\t%s\n' "$method" "$path" "$code" "$type" "$out" >>"$T/seen"
}

header() { # NAME: of the last answer
    sed -n "s/^$1: *\(.*[^[:space:]]\)[[:space:]]*$/\1/Ip" "$out.head" | tail -n 1
}

got() { # JQ-FILTER: of the last answer
    if [ "$type" = application/msgpack ]; then wire unpack <"$out"; else cat "$out"; fi | jq -r "$1"
}

output() { # of the result that the last answer is
    got .output_b64 | base64 -d
}

submit() { # PATH TASK-AS-JSON [CURL-ARGUMENT...]
    local path=$1 task=$2
    shift 2
    call POST "$path" "${json[@]}" --data-binary "$task" "$@"
}

problem() { # STATUS NAME REGEX TEXT: the last answer is this problem, and says so
    is "$code $type $(got '.type + " " + (.status|tostring)')" \
        "$1 application/problem+json urn:berth:problem:$2 $1" "$4: $1, $2" || diag "$(head -c 500 "$out")"
    like "$(got .detail)" "$3" "$4: said so"
}

check_seen() { # all answers so far are as doc/openapi.json says
    is "$(wire openapi "$srcdir/doc/openapi.json" "$T/seen" | grep -v "${1:-^$}")" "" "${2:-the answers are as doc/openapi.json describes them}"
}

http_done() { # ID: waits for the task's end over HTTP
    wait_for 'curl -sf "${call_args[@]}" "$url/v1/tasks/'"$1"'/result"'
}
