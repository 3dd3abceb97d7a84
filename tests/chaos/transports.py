# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""How tasks reach berthd. A transport hands a task in until it is accepted, and brings its result.

To add one: a subclass of Transport with `config`, `run` and, if it has something to start and stop,
`open` and `close`; and its name in TRANSPORTS. `run` is called in a thread of the task's own. It tells
the task `accepted()` once the sender was promised that the task is not lost, and `result(dict)` each
time that a result comes; it returns when one has. All that fails meanwhile is tried again: the task
has an id.
"""
import base64
import http.client
import json
import os
import queue
import subprocess
import threading
import time

import resp

AGAIN = 0.05
SOCKET = "redis.sock"


class Refused(Exception):
    """The task will never be taken, or what was promised is not kept."""


class Transport:
    name = ""
    weight = 1  # its share of the tasks
    shared = False  # by all daemons; else it is the first one's

    def __init__(self, work, daemon, port):
        self.work, self.daemon, self.port = work, daemon, port

    @classmethod
    def config(cls, work, port):
        """Its entry in the config's list of transports; "" if it needs none, or has one already."""
        return ""

    def open(self):
        pass

    def close(self):
        pass

    def run(self, task):
        raise NotImplementedError

    def cancel(self, task):
        """Of a task that was accepted. Nobody need be there."""
        self.berth("cancel", task.id)

    def berth(self, *args):
        try:
            return self.daemon.command(*args)
        except subprocess.TimeoutExpired:
            return None


class Http(Transport):
    """POST, and then looking until there is a result."""
    name = "http"

    @classmethod
    def config(cls, work, port):
        return f'{{ plugin = "http"; listen = "127.0.0.1:{port}"; }}'

    def call(self, method, path, body=None, timeout=30):
        """(status, JSON), or (0, None) when nobody answered."""
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            conn.request(method, path, json.dumps(body) if body is not None else None,
                         {"Content-Type": "application/json", "Connection": "close"})
            answer = conn.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException, ValueError):
            return 0, None
        finally:
            conn.close()

    def post(self, task, query=""):
        while True:
            status, body = self.call("POST", f"/v1/tasks{query}", task.body, timeout=90)
            if status in (200, 202):
                return status, body
            if status not in (0, 429) and status < 500:
                raise Refused(f"POST was answered with {status}: {body}")
            time.sleep(AGAIN)

    def follow(self, task):
        while True:
            status, body = self.call("GET", f"/v1/tasks/{task.id}/result")
            if status == 200:
                task.result("http", body)
                return
            if status == 404 and task.was_accepted:
                raise Refused("it was accepted, and now nobody knows it (404)")
            if status == 404:
                return  # its result was the acknowledgement, and the host died before it was stored
            time.sleep(AGAIN)

    def run(self, task):
        self.post(task)
        task.accepted()
        self.follow(task)


class HttpWait(Http):
    """On the line: the result is the acknowledgement."""
    name = "wait"

    @classmethod
    def config(cls, work, port):
        return ""

    def run(self, task):
        status, body = self.post(task, "?wait=60")
        if status == 200:
            task.result("wait", body)
        else:
            task.accepted()
        self.follow(task)


