# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""berth for asyncio.

    async with berth.aio.connect("http://127.0.0.1:2591", executer="echo") as client:
        result = await client.run(input=b"hello")
        results = await asyncio.gather(*(client.submit(input=line) for line in lines))
"""

import asyncio
from typing import Optional

from . import connect as connect_blocking
from .client import Status
from .executor import Executor
from .task import Result


class Client:
    """Like berth.Executor, but what submit() returns can be awaited, and cancelling that cancels the task."""

    def __init__(self, url: str, executer: Optional[str] = None, *, token: Optional[str] = None,
                 ca_file: Optional[str] = None, patience: Optional[float] = 60.0, **more):
        self._executor = Executor(url, executer, token=token, ca_file=ca_file, patience=patience, **more)
        self._client = connect_blocking(url, token=token, ca_file=ca_file, patience=patience)

    def submit(self, *args: str, **fields) -> "asyncio.Future[Result]":
        """Its attribute `id` is the task's."""
        future = self._executor.submit(*args, **fields)
        awaitable = asyncio.wrap_future(future)
        awaitable.id = future.id  # type: ignore[attr-defined]
        return awaitable

    async def run(self, *args: str, **fields) -> Result:
        return await self.submit(*args, **fields)

    async def wait(self, id: str, timeout: Optional[float] = None) -> Result:
        """Of a task that somebody else has submitted."""
        return await asyncio.to_thread(self._client.wait, id, timeout)

    async def cancel(self, id: str) -> bool:
        return await asyncio.to_thread(self._client.cancel, id)

    async def status(self, id: str) -> Status:
        return await asyncio.to_thread(self._client.status, id)

    async def close(self) -> None:
        """Waits for all tasks."""
        await asyncio.to_thread(self._executor.shutdown)
        self._client.close()

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, *_) -> None:
        await self.close()


connect = Client
