# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""As much of the Redis protocol as the chaos test speaks: commands to a Unix socket, and the file of commands
(append-only file) that a server has written."""
import glob
import io
import re
import socket


class ErrorReply(Exception):
    """The server's answer is an error: nothing was done."""


def encode(words):
    parts = [w if isinstance(w, bytes) else str(w).encode() for w in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def decode(file):
    """The next value: str, int, None or a list of them. EOFError: it is not all there."""
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise EOFError("the line ends early")
    kind, rest = line[:1], line[1:-2].decode(errors="replace")
    if kind == b"-":
        raise ErrorReply(rest)
    if kind == b"+":
        return rest
    n = int(rest)
    if kind == b":":
        return n
    if n < 0:
        return None
    if kind == b"*":
        return [decode(file) for _ in range(n)]
    data = file.read(n + 2)
    if len(data) < n + 2:
        raise EOFError("the string ends early")
    return data[:-2].decode(errors="replace")


def ask(path, *words, timeout=5):
    """The reply. OSError or EOFError: nobody knows whether it was done, or will be yet."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(timeout)
        s.connect(path)
        s.sendall(encode(words))
        with s.makefile("rb") as file:
            return decode(file)


def pairs(flat):
    """{name: value} of [name, value, ...]."""
    return dict(zip(flat[::2], flat[1::2]))


def commands(directory):
    """All that a server with an append-only file has ever done, from that directory. One that was killed in the
    middle of writing has cut off the rest."""
    names = glob.glob(f"{directory}/*.aof") + glob.glob(f"{directory}/appendonlydir/*.aof")
    for name in sorted(names, key=lambda n: [int(d) for d in re.findall(r"\d+", n.rpartition("/")[2])]):
        with open(name, "rb") as f:
            file = io.BytesIO(f.read())
        try:
            while True:
                yield decode(file)
        except EOFError:
            pass
