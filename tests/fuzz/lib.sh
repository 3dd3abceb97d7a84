# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# shellcheck shell=bash
# What tests/fuzz/run and tests/fuzz/coverage share: a build of the targets with clang.

fuzz=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$fuzz/../.." && pwd)

die() {
    echo "$0: $*" >&2
    exit 2
}

all_targets() {
    find "$fuzz" -name 'fuzz-*.c' | sed 's|.*/fuzz-||; s|\.c$||' | sort
}

# DIRECTORY CFLAGS CONFIGURE-ARGUMENT...: an own build tree of the targets; ENGINE: how they are linked besides.
build_targets() {
    local dir=$1 cflags=$2
    shift 2
    command -v clang >/dev/null || die "clang is missing (Debian: clang, libclang-rt-14-dev, llvm)"
    mkdir -p "$dir"
    {
        [ -x "$top/configure" ] && [ "$top/configure" -nt "$top/configure.ac" ] || (cd "$top" && ./autogen.sh)
    } >"$dir/autogen.log" 2>&1 || die "autogen.sh failed: see $dir/autogen.log"
    [ -f "$dir/Makefile" ] ||
        (cd "$dir" && "$top/configure" -q CC="${FUZZ_CC:-clang}" CFLAGS="$cflags" "$@") >"$dir/configure.log" 2>&1 ||
        die "configure failed: see $dir/configure.log"
    make -s -C "$dir" -j "$(nproc)" FUZZ_ENGINE="${ENGINE:-}" fuzz-programs >"$dir/make.log" 2>&1 ||
        die "make failed: see $dir/make.log"
}
