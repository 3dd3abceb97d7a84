# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the end-to-end tests share: a config to start from, and ways to look at a running daemon.
# shellcheck disable=SC2154,SC2034 # T is set by lib.sh; variables for the tests

port=$(free_port)
url=http://127.0.0.1:$port

base_config() { # [EXTRA TEXT]: http and process, with a shell as executer
    cat <<CONFIG
host = { name = "testnode"; state_dir = "$T/state"; run_dir = "$T/run"; log_level = "info";
         retry_delay = "${retry_delay:-50ms}"; defaults = { kill_grace = "500ms"; resources = { cpus = 0.1; }; }; ${host_extra:-} };
transports = ( { plugin = "http"; listen = "127.0.0.1:$port"; ${http_extra:-} } ${transports_extra:-} );
runtimes = ( { plugin = "process"; } ${runtimes_extra:-} );
executers = (
  { name = "sh"; runtime = "process"; command = [ "/bin/sh", "-c" ]; ${sh_extra:-} },
  { name = "cat"; runtime = "process"; command = [ "/bin/cat" ]; }
  ${executers_extra:-}
);
adhoc = ( { runtime = "process"; } );
${1:-}
CONFIG
}

role_pid() { role_pids "$1" | head -n 1; }

status_of() { # PID FIELD: a field of /proc/PID/status
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status" 2>/dev/null
}

task_state() { berth status --json "$1" 2>/dev/null | jq -r .state; }

submit_sh() { # TEXT [OPTIONS]: prints the id of a task that runs TEXT in a shell
    local text=$1
    shift
    berth submit -e sh "$@" -- "$text" </dev/null
}

result_of() { # ID: waits for the task's end and prints its result as JSON
    wait_for '[ "$(task_state '"$1"')" = done ]' 60 || return
    berth result --json "$1"
}

left_attempts() { # directories of attempts; those that begin with ~ are empty ones for the next
    find "$T/state/attempts" -mindepth 1 -maxdepth 1 ! -name '~*'
}
