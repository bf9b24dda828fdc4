"""Progress as an argument whose default does nothing, so that the library stays silent.

A caller that wants to show progress passes an object with :meth:`Progress.task`; the command line passes one that
draws bars with an ETA.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """One bar: advance it, say what is going on, finish it by leaving the ``with`` block."""

    def advance(self, n: int = 1, note: str | None = None) -> None:
        """Count ``n`` more items as done; ``note`` replaces the text beside the bar."""

    def retotal(self, total: int) -> None:
        """Correct the expected number of items."""

    def __enter__(self) -> Task: ...

    def __exit__(self, *exc: object) -> None: ...


class Progress(Protocol):
    """Where long work reports to."""

    def task(self, description: str, total: int | None = None) -> Task:
        """Begin a task of ``total`` items (unknown when None)."""

    def say(self, text: str) -> None:
        """Tell the user one line that is worth keeping."""


class _SilentTask:
    def advance(self, n: int = 1, note: str | None = None) -> None:
        pass

    def retotal(self, total: int) -> None:
        pass

    def __enter__(self) -> _SilentTask:
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class _Silent:
    def task(self, description: str, total: int | None = None) -> Task:
        return _SilentTask()

    def say(self, text: str) -> None:
        pass


SILENT: Progress = _Silent()
"""The default: nothing is shown."""


def track(items: Iterable[T], progress: Progress, description: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` and advance a task of ``progress`` by one for each."""
    with progress.task(description, total) as task:
        for item in items:
            yield item
            task.advance()
