# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
# The core is a library of the build's own, so that the unit tests link what the daemon links.

noinst_LIBRARIES = libberth.a
libberth_a_SOURCES = \
	src/base/arena.c \
	src/base/buf.c \
	src/base/buf.h \
	src/base/crash.c \
	src/base/crash.h \
	src/base/fail.c \
	src/base/fail.h \
	src/base/files.c \
	src/base/ids.c \
	src/base/log.c \
	src/base/log.h \
	src/base/str.c \
	src/base/str.h \
	src/base/title.c \
	src/base/title.h \
	src/base/units.c \
	src/loop/loop.c \
	src/loop/loop.h \
	src/loop/parts.h \
	src/loop/signals.c \
	src/loop/timers.c \
	src/codec/base64.c \
	src/codec/container.h \
	src/codec/json.c \
	src/codec/json_write.c \
	src/codec/msgpack.c \
	src/codec/task.c \
	src/codec/task.h \
	src/codec/task_encode.c \
	src/codec/task_files.c \
	src/codec/task_read.c \
	src/codec/task_read.h \
	src/codec/value.c \
	src/codec/value.h \
	src/wire/conn.c \
	src/wire/conn.h \
	src/wire/frames.h \
	src/wire/header.c \
	src/wire/header.h \
	src/wire/unix.c \
	src/config/config.c \
	src/config/config.h \
	src/config/config_dirs.c \
	src/config/config_file.c \
	src/config/config_scan.c \
	src/config/fields.c \
	src/config/fields.h \
	src/config/fields_types.c \
	src/config/load.h \
	src/config/load_check.c \
	src/config/load_entries.c \
	src/config/load_host.c \
	src/config/tree.h \
	src/priv/caps.h \
	src/priv/names.c \
	src/priv/priv.c \
	src/priv/priv.h \
	src/plan/node.c \
	src/plan/node.h \
	src/plan/plan.c \
	src/plan/plan.h \
	src/plan/policy.c \
	src/plan/policy.h \
	src/plugin/check.c \
	src/plugin/describe.c \
	src/plugin/find.c \
	src/plugin/gate_contract.c \
	src/plugin/gate_file.c \
	src/plugin/gates.h \
	src/plugin/loader.c \
	src/plugin/loader.h \
	src/plugin/mark.c \
	src/plugin/mark.h \
	src/plugin/option.h \
	src/plugin/options.c \
	src/store/db.c \
	src/store/db.h \
	src/store/rows.c \
	src/store/rows.h \
	src/store/store.c \
	src/store/store.h \
	src/store/writer.c \
	src/store/writer.h \
	src/sched/delays.c \
	src/sched/fit.c \
	src/sched/internal.h \
	src/sched/lines.c \
	src/sched/sched.c \
	src/sched/sched.h \
	src/sched/share.c \
	src/worker/answer.c \
	src/worker/attempt.c \
	src/worker/attempt.h \
	src/worker/attempt_dir.c \
	src/worker/cgroup.c \
	src/worker/cgroup.h \
	src/worker/cgroup1.c \
	src/worker/cgroup2.c \
	src/worker/cgroup_base.c \
	src/worker/cgroup_file.c \
	src/worker/cgroup_int.h \
	src/worker/cgroup_kill.c \
	src/worker/child.c \
	src/worker/clone.c \
	src/worker/command.c \
	src/worker/command.h \
	src/worker/disk.c \
	src/worker/enforce.c \
	src/worker/enforce.h \
	src/worker/engine_signal.c \
	src/worker/explain.c \
	src/worker/fetch.c \
	src/worker/gather.c \
	src/worker/helper.c \
	src/worker/helper.h \
	src/worker/host_link.c \
	src/worker/host_link.h \
	src/worker/init.c \
	src/worker/isolation.c \
	src/worker/orphans.c \
	src/worker/output.c \
	src/worker/output.h \
	src/worker/output_int.h \
	src/worker/output_read.c \
	src/worker/payload.c \
	src/worker/payload_sandbox.c \
	src/worker/probe.c \
	src/worker/raw_call.h \
	src/worker/result.c \
	src/worker/runtime.c \
	src/worker/runtime.h \
	src/worker/runtime_host.c \
	src/worker/sandbox.c \
	src/worker/sandbox_dev.c \
	src/worker/sandbox_int.h \
	src/worker/sandbox_keep.c \
	src/worker/sandbox_keep.h \
	src/worker/seccomp.c \
	src/worker/spawn.c \
	src/worker/spawn.h \
	src/worker/spawn_int.h \
	src/worker/spawn_plan.c \
	src/worker/stage.c \
	src/worker/stage.h \
	src/worker/stage_out.c \
	src/worker/streams.c \
	src/worker/supervise_table.c \
	src/worker/supervisor.c \
	src/worker/supervisor.h \
	src/worker/supervisor_int.h \
	src/worker/sweep.c \
	src/worker/tree.c \
	src/worker/tree.h \
	src/worker/verdict.c \
	src/worker/verdict.h \
	src/worker/witness.c \
	src/worker/worker.c \
	src/worker/worker.h \
	src/worker/worker_int.h \
	src/worker/worker_run.c \
	src/host/adopt.c \
	src/host/credit.c \
	src/host/ctl.c \
	src/host/dead.c \
	src/host/disk.c \
	src/host/dispatch.c \
	src/host/drain.c \
	src/host/host.c \
	src/host/host.h \
	src/host/host_int.h \
	src/host/idle.c \
	src/host/intake.c \
	src/host/job.c \
	src/host/job_end.c \
	src/host/job_events.c \
	src/host/job_int.h \
	src/host/job_replies.c \
	src/host/job_source.c \
	src/host/links.c \
	src/host/listing.c \
	src/host/logs.c \
	src/host/metrics.c \
	src/host/query.c \
	src/host/services.c \
	src/host/transports.c \
	src/host/transports.h \
	src/host/verdict.c \
	src/monitor/check.c \
	src/monitor/monitor.c \
	src/monitor/monitor.h \
	src/monitor/monitor_int.h \
	src/monitor/roles.c \
	src/monitor/setup.c \
	$(NULL)
