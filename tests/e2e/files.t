#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Files staged in and out: with the task, from and to directories and URLs that the operator allowed, and
# nowhere else.
# shellcheck disable=SC2016,SC2034,SC2154 # text to evaluate later; variables of lib.sh and common.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
need python3
use_berth

mkdir -p "$T/in/sub" "$T/out/sub" "$T/secret" "$T/web"
mkdir -m 1777 "$T/marks"
chmod 777 "$T/out" "$T/out/sub" "$T/web"
cat >"$T/web.py" <<'PY'
import http.server, os, sys
class Files(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/pub/moved"):
            self.send_response(302); self.send_header("Location", "/private/x"); self.end_headers(); return
        if self.path.startswith("/pub/broken"):
            self.send_error(503); return
        if self.path.startswith("/pub/cut"):
            self.send_response(200); self.send_header("Content-Length", "1000"); self.end_headers()
            self.wfile.write(b"x" * 10); self.wfile.flush(); self.connection.close(); return
        super().do_GET()
    def do_PUT(self):
        if self.path.startswith("/pub/deny"):
            self.send_error(403); return
        with open(self.translate_path(self.path), "wb") as f:
            f.write(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        self.send_response(201); self.send_header("Content-Length", "0"); self.end_headers()
os.chdir(sys.argv[1])
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
open(sys.argv[2], "w").write(str(s.server_port) + "\n")
s.serve_forever()
PY
mkdir -p "$T/web/pub" "$T/web/private"
python3 "$T/web.py" "$T/web" "$T/web.port" 2>"$T/web.log" &
web_pid=$!
wait_for '[ -s "$T/web.port" ]'
web=http://127.0.0.1:$(cat "$T/web.port")

sh_extra="bind_rw = [ \"$T/marks\" ];"
host_extra="files = { in_roots = [ \"$T/in\" ]; out_roots = [ \"$T/out\" ]; urls = [ \"$web/pub/\" ]; };"
base_config >"$BERTH_CONFIG"
ok 'start_berth' "berthd starts"
wait_for '[ "$(berth runtimes --json | jq -r ".runtimes[0].healthy")" = true ]'
get() { jq -r "$1" <<<"$result"; }
run() { # FILES-AS-JSON TEXT [MORE-AS-JSON]: the result
    printf '%s' "$1" | jq --arg t "$2" --argjson m "${3:-null}" '{executer:"sh",args:[$t],files:.} + ($m // {})' >"$T/task.json"
    berth submit --file "$T/task.json" --wait --json </dev/null 2>"$T/err"
}
ends() { # NAME "VERDICT BLAME" REGEX-OF-MESSAGE
    is "$(get '.verdict + " " + .blame')" "$2" "$1: verdict and blame" || diag "$(get .error) $(cat "$T/err")"
    [ -z "${3:-}" ] || like "$(get .error.message)" "$3" "$1: said so"
}
refused() { # NAME FILES REGEX: not even taken
    local status
    run "$2" true >/dev/null
    status=$?
    is "$status" 5 "$1: refused"
    like "$(cat "$T/err")" "$3" "$1: said so"
}
output() { get .output_b64 | base64 -d; }

# ---- in: with the task ----

head -c 200000 /dev/urandom >"$T/blob"
result=$(run "$(jq -n --rawfile d <(base64 -w0 "$T/blob") '{in:[{path:"a/b/c.bin",data_b64:$d},{path:"tool",data:"#!/bin/sh\necho ran\n",mode:493},{path:"empty",data:""}]}')" \
    'md5sum <a/b/c.bin; ./tool; wc -c <empty; stat -c "%a %u %n" a a/b a/b/c.bin tool empty; id -u; echo more >>empty && echo writable')
ends "inline" "succeeded "
like "$(output)" "$(md5sum <"$T/blob" | cut -d' ' -f1)" "inline: binary content, in a directory that did not exist"
like "$(output)" "ran" "inline: with its mode"
like "$(output)" "^.*644 [0-9]+ a/b/c.bin.*writable" "inline: the payload's own"
is "$(output | sed -n 's/^[0-9]* \([0-9]*\) .*/\1/p' | sort -u | wc -l) $(output | tail -n 2 | head -n 1)" \
    "1 $(output | sed -n 's/^[0-9]* \([0-9]*\) empty$/\1/p')" "inline: all of it belongs to the payload's uid"

# ---- in: local ----

echo genome >"$T/in/sub/g.fa"
echo secret >"$T/secret/key"
chmod 600 "$T/secret/key"
ln -s ../secret/key "$T/in/way-out"
ln -s ../secret "$T/in/way-out-dir"
ln -s sub/g.fa "$T/in/within"
ln -s /etc/hostname "$T/in/absolute"
mkfifo "$T/in/fifo"
result=$(run "{\"in\":[{\"path\":\"g.fa\",\"from\":\"$T/in/sub/g.fa\"},{\"path\":\"l.fa\",\"from\":\"$T/in/within\"}]}" 'cat g.fa l.fa; echo x >>g.fa')
ends "local" "succeeded "
is "$(output)" "$(printf 'genome\ngenome')" "local: read, also through a link that stays inside"
is "$(cat "$T/in/sub/g.fa")" genome "local: the payload has a copy"
refused "a local path outside" "{\"in\":[{\"path\":\"x\",\"from\":\"$T/secret/key\"}]}" "secret/key.*in_roots"
refused "a local path beside, with the same beginning" "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in-other\"}]}" "in_roots"
refused "a local path with .." "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in/../secret/key\"}]}" "'\.\.'"
refused "a relative path" '{"in":[{"path":"x","from":"in/sub/g.fa"}]}' "absolute"
refused "another scheme" '{"in":[{"path":"x","from":"file:///etc/passwd"}]}' "absolute path or an http"
refused "a path out of the work directory" '{"in":[{"path":"../x","data":"y"}]}' "path"
refused "an absolute path in the work directory" '{"in":[{"path":"/etc/x","data":"y"}]}' "relative"
refused "one path twice" '{"in":[{"path":"x","data":"y"},{"path":"x","data":"z"}]}' "twice"
refused "neither data nor from" '{"in":[{"path":"x"}]}' "exactly one"
for way in way-out way-out-dir/key absolute; do
    result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in/$way\"}]}" 'cat x')
    ends "a link out of the root ($way)" "rejected caller" "$way"
    is "$(output)" "" "a link out of the root ($way): nothing of it is seen"
done
result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in/nothing\"}]}" 'cat x')
ends "a missing file" "rejected caller" "in/nothing'.*[Nn]o such file"
is "$(get .attempt)" 1 "a missing file: not tried again"
result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in/sub\"}]}" 'cat x')
ends "a directory" "rejected caller" "not a file"
result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in/fifo\"}]}" 'cat x')
ends "a fifo" "rejected caller" "not a file"
result=$(run '{"in":[{"path":"a","data":"1"},{"path":"a/b","data":"2"}]}' 'ls')
ends "a file where a directory is needed" "rejected caller" "a/b"

