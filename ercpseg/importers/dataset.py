"""Import: a folder of frames and annotations becomes canonical frames and bitmasks in the workspace."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.errors import DataError, InputRefused
from ercpseg.importers.canonical import CanonicalFolder
from ercpseg.importers.frames import Pending, list_frames
from ercpseg.importers.labelme import LINE_WIDTH_PX
from ercpseg.importers.layout import Layout, understand
from ercpseg.importers.naming import Namer, frame_stem, name_key
from ercpseg.importers.reading import load
from ercpseg.importers.scan import Found, natural_key
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.images import encode_png
from ercpseg.storage.workspace import Workspace, check_name

THREADS = 2
"""Decoding and encoding release the GIL; more threads only help with very large frames."""
WINDOW = 8
"""Frames in flight: bounds memory, and results are taken in order, so that threads change nothing."""


@dataclass(frozen=True)
class Case:
    """A usable frame with its annotation, encoded; ``digest`` is what ``frames_sha256`` is made of."""

    record: FrameRecord
    image_png: bytes
    label_png: bytes
    digest: str


def import_dataset(
    source: Path,
    workspace: Workspace,
    name: str,
    *,
    structures: Sequence[str] | None = None,
    line_width_px: float = LINE_WIDTH_PX,
    progress: Progress = SILENT,
) -> Dataset:
    """Bring a folder into the workspace as dataset ``name``; the caller holds the workspace's lock.

    Importing again is safe: unchanged frames keep their files, changed ones are replaced, files of frames that are gone
    are removed. ``dataset.json`` is written last and taken away before the first change, so where it is, all is whole.

    Raises
    ------
    UsageError
        when there is no such folder or the name cannot be used.
    DataError
        when the folder is not understood, or nothing in it is usable (with the most frequent reasons).
    StorageError
        when writing fails.
    """
    check_name(name)
    layout = understand(source, structures, line_width_px)
    folder = CanonicalFolder(workspace, name)
    records: list[FrameRecord] = []
    digests: dict[str, str] = {}
    keys: dict[str, list[int]] = {}
    with progress.task("importing", len(layout.frames)) as task:
        for step, key, outcome in _outcomes(layout):
            task.advance(step)
            if outcome is None:
                continue
            keys.setdefault(key, []).append(len(records))
            record = outcome.record if isinstance(outcome, Case) else outcome
            records.append(record)
            if isinstance(outcome, Case):
                folder.write(record.frame, outcome.image_png, outcome.label_png)
                digests[record.frame] = outcome.digest
    for same in keys.values():
        if len(same) > 1:
            for i in same:
                digests.pop(records[i].frame, None)
                records[i] = _duplicate(records[i])
    records += layout.others
    records += _without_frame(layout, set(keys))
    if not digests:
        raise DataError(*_nothing_usable(records), where=source)
    return folder.finish(layout, _in_order(records), digests)


def _outcomes(layout: Layout) -> Iterator[tuple[int, str, Case | FrameRecord | None]]:
    """For every file in order and every frame in it: files finished, key, what became of it."""
    namer = Namer()
    waiting: deque[tuple[int, str, Future[Case | FrameRecord] | FrameRecord]] = deque()
    stems = Counter(name_key(stem) for stem, _ in layout.frames)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="ercpseg-import") as pool:
        try:
            for stem, found in layout.frames:
                for listed in _listed(stem, found, namer, known=stems[name_key(stem)] == 1):
                    if isinstance(listed, FrameRecord):
                        waiting.append((0, name_key(frame_stem(stem, listed.index)), listed))
                    else:
                        key = name_key(frame_stem(stem, listed.entry.index))
                        waiting.append((0, key, pool.submit(_case, listed, key, layout)))
                    while len(waiting) > WINDOW:
                        yield _take(waiting)
                yield 1, "", None
            while waiting:
                yield _take(waiting)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _take(
    waiting: deque[tuple[int, str, Future[Case | FrameRecord] | FrameRecord]],
) -> tuple[int, str, Case | FrameRecord]:
    step, key, item = waiting.popleft()
    return step, key, item.result() if isinstance(item, Future) else item


def _listed(stem: str, found: Found, namer: Namer, *, known: bool) -> Iterable[Pending | FrameRecord]:
    """The frames of a file; a file that shares its stem with another is not opened at all."""
    if known:
        return list_frames(found, namer, stem)
    error = InputRefused("duplicate")
    record = FrameRecord(
        frame=namer.claim(stem, found.source),
        source=found.source,
        status="refused",
        code=error.code,
        reason=error.reason,
    )
    return [record]


def _case(pending: Pending, key: str, layout: Layout) -> Case | FrameRecord:
    """Decode a frame, draw its annotation, encode both. Runs on a thread of the pool."""
    try:
        annotation = layout.annotations.get(key)
        if annotation is None:
            raise InputRefused("no-annotation")
        picture = load(pending.entry)
        frame = pending.frame(picture)
        height, width = frame.pixels.shape
        bitmask, notes = annotation.draw((height, width), layout.structures)
    except InputRefused as error:
        return pending.refused(error)
    y_mm, x_mm = frame.spacing_mm or (None, None)
    record = FrameRecord(
        frame=frame.name,
        source=frame.source,
        index=frame.index,
        status="used",
        reason="; ".join(picture.notes + notes) or None,
        patient=frame.patient,
        series=frame.series,
        height_px=height,
        width_px=width,
        bits=frame.bits,
        spacing_y_mm=y_mm,
        spacing_x_mm=x_mm,
    )
    digest = f"{frame.name}\0{_sha256(frame.pixels)}\0{_sha256(bitmask)}"
    return Case(record, encode_png(frame.pixels), encode_png(bitmask), digest)


def _sha256(array: NDArray[Any]) -> str:
    """SHA-256 of type, shape and little-endian content."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    digest = hashlib.sha256(f"{array.dtype.name}{array.shape}".encode())
    digest.update(little.data)
    return digest.hexdigest()


def _duplicate(record: FrameRecord) -> FrameRecord:
    error = InputRefused("duplicate")
    return FrameRecord(
        frame=record.frame,
        source=record.source,
        index=record.index,
        status="refused",
        code=error.code,
        reason=error.reason,
    )


def _without_frame(layout: Layout, keys: set[str]) -> list[FrameRecord]:
    """A row for every annotation file whose frame was not found."""
    error = InputRefused("no-frame")
    return [
        FrameRecord(frame="", source=source, status="refused", code=error.code, reason=error.reason)
        for key, annotation in layout.annotations.items()
        if key not in keys
        for source in annotation.sources
    ]


def _in_order(records: list[FrameRecord]) -> list[FrameRecord]:
    """Used frames in natural order of their names, then the others in natural order of their files."""
    used = sorted((r for r in records if r.status == "used"), key=lambda r: natural_key(r.frame))
    rest = [r for r in records if r.status != "used"]
    return used + sorted(rest, key=lambda r: (r.status != "refused", natural_key(r.source), r.index or 0))


def _nothing_usable(records: list[FrameRecord]) -> tuple[str]:
    refused = Counter(f"{r.code} ({r.reason})" for r in records if r.status == "refused")
    reasons = [f"{count} × {reason}" for reason, count in refused.most_common(5)]
    return ("nothing usable: " + ("; ".join(reasons) or "no frames were found"),)
