#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
#
# Installs berth where tests of the whole can use it as users do: with the prefix that is compiled in, in a
# place that the unprivileged roles can read. Prints nothing; writes that prefix to tests/inst.stamp.
# Usage, in the build directory: MAKE=make install-tree.sh SRCDIR PREFIX
#
# The place is tests/root of the build directory if everybody can get there, else a directory below
# $TMPDIR (see uninstall, which "make clean" calls). When berth was configured for that very place it
# is installed from this build; else a second build, beside it, is made with the same options.
set -eu

readable() { # every directory above can be entered by others
    dir=$1
    while [ "$dir" != / ]; do
        case $(stat -c %A "$dir") in
        d????????[xt]) ;;
        *) return 1 ;;
        esac
        dir=$(dirname "$dir")
    done
}

find_place() {
    if readable "$PWD"; then
        echo "$PWD/tests/root"
    else
        echo "${TMPDIR:-/tmp}/berth-check-$(id -u)-$(printf %s "$PWD" | cksum | cut -d' ' -f1)"
    fi
}

uninstall() {
    [ -f tests/inst.stamp ] || return 0
    rm -rf "$(cat tests/inst.stamp)" tests/tree tests/inst.stamp
}

# shellcheck disable=SC2120 # its arguments are made within
second_build() {
    mkdir -p tests/tree
    if [ ! -f tests/tree/Makefile ] || [ config.status -nt tests/tree/Makefile ]; then
        eval "set -- $(./config.status --config)"
        (cd tests/tree && "$srcdir/configure" -q "$@" --srcdir="$srcdir" --cache-file=/dev/null \
            --prefix="$place" --exec-prefix="$place" --bindir="$place/bin" --sbindir="$place/sbin" \
            --libexecdir="$place/libexec" --libdir="$place/lib" --includedir="$place/include" \
            --sysconfdir="$place/etc" --datarootdir="$place/share" \
            --with-systemdsystemunitdir="$place/lib/systemd/system")
    fi
    $MAKE -s -C tests/tree all
    $MAKE -s -C tests/tree install
}

if [ "$1" = --uninstall ]; then
    uninstall
    exit
fi
srcdir=$1
mkdir -p tests
place=$(find_place)
[ ! -e "$place" ] || [ -O "$place" ] || { echo "$place belongs to somebody else" >&2; exit 1; }
rm -rf "$place"
umask 022
if [ "$2" = "$place" ]; then
    $MAKE -s install
else
    second_build
fi
echo "$place" >tests/inst.stamp