class Stdio(Transport):
    """Lines of JSON over two FIFOs, which stay open while berthd comes and goes."""
    name = "stdio"

    def __init__(self, *args):
        super().__init__(*args)
        self.listeners = {}
        self.write_lock = threading.Lock()
        for name in ("in", "out"):
            path = f"{self.work}/stdio.{name}"
            os.mkfifo(path)
            os.chmod(path, 0o666)
        self.input = self.output = -1

    @classmethod
    def config(cls, work, port):
        return f'{{ plugin = "stdio"; in = "{work}/stdio.in"; out = "{work}/stdio.out"; }}'

    def open(self):
        self.input = os.open(f"{self.work}/stdio.in", os.O_RDWR)
        self.output = os.open(f"{self.work}/stdio.out", os.O_RDWR)
        threading.Thread(target=self.listen, daemon=True).start()

    def close(self):
        os.write(self.output, b"\n")  # its reader looks up, and ends
        fd, self.output = self.output, -1
        os.close(fd)
        os.close(self.input)

    def listen(self):
        rest = b""
        fd = self.output
        while self.output == fd:
            try:
                *lines, rest = (rest + os.read(fd, 65536)).split(b"\n")
            except OSError:
                return  # closed
            for line in lines:
                try:
                    reply = json.loads(line)
                    listener = self.listeners.get(reply["body"]["id"])
                except (ValueError, KeyError, TypeError):
                    continue  # half a line: its writer was killed, another went on
                if listener:
                    listener.put(reply)

    def give(self, task):
        with self.write_lock:
            os.write(self.input, json.dumps(task.body).encode() + b"\n")

    def run(self, task):
        replies = self.listeners[task.id] = queue.Queue()
        self.give(task)
        while True:
            try:
                reply = replies.get(timeout=3)
            except queue.Empty:
                self.give(task)  # who had it, or had its result, is gone
                continue
            body = reply["body"]
            if reply["kind"] == "accepted":
                task.accepted()
            elif reply["kind"] == "result" and body["verdict"] != "rejected":
                task.result("stdio", body)
                return
            elif reply["kind"] == "result":
                if "try again" not in str(body) and "disk" not in str(body) and "space" not in str(body):
                    raise Refused(f"stdio: {body}")
                time.sleep(AGAIN)
                self.give(task)


class Ctl(Transport):
    """berth(1)."""
    name = "ctl"

    def run(self, task):
        path = f"{self.work}/{task.id}.json"
        with open(path, "w") as f:
            json.dump(task.body, f)
        while True:
            done = self.berth("submit", "--file", path)
            if done and done.returncode == 0:
                break
            time.sleep(4 * AGAIN)
        task.accepted()
        while True:
            done = self.berth("result", "--json", task.id)
            try:
                body = json.loads(done.stdout) if done else {}
            except ValueError:
                body = {}
            if "verdict" in body:
                task.result("ctl", body)
                return
            time.sleep(4 * AGAIN)


class Redis(Transport):
    """A queue that all daemons share. Its senders do not know whether what they sent arrived, if no answer did: they
    send again. Some do so in any case."""
    name = "redis"
    weight = 6
    shared = True

    @classmethod
    def config(cls, work, port):
        return (f'{{ plugin = "redis"; url = "unix://{work}/{SOCKET}"; queue = "chaos"; lease = "2s"; '
                'timeout = "1s"; }')

    @staticmethod
    def key(name):
        return f"berth:{{chaos}}:{name}"

    def ask(self, *words):
        """The reply, however long that takes."""
        while True:
            try:
                return resp.ask(f"{self.work}/{SOCKET}", *words)
            except (OSError, EOFError):
                time.sleep(AGAIN)
            except resp.ErrorReply as e:
                if not str(e).startswith("LOADING"):
                    raise Refused(f"{words[0]}: {e}") from e
                time.sleep(AGAIN)

    def send(self, task):
        self.ask("XADD", self.key("tasks"), "*", "t", json.dumps(task.body))

    def run(self, task):
        self.send(task)
        task.accepted()
        if task.number % 8 == 0:
            self.send(task)
        while not self.ask("EXISTS", self.key(f"result:{task.id}")):
            time.sleep(2 * AGAIN)
        task.result("redis", json.loads(self.ask("HGET", self.key(f"result:{task.id}"), "r")))
        if task.number % 8 == 4:
            self.send(task)

    def cancel(self, task):
        self.ask("XADD", self.key("control"), "*", "cancel", task.id)


TRANSPORTS = {t.name: t for t in (Http, HttpWait, Stdio, Ctl, Redis)}


def output_of(result):
    """As text, however the format carried it."""
    if "output_b64" in result:
        return base64.b64decode(result["output_b64"]).decode(errors="replace")
    return result.get("output") or ""
