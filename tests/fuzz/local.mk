# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Fuzz targets: tests/fuzz/fuzz-NAME.c, with inputs in tests/fuzz/corpus/NAME and tests/fuzz/crashes/NAME. As tests
# they replay those; tests/fuzz/run builds them with libFuzzer (FUZZ_ENGINE), whose main then comes before
# that of libfuzz.a.

FUZZ_TESTS = \
	tests/fuzz/fuzz-config \
	tests/fuzz/fuzz-host \
	tests/fuzz/fuzz-proc \
	tests/fuzz/fuzz-stdio \
	tests/fuzz/fuzz-store \
	tests/fuzz/fuzz-strings \
	tests/fuzz/fuzz-target \
	tests/fuzz/fuzz-task \
	tests/fuzz/fuzz-value \
	tests/fuzz/fuzz-wire \
	tests/fuzz/fuzz-worker \
	tests/fuzz/fuzz-zeromq \
	$(NULL)
if PLUGIN_HTTP
FUZZ_TESTS += tests/fuzz/fuzz-http
endif
if PLUGIN_REDIS
FUZZ_TESTS += tests/fuzz/fuzz-redis
endif
check_PROGRAMS += $(FUZZ_TESTS)
TESTS += $(FUZZ_TESTS)
fuzz-programs: $(FUZZ_TESTS)
.PHONY: fuzz-programs

check_LIBRARIES += libfuzz.a
libfuzz_a_SOURCES = \
	tests/fuzz/fuzz.c \
	tests/fuzz/fuzz.h \
	tests/fuzz/replay.c \
	$(NULL)

FUZZ_ENGINE =
FUZZ_LIBS = libfuzz.a $(CORE_LDADD)
FUZZ_LINK = $(AM_LDFLAGS) $(FUZZ_ENGINE)

tests_fuzz_fuzz_config_SOURCES = tests/fuzz/fuzz-config.c
tests_fuzz_fuzz_config_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_config_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_host_SOURCES = tests/fuzz/fuzz-host.c
tests_fuzz_fuzz_host_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_host_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_value_SOURCES = tests/fuzz/fuzz-value.c
tests_fuzz_fuzz_value_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_value_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_proc_SOURCES = tests/fuzz/fuzz-proc.c
tests_fuzz_fuzz_proc_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_proc_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_stdio_SOURCES = tests/fuzz/fuzz-stdio.c tests/fake-host.h $(STDIO_SOURCES)
tests_fuzz_fuzz_stdio_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_stdio_LDFLAGS = $(FUZZ_LINK)
if PLUGIN_REDIS
tests_fuzz_fuzz_redis_SOURCES = tests/fuzz/fuzz-redis.c \
	plugins/transport-redis/redis_bytes.c plugins/transport-redis/redis_fault.c \
	plugins/transport-redis/redis_held.c plugins/transport-redis/redis_peek.c \
	plugins/transport-redis/redis_resp.c plugins/transport-redis/redis_url.c
tests_fuzz_fuzz_redis_CFLAGS = $(AM_CFLAGS) $(REDIS_CFLAGS)
tests_fuzz_fuzz_redis_LDADD = $(FUZZ_LIBS) $(REDIS_LIBS)
tests_fuzz_fuzz_redis_LDFLAGS = $(FUZZ_LINK)
endif
tests_fuzz_fuzz_store_SOURCES = tests/fuzz/fuzz-store.c
tests_fuzz_fuzz_store_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_store_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_strings_SOURCES = tests/fuzz/fuzz-strings.c
tests_fuzz_fuzz_strings_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_strings_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_target_SOURCES = tests/fuzz/fuzz-target.c \
	plugins/transport-http/http_auth.c plugins/transport-http/http_buf.c plugins/transport-http/http_error.c \
	plugins/transport-http/http_media.c plugins/transport-http/http_target.c
tests_fuzz_fuzz_target_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_target_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_task_SOURCES = tests/fuzz/fuzz-task.c
tests_fuzz_fuzz_task_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_task_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_wire_SOURCES = tests/fuzz/fuzz-wire.c
tests_fuzz_fuzz_wire_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_wire_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_worker_SOURCES = tests/fuzz/fuzz-worker.c $(NULL_SOURCES)
tests_fuzz_fuzz_worker_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_worker_LDFLAGS = $(FUZZ_LINK)
tests_fuzz_fuzz_zeromq_SOURCES = tests/fuzz/fuzz-zeromq.c \
	plugins/transport-zeromq/zeromq_body.c plugins/transport-zeromq/zeromq_pack.c
tests_fuzz_fuzz_zeromq_LDADD = $(FUZZ_LIBS)
tests_fuzz_fuzz_zeromq_LDFLAGS = $(FUZZ_LINK)
if PLUGIN_HTTP
tests_fuzz_fuzz_http_SOURCES = tests/fuzz/fuzz-http.c $(HTTP_SOURCES)
tests_fuzz_fuzz_http_CFLAGS = $(AM_CFLAGS) $(HTTP_CFLAGS)
tests_fuzz_fuzz_http_LDADD = libconform.a $(FUZZ_LIBS) $(HTTP_LIBS)
tests_fuzz_fuzz_http_LDFLAGS = $(FUZZ_LINK)
endif

EXTRA_DIST += tests/fuzz/corpus tests/fuzz/coverage tests/fuzz/crashes tests/fuzz/dict tests/fuzz/lib.sh tests/fuzz/run