# ---- in: URL ----

head -c 3000000 /dev/urandom >"$T/web/pub/big"
echo inner >"$T/web/private/x"
result=$(run "{\"in\":[{\"path\":\"big\",\"from\":\"$web/pub/big?token=abc\"}]}" 'md5sum <big')
ends "a URL" "succeeded "
is "$(output)" "$(md5sum <"$T/web/pub/big")" "a URL: its content"
refused "a URL outside" "{\"in\":[{\"path\":\"x\",\"from\":\"$web/private/x\"}]}" "files.urls"
refused "a URL with .." "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/../private/x\"}]}" "'\.\.'"
refused "a URL with an escaped .." "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/%2e%2e/private/x\"}]}" "'\.\.'"
refused "a URL with an escaped slash" "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/..%2fprivate/x\"}]}" "'\.\.'"
refused "another server" "{\"in\":[{\"path\":\"x\",\"from\":\"http://127.0.0.1:1/pub/x\"}]}" "files.urls"
refused "another server, by a user name" "{\"in\":[{\"path\":\"x\",\"from\":\"$web@127.0.0.1:1/pub/x\"}]}" "files.urls"
result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/nothing\"}]}" 'cat x')
ends "a URL that is not there" "rejected caller" "404"
result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/moved\"}]}" 'cat x')
ends "a URL that redirects out of what is allowed" "rejected caller" "redirect"
result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/broken\"}]}" 'cat x')
ends "a server in trouble" "runtime_error node" "503"
is "$(get .attempt)" 4 "a server in trouble: tried again, at no cost"
result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/cut\"}]}" 'cat x')
ends "a transfer that is cut" "runtime_error node"

