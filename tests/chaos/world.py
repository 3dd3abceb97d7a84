# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""One or more daemons, each with directories of its own; their transports and tasks; and the check at the end."""
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time

import faults
from daemon import Daemon, wait_for
from points import Points
from transports import TRANSPORTS

MAX_LOSSES = 10
RESULT_SECONDS = 120
DISK = "48m"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    """A daemon whose state directory is a small disk, and what it leaves."""

    def __init__(self, name, world_work, inst, runtime, transports):
        self.name, self.runtime, self.transports = name, runtime, transports
        self.work = f"{world_work}/{name}"
        for path in (self.work, f"{self.work}/state", f"{self.work}/run"):
            os.mkdir(path)
            os.chmod(path, 0o755)
        self.has_disk = os.geteuid() == 0
        if self.has_disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "berth-chaos",
                            f"{self.work}/state"], check=True)
        self.points = Points(f"{self.work}/points", f"{inst}/sbin/berthd")
        self.daemon = Daemon(self.work, inst, self.config(f"{world_work}/marks"),
                             self.points.path if self.points.map else None)

    def config(self, marks):
        return f"""host = {{ name = "{self.name}"; state_dir = "{self.work}/state"; run_dir = "{self.work}/run";
         log_level = "info"; retry_delay = "50ms"; max_losses = {MAX_LOSSES}; retention = {{ age = "300d"; }};
         defaults = {{ kill_grace = "300ms"; resources = {{ cpus = 0.2; memory = "64M"; }}; }}; }};
transports = ( {", ".join(self.transports)} );
runtimes = ( {self.runtime.config(self.work)} );
executers = ( {self.runtime.executer(marks, self.work, "chaos")} );
"""

    def fill_disk(self):
        if self.has_disk:
            faults.fill(f"{self.work}/state/ballast")
        return self.has_disk

    def free_disk(self):
        faults.empty(f"{self.work}/state/ballast")

    def calm(self):
        self.free_disk()
        self.daemon.resume_all()
        self.daemon.start()

    # ---- the check ----

    def is_quiet(self):
        d = self.daemon
        return not d.left_attempts() and not d.roles()["supervisor"] and not self.left_running()

    def left_running(self):
        d = self.daemon
        titles = [str(p) for p in d.processes() if not p.title.startswith("berthd: ")]
        return ([f"process {t}" for t in titles] + [f"attempt {a}" for a in d.left_attempts()]
                + [f"cgroup {c}" for c in d.left_cgroups()] + [f"mount {m}" for m in d.left_mounts()]
                + self.runtime.left(d))

    def check_left(self):
        """What stays after all results are out."""
        try:
            wait_for(self.is_quiet, 30, "attempts leave nothing")
            return []
        except RuntimeError:
            return [f"left on {self.name} after the last result: {line}" for line in self.left_running()
                    + [str(p) for p in self.daemon.roles()["supervisor"]]]

    def check_stopped(self):
        """What stays after the daemon was stopped."""
        bad = []
        self.daemon.stop()
        try:
            wait_for(lambda: not self.daemon.processes(), 30, "nothing runs")
        except RuntimeError:
            bad += [f"left after the daemon {self.name}: {p}" for p in self.daemon.processes()]
        return bad + [f"left after the daemon {self.name}: {line}" for line in self.left_running()]

    def descriptors(self):
        return {role: self.daemon.descriptors(role) for role in ("monitor", "host", "worker")}

    def check_descriptors(self, limits):
        found = {}

        def few():
            found.update(self.descriptors())
            return all(found[r] is not None and found[r] <= most for r, most in limits.items())
        try:
            wait_for(few, 20, "descriptors are closed")
            return []
        except RuntimeError:
            return [f"descriptors left open on {self.name}: {found}, in a calm round {limits}"]

    def describe(self, out):
        with open(f"{self.work}/berthd.log", errors="replace") as f:
            print(f"  the end of the log of berthd {self.name}:", *f.readlines()[-80:], sep="\n    ", file=out)

    def close(self):
        self.free_disk()
        self.daemon.destroy()
        if self.has_disk:
            subprocess.run(["umount", "-l", f"{self.work}/state"], check=False)


