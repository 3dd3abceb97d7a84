# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Libraries for who hands in tasks. Nothing of the daemon needs them.

# ---- C: libberth-client, and the same as a part of our own programs ----

CLIENT_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/clients/c $(LIBCURL_CFLAGS)
CLIENT_LIBS = $(LIBCURL_LIBS) $(MSGPACK_LIBS) $(JANSSON_LIBS) -lm
CLIENT_SOURCES = \
	clients/c/berth-client.h \
	clients/c/client.c \
	clients/c/client.h \
	clients/c/client_http.c \
	clients/c/client_result.c \
	clients/c/client_task.c \
	src/base/arena.c \
	src/base/buf.c \
	src/base/crash.c \
	src/base/fail.c \
	src/base/files.c \
	src/base/ids.c \
	src/base/str.c \
	src/base/units.c \
	src/codec/base64.c \
	src/codec/json.c \
	src/codec/json_write.c \
	src/codec/msgpack.c \
	src/codec/value.c \
	$(NULL)
if PLUGIN_REDIS
CLIENT_CPPFLAGS += -DCLIENT_WITH_REDIS -I$(top_srcdir)/plugins/transport-redis $(REDIS_CFLAGS) $(OPENSSL_CFLAGS)
CLIENT_LIBS += $(REDIS_LIBS) $(OPENSSL_LIBS)
CLIENT_SOURCES += \
	clients/c/client_redis.c \
	clients/c/client_resp.c \
	clients/c/client_resp.h \
	plugins/transport-redis/redis_bytes.c \
	plugins/transport-redis/redis_bytes.h \
	plugins/transport-redis/redis_resp.c \
	plugins/transport-redis/redis_resp.h \
	plugins/transport-redis/redis_tls.c \
	plugins/transport-redis/redis_tls.h \
	plugins/transport-redis/redis_url.c \
	plugins/transport-redis/redis_url.h \
	$(NULL)
endif

if PLUGIN_ZEROMQ
CLIENT_CPPFLAGS += -DCLIENT_WITH_ZMQ $(ZEROMQ_CFLAGS)
CLIENT_LIBS += $(ZEROMQ_LIBS)
CLIENT_SOURCES += clients/c/client_zmq.c
endif

noinst_LTLIBRARIES += libclient.la
libclient_la_SOURCES = $(CLIENT_SOURCES)
libclient_la_CPPFLAGS = $(CLIENT_CPPFLAGS)
libclient_la_LDFLAGS = $(SANITIZE_CFLAGS) $(COVERAGE_CFLAGS)
libclient_la_LIBADD = $(CLIENT_LIBS)

include_HEADERS = clients/c/berth-client.h
lib_LTLIBRARIES += libberth-client.la
libberth_client_la_SOURCES =
libberth_client_la_LDFLAGS = -version-info 0:0:0 -no-undefined -export-symbols-regex '^berth_client_' \
	-Wl,-z,relro,-z,now $(PLUGIN_DEFS) $(SANITIZE_CFLAGS) $(COVERAGE_CFLAGS)
libberth_client_la_LIBADD = libclient.la

# ---- Python: with --with-python, or by "make install-python pythondir=DIR" ----

PYTHON_CLIENT = \
	clients/python/berth/__init__.py \
	clients/python/berth/_http.py \
	clients/python/berth/_redis.py \
	clients/python/berth/_zmq.py \
	clients/python/berth/aio.py \
	clients/python/berth/client.py \
	clients/python/berth/errors.py \
	clients/python/berth/executor.py \
	clients/python/berth/py.typed \
	clients/python/berth/task.py \
	$(NULL)
EXTRA_DIST += $(PYTHON_CLIENT) \
	clients/python/README.md \
	clients/python/pyproject.toml \
	$(NULL)

install-python:
	@test -n '$(pythondir)' || { echo 'say where: make install-python pythondir=DIR' >&2; exit 1; }
	$(MKDIR_P) '$(DESTDIR)$(pythondir)/berth'
	for file in $(PYTHON_CLIENT); do \
		$(INSTALL_DATA) "$(srcdir)/$$file" '$(DESTDIR)$(pythondir)/berth' || exit; \
	done
uninstall-python:
	test -z '$(pythondir)' || rm -rf '$(DESTDIR)$(pythondir)/berth'
.PHONY: install-python uninstall-python

if INSTALL_PYTHON
install-data-hook: install-python
endif