# ---- in: too large ----

head -c 9000000 /dev/zero >"$T/in/large"
run "$(jq -n --rawfile d <(head -c 9000000 /dev/zero | tr '\0' x) '{in:[{path:"x",data:$d}]}')" true >/dev/null
isnt "$?" 0 "more than max_task in the task: refused"
like "$(cat "$T/err")" "large|max_task|bytes" "more than max_task in the task: said so"
if [ "$(berth explain sh --json | jq -r .limits.disk.enforced)" != no ]; then
    result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in/large\"}]}" 'wc -c <x' '{"resources":{"disk":"4M"}}')
    ends "a local file larger than the task's disk" "rejected caller" "x'"
    result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$web/pub/big\"}]}" 'wc -c <x' '{"resources":{"disk":"1M"}}')
    ends "a URL larger than the task's disk" "rejected caller" "larger than"
    result=$(run "{\"in\":[{\"path\":\"x\",\"from\":\"$T/in/large\"}]}" 'wc -c <x' '{"resources":{"disk":"16M"}}')
    ends "a file that fits" "succeeded "
else
    skip_machine "the disk cannot be limited here" 5
fi

# ---- out ----

result=$(run '{"out":[{"path":"r/one.txt"},{"path":"none.txt","optional":true},{"path":"*.dat"}]}' \
    'mkdir r; echo one >r/one.txt; echo A >a.dat; echo B >b.dat; echo C >c.bat; echo hidden >.h.dat')
ends "out" "succeeded "
is "$(get '[.files[].path]|sort|join(" ")')" "a.dat b.dat r/one.txt" "out: by name and by pattern; an optional one may be missing"
is "$(get '.files[]|select(.path=="r/one.txt").data_b64 // empty' | base64 -d)" one "out: inline, in the result"
is "$(get '.files[]|select(.path=="b.dat").size')" 2 "out: with its size"
result=$(run "{\"out\":[{\"path\":\"x\",\"to\":\"$T/out/sub/x.txt\"},{\"path\":\"*.dat\",\"to\":\"$T/out/\"},{\"path\":\"y\",\"to\":\"$web/pub/up\"}]}" \
    'echo to-disk >x; echo A >a.dat; echo B >b.dat; head -c 500000 /dev/zero >y')
