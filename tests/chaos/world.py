# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""A directory, a daemon in it, its transports and tasks; and the check at the end."""
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


class World:
    def __init__(self, inst, here, runtime, transports):
        self.work = tempfile.mkdtemp(prefix="berth-chaos.")
        os.chmod(self.work, 0o755)
        self.runtime = runtime
        for name, mode in (("state", 0o755), ("run", 0o755), ("marks", 0o1777)):
            os.mkdir(f"{self.work}/{name}")
            os.chmod(f"{self.work}/{name}", mode)
        shutil.copy(f"{here}/payload.sh", f"{self.work}/marks/payload.sh")
        os.chmod(f"{self.work}/marks/payload.sh", 0o755)
        self.has_disk = os.geteuid() == 0
        if self.has_disk:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=755", "berth-chaos",
                            f"{self.work}/state"], check=True)
        self.points = Points(f"{self.work}/points", f"{inst}/sbin/berthd")
        port = free_port()
        names = [n for n in TRANSPORTS if n in transports]
        blocks = [TRANSPORTS[n].config(self.work, port) for n in names]
        self.daemon = Daemon(self.work, inst, self.config([b for b in blocks if b]),
                             self.points.path if self.points.map else None)
        self.transports = {n: TRANSPORTS[n](self.work, self.daemon, port) for n in names}
        self.timers = []
        self.tasks = []

    def config(self, transports):
        return f"""host = {{ name = "chaos"; state_dir = "{self.work}/state"; run_dir = "{self.work}/run";
         log_level = "info"; retry_delay = "50ms"; max_losses = {MAX_LOSSES}; retention = {{ age = "300d"; }};
         defaults = {{ kill_grace = "300ms"; resources = {{ cpus = 0.2; memory = "64M"; }}; }}; }};
transports = ( {", ".join(transports)} );
runtimes = ( {self.runtime.config(self.work)} );
executers = ( {self.runtime.executer(self.work, "chaos")} );
"""

    # ---- faults ----

    def later(self, seconds, what):
        t = threading.Timer(seconds, what)
        t.start()
        self.timers.append(t)

    def fill_disk(self):
        if self.has_disk:
            faults.fill(f"{self.work}/state/ballast")
        return self.has_disk

    def free_disk(self):
        faults.empty(f"{self.work}/state/ballast")

    def strike(self, plan):
        begun = time.monotonic()
        for fault in plan:
            faults.pause_until(begun + fault.at)
            fault.strike(self)

    def calm(self):
        """No fault goes on."""
        for t in self.timers:
            t.join()
        self.free_disk()
        self.daemon.resume_all()
        self.daemon.start()

    # ---- tasks ----

    def open(self):
        for t in self.transports.values():
            t.open()
        self.daemon.start()

    def begin(self, tasks):
        self.tasks += tasks
        for t in tasks:
            t.thread.start()
            if t.cancel_after is not None:
                self.later(t.delay + t.cancel_after, lambda task=t: self.cancel(task))

    def cancel(self, task):
        if task.was_accepted:
            task.cancelled = True
            self.daemon.command("cancel", task.id)

    def finish(self, tasks):
        """Waits for all results."""
        end = time.monotonic() + RESULT_SECONDS
        for t in tasks:
            t.thread.join(max(0.1, end - time.monotonic()))

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
        """What stays after all results are out, and after the daemon was stopped."""
        bad = []
        try:
            wait_for(self.is_quiet, 30, "attempts leave nothing")
        except RuntimeError:
            bad += [f"left after the last result: {line}" for line in self.left_running()
                    + [str(p) for p in self.daemon.roles()["supervisor"]]]
        return bad

    def check_stopped(self):
        bad = []
        self.daemon.stop()
        try:
            wait_for(lambda: not self.daemon.processes(), 30, "nothing runs")
        except RuntimeError:
            bad += [f"left after the daemon: {p}" for p in self.daemon.processes()]
        return bad + [f"left after the daemon: {line}" for line in self.left_running()]

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
            return [f"descriptors left open: {found}, in a calm round {limits}"]

    def check(self, budget, witness_gone=False):
        bad = []
        for t in self.tasks:
            bad += [f"{t.id} ({t.transport.name}): {line}" for line in t.check(MAX_LOSSES, witness_gone)]
        disturbed = {t.id: t.disturbed() for t in self.tasks if t.disturbed()}
        if sum(disturbed.values()) > budget:
            bad.append(f"the faults cost at most {budget} running attempts, these were lost: {disturbed}")
        return bad

    def describe(self, out):
        for t in self.tasks:
            print(f"  {t.id} {t.transport.name} retries {t.retries} accepted {t.was_accepted} marks {t.marks()}",
                  file=out)
            for channel, body, _ in t.results:
                print(f"    {channel}: {t.essence(body)} {body.get('error')}", file=out)
        with open(f"{self.work}/berthd.log", errors="replace") as f:
            print("  the end of berthd's log:", *f.readlines()[-80:], sep="\n    ", file=out)

    def close(self, keep=False):
        for t in self.timers:
            t.cancel()
        self.free_disk()
        self.daemon.destroy()
        for t in self.transports.values():
            t.close()
        if self.has_disk:
            subprocess.run(["umount", "-l", f"{self.work}/state"], check=False)
        if not keep:
            shutil.rmtree(self.work, ignore_errors=True)
