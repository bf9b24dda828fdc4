"""A bounded queue in front of two writing threads; the first error of a thread reaches the caller."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

WORKERS = 2
CAPACITY = 8
"""Frames that may wait; at 4 Mpx each that is some 60 MB."""


class WriteQueue:
    """Runs jobs in the background, at most :data:`CAPACITY` of them waiting.

    Encoding and fsync release the GIL, so threads are enough: a 512² frame with four masks takes 18 ms with its overlay
    and 7 ms without, beside the prediction (2 cores, both shared with other work).
    """

    def __init__(self, workers: int = WORKERS, capacity: int = CAPACITY):
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="ercpseg-write")
        self._capacity = capacity
        self._pending: deque[tuple[str, Future[None]]] = deque()

    def put(self, job: Callable[[], None], *, key: str) -> None:
        """Queue ``job``; waits while the queue is full. Raises the error of an earlier job, if there was one."""
        while self._pending and (len(self._pending) >= self._capacity or self._pending[0][1].done()):
            self._pending[0][1].result()  # on an error the entry stays, so that abandon() counts it as lost
            self._pending.popleft()
        self._pending.append((key, self._pool.submit(job)))

    def close(self) -> None:
        """Wait for all jobs and end the threads; raises the first error."""
        while self._pending:
            self._pending[0][1].result()
            self._pending.popleft()
        self._pool.shutdown()

    def abandon(self, *, wait_for_all: bool = True) -> set[str]:
        """End the threads and return the keys of the jobs that did not succeed. Never raises.

        Jobs that did not start are dropped unless ``wait_for_all``.
        """
        self._pool.shutdown(wait=True, cancel_futures=not wait_for_all)
        lost: set[str] = set()
        for key, future in self._pending:
            done = False
            with contextlib.suppress(Exception, CancelledError):
                future.result()
                done = True
            if not done:
                lost.add(key)
        self._pending.clear()
        return lost
