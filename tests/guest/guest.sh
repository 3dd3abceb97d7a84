# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
#
# For tests that run others in a QEMU guest, after tests/lib.sh: a machine with control groups of version 2 only.
#
#   run_in_guest <<TESTS
#   LAYOUT SECONDS COMMAND...      # see init.sh and layout.sh; a test of ours that speaks TAP, with its limit
#   TESTS
#   done_testing
#
# Each check of a test in the guest is one of the test that ran it.
# shellcheck disable=SC2154,SC2086 # srcdir, builddir, T and INST are set by lib.sh; CC may have options

guest_end=$((${BERTH_TEST_LIMIT:-400} - 30)) # a guest that hangs is ended before the test is
image=$builddir/tests/guest-image

in_guest() { # what is there at the same place, besides the tools
    find "$INST" \( -type f -o -type l \) -not -path '*/share/*'
    grep -oE '/[^ ]+' "$T/tests"
    find "$srcdir"/tests/{lib.sh,e2e/common.sh,guest} -type f
    echo "$builddir/tests/inst.stamp"
}

make_image() {
    in_guest >"$T/in-guest"
    mkdir -p "$image"
    # One at a time: they share the kernel.
    flock "$image" bash "$srcdir/tests/guest/image.sh" "$image" "$T/tests" "$T/in-guest" "$T/initrd" >"$T/image.log" 2>&1 &&
        ${CC:-cc} -O2 -o "$T/tsc-khz" "$srcdir/tests/guest/tsc-khz.c" >>"$T/image.log" 2>&1
}

boot() { # the console goes to $T/console
    local kernel_line
    kernel_line="console=ttyS0 quiet loglevel=1 panic=-1 reboot=t mitigations=off nokaslr no_timer_check audit=0
        noreplace-smp cryptomgr.notests random.trust_cpu=on rcupdate.rcu_expedited=1 init_on_alloc=0 nopku
        cgroup_no_v1=all tsc=reliable tsc_early_khz=$("$T/tsc-khz")
        CI=true BERTH_SRCDIR=$srcdir BERTH_BUILDDIR=$builddir"
    # In the foreground: what ends this test ends QEMU, too.
    timeout --foreground --kill-after=5 $((guest_end - SECONDS)) qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1024 \
        -M microvm,acpi=on,pit=on,pic=on,rtc=on,isa-serial=on,x-option-roms=off -bios qboot.rom \
        -nodefaults -no-user-config -display none -no-reboot \
        -kernel "$image/vmlinuz" -initrd "$T/initrd" -append "${kernel_line//$'\n'/ }" -serial "file:$T/console" \
        </dev/null >"$T/qemu.log" 2>&1
}

one_line() { # LINE: of the TAP of the test that is $running
    case $1 in
    "ok "* | "not ok "*)
        [[ $1 =~ ^((not )?ok)\ [0-9]+(.*)$ ]] || return
        tap_count=$((tap_count + 1))
        [ "${BASH_REMATCH[1]}" = ok ] || tap_failed=$((tap_failed + 1))
        case ${BASH_REMATCH[3]} in
        " # SKIP"*) echo "ok $tap_count${BASH_REMATCH[3]}" ;;
        *) echo "${BASH_REMATCH[1]} $tap_count - $running:${BASH_REMATCH[3]#" -"}" ;;
        esac
        checks=$((checks + 1))
        ;;
    1..*) planned=${1#1..} ;;
    ?*) diag "${1#\# }" ;;
    esac
}

report() { # the console as TAP
    local line running="" checks=0 planned=0 all=""
    while IFS= read -r line; do
        case $line in
        "## begin "*) running=${line#\#\# begin } checks=0 planned=none ;;
        "## end "*)
            is "$checks checks, ${line#\#\# end }" "$planned checks, 0 after ${line##* after }" "$running: ends well"
            running=""
            ;;
        "## all") all=yes ;;
        *) if [ -n "$running" ]; then one_line "$line"; else diag "$line"; fi ;;
        esac
    done < <(tr -d '\r' <"$T/console")
    [ -n "$all" ] && return
    fail "the guest comes to its end"
    diag "it was at: ${running:-nothing}"
    diag "$(cat "$T/qemu.log")"
}

run_in_guest() { # tests from stdin
    [ "$(uname -m)" = x86_64 ] || skip_all_machine "the guest is made of an x86-64 build"
    [ -z "${SANITIZE_CFLAGS:-}" ] || skip_all_machine "a sanitized build is too slow in an emulated machine"
    need qemu-system-x86_64 cpio busybox apt-get dpkg-deb
    find_tree
    cat >"$T/tests"
    touch "$T/console"
    if ! make_image; then
        skip "no image of a guest can be made: $(tail -n 1 "$T/image.log")"
        diag "$(tail -n 20 "$T/image.log")"
        return
    fi
    boot
    report
}
