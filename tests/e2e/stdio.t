#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# More than one transport at once: stdio on FIFOs, as lines of JSON and frames of MessagePack, beside http.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/http.sh"
# shellcheck disable=SC2016,SC2154,SC2034
use_berth
mkdir -m 1777 "$T/marks"
sh_extra="bind_rw = [ \"$T/marks\" ];"
mkfifo -m 666 "$T/in" "$T/out" "$T/pack.in" "$T/pack.out"
chmod 666 "$T"/*in "$T"/*out
transports_extra=",
  { plugin = \"stdio\"; name = \"lines\"; in = \"$T/in\"; out = \"$T/out\"; max_bytes = \"64K\"; },
  { plugin = \"stdio\"; name = \"frames\"; in = \"$T/pack.in\"; out = \"$T/pack.out\"; format = \"msgpack\"; }"
ok 'base_config | start_berth -' "berthd starts with three transports"
wait_for 'curl -sf $url/readyz'

exec 5<>"$T/in"
listen() { # reads replies into a file, until deafen
    cat "$T/out" >>"$T/replies" &
    listener=$!
}
deafen() {
    kill "$listener"
    wait "$listener" 2>/dev/null
}
give() { # LINE...
    printf '%s\n' "$@" >&5
    given=$((given + $#))
}
given=0
: >"$T/replies"
exec 6<>"$T/out" # a reader that reads nothing, so that there is always one
listen
replies() { # JQ-FILTER: of all replies so far
    jq -r "$1" "$T/replies"
}
has_result() { replies 'select(.kind == "result" and .body.id == "'"$1"'") | .body.verdict' | grep -q .; }

# ---- lines ----

give "{\"executer\": \"sh\", \"id\": \"one\", \"args\": [\"while [ ! -e $T/marks/one ]; do sleep 0.02; done; echo out of one\"]}"
wait_for 'replies "select(.kind == \"state\").body.state" | grep -q running'
touch "$T/marks/one"
wait_for 'has_result one'
is "$(replies '[.kind, .message, .body.id] | map(tostring) | join(" ")')" \
    "accepted 1 one"$'\n'"state 1 one"$'\n'"result 1 one" "accepted, state, result: in order, each with its message"
is "$(replies 'select(.kind == "accepted").body.state')" queued "accepted: queued"
is "$(replies 'select(.kind == "result").body | .verdict + " " + (.output_b64 | @base64d)')" "succeeded out of one" "result: verdict and output"
like "$(replies 'select(.kind == "result").body | [.host, .executer, .usage.wall_ms] | map(tostring) | join(" ")')" "testnode sh [0-9]+" "result: whole"

give '{"executer": "cat", ' ' ' '' $'{"executer": "cat", "id": "crlf", "input": "x"}\r' '[]' '{"executer": "catt", "id": "catt"}' '{"executer": "cat", "inputt": ""}'
wait_for 'has_result crlf && has_result catt && [ "$(replies "select(.kind == \"result\").body.verdict" | grep -c rejected)" -ge 5 ]'
is "$(replies 'select(.body.verdict == "rejected") | .kind' | sort -u)" result "a malformed line: one reply, the refusal"
like "$(replies 'select(.body.verdict == "rejected").body.error.message' | paste -sd '|')" "catt.*'cat'.*inputt.*'?input" "and it says what is wrong"
is "$(replies 'select(.body.verdict == "rejected").body.blame' | sort -u)" caller "blame: the caller"
give "{\"executer\": \"cat\", \"input\": \"$(head -c 70000 /dev/zero | tr '\0' x)\"}" '{"executer": "cat", "id": "after"}'
wait_for 'has_result after'
like "$(replies 'select(.body.verdict == "rejected").body.error.message' | tail -n 1)" "." "a line that is too long: refused"
is "$(replies 'select(.body.id == "after" and .kind == "result").body.verdict')" succeeded "and the next one is understood"
is "$(replies '[.kind, .message] | map(tostring) | join(" ")' | grep '^result' | sort | uniq -d)" "" "no message has two results"

# ---- frames ----

frame() { # JSON: as a frame
    wire pack <<<"$1" >"$T/frame"
    "$python" -c 'import struct, sys; sys.stdout.buffer.write(struct.pack("<I", int(sys.argv[1])))' "$(stat -c %s "$T/frame")"
    cat "$T/frame"
}
unframe() { # one JSON a line, of the frames on standard input, COUNT of them
    "$python" -c '
import json, struct, sys
import msgpack
for _ in range(int(sys.argv[1])):
    size = struct.unpack("<I", sys.stdin.buffer.read(4))[0]
    reply = msgpack.unpackb(sys.stdin.buffer.read(size))
    print(json.dumps({"kind": reply["kind"], "message": reply["message"], "id": reply["body"]["id"],
                      "verdict": reply["body"].get("verdict"), "output": reply["body"].get("output", b"").hex()}))
' "$1"
}
exec 7<>"$T/pack.in" 8<>"$T/pack.out"
{
    frame '{"executer": "cat", "id": "packed", "input_b64": "AP8B"}'
    printf '\005\000\000\000hello'
} >&7
unframe 4 <&8 >"$T/frames"
is "$(jq -r 'select(.id == "packed") | [.kind, .message] | map(tostring) | join(" ")' "$T/frames" | sort | paste -sd ,)" \
    "accepted 1,result 1,state 1" "frames: accepted, state and result"
is "$(jq -r 'select(.kind == "result" and .id == "packed") | .verdict + " " + .output' "$T/frames")" "succeeded 00ff01" "frames: output is binary"
is "$(jq -r 'select(.message == 2) | .kind + " " + .verdict' "$T/frames")" "result rejected" "frames: what is no task is refused"

# ---- both at once ----

for i in $(seq 12); do
    curl -s -m 60 "${json[@]}" --data-binary "{\"executer\": \"cat\", \"id\": \"http-$i\", \"input\": \"http $i\"}" "$url/v1/tasks?wait=50" >"$T/http.$i" &
    give "{\"executer\": \"cat\", \"id\": \"line-$i\", \"input\": \"line $i\"}"
done
for i in $(seq 12); do wait_for "has_result line-$i && jq -e .verdict '$T/http.$i'"; done
is "$(replies 'select(.kind == "result" and (.body.id | startswith("line-"))).body | .verdict + " " + .id + " " + (.output_b64 | @base64d)' | sort)" \
    "$(for i in $(seq 12); do echo "succeeded line-$i line $i"; done | sort)" "twelve by stdio: each result came back by stdio, once"
is "$(jq -r '.verdict + " " + .id + " " + (.output_b64 | @base64d)' "$T"/http.* | sort)" \
    "$(for i in $(seq 12); do echo "succeeded http-$i http $i"; done | sort)" "twelve by HTTP at the same time: each came back by HTTP"
is "$(replies '.body.id' | grep -c '^http-')" 0 "and none came by the wrong way"

shared="{\"executer\": \"sh\", \"id\": \"shared\", \"args\": [\"echo run >>$T/marks/shared; while [ ! -e $T/marks/shared.go ]; do sleep 0.02; done; echo both\"]}"
give "$shared"
wait_for '[ -e "$T/marks/shared" ]'
curl -s -m 60 "${json[@]}" --data-binary "$shared" "$url/v1/tasks?wait=50" >"$T/shared" &
wait_for '[ "$(curl -s $url/v1/stats | jq .deduplicated)" = 1 ]'
touch "$T/marks/shared.go"
wait_for 'has_result shared && jq -e .verdict "$T/shared"'
is "$(jq -r '.output_b64 | @base64d' "$T/shared")$(replies 'select(.kind == "result" and .body.id == "shared").body.output_b64 | @base64d')" bothboth \
    "one id by two ways: both get the result"
is "$(wc -l <"$T/marks/shared")" 1 "of one run"

give '{"executer": "sh", "id": "gone", "args": ["exec sleep 600"]}'
wait_for '[ "$(task_state gone)" = running ]'
call GET /v1/tasks/gone
is "$code $(got .executer)" "200 sh" "a task of stdio is seen by HTTP"
call DELETE /v1/tasks/gone
wait_for 'has_result gone'
is "$(replies 'select(.kind == "result" and .body.id == "gone").body.verdict')" cancelled "cancelled by HTTP, told by stdio"
call GET /metrics
is "$(sed -n 's/^berth_transport_messages_total{transport="lines"} //p' "$out")" $((given - 1)) "messages are counted by transport, an empty line is none"
is "$(wire metrics "$out")" "" "the metrics are well-formed with three transports"

# ---- drain ----

berth drain >/dev/null
give '{"executer": "cat", "id": "drained"}'
call GET /readyz
is "$code" 503 "draining"
call GET /v1/tasks/drained
is "$code" 404 "draining: the line stays where it is"
berth drain --off >/dev/null
wait_for 'has_result drained'
pass "after that it is taken"

# ---- a slow reader, a crash ----

deafen
for i in 1 2 3 4 5; do give "{\"executer\": \"sh\", \"id\": \"slow-$i\", \"args\": [\"head -c 100000 /dev/zero\"]}"; done
for i in 1 2 3 4 5; do wait_for '[ "$(task_state slow-'$i')" = done ]'; done
is "$(for i in 1 2 3 4 5; do berth result --json "slow-$i" | jq -r .verdict; done | sort | uniq -c | tr -s ' ')" " 5 succeeded" "nobody reads the replies: the tasks end all the same"
listen
for i in 1 2 3 4 5; do wait_for "has_result slow-$i"; done
is "$(replies 'select(.kind == "result" and (.body.id | startswith("slow-"))).body | .id + " " + (.output_b64 | @base64d | length | tostring)' | sort | paste -sd ,)" \
    "slow-1 100000,slow-2 100000,slow-3 100000,slow-4 100000,slow-5 100000" "and the replies are there when somebody does"

give "{\"executer\": \"sh\", \"id\": \"crash\", \"args\": [\"echo run >>$T/marks/crash; while [ ! -e $T/marks/crash.go ]; do sleep 0.02; done\"]}"
wait_for '[ -e "$T/marks/crash" ]'
old=$(role_pid host)
kill -KILL "$old"
wait_for 'curl -sf $url/readyz && [ "$(role_pid host)" != "$old" ]'
touch "$T/marks/crash.go"
is "$(result_of crash | jq -r .verdict) $(wc -l <"$T/marks/crash")" "succeeded 1" "the host is killed: what was accepted goes on, and its result is kept"
give '{"executer": "cat", "id": "next"}'
wait_for 'has_result next'
is "$(replies 'select(.kind == "result" and .body.id == "next").body.verdict')" succeeded "and the next host takes lines again"
deafen
exec 5>&- 6>&- 7>&- 8>&-
done_testing
