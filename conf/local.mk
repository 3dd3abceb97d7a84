# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors

EXTRA_DIST += conf/berth.service.in

# Without a file in $(sysconfdir) berthd uses the config that is built in: these are to start from.
confexampledir = $(docdir)/examples
dist_confexample_DATA = conf/berth.conf conf/quickstart.conf

# bash looks for completions by the command's name.
EXTRA_DIST += conf/berth.bash-completion
completiondir = $(datadir)/bash-completion/completions
install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(completiondir)'
	$(INSTALL_DATA) '$(srcdir)/conf/berth.bash-completion' '$(DESTDIR)$(completiondir)/berth'
	ln -sf berth '$(DESTDIR)$(completiondir)/berth-conform'
uninstall-local:
	rm -f '$(DESTDIR)$(completiondir)/berth' '$(DESTDIR)$(completiondir)/berth-conform'

if SYSTEMD_UNIT
systemdsystemunit_DATA = conf/berth.service
CLEANFILES += conf/berth.service
endif

# By make and not by configure: the paths hang on prefix, which "make prefix=..." may change.
conf/berth.service: conf/berth.service.in Makefile
	$(AM_V_at)$(MKDIR_P) conf
	$(AM_V_GEN)$(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@bindir[@]|$(bindir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' $(srcdir)/conf/berth.service.in >$@.tmp
	$(AM_V_at)mv $@.tmp $@
