dnl SPDX-License-Identifier: Apache-2.0
dnl SPDX-FileCopyrightText: The berth authors
dnl Macros of berth's own configure.ac. For plugins outside the tree see berth.m4.

dnl BERTH_PLUGIN(NAME, DEFAULT, DESCRIPTION, [PKG-CONFIG MODULES])
dnl --enable-NAME=yes|no|auto; conditional PLUGIN_NAME; NAME_CFLAGS and NAME_LIBS of the modules; a row
dnl of the summary. "yes" fails without the modules, "auto" leaves the plugin out and says so.
AC_DEFUN([BERTH_PLUGIN], [
  m4_pushdef([berth_VAR], m4_toupper(m4_translit([$1], [-], [_])))
  m4_pushdef([berth_enable], [enable_]m4_translit([$1], [-], [_]))
  AC_ARG_ENABLE([$1],
    [AS_HELP_STRING([--enable-$1=yes|no|auto], [plugin $1 ($3) @<:@$2@:>@])], [],
    [berth_enable=$2])
  AS_CASE([$berth_enable], [yes|no|auto], [],
    [AC_MSG_ERROR([--enable-$1 takes yes, no or auto, not '$berth_enable'])])
  berth_row=$berth_enable
  m4_ifval([$4], [
    AS_IF([test "x$berth_enable" != xno], [
      PKG_CHECK_MODULES(berth_VAR, [$4], [], [
        AS_IF([test "x$berth_enable" = xyes],
          [AC_MSG_ERROR([plugin $1 was asked for, and needs $4])])
        berth_enable=no
        berth_row="no, for want of $4"])])])
  AS_IF([test "x$berth_enable" != xno], [berth_row=yes])
  AM_CONDITIONAL([PLUGIN_]berth_VAR, [test "x$berth_enable" != xno])
  AS_VAR_APPEND([berth_plugin_summary], ["
  m4_format([%-18s], [$1]) $berth_row ($3)"])
  m4_popdef([berth_enable])
  m4_popdef([berth_VAR])
])

dnl BERTH_OPTIONAL(NAME, VAR, DESCRIPTION, PKG-CONFIG MODULES, MACRO)
dnl --with-NAME=yes|no|auto: VAR_CFLAGS, with -DMACRO, and VAR_LIBS of the modules, or nothing; a row of the
dnl summary. "yes" fails without the modules.
AC_DEFUN([BERTH_OPTIONAL], [
  AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=yes|no|auto], [$3 @<:@auto@:>@])], [], [with_$1=auto])
  berth_row=no
  AS_IF([test "x$with_$1" != xno], [
    PKG_CHECK_MODULES([$2], [$4], [
      $2_CFLAGS="$$2_CFLAGS -D$5"
      berth_row=yes
    ], [
      AS_IF([test "x$with_$1" = xyes], [AC_MSG_ERROR([$1 was asked for, and $4 is missing])])
      berth_row="no, for want of $4"])])
  AS_VAR_APPEND([berth_plugin_summary], ["
  m4_format([%-18s], [$1]) $berth_row ($3)"])
  AC_SUBST([$2_CFLAGS])
  AC_SUBST([$2_LIBS])
])

dnl BERTH_HARDENING
dnl HARDEN_CFLAGS, HARDEN_CPPFLAGS, HARDEN_LDFLAGS (programs), SANITIZE_CFLAGS, and PLUGIN_DEFS, which
dnl makes a plugin's undefined symbols an error of its link.
AC_DEFUN([BERTH_HARDENING], [
  AC_SUBST([HARDEN_CFLAGS], ["-fstack-protector-strong -fPIE"])
  AC_SUBST([HARDEN_LDFLAGS], ["-pie -Wl,-z,relro,-z,now"])
  AC_SUBST([PLUGIN_DEFS], ["-Wl,-z,defs"])
  AC_SUBST([HARDEN_CPPFLAGS])
  AC_SUBST([SANITIZE_CFLAGS])
  berth_hardening="stack protector, PIE, RELRO"
  AS_IF([test "x$enable_sanitize" != xno], [
    # The sanitizers' own interceptors take the place of fortified calls; and their symbols are found in
    # the program that loads a plugin.
    SANITIZE_CFLAGS="-fsanitize=$enable_sanitize -fno-sanitize-recover=all -fno-omit-frame-pointer"
    PLUGIN_DEFS=
  ], [
    AS_CASE([" $CFLAGS $CPPFLAGS "],
      [*_FORTIFY_SOURCE*], [],
      [*" -O"@<:@1-9sgf@:>@*|*" -O "*], [
        HARDEN_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2"
        berth_hardening="$berth_hardening, fortified libc calls"])])
])
