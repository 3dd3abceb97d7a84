#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Random faults for a minute to two hosts on one queue, and to the Redis between them. See README.md.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
# shellcheck disable=SC2154 # srcdir is set by lib.sh
. "$srcdir/tests/chaos/common.sh"
command -v valkey-server redis-server >/dev/null || skip_all "neither redis-server nor valkey-server is installed"

seed=${BERTH_CHAOS_SEED:-1}
run_chaos "random rounds over Redis from seed $seed" --redis --rounds 8 --seconds 40 --seed "$seed"
diag "$(tail -n 1 "$T/chaos.log")"
check_reports
done_testing