nodist_libberth_a_SOURCES = src/config/builtin.c
CORE_LDADD = libberth.a $(LIBCONFIG_LIBS) $(MSGPACK_LIBS) $(JANSSON_LIBS) \
	$(LIBCAP_LIBS) $(LIBSECCOMP_LIBS) $(SQLITE_LIBS)

sbin_PROGRAMS += berthd
berthd_SOURCES = src/main.c
berthd_LDADD = $(CORE_LDADD)

bin_PROGRAMS += berth
berth_SOURCES = \
	src/cli/berth.c \
	src/cli/cli.h \
	src/cli/client.c \
	src/cli/cmd_dead.c \
	src/cli/cmd_follow.c \
	src/cli/cmd_plugin.c \
	src/cli/cmd_query.c \
	src/cli/cmd_submit.c \
	src/cli/print.c \
	src/cli/result.c \
	src/cli/send.h \
	src/cli/status.c \
	$(NULL)
berth_LDADD = $(CORE_LDADD)

pkglibexec_PROGRAMS += berth-send
berth_send_SOURCES = \
	src/cli/cli.h \
	src/cli/print.c \
	src/cli/result.c \
	src/cli/send.c \
	src/cli/send.h \
	src/cli/status.c \
	$(NULL)
berth_send_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/clients/c
berth_send_LDADD = libclient.la

bin_PROGRAMS += berth-conform
berth_conform_SOURCES = \
	src/conform/conform.c \
	src/conform/contact.c \
	src/conform/contact.h \
	src/conform/elf.c \
	src/conform/elf.h \
	src/conform/general.c \
	src/conform/lender.c \
	src/conform/lender.h \
	src/conform/lender_queue.c \
	src/conform/rules.h \
	src/conform/runtime.c \
	src/conform/transport.c \
	src/conform/trial.c \
	src/conform/trial.h \
	src/conform/world.c \
	src/conform/world.h \
	$(NULL)
berth_conform_LDADD = $(CORE_LDADD)

pkglibexec_PROGRAMS += berth-fetch
berth_fetch_SOURCES = \
	src/fetch/berth-fetch.c \
	src/fetch/fetch.h \
	$(NULL)
berth_fetch_CPPFLAGS = $(AM_CPPFLAGS) $(LIBCURL_CFLAGS)
berth_fetch_LDADD = $(LIBCURL_LIBS)

# The config that berthd falls back on is compiled in.
CLEANFILES += src/config/builtin.c
src/config/builtin.c: conf/quickstart.conf
	$(AM_V_at)$(MKDIR_P) src/config
	$(AM_V_GEN){ \
		echo '/* Made from conf/quickstart.conf. */'; \
		echo 'extern const char config_builtin[];'; \
		echo 'const char config_builtin[] ='; \
		$(SED) -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/    "/' -e 's/$$/\\n"/' \
			$(srcdir)/conf/quickstart.conf; \
		echo '    "";'; \
	} >$@.tmp
	$(AM_V_at)mv $@.tmp $@
