"""One pass over the canonical frames of a dataset: what every frame shows, and measures of a sample of them.

Frames are independent, so they are read in threads (decoding, filters and skeletons release the interpreter), and
what is kept of each is a few hundred numbers. The summary works on the frames in the order of their names, so neither
the number of threads nor the order of the records changes it. Measures can be kept on disk: an interrupted pass then
goes on where it was, and a dataset that has grown is measured where it is new.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.errors import DataError
from ercpseg.fingerprint import sample
from ercpseg.fingerprint.detail import Detail, collect_detail
from ercpseg.fingerprint.devices import device_key
from ercpseg.fingerprint.frame import FrameContent, FrameMeasures, label_path, read_content
from ercpseg.fingerprint.keep import VERSION, measures_of
from ercpseg.fingerprint.measured import Measured
from ercpseg.fingerprint.summary import summarise
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.kept import Kept, keep
from ercpseg.structures import StructureSet

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class _Seen:
    """One frame after the pass; ``measures`` when it was let through, ``counts`` per bitmask value."""

    content: FrameContent
    device: str
    counts: NDArray[np.int64]
    measures: FrameMeasures | None


def fingerprint_dataset(
    dataset: Dataset,
    raw_folder: Path,
    records: Sequence[FrameRecord],
    *,
    kept_at: Path | None = None,
    progress: Progress = SILENT,
    threads: int = 2,
) -> Fingerprint:
    """The fingerprint alone; see :func:`measure_dataset`."""
    return measure_dataset(dataset, raw_folder, records, kept_at=kept_at, progress=progress, threads=threads)[0]


def measure_dataset(
    dataset: Dataset,
    raw_folder: Path,
    records: Sequence[FrameRecord],
    *,
    kept_at: Path | None = None,
    progress: Progress = SILENT,
    threads: int = 2,
) -> tuple[Fingerprint, Detail]:
    """Measure the used frames of a dataset: presence and overlap in all of them, the rest in a sample.

    Parameters
    ----------
    dataset
        its name, structures and hash go into the fingerprint.
    raw_folder
        holds ``imagesTr/<frame>_0000.png`` and ``labelsTr/<frame>.png`` (bitmasks).
    records
        the import report; rows that are not ``used`` are left out.
    kept_at
        file that measures are kept in, and taken from; None keeps nothing.
    progress
        told of every frame.
    threads
        frames looked at at a time; the result does not depend on it.

    Returns
    -------
    The fingerprint, and what pictures of it are drawn from.

    Raises
    ------
    DataError
        when no frame is used, or a frame and its bitmask differ in size.
    StorageError
        when a file cannot be read, or the kept measures cannot be written.
    """
    used = sorted((record for record in records if record.status == "used"), key=lambda record: record.frame)
    if not used:
        raise DataError("no frame can be used", where=dataset.name, todo="see the reasons in frames.csv")
    structures = dataset.structure_set
    counts = np.zeros(256, np.int64)
    with contextlib.nullcontext() if kept_at is None else keep(kept_at) as kept:
        look = _looker(raw_folder, structures, kept)
        numbered = list(enumerate(sorted(used, key=lambda record: sample.rank(record.frame))))
        contents: dict[str, FrameContent] = {}
        devices: dict[str, str] = {}
        measures: dict[str, FrameMeasures] = {}
        for seen in _in_threads(look, numbered, "fingerprint", progress, threads):
            frame = seen.content.frame
            contents[frame], devices[frame] = seen.content, seen.device
            counts += seen.counts
            if seen.measures is not None:
                measures[frame] = seen.measures
        if kept is not None:
            kept.forget_others()
    measured = _sampled(used, contents, devices, measures, structures, counts)
    return summarise(dataset, measured, measured_sha256(used)), collect_detail(measured)


def measured_sha256(records: Sequence[FrameRecord]) -> str:
    """Hash over what a fingerprint depends on beside the files: the version of the measures, and the used rows."""
    digest = hashlib.sha256(str(VERSION).encode())
    for record in sorted(records, key=lambda record: record.frame):
        if record.status == "used":
            digest.update(record.model_dump_json(exclude_defaults=True, exclude={"source", "index", "place"}).encode())
    return digest.hexdigest()


def structures_by_frame(
    raw_folder: Path, records: Sequence[FrameRecord], structures: StructureSet, *, threads: int = 2
) -> dict[str, tuple[str, ...]]:
    """Frame → structures that its bitmask shows, for the used frames; folds are spread by it."""
    from ercpseg.storage.images import read_png

    def shown(frame: str) -> tuple[str, ...]:
        return structures.present(read_png(label_path(raw_folder, frame)))

    frames = sorted(record.frame for record in records if record.status == "used")
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return dict(zip(frames, pool.map(shown, frames), strict=True))


def _looker(
    raw_folder: Path, structures: StructureSet, kept: Kept | None
) -> Callable[[tuple[int, FrameRecord]], _Seen]:
    """What is done with one frame: read its bitmask, decide what is measured, measure it."""
    quota = sample.Quota()

    def look(numbered: tuple[int, FrameRecord]) -> _Seen:
        number, record = numbered
        content, bitmask, counts = read_content(raw_folder, record, structures)
        device = device_key(record, content)
        names = {name for name in content.areas_px if quota.claim(("structure", name), number, sample.MAX_FRAMES)}
        grey = quota.claim(("device", device), number, sample.MAX_DEVICE_FRAMES) or number < sample.MAX_FRAMES
        measures = measures_of(raw_folder, content, bitmask, structures, names, kept) if names or grey else None
        return _Seen(content, device, counts, measures)

    return look


def _sampled(
    used: Sequence[FrameRecord],
    contents: dict[str, FrameContent],
    devices: dict[str, str],
    measures: dict[str, FrameMeasures],
    structures: StructureSet,
    counts: NDArray[np.int64],
) -> Measured:
    """Only what belongs to the samples: more may have been measured, now or before."""
    samples = {name: sample.choose(frame for frame, c in contents.items() if name in c.areas_px) for name in structures}
    by_device = {
        key: sorted(sample.choose((frame for frame in devices if devices[frame] == key), sample.MAX_DEVICE_FRAMES))
        for key in sorted(set(devices.values()))
    }
    grey = sample.choose(contents)
    return Measured(
        records=tuple(used),
        contents=[contents[record.frame] for record in used],
        bitmask_counts=counts,
        structures={
            name: [(measures[frame].structures[name], measures[frame]) for frame in sorted(chosen)]
            for name, chosen in samples.items()
        },
        grey=[measures[frame].intensity for frame in sorted(grey)],
        devices=devices,
        by_device=by_device,
        device_grey={frame: measures[frame].intensity for frames in by_device.values() for frame in frames},
    )


def _in_threads(
    function: Callable[[T], R], items: Sequence[T], description: str, progress: Progress, threads: int
) -> Iterator[R]:
    """``function`` of every item, in their order."""
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="fingerprint")
    try:
        with progress.task(description, len(items)) as task:
            for result in pool.map(function, items):
                yield result
                task.advance()
    finally:
        # After an error or an interrupt the frames that nobody waits for are not measured.
        pool.shutdown(cancel_futures=True)
