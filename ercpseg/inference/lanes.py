"""Frames side by side on a CPU: one thread each from the network to the mask.

Threads that share the layers of one small network wait for each other after every layer; frames wait for nobody. Measured for
the light network at 512² on two cores that other work shared: 450 ms of CPU time a frame by two spinning threads, 25 ms by two
lanes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ercpseg.inference.threads import take_one

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lanes:
    """``count`` threads, each with one thread of torch; they begin with the first work and end with the program."""

    def __init__(self, count: int):
        self.count = count
        self._pool: ThreadPoolExecutor | None = None

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """The results in the order of the items; the first failure is raised when all are done."""
        if self._pool is None:
            # The number of threads is that of the thread that sets it, so other threads keep theirs.
            self._pool = ThreadPoolExecutor(self.count, "ercpseg-lane", initializer=take_one)
        futures = [self._pool.submit(work, item) for item in items]
        failures = [failure for future in futures if (failure := future.exception()) is not None]
        if failures:
            raise failures[0]
        return [future.result() for future in futures]
