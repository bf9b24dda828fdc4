"""Items of an iterator, fetched by a thread before it is their turn."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], depth: int = 4) -> Iterator[T]:
    """``items`` in order, fetched by a background thread up to ``depth`` in advance; its errors are raised here."""
    with started(items, depth) as results:
        yield from results


@contextlib.contextmanager
def started(items: Iterable[T], depth: int = 4) -> Iterator[Iterator[T]]:
    """:func:`ahead`, whose thread begins at once, whatever is done before the first item is taken."""
    waiting: queue.Queue[tuple[T | None, BaseException | None]] = queue.Queue(depth)
    stop = threading.Event()

    def put(entry: tuple[T | None, BaseException | None]) -> None:
        while not stop.is_set():
            try:
                waiting.put(entry, timeout=0.1)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((None, StopIteration()))
        except BaseException as error:  # handed to the consumer, who raises it
            put((None, error))

    def results() -> Iterator[T]:
        while True:
            item, error = waiting.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]  # an entry without error holds an item

    thread = threading.Thread(target=work, name="ercpseg-decode", daemon=True)
    thread.start()
    try:
        yield results()
    finally:
        stop.set()
        thread.join()
