# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""berth over HTTP, by the standard library: see berth-http(7)."""

import http.client
import queue
import socket
import ssl
import threading
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import quote, unquote, urlsplit

from .client import Client, Clock, Options, Patience, Status
from .errors import Conflict, Error, NotDone, NotFound, Rejected, Unauthorized
from .task import Result, Task, from_json, make_result, ran, to_json

_HOLD = 30.0  # seconds that one request waits for a result
_SLACK = 30.0  # seconds that an answer may take beyond
_END = (1 << 63) - 1  # an offset in the output that is never reached
_REFUSED = (400, 411, 413, 415, 422, 431)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class _Pool:
    """Connections that are kept alive, one for each request that is under way."""

    def __init__(self, url: str, options: Options):
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise ValueError("no token belongs in the URL: give it as token=, or in BERTH_TOKEN")
        if parts.query or parts.fragment or (parts.path.strip("/") and parts.scheme != "http+unix"):
            raise ValueError(f"'{url}' goes on after the port; it must be like http://127.0.0.1:2591")
        self.scheme, self.host, self.path = parts.scheme, parts.hostname, unquote(parts.path)
        self.port = parts.port or 2591
        if parts.scheme == "http+unix" and not self.path.startswith("/") or parts.scheme != "http+unix" and not self.host:
            raise ValueError(f"'{url}' names no server; it must be like http://127.0.0.1:2591 or http+unix:///path")
        self.tls = ssl.create_default_context(cafile=options.authorities()) if parts.scheme == "https" else None
        self.name = self.path if parts.scheme == "http+unix" else f"{self.host}:{self.port}"
        self.lock = threading.Lock()
        self.idle: List[http.client.HTTPConnection] = []
        self.closed = False

    def take(self) -> Tuple[http.client.HTTPConnection, bool]:
        """A connection, and whether it has been used before."""
        with self.lock:
            if self.idle:
                return self.idle.pop(), True
        if self.scheme == "http+unix":
            return _UnixConnection(self.path), False
        if self.tls:
            return http.client.HTTPSConnection(self.host, self.port, context=self.tls), False
        return http.client.HTTPConnection(self.host, self.port), False

    def give(self, connection: http.client.HTTPConnection) -> None:
        with self.lock:
            if not self.closed:
                self.idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        with self.lock:
            self.closed, idle, self.idle = True, self.idle, []
        for connection in idle:
            connection.close()


class _Answer:
    def __init__(self, status: int, headers, data: bytes):
        self.status, self.data = status, data
        self.retry_after = headers.get("Retry-After", "")
        kind = headers.get("Content-Type", "").partition(";")[0].strip()
        self.body: Any = from_json(data) if kind.endswith("json") else {}

    @property
    def problem(self) -> str:
        """The name of the problem, such as "not-done"; "" if something else answered than berth."""
        return str(self.body.get("type", "")).rpartition("urn:berth:problem:")[2] if isinstance(self.body, dict) else ""

    @property
    def detail(self) -> str:
        said = self.body.get("detail") if isinstance(self.body, dict) else None
        return said or f"the server answered {self.status}: {self.data[:200].decode(errors='replace')}"


