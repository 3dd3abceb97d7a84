# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# A plugin sees the public headers, libc and its own library; nothing of src/.

PLUGIN_CPPFLAGS = -I$(top_srcdir)/include $(HARDEN_CPPFLAGS)
# automake must find "-module" in a plain variable; it does not look into what configure sets.
PLUGIN_LDFLAGS = -module -avoid-version -shared $(PLUGIN_DEFS) -Wl,-z,relro,-z,now \
	-export-symbols-regex '^berth_plugin_entry$$' $(SANITIZE_CFLAGS) $(COVERAGE_CFLAGS)

PROCESS_SOURCES = \
	plugins/runtime-process/process.c \
	$(NULL)
if PLUGIN_PROCESS
pkglib_LTLIBRARIES += process.la
process_la_SOURCES = $(PROCESS_SOURCES)
process_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
process_la_LDFLAGS = $(PLUGIN_LDFLAGS)
endif

NULL_SOURCES = \
	plugins/runtime-null/null.c \
	$(NULL)
if PLUGIN_NULL
pkglib_LTLIBRARIES += null.la
null_la_SOURCES = $(NULL_SOURCES)
null_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
null_la_LDFLAGS = $(PLUGIN_LDFLAGS)
endif

STDIO_SOURCES = \
	plugins/transport-stdio/bytes.h \
	plugins/transport-stdio/stdio.c \
	$(NULL)
if PLUGIN_STDIO
pkglib_LTLIBRARIES += stdio.la
stdio_la_SOURCES = $(STDIO_SOURCES)
stdio_la_CPPFLAGS = $(PLUGIN_CPPFLAGS)
stdio_la_LDFLAGS = $(PLUGIN_LDFLAGS)
endif

HTTP_SOURCES = \
	plugins/transport-http/http.h \
	plugins/transport-http/http_auth.c \
	plugins/transport-http/http_auth.h \
	plugins/transport-http/http_buf.c \
	plugins/transport-http/http_buf.h \
	plugins/transport-http/http_conn.c \
	plugins/transport-http/http_conn.h \
	plugins/transport-http/http_error.c \
	plugins/transport-http/http_error.h \
	plugins/transport-http/http_listen.c \
	plugins/transport-http/http_listen.h \
	plugins/transport-http/http_logs.c \
	plugins/transport-http/http_logs.h \
	plugins/transport-http/http_media.c \
	plugins/transport-http/http_media.h \
	plugins/transport-http/http_plugin.c \
	plugins/transport-http/http_problem.c \
	plugins/transport-http/http_problem.h \
	plugins/transport-http/http_query.c \
	plugins/transport-http/http_query.h \
	plugins/transport-http/http_route.c \
	plugins/transport-http/http_route.h \
	plugins/transport-http/http_server.c \
	plugins/transport-http/http_server.h \
	plugins/transport-http/http_submit.c \
	plugins/transport-http/http_submit.h \
	plugins/transport-http/http_target.c \
	plugins/transport-http/http_target.h \
	$(NULL)
if PLUGIN_HTTP
pkglib_LTLIBRARIES += http.la
http_la_SOURCES = $(HTTP_SOURCES)
http_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(HTTP_CFLAGS)
http_la_LDFLAGS = $(PLUGIN_LDFLAGS)
http_la_LIBADD = $(HTTP_LIBS)
endif

REDIS_SOURCES = \
	plugins/transport-redis/redis.h \
	plugins/transport-redis/redis_bytes.c \
	plugins/transport-redis/redis_bytes.h \
	plugins/transport-redis/redis_control.c \
	plugins/transport-redis/redis_fault.c \
	plugins/transport-redis/redis_fault.h \
	plugins/transport-redis/redis_find.c \
	plugins/transport-redis/redis_find.h \
	plugins/transport-redis/redis_held.c \
	plugins/transport-redis/redis_held.h \
	plugins/transport-redis/redis_known.c \
	plugins/transport-redis/redis_lease.c \
	plugins/transport-redis/redis_letters.c \
	plugins/transport-redis/redis_link.c \
	plugins/transport-redis/redis_link.h \
	plugins/transport-redis/redis_peek.c \
	plugins/transport-redis/redis_peek.h \
	plugins/transport-redis/redis_plugin.c \
	plugins/transport-redis/redis_publish.c \
	plugins/transport-redis/redis_resolve.c \
	plugins/transport-redis/redis_resolve.h \
	plugins/transport-redis/redis_resp.c \
	plugins/transport-redis/redis_resp.h \
	plugins/transport-redis/redis_scripts.c \
	plugins/transport-redis/redis_scripts.h \
	plugins/transport-redis/redis_session.c \
	plugins/transport-redis/redis_sha1.c \
	plugins/transport-redis/redis_sha1.h \
	plugins/transport-redis/redis_take.c \
	plugins/transport-redis/redis_tls.c \
	plugins/transport-redis/redis_tls.h \
	plugins/transport-redis/redis_url.c \
	plugins/transport-redis/redis_url.h \
	plugins/transport-redis/redis_verdict.c \
	$(NULL)
if PLUGIN_REDIS
pkglib_LTLIBRARIES += redis.la
redis_la_SOURCES = $(REDIS_SOURCES)
redis_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(REDIS_CFLAGS) $(OPENSSL_CFLAGS)
redis_la_LDFLAGS = $(PLUGIN_LDFLAGS)
redis_la_LIBADD = $(REDIS_LIBS) $(OPENSSL_LIBS)
endif

ZEROMQ_SOURCES = \
	plugins/transport-zeromq/zeromq.h \
	plugins/transport-zeromq/zeromq_answer.c \
	plugins/transport-zeromq/zeromq_body.c \
	plugins/transport-zeromq/zeromq_body.h \
	plugins/transport-zeromq/zeromq_endpoint.c \
	plugins/transport-zeromq/zeromq_endpoint.h \
	plugins/transport-zeromq/zeromq_keys.c \
	plugins/transport-zeromq/zeromq_keys.h \
	plugins/transport-zeromq/zeromq_pack.c \
	plugins/transport-zeromq/zeromq_pack.h \
	plugins/transport-zeromq/zeromq_peer.c \
	plugins/transport-zeromq/zeromq_plugin.c \
	plugins/transport-zeromq/zeromq_serve.c \
	plugins/transport-zeromq/zeromq_tick.c \
	plugins/transport-zeromq/zeromq_wire.c \
	plugins/transport-zeromq/zeromq_wire.h \
	$(NULL)
if PLUGIN_ZEROMQ
pkglib_LTLIBRARIES += zeromq.la
zeromq_la_SOURCES = $(ZEROMQ_SOURCES)
zeromq_la_CPPFLAGS = $(PLUGIN_CPPFLAGS) $(ZEROMQ_CFLAGS)
zeromq_la_LDFLAGS = $(PLUGIN_LDFLAGS)
zeromq_la_LIBADD = $(ZEROMQ_LIBS)
endif
