#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# What "make install" puts where, and what a plugin's author finds there.
# shellcheck disable=SC2154 # INST is set by lib.sh
. "${BERTH_SRCDIR:-.}/tests/lib.sh"
need pkg-config
find_tree
tree=$INST

for program in sbin/berthd bin/berth bin/berth-conform bin/berth-kmer libexec/berth/berth-fetch libexec/berth/berth-send; do
    ok '[ -x "$tree/$program" ]' "$program is installed"
done
for header in error plugin runtime task transport; do
    ok '[ -f "$tree/include/berth/$header.h" ]' "<berth/$header.h> is installed"
done
is "$(cd "$tree/include/berth" && echo ./*)" "./error.h ./plugin.h ./runtime.h ./task.h ./transport.h" \
    "and no other header"
is "$(find "$tree" -name '*.la' -o -name '*.a')" "" "neither .la nor .a files"
is "$(find "$tree" -perm /022 ! -type l)" "" "nothing that others may write"
is "$(find "$tree" -perm /6000)" "" "nothing setuid or setgid"
for plugin in null process stdio; do
    ok '[ -f "$tree/lib/berth/$plugin.so" ]' "plugin $plugin is installed"
done

# ---- berth.pc and berth.m4 ----

export PKG_CONFIG_PATH=$tree/lib/pkgconfig
pc() {
    pkg-config "$@" berth
}
is "$(pc --variable=plugindir)" "$tree/lib/berth" "berth.pc: plugindir"
is "$(pc --variable=abi)" "$(sed -n 's/^#define BERTH_ABI \([0-9]*\)u.*/\1/p' "$tree/include/berth/plugin.h")" \
    "berth.pc: the number of the ABI is the header's"
like "$(pc --cflags)" "-I$tree/include *$" "berth.pc: cflags"
is "$(pc --libs | tr -d ' ')" "" "berth.pc: a plugin links nothing of ours"

cat >"$T/acme.c" <<'C'
#include <berth/plugin.h>
#include <berth/runtime.h>
static int acme_command(struct berth_ctx *ctx, const struct berth_task *task, struct berth_command *cmd,
                        struct berth_error *err)
{
    (void)err;
    for (const char *const *arg = task->argv; *arg; arg++)
        ctx->host->command_arg(ctx, cmd, "%s", *arg);
    return 0;
}
static const struct berth_runtime acme_runtime = BERTH_RUNTIME(.command = acme_command);
BERTH_PLUGIN(.name = "acme", .version = "1", .summary = "a test", .runtime = &acme_runtime);
C
# shellcheck disable=SC2046 # flags are a list
ok '${CC:-cc} -std=c11 -pedantic -Wall -Wextra -Werror $(pc --cflags) -fPIC -shared -Wl,-z,defs \
    ${SANITIZE_CFLAGS:+-fsanitize=address,undefined} -o "$T/acme.so" "$T/acme.c"' \
    "a plugin builds out of the installed tree alone"

cp -R "$tree"/share/doc/berth/examples/plugin-hello "$T/hello"
ok 'make -s -C "$T/hello" CC="${CC:-cc}" && [ -f "$T/hello/hello.so" ]' "the installed example builds out of the installed tree"
if [ -z "${SANITIZE_CFLAGS:-}" ]; then # else a plain plugin would be loaded into a sanitized program
    ok '"$tree/bin/berth" plugin check "$T/hello/hello.so"' "and 'berth plugin check' accepts it"
fi

if command -v autoreconf >/dev/null && command -v libtoolize >/dev/null; then
    mkdir "$T/acme" && cp "$T/acme.c" "$T/acme/"
    cat >"$T/acme/configure.ac" <<'AC'
AC_INIT([acme], [1])
AM_INIT_AUTOMAKE([foreign])
AC_PROG_CC
LT_INIT([disable-static])
BERTH_DEVEL([0.1])
AC_CONFIG_FILES([Makefile])
AC_OUTPUT
AC
    sed -n '/In Makefile.am:/,/^dnl automake/p' "$tree/share/aclocal/berth.m4" | sed -n 's/^dnl   //p' \
        >"$T/acme/Makefile.am"
    ok 'cd "$T/acme" && ACLOCAL_PATH=$tree/share/aclocal autoreconf -i && ./configure -q && \
        make -s && [ -f .libs/acme.so ]' \
        "berth.m4 and the Makefile.am in its comment build a plugin"
else
    skip "autoconf, automake or libtool is not installed"
fi

# ---- the unit, the manuals ----

unit=$(find "$tree" -name berth.service)
if [ -n "$unit" ]; then
    unlike "$(cat "$unit")" '@[a-z]+@' "the unit has its paths"
    if command -v systemd-analyze >/dev/null; then
        # The programs are not where the unit will find them: any others do for the check.
        sed 's|^\(Exec[A-Za-z]*=\)/[^ ]*|\1/bin/true|' "$unit" >"$T/berth.service"
        # DelegateSubgroup is of version 254; an older one passes it over.
        is "$(systemd-analyze verify --man=no "$T/berth.service" 2>&1 | grep -F berth.service | grep -vF "'DelegateSubgroup'")" "" \
            "systemd finds nothing wrong with the unit"
    else
        skip_machine "systemd is not installed"
    fi
fi
for page in "$srcdir"/man/*.[1-9]; do
    [ -e "$page" ] || continue
    ok '[ -f "$tree/share/man/man${page##*.}/${page##*/}" ]' "${page##*/} is installed"
    if command -v man >/dev/null; then
        is "$(LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -E UTF-8 -l "$page" 2>&1 >/dev/null)" "" \
            "man has no complaint about ${page##*/}"
    else
        skip "man is not installed"
    fi
done

done_testing
