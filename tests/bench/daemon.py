# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""A berthd to measure: started in a directory of its own, looked at from outside, gone without a trace."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 300  # seconds; nothing that is measured takes so long at once


class BenchError(Exception):
    pass


def wait_for(what, test, seconds=PATIENCE, every=0.02):
    """Calls test until what it returns is true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        value = test()
        if value:
            return value
        if time.monotonic() > end:
            raise BenchError(f"waited {seconds} s in vain for: {what}")
        time.sleep(every)


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # a process that just ended
        return b""


class Process:
    """A process of berthd's, by its pid."""

    def __init__(self, pid, title):
        self.pid, self.title = pid, title

    def cpu_ns(self):
        """Time on a CPU of all its threads; the kernel's scheduler counts it to the nanosecond."""
        total = 0
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            figures = read(f"/proc/{self.pid}/task/{thread}/schedstat").split()
            total += int(figures[0]) if figures else 0
        return total

    def memory(self):
        """Its share of what it maps, what nobody else maps, and the highest it ever had resident; in bytes."""
        figures = {"pss": 0, "private": 0}
        for line in read(f"/proc/{self.pid}/smaps_rollup").decode().splitlines()[1:]:
            name, amount = line.split()[:2]
            if name == "Pss:":
                figures["pss"] = int(amount) * 1024
            elif name in ("Private_Clean:", "Private_Dirty:"):
                figures["private"] += int(amount) * 1024
        peak = re.search(rb"VmHWM:\s*(\d+)", read(f"/proc/{self.pid}/status"))
        figures["peak"] = int(peak[1]) * 1024 if peak else 0
        return figures


class Daemon:
    """Use it in a with statement: it is started at once, and stopped and cleaned up at the end."""

    def __init__(self, tree, config="bench.conf", wrapper=(), extra_env=None):
        self.dir = tempfile.mkdtemp(prefix="berth-bench-")
        os.chmod(self.dir, 0o755)
        for name in ("state", "run", "bin"):
            os.mkdir(os.path.join(self.dir, name))
        # A copy, so that whose process it is can be seen from /proc/PID/exe.
        self.program = os.path.join(self.dir, "bin", "berthd")
        shutil.copy(os.path.join(tree, "sbin", "berthd"), self.program)
        self.config, self.wrapper = os.path.join(HERE, config), list(wrapper)
        self.env = dict(os.environ, BERTH_STATE_DIR=self.dir + "/state", BERTH_RUN_DIR=self.dir + "/run",
                        **(extra_env or {}))
        self.address = self.monitor = self.line = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def start(self):
        """Returns when the host says that it is ready, with the seconds that took."""
        log_path = os.path.join(self.dir, "log")
        begin = time.monotonic()
        with open(log_path, "wb") as log:
            self.monitor = subprocess.Popen([*self.wrapper, self.program, "-c", self.config], env=self.env,
                                            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)

        def ready():
            if self.monitor.poll() is not None:
                raise BenchError("berthd did not start; its log:\n" + read(log_path).decode())
            return re.search(rb"listening on (\S+)\n(?:.*\n)*?.*host: ready", read(log_path))

        self.address = wait_for("berthd's line that it is ready", ready, every=0.0005)[1].decode()
        return time.monotonic() - begin

    def __exit__(self, *_):
        if self.line:
            self.line.close()
        if self.monitor and self.monitor.poll() is None:
            self.monitor.terminate()
            try:
                self.monitor.wait(60)
            except subprocess.TimeoutExpired:
                self.monitor.kill()
                self.monitor.wait()
        if self.monitor:
            self.monitor.stdin.close()
        self.remove_left()
        shutil.rmtree(self.dir, ignore_errors=True)

    def remove_left(self):
        """Payloads outlive berthd, as they do in real life; here nothing may."""
        def kill():
            left = [p.pid for p in self.processes()]
            for folder in self.cgroups():
                left += map(int, read(folder + "/cgroup.procs").split())
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not left

        wait_for("the end of all processes", kill)
        for folder in self.cgroups():
            os.rmdir(folder)

    def cgroups(self):
        """Deepest first. Those above the attempts' stay for the next daemon of that state directory."""
        return [folder for folder, _, _ in sorted(os.walk("/sys/fs/cgroup"), reverse=True) if self.cgroup() in folder]

    def cgroup(self):
        """Part of the names of its control groups: FNV-1a of the state directory."""
        number = 2166136261
        for byte in (self.dir + "/state").encode():
            number = (number ^ byte) * 16777619 & 0xFFFFFFFF
        return f"berth-{number:08x}"

    # ---- its processes ----

    def processes(self):
        found = []
        for name in os.listdir("/proc"):
            try:
                if name.isdigit() and self.is_mine(name):
                    title = read(f"/proc/{name}/cmdline").split(b"\0")[0].decode()
                    found.append(Process(int(name), title))
            except OSError:
                pass
        return found

    def is_mine(self, pid):
        """Under valgrind the program is only an argument."""
        return (os.readlink(f"/proc/{pid}/exe") == self.program
                or self.wrapper and self.program.encode() in read(f"/proc/{pid}/cmdline"))

    def role(self, name):
        def find():
            return [p for p in self.processes() if p.title == "berthd: " + name]

        return wait_for(f"a process 'berthd: {name}'", find)[0]

    # ---- what one can ask it ----

    def ask(self, method, path, body=None):
        """Status and answer."""
        if not self.line:
            self.line = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        try:
            self.line.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self.line.getresponse()
        except (http.client.RemoteDisconnected, ConnectionError):  # it was idle for too long, and closed
            self.line.close()
            self.line.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = self.line.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None

    def stats(self):
        return self.ask("GET", "/v1/stats")[1]

    def submit(self, task):
        status, answer = self.ask("POST", "/v1/tasks", task)
        if status != 202:
            raise BenchError(f"the task {task} was not accepted: {status} {answer}")
        return answer["id"]

    def cancel(self, task_id):
        status, answer = self.ask("DELETE", "/v1/tasks/" + task_id)
        if status != 202:
            raise BenchError(f"task {task_id} was not cancelled: {status} {answer}")