class World:
    NODES = ("a",)
    SPREAD = 1.2  # seconds in which tasks come
    WAYS = ("http", "wait", "stdio", "ctl")  # how tasks come, if nobody says otherwise

    def __init__(self, inst, here, runtime, transports):
        self.work = tempfile.mkdtemp(prefix="berth-chaos.")
        os.chmod(self.work, 0o755)
        os.mkdir(f"{self.work}/marks")
        os.chmod(f"{self.work}/marks", 0o1777)
        shutil.copy(f"{here}/payload.sh", f"{self.work}/marks/payload.sh")
        os.chmod(f"{self.work}/marks/payload.sh", 0o755)
        self.names = [n for n in TRANSPORTS if n in (transports or self.WAYS)]
        port = free_port()
        self.nodes = [Node(name, self.work, inst, runtime, self.blocks(name, port)) for name in self.NODES]
        self.transports = {n: TRANSPORTS[n](self.work, self.daemon, port) for n in self.names}
        self.timers = []
        self.tasks = []

    def blocks(self, node, port):
        """The list of transports in the config of that node: only the first one has those that are not shared."""
        ways = [TRANSPORTS[n] for n in self.names]
        found = [w.config(self.work, port) for w in ways if w.shared or node == self.NODES[0]]
        return [b for b in found if b]

    @property
    def daemon(self):
        return self.nodes[0].daemon

    @property
    def points(self):
        return self.nodes[0].points

    # ---- faults ----

    def later(self, seconds, what):
        t = threading.Timer(seconds, what)
        t.start()
        self.timers.append(t)

    def strike(self, plan):
        begun = time.monotonic()
        for fault in plan:
            faults.pause_until(begun + fault.at)
            fault.strike(self)

    def calm(self):
        """No fault goes on."""
        for t in self.timers:
            t.join()
        for n in self.nodes:
            n.calm()

    # ---- tasks ----

    def open(self):
        for t in self.transports.values():
            t.open()
        for n in self.nodes:
            n.daemon.start()

    def begin(self, tasks):
        self.tasks += tasks
        for t in tasks:
            t.thread.start()
            if t.cancel_after is not None:
                self.later(t.delay + t.cancel_after, lambda task=t: self.cancel(task))

    @staticmethod
    def cancel(task):
        if task.was_accepted:
            task.cancelled = True
            task.transport.cancel(task)

    @staticmethod
    def finish(tasks):
        """Waits for all results."""
        end = time.monotonic() + RESULT_SECONDS
        for t in tasks:
            t.thread.join(max(0.1, end - time.monotonic()))

    # ---- the check ----

    def check_left(self):
        return [line for n in self.nodes for line in n.check_left()]

    def check_stopped(self):
        return [line for n in self.nodes for line in n.check_stopped()]

    def descriptors(self):
        """The most of any daemon."""
        found = [n.descriptors() for n in self.nodes]
        return {role: max(f[role] for f in found) for role in found[0]}

    def check_descriptors(self, limits):
        return [line for n in self.nodes for line in n.check_descriptors(limits)]

    @staticmethod
    def excused(_task):
        """How many of its running attempts no fault need explain."""
        return 0

    def check(self, budget, full=False, witness_gone=False):
        bad = []
        for t in self.tasks:
            bad += [f"{t.id} ({t.transport.name}): {line}" for line in t.check(MAX_LOSSES, full, witness_gone)]
        disturbed = {t.id: t.disturbed() - self.excused(t) for t in self.tasks}
        disturbed = {name: n for name, n in disturbed.items() if n > 0}
        if sum(disturbed.values()) > budget:
            bad.append(f"the faults cost at most {budget} running attempts, these were lost: {disturbed}")
        return bad

    @staticmethod
    def story():
        """What the line about a round says of it."""
        return ""

    def describe(self, out):
        for t in self.tasks:
            print(f"  {t.id} {t.transport.name} retries {t.retries} accepted {t.was_accepted} marks {t.marks()}",
                  file=out)
            for channel, body, _ in t.results:
                print(f"    {channel}: {t.essence(body)} {body.get('error')}", file=out)
        for n in self.nodes:
            n.describe(out)

    def close(self, keep=False):
        for t in self.timers:
            t.cancel()
        for n in self.nodes:
            n.close()
        for t in self.transports.values():
            t.close()
        if not keep:
            shutil.rmtree(self.work, ignore_errors=True)
