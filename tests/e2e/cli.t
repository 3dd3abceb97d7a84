#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Every command of berth(1): for people, with --json, and its exit status.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
. "${BERTH_SRCDIR:-.}/tests/e2e/common.sh"
# shellcheck disable=SC2016,SC2154,SC2034
need python3
use_berth
mkdir -m 1777 "$T/marks"
host_extra='max_losses = 0;'
runtimes_extra=', { plugin = "null"; }'
sh_extra="bind_rw = [ \"$T/marks\" ];"
executers_extra=", { name = \"single\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; max_running = 1; },
  { name = \"missing\"; runtime = \"process\"; command = [ \"/nonexistent/program\" ]; },
  { name = \"small\"; runtime = \"process\"; command = [ \"/bin/sh\", \"-c\" ]; output_max = \"4K\"; }"

run() { # STATUS NAME COMMAND...: sets out and err; standard input is /dev/null
    local want=$1 name=$2 status
    shift 2
    "$@" >"$T/out" 2>"$T/err" </dev/null
    status=$?
    out=$(tr -d '\0' <"$T/out") err=$(cat "$T/err")
    is "$status" "$want" "$name: exit status $want" || diag "out: $out" "err: $err"
}
get() { jq -r "$1" <<<"$out"; }
is_json() { # NAME: standard output was one JSON value on one line
    is "$(jq -c . <<<"$out" | wc -l) $(wc -l <<<"$out")" "1 1" "$1: one line of JSON"
}
until_mark() { echo "while [ ! -e $T/marks/$1 ]; do sleep 0.02; done"; }
on_terminal() { # KEYS COMMAND...: runs it on a terminal of its own, types KEYS once it has printed, prints what it printed
    python3 - "$@" <<'PYTHON'
import os, pty, sys
keys, command = sys.argv[1], sys.argv[2:]
pid, fd = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
seen = b""
while True:
    try:
        data = os.read(fd, 65536)
    except OSError:
        break
    if not data:
        break
    seen += data
    if keys and seen.count(b"EXECUTER") >= 2:
        os.write(fd, keys.encode())
        keys = ""
sys.stdout.buffer.write(seen)
status = os.waitpid(pid, 0)[1]
sys.exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
PYTHON
}

# ---- without a daemon ----

run 3 "status without a daemon" berth status
like "$err" "does not answer at '$T/run/ctl.sock'.*--run-dir" "it is said where the daemon should be"
run 3 "submit without a daemon" berth submit -e cat
for command in list top drain reload stop executers runtimes; do run 3 "$command without a daemon" berth "$command"; done
for command in logs cancel result explain events; do run 3 "$command without a daemon" berth "$command" x; done
run 0 "--help" berth --help
like "$out" "submit.*explain" "--help names the commands"
run 0 "--version" berth --version
like "$out" "^berth [0-9.]+" "--version tells it"
run 2 "no command" berth
run 2 "a command that is none" berth submitt
like "$err" "'submitt'.*'submit'" "a command that is none: the nearest is named"
run 2 "an option that is none" berth list --stat "done"
like "$err" "'--stat'.*'--state'" "an option that is none: the nearest is named"
run 2 "an option without its value" berth list --state
like "$err" "--state.*needs a value" "an option without its value: said so"
run 2 "a value too much" berth top --once=yes
like "$err" "--once.*takes no value" "a value too much: said so"
run 2 "a word too much" berth executers all
like "$err" "usage: berth executers" "a word too much: the usage"
for command in logs result explain; do run 2 "$command without its argument" berth "$command"; done
run 0 "help of a command" berth logs --help
like "$out" "usage: berth logs .*ID" "help of a command: its usage"

# ---- plugin: needs no daemon ----

run 0 "plugin list" berth plugin list
like "$out" "process +runtime" "plugin list: a table"
run 0 "plugin list --json" berth plugin list --json
is_json "plugin list --json"
is "$(get '[.plugins[] | select(.kind == "broken")] | length')" 0 "plugin list --json: none is broken"
is "$(get '[.plugins[] | .name + " " + .kind] | sort | join(", ")')" "http transport, null runtime, process runtime, redis transport, stdio transport, zeromq transport" "plugin list --json: all of them"
run 0 "plugin show" berth plugin show http
like "$out" "token_file" "plugin show: the options"
run 0 "plugin show --json" berth plugin show process --json
is_json "plugin show --json"
is "$(get '.name + " " + .kind')" "process runtime" "plugin show --json: what it is"
run 1 "plugin show of none" berth plugin show proces
like "$err" "proces" "plugin show of none: named"
http_so=$(berth plugin show http --json | jq -r .path)
run 0 "plugin check of a good file" berth plugin check "$http_so"
like "$out" "transport 'http', ABI 1, good" "plugin check: what it is"
run 0 "plugin check --json" berth plugin check --json "$http_so"
is "$(get '[.name, .kind, .good] | join(" ")')" "http transport true" "plugin check --json"
head -c 4000 "$http_so" >"$T/cut.so"
run 1 "plugin check of a file that is cut off" berth plugin check "$T/cut.so"
like "$err" "cut.so" "plugin check of a file that is cut off: named"
cp "$http_so" "$T/open.so"
chmod o+w "$T/open.so"
run 1 "plugin check of a file that others can write" berth plugin check "$T/open.so"
like "$err" "open.so.*writ" "plugin check of a file that others can write: why not"
run 1 "plugin check of no file" berth plugin check "$T/none.so"
like "$err" "none.so.*No such file" "plugin check of no file: said so"
run 2 "plugin without more" berth plugin
mkdir "$T/plugins"
cp "$T/cut.so" "$T/plugins/cut.so"
cp "$http_so" "$T/plugins/http.so"
echo "plugin_path = [ \"$T/plugins\" ];" >"$T/plugins.conf"
run 0 "plugin list of a config" berth plugin list --config "$T/plugins.conf" --json
is "$(get '[.plugins[] | select(.kind == "broken") | .name] | join(" ")')" cut "plugin list of a config: a broken one is among them"
like "$(get '.plugins[] | select(.name == "cut").summary')" "cut.so" "and why"

# ---- submit ----

ok 'base_config | start_berth -' "berthd starts"
wait_for 'berth runtimes --json | jq -e ".runtimes[0].healthy"'
run 0 "submit" berth submit -e sh -- 'echo out; echo err >&2'
like "$out" "^[0-9A-Z]{26}$" "submit: prints an id"
run 0 "submit --json" berth submit --executer sh --json -- true
is_json "submit --json"
is "$(get .state)" queued "submit --json: its state"
run 0 "submit --wait" berth submit -e sh -w -- 'echo out; echo err >&2'
is "$out" out "submit --wait: the output"
like "$err" "err.*succeeded in " "submit --wait: standard error, and how it ended"
run 0 "submit --wait --quiet" berth submit -e sh --wait --quiet -- 'echo out'
is "$out|$err" "out|" "submit --wait --quiet: no more than the output"
run 0 "submit --wait --json" berth submit -e sh --wait --json -- 'echo out'
is_json "submit --wait --json"
is "$(get '.verdict + " " + (.output_b64 | @base64d)')" "succeeded out" "submit --wait --json: the result"
is "$(echo 'from a pipe' | berth submit -e cat -wq 2>&1; berth submit -e cat --wait --quiet <<<'from a pipe')" \
    "berth: '-wq' is not an option"$'\n'"from a pipe" "letters stand alone; standard input is the input"
head -c 70000 /dev/urandom >"$T/bytes"
is "$(berth submit -e cat -w -q <"$T/bytes" | md5sum)" "$(md5sum <"$T/bytes")" "standard input from a file, byte for byte"
is "$(berth submit -e cat -w -q -i "$T/bytes" </dev/null | md5sum)" "$(md5sum <"$T/bytes")" "--input FILE"
is "$(echo here | berth submit -e cat -w -q --input=- 2>&1)" here "--input -"
run 1 "--input of a file that is none" berth submit -e cat -i "$T/none"
like "$err" "'$T/none'.*No such file" "--input of a file that is none: named"
run 0 "--env and --label" berth submit -e sh -w -q --env A=1 --env 'B=two words=x' --label who=me -- 'echo $A $B'
is "$out" "1 two words=x" "--env reaches the payload"
run 2 "--env without a value" berth submit -e sh --env A
like "$err" "'A' is not NAME=VALUE" "--env without a value: said so"
echo content >"$T/file"
run 0 "--put" berth submit -e sh -w -q --put "sub/name=$T/file" --put "two=$T/file" -- 'cat sub/name two'
is "$out" content$'\n'content "--put: the files are in the work directory"
run 2 "--put of a file that is none" berth submit -e sh --put "x=$T/none"
run 0 "limits" berth submit -e sh -w --json --memory 64M --cpus 0.5 --pids 33 --timeout 20s --retries 1 --priority 5 -- 'exit 0'
is "$(get '.limits.asked | [.memory, .cpus, .pids, .timeout_ms] | map(tostring) | join(" ")')" "67108864 0.5 33 20000" "limits are asked for"
for bad in '--cpus=many' '--pids=x' '--timeout=soon' '--retries=1.5'; do
    run 2 "submit $bad" berth submit -e sh "$bad" -- true
    like "$err" "${bad%=*}.*'${bad#*=}'" "submit $bad: said so"
done
run 5 "--memory that is none" berth submit -e sh --memory lots -- true
like "$err" "resources.memory.*lots" "--memory that is none: said so"
run 5 "--require of what is not" berth submit -e sh --require disk2 -- true
run 0 "ad-hoc" berth submit --runtime process -w -q -- /bin/echo ad hoc
is "$out" "ad hoc" "--runtime: a command of one's own"
run 5 "ad-hoc where it is not allowed" berth submit --runtime null -w -- /bin/echo
run 2 "neither executer nor runtime" berth submit -w -- x
like "$err" "--executer.*--runtime.*--file" "neither executer nor runtime: said so"
run 2 "words before --" berth submit -e sh echo
like "$err" "'echo'.*'--'" "words before --: said so"
run 4 "an executer that is none" berth submit -e shh -- true
like "$err" "'shh'.*'sh'" "an executer that is none: the nearest is named"

jq -n '{executer: "sh", args: ["echo $A $B; cat given more"], env: {A: "file"}, files: {in: [{path: "given", data: "one\n"}]}, labels: {x: "y"}}' >"$T/task.json"
run 0 "--file" berth submit --file "$T/task.json" --env B=line --put "more=$T/file" -w -q
is "$out" "file line"$'\n'"one"$'\n'"content" "--file: options add to the file"
run 0 "--file with more" berth submit --file "$T/task.json" --env A=line -w -q -- 'echo $A'
is "$out" "line" "--file: and take the place of what it says"
echo '{"executer": ' >"$T/bad.json"
run 1 "--file that is no JSON" berth submit --file "$T/bad.json"
like "$err" "bad.json" "--file that is no JSON: named"
run 1 "--file that is none" berth submit --file "$T/none"

run 0 "--id" berth submit -e sh --id mine -- "echo run >>$T/marks/mine"
is "$out" mine "--id: the id"
result_of mine >/dev/null
run 0 "--id again" berth submit -e sh --id mine -w --json -- "echo run >>$T/marks/mine"
is "$(get '.id + " " + .verdict') $(wc -l <"$T/marks/mine")" "mine succeeded 1" "--id again: one run, and its result once more"
run 5 "--id with other content" berth submit -e sh --id mine -- true
like "$err" "'mine' was used for a different task" "--id with other content: said so"
run 5 "--id that is none" berth submit -e sh --id 'a b' -- true

# ---- what a task came to ----

for one in '10 failed exit 3' '11 timeout sleep 600' '10 failed kill -9 $$'; do
    read -r status verdict text <<<"$one"
    run "$status" "submit --wait: $text" berth submit -e sh -w --timeout 400ms -- "$text"
    like "$err" "$verdict" "submit --wait: $text: told"
done
like "$err" "signal 9" "a signal is told"
run 15 "submit --wait: no such program" berth submit -e missing -w
like "$err" "/nonexistent/program" "no such program: named"
id=$(submit_sh 'echo shown; echo wrong >&2; exit 7')
result_of "$id" >/dev/null
run 10 "result" berth result "$id"
like "$out" "verdict: failed.*exit_code: 7.*output:.*  shown.*stderr_tail:.*  wrong" "result: for people"
run 10 "result --json" berth result --json "$id"
is_json "result --json"
is "$(get '[.verdict, .exit_code, .blame] | map(tostring) | join(" ")')" "failed 7 task" "result --json"
run 4 "result of none" berth result none
like "$err" "no task 'none'" "result of none: said so"
run 0 "status ID" berth status "$id"
like "$out" "id: $id.*state: done.*verdict: failed" "status ID: for people"
run 0 "status ID --json" berth status --json "$id"
is "$(get '[.id, .state, .executer] | join(" ")')" "$id done sh" "status ID --json"
run 4 "status of none" berth status none
run 0 "status" berth status
like "$out" "host: testnode.*running: 0" "status: of the daemon"
run 0 "status --json" berth status --json
is "$(get '[.host, .draining] | map(tostring) | join(" ")')" "testnode false" "status --json"
run 0 "status --run-dir" env -u BERTH_RUN_DIR -u BERTH_CONFIG berth status --json --run-dir "$T/run"
run 3 "status --run-dir of another" berth status --run-dir "$T"

# ---- logs ----

submit_sh "echo one; echo wrong >&2; $(until_mark logs); echo two" --id logs >/dev/null
berth logs -f logs >"$T/followed" </dev/null &
follower=$!
wait_for '[ "$(cat "$T/followed")" = one ]'
is "$(task_state logs)" running "logs -f: what was written is there while the task runs"
run 0 "logs" berth logs logs
is "$out" one "logs: what is there so far"
run 5 "result of a task that runs" berth result logs
like "$err" "not done yet" "result of a task that runs: said so"
touch "$T/marks/logs"
wait "$follower"
is "$? $(paste -sd ' ' "$T/followed")" "0 one two" "logs -f: the rest comes, and it ends with the task"
result_of logs >/dev/null
run 0 "logs -f of a task that is done" berth logs --follow logs
is "$out" one$'\n'two "logs -f of a task that is done: all of it"
run 0 "logs --stderr" berth logs --stderr logs
is "$out" wrong "logs --stderr"
run 0 "logs --json" berth logs --json logs
is "$(get '[.offset, (.data_b64 | @base64d)] | map(tostring) | join(" ")')" "0 one"$'\n'two "logs --json: pieces with their place"
run 4 "logs of none" berth logs none
id=$(berth submit -e small -- 'head -c 9990 /dev/zero; echo the end' </dev/null)
result_of "$id" >/dev/null
run 0 "logs of much" berth logs --json "$id"
is "$(jq -s 'map(.data_b64 | @base64d | length) | add' <<<"$out") $(jq -s '.[-1].offset + (.[-1].data_b64 | @base64d | length)' <<<"$out")" "4096 9998" \
    "logs of a task that wrote more than is kept: the end, and where it stood"

# ---- cancel, list, top ----

berth submit -e single --id busy -- 'exec sleep 600' >/dev/null </dev/null
wait_for '[ "$(task_state busy)" = running ]'
berth submit -e single --id behind --tenant red -- true >/dev/null </dev/null
run 0 "list" berth list
like "$out" "^ID +STATE.*behind +queued.*busy +running" "list: a table, newest first"
run 0 "list --state" berth list --state queued --json
is "$(get '[.tasks[].id] | join(" ")')" behind "list --state queued"
run 0 "list --tenant" berth list --tenant red --json
is "$(get '[.tasks[].id] | join(" ")')" behind "list --tenant"
run 0 "list --executer" berth list -e single --json
is "$(get '[.tasks[].id] | join(" ")')" "behind busy" "list --executer"
run 0 "list --limit" berth list --limit 1
like "$err" "more with --cursor [0-9]+" "list --limit: there is more"
run 0 "list --cursor" berth list -n 1 --cursor "${err##* }" --json
is "$(get '[.tasks[].id] | join(" ")')" busy "list --cursor: the next page"
run 5 "list --state of none" berth list --state runing
like "$err" "runing.*running" "list --state of none: the nearest is named"
run 2 "list --limit of none" berth list --limit 0
run 0 "top --once" berth top --once
like "$out" "testnode  waiting 1  running 1 .*busy +running" "top --once: figures and tasks"
unlike "$out" $'\033' "top --once: nothing for a terminal"
run 0 "top --json" berth top --json
is "$(get '[.waiting, .running, .tasks[0].id] | map(tostring) | join(" ")')" "1 1 busy" "top --json"
run 0 "top on a terminal" on_terminal q berth top
is "$(grep -c $'\033\\[H' "$T/out")" 2 "top on a terminal: it is drawn again, and q ends it"
like "$out" "busy" "top on a terminal: the tasks"
run 130 "top, Ctrl-C" on_terminal $'\003' berth top
run 0 "the terminal after top" on_terminal q sh -c 'a=$(stty -g); berth top; [ "$a" = "$(stty -g)" ]'
run 0 "the terminal after Ctrl-C" on_terminal $'\003' bash -c 'trap : INT; a=$(stty -g); berth top; [ "$a" = "$(stty -g)" ]'
run 0 "cancel" berth cancel behind busy
is "$out" "behind: asked to end"$'\n'"busy: asked to end" "cancel: more than one"
result_of busy >/dev/null
run 13 "result of a cancelled task" berth result busy
is "$(berth result --json behind | jq -r '[.verdict, .attempt] | map(tostring) | join(" ")')" "cancelled 0" "cancel of a task that waits: it never began"
run 1 "cancel of a task that is done" berth cancel busy
like "$err" "'busy' is done" "cancel of a task that is done: said so"
run 4 "cancel of none" berth cancel --json none
id=$(submit_sh 'exec sleep 600')
run 0 "cancel --json" berth cancel --json "$id"
is "$(get .id)" "$id" "cancel --json"
result_of "$id" >/dev/null

# ---- events ----

berth events -f >"$T/all.events" </dev/null &
everything=$!
berth events --json --follow >"$T/json.events" </dev/null &
everything+=" $!"
wait_for 'berth submit -e cat </dev/null && [ -s "$T/all.events" ] && [ -s "$T/json.events" ]'
submit_sh "$(until_mark events); exit 4" --id events >/dev/null
berth events events >"$T/one.events" </dev/null &
one=$!
wait_for '[ "$(task_state events)" = running ]'
touch "$T/marks/events"
wait "$one"
is "$?" 0 "events ID: ends with the task"
like "$(tail -n 1 "$T/one.events")" "events +done +attempt 1 sh failed" "events ID: the last one is the end"
is "$(berth result --json events | jq -r .verdict)" failed "and when it is told, the result is there"
wait_for 'grep -q "events  *done" "$T/all.events" && grep -q "\"events\".*\"done\"" "$T/json.events"'
is "$(jq -r 'select(.id == "events").event' "$T/json.events" | paste -sd ' ')" "queued starting started done" "events -f --json: each state"
# shellcheck disable=SC2086 # a list
kill $everything && wait $everything 2>/dev/null
run 0 "events of a task that is done" berth events --json events
is "$(get '[.event, .verdict] | join(" ")')" "done failed" "events of a task that is done: its end"
run 4 "events of none" berth events none

# ---- executers, runtimes, explain ----

run 0 "executers" berth executers
like "$out" "^NAME +RUNTIME.*sh +process +yes" "executers: a table"
run 0 "executers --json" berth executers --json
is "$(get '[.executers[].name] | join(" ")')" "sh cat single missing small" "executers --json"
run 0 "runtimes" berth runtimes
like "$out" "process +process +yes" "runtimes: a table"
run 0 "runtimes --json" berth runtimes --json
is "$(get '.runtimes[0] | [.name, .healthy] | map(tostring) | join(" ")')" "process true" "runtimes --json"
run 0 "explain" berth explain sh
like "$out" "LIMIT +ASKED +ENFORCED BY.*memory +512M" "explain: a table"
run 0 "explain --json" berth explain sh --json
is "$(get '.limits.memory.asked')" 536870912 "explain --json"
run 4 "explain of none" berth explain shh
like "$err" "'shh'.*'sh'" "explain of none: the nearest is named"
run 0 "on a terminal" on_terminal '' berth executers --json
is "$(tr -d '\r' <"$T/out" | jq -r '.executers[0].name') $([ "$(wc -l <"$T/out")" -gt 5 ] && echo indented)" "sh indented" "on a terminal JSON is indented"

# ---- drain, reload, stop ----

run 0 "drain" berth drain
is "$out" "draining: yes" "drain: said so"
run 5 "submit while draining" berth submit -e cat
like "$err" "draining" "submit while draining: said so"
run 0 "drain --off" berth drain --off --json
is "$(get .draining)" false "drain --off"
run 0 "submit again" berth submit -e cat -w -q
run 2 "drain with a bad deadline" berth drain --deadline soon
like "$err" "'soon' is no duration" "drain with a bad deadline: said so"
id=$(submit_sh "echo up >>$T/marks/drain; $(until_mark drained)")
waiting=$(submit_sh 'echo waited')
wait_for '[ -s "$T/marks/drain" ]'
run 0 "drain --deadline" berth drain --deadline 1ms
like "$out" "drain_deadline_ms" "drain --deadline: said so"
wait_for '[ "$(task_state $id)" = queued ]'
tap_line $? "what ran at the deadline waits here"
kill -KILL "$(role_pid host)"
wait_for 'berth status --json | jq -e .draining'
tap_line $? "a host that is started again goes on draining"
touch "$T/marks/drained"
is "$(task_state "$id")" queued "and starts nothing"
run 0 "drain --off after a deadline" berth drain --off
is "$(result_of "$id" | jq -r '.verdict + " " + (.attempt | tostring)')" "succeeded 2" "then it goes on, although one loss would be one too many (max_losses)"
is "$(result_of "$waiting" | jq -r .verdict)" succeeded "with all that waits"
cp "$BERTH_CONFIG" "$T/good.conf"
sed -i 's/name = "single"/name = "double"/' "$BERTH_CONFIG"
run 0 "reload" berth reload
is "$(berth executers --json | jq -r '[.executers[].name] | join(" ")')" "sh cat double missing small" "reload: when it comes back, the new config counts"
sed 's/max_running/max_runing/' "$T/good.conf" >"$BERTH_CONFIG"
run 5 "reload of a bad config" berth reload
like "$err" "berth.conf:[0-9]+.*max_runing.*max_running" "reload of a bad config: its fault"
run 0 "the old config" berth explain double
cp "$T/good.conf" "$BERTH_CONFIG"
run 0 "reload --json" berth reload --json
is "$(get .ok)" true "reload --json"
run 0 "the good config" berth explain single

# ---- completion ----

complete_berth() { # WORD...: what is offered for the last word
    bash -c '. "$1" && shift && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && _berth && echo "${COMPREPLY[*]}"' \
        - "$srcdir/conf/berth.bash-completion" "$@"
}
is "$(complete_berth berth sub)" submit "completion: a command"
is "$(complete_berth berth submit --exe)" --executer "completion: an option"
is "$(complete_berth berth submit --executer s)" "sh single small" "completion: an executer of the daemon"
is "$(complete_berth berth explain mi)" missing "completion: an executer as argument"
is "$(complete_berth berth submit --runtime p)" process "completion: a runtime"
is "$(complete_berth berth list --state r)" running "completion: a state"
is "$(complete_berth berth result min)" mine "completion: an id"
id=$(submit_sh 'exec sleep 600' --id cancel-me)
wait_for '[ "$(task_state cancel-me)" = running ]'
is "$(complete_berth berth cancel c)" cancel-me "completion: an id that can be cancelled"
is "$(complete_berth berth cancel min)" "" "completion: not one that is done"
is "$(complete_berth berth --run-dir "$T/none" explain s)" "" "completion: another daemon, that is not there"
berth cancel cancel-me >/dev/null
result_of cancel-me >/dev/null

run 0 "stop" berth stop
wait_for '! is_alive "$daemon_pid"'
is "$(wait "$daemon_pid"; echo $?)" 0 "stop: berthd ends well"
daemon_pid=
run 3 "status after stop" berth status
done_testing
