"""Windows of a series: which frames come right before a frame, told by files or people and never by their names.

A *run* is a stretch of a series in which frames are counted: one multi-frame file, or the files of one acquisition. A frame
that belongs to no series, or whose number nobody tells, is a still. The same :func:`follows` joins frames in training and in
live prediction; a window is ordered from the frame itself backwards, and the earliest frame that there is fills it up.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ercpseg.documents.dataset import FrameRecord
from ercpseg.frames.frame import Frame


@dataclass(frozen=True)
class Moment:
    """When a frame was taken: its run, and its number there. No number: a live frame, which comes in its turn."""

    run: tuple[str, ...]
    number: int | None


def follows(before: Moment | None, after: Moment | None) -> bool:
    """Whether ``after`` is the very next frame of the run.

    >>> follows(Moment(("a",), 3), Moment(("a",), 4)), follows(Moment(("a",), 3), Moment(("a",), 5)), follows(None, None)
    (True, False, False)
    """
    if before is None or after is None or before.run != after.run:
        return False
    if before.number is None or after.number is None:
        return before.number is after.number
    return after.number == before.number + 1


def moment_of(frame: Frame) -> Moment | None:
    """When a frame of a file was taken; for pixels that come from no file, only in which series."""
    if frame.series is not None and frame.path is None and frame.index is None and not frame.about.order:
        return Moment((frame.series,), None)
    return _moment(frame.series, frame.source, frame.index, frame.about.order)


def place_text(order: Sequence[int]) -> str | None:
    """The numbers of a place as they stand in a report; None where there are none.

    >>> place_text((1, 17))
    '1 17'
    """
    return " ".join(map(str, order)) or None


def filled(images: Any, frames: int) -> Any:
    """(m, …), the frame itself first, with the last of them repeated until there are ``frames``.

    >>> import numpy as np
    >>> filled(np.array([5, 4]), 4)
    array([5, 4, 4, 4])
    """
    if len(images) == frames:
        return images
    return images[[min(i, len(images) - 1) for i in range(frames)]]


@dataclass(frozen=True)
class Links:
    """``previous``: frame → the one right before it. ``torn``: frames before which one is missing, ``unordered``: frames of
    a series that nobody orders; each with its series.
    """

    previous: Mapping[str, str]
    torn: Mapping[str, str]
    unordered: Mapping[str, str]

    def incomplete(self, frames: int) -> dict[str, str]:
        """Frames whose window of ``frames`` lacks one that must have been there, with their series."""
        after = {before: frame for frame, before in self.previous.items()}
        found: dict[str, str] = {}
        for first, series in {**self.torn, **self.unordered}.items():
            frame: str | None = first
            for _ in range(frames - 1):
                if frame is None:
                    break
                found[frame] = series
                frame = after.get(frame)
        return found


def link(records: Iterable[FrameRecord], usable: Set[str]) -> Links:
    """Which frame comes right before each of ``usable``, by the rows of an import's report.

    Rows of refused frames, and of frames that are not usable, tell where one is missing: a window never reaches over it.
    """
    at: defaultdict[Moment, list[str]] = defaultdict(list)
    first: dict[tuple[str, ...], int] = {}
    size = Counter[str]()
    ours: list[tuple[FrameRecord, Moment | None]] = []
    for record in records:
        order = tuple(map(int, (record.place or "").split()))
        moment = _moment(record.series, record.source, record.index, order)
        if record.series is not None:
            size[record.series] += 1
        if moment is not None and moment.number is not None:
            begin = 0 if record.index is not None else moment.number
            first[moment.run] = min(begin, first.get(moment.run, begin))
        if record.status == "used" and record.frame in usable:
            ours.append((record, moment))
            if moment is not None:
                at[moment].append(record.frame)
    previous, torn, unordered = dict[str, str](), dict[str, str](), dict[str, str]()
    for record, moment in ours:
        series = record.series or ""
        if moment is None or moment.number is None:
            if size[series] > 1 and record.series is not None:
                unordered[record.frame] = series
            continue
        before = at.get(Moment(moment.run, moment.number - 1), [])
        if len(at[moment]) > 1 or len(before) > 1:  # two frames with one number
            unordered[record.frame] = series
        elif before:
            previous[record.frame] = before[0]
        elif moment.number != first[moment.run]:
            torn[record.frame] = series
    return Links(previous, torn, unordered)


def _moment(series: str | None, source: str, index: int | None, order: Sequence[int]) -> Moment | None:
    if series is None:
        return None
    if index is not None:
        return Moment((series, source), index)
    return Moment((series, *map(str, order[:-1])), order[-1]) if order else None
