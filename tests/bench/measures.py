# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""
What is measured, and how. Each function takes a Bench (see run) and adds a section to its report. What is compared
is measured in turns (A B C A B C ...), since a machine's speed drifts, and each ratio is taken within one turn.
"""

import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time

from daemon import BenchError, Daemon, read, wait_for
from report import MIB

TRUE = "/bin/true"
FLAT = ("<=", 1.5)  # noise and a logarithm; what grows with the number would show as 10 or 10 000
CONNECTIONS = 8  # two run, the others wait their turn: the queue is never empty


def median(values):
    return statistics.median(values)


def figures(command, **options):
    """Runs a load generator and reads what it prints."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise BenchError(f"{os.path.basename(command[0])} failed:\n{done.stderr}")
    return json.loads(done.stdout)


def body(executer, program=None, **more):
    task = dict(executer=executer, **more)
    if program:
        task["args"] = [program]
    return json.dumps(task)


def http_load(bench, daemon, task, count, connections=CONNECTIONS, wait=True):
    command = [bench.tool("http-load"), "-c", str(connections), "-n", str(count)]
    return figures(command + (["-w", "120"] if wait else []) + [daemon.address, task])


def spawn_loop(bench, program, count, width=2):
    return figures([bench.tool("spawn-loop"), "-w", str(width), "-n", str(count), program])


def piped(count, command, env=None):
    """Seconds that a program takes to run a command for each of `count` lines."""
    lines = "\n".join(map(str, range(count))) + "\n"
    begin = time.monotonic()
    done = subprocess.run(command, input=lines, text=True, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env=env)
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed:\n{done.stderr}")
    return time.monotonic() - begin


def in_turns(rounds, ways):
    """Calls each way once a round; lists of what they returned, by name."""
    results = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            results[name].append(way())
    return results


# ---- tasks per second, and how long one takes ----


def cold(bench):
    n, few = bench.size(2000, 60), bench.size(300, 20)
    parallel_env = dict(os.environ, PARALLEL_HOME=bench.scratch, HOME=bench.scratch, TMPDIR=bench.scratch)
    bench.report.begin("Cold tasks per second", f"""
        Each task is a process of its own: a program that ends at once. Over HTTP, {CONNECTIONS} connections that wait
        for their results; at most two tasks run at a time. Beside it a bare loop of posix_spawn and waitpid, two
        wide, and two programs that run commands in parallel. "static" is a statically linked program, which the
        kernel starts faster; the others run {TRUE}. Limits: memory and pids on a control group. Sandbox: all of
        process's isolation. A ratio is that to the bare loop of the same program, in the same turn.""")
    with Daemon(bench.tree) as daemon:
        ways = {
            "bare loop": lambda: spawn_loop(bench, TRUE, n)["rate"],
            "berth, limits": lambda: http_load(bench, daemon, body("limits", TRUE), n)["rate"],
            "berth, sandbox": lambda: http_load(bench, daemon, body("sandbox", TRUE), n)["rate"],
            "xargs -P2": lambda: n / piped(n, ["xargs", "-P2", "-n1", TRUE]),
            "GNU parallel -j2": lambda: few / piped(few, ["parallel", "-j2", "-N0", TRUE], parallel_env),
            "bare loop, static": lambda: spawn_loop(bench, bench.static, n)["rate"],
            "berth, limits, static": lambda: http_load(bench, daemon, body("limits", bench.static), n)["rate"],
            "berth, null runtime": lambda: http_load(bench, daemon, body("null"), n)["rate"],
        }
        for warm_up in ways.values():
            warm_up()
        rates = in_turns(bench.rounds, ways)
    for name, values in rates.items():
        bench.report.row(name, median(values), "tasks/s", digits=0)
    bars = {"berth, limits": (">=", 0.70), "berth, sandbox": (">=", 0.50)}
    for name, base in (("berth, limits", "bare loop"), ("berth, sandbox", "bare loop"), ("xargs -P2", "bare loop"),
                       ("GNU parallel -j2", "bare loop"), ("berth, limits, static", "bare loop, static"),
                       ("berth, limits", "xargs -P2"), ("berth, limits", "GNU parallel -j2")):
        ratio = median([a / b for a, b in zip(rates[name], rates[base])])
        bench.report.row(f"{name} / {base}", ratio, "", bars.get(name) if base == "bare loop" else None)


