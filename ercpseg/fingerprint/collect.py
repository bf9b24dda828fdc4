"""One pass over the canonical frames of a dataset: measure each, then summarise.

Frames are independent, so they are measured in threads (decoding, filters and skeletons release the interpreter), and
what is kept of each is a few hundred numbers. The summary works on the frames in the order of their names, so neither
the number of threads nor the order of the records changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.errors import DataError
from ercpseg.fingerprint.frame import FrameMeasures, measure_frame
from ercpseg.fingerprint.summary import summarise
from ercpseg.progress import SILENT, Progress
from ercpseg.structures import StructureSet


def fingerprint_dataset(
    dataset: Dataset,
    raw_folder: Path,
    records: Sequence[FrameRecord],
    *,
    progress: Progress = SILENT,
    threads: int = 2,
) -> Fingerprint:
    """Measure the used frames of a dataset.

    Parameters
    ----------
    dataset
        its name, structures and hash go into the fingerprint.
    raw_folder
        holds ``imagesTr/<frame>_0000.png`` and ``labelsTr/<frame>.png`` (bitmasks).
    records
        the import report; rows that are not ``used`` are left out.
    progress
        told of every frame.
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
    measures = list(_measure_all(raw_folder, used, dataset.structure_set, progress, threads))
    return summarise(dataset, used, measures)


def structures_by_frame(
    raw_folder: Path, records: Sequence[FrameRecord], structures: StructureSet, *, threads: int = 2
) -> dict[str, tuple[str, ...]]:
    """Frame → structures that its bitmask shows, for the used frames; folds are spread by it."""
    import numpy as np

    from ercpseg.storage.images import read_png

    def shown(frame: str) -> tuple[str, ...]:
        present = int(np.bitwise_or.reduce(read_png(raw_folder / "labelsTr" / f"{frame}.png"), axis=None))
        return tuple(name for name in structures if present & structures.value(name))

    frames = sorted(record.frame for record in records if record.status == "used")
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return dict(zip(frames, pool.map(shown, frames), strict=True))


def _measure_all(
    raw_folder: Path, records: Sequence[FrameRecord], structures: StructureSet, progress: Progress, threads: int
) -> Iterator[FrameMeasures]:
    pool = ThreadPoolExecutor(max(1, threads), thread_name_prefix="fingerprint")
    try:
        with progress.task("fingerprint", len(records)) as task:
            for measures in pool.map(lambda record: measure_frame(raw_folder, record, structures), records):
                yield measures
                task.advance()
    finally:
        # After an error or an interrupt the frames that nobody waits for are not measured.
        pool.shutdown(cancel_futures=True)
