# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""berth through Redis: see berth-redis(7) for the keys. Needs python3-redis and python3-msgpack."""

import threading
from collections import deque
from typing import Any, Deque, Dict, Iterable, List, Optional, Tuple
from urllib.parse import parse_qsl, unquote, urlsplit

import msgpack
import redis

from .client import Client, Clock, Options, Patience, Status
from .errors import Conflict, Error, NotDone, Unauthorized
from .task import Result, Task, from_json, make_result, ran

_BATCH = 200  # commands that go out together
_LOOK_S = 1.0  # how often a result is looked for whose announcement did not come
_TIMEOUT_S = 10.0  # of one reply
# A server in these states will get over it.
_PASSING = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MISCONF", "OOM", "BUSY", "UNKILLABLE")
# For how many events the state of a task is looked for.
_EVENTS = 10000


def _passes(error: redis.RedisError) -> bool:
    return isinstance(error, (redis.ConnectionError, redis.TimeoutError)) or str(error).startswith(_PASSING)


def _is_access(error: redis.RedisError) -> bool:
    named = (redis.AuthenticationError, redis.exceptions.AuthorizationError, redis.exceptions.NoPermissionError)
    return isinstance(error, named) or str(error).startswith(("NOAUTH", "NOPERM", "WRONGPASS")) or (
        "Authentication required" in str(error) or "invalid username-password" in str(error))


def _digest(data: bytes) -> str:
    """FNV-1a, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def _decode(data: bytes) -> Dict[str, Any]:
    return from_json(data) if data[:1] == b"{" else msgpack.unpackb(data, raw=False, strict_map_key=False)


def _connect(url: str, options: Options) -> Tuple["redis.Redis", str, Optional[str]]:
    """The server, the queue, and the level of it that tasks go to."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    queue, level = query.pop("queue", None), query.pop("level", None)
    if not queue:
        raise ValueError(f"'{url}' names no queue; put it behind a '?': redis://127.0.0.1:6379/0?queue=jobs")
    if parts.password:
        raise ValueError("no password belongs in the URL: give it as token=, or in BERTH_TOKEN")
    how: Dict[str, Any] = {"username": unquote(parts.username) if parts.username else None, "password": options.secret()}
    how.update(socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S, retry_on_timeout=False)
    if parts.scheme == "unix":
        how.update(unix_socket_path=unquote(parts.path), db=int(query.pop("db", 0)))
    else:
        how.update(host=parts.hostname or "127.0.0.1", port=parts.port or 6379, db=int(parts.path.strip("/") or 0))
        if parts.scheme == "rediss":
            how.update(ssl=True, ssl_cert_reqs="required", ssl_check_hostname=True, ssl_ca_certs=options.authorities())
    if query:
        raise ValueError(f"'{next(iter(query))}' in '{url}' is not known; there are queue and level, and db for unix://")
    return redis.Redis(**how), queue, level