def latency(bench):
    n = bench.size(1000, 40)
    bench.report.begin("Added latency of a waiting call", f"""
        One connection, one task at a time, from the first byte sent to the last byte of the result; against
        posix_spawn and waitpid of the same program ({TRUE}), one at a time. "added" is the difference within one
        turn. The bar is for tasks with limits on.""")
    with Daemon(bench.tree) as daemon:
        ways = {
            "bare": lambda: spawn_loop(bench, TRUE, n, width=1),
            "limits": lambda: http_load(bench, daemon, body("limits", TRUE), n, connections=1),
            "sandbox": lambda: http_load(bench, daemon, body("sandbox", TRUE), n, connections=1),
        }
        for warm_up in ways.values():
            warm_up()
        runs = in_turns(bench.rounds, ways)
    for name in ways:
        for percent in ("p50", "p99"):
            value = median([run[percent + "_us"] for run in runs[name]]) / 1000
            bench.report.row(f"{name}, {percent}", value, "ms", digits=3)
    for name in ("limits", "sandbox"):
        for percent in ("p50", "p99"):
            key = percent + "_us"
            added = median([run[key] - bare[key] for run, bare in zip(runs[name], runs["bare"])]) / 1000
            bar = ("<=", 0.5) if name == "limits" and percent == "p50" else None
            bench.report.row(f"added with {name}, {percent}", added, "ms", bar, digits=3)


def startup(bench):
    bench.report.begin("Start", f"""
        From the exec of berthd with an empty state directory. Ready to take tasks: its line in the log. Ready to
        run them: /readyz says 200, for which each runtime has looked at what this machine can enforce. First task: {TRUE}
        with limits on, handed in as soon as tasks are taken; its result is back.""")
    ready, usable, first = [], [], []
    for _ in range(bench.rounds * 2):
        daemon = Daemon(bench.tree)
        begin = time.monotonic()
        with daemon:
            ready.append(time.monotonic() - begin)
            wait_for("/readyz", lambda: daemon.ask("GET", "/readyz")[0] == 200, every=0.0005)
            usable.append(time.monotonic() - begin)
        daemon = Daemon(bench.tree)
        begin = time.monotonic()
        with daemon:
            http_load(bench, daemon, body("limits", TRUE), 1, connections=1)
            first.append(time.monotonic() - begin)
    bench.report.row("takes tasks", median(ready) * 1000, "ms", digits=1)
    bench.report.row("runs tasks: /readyz is 200", median(usable) * 1000, "ms", ("<=", 100), digits=1)
    bench.report.row("first task done", median(first) * 1000, "ms", digits=1)


# ---- memory ----


def stay(daemon, executer, size, more):
    """Starts `more` tasks that sleep, which makes `size`; returns their ids when all run."""
    started = [daemon.submit({"executer": executer}) for _ in range(more)]
    running = f"/v1/tasks?state=running&executer={executer}&limit=1"
    wait_for(f"{size} tasks that run", lambda: daemon.stats()["running"] >= size
             and daemon.ask("GET", running.replace("running&", "starting&"))[1]["tasks"] == [])
    return started


def end_all(daemon, ids):
    for task_id in ids:
        daemon.cancel(task_id)
    wait_for("the end of all tasks", lambda: daemon.stats()["running"] == 0)


def settle():
    time.sleep(1)  # what was just started has written its pages


def memory(bench):
    bench.report.begin("Memory", """
        From /proc/PID/smaps_rollup: PSS, where a page that several map counts in parts, and private, what nobody else
        maps. Idle: http and stdio, process and null loaded. A task's share is that of all processes of berth's that
        came with the tasks: supervisors, and the inits of pid namespaces where there are such; not the payload's, which
        is sleep(1).""")
    with Daemon(bench.tree) as daemon:
        wait_for("/readyz", lambda: daemon.ask("GET", "/readyz")[0] == 200)
        settle()
        for name in ("monitor", "host", "process"):
            used = daemon.role(name).memory()
            bar = ("<=", 8) if name == "host" else None
            label = f"{name} (worker)" if name == "process" else name
            bench.report.row(f"idle, {label}, PSS", used["pss"] / MIB, "MiB", bar)
            bench.report.row(f"idle, {label}, private", used["private"] / MIB, "MiB")
    for executer in ("stay-limits", "stay-sandbox"):
        for count in bench.sizes((10, 100, 1000), (5, 10)):
            memory_of_tasks(bench, executer, count)


