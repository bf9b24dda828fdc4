"""Out-of-fold predictions: every trained fold predicts the frames that it held out, once, into its run folder.

``out-of-fold/<frame>.png`` holds the probabilities of all structures at native size, one below the other, in the 201 levels of
:mod:`ercpseg.postprocess.scene`; ``out-of-fold/index.json`` says of which weights and with which hash. A stopped run goes on
from what is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ercpseg.documents.base import Document
from ercpseg.documents.plan import Plan
from ercpseg.errors import DataError
from ercpseg.frames.groups import group_frames
from ercpseg.pipeline.known import Planned, trainable, used_records
from ercpseg.planner.splits import LEAKY
from ercpseg.postprocess.scene import Levels
from ercpseg.progress import Progress
from ercpseg.storage import documents, images
from ercpseg.storage.atomic import read_bytes, remove_leftovers, write_bytes
from ercpseg.storage.tables import iter_table
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import run_folder

FOLDER, INDEX = "out-of-fold", "index.json"
SAVE_EVERY = 8
"""Frames that a kill may cost."""


class OutOfFoldIndex(Document):
    """The predictions of one fold for the frames that it held out."""

    SCHEMA: ClassVar[str] = "ercpseg.outoffold/1"
    plan_sha256: str
    weights_sha256: str
    frames: dict[str, str]


@dataclass(frozen=True)
class HeldOut:
    """One frame that a fold held out. ``group`` numbers what folds keep together (patients, where they are known)."""

    frame: str
    fold: str
    group: int
    levels: Path
    reference: Path


@dataclass(frozen=True)
class HeldOutFrames:
    """All frames that may be scored, how many are left out, and what people should know of them."""

    frames: tuple[HeldOut, ...]
    left_out: int
    warnings: tuple[str, ...]

    @property
    def groups(self) -> int:
        """How many numbers ``group`` may take."""
        return 1 + max((frame.group for frame in self.frames), default=-1)


def held_out(space: Workspace, planned: Planned, folds: Sequence[str]) -> HeldOutFrames:
    """The frames that each of ``folds`` held out of its training; test frames are never among them.

    A fold whose split is no longer the one that it was validated on is left out: its weights may have seen the frames.

    Raises
    ------
    DataError
        when no frame is left, or a frame would be predicted by a fold that trained on it.
    """
    from ercpseg.nnunet.convert import data_identifier
    from ercpseg.nnunet.store import read_fold

    name, plan = planned.dataset.name, planned.plan
    records = trainable(used_records(space, planned.dataset))
    ours, groups = {record.frame for record in records}, group_frames(records).of
    store, raw = space.preprocessed_folder(name) / data_identifier(plan), space.raw_folder(name)
    frames: dict[str, HeldOut] = {}
    warnings = []
    for fold in folds:
        training, validation = read_fold(store, fold)
        folder = run_folder(space, name, fold)
        if set(validation) != _validated(folder):
            warnings.append(f"fold {fold} was trained on another split and is left out; train it again with --restart")
            continue
        leaked = (set(validation) & set(training)) | (set(validation) - ours) | (set(validation) & set(frames))
        if leaked:
            raise DataError(
                f"{len(leaked)} frames of fold {fold} are trained on, kept for the test or held out twice",
                where="splits_final.json",
                todo="run plan-and-preprocess and train again",
            )
        for frame in validation:
            levels, reference = folder / FOLDER / f"{frame}.png", raw / "labelsTr" / f"{frame}.png"
            frames[frame] = HeldOut(frame, fold, groups[frame], levels, reference)
    if not frames:
        raise DataError("no frame is held out", where=f"folds {', '.join(folds)}", todo="train a fold again")
    if plan.values.folds.method in LEAKY:
        warnings.append("folds share patients, so the figures are too good for new patients (R30)")
    return HeldOutFrames(tuple(frames.values()), len(ours) - len(frames), tuple(warnings))


def predict_held_out(
    space: Workspace, planned: Planned, fold: str, frames: Sequence[HeldOut], *, device: str, progress: Progress
) -> None:
    """Predict the frames of one fold by its weights alone, but for those that are there already and whole."""
    from ercpseg.inference.predictor import Predictor
    from ercpseg.nnunet.convert import data_identifier
    from ercpseg.nnunet.store import read_index, window_names
    from ercpseg.postprocess.finish import native_levels
    from ercpseg.training.model import fold_model, trained_folds

    folder = run_folder(space, planned.dataset.name, fold) / FOLDER
    raw = space.raw_folder(planned.dataset.name) / "imagesTr"
    weights = trained_folds(space, planned.plan)[fold]
    done = _known(folder, planned.plan, weights)
    todo = [frame.frame for frame in frames if frame.frame not in done]
    remove_leftovers(folder)

    def window(frame: str) -> list[str]:
        return window_names(stored, frame, planned.plan.values.input.frames)

    def save() -> None:
        index = OutOfFoldIndex.new(plan_sha256=planned.plan.sha256, weights_sha256=weights, frames=done)
        documents.save(folder / INDEX, index)

    if not todo:
        return
    stored = read_index(space.preprocessed_folder(planned.dataset.name) / data_identifier(planned.plan)).frames
    model = fold_model(space, planned.dataset, planned.plan, planned.fingerprint, fold)
    predictor = Predictor(model, device=device)
    try:
        with progress.task(f"Predicting fold {fold}", len(frames)) as task:
            task.advance(len(frames) - len(todo))
            for number, frame in enumerate(todo, start=1):
                pixels, *before = (images.read_png(raw / f"{name}_0000.png") for name in window(frame))
                levels = native_levels(*predictor.logits(pixels, before), predictor.serving)
                data = images.encode_png(levels.reshape(-1, levels.shape[-1]))
                write_bytes(folder / f"{frame}.png", data)
                done[frame] = hashlib.sha256(data).hexdigest()
                if number % SAVE_EVERY == 0:
                    save()
                task.advance()
    finally:
        save()


def read_levels(frame: HeldOut, structures: int) -> Levels:
    """Levels (structures, y, x) of one frame."""
    stacked = images.read_png(frame.levels)
    return np.asarray(stacked.reshape(structures, -1, stacked.shape[-1]), np.uint8)


def _known(folder: Path, plan: Plan, weights: str) -> dict[str, str]:
    """The frames that these weights predicted already and whose files are as they were written."""
    try:
        index = documents.load(folder / INDEX, OutOfFoldIndex) if (folder / INDEX).exists() else None
    except DataError:
        index = None
    if index is None or (index.plan_sha256, index.weights_sha256) != (plan.sha256, weights):
        return {}
    files = {frame: folder / f"{frame}.png" for frame in index.frames}
    return {
        frame: sha256
        for frame, sha256 in index.frames.items()
        if files[frame].exists() and hashlib.sha256(read_bytes(files[frame])).hexdigest() == sha256
    }


def _validated(folder: Path) -> set[str]:
    """The frames on which the fold was validated when its training ended."""
    path = folder / "validation" / "frames.csv"
    return {row["frame"] for row in iter_table(path)} if path.exists() else set()
