# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Tasks as a map of the keys that the host knows, and results as objects."""

import base64
import dataclasses
import datetime
import json
import os
import pathlib
import re
import threading
import time
from typing import Any, Dict, List, Mapping, Optional

from .errors import Rejected, TaskFailed

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}\Z")


class _Ids:
    """ULIDs (github.com/ulid/spec), rising within a millisecond, and of their own after a fork."""

    def __init__(self):
        self.lock = threading.Lock()
        self.ms = self.random = self.pid = 0

    def next(self) -> str:
        with self.lock:
            ms, pid = int(time.time() * 1000), os.getpid()
            if ms > self.ms or pid != self.pid:
                self.ms, self.pid = ms, pid
                self.random = int.from_bytes(os.urandom(10), "big") >> 1  # room to count up
            else:
                self.random += 1
            number = self.ms << 80 | self.random
        return "".join(_DIGITS[number >> shift & 31] for shift in range(125, -1, -5))


make_id = _Ids().next


def _text(value, what: str) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError(f"{what} is {type(value).__name__}; it must be text or a number")
    return str(value)


def _texts(values, what: str) -> List[str]:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"{what} is one {type(values).__name__}; it must be a list of texts")
    return [_text(value, f"{what}[{i}]") for i, value in enumerate(values)]


def _pairs(values: Mapping, what: str) -> Dict[str, str]:
    return {_text(key, f"a name in {what}"): _text(value, f"{what}[{key!r}]") for key, value in values.items()}


