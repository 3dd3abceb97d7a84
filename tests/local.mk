# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Everything speaks TAP: programs in C, and scripts in bash that read tests/lib.sh.

TAP_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
RUN_TEST = $(SHELL) $(top_srcdir)/tests/run-test.sh
TEST_EXTENSIONS = .t
LOG_COMPILER = $(RUN_TEST)
LOG_DRIVER = $(TAP_DRIVER)
T_LOG_DRIVER = $(TAP_DRIVER)
T_LOG_COMPILER = $(RUN_TEST) bash

AM_TESTS_ENVIRONMENT = \
	BERTH_SRCDIR='$(abs_top_srcdir)'; BERTH_BUILDDIR='$(abs_top_builddir)'; \
	CC='$(CC)'; SANITIZE_CFLAGS='$(SANITIZE_CFLAGS)'; \
	export BERTH_SRCDIR BERTH_BUILDDIR CC SANITIZE_CFLAGS;

# ---- unit tests: tests/unit/test-NAME.c, linked with the core ----

LDADD = libconform.a $(CORE_LDADD)
UNIT_TESTS = \
	tests/unit/test-base \
	tests/unit/test-cgroup \
	tests/unit/test-config-broken \
	tests/unit/test-config \
	tests/unit/test-conn-bound \
	tests/unit/test-conn \
	tests/unit/test-encode \
	tests/unit/test-http-parts \
	tests/unit/test-loader \
	tests/unit/test-loop-process \
	tests/unit/test-loop \
	tests/unit/test-null \
	tests/unit/test-options \
	tests/unit/test-output \
	tests/unit/test-plan \
	tests/unit/test-priv \
	tests/unit/test-process \
	tests/unit/test-sandbox \
	tests/unit/test-sched-fair \
	tests/unit/test-sched \
	tests/unit/test-seccomp \
	tests/unit/test-spawn-death \
	tests/unit/test-spawn \
	tests/unit/test-stdio \
	tests/unit/test-store-faults \
	tests/unit/test-store \
	tests/unit/test-task \
	tests/unit/test-unix \
	tests/unit/test-value \
	tests/unit/test-worker-faults \
	tests/unit/test-worker \
	tests/unit/test-zeromq-parts \
	$(NULL)
check_PROGRAMS += $(UNIT_TESTS)
# The tests of a plugin are its host, and link what it is made of.
tests_unit_test_null_SOURCES = tests/unit/test-null.c tests/fake-host.h $(NULL_SOURCES)
tests_unit_test_process_SOURCES = tests/unit/test-process.c tests/fake-host.h $(PROCESS_SOURCES)
tests_unit_test_stdio_SOURCES = tests/unit/test-stdio.c tests/fake-host.h $(STDIO_SOURCES)
tests_unit_test_http_parts_SOURCES = tests/unit/test-http-parts.c \
	plugins/transport-http/http_buf.c plugins/transport-http/http_error.c \
	plugins/transport-http/http_media.c plugins/transport-http/http_target.c
tests_unit_test_zeromq_parts_SOURCES = tests/unit/test-zeromq-parts.c \
	plugins/transport-zeromq/zeromq_body.c plugins/transport-zeromq/zeromq_endpoint.c \
	plugins/transport-zeromq/zeromq_keys.c plugins/transport-zeromq/zeromq_pack.c

if PLUGIN_REDIS
REDIS_TESTS = tests/unit/test-redis-parts
tests_unit_test_redis_parts_SOURCES = tests/unit/test-redis-parts.c \
	plugins/transport-redis/redis_bytes.c plugins/transport-redis/redis_fault.c \
	plugins/transport-redis/redis_held.c plugins/transport-redis/redis_resp.c \
	plugins/transport-redis/redis_sha1.c plugins/transport-redis/redis_url.c
tests_unit_test_redis_parts_CFLAGS = $(AM_CFLAGS) $(REDIS_CFLAGS)
tests_unit_test_redis_parts_LDADD = $(LDADD) $(REDIS_LIBS)
endif
check_PROGRAMS += $(REDIS_TESTS)

# ---- conformance: a plugin as it will be loaded, with a host that only tests it ----

if PLUGIN_HTTP
CONFORM_TESTS = \
	tests/conform/http/test-http-access \
	tests/conform/http/test-http-clients \
	tests/conform/http/test-http-hostile \
	tests/conform/http/test-http-routes \
	$(NULL)
endif
check_PROGRAMS += $(CONFORM_TESTS)
check_LIBRARIES = libconform.a
libconform_a_SOURCES = \
	tests/conform/http/client.c \
	tests/conform/http/client.h \
	tests/conform/http/fake_host.c \
	tests/conform/http/fake_host.h \
	$(NULL)

# ---- measuring: see tests/bench/run ----

LOAD_GENERATORS = \
	tests/bench/http-load \
	tests/bench/spawn-loop \
	$(NULL)
