#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Each public header stands alone, strictly, as C11 and as C++11, with each compiler that is there; and
# a plugin can be written with them in strict C11.
set -u
include=${BERTH_SRCDIR:-${srcdir:-.}}/include
headers=(error plugin runtime task transport)
count=0 failed=0
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT

result() { # STATUS NAME
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $count - $2"
    else
        failed=1
        echo "not ok $count - $2"
        sed 's/^/# /' "$work/log"
    fi
}

compile() { # NAME FILE COMPILER OPTIONS...
    local name=$1 file=$2
    shift 2
    if ! command -v "$1" >/dev/null; then
        count=$((count + 1))
        echo "ok $count - $name # SKIP no $1"
        return
    fi
    "$@" -Wall -Wextra -pedantic -Werror -I"$include" -fPIC -c -o "$work/out.o" "$file" >"$work/log" 2>&1
    result $? "$name"
}

for header in "${headers[@]}"; do
    echo "#include <berth/$header.h>" >"$work/$header.c"
    # Twice, for the include guard; and a declaration, since an empty unit is not ISO C.
    printf '#include <berth/%s.h>\nint is_not_empty;\n' "$header" >>"$work/$header.c"
    cp "$work/$header.c" "$work/$header.cc"
    for cc in gcc clang; do
        compile "$header.h as C11 with $cc" "$work/$header.c" $cc -std=c11 -Wstrict-prototypes
    done
    for cxx in g++ clang++; do
        compile "$header.h as C++11 with $cxx" "$work/$header.cc" $cxx -std=c++11
    done
done

cat >"$work/plugin.c" <<'C'
#include <berth/runtime.h>
static int run(struct berth_ctx *ctx, const struct berth_task *task, struct berth_error *err)
{
    return task->attempt ? 0 : ctx->host->fail(ctx, err, 5, "no attempt '%s'", task->id);
}
static const struct berth_runtime runtime = BERTH_RUNTIME(.run = run);
BERTH_PLUGIN(.name = "x", .version = "1", .summary = "x", .runtime = &runtime);
C
for cc in gcc clang; do
    compile "a plugin in C11 with $cc" "$work/plugin.c" $cc -std=c11
done

# What the header promises for C++ before designated initialisers.
cat >"$work/plugin.cc" <<'C'
#include <berth/transport.h>
extern "C" BERTH_EXPORT const struct berth_plugin *berth_plugin_entry(void);
const struct berth_plugin *berth_plugin_entry(void)
{
    static struct berth_plugin plugin;
    plugin.size = sizeof(plugin);
    plugin.abi = BERTH_ABI;
    plugin.name = "x";
    return &plugin;
}
C
for cxx in g++ clang++; do
    compile "a plugin in C++11 with $cxx" "$work/plugin.cc" $cxx -std=c++11
done

# The test itself must be able to fail.
echo 'int f(void) { return undeclared; }' >"$work/bad.c"
! gcc -c -o "$work/out.o" "$work/bad.c" >"$work/log" 2>&1
result $? "a broken unit is noticed"

echo "1..$count"
exit $failed
