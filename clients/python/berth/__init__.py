# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""Clients of berth: programs of others as tasks, over HTTP, ZeroMQ, or through Redis.

    import berth

    with berth.connect("http://127.0.0.1:2591") as client:
        result = client.run("echo", input=b"hello").check()
        print(result.text)
"""

from typing import Optional
from urllib.parse import urlsplit

from .client import Client, Options, Status
from .errors import Conflict, Error, NotDone, NotFound, Rejected, TaskFailed, Unauthorized, Unavailable
from .executor import Executor, Future
from .task import Failure, Result, make_id, make_task

__version__ = "0.1.0"
__all__ = [
    "Client", "Conflict", "Error", "Executor", "Failure", "Future", "NotDone", "NotFound", "Rejected", "Result",
    "Status", "TaskFailed", "Unauthorized", "Unavailable", "connect", "make_id", "make_task",
]


def open_client(url: str, options: Options) -> Client:
    scheme = urlsplit(url).scheme
    if scheme in ("http", "https", "http+unix"):
        from ._http import HttpClient

        return HttpClient(url, options)
    if scheme in ("redis", "rediss", "unix"):
        try:
            from ._redis import RedisClient
        except ImportError as e:
            raise Error(f"{scheme}:// needs {e.name}: install python3-{e.name}, or the package {e.name} of PyPI") from e
        return RedisClient(url, options)
    if scheme in ("zmq", "zmq+ipc"):
        try:
            from ._zmq import ZmqClient
        except ImportError as e:
            raise Error(f"{scheme}:// needs {e.name}: install python3-{e.name}, or pyzmq and msgpack of PyPI") from e
        return ZmqClient(url, options)
    raise ValueError(f"'{url}' does not begin with http://, https://, http+unix://, redis://, rediss://, unix://, "
                     "zmq:// or zmq+ipc://")


def connect(url: str, *, token: Optional[str] = None, ca_file: Optional[str] = None,
            patience: Optional[float] = 60.0) -> Client:
    """A client of the host or queue at that URL:

    http://HOST:PORT, https://HOST:PORT, http+unix:///PATH
    redis://[USER@]HOST:PORT/DB?queue=QUEUE[&level=LEVEL], rediss://..., unix://[USER@]/PATH?queue=QUEUE
    zmq://HOST:PORT[?server_key=KEY], zmq+ipc:///PATH

    token     bearer token of HTTP, or password of Redis, or our secret key of ZeroMQ; default: the variable BERTH_TOKEN
    ca_file   certificates of authorities to trust, PEM; default: BERTH_CA_FILE, else the system's
    patience  for how many seconds a server may be away or full before Unavailable; None: for any time

    Nothing is connected yet: the first call does that.
    """
    return open_client(url, Options(token, ca_file, patience))
