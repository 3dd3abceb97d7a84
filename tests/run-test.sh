#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Runs one test for the TAP driver, which reads until the last writer has gone: here a process that a test
# left behind does not hold up everything else. A test that takes too long is ended.
out=$(mktemp) || exit 99
trap 'rm -f "$out"' EXIT
timeout --kill-after=20 "${BERTH_TEST_LIMIT:-400}" "$@" >"$out"
status=$?
cat "$out"
[ "$status" -ne 124 ] || echo "Bail out! it took more than ${BERTH_TEST_LIMIT:-400} s"
exit "$status"