ends "out, to places" "succeeded "
is "$(cat "$T/out/sub/x.txt") $(cat "$T/out/a.dat" "$T/out/b.dat" | tr -d '\n')" "to-disk AB" "out: to a directory of the operator's"
is "$(stat -c %s "$T/web/pub/up")" 500000 "out: to a URL"
is "$(find "$T/out" -name '.berth*' | wc -l)" 0 "out: no part of a file is left"
is "$(stat -c %a "$T/out/sub/x.txt")" 644 "out: readable"
result=$(run "{\"out\":[{\"path\":\"x\",\"to\":\"$T/out/sub/x.txt\"}]}" 'echo newer >x')
is "$(get .verdict) $(cat "$T/out/sub/x.txt")" "succeeded newer" "out: replaces what was there"
result=$(run '{"out":[{"path":"gone.txt"}]}' 'true')
ends "a file that was not made" "failed task" "gone.txt"
is "$(get .exit_code)" 0 "a file that was not made: the exit code is told all the same"
result=$(run '{"out":[{"path":"*.none"}]}' 'true')
ends "a pattern that matches nothing" "failed task" "none"
result=$(run '{"out":[{"path":"*.none","optional":true}]}' 'true')
ends "an optional pattern that matches nothing" "succeeded "
result=$(run '{"out":[{"path":"log.txt"},{"path":"gone.txt"}]}' 'echo why >log.txt; exit 4')
ends "a task that failed" "failed task" "exit status 4"
is "$(get '.files[0].data_b64 // empty' | base64 -d)" why "a task that failed: what there is comes back"
result=$(run '{"out":[{"path":"large"}]}' 'head -c 2000000 /dev/zero >large')
ends "more than fits into a result" "failed task" "large.*'to'"
refused "a target outside" "{\"out\":[{\"path\":\"x\",\"to\":\"$T/secret/x\"}]}" "out_roots"
refused "a target in a root for input" "{\"out\":[{\"path\":\"x\",\"to\":\"$T/in/x\"}]}" "out_roots"
refused "a target with .." "{\"out\":[{\"path\":\"x\",\"to\":\"$T/out/../secret/x\"}]}" "'\.\.'"
refused "a target URL outside" "{\"out\":[{\"path\":\"x\",\"to\":\"$web/private/y\"}]}" "files.urls"
ln -s ../secret "$T/out/way-out"
chmod 777 "$T/secret"
result=$(run "{\"out\":[{\"path\":\"x\",\"to\":\"$T/out/way-out/x\"}]}" 'echo x >x')
unlike "$(get .verdict)" "succeeded" "a target behind a link: refused"
ok '[ ! -e "$T/secret/x" ]' "a target behind a link: nothing was written there"
ln -s ../secret/planted "$T/out/planted"
result=$(run "{\"out\":[{\"path\":\"x\",\"to\":\"$T/out/planted\"}]}" 'echo x >x')
ok '[ ! -e "$T/secret/planted" ]' "a target that is a link: is replaced, not followed"
result=$(run "{\"out\":[{\"path\":\"x\",\"to\":\"$T/out/no/such/x\"}]}" 'echo x >x')
ends "a target in a directory that is not there" "rejected caller" "no/such"
result=$(run "{\"out\":[{\"path\":\"x\",\"to\":\"$web/pub/deny\"}]}" 'echo x >x')
ends "a server that does not want it" "rejected caller" "403"

result=$(run "{\"out\":[{\"path\":\"x\",\"to\":\"$T/out/no/such/x\",\"optional\":true}]}" 'echo x >x')
isnt "$(get .verdict)" succeeded "an optional file that was made, but cannot be delivered: is not passed over"

# What the payload makes is not trusted.
result=$(run '{"out":[{"path":"x"}]}' "ln -s $T/secret/key x")
ends "a link as output" "failed task" "x"
unlike "$(get '.files')" "data" "a link as output: not followed"
result=$(run '{"out":[{"path":"d/x"}]}' "ln -s $T/secret d; ln -s /etc e")
isnt "$(get .verdict)" succeeded "a linked directory as output: not followed"
result=$(run '{"out":[{"path":"*"}]}' 'echo good >good; ln -s /etc/passwd bad')
unlike "$(get '.files')" "passwd|root:" "a link among what a pattern matches: not followed"
result=$(run '{"out":[{"path":"x"}]}' 'mkfifo x')
ends "a fifo as output" "failed task" "x"
result=$(run '{"out":[{"path":"x"}]}' 'mkdir x')
ends "a directory as output" "failed task" "x"

# ---- what is left ----

result=$(run '{"in":[{"path":"a/b/c","data":"x"}]}' 'mkdir -p deep/er/still; echo x >deep/er/still/file; chmod 000 deep/er/still/file; chmod 500 deep/er/still; chmod 000 deep; ln -s / link; mkfifo p; touch .hidden ./-rf "a b"')
ends "odd things in the work directory" "succeeded "
ok 'wait_for "[ -z \"\$(left_attempts)\" ]" 10' "all that the payloads owned is removed"
is "$(find "$T/state/attempts" -type f -not -path '*/~*' | wc -l)" 0 "and no file is left"
ok '[ -f /etc/hostname ]' "and nothing that they linked to"
kill "$web_pid"
wait "$web_pid" 2>/dev/null
done_testing
