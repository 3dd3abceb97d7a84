#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
#
# Makes what QEMU boots for the tests in a guest: DIR/vmlinuz and INITRD. Needs apt, dpkg, cpio, busybox.
# Usage: image.sh DIR TESTS LIST INITRD. TESTS is the file that init.sh reads. LIST is a file of paths that the tests
# need besides the tools, one a line: they are at the same place in the guest.
#
# The kernel is Debian's for clouds: it has all that is needed built in, so there are no modules and no disk.
# Its package is unpacked in DIR, not installed, and kept there for the next time.
# BERTH_TEST_KERNEL=FILE uses another kernel.
set -euo pipefail
dir=$1 tests=$2 list=$3 initrd=$4
umask 022
here=$(cd "$(dirname "$0")" && pwd)
tools="bash coreutils curl dash findutils grep gzip hostname jq libc-bin mawk mount procps sed util-linux"
mkdir -p "$dir"

fetch_kernel() {
    local package sudo=()
    rm -rf "$dir/kernel"
    mkdir "$dir/kernel"
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    # What it depends on is the package of today's version.
    depends() {
        apt-cache depends linux-image-cloud-amd64 | awk '$1 == "Depends:" {print $2; exit}'
    }
    package=$(depends)
    (cd "$dir/kernel" && apt-get download -qq "$package") ||
        { "${sudo[@]}" apt-get update -qq && package=$(depends) && (cd "$dir/kernel" && apt-get download -qq "$package"); }
    dpkg-deb -x "$dir"/kernel/*.deb "$dir/kernel"
    mv "$dir"/kernel/boot/vmlinuz-* "$dir/vmlinuz"
    rm -rf "$dir/kernel"
}

programs() { # of the tools' packages, and which of their names are links
    local package
    for package in $tools; do
        dpkg-query -L "$package"
    done | grep -E '^(/usr)?/s?bin/.' | sort -u
    readlink -f "$(command -v awk)"
    echo /usr/bin/awk
    echo /etc/alternatives/awk
    command -v busybox
}

libraries() { # FILE...: what the dynamic linker would load for them
    { ldd "$@" 2>/dev/null || :; } | awk '$2 == "=>" && $3 ~ /^\// {print $3} $1 ~ /^\// && $2 ~ /^\(/ {print $1}' | sort -u
}

copy() { # paths, one a line, into the root; through merged directories to where they really are
    local path real
    while read -r path; do
        real=$(realpath "$(dirname "$path")")/$(basename "$path")
        [ -e "$real" ] || [ -L "$real" ] || continue
        mkdir -p "$root$(dirname "$real")"
        [ -e "$root$real" ] || cp -a "$real" "$root$real"
        # A link needs what it points to.
        [ ! -L "$real" ] || readlink -f "$real"
    done
}

make_root() {
    local more link
    rm -rf "$root"
    mkdir -p "$root"/{dev,etc,home,proc,root,run,sys,tmp,usr,var/tmp}
    for link in bin sbin lib lib32 lib64 libx32; do # as they are here: merged into /usr, or not
        [ ! -L "/$link" ] || { cp -a "/$link" "$root/$link" && mkdir -p "$root/usr/$link"; }
    done
    cp -a /etc/{passwd,group,nsswitch.conf,ld.so.cache,hosts} "$root/etc"
    echo guest >"$root/etc/hostname"
    { programs && cat "$list"; } >"$dir/paths"
    more=$(copy <"$dir/paths")
    while [ -n "$more" ]; do more=$(copy <<<"$more"); done
    # shellcheck disable=SC2046 # a list
    more=$(libraries $(find "$root" -type f \( -perm -u+x -o -name '*.so*' \)))
    while [ -n "$more" ]; do more=$(copy <<<"$more"); done
    cp "$here/init.sh" "$root/init"
    cp "$tests" "$root/tests"
    chmod 755 "$root/init"
}

[ -z "${BERTH_TEST_KERNEL:-}" ] || cp "$BERTH_TEST_KERNEL" "$dir/vmlinuz"
[ -s "$dir/vmlinuz" ] || fetch_kernel
root=$dir/root
make_root
# Everything in it belongs to root.
(cd "$root" && find . -print0 | cpio --null --create --format=newc --owner=+0:+0 --quiet) >"$initrd"
rm -rf "$root"