class RedisClient(Client):
    def __init__(self, url: str, options: Options):
        self._redis, queue, level = _connect(url, options)
        self._prefix = f"berth:{{{queue}}}:"
        self._tasks = self._key("tasks" if level in (None, "normal") else f"tasks:{level}")
        self._patience = options.patience
        self._closing = threading.Event()
        self._sent: Dict[str, Tuple[bytes, bytes]] = {}  # entry and task of ids that callers chose

    def _key(self, name: str) -> str:
        return self._prefix + name

    # ---- one batch of commands ----

    def _trying(self, clock: Optional[Clock] = None) -> Patience:
        return Patience(self._patience, self._closing, clock)

    def _troubled(self, error: Exception, patience: Patience) -> None:
        """Pauses if trying again may help, else raises what is wrong."""
        if _is_access(error):
            raise Unauthorized(f"Redis: {error}") from error
        if not _passes(error):
            raise Error(f"Redis: {error}") from error
        patience.pause(f"Redis: {error}")

    def _do(self, commands: List[tuple], patience: Patience) -> list:
        """All of them, until each has its answer; they can be repeated."""
        while True:
            try:
                pipe = self._redis.pipeline(transaction=False)
                for command in commands:
                    pipe.execute_command(*command)
                answers = pipe.execute()
                patience.well()
                return answers
            except redis.RedisError as e:
                self._troubled(e, patience)

    # ---- tasks ----

    def _add(self, task: Task) -> tuple:
        return ("XADD", self._tasks, "*", "t", msgpack.packb(task, use_bin_type=True))

    def _withdraw(self, id: str) -> tuple:
        return ("XADD", self._key("control"), "MAXLEN", "~", 1000, "*", "cancel", id)

    def send(self, task: Task) -> str:
        add = self._add(task)
        look = [] if task.id_made else [("HGET", self._key(f"result:{task['id']}"), "digest")]
        answers = self._do(look + [add], self._trying())
        if look and answers[0]:
            self._same(task["id"], add[-1], answers[0])
        return task["id"]

    @staticmethod
    def _same(id: str, packed: bytes, digest: bytes) -> None:
        if digest.decode() != _digest(packed):
            raise Conflict(f"id '{id}' was used for a different task", "conflict")

    def _results(self, ids: List[str], patience: Patience) -> Dict[str, Tuple[bytes, bytes]]:
        """Result and digest of those that are done."""
        answers = self._do([("HMGET", self._key(f"result:{id}"), "r", "digest") for id in ids], patience)
        return {id: (answer[0], answer[1] or b"") for id, answer in zip(ids, answers) if answer[0] is not None}

    def send_and_wait(self, task: Task, timeout: Optional[float] = None) -> Result:
        clock = Clock(timeout)
        self.send(task)
        data, digest = self._wait(task["id"], timeout, clock)
        if not task.id_made:
            self._same(task["id"], self._add(task)[-1], digest)
        return ran(make_result(_decode(data)))

    def wait(self, id: str, timeout: Optional[float] = None) -> Result:
        return ran(make_result(_decode(self._wait(id, timeout, Clock(timeout))[0])))

    def _wait(self, id: str, timeout: Optional[float], clock: Clock) -> Tuple[bytes, bytes]:
        patience = self._trying(clock)
        found = self._results([id], patience)
        if found:
            return found[id]
        with self._redis.pubsub(ignore_subscribe_messages=True) as done:
            while True:
                self._hear(done, clock, id, patience)
                found = self._results([id], patience)
                if found:
                    return found[id]
                if clock.is_over():
                    raise NotDone(f"task {id} is not done after {timeout:g} s")

    def _hear(self, done, clock: Clock, id: str, patience: Patience) -> None:
        """Until the end of that task is announced, or it is time to look."""
        look = Clock(_LOOK_S)
        try:
            if not done.subscribed:
                done.subscribe(self._key("done"))
                return  # it may have ended before
            while not look.is_over():
                message = done.get_message(timeout=look.left(clock.left(_LOOK_S)))
                if clock.is_over() or message and message["data"] == id.encode():
                    return
        except redis.RedisError as e:
            done.reset()
            self._troubled(e, patience)

    def cancel(self, id: str) -> bool:
        answers = self._do([("EXISTS", self._key(f"result:{id}")), self._withdraw(id)], self._trying())
        return not answers[0]

    def status(self, id: str) -> Status:
        """Of a task without a result what the latest events tell; "unknown" if they do not."""
        patience = self._trying()
        found = self._results([id], patience)
        if found:
            raw = _decode(found[id][0])
            return Status(id, "done", raw.get("attempt", 0), raw.get("verdict", ""), raw)
        for _, fields in self._do([("XREVRANGE", self._key("events"), "+", "-", "COUNT", _EVENTS)], patience)[0] or []:
            if fields.get(b"id") == id.encode():
                event = {key.decode(): value.decode(errors="replace") for key, value in fields.items()}
                return Status(id, event.get("state", "unknown"), int(event.get("attempt", 0)), "", event)
        return Status(id, "unknown", 0, "", {})

    def courier(self, max_workers: int) -> "_Courier":
        return _Courier(self)

    def close(self) -> None:
        self._closing.set()
        self._redis.connection_pool.disconnect()


