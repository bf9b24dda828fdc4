"""Two passes over the canonical frames of a dataset: what every frame shows, then measures of a sample of them.

Frames are independent, so they are read in threads (decoding, filters and skeletons release the interpreter), and
what is kept of each is a few hundred numbers. The summary works on the frames in the order of their names, so neither
the number of threads nor the order of the records changes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.errors import DataError
from ercpseg.fingerprint.frame import FrameContent, FrameMeasures, measure_frame, read_content
from ercpseg.fingerprint.sample import choose
from ercpseg.fingerprint.summary import summarise
from ercpseg.progress import SILENT, Progress
from ercpseg.structures import StructureSet

T = TypeVar("T")
R = TypeVar("R")


def fingerprint_dataset(
    dataset: Dataset,
    raw_folder: Path,
    records: Sequence[FrameRecord],
    *,
    progress: Progress = SILENT,
    threads: int = 2,
) -> Fingerprint:
    """Measure the used frames of a dataset: presence and overlap in all of them, the rest in a sample.

    Parameters
    ----------
    dataset
        its name, structures and hash go into the fingerprint.
    raw_folder
        holds ``imagesTr/<frame>_0000.png`` and ``labelsTr/<frame>.png`` (bitmasks).
    records
        the import report; rows that are not ``used`` are left out.
    progress
        told of every frame read, and of every frame measured.
    threads
        frames measured at a time; the result does not depend on it.

    Raises
    ------
    DataError
        when no frame is used, or a frame and its bitmask differ in size.
    StorageError
        when a file cannot be read.
    """
    used = sorted((record for record in records if record.status == "used"), key=lambda record: record.frame)
    if not used:
        raise DataError("no frame can be used", where=dataset.name, todo="see the reasons in frames.csv")
    structures = dataset.structure_set

    def read(record: FrameRecord) -> FrameContent:
        return read_content(raw_folder, record, structures)

    def measure(content: FrameContent) -> FrameMeasures:
        names = [name for name in content.areas_px if content.frame in samples[name]]
        return measure_frame(raw_folder, content, structures, names)

    contents = list(_in_threads(read, used, "reading annotations", progress, threads))
    for_grey = choose(content.frame for content in contents)
    samples = {name: choose(c.frame for c in contents if name in c.areas_px) for name in structures}
    chosen = for_grey.union(*samples.values())
    measures = list(_in_threads(measure, [c for c in contents if c.frame in chosen], "fingerprint", progress, threads))
    return summarise(dataset, used, contents, measures, for_grey)


def structures_by_frame(
    raw_folder: Path, records: Sequence[FrameRecord], structures: StructureSet, *, threads: int = 2
) -> dict[str, tuple[str, ...]]:
    """Frame → structures that its bitmask shows, for the used frames; folds are spread by it."""
    from ercpseg.storage.images import read_png

    def shown(frame: str) -> tuple[str, ...]:
        return structures.present(read_png(raw_folder / "labelsTr" / f"{frame}.png"))

    frames = sorted(record.frame for record in records if record.status == "used")
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return dict(zip(frames, pool.map(shown, frames), strict=True))


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
