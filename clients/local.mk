# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# Libraries for who hands in tasks. Nothing of the daemon needs them.

# ---- Python: with --with-python, or by "make install-python pythondir=DIR" ----

PYTHON_CLIENT = \
	clients/python/berth/__init__.py \
	clients/python/berth/_http.py \
	clients/python/berth/_redis.py \
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
