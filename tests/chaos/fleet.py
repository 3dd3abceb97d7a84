# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Two daemons that share a queue in Redis, under fire like the server between them.

The server writes down each command before it answers (append-only file, fsync always), and never rewrites
that file: it tells afterwards who had which task when, and how often each was sent.
"""
import json
import os
import shutil
import signal
import subprocess

import resp
from daemon import send, wait_for
from faults import WEIGHTS, Fault
from transports import SOCKET, Redis
from world import World

LEASE = 2.0
DEAD = ("failed", "timeout", "lost", "rejected", "preempted", "oom", "image_error", "runtime_error", "plugin_error")


class Server:
    """It is started again with what its file has."""

    def __init__(self, work):
        self.path, self.dir = f"{work}/{SOCKET}", f"{work}/server"
        os.mkdir(self.dir)
        self.program = shutil.which("valkey-server") or shutil.which("redis-server")
        self.process = None

    def start(self):
        if self.process and self.process.poll() is None:
            return
        with open(f"{self.dir}/log", "ab") as log:
            self.process = subprocess.Popen(
                [self.program, "--port", "0", "--unixsocket", self.path, "--unixsocketperm", "777", "--save", "",
                 "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
                 "--aof-use-rdb-preamble", "no", "--dir", self.dir],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def signal(self, signo):
        if self.process.poll() is None:
            send(self.process.pid, signo)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait()

    def is_up(self):
        try:
            return self.ask("PING") == "PONG"
        except (OSError, EOFError, resp.ErrorReply):
            return False

    def ask(self, *words):
        return resp.ask(self.path, *words)


class FleetFault(Fault):
    """Also of a whole daemon with all that runs there, and of the server."""
    WEIGHTS = {**WEIGHTS, "freeze": 6, "away": 3, "power": 3, "server_kill": 5, "server_stop": 3}

    def __init__(self, rng, at, points):
        super().__init__(rng, at, points)
        self.host = rng.randrange(len(Fleet.NODES))
        self.long = rng.uniform(0.5, 2) * LEASE  # with luck the other one takes over
        self.lost = 0

    def __str__(self):
        what = {"freeze": f"all stops for {self.long:.2f} s", "away": f"daemon away for {self.long:.2f} s",
                "power": f"all dies for {self.long:.2f} s",
                "server_kill": f"server killed for {self.lasts:.2f} s",
                "server_stop": f"server stopped for {self.long:.2f} s"}.get(self.kind)
        name = "" if self.kind.startswith("server") else f"{Fleet.NODES[self.host]}: "
        if what is None:
            return name + super().__str__()
        return f"{name}{self.at:.2f} {what}"

    def costs(self, world):
        return self.lost + super().costs(world)

    def stop_all(self, daemon):
        """Until there is nobody left to fork. Who waits for a child that is to call exec, and is stopped, stays in D."""
        while True:
            awake = [p for p in daemon.processes() if p.state not in "TtD"]
            if not awake:
                return
            for p in awake:
                send(p.pid, signal.SIGSTOP)

    def freeze(self, world):
        daemon = self.node(world).daemon
        self.stop_all(daemon)
        world.later(self.long, daemon.resume_all)

    def away(self, world):
        self.lasts = self.long
        self.restart(world)

    def power(self, world):
        daemon = self.node(world).daemon
        daemon.hold()
        self.stop_all(daemon)
        self.lost = len(daemon.roles()["supervisor"])
        for p in daemon.processes():
            send(p.pid, signal.SIGKILL)
        world.later(self.long, daemon.start)

    def server_kill(self, world):
        world.server.kill()
        world.later(self.lasts, world.server.start)

    def server_stop(self, world):
        world.server.signal(signal.SIGSTOP)
        world.later(self.long, lambda: world.server.signal(signal.SIGCONT))


class Fleet(World):
    NODES = ("a", "b")
    WAYS = ("redis", "http", "ctl")
    SPREAD = 2.5

    def __init__(self, *args):
        super().__init__(*args)
        self.server = Server(self.work)
        self.owners, self.sent = {}, {}  # entry: [consumer...], id: [entry...]

    def open(self):
        self.server.start()
        wait_for(self.server.is_up, 60, "redis-server answers")
        super().open()

    def calm(self):
        for t in self.timers:
            t.join()
        self.server.signal(signal.SIGCONT)
        self.server.start()
        super().calm()

    def close(self, keep=False):
        if self.server.process:
            self.server.kill()
        super().close(keep)

    # ---- the check ----

    def read_history(self):
        tasks = Redis.key("tasks")
        for words in resp.commands(self.server.dir):
            name = words[0].upper()
            if name == "XADD" and words[1] == tasks:
                self.sent.setdefault(json.loads(words[4])["id"], []).append(words[2])
            elif name == "XCLAIM" and words[1] == tasks and words[3] != "handed-back":
                owners = self.owners.setdefault(words[5], [])
                if owners[-1:] != [words[3]]:
                    owners.append(words[3])
        for t in self.tasks:
            t.copies = len(self.sent.get(t.id, [0]))

    def excused(self, task):
        """Another daemon took it over, or had another copy of it. It may know nothing of failures that were not told
        yet."""
        entries = self.sent.get(task.id, [])
        moves = sum(len(self.owners[e]) - 1 for e in entries if e in self.owners)
        return (moves + task.copies - 1) * (1 + task.retries)

    def check_late(self, node):
        """Results that another daemon's took the place of are counted. A host that dies forgets the count."""
        mine = [t for t in self.tasks if t.results and self.is_lone(t) and t.results[0][1]["host"] != node.name
                and any(what == "end" and where[0] == node.name for what, where, _ in t.marks())]
        done = node.daemon.command("status", "--json")
        if done.returncode != 0:
            return [f"berth status on {node.name}: {done.stderr.decode()}"]
        late = json.loads(done.stdout)["late"]
        with open(f"{node.work}/berthd.log", errors="replace") as f:
            hosts = sum(" host: ready: " in line for line in f)
        if hosts == 1 and late < len(mine):
            return [f"{node.name} counts {late} as set aside, and others have published {[t.id for t in mine]}"]
        return []

    def story(self):
        return f"{sum(len(o) - 1 for o in self.owners.values())} taken over, "

    def is_lone(self, task):
        return task.copies == 1 and task.kind not in ("fail", "signal", "cancel")

    def check_queue(self):
        """What is left in Redis, against what the tasks have seen."""
        ask, bad, entries, letters = self.server.ask, [], {}, {}
        try:
            wait_for(lambda: ask("XLEN", Redis.key("tasks")) == 0, 60, "the queue is empty")
        except RuntimeError:
            bad.append(f"left in the queue: {ask('XRANGE', Redis.key('tasks'), '-', '+')}")
        pending = ask("XPENDING", Redis.key("tasks"), "berth")
        if pending[0]:
            bad.append(f"left pending: {pending}")
        left = ask("HGETALL", Redis.key("attempts"))
        if left:
            bad.append(f"left in attempts: {left}")
        for into, stream in ((entries, "results"), (letters, "dead")):
            for _, fields in ask("XRANGE", Redis.key(stream), "-", "+"):
                fields = resp.pairs(fields)
                into.setdefault(fields["id"], []).append(fields)
        tasks = {t.id: t for t in self.tasks if isinstance(t.transport, Redis)}
        for i in set(entries) | set(letters) | set(tasks):
            bad += [f"{i}: {line}" for line in self.check_task(tasks.get(i), entries.get(i, []), letters.get(i, []))]
        return bad

    def check_task(self, task, entries, letters):
        if not task:
            return [f"nobody sent it: {entries} {letters}"]
        if len(entries) != 1:
            return [f"{len(entries)} results in the stream: {entries}"]
        bad, result = [], entries[0]
        key = resp.pairs(self.server.ask("HGETALL", Redis.key(f"result:{task.id}")))
        for name in ("r", "verdict", "attempt", "entry"):
            if key.get(name) != result[name]:
                bad.append(f"'{name}' is {result[name]} in the stream, {key.get(name)} in the key")
        body = json.loads(result["r"])
        if [task.essence(b) for _, b, _ in task.results] != [task.essence(body)]:
            bad.append(f"the stream has {task.essence(body)}, seen was {task.results}")
        if (str(body["attempt"]), body["verdict"]) != (result["attempt"], result["verdict"]):
            bad.append(f"the result is not what its entry says: {result}")
        if len(letters) != int(body["verdict"] in DEAD):
            bad.append(f"{len(letters)} dead letters of a task that ended as {body['verdict']}")
        for letter in letters:
            if not letter["reason"] or letter["verdict"] != body["verdict"]:
                bad.append(f"the dead letter does not say what the result does: {letter}")
        return bad

    def check_left(self):
        bad = self.check_queue() + super().check_left()
        self.read_history()
        return bad + [line for n in self.nodes for line in self.check_late(n)]

    def describe(self, out):
        super().describe(out)
        print(f"  entries {self.sent}\n  owners {self.owners}", file=out)
