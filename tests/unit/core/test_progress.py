"""Progress: every item is yielded and counted once, also when the consumer stops early."""

from __future__ import annotations

from typing import Any

from ercpseg.progress import SILENT, track


class Bars:
    def __init__(self) -> None:
        self.done = 0
        self.open = False
        self.started: list[Any] = []

    def task(self, description: str, total: int | None = None) -> Bars:
        self.started.append((description, total))
        return self

    def say(self, text: str) -> None: ...

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self.done += n

    def retotal(self, total: int) -> None: ...

    def __enter__(self) -> Bars:
        self.open = True
        return self

    def __exit__(self, *exc: object) -> None:
        self.open = False


def test_track_counts_what_is_done() -> None:
    bars = Bars()
    items = track("abc", bars, "Letters", 3)
    assert next(items) == "a"
    assert bars.done == 0, "an item counts when it is dealt with, not when it is handed out"
    assert list(items) == ["b", "c"]
    assert (bars.done, bars.open, bars.started) == (3, False, [("Letters", 3)])


def test_an_abandoned_task_is_closed() -> None:
    bars = Bars()
    items = track("abc", bars, "Letters")
    next(items)
    items.close()
    assert not bars.open


def test_silence() -> None:
    assert list(track(range(3), SILENT, "nothing")) == [0, 1, 2]