def _bytes(value, what: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    if isinstance(value, pathlib.Path):
        return value.read_bytes()
    raise TypeError(f"{what} is {type(value).__name__}; it must be bytes, text or a pathlib.Path to read")


def _ms(seconds, what: str) -> int:
    if isinstance(seconds, datetime.timedelta):
        seconds = seconds.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{what} is {type(seconds).__name__}; it must be seconds")
    return int(seconds * 1000)


def _files(files, outputs) -> Dict[str, Any]:
    both: Dict[str, Any] = {}
    if files:
        both["in"] = [
            {"path": path, **(what if isinstance(what, Mapping) else {"data": _bytes(what, f"files[{path!r}]")})}
            for path, what in files.items()
        ]
    if outputs:
        both["out"] = [dict(out) if isinstance(out, Mapping) else {"path": _text(out, "outputs")} for out in outputs]
    return both


class Task(Dict[str, Any]):
    """What is sent; id_made says that no one else can have used its id."""

    id_made = False


def make_task(executer=None, args=(), *, id=None, runtime=None, image=None, command=None, input=None, env=None,
              files=None, outputs=None, resources=None, timeout=None, deadline=None, retries=None, priority=None,
              tenant=None, labels=None, network=None, require=None, trace=None) -> Task:
    """A task, with an id that is made here unless it is given.

    executer          a name of the host's config; or else runtime, image and command: an ad-hoc task
    args              list of texts, put after the executer's command
    input             standard input: bytes, text, or a pathlib.Path to read
    files             {path in the work directory: bytes, text, pathlib.Path, or {"from": URL or path}}
    outputs           paths or patterns of files that come back with the result
    resources         {"cpus": 1.5, "memory": "512M", "gpus": 1, "pids": 64, "disk": "1G"}
    timeout           of an attempt, in seconds; deadline: of the task, a datetime or seconds since 1970
    env, labels       {name: text}
    """
    if (executer is None) == (runtime is None):
        raise TypeError("a task names an executer, or a runtime with a command: one of the two")
    if id is not None and not _ID.match(id):
        raise ValueError(f"id {id!r} is not 1 to 128 of A-Z a-z 0-9 . _ : -")
    if isinstance(deadline, datetime.datetime):
        deadline = deadline.timestamp()
    task = {
        "v": 1,
        "id": id or make_id(),
        "executer": executer,
        "runtime": runtime,
        "image": image,
        "command": None if command is None else _texts(command, "command"),
        "args": _texts(args, "args") or None,
        "input": None if input is None else _bytes(input, "input"),
        "env": None if env is None else _pairs(env, "env"),
        "files": _files(files, outputs) or None,
        "resources": None if resources is None else dict(resources),
        "timeout_ms": None if timeout is None else _ms(timeout, "timeout"),
        "deadline_ms": None if deadline is None else _ms(deadline, "deadline"),
        "retries": retries,
        "priority": priority,
        "tenant": tenant,
        "labels": None if labels is None else _pairs(labels, "labels"),
        "network": network,
        "require": None if require is None else _texts(require, "require"),
        "trace": trace,
    }
    made = Task((key, value) for key, value in task.items() if value is not None)
    made.id_made = id is None
    return made


def to_json(value: Any) -> bytes:
    """Bytes become base64, under a key with "_b64" added."""
    return json.dumps(_json_in(value), separators=(",", ":")).encode()


def _json_in(value):
    if isinstance(value, list):
        return [_json_in(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        f"{key}_b64" if isinstance(one, bytes) else key:
            base64.b64encode(one).decode() if isinstance(one, bytes) else _json_in(one)
        for key, one in value.items()
    }


def from_json(data: bytes) -> Any:
    return _json_out(json.loads(data))


def _json_out(value):
    if isinstance(value, list):
        return [_json_out(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key[:-4] if key.endswith("_b64") and isinstance(one, str) else key:
            base64.b64decode(one) if key.endswith("_b64") and isinstance(one, str) else _json_out(one)
        for key, one in value.items()
    }


@dataclasses.dataclass(frozen=True)
class Failure:
    """What the host says about an end that is not a success."""

    code: str
    message: str
    detail: str = ""


@dataclasses.dataclass(frozen=True)
class Result:
    """How a task ended. Times are milliseconds, or where the name ends in _ms milliseconds since 1970."""

    id: str
    verdict: str  # "succeeded", "failed", "timeout", "oom", "cancelled", ...: berth(1)
    blame: str  # "task", "runtime", "node", "transport", "caller"; "" for a success
    exit_code: Optional[int]
    signal: Optional[int]
    output: bytes
    output_truncated: bool
    stderr_tail: bytes
    usage: Dict[str, int]  # wall_ms, user_ms, sys_ms, peak_memory in bytes, ...
    limits: Dict[str, Any]
    evidence: Dict[str, Any]
    error: Optional[Failure]
    executer: str
    runtime: str
    host: str
    attempt: int
    files: List[Dict[str, Any]]  # staged out: path, data
    queued_ms: int
    started_ms: int
    finished_ms: int
    raw: Dict[str, Any] = dataclasses.field(repr=False)  # everything, as the host sent it

    @property
    def ok(self) -> bool:
        return self.verdict == "succeeded"

    @property
    def text(self) -> str:
        """The output as text; bytes that are not UTF-8 are replaced."""
        return self.output.decode(errors="replace")

    def check(self) -> "Result":
        """Itself if the task succeeded, else TaskFailed."""
        if self.ok:
            return self
        how = self.verdict
        if self.signal:
            how += f", signal {self.signal}"
        elif self.verdict == "failed" and self.exit_code is not None:
            how += f", exit code {self.exit_code}"
        if self.error and self.error.message:
            how += f": {self.error.message}"
        raise TaskFailed(f"task {self.id}: {how}", self)


def _blob(value) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")


def make_result(raw: Dict[str, Any]) -> Result:
    error = raw.get("error") or {}
    return Result(
        id=raw.get("id", ""),
        verdict=raw.get("verdict", ""),
        blame=raw.get("blame", ""),
        exit_code=raw.get("exit_code"),
        signal=raw.get("signal"),
        output=_blob(raw.get("output")),
        output_truncated=bool(raw.get("output_truncated")),
        stderr_tail=_blob(raw.get("stderr_tail")),
        usage=raw.get("usage") or {},
        limits=raw.get("limits") or {},
        evidence=raw.get("evidence") or {},
        error=Failure(error.get("code", ""), error.get("message", ""), error.get("detail", "")) if error else None,
        executer=raw.get("executer", ""),
        runtime=raw.get("runtime", ""),
        host=raw.get("host", ""),
        attempt=raw.get("attempt", 0),
        files=raw.get("files") or [],
        queued_ms=raw.get("queued_ms", 0),
        started_ms=raw.get("started_ms", 0),
        finished_ms=raw.get("finished_ms", 0),
        raw=raw,
    )


def ran(result: Result) -> Result:
    """Itself, unless the task was refused: all transports tell that by the same exception."""
    if result.verdict != "rejected":
        return result
    code, message = (result.error.code, result.error.message) if result.error else ("rejected", "")
    raise Rejected(message or f"task {result.id} was refused", code, result)