class _Courier:
    """One thread sends what there is, in batches; another one listens for ends, and fetches their results."""

    def __init__(self, client: RedisClient):
        self.client = client
        self.lock = threading.Condition()
        self.outbox: Deque[Tuple[str, tuple]] = deque()  # id, command
        self.pending: Dict[str, Any] = {}  # futures of what was sent or will be
        self.sending = self.closed = False
        self.threads: List[threading.Thread] = []

    def send(self, task: Task, future) -> None:
        add = self.client._add(task)
        future.packed = None if task.id_made else add[-1]
        with self.lock:
            self.pending[task["id"]] = future
            self.outbox.append((task["id"], add))
            if not self.threads:
                for work in (self._send_all, self._listen):
                    self.threads.append(threading.Thread(target=work, name="berth-redis", daemon=True))
                    self.threads[-1].start()
            self.lock.notify_all()

    def cancel(self, id: str) -> None:
        with self.lock:
            if self.pending.pop(id, None):
                self.outbox.append((id, self.client._withdraw(id)))
                self.lock.notify_all()

    # ---- out ----

    def _batch(self) -> List[Tuple[str, tuple]]:
        with self.lock:
            self.sending = False
            self.lock.notify_all()
            self.lock.wait_for(lambda: self.outbox or self.closed)
            self.sending = True
            return [self.outbox.popleft() for _ in range(min(_BATCH, len(self.outbox)))]

    def _send_all(self) -> None:
        while True:
            batch = self._batch()
            if not batch:
                return
            try:
                self.client._do([command for _, command in batch], self.client._trying())
            except BaseException as e:  # whatever it is, who waits for the futures must learn of it
                for id, _ in batch:
                    self._end(id, error=e)

    # ---- in ----

    def _end(self, id: str, data: bytes = b"", digest: bytes = b"", error: Optional[BaseException] = None) -> None:
        with self.lock:
            future = self.pending.pop(id, None)
            self.lock.notify_all()
        if not future:
            return
        try:
            if error:
                raise error
            if future.packed is not None:
                self.client._same(id, future.packed, digest)
            future.resolve(ran(make_result(_decode(data))))
        except BaseException as e:
            future.fail(e)

    def _fetch(self, ids: Iterable[str], patience: Patience) -> None:
        wanted = list(ids)
        for i in range(0, len(wanted), _BATCH):
            for id, (data, digest) in self.client._results(wanted[i : i + _BATCH], patience).items():
                self._end(id, data, digest)

    def _known(self) -> List[str]:
        with self.lock:
            return list(self.pending)

    def _listen(self) -> None:
        client, patience = self.client, self.client._trying()
        done = client._redis.pubsub(ignore_subscribe_messages=True)
        look = Clock(0)
        while not client._closing.is_set():
            try:
                if not done.subscribed:
                    done.subscribe(client._key("done"))
                    look = Clock(0)
                ended = self._announced(done, look.left(_LOOK_S))
                if look.is_over():
                    ended, look = self._known(), Clock(5 * _LOOK_S)
                self._fetch(ended, patience)
            except redis.RedisError as e:
                done.reset()
                self._trouble(e, patience)
            except Error as e:
                self._fail_all(e)
        done.close()

    def _announced(self, done, seconds: float) -> List[str]:
        """Ids of ours, as many as have come."""
        ids, wait = [], seconds
        while len(ids) < _BATCH:
            message = done.get_message(timeout=wait)
            if not message:
                break
            if message["data"].decode(errors="replace") in self.pending:
                ids.append(message["data"].decode())
                wait = 0.0
            else:
                wait = 0.0 if ids else min(wait, 0.1)
        return ids

    def _trouble(self, error: redis.RedisError, patience: Patience) -> None:
        try:
            self.client._troubled(error, patience)
        except Error as e:
            self._fail_all(e)

    def _fail_all(self, error: Error) -> None:
        for id in self._known():
            self._end(id, error=error)
        self.client._closing.wait(_LOOK_S)

    def close(self) -> None:
        """All that was sent has ended."""
        with self.lock:
            self.lock.wait_for(lambda: not self.pending and not self.outbox and not self.sending)
            self.closed = True
            self.lock.notify_all()
        self.client._closing.set()
        for thread in self.threads:
            if thread is not threading.current_thread():  # the last future may die in one of ours
                thread.join()
        self.client.close()