class HttpClient(Client):
    def __init__(self, url: str, options: Options):
        self._pool = _Pool(url, options)
        self._patience = options.patience
        self._closing = threading.Event()
        secret = options.secret()
        self._headers = {"Accept": "application/json"}
        if secret:
            self._headers["Authorization"] = f"Bearer {secret}"
        self._hold = _HOLD

    # ---- one request ----

    def _once(self, method: str, path: str, body: Optional[bytes], hold: float) -> _Answer:
        connection, used = self._pool.take()
        while True:
            try:
                connection.timeout = hold + _SLACK
                if connection.sock:
                    connection.sock.settimeout(connection.timeout)
                headers = dict(self._headers, **({"Content-Type": "application/json"} if body else {}))
                try:
                    connection.request(method, path, body, headers)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # refused before all of it was sent: the answer tells why, if there is one
                response = connection.getresponse()
                answer = _Answer(response.status, response.headers, response.read())
                break
            except (OSError, http.client.HTTPException):
                connection.close()
                if not used:
                    raise
                connection, used = self._pool.take()  # the server had closed it: not worth a pause
            except BaseException:
                connection.close()
                raise
        if response.will_close:
            connection.close()
        else:
            self._pool.give(connection)
        return answer

    def _ask(self, method: str, path: str, patience: Patience, body: Optional[bytes] = None, hold: float = 0.0) -> _Answer:
        """Until there is an answer that more tries would not change. All our requests can be repeated."""
        while True:
            try:
                answer = self._once(method, path, body, hold)
            except ssl.SSLCertVerificationError as e:
                raise Unauthorized(f"{self._pool.name}: the server's certificate is not accepted: {e.verify_message}") from e
            except (OSError, http.client.HTTPException, ValueError) as e:
                patience.pause(f"{self._pool.name} does not answer: {e or type(e).__name__}")
                continue
            if answer.status < 500 and answer.status not in (408, 429):
                patience.well()
                break
            wait = float(answer.retry_after) if answer.retry_after.isdigit() else 0.0
            patience.pause(f"{self._pool.name}: {answer.detail}", min(wait, 5.0))
        if answer.status in (401, 403):
            raise Unauthorized(answer.detail)
        if answer.problem == "conflict":
            raise Conflict(answer.detail, answer.problem, self._refusal(answer))
        if answer.status in _REFUSED and not (hold and answer.problem == "bad-parameter"):
            raise Rejected(answer.detail, answer.problem, self._refusal(answer))
        if answer.problem == "not-found":
            raise NotFound(answer.detail)
        if answer.status not in (200, 202, 400, 409):
            raise Error(f"{self._pool.name} is no berth host, or of another version: {answer.detail}")
        return answer

    @staticmethod
    def _refusal(answer: _Answer) -> Optional[Result]:
        raw = answer.body.get("result")
        return make_result(raw) if raw else None

    def _trying(self, clock: Optional[Clock] = None) -> Patience:
        return Patience(self._patience, self._closing, clock)

    # ---- tasks ----

    def send(self, task: Task) -> str:
        return self._ask("POST", "/v1/tasks", self._trying(), to_json(task)).body["id"]

    def send_and_wait(self, task: Task, timeout: Optional[float] = None) -> Result:
        clock, body = Clock(timeout), to_json(task)
        hold = round(clock.left(self._hold), 3)
        path = f"/v1/tasks?wait={hold:g}" if hold else "/v1/tasks"
        answer = self._ask("POST", path, self._trying(), body, hold)
        if answer.status == 400:  # the host's max_wait is less
            self._hold = 0.0
            answer = self._ask("POST", "/v1/tasks", self._trying(), body)
        if answer.status == 200:
            return ran(make_result(answer.body))
        return self.wait(task["id"], None if timeout is None else clock.left(timeout))

    def wait(self, id: str, timeout: Optional[float] = None) -> Result:
        clock = Clock(timeout)
        patience = self._trying(clock)
        while True:
            answer = self._ask("GET", f"/v1/tasks/{quote(id, safe='')}/result", patience)
            if answer.status == 200:
                return ran(make_result(answer.body))
            if clock.is_over():
                raise NotDone(f"task {id} is not done after {timeout:g} s")
            self._follow(id, clock.left(_HOLD))

    def _follow(self, id: str, seconds: float) -> None:
        """Until the task is done, or the time is over: its output, from a place that it never reaches, ends then."""
        connection, _ = self._pool.take()
        try:
            connection.timeout = max(seconds, 0.001)
            if connection.sock:
                connection.sock.settimeout(connection.timeout)
            connection.request("GET", f"/v1/tasks/{quote(id, safe='')}/logs?follow=1&offset={_END}", headers=self._headers)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            self._closing.wait(0.05)  # what is wrong is found by who asks for the result
        finally:
            connection.close()

    def cancel(self, id: str) -> bool:
        return self._ask("DELETE", f"/v1/tasks/{quote(id, safe='')}", self._trying()).status == 202

    def status(self, id: str) -> Status:
        raw = self._ask("GET", f"/v1/tasks/{quote(id, safe='')}", self._trying()).body
        return Status(id, raw.get("state", ""), raw.get("attempt", 0), raw.get("verdict", ""), raw)

    def courier(self, max_workers: int) -> "_Courier":
        return _Courier(self, max_workers)

    def close(self) -> None:
        self._closing.set()
        self._pool.close()


class _Courier:
    """A thread for each task that is under way: it holds the line for the result."""

    def __init__(self, client: HttpClient, max_workers: int):
        self.client, self.max_workers = client, max_workers
        self.lock = threading.Lock()
        self.waiting: "queue.SimpleQueue" = queue.SimpleQueue()
        self.threads: List[threading.Thread] = []
        self.idle = 0
        self.under_way: Dict[str, bool] = {}
        self.cancels: "queue.SimpleQueue" = queue.SimpleQueue()
        self.canceller: Optional[threading.Thread] = None

    def send(self, task: Task, future) -> None:
        self.waiting.put((task, future))
        with self.lock:
            if self.idle:
                self.idle -= 1
            elif len(self.threads) < self.max_workers:
                self.threads.append(threading.Thread(target=self._work, name="berth-http", daemon=True))
                self.threads[-1].start()

    def _work(self) -> None:
        while True:
            item = self.waiting.get()
            if item is None:
                return
            self._carry(*item)
            del item  # or the last future would live as long as the thread
            with self.lock:
                if self.waiting.empty():
                    self.idle += 1

    def _carry(self, task: Task, future) -> None:
        with self.lock:
            if future.cancelled():
                return
            self.under_way[task["id"]] = True
        try:
            future.resolve(self.client.send_and_wait(task))
        except BaseException as e:  # whatever it is, who waits for the future must learn of it
            future.fail(e)
        finally:
            with self.lock:
                del self.under_way[task["id"]]

    def cancel(self, id: str) -> None:
        with self.lock:
            if id not in self.under_way:
                return
            if not self.canceller:
                self.canceller = threading.Thread(target=self._cancel_all, name="berth-cancel", daemon=True)
                self.canceller.start()
        self.cancels.put(id)

    def _cancel_all(self) -> None:
        while True:
            id = self.cancels.get()
            if id is None:
                return
            try:
                self.client.cancel(id)
            except NotFound:  # it is still on its way there
                self.client._closing.wait(0.02)
                with self.lock:
                    again = id in self.under_way
                if again:
                    self.cancels.put(id)
            except Error:
                pass  # the host is away: there is nobody to tell

    def close(self) -> None:
        """All that was sent has ended."""
        for _ in self.threads:
            self.waiting.put(None)
        for thread in self.threads:
            if thread is not threading.current_thread():  # the last future may die in one of ours
                thread.join()
        if self.canceller:
            self.cancels.put(None)
            self.canceller.join()
        self.client.close()
