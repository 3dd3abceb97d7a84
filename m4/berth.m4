dnl SPDX-License-Identifier: Apache-2.0
dnl SPDX-FileCopyrightText: The berth authors
dnl For the configure.ac of a plugin that lives in a source tree of its own.
dnl
dnl BERTH_DEVEL([MINIMUM-VERSION])
dnl Finds the installed berth and sets BERTH_CFLAGS, BERTH_PLUGINDIR and BERTH_ABI. In Makefile.am:
dnl
dnl   plugindir = $(BERTH_PLUGINDIR)
dnl   plugin_LTLIBRARIES = acme.la
dnl   acme_la_SOURCES = acme.c
dnl   acme_la_CFLAGS = $(BERTH_CFLAGS)
dnl   acme_la_LDFLAGS = -module -avoid-version -shared -Wl,-z,defs \
dnl       -export-symbols-regex '^berth_plugin_entry$$'
dnl
dnl automake must see "-module" itself: it cannot come out of a variable that configure sets.
AC_DEFUN([BERTH_DEVEL], [
  AC_REQUIRE([PKG_PROG_PKG_CONFIG])
  PKG_CHECK_MODULES([BERTH], [berth m4_ifval([$1], [>= $1])])
  AC_SUBST([BERTH_PLUGINDIR], [`$PKG_CONFIG --variable=plugindir berth`])
  AC_SUBST([BERTH_ABI], [`$PKG_CONFIG --variable=abi berth`])
])
