# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What the tests of the zeromq transport share: clients in Python, of which a test has snippets.
# shellcheck disable=SC2154,SC2034 # variables of lib.sh; variables for the tests

python=
for one in python3 /usr/bin/python3; do
    if [ -z "$python" ] && "$one" -c 'import msgpack, zmq' 2>/dev/null; then python=$one; fi
done
[ -n "$python" ] || skip_all "python3-zmq or python3-msgpack is not installed"
M=$T/marks # a directory that payloads see, too
sh_extra="bind_rw = [ \"$M\" ];"
mkdir -m 1777 "$M" "$T/socks"
export M ENDPOINT=ipc://$T/socks/z.sock

peer() { # runs the snippet on standard input
    {
        echo "from zeromq_peer import *"
        echo "M = os.environ['M']"
        cat
    } >"$T/snippet.$BASHPID.py"
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$srcdir/tests/e2e timeout 300 "$python" "$T/snippet.$BASHPID.py" 2>&1
}

manual() { # N: the N-th indented display of berth-zeromq(7), as it is typed
    awk -v n="$1" '/^\.Bd -literal -offset/ {show = ++i == n; next} /^\.Ed/ {show = 0} show' \
        "$srcdir/man/berth-zeromq.7" | sed 's/\\e/\\/g'
}

zeromq_config() { # [KEYS OF THE TRANSPORT]: the base config with a zeromq transport
    local keys=${1:-}
    [[ $keys = *endpoint\ =* ]] || keys+=" endpoint = \"$ENDPOINT\";"
    transports_extra=", { plugin = \"zeromq\"; $keys }" base_config
}

zeromq_refuses() { # KEYS REGEX NAME: berthd does not start with these
    zeromq_config "$1" >"$T/refused.conf"
    BERTH_CONFIG=$T/refused.conf timeout 60 "$T/bin/berthd" >"$T/refused.log" 2>&1 </dev/null
    isnt "$?" 0 "$3: refused"
    like "$(cat "$T/refused.log")" "$2" "$3: the log says what to set"
}
