"""``datasets extract``: frames and masks of the workspace as a plain folder, for scoring what was held out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ercpseg.documents.dataset import Dataset
from ercpseg.errors import DataError, UsageError
from ercpseg.pipeline.known import known_name, used_records
from ercpseg.progress import SILENT, Progress, track
from ercpseg.storage import documents
from ercpseg.storage.workspace import Workspace

Part = Literal["all", "train", "val", "test"]


@dataclass(frozen=True)
class Extracted:
    """How many frames were written where."""

    frames: int
    folder: Path


def extract(
    dataset: str | Path,
    output: Path,
    *,
    split: Part = "test",
    workspace: Workspace | str | Path | None = None,
    progress: Progress = SILENT,
) -> Extracted:
    """Write ``images/<frame>.png`` and ``masks/<structure>/<frame>.png`` of one split of an imported dataset.

    Every structure gets a mask for every frame, empty where it is absent, so that ``evaluate`` scores absence too.

    Raises
    ------
    UsageError
        when there is no such dataset, or ``output`` is not empty.
    DataError
        when the dataset has no frame of this split.
    """
    import numpy as np

    from ercpseg.storage.atomic import new_folder
    from ercpseg.storage.images import read_png, write_png

    space = workspace if isinstance(workspace, Workspace) else Workspace.default(workspace)
    name = known_name(dataset, space)
    if name not in space.names():
        known = ", ".join(space.names()) or "none yet"
        raise UsageError(f"there is no imported dataset {name[:64]!r}", where="DATASET", expected=f"one of: {known}")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UsageError("this folder is not empty", where=output, expected="a new or empty folder")
    data = documents.load(space.dataset_folder(name) / "dataset.json", Dataset)
    records = [r for r in used_records(space, data) if split in ("all", r.split)]
    if not records:
        raise DataError(
            f"no frame of {name} belongs to the split {split}",
            where=space.dataset_folder(name) / "frames.csv",
            expected="a descriptor that says how the split is known, or a day to hold out from",
        )
    raw = space.raw_folder(name)
    with new_folder(output) as folder:
        for record in track(records, progress, "writing frames", total=len(records)):
            write_png(
                folder / "images" / f"{record.frame}.png", read_png(raw / "imagesTr" / f"{record.frame}_0000.png")
            )
            bitmask = read_png(raw / "labelsTr" / f"{record.frame}.png").astype(np.uint8)
            for structure, mask in data.structure_set.decode(bitmask).items():
                write_png(folder / "masks" / structure / f"{record.frame}.png", mask)
    return Extracted(len(records), output)