def memory_of_tasks(bench, executer, count):
    with Daemon(bench.tree) as daemon:
        wait_for("/readyz", lambda: daemon.ask("GET", "/readyz")[0] == 200)
        roles = {process.pid for process in daemon.processes()}
        ids = stay(daemon, executer, count, count)
        settle()
        used = [process.memory() for process in daemon.processes() if process.pid not in roles]
        host = daemon.role("host").memory()
        end_all(daemon, ids)
    what = f"{executer.removeprefix('stay-')}, {count} running"
    pss, private = (sum(process[kind] for process in used) / count / MIB for kind in ("pss", "private"))
    bench.report.row(f"{what}, per task, PSS", pss, "MiB", digits=3)
    bench.report.row(f"{what}, per task, private", private, "MiB", ("<=", 0.5), digits=3)
    bench.report.row(f"{what}, host, PSS", host["pss"] / MIB, "MiB")


# ---- growth ----


def cpu_us(bench, daemon, task, count, roles=("host",), wait=True):
    """CPU time of each of these roles for each of `count` tasks, and the generator's figures."""
    processes = [daemon.role(name) for name in roles]
    before = [process.cpu_ns() for process in processes]
    run = http_load(bench, daemon, task, count, wait=wait)
    return [(process.cpu_ns() - b) / count / 1000 for process, b in zip(processes, before)], run


def growth(report, what, costs):
    """Rows of what one task costs at each size; costs: size -> list."""
    values = {size: median(cost) for size, cost in costs.items()}
    for size, value in values.items():
        report.row(f"{what} {size}", value, "µs", digits=1)
    report.row(f"{what} …: largest / smallest", max(values.values()) / min(values.values()), "", FLAT)


