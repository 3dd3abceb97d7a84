# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""What can happen to a daemon: each fault is a moment, and what is done then."""
import errno
import os
import signal
import time

from daemon import send

ROLES = ("host", "worker", "supervisor", "monitor")
DAY_MS = 86400 * 1000
WEIGHTS = {"kill": 6, "stop": 3, "term": 3, "reload": 2, "restart": 2, "disk": 1, "clock": 2, "crash": 4}


class Fault:
    WEIGHTS = WEIGHTS
    host = 0  # which of the daemons

    def __init__(self, rng, at, points):
        self.at = at
        kinds = [k for k in self.WEIGHTS if k not in ("clock", "crash") or points.map]
        self.kind = rng.choices(kinds, [self.WEIGHTS[k] for k in kinds])[0]
        self.role = rng.choices(ROLES, (4, 3, 5, 1))[0]
        self.pick = rng.random()
        self.lasts = rng.uniform(0.05, 1.0)
        self.offset_ms = rng.choice((-DAY_MS, -3600000, -1500, 0, 1500, 3600000, DAY_MS))
        self.point = rng.choice(points.names()) if points.map else None
        self.nth = rng.randint(1, 5)
        self.hit = False

    def __str__(self):
        what = {"kill": f"kill {self.role}", "term": f"SIGTERM {self.role}",
                "stop": f"stop {self.role} for {self.lasts:.2f} s",
                "restart": f"stop the daemon for {self.lasts:.2f} s",
                "disk": f"disk full for {self.lasts:.2f} s", "clock": f"clock {self.offset_ms:+} ms",
                "crash": f"crash at {self.point} number {self.nth}"}.get(self.kind, self.kind)
        return f"{self.at:.2f} {what}{'' if self.hit else ' (nobody there)'}"

    def costs(self, world):
        """How many running attempts it may have cost; a full disk is another matter."""
        if self.kind == "crash":
            return int(self.node(world).points.fired(self.point) and self.point.startswith("supervisor/"))
        return int(self.role == "supervisor" and self.kind in ("kill", "term") and self.hit)

    def node(self, world):
        return world.nodes[self.host]

    def disarm(self, world):
        points = self.node(world).points
        if self.kind == "crash" and not points.fired(self.point):
            points.disarm(self.point)

    def strike(self, world):
        getattr(self, self.kind)(world)

    # ---- one for each kind ----

    def target(self, world):
        found = sorted(self.node(world).daemon.roles()[self.role], key=lambda p: p.pid)
        return found[int(self.pick * len(found))].pid if found else None

    def signal(self, world, signo):
        pid = self.target(world)
        self.hit = pid is not None and send(pid, signo)
        return pid

    def kill(self, world):
        self.signal(world, signal.SIGKILL)

    def term(self, world):
        self.signal(world, signal.SIGTERM)

    def stop(self, world):
        pid = self.signal(world, signal.SIGSTOP)
        if self.hit:
            world.later(self.lasts, lambda: send(pid, signal.SIGCONT))

    def reload(self, world):
        self.role = "monitor"
        self.signal(world, signal.SIGHUP)

    def restart(self, world):
        self.hit = True
        self.node(world).daemon.hold()
        self.role = "monitor"
        self.signal(world, signal.SIGTERM)
        world.later(self.lasts, self.node(world).daemon.start)

    def disk(self, world):
        self.hit = self.node(world).fill_disk()
        world.later(self.lasts, self.node(world).free_disk)

    def clock(self, world):
        self.hit = True
        self.node(world).points.set_clock(self.offset_ms)

    def crash(self, world):
        self.hit = True
        self.node(world).points.arm(self.point, self.nth)


def fill(path):
    """Until nothing more fits on its disk."""
    try:
        with open(path, "ab", buffering=0) as f:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        f.write(b"\0" * size)
                except OSError as e:
                    if e.errno != errno.ENOSPC:
                        raise
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise


def plan(fault, rng, count, span, points):
    """So many of that class."""
    return sorted((fault(rng, rng.uniform(0, span), points) for _ in range(count)), key=lambda f: f.at)


def empty(path):
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def pause_until(moment):
    time.sleep(max(0, moment - time.monotonic()))
