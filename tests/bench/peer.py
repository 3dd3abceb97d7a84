# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The berth authors
"""A task that does nothing, for RQ and Celery workers, and the client that sends it: peer.py rq|celery COUNT."""

import json
import os
import sys
import time

SOCKET = os.environ["BENCH_REDIS"]


def nothing():
    return 0


try:
    import celery

    app = celery.Celery("peer", broker=f"redis+socket://{SOCKET}?virtual_host=1", backend=f"redis+socket://{SOCKET}?virtual_host=2")
    nothing_celery = app.task(nothing, name="nothing")
except ImportError:  # then only the other one is measured
    pass


def by_rq(count):
    import redis
    import rq

    queue = rq.Queue("bench", connection=redis.Redis(unix_socket_path=SOCKET))
    jobs = [queue.enqueue("peer.nothing") for _ in range(count)]
    for job in jobs:
        while not job.is_finished:
            time.sleep(0.001)


def by_celery(count):
    results = [nothing_celery.delay() for _ in range(count)]
    for result in results:
        result.get(timeout=60)


def main():
    way, count = {"rq": by_rq, "celery": by_celery}[sys.argv[1]], int(sys.argv[2])
    begin = time.monotonic()
    way(count)
    print(json.dumps({"rate": count / (time.monotonic() - begin)}))


if __name__ == "__main__":
    main()
