#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What a machine can see of the house style.
# shellcheck disable=SC2154 # srcdir is set by lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
cd "$srcdir" || exit 99

max_function=60
max_file=500
folders=(include src plugins clients examples tests)

c_files() {
    find "${folders[@]}" -name '*.[ch]' | sort
}
our_files() { # everything that we wrote and that can hold a comment
    c_files
    find m4 conf man "${folders[@]}" -type f \( -name '*.t' -o -name '*.sh' -o -name '*.mk' -o -name 'berth*.m4' \) |
        sort -u
    ls configure.ac Makefile.am autogen.sh quickstart runtests .ci/run
}

long_files() {
    c_files | xargs wc -l | awk -v max=$max_file '$2 != "total" && $1 > max {print $2 ": " $1 " lines"}'
}
is "$(long_files)" "" "no file of C has more than $max_file lines"

ctags=$(command -v ctags-universal || command -v ctags)
if [ -n "$ctags" ] && "$ctags" --version | grep -q 'Universal Ctags'; then
    long_functions() {
        c_files | "$ctags" -L - -f - --languages=C,C++ --kinds-C=f --fields=+ne 2>/dev/null |
            awk -F '\t' -v max=$max_function '!/^!/ {
                for (i = 4; i <= NF; i++) {
                    if ($i ~ /^line:/) start = substr($i, 6)
                    if ($i ~ /^end:/) end = substr($i, 5)
                }
                if (end - start + 1 > max) print $2 ":" start ": " $1 " has " end - start + 1 " lines"
            }'
    }
    is "$(long_functions)" "" "no function has more than $max_function lines"
else
    skip "universal-ctags is not installed"
fi

no_licence() {
    our_files | while read -r file; do
        head -n 5 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' &&
            head -n 5 "$file" | grep -q 'SPDX-FileCopyrightText: The berth authors' || echo "$file"
    done
}
is "$(no_licence)" "" "each file has its two SPDX lines"

words='TO''DO|FIX''ME|XX''X|HA''CK'
is "$(our_files | xargs grep -nwE "$words")" "" "nothing is marked as unfinished"

is "$(c_files | xargs grep -nE '(^|[^:"])//' | grep -vE '"[^"]*//[^"]*"|^[^:]*:[0-9]+: *\*|/\*.*//')" "" \
    "comments are /* */"
is "$(c_files | xargs grep -nP '\t')" "" "no tabs in C"
is "$(our_files | xargs grep -nE ' +$')" "" "no blanks at the end of a line"

# A file that no list names would not be built, not be tested, and be missing in the release.
unlisted() {
    find src plugins clients tests examples -name '*.c' -o -path 'tests/*' -name '*.t' |
        sort | while read -r file; do
        case $file in
        tests/*/test-*.c) grep -qwF "${file%.c}" tests/local.mk || echo "$file" ;;
        *) cat ./*/local.mk tests/*/local.mk | grep -qF "$file" || echo "$file" ;;
        esac
    done
}
is "$(unlisted)" "" "each source and test is in a local.mk"

if command -v shellcheck >/dev/null; then
    ok 'our_files | grep -E "\.(t|sh)$|^(quickstart|runtests|.ci/run)$" | xargs shellcheck -x -S warning -s bash' \
        "shellcheck has nothing to say"
else
    skip "shellcheck is not installed"
fi

done_testing
