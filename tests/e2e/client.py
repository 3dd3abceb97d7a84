#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""What client-python.t asks the Python client to do. Prints "ok NAME" or "not NAME" for each check.

client.py VERB URL MARKS [ARGUMENT...]; MARKS is a directory that payloads can write to.
"""

import asyncio
import concurrent.futures
import os
import pathlib
import socket
import sys
import threading
import time
import traceback
import types
import urllib.parse

import berth
import berth.aio

LONG = 120  # seconds for anything on a busy machine
BLOB = bytes(range(256)) * 4096  # 1 MiB of everything


def check(good, name):
    print("ok" if good else "not", name, flush=True)


def fails(error, text, name, call):
    """call() raises that, and says so."""
    try:
        got = call()
    except error as e:
        check(text in str(e), f"{name}: {text!r} in {str(e)!r}")
    except Exception as e:
        check(False, f"{name}: {type(e).__name__} {e}")
    else:
        check(False, f"{name}: it gave {got!r}")


def until(condition):
    end = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def mark(path):
    """The text of a shell command that leaves a file there, one each time: each payload has a user of its own."""
    return f"mktemp {path}.XXXXXX >/dev/null"


def count(path):
    return len(list(path.parent.glob(path.name + ".??????")))


def basics(url, marks):
    redis = url.startswith("unix")
    with berth.connect(url) as client:
        result = client.run("cat", input=b"hello").check()
        check(result.text == "hello" and result.ok and result.attempt == 1, "a task runs")
        check(result.usage["wall_ms"] >= 0 and result.host == "testnode" and result.executer == "cat", "its result is whole")
        check(len(result.id) == 26, "its id is made here")
        check(client.run("cat", input=BLOB).output == BLOB, "1 MiB of binary goes in and out")
        result = client.run("sh", "echo out; echo err >&2; exit 7")
        check((result.verdict, result.blame, result.exit_code) == ("failed", "task", 7), "a task fails")
        check(result.output == b"out\n" and result.stderr_tail == b"err\n", "and says what it said")
        fails(berth.TaskFailed, "exit code 7", "check() raises", result.check)
        result = client.run("sh", "cat in/a in/b; printf '\\377' >o1; echo $X", env={"X": "y"}, files={"in/a": BLOB[:300], "in/b": "text"},
                            outputs=["o*"], labels={"a": "b"}, resources={"memory": "64M", "cpus": 0.1}, timeout=60, priority=1)
        check(result.output == BLOB[:300] + b"texty\n", "files and environment go in")
        check([(one["path"], one["data"]) for one in result.files] == [("o1", b"\xff")], "and files come out")
        check(result.limits["asked"]["memory"] == 64 << 20, "limits are asked for")
        check(client.run("sh", "sleep 600", timeout=0.2).verdict == "timeout", "a timeout")
        check(client.run(runtime="process", command=["/bin/echo", "adhoc"]).text == "adhoc\n", "an ad-hoc task")

        fails(berth.Rejected, "no executer 'nobody'", "an unknown executer", lambda: client.run("nobody"))
        fails(berth.Rejected, "network", "a wrong value", lambda: client.run("cat", network="wide"))
        fails(TypeError, "args[1] is bytes", "a wrong argument", lambda: client.run("cat", "a", b"b"))
        fails(TypeError, "must be a list", "a text for a list", lambda: client.run(runtime="process", command="ls"))
        fails(TypeError, "one of the two", "neither executer nor runtime", client.run)
        fails(ValueError, "1 to 128", "a wrong id", lambda: client.run("cat", id="a b"))

        id = f"mine-{os.getpid()}"
        check(client.submit("cat", input="1", id=id) == id and client.wait(id, LONG).text == "1", "an id of one's own")
        check(client.submit("cat", input="1", id=id) == id and client.run("cat", input="1", id=id).text == "1", "sent again it is the same")
        fails(berth.Conflict, "used for a different task", "the id with another task", lambda: client.submit("cat", input="2", id=id))
        check(client.status(id).state == "done" and client.status(id).verdict == "succeeded", "its state")

        gate = marks / f"gate-{os.getpid()}"
        id = client.submit("sh", f"echo >{gate}; sleep 600")
        check(until(gate.exists) and client.status(id).state == "running", "a task that runs")
        fails(berth.NotDone, "not done", "waiting for some time", lambda: client.wait(id, 0.3))
        fails(TimeoutError, "not done", "which is a TimeoutError", lambda: client.wait(id, 0))
        check(client.cancel(id) and client.wait(id, LONG).verdict == "cancelled", "it is cancelled")
        check(client.cancel(id) is False, "which cannot be done twice")
        if not redis:
            fails(berth.NotFound, "nowhere", "a task that is not there", lambda: client.wait("nowhere", 1))
            fails(berth.Rejected, "stage larger input by file", "one that is too large", lambda: client.run("cat", input=BLOB * 20))


def executor(url, marks):
    with berth.Executor(url, "cat") as pool:
        texts = [str(i) for i in range(1000)]
        check([result.text for result in pool.map(inputs=texts)] == texts, "1000 tasks, results in order")
        futures = [pool.submit(input=text) for text in texts[:100]]
        check(len({future.id for future in futures}) == 100, "each future has its id")
        done = concurrent.futures.as_completed(futures, LONG)
        check(sorted(future.result().text for future in done) == sorted(texts[:100]), "as_completed")
        check([one.text for one in pool.map(["echo a", "echo b"], executer="sh")] == ["a\n", "b\n"], "map of arguments")

        gate = marks / f"pool-{os.getpid()}"
        future = pool.submit(f"echo >{gate}; sleep 600", executer="sh")
        check(until(gate.exists) and not future.done(), "a future of a task that runs")
        check(future.cancel() and future.cancelled() and future.cancel(), "is cancelled")
        check(future in concurrent.futures.wait([future], LONG).done, "which waiters learn")
        with berth.connect(url) as client:
            check(client.wait(future.id, LONG).verdict == "cancelled", "and its task with it")
        failure = pool.submit(executer="nobody").exception(LONG)
        check(isinstance(failure, berth.Rejected) and "no executer 'nobody'" in str(failure), "an unknown executer is its exception")
        future = pool.submit(input="late")
        check(future.result(LONG).text == "late" and not future.cancel(), "what is done is not cancelled")
    fails(RuntimeError, "shut down", "after the end", lambda: pool.submit(input=""))
    left = berth.Executor(url, "sh")
    futures = [left.submit("sleep 600") for _ in range(200)]
    left.shutdown(cancel_futures=True)
    check(all(future.cancelled() for future in futures), "shutdown with cancel_futures")
    check(berth.Executor(url, "cat").submit(input="kept").result(LONG).text == "kept", "a future keeps its Executor")


async def asynchronous(url, marks):
    async with berth.aio.connect(url, "cat") as client:
        results = await asyncio.gather(*(client.submit(input=str(i)) for i in range(300)))
        check([result.text for result in results] == [str(i) for i in range(300)], "300 tasks at once")
        waiting = client.submit("sleep 600", executer="sh")
        try:
            await asyncio.wait_for(waiting, 0.5)
            check(False, "wait_for ends the wait")
        except asyncio.TimeoutError:
            check(True, "wait_for ends the wait")
        check((await client.wait(waiting.id, LONG)).verdict == "cancelled", "and the task")
        try:
            await client.run(executer="nobody")
            check(False, "an unknown executer")
        except berth.Rejected as e:
            check("no executer" in str(e), "an unknown executer")
        check((await client.status(results[0].id)).state == "done", "a state")
        check(await client.cancel(results[0].id) is False, "what is done is not cancelled")


def away(url, marks, name):
    """Waits by all ways while the test restarts what it likes."""
    text = f"{mark(marks / name)}; until [ -e {marks / name}.open ]; do sleep 0.05; done; echo end"
    with berth.connect(url) as client, berth.Executor(url, "sh") as pool:
        first = client.submit("sh", text)
        futures = [pool.submit(text) for _ in range(5)]  # with those of other waiters, no more than run at once
        until(lambda: count(marks / name) == 6)
        print("waiting", flush=True)
        check(client.wait(first, LONG).text == "end\n", "a result is waited for all the same")
        check([future.result(LONG).text for future in futures] == ["end\n"] * 5, "and those of futures")
        after = [pool.submit("echo after") for _ in range(10)]
        check([future.result(LONG).text for future in after] == ["after\n"] * 10, "and more tasks run")
        check(count(marks / name) == 6, "each has run once")


def gone(url, _marks):
    with berth.connect(url, patience=0.5) as client:
        fails(berth.Unavailable, "tried for 0.5 s", "a server that is away", lambda: client.submit("cat"))
    with berth.Executor(url, "cat", patience=0.5) as pool:
        check(isinstance(pool.submit().exception(LONG), berth.Unavailable), "ends futures, too")


def secret(url, _marks, token, ca_file):
    with berth.connect(url, token=token, ca_file=ca_file) as client:
        check(client.run("cat", input="in").text == "in", "with its token and authority")
    os.environ["BERTH_TOKEN"], os.environ["BERTH_CA_FILE"] = token, ca_file
    with berth.connect(url) as client:
        check(client.run("cat", input="in").text == "in", "or by the environment")
    with berth.connect(url, token="wrong") as client:
        fails(berth.Unauthorized, "", "a wrong token", lambda: client.submit("cat"))
    with berth.Executor(url, "cat", token="wrong") as pool:
        check(isinstance(pool.submit().exception(LONG), berth.Unauthorized), "a wrong token is the future's exception")
    del os.environ["BERTH_CA_FILE"]
    if url.startswith(("https", "rediss")):
        with berth.connect(url, patience=5) as client:
            fails(berth.Error, "certificate", "an authority that is not trusted", lambda: client.submit("cat"))


def keys(url, _marks, key):
    with berth.connect(url, token=key) as client:
        check(client.run("cat", input="in").text == "in", "with our key and the server's")
    fails(ValueError, "40 characters", "without our key", lambda: berth.connect(url))
    import zmq
    with berth.connect(url, token=zmq.curve_keypair()[1].decode(), patience=0.5) as client:
        fails(berth.Unavailable, "does not answer", "a key that is not known", lambda: client.submit("cat"))


class Lossy:
    """A proxy that cuts the connection instead of every other answer, until it has done so often enough."""

    def __init__(self, target):
        self.target, self.losses, self.cut, self.answers = target, 0, 0, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near = self.listener.accept()[0]
            far = socket.socket(socket.AF_UNIX if isinstance(self.target, str) else socket.AF_INET)
            far.connect(self.target)
            state = types.SimpleNamespace(asked=False)
            threading.Thread(target=self.forth, args=(near, far, state), daemon=True).start()
            threading.Thread(target=self.back, args=(far, near, state), daemon=True).start()

    def forth(self, near, far, state):
        try:
            while data := near.recv(65536):
                state.asked = state.asked or b"lossy" in data
                far.sendall(data)
            far.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def back(self, far, near, state):
        try:
            while data := far.recv(65536):
                self.answers += state.asked
                if state.asked and self.answers % 2 and self.cut < self.losses:
                    self.cut += 1
                    break
                near.sendall(data)
            near.shutdown(socket.SHUT_RDWR)  # close() alone does not wake who reads from it
        except OSError:
            pass


def lossy(url, marks):
    """Answers are lost; nothing runs twice."""
    parts = urllib.parse.urlsplit(url)
    local = parts.scheme in ("unix", "zmq+ipc")
    proxy = Lossy(parts.path if local else (parts.hostname, parts.port))
    proxy.losses = 5
    near = {"unix": "redis://127.0.0.1:{}/0?" + parts.query, "zmq+ipc": "zmq://127.0.0.1:{}"}.get(parts.scheme, "http://127.0.0.1:{}")
    near = near.format(proxy.port)
    path = marks / f"lossy-{os.getpid()}"
    text = f"{mark(path)} # lossy"
    with berth.connect(near) as client:
        for _ in range(5):
            client.wait(client.submit("sh", text), LONG)
    check(proxy.cut == 5, "5 answers were lost")
    proxy.losses, proxy.answers = 15, 0  # the next is lost again
    with berth.Executor(near, "sh") as pool:
        check(all(result.ok for result in pool.map([text] * 30)), "all futures have their result")
    check(proxy.cut > 5, "though more answers were lost")
    check(count(path) == 35, f"each task has run once: {count(path)} of 35")


def main(verb, url, marks, *more):
    try:
        what = {"async": asynchronous}.get(verb) or globals()[verb]
        done = what(url, pathlib.Path(marks), *more)
        if asyncio.iscoroutine(done):
            asyncio.run(done)
        check(True, "to the end")
    except Exception:
        print(traceback.format_exc(), file=sys.stderr)
        check(False, "to the end: " + traceback.format_exc().splitlines()[-1])


main(*sys.argv[1:])
