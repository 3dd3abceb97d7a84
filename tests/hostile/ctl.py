# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Hostile clients of the control socket. Complaints go to standard output.

ctl.py NAME SOCKET [ARGUMENT...]: one of the attacks below
"""
import os
import random
import select
import socket
import struct
import sys
import time

import msgpack

SUBMIT, QUERY, LOGS, EVENTS, RELOAD = 64, 65, 66, 67, 68
REPLY, ERROR = 80, 81
LONG = 60
PATH = ""
SEED = int(os.environ.get("seed", "1"))


def complain(*words):
    print(*words, flush=True)


def dial():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(LONG)
    s.connect(PATH)
    return s


def frame(kind, body, length=None):
    data = body if isinstance(body, bytes) else msgpack.packb(body)
    return struct.pack("<IBBH", len(data) if length is None else length, 1, kind, 0) + data


def shove(s, data, limit=None):
    """Sends what is taken; False if the other side closed, or took nothing for `limit` seconds."""
    s.settimeout(limit or LONG)
    try:
        s.sendall(data)
        return True
    except OSError:
        return False


def read_frame(s):
    def exactly(n):
        data = b""
        while len(data) < n:
            block = s.recv(min(65536, n - len(data)))
            if not block:
                raise ConnectionError("closed")
            data += block
        return data
    length, _, kind, _ = struct.unpack("<IBBH", exactly(8))
    return kind, msgpack.unpackb(exactly(length))


def works(what):
    try:
        with dial() as s:
            shove(s, frame(QUERY, {"what": "health"}))
            kind, body = read_frame(s)
        if kind != REPLY or not body.get("healthy"):
            complain("%s: the host answers %d %s" % (what, kind, body))
    except OSError as e:
        complain("%s: the host does not answer: %s" % (what, e))


def wait_closed(s, what):
    try:
        s.settimeout(LONG)
        while s.recv(65536):
            pass
    except socket.timeout:
        complain("%s: is not cut off" % what)
    except OSError:
        pass
    s.close()


def garbage():
    """Whatever is no frame ends its connection; what is one, but wrong, is answered."""
    rng = random.Random(SEED)
    rows = [("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), ("a frame of 4 GB", frame(QUERY, b"", 0xffffffff)),
            ("a frame of 60 MB", frame(QUERY, b"", 60 << 20)), ("another version", b"\0\0\0\0\x09\x41\0\0"),
            ("a body that is no map", frame(QUERY, [1, 2])), ("a body that is cut", frame(QUERY, b"\x81\xa4what")),
            ("a map of 2^32", frame(QUERY, b"\xdf\xff\xff\xff\xff")), ("deep arrays", frame(QUERY, b"\x91" * 100000))]
    rows += [("random bytes %d" % i, rng.randbytes(rng.randrange(8, 5000))) for i in range(50)]
    for what, data in rows:
        s = dial()
        shove(s, data)
        s.shutdown(socket.SHUT_WR)
        wait_closed(s, what)
    with dial() as s:
        shove(s, frame(SUBMIT, {"task": {"executer": "cat", "input": b"x" * (9 << 20)}}, 40 << 20)[:8])
        kind, body = read_frame(s)
        if kind != ERROR or "limit" not in body["message"]:
            complain("a frame of 40 MB is not answered with the limit: %s" % body)
    for what, body in ((200, {}), (QUERY, {"what": "nonsense"}), (QUERY, {"what": 7}), (QUERY, {}), (SUBMIT, {}), (SUBMIT, {"task": 5}),
                       (LOGS, {"id": 5}), (LOGS, {"id": "none", "stream": -5, "offset": -1}), (EVENTS, {"id": "none"})):
        with dial() as s:
            shove(s, frame(what, body))
            kind, answer = read_frame(s)
            if kind != ERROR or not answer.get("message"):
                complain("frame %d %s: %d %s" % (what, body, kind, answer))
    works("after garbage")


def deaf():
    """Clients that ask and ask, and never read."""
    socks = []
    for what, ask, count in (("metrics", frame(QUERY, {"what": "metrics"}), 20000),
                             ("lists", frame(QUERY, {"what": "tasks", "limit": 1000}), 20000),
                             ("errors", frame(200, {}), 100000),
                             ("reloads that fail", frame(QUERY, {"what": "nonsense"}), 100000)):
        s = dial()
        if shove(s, ask * count, 1.5):
            complain("%s: all %d questions were taken, and no answer" % (what, count))
        socks.append(s)
    works("while others are deaf")
    for i in range(20):  # who follows events and hands in tasks, and reads none of it
        s = dial()
        shove(s, frame(EVENTS, {}))
        task = {"executer": "cat", "tenant": "t" * 60, "labels": {"l": "x"}}
        shove(s, frame(SUBMIT, {"task": task, "wait": True}) * 50, 1.5)
        socks.append(s)
    works("while others follow events and do not read")
    for s in socks:
        s.close()


def reload_deaf():
    """Asks for a reload with a full socket: the answer must not hold up the host."""
    with dial() as s:
        shove(s, frame(QUERY, {"what": "metrics"}) * 150 + frame(RELOAD, {}), 3)
        works("while a deaf client asks for a reload")


def many(count):
    """So many connections that ask for nothing or send half a frame; the next one is served all the same."""
    socks = []
    for i in range(int(count)):
        s = dial()
        if i % 2:
            shove(s, frame(SUBMIT, b"", 8 << 20) + b"\x81" * 100)
        socks.append(s)
        if i % 500 == 499:
            works("beside %d connections" % i)
    for s in socks:
        s.close()


def waiting(count):
    """So many that wait for events: above the limit they are told so."""
    socks, refused = [], 0
    for i in range(int(count)):
        s = dial()
        shove(s, frame(EVENTS, {}))
        socks.append(s)
    poll = select.poll()
    for s in socks:
        poll.register(s, select.POLLIN)
    end = time.monotonic() + LONG
    while not refused and time.monotonic() < end:
        for fd, _ in poll.poll(1000):
            poll.unregister(fd)
            try:
                kind, body = read_frame(next(s for s in socks if s.fileno() == fd))
                refused += kind == ERROR and "limit" in body["message"]
            except OSError:
                pass
    if not refused:
        complain("nobody was told the limit")
    for s in socks:
        s.close()
    end = time.monotonic() + LONG
    while time.monotonic() < end:
        try:
            with dial() as s:
                shove(s, frame(QUERY, {"what": "health"}))
                if read_frame(s)[0] == REPLY:
                    return
        except OSError:
            pass
        time.sleep(0.05)
    complain("the host does not answer after they are gone")


def main():
    global PATH
    name, PATH = sys.argv[1:3]
    attacks = {"garbage": garbage, "deaf": deaf, "reload_deaf": reload_deaf, "many": many,
               "waiting": waiting}
    attacks[name](*sys.argv[3:])


if __name__ == "__main__":
    main()
