# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors

dist_man_MANS = \
	man/berth-client.3 \
	man/berth-conform.1 \
	man/berth-http.7 \
	man/berth-plugin.3 \
	man/berth-process.7 \
	man/berth-redis.7 \
	man/berth-zeromq.7 \
	man/berth.1 \
	man/berth.conf.5 \
	man/berthd.8 \
	$(NULL)
