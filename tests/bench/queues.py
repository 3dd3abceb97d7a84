# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Tasks through queues: berth through Redis and ZeroMQ, and Debian's RQ and Celery workers on the same Redis."""

import os
import shutil
import signal
import subprocess

from daemon import HERE, BenchError, Daemon, wait_for
from measures import body, figures, in_turns, median
from report import MIB

WINDOW = 2000  # tasks on the way
QUEUE, BARE = "bench", "bare"
PYTHON = "/usr/bin/python3"  # that of Debian's packages


class Redis:
    """A server of its own that keeps nothing on disk; for a with statement."""

    def __init__(self, folder):
        self.socket = os.path.join(folder, "redis.sock")
        self.server = self.folder = folder
        self.sockets = os.path.join(folder, "sockets")  # for the host, which has a uid of its own

    def __enter__(self):
        program = shutil.which("redis-server") or shutil.which("valkey-server")
        if not program:
            raise BenchError("neither redis-server nor valkey-server is installed")
        self.server = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", self.socket, "--unixsocketperm", "777", "--save", "",
             "--dir", self.folder], stdout=subprocess.DEVNULL)
        os.makedirs(self.sockets, exist_ok=True)
        os.chmod(self.sockets, 0o1777)
        wait_for("the Redis server", lambda: os.path.exists(self.socket))
        return self

    def __exit__(self, *_):
        self.server.terminate()
        self.server.wait()


def endpoint(redis):
    return f"ipc://{redis.sockets}/zeromq.sock"


def write_config(bench, redis, name="bench", zeromq=True, keys=""):
    """bench.conf with Redis and ZeroMQ in front, and a runtime that answers at once."""
    with open(os.path.join(HERE, "bench.conf")) as file:
        text = file.read()
    transports = f'{{ plugin = "redis"; url = "unix://{redis.socket}"; queue = "{QUEUE}"; {keys} }}'
    if zeromq:
        transports += f',\n  {{ plugin = "zeromq"; endpoint = "{endpoint(redis)}"; socket_mode = "0666"; }}'
    text = text.replace('name = "bench";', f'name = "{name}";').replace('{ plugin = "stdio"; }', transports)
    text = text.replace('{ plugin = "null"; }', '{ plugin = "null"; }, { plugin = "null"; name = "at-once"; at_once = true; }')
    text = text.replace('{ name = "null"; runtime = "null"; max_running = 2; }',
                        '{ name = "null"; runtime = "null"; max_running = 2; }, { name = "at-once"; runtime = "at-once"; }')
    path = os.path.join(bench.scratch, f"{name}.conf")
    with open(path, "w") as file:
        file.write(text)
    return path


def redis_load(bench, redis, queue, count, window):
    return figures([bench.tool("redis-load"), "-n", str(count), "-w", str(window), redis.socket, queue, body("at-once")])


def zeromq_load(bench, redis, count, window):
    return figures([bench.tool("zeromq-load"), "-n", str(count), "-w", str(window), endpoint(redis), "at-once"])


class Peer:
    """Workers of another system, two wide, in tests/bench/peer.py."""

    def __init__(self, bench, redis, name, command):
        self.bench, self.redis, self.name, self.command = bench, redis, name, command

    def __enter__(self):
        self.env = dict(os.environ, PYTHONPATH=HERE, PYTHONDONTWRITEBYTECODE="1", BENCH_REDIS=self.redis.socket,
                        TMPDIR=self.bench.scratch)
        self.workers = [subprocess.Popen(command, env=self.env, cwd=self.bench.scratch, start_new_session=True,
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                        for command in self.command]
        self.run(2)
        return self

    def run(self, count):
        return figures([PYTHON, os.path.join(HERE, "peer.py"), self.name, str(count)], env=self.env)["rate"]

    def __exit__(self, *_):
        for worker in self.workers:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def can_import(name):
    return subprocess.run([PYTHON, "-c", f"import {name}"], stderr=subprocess.DEVNULL).returncode == 0


def peers(redis):
    url = f"unix://{redis.socket}"
    known = {
        "rq": [[PYTHON, "-c", "from rq.cli import main; main()", "worker", "--url", url, "--quiet", QUEUE]] * 2,
        "celery": [[PYTHON, "-m", "celery", "-A", "peer", "worker", "--concurrency=2", "--loglevel=ERROR"]],
    }
    return {name: command for name, command in known.items() if can_import(name)}


def round_trips(bench, redis):
    calls = bench.size(2000, 20)
    echo = subprocess.Popen([bench.tool("redis-load"), "-e", redis.socket, BARE])
    try:
        runs = in_turns(bench.rounds, {name: lambda queue=queue: redis_load(bench, redis, queue, calls, 1)
                                       for name, queue in (("bare", BARE), ("berth", QUEUE))})
    finally:
        echo.kill()
        echo.wait()
    for percent, bar in (("p50", 0.15), ("p99", 1)):
        key = percent + "_us"
        for name, figures_of in runs.items():
            bench.report.row(f"round trip, {name}, {percent}", median([f[key] for f in figures_of]) / 1000, "ms", digits=3)
        added = median([berth[key] - bare[key] for berth, bare in zip(runs["berth"], runs["bare"])])
        bench.report.row(f"added, {percent}", added / 1000, "ms", ("<=", bar), digits=3)


def queues(bench):
    n = bench.size(60000, 300)
    bench.report.begin("Tasks through Redis and ZeroMQ", f"""
        From XADD or SUBMIT to the result read back, by one client with {WINDOW} tasks on the way; server, client and berth
        share the machine. "null" answers at once in its worker: what is left is the transport and the host. "Round trip"
        has one task on the way at a time; "bare" is that of two streams with a program that only copies
        between them, in turns with berth. RQ and Celery, each with the server to itself: Debian's, two workers, a task that does nothing, sent and its result awaited.""")
    with Redis(bench.scratch) as redis:
        with Daemon(bench.tree, config=write_config(bench, redis)) as daemon:
            wait_for("/readyz", lambda: daemon.ask("GET", "/readyz")[0] == 200)
            redis_load(bench, redis, QUEUE, bench.size(1000, 20), 10)
            zeromq_load(bench, redis, bench.size(1000, 20), 10)
            fast = in_turns(bench.rounds, {"Redis": lambda: redis_load(bench, redis, QUEUE, n, WINDOW)["rate"],
                                           "ZeroMQ": lambda: zeromq_load(bench, redis, n, WINDOW)["rate"]})
            for name, rates in fast.items():
                bench.report.row(f"berth, null at once, {name}", median(rates), "tasks/s", (">=", 40000), digits=0)
            bench.report.row("host, PSS after that", daemon.role("host").memory()["pss"] / MIB, "MiB")
            round_trips(bench, redis)
        for name, command in peers(redis).items():
            count = bench.size(400 if name == "rq" else 3000, 4)
            with Peer(bench, redis, name, command) as peer:
                rates = [peer.run(count) for _ in range(bench.rounds)]
            bench.report.row({"rq": "RQ", "celery": "Celery, prefork"}[name], median(rates), "tasks/s", digits=0)
