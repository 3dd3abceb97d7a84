#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What a task of the chaos test runs: KIND ID [NUMBER]. It writes down what happened, in a file that
# no fault reaches: "start", "tick" and "end", each with the host and the number of the attempt.
kind=$1 id=$2 number=${3:-0}
host=${CHAOS_NODE##*/}
mark() { echo "$1 $host $BERTH_ATTEMPT $2" >>"$CHAOS_MARKS/$id"; }

finish() { # CODE
    echo "$id $BERTH_ATTEMPT"
    mark end "$1"
    exit "$1"
}

mark start
case $kind in
short) finish 0 ;;
long) sleep "$number" && finish 0 ;;
fail) finish "$number" ;;
slow) # longer than its timeout
    sleep "$number"
    finish 0
    ;;
fork) # leaves a process behind that would write for ever
    setsid sh -c 'while :; do echo "tick $1 $BERTH_ATTEMPT" >>"$CHAOS_MARKS/$0"; sleep 0.03; done' "$id" "$host" </dev/null >/dev/null 2>&1 &
    sleep "$number"
    finish 0
    ;;
files) # leaves files and directories behind
    mkdir -p a/b/c && echo x >a/b/c/d && ln -s / a/link && mkdir -m 0 a/shut && finish 0
    ;;
input) # reads all that it is given
    [ "$(wc -c)" -eq "$number" ] && finish 0
    ;;
signal) # ends itself
    echo "$id $BERTH_ATTEMPT"
    mark end "-$number"
    kill -"$number" $$
    ;;
esac
finish 99
