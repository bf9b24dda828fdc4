"""``synth --from-dataset``: frames and masks that a dataset lends, read as ``plan-and-preprocess`` reads them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.errors import DataError
from ercpseg.pipeline.bring import bring_in
from ercpseg.pipeline.known import load_records, locate, used_records
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.images import read_png
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import Bitmask
from ercpseg.synthesis.backgrounds import MOST, MOST_BYTES, Annotated, background, check_room
from ercpseg.synthesis.dataset import check_backgrounds
from ercpseg.synthesis.jobs import Materials

TEMPORARY = "lent"


class Held(NamedTuple):
    """A dataset as it lies in a workspace."""

    space: Workspace
    dataset: Dataset

    def bitmask(self, frame: str) -> Bitmask:
        """What a frame shows (y, x)."""
        path = self.space.raw_folder(self.dataset.name) / "labelsTr" / f"{frame}.png"
        return read_png(path).astype(np.uint8)


def lend(
    patients: int,
    dataset: str | Path,
    *,
    root: Path | None = None,
    workspace: Workspace | str | Path | None = None,
    progress: Progress = SILENT,
) -> Materials:
    """Backgrounds for so many patients, and all masks, of a folder, a descriptor or a dataset of the workspace.

    A background is a frame of which it is known that it shows nothing: annotated, with every structure absent. A frame
    without annotation, or without the mask file of some structure, is none, and such frames are counted; of a file of several
    frames one is enough. Frames that are held out for testing lend nothing.

    Raises
    ------
    UsageError
        when there is no such dataset, or it has fewer backgrounds than patients.
    DataError
        when nothing in it can be used, or no frame is known to show nothing, or none shows anything.
    """
    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    with _held(dataset, root, space, progress) as held:
        used = sorted(used_records(held.space, held.dataset), key=lambda r: (r.source, r.index or 0, r.frame))
        ours = [record for record in used if record.split != "test"]
        shows = {record.frame: bool(held.bitmask(record.frame).any()) for record in ours}
        unsure = [record for record in ours if not shows[record.frame] and record.unmasked]
        empty = _one_of_each_file([r for r in ours if not shows[r.frame] and not r.unmasked])
        full = [record for record in ours if shows[record.frame]]
        refused = [r for r in load_records(held.space, held.dataset.name) if r.status == "refused" and r.frame]
        left_out = {
            "of which nothing says what they show": sum(record.code == "no-annotation" for record in refused),
            "without the mask of some structure": len(unsure),
            "that were refused": sum(record.code != "no-annotation" for record in refused),
            "held out for testing": len(used) - len(ours),
        }
        said = "; ".join(f"{count} {what}" for what, count in left_out.items() if count)
        if said:
            progress.say(f"frames that lend nothing: {said}")
        if not empty:
            raise DataError(
                f"no frame is known to show nothing: {len(full)} show something" + (f"; {said}" if said else ""),
                where=dataset,
                expected="frames without devices and contrast to paste on, with empty masks that say so",
                todo="give such frames with --backgrounds, and with --paste a folder of masks/ and images/",
            )
        if not full:
            raise DataError(
                f"none of {len(ours)} frames shows anything", where=dataset, expected="frames with masks to paste"
            )
        check_backgrounds(patients, len(empty))
        grounds = empty[:patients]
        check_room(len(grounds), sum(4 * (r.height_px or 0) * (r.width_px or 0) for r in grounds), dataset)
        annotated = _thinned(full, len(held.dataset.structures))
        if len(annotated) < len(full):
            progress.say(
                f"masks of every {ceil(len(full) / len(annotated))}. annotated frame are taken: {len(annotated)}"
            )
        raw = held.space.raw_folder(held.dataset.name) / "imagesTr"
        return Materials(
            tuple(background(read_png(raw / f"{r.frame}_0000.png"), r.bits or 8) for r in grounds),
            tuple(_annotated(held, record) for record in annotated),
        )


@contextmanager
def _held(dataset: str | Path, root: Path | None, space: Workspace, progress: Progress) -> Iterator[Held]:
    """The dataset as the workspace holds it; else imported for as long as it is needed, and nothing of it stays."""
    from ercpseg.importers.dataset import ImportOptions

    stored = not Path(dataset).is_dir() and str(dataset) in space.names()
    located = locate(dataset, None if stored else TEMPORARY, space, root)
    bring = partial(bring_in, located=located, options=ImportOptions(), progress=progress)
    if stored:
        yield Held(space, bring(space))
        return
    with tempfile.TemporaryDirectory(prefix="ercpseg-") as folder:
        own = Workspace(Path(folder))
        with own.locked():
            yield Held(own, bring(own))


def _one_of_each_file(records: Sequence[FrameRecord]) -> list[FrameRecord]:
    found: dict[str, FrameRecord] = {}
    for record in records:
        found.setdefault(record.source, record)
    return list(found.values())


def _thinned(records: Sequence[FrameRecord], structures: int) -> Sequence[FrameRecord]:
    """As many as are held in memory, evenly over all."""
    size = sum((r.height_px or 0) * (r.width_px or 0) * structures for r in records)
    return records[:: max(1, ceil(len(records) / MOST), ceil(size / MOST_BYTES))]


def _annotated(held: Held, record: FrameRecord) -> Annotated:
    masks = held.dataset.structure_set.decode(held.bitmask(record.frame))
    return Annotated({name: mask for name, mask in masks.items() if mask.any()})
