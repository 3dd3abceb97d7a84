# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Tasks as futures."""

import concurrent.futures
import itertools
import threading
import weakref
from typing import Iterable, Iterator, Optional

from .client import Clock, Options
from .task import Result, make_task


class Future(concurrent.futures.Future):
    """The result of a task to come. It stays pending until the task is done, and can be cancelled until then."""

    def __init__(self, id: str, executor: "Executor"):
        super().__init__()
        self.id = id
        self._executor = executor  # which must not be collected before
        self._once = threading.Lock()

    def cancel(self) -> bool:
        """Ends the task, waiting or running. False: it is done already."""
        with self._once:
            if self.cancelled():
                return True
            if not super().cancel():
                return False
            self.set_running_or_notify_cancel()  # so that wait() and as_completed() learn of it
        self._executor._courier.cancel(self.id)
        return True

    def resolve(self, result: Result) -> None:
        try:
            self.set_result(result)
        except concurrent.futures.InvalidStateError:
            pass  # cancelled: nobody wants it

    def fail(self, error: BaseException) -> None:
        try:
            self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            pass


class Executor(concurrent.futures.Executor):
    """Runs tasks in berth, as concurrent.futures runs functions.

        with berth.Executor("http://127.0.0.1:2591", executer="echo") as executor:
            futures = [executor.submit(input=line) for line in lines]
            for future in concurrent.futures.as_completed(futures):
                print(future.result().text)

    Arguments of submit() are the task's args; the fields are those of make_task(), and what is given to
    the Executor holds for all of its tasks. A future's result is a Result, whatever the verdict; its
    exceptions are those of Client.run().

    Over HTTP at most `max_workers` tasks are under way at a time. A queue in Redis takes all at once.
    """

    def __init__(self, url: str, executer: Optional[str] = None, *, max_workers: int = 64, token: Optional[str] = None,
                 ca_file: Optional[str] = None, patience: Optional[float] = 60.0, **fields):
        from . import open_client

        if max_workers < 1:
            raise ValueError(f"max_workers is {max_workers}; it must be at least 1")
        self._fields = dict(fields, executer=executer)
        self._courier = open_client(url, Options(token, ca_file, patience)).courier(max_workers)
        self._open = True
        self._futures: "weakref.WeakSet[Future]" = weakref.WeakSet()
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, self._courier.close)  # also at exit: nothing that was sent is given up

    def submit(self, *args: str, **fields) -> Future:
        task = make_task(args=args, **{**self._fields, **fields})
        future = Future(task["id"], self)
        with self._lock:
            if not self._open:
                raise RuntimeError("this Executor was shut down; it takes no more tasks")
            self._futures.add(future)
            self._courier.send(task, future)
        return future

    def map(self, *args: Iterable, inputs: Optional[Iterable] = None, timeout: Optional[float] = None,
            **fields) -> Iterator[Result]:
        """A task for each argument, or for each of `inputs`, or for each pair; the results in that order.

        `timeout` is for all of them, as in concurrent.futures; that of the tasks can be given to the Executor.
        """
        clock = Clock(timeout)
        tasks = [(words, {}) for words in zip(*args)]
        if inputs is not None:
            tasks = [(words, {"input": one}) for (words, _), one in zip(tasks if args else itertools.repeat(((), {})), inputs)]
        futures = [self.submit(*words, **fields, **more) for words, more in tasks]

        def results():
            try:
                while futures:
                    future = futures[0]
                    yield future.result(None if timeout is None else clock.left(timeout))
                    futures.pop(0)
            finally:
                for future in futures:
                    future.cancel()

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._open = False
            futures = list(self._futures)
        if cancel_futures:
            for future in futures:
                future.cancel()
        if wait:
            self._end()