if PLUGIN_REDIS
LOAD_GENERATORS += tests/bench/redis-load
endif
if PLUGIN_ZEROMQ
LOAD_GENERATORS += tests/bench/zeromq-load
endif
tests_bench_redis_load_SOURCES = tests/bench/redis-load.c tests/bench/figures.h
tests_bench_redis_load_CPPFLAGS = $(AM_CPPFLAGS) $(REDIS_CFLAGS)
tests_bench_redis_load_LDADD = $(REDIS_LIBS)
tests_bench_zeromq_load_SOURCES = tests/bench/zeromq-load.c tests/bench/figures.h plugins/transport-zeromq/zeromq_pack.c
tests_bench_zeromq_load_CPPFLAGS = $(AM_CPPFLAGS) $(ZEROMQ_CFLAGS)
tests_bench_zeromq_load_LDADD = $(ZEROMQ_LIBS)
check_PROGRAMS += $(LOAD_GENERATORS)
tests_bench_http_load_SOURCES = tests/bench/http-load.c tests/bench/figures.h
tests_bench_http_load_LDADD =
tests_bench_spawn_loop_SOURCES = tests/bench/spawn-loop.c tests/bench/figures.h
tests_bench_spawn_loop_LDADD =
EXTRA_DIST += \
	tests/bench/bench.conf \
	tests/bench/daemon.py \
	tests/bench/measures.py \
	tests/bench/million.py \
	tests/bench/nothing.c \
	tests/bench/peer.py \
	tests/bench/queues.py \
	tests/bench/report.py \
	tests/bench/run \
	$(NULL)
# ---- payloads up to no good, for the tests of the whole ----

# What they do is the test: without sanitizers, which reserve address space and change what fails.
check_PROGRAMS += tests/hostile/hostile
tests_hostile_hostile_SOURCES = \
	tests/hostile/fill.c \
	tests/hostile/frozen.c \
	tests/hostile/gain.c \
	tests/hostile/hostile.h \
	tests/hostile/main.c \
	tests/hostile/procs.c \
	tests/hostile/reach.c \
	$(NULL)
tests_hostile_hostile_CFLAGS = $(WARN_CFLAGS) $(WERROR_CFLAGS)
tests_hostile_hostile_LDFLAGS =
tests_hostile_hostile_LDADD =

# ---- plugins that break the contract, for berth-conform and for berthd ----

check_LTLIBRARIES += evil-command.la evil-run.la evil-transport.la
# The path makes a shared object of what is never installed.
EVIL_LDFLAGS = $(PLUGIN_LDFLAGS) -rpath /nowhere
evil_command_la_SOURCES = tests/plugins/evil.c
evil_command_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) -DEVIL_KIND=COMMAND
evil_command_la_LDFLAGS = $(EVIL_LDFLAGS)
evil_run_la_SOURCES = tests/plugins/evil.c
evil_run_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) -DEVIL_KIND=RUN
evil_run_la_LDFLAGS = $(EVIL_LDFLAGS)
evil_transport_la_SOURCES = tests/plugins/evil.c
evil_transport_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) -DEVIL_KIND=TRANSPORT
evil_transport_la_LDFLAGS = $(EVIL_LDFLAGS)

# ---- tests of the whole, against an installed tree ----

EVIL_TESTS = \
	tests/conform/evil.t \
	$(NULL)
META_TESTS = \
	tests/meta/exports.t \
	tests/meta/layers.t \
	tests/meta/style.t \
	$(NULL)
E2E_TESTS = \
	tests/e2e/badinput.t \
	tests/e2e/cli.t \
	tests/e2e/client-c.t \
	tests/e2e/client-python.t \
	tests/e2e/conform.t \
	tests/e2e/crash.t \
	tests/e2e/docs.t \
	tests/e2e/evil.t \
	tests/e2e/example.t \
	tests/e2e/files.t \
	tests/e2e/hostile-files.t \
	tests/e2e/hostile-fill.t \
	tests/e2e/hostile-frozen.t \
	tests/e2e/hostile-procs.t \
	tests/e2e/hostile-reach.t \
	tests/e2e/hostile-clients.t \
	tests/e2e/http-access.t \
	tests/e2e/http.t \
	tests/e2e/install.t \
	tests/e2e/kept.t \
	tests/e2e/kmer.t \
	tests/e2e/many.t \
	tests/e2e/null.t \
	tests/e2e/process.t \
	tests/e2e/queue.t \
	tests/e2e/redis-bad.t \
	tests/e2e/redis-hosts.t \
	tests/e2e/redis-places.t \
	tests/e2e/redis.t \
	tests/e2e/roles.t \
	tests/e2e/stdio.t \
	tests/e2e/store.t \
	tests/e2e/submit-to.t \
	tests/e2e/user.t \
	tests/e2e/verdicts.t \
	tests/e2e/zeromq-bad.t \
	tests/e2e/zeromq-keys.t \
	tests/e2e/zeromq-owed.t \
	tests/e2e/zeromq.t \
	$(NULL)
