#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Random faults for two minutes: no task is lost, none has two results, nothing is left. See README.md.
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
# shellcheck disable=SC2154 # srcdir is set by lib.sh
. "$srcdir/tests/chaos/common.sh"

seed=${BERTH_CHAOS_SEED:-1}
run_chaos "random rounds from seed $seed" --rounds 60 --seconds 120 --seed "$seed"
diag "$(tail -n 1 "$T/chaos.log")"
check_reports
done_testing