def queue(bench):
    n, turns = bench.size(500, 30), bench.size(3, 2)
    sizes = bench.sizes((10, 100, 1000, 10000, 100000), (20, 100))
    bench.report.begin("A long queue", f"""
        Tasks ({TRUE}, limits on) are handed in durably, on {CONNECTIONS * 4} connections, while nothing of their kind can
        start, and drained at the end, two at a time. "To take one in" is the host's CPU time per task that is handed in and
        waits, "to run one" that of a waiting call of another executer from the request to its result, each
        while about so many tasks wait; {turns} times each, medians. "To drain one" is that per task run of the queue
        itself, between these lengths of it.""")
    taking, running = {}, {}
    with Daemon(bench.tree) as daemon:
        host, waits = daemon.role("host"), body("queued", TRUE)
        gate = [daemon.submit({"executer": "queued", "args": ["/bin/sleep", "3600"]}) for _ in range(2)]
        wait_for("two tasks that run", lambda: daemon.stats()["running"] == 2)
        http_load(bench, daemon, body("limits", TRUE), n)
        empty = host.memory()
        for size in sizes:
            few = min(n, size // 2 // turns)
            filled = http_load(bench, daemon, waits, size - daemon.stats()["waiting"] - few * turns,
                               min(CONNECTIONS * 4, few), wait=False)
            if few >= bench.size(100, 20):  # fewer say nothing
                taking[size] = [cpu_us(bench, daemon, waits, few, wait=False)[0][0] for _ in range(turns)]
            full = host.memory()
            running[size] = [cpu_us(bench, daemon, body("limits", TRUE), n)[0][0] for _ in range(turns)]
        for task_id in gate:
            daemon.cancel(task_id)
        seconds, draining = drain(daemon, sizes)
        peak = host.memory()["peak"]
    last = sizes[-1]
    bench.report.row(f"rate in, up to {last} waiting", filled["rate"], "tasks/s", digits=0)
    bench.report.row(f"rate out, {last} drained", sizes[-1] / seconds, "tasks/s", digits=0)
    bench.report.row(f"host, peak resident, {last} tasks", peak / MIB, "MiB")
    bench.report.row("host, PSS per waiting task", (full["pss"] - empty["pss"]) / sizes[-1], "bytes", digits=0)
    growth(bench.report, "to take one in, waiting:", taking)
    growth(bench.report, "to run one, waiting:", running)
    growth(bench.report, "to drain one, down to", draining)


def drain(daemon, sizes):
    """Until nothing waits; seconds, and the host's CPU time per task between one size and the next smaller one."""
    host, costs = daemon.role("host"), {}
    begin = time.monotonic()
    last = (daemon.stats()["waiting"], host.cpu_ns())
    for size in [*reversed(sizes[:-1]), 0]:
        wait_for(f"{size} tasks that wait", lambda: daemon.stats()["waiting"] <= size, 3600, 0.05)
        now = (daemon.stats()["waiting"], host.cpu_ns())
        if last[0] - now[0] >= 50:  # fewer say nothing
            costs[size] = [(now[1] - last[1]) / (last[0] - now[0]) / 1000]
        last = now
    wait_for("the end of all tasks", lambda: daemon.stats()["running"] == 0)
    return time.monotonic() - begin, costs


def carried(sizes):
    """Those that the machine has room for: two processes, a descriptor and less than a MiB for each task."""
    limits = {
        "kernel.pid_max": int(read("/proc/sys/kernel/pid_max")) // 3,
        "open files": resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500,
        "memory": int(re.search(rb"MemAvailable:\s*(\d+)", read("/proc/meminfo"))[1]) // 1024,
    }
    for size in sizes:
        short = [name for name, most in limits.items() if size > most]
        if short:
            print(f"  {size} running tasks are left out: too few of: {', '.join(short)}")
        else:
            yield size


def running(bench):
    n, turns = bench.size(500, 30), bench.size(3, 2)
    sizes = list(carried(bench.sizes((10, 100, 1000, 10000), (5, 20))))
    bench.report.begin("Many running tasks", f"""
        While so many tasks run (sleep, limits on), others come and go on waiting calls: {TRUE}, limits on, two at a time. The
        host's and the worker's CPU time per task, and the whole machine's time per task, which is the inverse of tasks
        per second; {turns} times each, medians. Starting: tasks per second until so many run.""")
    roles = {"host": {}, "process": {}}
    rates, starts = {}, {}
    with Daemon(bench.tree) as daemon:
        ids = []
        http_load(bench, daemon, body("limits", TRUE), n)
        for size in sizes:
            begin, more = time.monotonic(), size - len(ids)
            ids += stay(daemon, "stay-limits", size, more)
            starts[size] = more / (time.monotonic() - begin)
            settle()
            runs = [cpu_us(bench, daemon, body("limits", TRUE), n, roles) for _ in range(turns)]
            for number, name in enumerate(roles):
                roles[name][size] = [cpu[number] for cpu, _ in runs]
            rates[size] = [run["rate"] for _, run in runs]
        host = daemon.role("host").memory()
        begin = time.monotonic()
        end_all(daemon, ids)
        ending = len(ids) / (time.monotonic() - begin)
    growth(bench.report, "host, to run one, running:", roles["host"])
    growth(bench.report, "worker, to run one, running:", roles["process"])
    growth(bench.report, "time between two ends, running:", {size: [1e6 / rate for rate in rates[size]] for size in rates})
    bench.report.row(f"starting up to {sizes[-1]}", starts[sizes[-1]], "tasks/s", digits=0)
    bench.report.row(f"cancelling {sizes[-1]}", ending, "tasks/s", digits=0)
    bench.report.row(f"host, PSS, {sizes[-1]} running", host["pss"] / MIB, "MiB")


# ---- instructions ----


def instructions_of_host(bench, count):
    """All that the host executes in user space from its start to its end, `count` tasks between."""
    folder = tempfile.mkdtemp(dir=bench.scratch)
    os.chmod(folder, 0o1777)  # the host has a uid of its own
    wrapper = ["valgrind", "-q", "--tool=callgrind", "--vgdb=no", f"--callgrind-out-file={folder}/%p"]
    with Daemon(bench.tree, wrapper=wrapper) as daemon:
        http_load(bench, daemon, body("limits", TRUE), count, connections=2)
    for name in os.listdir(folder):
        profile = read(os.path.join(folder, name))
        if b"dispatch_run" in profile:  # of all roles only the host gets there
            return int(re.search(rb"^(?:summary|totals): (\d+)", profile, re.M)[1])
    raise BenchError("callgrind wrote no profile of the host")


def instructions(bench):
    n, turns = bench.size(100, 10), bench.size(3, 1)
    bench.report.begin("Instructions of the host", f"""
        Counted by callgrind, user space only: a run with {2 * n} waiting calls ({TRUE}, limits on) less one with {n},
        divided by {n}, so that start and end cancel out. All threads of the host: HTTP, codec, queue, store. Median of
        {turns} such pairs.""")
    runs = in_turns(turns, {count: lambda count=count: instructions_of_host(bench, count) for count in (n, 2 * n)})
    per_task = [(many - few) / n for few, many in zip(runs[n], runs[2 * n])]
    bench.report.row("per task", median(per_task), "instructions", digits=0)


MEASURES = {
    "cold": cold,
    "latency": latency,
    "startup": startup,
    "memory": memory,
    "queue": queue,
    "running": running,
    "instructions": instructions,
}
