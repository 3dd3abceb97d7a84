# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""A long queue in Redis, drained by two hosts: what each of them holds meanwhile."""

import subprocess
import time

from daemon import BenchError, Daemon, wait_for
from measures import body, figures, settle
from queues import QUEUE, Redis, write_config
from report import MIB

KEEP = 'result_ttl = "10s";'  # so that the server's own memory stays bounded, too
GROWTH = ("<=", 64)  # what was forgotten of each task would be more than that; buffers and gaps of malloc's are less
STEPS = 5  # looks at the memory, until the queue is empty


def ready(daemon):
    wait_for("/readyz", lambda: daemon.ask("GET", "/readyz")[0] == 200)


def cli(redis, *words):
    done = subprocess.run(["redis-cli", "-s", redis.socket, *words], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise BenchError(f"redis-cli {words[0]} failed")
    return done.stdout.split()


def waiting(redis):
    return int(cli(redis, "XLEN", f"berth:{{{QUEUE}}}:tasks")[0])


def fill(bench, redis, count):
    """Tasks of which each has an id, and nobody reads them yet."""
    figures([bench.tool("redis-load"), "-f", "-n", str(count), redis.socket, QUEUE, body("at-once")])


def drain(redis, hosts, count, report):
    """Memory of both while they work; returns the seconds."""
    begin = time.monotonic()
    peaks = [0] * len(hosts)
    for step in range(1, STEPS + 1):
        left = count * (STEPS - step) // STEPS
        wait_for(f"the queue to have {left} tasks", lambda left=left: waiting(redis) <= left, seconds=3600, every=0.2)
        seconds = time.monotonic() - begin
        for i, host in enumerate(hosts):
            peaks[i] = max(peaks[i], report(f"{count - left} drained", i, host))
    return seconds, peaks


def million(bench):
    count = bench.size(1000000, 2000)
    bench.report.begin("A long queue in Redis, two hosts", f"""
        {count} tasks that the runtime answers at once wait in the stream before the hosts begin; they are then drained by
        two. PSS of each host process, before there is a task and each time that a further part is done. "By the first" is
        the highest of them by the one after the first part; "growth" their difference, for each task that was done since.""")

    def report(when, i, host):
        used = host.memory()["pss"] / MIB
        bench.report.row(f"{when}, host {i + 1}, PSS", used, "MiB")
        return used

    with Redis(bench.scratch) as redis:
        configs = [write_config(bench, redis, name, zeromq=False, keys=KEEP) for name in ("one", "two")]
        fill(bench, redis, count)
        cli(redis, "XGROUP", "CREATE", f"berth:{{{QUEUE}}}:tasks", "berth", "$")  # nothing for the hosts, for now
        with Daemon(bench.tree, config=configs[0]) as one, Daemon(bench.tree, config=configs[1]) as two:
            hosts = []
            for daemon in (one, two):
                ready(daemon)
                hosts.append(daemon.role("host"))
            settle()
            for i, host in enumerate(hosts):
                report("start", i, host)
            first = [0, 0]
            cli(redis, "XGROUP", "SETID", f"berth:{{{QUEUE}}}:tasks", "berth", "0")
            seconds, peaks = drain(redis, hosts, count, lambda when, i, host: note(first, i, report(when, i, host)))
            bench.report.row("drained", count / seconds, "tasks/s", digits=0)
            for i, peak in enumerate(peaks):
                bench.report.row(f"by the first, host {i + 1}", peak / first[i], "")
            if bench.quick:
                return  # one may have done it all before the other looked
            later = count * (STEPS - 1) / STEPS / len(hosts)
            for i, peak in enumerate(peaks):
                bench.report.row(f"growth, host {i + 1}", (peak - first[i]) * MIB / later, "bytes/task", GROWTH)
            done = [sum(d.stats()["finished"].values()) for d in (one, two)]
            bench.report.row("share of the host that did less", min(done) / max(sum(done), 1), "")


def note(first, i, used):
    first[i] = first[i] or used
    return used