BENCH_TESTS = \
	tests/bench/quick.t \
	$(NULL)
CHAOS_TESTS = \
	tests/chaos/redis.t \
	tests/chaos/rounds.t \
	tests/chaos/walk.t \
	$(NULL)
ABI_TESTS = \
	tests/abi/headers.t \
	$(NULL)

# In a QEMU guest.
GUEST_TESTS = \
	tests/guest/cgroup2.t \
	$(NULL)

TESTS += $(UNIT_TESTS) $(REDIS_TESTS) $(CONFORM_TESTS) $(EVIL_TESTS) $(META_TESTS) $(ABI_TESTS) $(BENCH_TESTS) \
	$(E2E_TESTS) $(GUEST_TESTS) $(CHAOS_TESTS)
SHARED_BY_TESTS = \
	tests/chaos/README.md \
	tests/chaos/chaos \
	tests/chaos/common.sh \
	tests/chaos/daemon.py \
	tests/chaos/faults.py \
	tests/chaos/fleet.py \
	tests/chaos/payload.sh \
	tests/chaos/points.py \
	tests/chaos/resp.py \
	tests/chaos/runtimes.py \
	tests/chaos/tasks.py \
	tests/chaos/transports.py \
	tests/chaos/walk.py \
	tests/chaos/world.py \
	tests/e2e/client.c \
	tests/e2e/client.py \
	tests/e2e/clients.sh \
	tests/e2e/common.sh \
	tests/e2e/hostile.sh \
	tests/e2e/http.sh \
	tests/e2e/redis.sh \
	tests/e2e/wire.py \
	tests/e2e/zeromq.sh \
	tests/e2e/zeromq_peer.py \
	tests/fake-host.h \
	tests/guest/guest.sh \
	tests/guest/image.sh \
	tests/guest/init.sh \
	tests/guest/layout.sh \
	tests/guest/limits.t \
	tests/guest/tsc-khz.c \
	tests/hostile/terminal.py \
	tests/hostile/clients.py \
	tests/hostile/ctl.py \
	tests/hostile/shapes.py \
	tests/tap.h \
	tests/unit/cgroup-help.h \
	tests/unit/sched-help.h \
	tests/unit/spawn-help.h \
	tests/unit/store-help.h \
	tests/worker-host.h \
	$(NULL)
EXTRA_DIST += tests/lib.sh $(SHARED_BY_TESTS) $(EVIL_TESTS) $(META_TESTS) $(ABI_TESTS) \
	$(BENCH_TESTS) $(E2E_TESTS) $(GUEST_TESTS) $(CHAOS_TESTS)

# The installed tree that tests of the whole run: see the script.
check_DATA = tests/inst.stamp
EXTRA_DIST += tests/install-tree.sh tests/run-test.sh
tests/inst.stamp: $(bin_PROGRAMS) $(sbin_PROGRAMS) $(pkglibexec_PROGRAMS) $(pkglib_LTLIBRARIES) $(lib_LTLIBRARIES) \
		$(pkginclude_HEADERS) $(include_HEADERS) $(dist_man_MANS) $(srcdir)/tests/install-tree.sh berth.pc
	$(AM_V_at)$(MKDIR_P) tests
	+$(AM_V_GEN)unset DESTDIR; MAKE='$(MAKE)' $(SHELL) $(srcdir)/tests/install-tree.sh \
		'$(abs_top_srcdir)' '$(prefix)' >tests/inst.log 2>&1 || { cat tests/inst.log; exit 1; }
CLEANFILES += tests/inst.log
clean-local:
	-$(SHELL) $(srcdir)/tests/install-tree.sh --uninstall
	-rm -rf tests/guest-image

# ---- under valgrind: ./runtests --valgrind ----

# valgrind 3.19 knows neither clone3 nor seccomp, openat2 and mount_setattr, by which payloads are started and shut in;
# nor does it let a process of a namespace of its own report. So what starts payloads is left out.
NOT_UNDER_VALGRIND = \
	tests/unit/test-cgroup \
	tests/unit/test-loop-process \
	tests/unit/test-sandbox \
	tests/unit/test-seccomp \
	tests/unit/test-spawn \
	tests/unit/test-spawn-death \
	tests/unit/test-worker \
	tests/unit/test-worker-faults \
	$(NULL)
VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite \
	--errors-for-leak-kinds=definite --num-callers=20 --suppressions=$(srcdir)/tests/valgrind.supp
check-valgrind:
	BERTH_FUZZ_SLOW_S=60 $(MAKE) check LOG_COMPILER='$(RUN_TEST) $(VALGRIND)' \
		TESTS='$(filter-out $(NOT_UNDER_VALGRIND),$(UNIT_TESTS)) $(CONFORM_TESTS) $(FUZZ_TESTS)'
.PHONY: check-valgrind
EXTRA_DIST += tests/valgrind.supp
