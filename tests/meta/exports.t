#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Each plugin exports its entry and nothing else.
# shellcheck disable=SC2154 # INST is set by lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
need nm
find_tree

found=
for plugin in "$INST"/lib/berth/*.so; do
    [ -e "$plugin" ] || continue
    found=yes
    is "$(nm -D --defined-only "$plugin" | awk '$2 != "w" && $3 !~ /^__(asan|odr_asan|ubsan|gcov)/ {print $3}')" \
        berth_plugin_entry "${plugin##*/} exports one symbol"
done
is "$found" yes "there are plugins in the installed tree"

done_testing
