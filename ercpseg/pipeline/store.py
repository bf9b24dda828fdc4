"""Prepared frames: whether they are there as a plan asks, and which comes before which in its series."""

from __future__ import annotations

from ercpseg.documents.dataset import Dataset, FrameRecord
from ercpseg.documents.plan import Plan
from ercpseg.errors import DataError, UsageError
from ercpseg.frames.windows import Links, link
from ercpseg.pipeline.known import load_records, trainable
from ercpseg.progress import SILENT, Progress
from ercpseg.storage.workspace import Workspace


def links_of(space: Workspace, dataset: Dataset, used: list[FrameRecord]) -> Links:
    """Which frame comes right before which, among those that training may see (``used`` without the test's)."""
    return link(load_records(space, dataset.name), {record.frame for record in trainable(used)})


def check_windows(links: Links, made: Plan) -> None:
    """Refuse a plan whose network takes frames that are not there.

    Raises
    ------
    UsageError
        when a series has a gap, or nothing tells the order of its frames.
    """
    frames = made.values.input.frames
    missing = links.incomplete(frames)
    if not missing:
        return
    told = [f"{len(set(missing.values()))} series lack frames right before {len(missing)} of theirs"]
    if links.unordered:
        told.append(f"nothing tells the order of {len(links.unordered)} frames")
    decision = made.decision("input.frames")
    where = {"user": "--set", "recipe": f"recipe {made.recipe}"}.get(decision.by, "plan")
    raise UsageError(
        f"a network of {frames} frames needs the {frames - 1} before each, but {' and '.join(told)}",
        where=f"{where}: input.frames",
        expected="series without gaps: every frame annotated and usable, in the order of numbers",
        todo="use input.frames=1, or bring the missing frames with their annotations (see frames.csv)"
        + (", or give the descriptor a rule for order" if links.unordered else ""),
    )


def prepare_frames(  # all needed
    space: Workspace,
    dataset: Dataset,
    made: Plan,
    used: list[FrameRecord],
    links: Links,
    *,
    threads: int = 2,
    progress: Progress = SILENT,
) -> None:
    """Prepare what training may see; what is right already is kept."""
    from ercpseg.nnunet.preprocessor import preprocess

    frames = [record.frame for record in trainable(used)]
    preprocess(space, dataset, made, frames, previous=links.previous, threads=threads, progress=progress)


def is_prepared(space: Workspace, dataset: Dataset, made: Plan, used: list[FrameRecord]) -> bool:
    """Whether all frames are prepared as the plan asks, and those before others are known where it takes several."""
    from ercpseg.nnunet.convert import data_identifier
    from ercpseg.nnunet.store import read_index

    try:
        index = read_index(space.preprocessed_folder(dataset.name) / data_identifier(made))
    except DataError:
        return False
    if made.values.input.frames == 1:
        return True
    previous = links_of(space, dataset, used).previous
    return all(stored.previous == previous.get(name) for name, stored in index.frames.items())
