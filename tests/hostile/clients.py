# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Hostile clients of the http transport, and a good one beside them. Complaints go to standard output.

clients.py behave PORT READY            a good client until SIGTERM; then prints what it saw, as JSON
clients.py shapes PORT                  every row of shapes.py
clients.py NAME PORT [ARGUMENT...]      one of the attacks below; `seed` in the environment repeats one
"""
import json
import os
import random
import select
import signal
import socket
import ssl
import sys
import threading
import time

import shapes

LONG = 60  # seconds: whatever takes longer is taken for hanging
PORT = 0
SEED = int(os.environ.get("seed", "1"))
rng = random.Random(SEED)


def complain(*words):
    print(*words, flush=True)


def dial(timeout=LONG):
    s = socket.create_connection(("127.0.0.1", PORT), timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def dial_lazily():
    """A connection that is being made; a full queue of the listener does not stop us."""
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", PORT))
    return s


def shove(s, data):
    """Sends what the other side takes; it may have closed in the middle."""
    try:
        s.sendall(data)
        return True
    except OSError:
        return False


def read_all(s, limit=LONG, quiet=None):
    """All until the other side closes, or is quiet for so long after an answer; None if it does neither."""
    data, end = b"", time.monotonic() + limit
    while True:
        s.settimeout(quiet if quiet and statuses(data) else max(0.01, end - time.monotonic()))
        try:
            more = s.recv(65536)
        except socket.timeout:
            return data if quiet and statuses(data) else None
        except OSError:
            return data
        if not more:
            return data
        data += more


class Reader:
    """Answers of one connection, one after another."""

    def __init__(self, s):
        self.s, self.data = s, b""

    def more(self):
        block = self.s.recv(65536)
        if not block:
            raise ConnectionError("closed")
        self.data += block

    def answer(self):
        """(status, head, body); the body must have a length."""
        while b"\r\n\r\n" not in self.data:
            self.more()
        head, self.data = self.data.split(b"\r\n\r\n", 1)
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(self.data) < length:
            self.more()
        body, self.data = self.data[:length], self.data[length:]
        return int(head.split()[1]), head, body


def ask(data, timeout=LONG):
    """One request on a connection of its own."""
    with dial(timeout) as s:
        shove(s, data)
        return Reader(s).answer()


def statuses(data):
    """Of all answers in the data, by their heads."""
    return [int(part[:3]) for part in data.split(b"HTTP/1.1 ")[1:] if part[:3].isdigit()]


def post(task, query=b"", fields=b""):
    body = task if isinstance(task, bytes) else json.dumps(task).encode()
    return (b"POST /v1/tasks%s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" % query + fields +
            b"Content-Length: %d\r\n\r\n" % len(body) + body)


# ---- the good client ----

def behave(ready):
    """Each round: a new connection that asks, and a task on a kept one that waits for its result. Makes the file
    `ready` after the first round."""
    over, seen = [], {"requests": 0, "failed": [], "worst_ask_ms": 0, "worst_task_ms": 0}
    signal.signal(signal.SIGTERM, lambda *_: over.append(1))
    kept = None
    while not over:
        for kind in ("ask", "task"):
            start = time.monotonic()
            try:
                if kind == "ask":
                    status = ask(shapes.get())[0]
                else:
                    if not kept:
                        kept = dial()
                    shove(kept, post({"executer": "cat", "input": "x"}, b"?wait=60"))
                    status = Reader(kept).answer()[0]
                if status != 200:
                    seen["failed"].append("%s: %d" % (kind, status))
            except ConnectionError:  # a kept connection may be closed between requests: as every good client,
                if kind == "ask":    # ask again; a new one may not
                    seen["failed"].append("%s: closed" % kind)
                kept = None
            except OSError as e:
                seen["failed"].append("%s: %s" % (kind, e))
                kept = None
            seen["requests"] += 1
            seen["worst_%s_ms" % kind] = max(seen["worst_%s_ms" % kind], int((time.monotonic() - start) * 1000))
        open(ready, "w").close()
        time.sleep(0.02)
    seen["failed"] = seen["failed"][:5]
    print(json.dumps(seen))


# ---- malformed ----

def run_shapes():
    for name, data, want in shapes.SHAPES:
        with dial() as s:
            shove(s, data)
            got = read_all(s, quiet=0.2)
        if got is None:
            complain("%s: hangs" % name)
            continue
        found = statuses(got)
        if got.count(b"Date:") > 1 and got.endswith(b"</html>"):
            found = found[1:]  # libmicrohttpd 0.9 writes the head of an error page of its own twice, and closes
        if len(found) > len(want):
            complain("%s: %s answers" % (name, found))
        elif (found[0] if found else None) not in want[0]:
            complain("%s: got %s, not of %s" % (name, found, want[0]))
    status = ask(shapes.get(b"/v1/tasks/smuggled"))[0]
    if status != 404:
        complain("the hidden request was taken: %d" % status)


# ---- oversized: the answer names the limit ----

def refused(what, data, status, words):
    with dial() as s:
        shove(s, data)
        try:
            got = Reader(s).answer()
        except OSError:
            complain("%s: no answer" % what)
            return
    if got[0] != status or words not in got[2]:
        complain("%s: got %d %s" % (what, got[0], got[2][:200]))


def oversized(max_body, header_limit):
    n, head = int(max_body), int(header_limit)
    refused("a field above header_limit", shapes.get(fields=b"Host: localhost\r\nX: " + b"x" * head + b"\r\n"),
            431, header_limit.encode())
    refused("many fields above header_limit", shapes.get(fields=b"Host: localhost\r\n" + b"Field: value value value\r\n" * (head // 25)),
            431, header_limit.encode())
    refused("a target above header_limit", shapes.get(b"/" + b"x" * head), 431, header_limit.encode())
    refused("a body above max_body", post(b" " * (n + 1)), 413, max_body.encode())
    refused("a body said to be above max_body", shapes.post(b"Content-Length: 99999999999999\r\n"), 413, max_body.encode())
    chunk = b"%x\r\n%s\r\n" % (n // 2, b" " * (n // 2))
    refused("chunks above max_body", shapes.post(b"Transfer-Encoding: chunked\r\n", chunk * 3 + b"0\r\n\r\n"),
            413, max_body.encode())
    for what, data in (("a head without end", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 1000000),
                       ("a field without end", b"GET / HTTP/1.1\r\nX: " + b"y" * 20000000),
                       ("a target without end", b"GET /" + b"y" * 20000000),
                       ("a method without end", b"G" * 20000000),
                       ("chunks without end", shapes.post(b"Transfer-Encoding: chunked\r\n", chunk * 30))):
        with dial() as s:
            if shove(s, data):
                complain("%s: all of it was taken" % what)


# ---- bodies that are small and expand, or are hard to read ----

def bodies():
    task = b'{"executer":"cat","labels":%s}'
    texts = [
        ("a million brackets", b"[" * 1000000), ("a million objects", b'{"a":' * 1000000),
        ("a number of a million digits", b'{"executer":"cat","timeout_ms":%s}' % (b"9" * 1000000)),
        ("1e999999", b'{"executer":"cat","resources":{"cpus":1e999999}}'),
        ("-1e308", b'{"executer":"cat","resources":{"cpus":-1e308}}'),
        ("a time above 2^63", b'{"executer":"cat","timeout_ms":9223372036854775808}'),
        ("a time below zero", b'{"executer":"cat","timeout_ms":-1}'),
        ("2^64 bytes of memory", b'{"executer":"cat","resources":{"memory":"18446744073709551616"}}'),
        ("NaN", b'{"executer":"cat","resources":{"cpus":NaN}}'),
        ("the same key 100 000 times", task % (b"{" + b",".join([b'"a":"b"'] * 100000) + b"}")),
        ("100 000 different keys", task % (b"{" + b",".join(b'"k%d":"v"' % i for i in range(100000)) + b"}")),
        ("100 000 arguments", b'{"executer":"cat","args":[%s]}' % b",".join([b'"a"'] * 100000)),
        ("a key of a megabyte", task % (b'{"%s":"b"}' % (b"k" * 1000000))),
        ("UTF-8 that is none", b'{"executer":"cat","input":"\xff\xc0\x80"}'),
        ("half a surrogate", b'{"executer":"cat","input":"\\ud800"}'),
        ("UTF-16", '{"executer":"cat"}'.encode("utf-16")),
        ("a byte order mark", b'\xef\xbb\xbf{"executer":"cat"}'),
        ("a NUL", b'{"executer":"cat"}\0'), ("two objects", b'{"executer":"cat"}{"executer":"cat"}'),
        ("a comment", b'{"executer":"cat"/*x*/}'), ("a quote without end", b'{"executer":"' + b"x" * 1000000),
        ("base64 that is none", b'{"executer":"cat","input_b64":"=%s"}' % (b"=" * 1000000)),
    ]
    allowed = ("100 000 different keys", "100 000 arguments", "a key of a megabyte")  # large, and nothing else
    four = b"\xff\xff\xff\xff"
    packs = [
        ("a map of 2^32", b"\xdf" + four), ("an array of 2^32", b"\xdd" + four), ("a string of 4 GB", b"\xdb" + four),
        ("4 GB of bytes", b"\xc6" + four), ("an extension of 4 GB", b"\xc9" + four + b"\1"),
        ("maps in maps of 2^32", b"\xdf" + four + (b"\xa1k\xdf" + four) * 1000),
        ("arrays in arrays", b"\x91" * 1000000), ("a string of 4 GB as key", b"\x81\xdb" + four + b"x" * 100),
        ("the same key 100 000 times", b"\xdf\0\1\x86\xa0" + b"\xa1a\xa1b" * 100000),
        ("a byte that means nothing", b"\xc1"), ("a map without values", b"\xde\xff\xff" + b"\xa1k" * 65535),
    ]
    for kind, rows in ((b"json", texts), (b"msgpack", packs)):
        for name, body in rows:
            data = post(body).replace(b"application/json", b"application/" + kind, 1)
            start = time.monotonic()
            try:
                status, _, answer = ask(data)
            except OSError as e:
                complain("%s, %s: %s" % (kind.decode(), name, e))
                continue
            took = time.monotonic() - start
            if (status, name in allowed) not in ((202, True), (400, False), (413, False), (422, False)) or took > 20:
                complain("%s, %s: got %d in %.1f s: %s" % (kind.decode(), name, status, took, answer[:200]))


# ---- slow, idle, and too many ----

def slow(count, seconds):
    """One byte every half second on each connection; all are to be cut by request_timeout."""
    count, end = int(count), time.monotonic() + int(seconds)
    texts = [b"G" * 1000, shapes.get(fields=b"X: " + b"x" * 1000), post(b" " * 1000, fields=b"X: " + b"x" * 1000),
             shapes.post(b"Content-Length: 1000\r\n"), shapes.post(b"Transfer-Encoding: chunked\r\n", b"3e8\r\n")]
    starts = [0, 20, 300, len(texts[3]), len(texts[4])]
    left = []
    for i in range(count):
        s = dial()
        kind = i % len(texts)
        shove(s, texts[kind][:starts[kind]])
        left.append([s, texts[kind] + b" " * 1000, starts[kind]])
    while left and time.monotonic() < end:
        time.sleep(0.5)
        for row in list(left):
            row[2] += 1
            if select.select([row[0]], [], [], 0)[0] or not shove(row[0], row[1][row[2] - 1:row[2]]):
                left.remove(row)
    if left:
        complain("%d slow connections are still there after %s s" % (len(left), seconds))


def idle(count, seconds):
    """Keeps so many connections that do nothing, and opens a new one for each that is closed."""
    socks = {}
    poll = select.epoll()
    end, opened = time.monotonic() + int(seconds), 0
    while time.monotonic() < end:
        while len(socks) < int(count):
            s = dial_lazily()
            socks[s.fileno()] = s
            poll.register(s, select.EPOLLRDHUP)
            opened += 1
        for fd, event in poll.poll(0.1):
            if event & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
                poll.unregister(fd)
                socks.pop(fd).close()
    if opened <= int(count):
        complain("no idle connection was closed")


def flood(seconds):
    """Connections as fast as they can be made, half of them with a request, none of them read."""
    end, kept = time.monotonic() + int(seconds), []
    while time.monotonic() < end:
        kept.append(dial_lazily())
        if rng.random() < 0.5:
            shove(kept[-1], shapes.get())
        if len(kept) > 2000:
            for s in kept:
                s.close()
            kept = []
    for s in kept:
        s.close()


# ---- many requests on one connection ----

def pipeline(depth):
    depth = int(depth)
    with dial() as s:
        asked = b"".join(shapes.get(b"/v1/tasks/none-%d" % i) for i in range(depth))
        threading.Thread(target=shove, args=(s, asked), daemon=True).start()
        reader = Reader(s)
        for i in range(depth):
            status, _, body = reader.answer()
            if status != 404 or b"none-%d'" % i not in body:
                complain("answer %d of the pipeline: %d %s" % (i, status, body[:200]))
                return
    with dial() as s:  # tasks, the answers of which nobody reads
        asked = b"".join(post({"executer": "cat", "id": "pipe-%d-%d" % (SEED, i)}) for i in range(depth))
        threading.Thread(target=shove, args=(s, asked), daemon=True).start()
        time.sleep(1)
    with dial() as s:
        asked = b"".join(post({"executer": "cat", "id": "line-%d-%d" % (SEED, i)}, b"?wait=60") for i in range(depth // 10))
        threading.Thread(target=shove, args=(s, asked), daemon=True).start()
        reader = Reader(s)
        for i in range(depth // 10):
            status, _, body = reader.answer()
            if status != 200 or b'"line-%d-%d"' % (SEED, i) not in body:
                complain("answer %d of the waiting pipeline: %d %s" % (i, status, body[:200]))
                return


# ---- clients that do not read ----

def stuck(count, seconds, *paths):
    """So many readers of each path who take nothing; then they are told how it went."""
    socks = []
    for i in range(int(count)):
        for path in paths:
            s = socket.socket()
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            s.connect(("127.0.0.1", PORT))
            shove(s, shapes.get(path.encode()))
            socks.append(s)
    time.sleep(int(seconds))
    for s in socks:
        s.close()


# ---- clients that go away ----

def vanish(count):
    """Goes away at a random byte of a request, or at a random moment after it; in three ways."""
    def requests(i):
        return [post({"executer": "cat", "input": "x" * 5000}), post({"executer": "sh", "args": ["sleep 0.2; echo x"]}, b"?wait=60"),
                shapes.get(b"/v1/tasks/pipe-%d-1/logs?follow=1" % SEED), shapes.get(b"/v1/tasks?limit=1000"),
                post({"executer": "sh", "args": ["sleep 0.1"], "id": "vanish-%d-%d" % (SEED, i)}) +
                shapes.get(b"/v1/tasks/vanish-%d-%d/logs?follow=1" % (SEED, i)),
                post({"executer": "cat", "input": "y" * 100000}, fields=b"Expect: 100-continue\r\n")]
    for i in range(int(count)):
        s = dial()
        data = rng.choice(requests(i))
        whole = rng.random() < 0.6
        shove(s, data if whole else data[:rng.randrange(len(data))])
        if whole:
            time.sleep(rng.random() * 0.05)
        how = rng.randrange(3)
        if how == 0:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # by reset
        elif how == 1:
            s.shutdown(socket.SHUT_WR)
        s.close()


def abandon(count):
    """Calls that wait, and whose clients do not. What they asked for is done all the same."""
    names = ["abandoned-%d-%d" % (SEED, i) for i in range(int(count))]
    for at in range(0, len(names), 100):
        socks = []
        for name in names[at:at + 100]:
            s = dial()
            shove(s, post({"executer": "cat", "id": name}, b"?wait=60"))
            socks.append(s)
        for name in names[at:at + 100]:  # all of them are there
            end = time.monotonic() + LONG
            while ask(shapes.get(b"/v1/tasks/" + name.encode()))[0] == 404 and time.monotonic() < end:
                time.sleep(0.01)
        for s in socks:
            s.close()
    for name in names:
        end, status = time.monotonic() + LONG, 0
        while status != 200 and time.monotonic() < end:
            status = ask(shapes.get(b"/v1/tasks/%s/result" % name.encode()))[0]
        if status != 200:
            complain("%s: %d" % (name, status))
            return


# ---- TLS ----

def tls(kind, count):
    """Connections that speak no TLS, or half of a handshake; they are cut, and one that does is served."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    half = ssl.MemoryBIO()
    try:
        trusting.wrap_bio(ssl.MemoryBIO(), half).do_handshake()
    except ssl.SSLWantReadError:
        pass
    first = half.read()
    socks = []
    for _ in range(int(count)):
        s = dial()
        shove(s, {"plain": shapes.get(), "half": first[:len(first) // 2],
                  "garbage": b"\x16\x03\x03\x40\x00" + rng.randbytes(20000)}[kind])
        socks.append(s)
    with trusting.wrap_socket(dial()) as s:
        shove(s, shapes.get())
        status = Reader(s).answer()[0]
        if status != 200:
            complain("the good client got %d" % status)
    for s in socks:
        got = read_all(s)
        if got is None or b"HTTP/1.1 2" in got:
            complain("%s: got %s" % (kind, got))
            return


def main():
    global PORT
    name, PORT = sys.argv[1], int(sys.argv[2])
    attacks = {"shapes": run_shapes, "behave": behave, "oversized": oversized, "bodies": bodies, "slow": slow, "idle": idle,
               "flood": flood, "pipeline": pipeline, "stuck": stuck, "vanish": vanish, "abandon": abandon, "tls": tls}
    attacks[name](*sys.argv[3:])


if __name__ == "__main__":
    main()
