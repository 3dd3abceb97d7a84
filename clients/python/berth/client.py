# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""What the clients of all transports share."""

import dataclasses
import os
import random
import threading
import time
from typing import Any, Dict, Optional

from .errors import NotDone, Unavailable
from .task import Result, Task, make_task


@dataclasses.dataclass(frozen=True)
class Options:
    """How to connect; see berth.connect()."""

    token: Optional[str] = None  # of HTTP; the password of Redis; our secret key of ZeroMQ
    ca_file: Optional[str] = None  # authorities that are trusted; None: the system's
    patience: Optional[float] = 60.0  # seconds that a server may be away; None: any time

    def secret(self) -> Optional[str]:
        return os.environ.get("BERTH_TOKEN") if self.token is None else self.token

    def authorities(self) -> Optional[str]:
        return os.environ.get("BERTH_CA_FILE") if self.ca_file is None else self.ca_file


class Clock:
    """When to stop waiting. None is never."""

    def __init__(self, seconds: Optional[float]):
        self.end = None if seconds is None else time.monotonic() + seconds

    def left(self, most: float) -> float:
        return most if self.end is None else max(0.0, min(most, self.end - time.monotonic()))

    def is_over(self) -> bool:
        return self.end is not None and time.monotonic() >= self.end


class Patience:
    """Tries again with growing pauses while a server is away; Unavailable when that takes too long."""

    def __init__(self, seconds: Optional[float], closing: threading.Event, clock: Optional[Clock] = None):
        self.seconds, self.closing, self.clock = seconds, closing, clock
        self.well()

    def well(self) -> None:
        """It has answered."""
        self.over, self.pause_s = Clock(self.seconds), 0.05

    def pause(self, why, at_least: float = 0.0) -> None:
        if self.clock and self.clock.is_over():
            raise NotDone(f"not done in time; the last try failed: {why}")
        if self.over.is_over():
            raise Unavailable(f"{why} (tried for {self.seconds:g} s)")
        pause = max(at_least, self.pause_s * random.uniform(0.5, 1.0))
        pause = self.over.left(self.clock.left(pause) if self.clock else pause)
        if self.closing.wait(pause):
            raise Unavailable(f"{why}; this client is being closed")
        self.pause_s = min(2.0, self.pause_s * 2)


@dataclasses.dataclass(frozen=True)
class Status:
    id: str
    state: str  # "queued", "starting", "running", "done"; "unknown" where the transport cannot tell
    attempt: int
    verdict: str  # once it is done, else ""
    raw: Dict[str, Any] = dataclasses.field(repr=False)


class Client:
    """A connection to a host or a queue. It may be used by many threads; it connects anew by itself."""

    def submit(self, executer: Optional[str] = None, *args: str, **fields) -> str:
        """Hands a task in and returns its id once it is durable; the fields are those of make_task().

        Rejected and Conflict tell what is wrong with it. After Unavailable, submit it again with the same id.
        """
        return self.send(make_task(executer, args, **fields))

    def run(self, executer: Optional[str] = None, *args: str, wait: Optional[float] = None, **fields) -> Result:
        """Hands a task in and waits for its end, at most `wait` seconds: then NotDone, and the task goes on."""
        return self.send_and_wait(make_task(executer, args, **fields), wait)

    def send_and_wait(self, task: Task, timeout: Optional[float] = None) -> Result:
        clock = Clock(timeout)
        return self.wait(self.send(task), None if timeout is None else clock.left(timeout))

    def send(self, task: Task) -> str:
        """submit() of a task from make_task(). Sent twice, it runs once."""
        raise NotImplementedError

    def wait(self, id: str, timeout: Optional[float] = None) -> Result:
        """The result, whatever the verdict. NotDone after `timeout` seconds; Rejected if the task was refused."""
        raise NotImplementedError

    def cancel(self, id: str) -> bool:
        """Ends a task, waiting or running. False: it is done already."""
        raise NotImplementedError

    def status(self, id: str) -> Status:
        raise NotImplementedError

    def courier(self, max_workers: int):
        """What carries the tasks of an Executor."""
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
