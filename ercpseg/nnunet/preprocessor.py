"""Our preprocessor: the same frame preparation as live prediction, threads instead of a spawned pool, resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
from numpy.typing import NDArray

from ercpseg.documents.dataset import Dataset
from ercpseg.documents.plan import Plan, PreparationValues
from ercpseg.errors import DataError
from ercpseg.frames.prepare import prepare, resample_bitmask, thicken
from ercpseg.frames.windows import filled
from ercpseg.nnunet.convert import data_identifier
from ercpseg.nnunet.labels import ErcpPlans
from ercpseg.nnunet.store import StoredFrame, StoreIndex, frame_files, index_path, write_frame
from ercpseg.progress import SILENT, Progress, Task
from ercpseg.storage import documents, images
from ercpseg.storage.atomic import flush, remove_leftovers
from ercpseg.storage.workspace import Workspace
from ercpseg.structures import Bitmask

SAVE_FRAC = 0.125
"""Share of the prepared frames that a kill may cost, so that saving the growing index stays cheap for any number."""
SAVE_EVERY = 64
"""Frames that a kill may cost in any case."""


class ErcpPreprocessor(DefaultPreprocessor):
    """Replaces nnU-Net's crop → normalise → resample by :func:`ercpseg.frames.prepare.prepare`."""

    def run_case_npy(
        self,
        data: NDArray[Any],
        seg: NDArray[Any] | None,
        properties: dict[str, Any],
        plans_manager: Any,
        configuration_manager: Any,
        dataset_json: Any,
    ) -> tuple[NDArray[np.float32], NDArray[np.int16] | None, dict[str, Any]]:
        """One canonical frame (1, 1, y, x) and its bitmask to working size; the hook of nnU-Net's own predictor.

        A network of several frames gets those right before it as further channels of ``data``; without them it gets the
        frame repeated.
        """
        plan = ErcpPlans(plans_manager.plans).plan
        frames = plan.values.input.frames
        if data.shape[0] > frames:
            raise DataError(f"{data.shape[0]} channels", where="input.frames", expected=f"at most {frames} frames")
        data = data.astype(np.uint8 if data.max() <= np.iinfo(np.uint8).max else np.uint16)
        prepared = [prepare(pixels, plan.values.preparation) for pixels in data[:, 0]]
        image, geometry = filled(np.concatenate([one for one, _ in prepared]), frames), prepared[0][1]
        properties = {
            **properties,
            "shape_before_cropping": (1, *geometry.native),
            "bbox_used_for_cropping": [[0, 1], [0, geometry.native[0]], [0, geometry.native[1]]],
            "shape_after_cropping_and_before_resampling": (1, *geometry.native),
        }
        bitmask = None
        if seg is not None:
            bitmask = resample_bitmask(seg[0, 0].astype(np.uint8), geometry.working, thin_bits(plan))
            square = plan.values.preparation.dilate_kernel == "square"
            bitmask = thicken(bitmask, dilated_bits(plan), square=square)
        return image[:, None], None if bitmask is None else bitmask[None, None].astype(np.int16), properties


def thin_bits(plan: Plan) -> int:
    """The bits of the structures whose masks may not lose half a width when shrunk (R7)."""
    structures, thin = plan.structure_set, plan.values.preparation.thin
    names = plan.values.loss.max_pooled if thin is None else thin
    return sum(structures.value(name) for name in structures if name in names)


def dilated_bits(plan: Plan) -> dict[int, int]:
    """Bit → working pixels by which its training masks are thickened (R23)."""
    structures = plan.structure_set
    return {structures.value(name): radius for name, radius in plan.values.preparation.dilate_px.items() if radius}


def preprocess(
    workspace: Workspace,
    dataset: Dataset,
    plan: Plan,
    frames: list[str],
    *,
    previous: Mapping[str, str] = MappingProxyType({}),
    threads: int = 2,
    progress: Progress = SILENT,
) -> Path:
    """Prepare all frames; returns the store's folder. Frames whose files are already right are kept."""
    raw = workspace.raw_folder(dataset.name)

    def read(name: str) -> tuple[NDArray[Any], Bitmask]:
        return images.read_png(raw / "imagesTr" / f"{name}_0000.png"), images.read_png(raw / "labelsTr" / f"{name}.png")

    folder = workspace.preprocessed_folder(dataset.name) / data_identifier(plan)
    with progress.task("Preparing frames", len(frames)) as task:
        fill_store(folder, frames, read, plan, previous=previous, threads=threads, task=task)
    return folder


def fill_store(  # noqa: PLR0913  # all needed
    folder: Path,
    frames: list[str],
    read: Callable[[str], tuple[NDArray[Any], Bitmask]],
    plan: Plan,
    *,
    values: PreparationValues | None = None,
    previous: Mapping[str, str] = MappingProxyType({}),
    threads: int = 2,
    task: Task,
) -> None:
    """Prepare ``frames`` into the store ``folder``; those whose files are already right are kept, others deleted.

    ``read`` gives a canonical frame (y, x) and its bitmask (y, x) by name, on several threads. ``values``: how frames are
    prepared, where that is not quite as the plan says. ``previous``: frame → the one right before it in its series
    (:func:`ercpseg.frames.windows.link`); a frame is stored once, whatever the number of windows that it is in.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    values, structures = values or plan.values.preparation, plan.structure_set
    thin, dilated = thin_bits(plan), dilated_bits(plan)
    known = documents.load(index_path(folder), StoreIndex).frames if index_path(folder).exists() else {}
    wanted = set(frames)
    for stale in folder.glob("*.b2nd"):
        if stale.name.removesuffix(".b2nd").removesuffix("_seg") not in wanted:
            stale.unlink()

    def one(name: str) -> StoredFrame:
        if name in known and _hash(folder, name) == known[name].sha256:
            return known[name].model_copy(update={"previous": previous.get(name)})
        pixels, bitmask = read(name)
        image, geometry = prepare(pixels, values)
        bitmask = thicken(resample_bitmask(bitmask, geometry.working, thin), dilated)
        present = {s: int(np.count_nonzero(bitmask & structures.value(s))) for s in structures}
        sha = write_frame(folder, name, image[:, None], bitmask[None, None])
        return StoredFrame(
            native=geometry.native,
            working=geometry.working,
            pixels=present,
            sha256=sha,
            previous=previous.get(name),
        )

    stored: dict[str, StoredFrame] = {}
    save_at = SAVE_EVERY
    with ThreadPoolExecutor(threads) as pool:
        for name, frame in zip(frames, pool.map(one, frames), strict=True):
            stored[name] = frame
            task.advance()
            flush(
                *frame_files(folder, name)
            )  # here, so that the threads that prepare frames need not wait for the disk
            if len(stored) >= save_at:
                save_at += max(SAVE_EVERY, int(SAVE_FRAC * len(stored)))
                documents.save(index_path(folder), StoreIndex.new(complete=False, frames={**known, **stored}))
    flush(folder)
    documents.save(index_path(folder), StoreIndex.new(complete=True, frames=stored))


def _hash(folder: Path, name: str) -> str | None:
    files = frame_files(folder, name)
    if not all(file.is_file() for file in files):
        return None
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
