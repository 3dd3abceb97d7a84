# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""The walk over all crash points: what makes a role pass each of them."""
import os
import signal
import sqlite3
import time

from daemon import send, wait_for
from tasks import Task

FIRE_SECONDS = 40
# The store hears of an attempt a moment after it began. Who then loses both supervisor and host uses its number again.
HEARD_SECONDS = 5  # it may die at this very point before it has


class Calm:
    """A random number generator without surprises: tasks of the walk begin at once."""

    @staticmethod
    def choice(items):
        return items[0]

    @staticmethod
    def uniform(low, _high):
        return low

    @staticmethod
    def randint(low, _high):
        return low


class Walker:
    def __init__(self, world):
        self.world, self.daemon = world, world.daemon
        self.count = 0
        self.ways = list(world.transports.values())

    def task(self, kind, retries=0, way=None):
        t = Task(self.count, kind, way or self.ways[self.count % len(self.ways)], Calm, f"{self.world.work}/marks")
        self.count += 1
        t.retries = t.body["retries"] = retries
        return t

    def begin(self, *tasks):
        self.world.begin(list(tasks))
        return tasks

    def some(self):
        """What every point on the usual way is passed by."""
        large = "short" if self.count % 16 else "input"
        return self.begin(self.task(large), self.task("fail", 1), self.task("short"))

    def running(self):
        t = self.task("long")
        t.body["args"][2] = "1.0"
        self.begin(t)
        wait_for(lambda: t.marks(), 60, "a task runs")
        end = time.monotonic() + HEARD_SECONDS
        while not self.is_stored(t) and time.monotonic() < end:
            time.sleep(0.01)
        return t

    def is_stored(self, task):
        store = sqlite3.connect(f"file:{self.daemon.work}/state/berth.db?mode=ro", uri=True, timeout=1)
        try:
            return store.execute("SELECT 1 FROM tasks WHERE id = ? AND attempt > 0", (task.id,)).fetchone()
        except sqlite3.OperationalError:  # it is being opened
            return None
        finally:
            store.close()

    def supervisors(self, signo):
        for p in self.daemon.roles()["supervisor"]:
            send(p.pid, signo)

    def one(self, role, signo):
        for p in self.daemon.roles()[role][:1]:
            send(p.pid, signo)

    # ---- triggers ----

    def restart(self):
        self.some()
        self.one("monitor", signal.SIGTERM)

    def reload(self):
        self.some()
        self.one("monitor", signal.SIGHUP)

    def new_host(self):
        self.running()
        self.one("host", signal.SIGKILL)

    def stop_host(self):
        self.some()
        self.one("host", signal.SIGTERM)

    def new_worker(self):
        self.some()
        self.one("worker", signal.SIGKILL)

    def orphan(self):
        """Its end is seen by no worker that is its parent."""
        self.running()
        self.one("worker", signal.SIGKILL)

    def lose(self):
        self.running()
        self.supervisors(signal.SIGKILL)

    def lose_unseen(self):
        """Nobody is left who saw it: the next host has to ask for the sweep."""
        self.running()
        self.one("worker", signal.SIGKILL)
        self.one("host", signal.SIGKILL)
        self.supervisors(signal.SIGKILL)

    def spill(self):
        """The machine goes down: the daemon first, then the supervisors."""
        self.running()
        self.daemon.hold()
        self.one("monitor", signal.SIGTERM)
        wait_for(lambda: not self.daemon.is_running(), 60, "the daemon ends")
        self.supervisors(signal.SIGTERM)
        wait_for(lambda: not self.daemon.roles()["supervisor"], 60, "supervisors leave their results")
        self.daemon.start()

    def refuse(self):
        """Somebody's directory stands where the attempt's is to be."""
        t = self.task("short")
        path = f"{self.daemon.work}/state/attempts"
        wait_for(lambda: os.path.isdir(path), 60, "the daemon has begun")
        os.mkdir(f"{path}/{t.id}.1", 0o711)
        owner = os.stat(path)
        os.chown(f"{path}/{t.id}.1", owner.st_uid, owner.st_gid)
        self.begin(t)

    def cancel(self):
        t = self.running()
        self.world.cancel(t)

    TRIGGERS = {"lock_taken": restart, "set_up": restart, "role_fork": restart, "role_forked": restart,
                "role_ended": new_worker, "roles_end": restart, "roles_told": restart, "roles_gone": restart,
                "exec_again": reload, "host_begun": new_host, "store_opened": new_host,
                "tasks_restored": new_host, "host_listening": new_host, "host_ready": new_host,
                "host_stop": stop_host, "store_close": stop_host, "hello_taken": new_host,
                "limbo_entered": new_host, "sweep_send": lose_unseen, "sweep_taken": lose_unseen,
                "sweep_begun": lose, "sweep_killed": lose, "sweep_removed": lose, "sweep_tell": lose,
                "lost_taken": lose, "confirm_taken": orphan, "cgroup_removed": orphan,
                "retired": orphan, "spill_written": spill, "spilled_taken": spill,
                "spilled_remove": spill, "spilled_removed": spill, "refused_taken": refuse,
                "cancel_send": cancel}

    def visit(self, name, nth):
        """True once a role died there."""
        points = self.world.points
        trigger = self.TRIGGERS.get(name.partition("/")[2], Walker.some)
        points.arm(name, nth)
        end = time.monotonic() + FIRE_SECONDS
        while not points.fired(name) and time.monotonic() < end:
            before = len(self.world.tasks)
            trigger(self)
            new, look = self.world.tasks[before:], time.monotonic() + 3
            while not points.fired(name) and time.monotonic() < look and any(t.thread.is_alive() for t in new):
                time.sleep(0.02)
        return points.fired(name)
