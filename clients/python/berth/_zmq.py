# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""berth over ZeroMQ: see berth-zeromq(7) for the protocol. Needs python3-zmq and python3-msgpack."""

import concurrent.futures
import os
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgpack
import zmq

from .client import Client, Clock, Options, Status
from .errors import Conflict, Error, NotDone, NotFound, Rejected, Unavailable
from .task import Result, Task, make_id, make_result, ran

_ANSWER_S = 2.0  # without an answer the same is said again
_PAUSE_S = 0.5  # after "again": the host has no room
_LOOK_S = 1.0  # how often it is asked about a task of somebody else


def _secret(url: str, options: Options) -> Tuple[str, Optional[Tuple[bytes, bytes, bytes]]]:
    """The endpoint, and the keys: the server's, our public and secret one."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    server = query.pop("server_key", None)
    if query:
        raise ValueError(f"'{next(iter(query))}' in '{url}' is not known; there is server_key")
    endpoint = f"ipc://{unquote(parts.path)}" if parts.scheme == "zmq+ipc" else f"tcp://{parts.netloc}"
    if parts.scheme == "zmq" and not (parts.hostname and parts.port) or parts.scheme == "zmq+ipc" and not parts.path:
        raise ValueError(f"'{url}' is not like zmq://127.0.0.1:2592 or zmq+ipc:///path")
    if server is None:
        return endpoint, None
    secret = (options.secret() or "").encode()
    try:
        if len(secret) == len(server) == 40:
            return endpoint, (server.encode(), zmq.curve_public(secret), secret)
    except zmq.ZMQError:
        pass
    raise ValueError("server_key in the URL and our secret key, given as token, are 40 characters of Z85 each")


class _Open:
    """A task whose result has not come."""

    def __init__(self, id: str, packed: bytes, id_made: bool, accepted, future):
        self.id, self.packed, self.id_made = id, packed, id_made
        self.ping = 0  # nothing before its PONG is about this task, but one that had its id before
        self.accepted = accepted  # a future of submit(), or None
        self.future = future  # of the result, or None
        self.due = 0.0  # when to send it again; 0: it has been accepted
        self.since = time.monotonic()


def _settle(future, value=None, error: Optional[BaseException] = None) -> None:
    if future is None:
        return
    try:
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)
    except concurrent.futures.InvalidStateError:
        pass  # cancelled: nobody wants it


def _refusal(body: Dict[str, Any]) -> Error:
    code, text = body.get("code", ""), body.get("message", "")
    if code == "conflict":
        return Conflict(text, code)
    return Rejected(text, code)


class _Line(threading.Thread):
    """The thread that alone uses the socket. Others leave it orders, and wake it."""

    def __init__(self, client: "ZmqClient"):
        super().__init__(name="berth-zmq", daemon=True)
        self.client = client
        self.context = zmq.Context()
        self.socket: Any = None
        self.name_there = f"py-{make_id()}"
        self.ready = self.stopping = False
        self.orders: Deque[Callable[[], None]] = deque()
        self.wake_r, self.wake_w = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.open: Dict[str, _Open] = {}  # sent, or sent again
        self.queue: Deque[_Open] = deque()  # waiting for credit
        self.asks: Dict[Tuple[str, str], List[Any]] = {}  # (word, id): futures of answers
        self.asked: Dict[Tuple[str, str], float] = {}  # when
        self.credit, self.max_message, self.heartbeat = 0, 0, 5.0
        self.pings = 0
        self.heard = self.pinged = self.greeted = 0.0
        self.away: Optional[float] = None  # since when

    # ---- for other threads ----

    def order(self, what: Callable[[], None]) -> None:
        self.orders.append(what)
        try:
            os.write(self.wake_w, b"x")
        except BlockingIOError:
            pass  # it is awake

    # ---- the loop ----

    def run(self) -> None:
        poller = zmq.Poller()
        poller.register(self.wake_r, zmq.POLLIN)
        while not self.stopping:
            if self.socket is None and self.has_work():
                self.dial()
                poller.register(self.socket, zmq.POLLIN)
            seen = dict(poller.poll(200 if self.has_work() else 1000))
            if self.wake_r in seen:
                os.read(self.wake_r, 4096)
            while self.orders:
                self.orders.popleft()()
            if self.socket is None:
                continue
            if self.socket in seen:
                self.hear_all()
            self.tick()
            if not self.ready and self.heard < time.monotonic() - 3 * self.heartbeat:
                poller.unregister(self.socket)
                self.hang_up()
        self.end()

    def has_work(self) -> bool:
        return bool(self.open or self.queue or self.asks)

    def end(self) -> None:
        gone = Unavailable("this client was closed")
        for task in [*self.open.values(), *self.queue]:
            _settle(task.accepted, error=gone)
            _settle(task.future, error=gone)
        for futures in self.asks.values():
            for future in futures:
                _settle(future, error=gone)
        if self.socket is not None:
            self.socket.close(linger=1000)
        self.context.term()
        os.close(self.wake_r)
        os.close(self.wake_w)

    # ---- the socket ----

    def dial(self) -> None:
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.SNDHWM, 0)  # what is open is bounded by the credit
        if self.client._keys:
            self.socket.curve_serverkey, self.socket.curve_publickey, self.socket.curve_secretkey = self.client._keys
        self.socket.connect(self.client._endpoint)
        self.heard = time.monotonic()
        self.greet()

    def hang_up(self) -> None:
        self.socket.close(linger=0)
        self.socket = None

    def greet(self) -> None:
        self.ready = False
        self.greeted = time.monotonic()
        self.say("READY", {"v": 1, "client": self.name_there, "window": 1000})

    def say(self, word: str, body: Any) -> None:
        self.socket.send_multipart([word.encode(), body if isinstance(body, bytes) else msgpack.packb(body)])

    # ---- what comes ----

    def hear_all(self) -> None:
        ended: List[str] = []
        for _ in range(1000):
            try:
                word, body = self.socket.recv_multipart(zmq.NOBLOCK)
                message = msgpack.unpackb(body, raw=False, strict_map_key=False)
            except zmq.Again:
                break
            except ValueError:
                continue  # it is no message of the protocol
            self.heard, self.away = time.monotonic(), None
            if word == b"RESULT":
                ended.append(message["id"])
            self.take(word, message)
        if ended:
            self.say("RESULT", {"ids": ended})

    def take(self, word: bytes, body: Dict[str, Any]) -> None:
        if word == b"READY":
            self.take_ready(body)
        elif word == b"PING":
            self.say("PONG", body)
        elif word == b"PONG":
            self.take_pong(body.get("n", 0))
        elif word == b"ACCEPTED":
            task = self.known(body["id"])
            if task:
                task.due = 0.0
                _settle(task.accepted, True)
        elif word == b"RESULT":
            self.take_result(body)
        elif word == b"STATUS":
            self.take_answer(body["id"], body)
        elif word == b"ERROR":
            self.take_error(body)

    def take_ready(self, body: Dict[str, Any]) -> None:
        again = not self.ready
        self.ready = True
        self.credit = body.get("credit", 1)
        self.max_message = body.get("max_message", 0)
        self.heartbeat = body.get("heartbeat_ms", 5000) / 1000
        if not again:
            return
        for task in self.open.values():
            if task.due or not body.get("resumed"):
                task.due = self.heard  # now
        for key in self.asks:
            self.asked[key] = 0.0

    def take_pong(self, n: int) -> None:
        for task in self.open.values():
            if task.ping and task.ping <= n:
                task.ping = 0

    def known(self, id: str) -> Optional[_Open]:
        """The task that a message with that id is about."""
        task = self.open.get(id)
        return task if task and not task.ping else None

    def take_result(self, body: Dict[str, Any]) -> None:
        task = self.known(body["id"])
        if not task:
            return
        del self.open[task.id]
        _settle(task.accepted, True)
        try:
            _settle(task.future, ran(make_result(body)))
        except Error as e:
            _settle(task.future, error=e)

    def take_answer(self, id: str, body: Dict[str, Any], error: Optional[Error] = None, words=("CANCEL", "STATUS")) -> None:
        for word in words:
            futures = self.asks.get((word, id))
            if futures:
                _settle(futures.pop(0), body, error)
                if not futures:
                    del self.asks[word, id]
                return

    def take_error(self, body: Dict[str, Any]) -> None:
        code, word, id = body.get("code", ""), body.get("type", ""), body.get("id", "")
        if code == "not_ready":
            if self.ready or time.monotonic() - self.greeted > _ANSWER_S:
                self.greet()
        elif code == "replaced":
            self.name_there = f"py-{make_id()}"
            self.greet()
        elif word in ("CANCEL", "STATUS"):
            if code == "done" or code == "unknown":
                self.take_answer(id, {"id": id, "code": code}, None, (word,))
            else:
                self.take_answer(id, {}, _refusal(body), (word,))
        elif word == "SUBMIT" and self.known(id):
            task = self.open[id]
            if body.get("again"):
                task.due = time.monotonic() + _PAUSE_S
                self.give_up_if_late(task, body.get("message", ""))
            else:
                del self.open[id]
                _settle(task.accepted, error=_refusal(body))
                _settle(task.future, error=_refusal(body))

    def give_up_if_late(self, task: _Open, why: str) -> None:
        patience = self.client._patience
        if patience is not None and time.monotonic() - task.since > patience:
            del self.open[task.id]
            late = Unavailable(f"{self.client._endpoint}: {why} (tried for {patience:g} s)")
            _settle(task.accepted, error=late)
            _settle(task.future, error=late)

    # ---- what goes ----

    def tick(self) -> None:
        now = time.monotonic()
        if self.heard < now - self.heartbeat and self.pinged < now - self.heartbeat:
            self.pinged = now
            if self.ready:
                self.say("PING", {})
        silent = now - self.heard
        if silent > 3 * self.heartbeat or not self.ready:
            self.ready = False
            if self.away is None:
                self.away = now
            self.give_up(now)
            if now - self.greeted > _ANSWER_S and self.socket is not None:
                self.greet()
            return
        while self.queue and len(self.open) < self.credit:
            task = self.queue.popleft()
            self.open[task.id] = task
            task.due = now
        for task in list(self.open.values()):
            if task.due and task.due <= now:
                self.submit(task, now)
        for key, futures in self.asks.items():
            if self.asked.get(key, 0.0) < now - _ANSWER_S:
                self.asked[key] = now
                self.say(key[0], {"id": key[1]})
        for key in [key for key in self.asked if key not in self.asks]:
            del self.asked[key]

    def submit(self, task: _Open, now: float) -> None:
        if self.max_message and len(task.packed) > self.max_message:
            error = Rejected(f"the task has {len(task.packed)} bytes, the host takes {self.max_message}: "
                             "stage larger input by file", "too_large")
            del self.open[task.id]
            _settle(task.accepted, error=error)
            _settle(task.future, error=error)
            return
        task.due = now + _ANSWER_S
        if not task.id_made:
            self.pings += 1
            task.ping = self.pings
            self.say("PING", {"n": task.ping})
        self.say("SUBMIT", task.packed)

    def give_up(self, now: float) -> None:
        patience = self.client._patience
        if patience is None or self.away is None or now - self.away < patience:
            return
        gone = Unavailable(f"{self.client._endpoint} does not answer (tried for {patience:g} s)")
        tasks = [*self.open.values(), *self.queue]
        asks = [future for futures in self.asks.values() for future in futures]
        self.open.clear(), self.queue.clear(), self.asks.clear()
        for task in tasks:
            _settle(task.accepted, error=gone)
            _settle(task.future, error=gone)
        for future in asks:
            _settle(future, error=gone)
        self.away = None


class ZmqClient(Client):
    def __init__(self, url: str, options: Options):
        self._endpoint, self._keys = _secret(url, options)
        self._patience = options.patience
        self._lock = threading.Lock()
        self._line: Optional[_Line] = None

    def _order(self, what: Callable[[_Line], None]) -> None:
        with self._lock:
            if self._line is None:
                self._line = _Line(self)
                self._line.start()
            line = self._line
        line.order(lambda: what(line))

    def _post(self, task: Task, accepted, future) -> None:
        one = _Open(task["id"], msgpack.packb(task, use_bin_type=True), task.id_made, accepted, future)

        def post(line: _Line) -> None:
            line.open.pop(one.id, None)  # the same again
            line.queue.append(one)

        self._order(post)

    def _ask(self, word: str, id: str) -> Dict[str, Any]:
        future: "concurrent.futures.Future" = concurrent.futures.Future()

        def ask(line: _Line) -> None:
            line.asks.setdefault((word, id), []).append(future)
            line.asked[word, id] = 0.0

        self._order(ask)
        answer = future.result()
        if answer.get("code") == "unknown":
            raise NotFound(f"there is no task '{id}', or its result is no longer kept")
        return answer

    def send(self, task: Task) -> str:
        accepted: "concurrent.futures.Future" = concurrent.futures.Future()
        self._post(task, accepted, None)
        accepted.result()
        return task["id"]

    def send_and_wait(self, task: Task, timeout: Optional[float] = None) -> Result:
        future: "concurrent.futures.Future" = concurrent.futures.Future()
        self._post(task, None, future)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError as e:
            if isinstance(e, NotDone):
                raise
            raise NotDone(f"task {task['id']} is not done after {timeout:g} s") from None

    def wait(self, id: str, timeout: Optional[float] = None) -> Result:
        clock, pause = Clock(timeout), 0.01
        while True:
            answer = self._ask("STATUS", id)
            if answer.get("result"):
                return ran(make_result(answer["result"]))
            if clock.is_over():
                raise NotDone(f"task {id} is not done after {timeout:g} s")
            time.sleep(clock.left(pause))
            pause = min(2 * pause, _LOOK_S)

    def cancel(self, id: str) -> bool:
        answer = self._ask("CANCEL", id)
        return answer.get("code") != "done" and answer.get("state") != "done"

    def status(self, id: str) -> Status:
        raw = self._ask("STATUS", id)
        verdict = raw.get("verdict") or (raw.get("result") or {}).get("verdict", "")
        return Status(id, raw.get("state", ""), raw.get("attempt", 0), verdict, raw)

    def courier(self, max_workers: int) -> "_Courier":
        return _Courier(self)

    def close(self) -> None:
        with self._lock:
            line, self._line = self._line, None
        if line:
            def stop() -> None:
                line.stopping = True

            line.order(stop)
            if line is not threading.current_thread():
                line.join()


class _Courier:
    """The client's line, for futures."""

    def __init__(self, client: ZmqClient):
        self.client = client
        self.lock = threading.Condition()
        self.left = 0

    def send(self, task: Task, future) -> None:
        inner: "concurrent.futures.Future" = concurrent.futures.Future()
        inner.add_done_callback(lambda inner: self._end(inner, future))
        with self.lock:
            self.left += 1
        self.client._post(task, None, inner)

    def _end(self, inner, future) -> None:
        error = inner.exception()
        if error:
            future.fail(error)
        else:
            future.resolve(inner.result())
        with self.lock:
            self.left -= 1
            self.lock.notify_all()

    def cancel(self, id: str) -> None:
        def cancel(line: _Line) -> None:
            for task in line.queue:
                if task.id == id:
                    line.queue.remove(task)
                    _settle(task.future, error=Error("cancelled before it was sent"))
                    return
            if id in line.open:
                line.asks.setdefault(("CANCEL", id), []).append(None)
                line.asked["CANCEL", id] = 0.0

        self.client._order(cancel)

    def close(self) -> None:
        """All that was sent has ended."""
        with self.lock:
            self.lock.wait_for(lambda: not self.left)
        self.client.close()
