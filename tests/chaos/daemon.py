# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""One berthd with directories of its own: its processes by role, and what it leaves on the machine."""
import os
import shutil
import signal
import subprocess
import threading
import time


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError:
        return b""


def link(path):
    try:
        return os.readlink(path)
    except OSError:
        return ""


def wait_for(what, seconds, why):
    """Until what() is true; RuntimeError says why it was waited for."""
    end = time.monotonic() + seconds
    while True:
        got = what()
        if got:
            return got
        if time.monotonic() >= end:
            raise RuntimeError(f"waited {seconds} s in vain: {why}")
        time.sleep(0.05)


def begun(pid):
    """When it started, in ticks since the boot; with its number that says which process it is."""
    stat = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return stat[19] if len(stat) > 19 else b""


def pids():
    return [int(p) for p in os.listdir("/proc") if p.isdigit()]


class Process:
    def __init__(self, pid):
        self.pid = pid
        stat = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        self.state = stat[0].decode() if stat else "X"
        self.parent = int(stat[1]) if stat else 0
        self.title = read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode(errors="replace").strip()

    def __str__(self):
        return f"{self.pid} ({self.state}) {self.title}"


class Daemon:
    """It is started again whenever it ends, unless that was held off."""

    def __init__(self, work, inst, config, crash_file):
        self.work = work
        self.berth = f"{inst}/bin/berth"
        self.binary = f"{work}/bin/berthd"  # a copy: whose process it is shows in /proc/PID/exe
        os.mkdir(f"{work}/bin")
        shutil.copy2(f"{inst}/sbin/berthd", self.binary)
        self.config = f"{work}/berth.conf"
        with open(self.config, "w") as f:
            f.write(config)
        self.env = {**os.environ, "BERTH_CONFIG": self.config, "BERTH_STATE_DIR": f"{work}/state",
                    "BERTH_RUN_DIR": f"{work}/run", "BERTH_TEST_MARK": work}
        if crash_file:
            self.env["BERTH_CRASH_FILE"] = crash_file
        self.foreign = {pid: begun(pid) for pid in pids()}  # need not be looked at each time
        self.process = None
        self.wanted = False
        self.starts = 0
        self.lock = threading.Lock()
        self.keeper = threading.Thread(target=self.keep, daemon=True)
        self.keeper.start()

    # ---- start and end ----

    def keep(self):
        while True:
            with self.lock:
                if self.wanted and (not self.process or self.process.poll() is not None):
                    self.launch()
            time.sleep(0.05)

    def launch(self):
        with open(f"{self.work}/berthd.log", "ab") as log:
            self.process = subprocess.Popen([self.binary], env=self.env, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True)
        self.starts += 1

    def start(self):
        with self.lock:
            self.wanted = True

    def hold(self):
        """It is not started again until start()."""
        with self.lock:
            self.wanted = False

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        self.hold()
        if self.is_running():
            self.process.send_signal(signal.SIGTERM)
            self.process.send_signal(signal.SIGCONT)
            wait_for(lambda: not self.is_running(), 60, "berthd ends when it is told to")

    def command(self, *args, data=None, timeout=30):
        return subprocess.run([self.berth, *args], env=self.env, input=data, capture_output=True,
                              timeout=timeout)

    # ---- what is there ----

    def key(self):
        """Part of the name of its control groups: FNV-1a of its state directory."""
        h = 2166136261
        for c in f"{self.work}/state".encode():
            h = (h ^ c) * 16777619 & 0xffffffff
        return f"berth-{h:08x}"

    def is_ours(self, pid):
        mark = self.work.encode()
        if pid == os.getpid() or (pid in self.foreign and self.foreign[pid] == begun(pid)):
            return False
        return (link(f"/proc/{pid}/exe").startswith(self.work) or mark in read(f"/proc/{pid}/cmdline")
                or mark in read(f"/proc/{pid}/environ") or self.key().encode() in read(f"/proc/{pid}/cgroup"))

    def processes(self):
        found = [Process(p) for p in pids() if self.is_ours(p)]
        return [p for p in found if p.state not in "ZX"]

    def roles(self):
        """Role -> its processes. A helper has the title of its parent, and so has the init of a task."""
        found = {"monitor": [], "host": [], "worker": [], "supervisor": []}
        ours = {p.pid: p for p in self.processes() if p.title.startswith("berthd: ")}
        for p in ours.values():
            above = ours.get(p.parent)
            if above and above.title == p.title:
                continue
            word = p.title.split()[1]
            role = {"monitor": "monitor", "host": "host", "task": "supervisor", "idle": "supervisor"}.get(word, "worker")
            found[role].append(p)
        return found

    def resume_all(self):
        for p in self.processes():
            if p.state in "Tt":
                send(p.pid, signal.SIGCONT)

    def descriptors(self, role):
        """How many are open in this role, or None while it is not there."""
        pids = self.roles()[role]
        try:
            return len(os.listdir(f"/proc/{pids[0].pid}/fd")) if pids else None
        except OSError:
            return None

    def left_attempts(self):
        try:
            names = os.listdir(f"{self.work}/state/attempts")
        except OSError:
            return []
        return [n for n in names if not n.startswith("~")]

    def left_mounts(self):
        lines = read("/proc/self/mountinfo").decode().splitlines()
        points = [line.split()[4] for line in lines]
        return [p for p in points if p.startswith(f"{self.work}/") and p != f"{self.work}/state"]

    def control_groups(self):
        """Deepest first."""
        found = []
        for top, dirs, _ in os.walk("/sys/fs/cgroup", topdown=True):
            found += [os.path.join(top, d) for d in dirs if self.key() in os.path.join(top, d)]
        return sorted(found, reverse=True)

    def left_cgroups(self):
        """Of attempts; the tree above them stays for the next daemon of that state directory."""
        left = []
        for path in self.control_groups():
            name = os.path.basename(path)
            above = name.endswith(self.key()) or name in ("daemon", "tasks")
            if not above or read(f"{path}/cgroup.procs").strip():
                left.append(path)
        return left

    def destroy(self):
        """Whatever happened: nothing of it stays."""
        self.hold()
        for _ in range(200):
            left = self.processes()
            if not left:
                break
            for p in left:
                send(p.pid, signal.SIGKILL)
            time.sleep(0.05)
        if self.process:
            self.process.wait()
        for path in self.control_groups():
            try:
                os.rmdir(path)
            except OSError:
                pass


def send(pid, signo):
    try:
        os.kill(pid, signo)
        return True
    except ProcessLookupError:
        return False
