# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors

bin_PROGRAMS += berth-kmer
berth_kmer_SOURCES = examples/kmer/kmer.c
berth_kmer_LDADD =

clientexampledir = $(docdir)/examples/clients
dist_clientexample_DATA = examples/clients/fanout.py examples/clients/run.c

# A plugin of one's own, to copy: it is built from the installed tree alone.
pluginexampledir = $(docdir)/examples/plugin-hello
dist_pluginexample_DATA = \
	examples/plugin-hello/Makefile \
	examples/plugin-hello/README.md \
	examples/plugin-hello/greet.sh \
	examples/plugin-hello/hello.c \
	examples/plugin-hello/hello.conf \
	$(NULL)
