#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# The benchmark runs and comes to figures. How good they are is not asked here: this machine may be busy.
# shellcheck disable=SC2154 # T, srcdir and builddir are set by lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
find_tree
need python3 jq xargs parallel valgrind redis-server
[ "$(id -u)" -eq 0 ] || skip_all_machine "the benchmark needs root"

measures=cold,latency,startup,memory,queue,running,redis,redis-million
# valgrind cannot run what the address sanitizer has built.
[ -n "${SANITIZE_CFLAGS:-}" ] || measures=${measures/running/running,instructions}

bench() { TMPDIR=$T "$srcdir/tests/bench/run" --quick --build "$builddir" --output "$T/page.md" "$@"; }
ok 'bench --only "$measures"' "all of it can be measured"
# One figure at least for each; whatever could not be measured would be 0 or nan.
sections=$(grep -c '^## ' "$T/page.md")
is "$sections" "$(($(tr , '\n' <<<"$measures" | wc -l) + 1))" "a section for each measure, and one for bars that were missed"
is "$(grep -E '^\| .* \|' "$T/page.md" | grep -vE '^\|( |---)\|' | grep -ciE '\| *(nan|inf|-?0(\.0+)?) *\|')" 0 \
    "each figure is a number above 0" || diag "$(cat "$T/page.md")"
is "$(grep -cE '\| (met|.*: (met|MISSED)) \|$' "$T/page.md")" "$(grep -cE '[≥≤] [0-9.]+: ' "$T/page.md")" \
    "a bar is met or missed"
ok 'grep -q "^| berth, limits |" "$T/page.md" && grep -q "^| commit |" "$T/page.md"' "the page says what was measured, and of what"
ok '! bench --only nonsense' "an unknown measure is refused"
is "$(bench --only nonsense 2>&1 | tail -n 1)" \
    "run: error: no measure 'nonsense'; there are: cold, latency, startup, memory, queue, running, instructions, redis, redis-million" \
    "and the right ones are named"
is "$(find "$T" -mindepth 1 ! -name page.md ! -name ok.out)" "" "no file is left behind"
wait_for nothing_left 20
ok nothing_left "nor a process, a mount or a control group"
done_testing
