# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""A client of the zeromq transport, as berth-zeromq(7) tells to write one; and the means to be a bad one.

Peer is a connection. It answers PING and resends nothing by itself. Snippets of the tests get the endpoint
from $ENDPOINT.
"""
import os
import sys
import time

import msgpack
import zmq

ENDPOINT = os.environ.get("ENDPOINT", "")
PATIENCE_S = 90
context = zmq.Context()


def sh(task_id, text, **more):
    """A task that runs a text in a shell."""
    return dict({"id": task_id, "executer": "sh", "args": [text]}, **more)


class Peer:
    def __init__(self, name=None, endpoint=None, kind=zmq.DEALER, curve=None, ready=True, options=None, **hello):
        self.socket = context.socket(kind)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RECONNECT_IVL, 50)
        for option, value in (options or {}).items():
            self.socket.setsockopt(option, value)
        if curve:  # (server's public, own public, own secret)
            self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = curve
        self.socket.connect(endpoint or ENDPOINT)
        self.hello = dict({"v": 1}, **hello)
        if name:
            self.hello["client"] = name
        self.seen = []  # what came and nobody waited for
        self.pongs = True
        if ready:
            self.answer = self.ready()

    def send(self, kind, body):
        data = body if isinstance(body, bytes) else msgpack.packb(body)
        self.socket.send_multipart([kind.encode(), data])

    def recv(self, seconds=PATIENCE_S):
        """The next message, or None; PING is answered and not shown."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if not self.socket.poll(max(0, left * 1000)):
                return None
            kind, body = self.socket.recv_multipart()
            kind, body = kind.decode(), msgpack.unpackb(body)
            if kind == "PING" and self.pongs:
                self.send("PONG", body)
                continue
            return kind, body

    def wait(self, kind, seconds=PATIENCE_S, **keys):
        """The body of the next message of this type with these keys; others are kept in seen."""
        def fits(message):
            return message[0] == kind and all(message[1].get(k) == v for k, v in keys.items())
        for i, message in enumerate(self.seen):
            if fits(message):
                return self.seen.pop(i)[1]
        end = time.monotonic() + seconds
        while True:
            message = self.recv(max(0, end - time.monotonic()))
            if message is None:
                raise SystemExit(f"no {kind} {keys} came; what came: {str(self.seen[-5:])[:1500]}")
            if fits(message):
                return message[1]
            self.seen.append(message)

    def quiet(self, kind, seconds=1.0):
        """True if nothing more of this type comes."""
        before = len(self.seen)
        end = time.monotonic() + seconds
        while (message := self.recv(max(0, end - time.monotonic()))) is not None:
            self.seen.append(message)
        return not any(k == kind for k, _ in self.seen[before:])

    def ready(self):
        self.send("READY", self.hello)
        return self.wait("READY")

    def submit(self, task):
        self.send("SUBMIT", task)
        return self.wait("ACCEPTED", id=task["id"])

    def result(self, task_id, ack=True):
        body = self.wait("RESULT", id=task_id)
        if ack:
            self.ack(task_id)
        return body

    def ack(self, *ids):
        self.send("RESULT", {"ids": list(ids)})

    def run(self, task):
        self.submit(task)
        return self.result(task["id"])

    def error(self, **keys):
        return self.wait("ERROR", **keys)

    def back(self):
        """After the host was away: says READY until it is there, and tells what it answered."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.send("READY", self.hello)
            message = self.recv(1)
            while message and message[0] != "READY":
                self.seen.append(message)
                message = self.recv(1)
            if message:
                return message[1]
        raise SystemExit("the host did not come back")

    def close(self):
        self.socket.close()


def eventually(condition, seconds=PATIENCE_S):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def exists(path):
    return eventually(lambda: os.path.exists(path))


def touch(path):
    with open(path, "w", encoding="ascii"):
        pass


def say(*words):
    print(*words)
    sys.stdout.flush()
