"""Validation on whole frames at native size, in process: what nnU-Net does with a pool of eight spawned processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ercpseg.documents.plan import Plan
from ercpseg.documents.serving import serving_of
from ercpseg.frames.arrays import Array, on_device
from ercpseg.frames.mirror import flips, mean_of_flips
from ercpseg.frames.prepare import Geometry
from ercpseg.frames.tiles import predict_tiled
from ercpseg.frames.windows import filled
from ercpseg.nnunet.store import ErcpDataset
from ercpseg.postprocess.finish import finish
from ercpseg.progress import Progress, track
from ercpseg.storage import images
from ercpseg.storage.tables import write_table

SEEN_FRAMES = 24
"""Frames that are looked at where all were trained on: their Dice says that training worked, nothing about other patients."""
Forward = Callable[[torch.Tensor], torch.Tensor]


def hard_counts(predicted: torch.Tensor, target: torch.Tensor) -> dict[str, NDArray[np.int64]]:
    """True and false positives and false negatives per head over a batch of (n, heads, y, x), under nnU-Net's names."""
    axes = (0, 2, 3)
    return {
        "tp_hard": (predicted & target).sum(axes).cpu().numpy(),
        "fp_hard": (predicted & ~target).sum(axes).cpu().numpy(),
        "fn_hard": (~predicted & target).sum(axes).cpu().numpy(),
    }


def frames_to_check(frames: Sequence[str], fold: int | str) -> list[str]:
    """The validation frames of a fold; of fold ``all``, which trained on them, :data:`SEEN_FRAMES` evenly spread ones.

    >>> frames_to_check([str(i) for i in range(48)], "all")[:3]
    ['0', '2', '4']
    """
    if fold != "all":
        return list(frames)
    count = min(len(frames), SEEN_FRAMES)
    return [frames[i * len(frames) // count] for i in range(count)]


def validate(  # noqa: PLR0913  # all needed, all keyword-only
    forward: Forward,
    *,
    plan: Plan,
    dataset: ErcpDataset,
    frames: Sequence[str],
    references: Path,
    output: Path,
    device: torch.device,
    progress: Progress,
) -> dict[str, dict[str, float | int | None]]:
    """Predict ``frames`` as ``predict`` does; write ``labels/<frame>.png`` and ``frames.csv``; return the Dice of structures.

    ``references`` holds the native bitmasks. Dice is the mean over the frames whose reference shows the structure, and
    ``frames`` says how many those are; a structure that no frame shows has none.
    """
    structures, serving = plan.structure_set, serving_of(plan)
    mirrors = flips(serving.mirror_axes)

    def one_pass(tiles: Array) -> Array:
        if not isinstance(tiles, np.ndarray):
            return forward(tiles)
        return forward(torch.from_numpy(np.ascontiguousarray(tiles))).numpy()

    def mirrored(tiles: Array) -> Array:
        return mean_of_flips(tiles, one_pass, mirrors)

    rows: list[dict[str, Any]] = []
    for name in track(frames, progress, "Validating", len(frames)):
        image = filled(dataset.load_window(name, serving.frames), serving.frames)
        geometry = Geometry(dataset.index[name].native, dataset.index[name].working)
        with torch.inference_mode():
            # Of numpy on a CPU, as in prediction: torch's sums would differ in the last bit.
            logits = predict_tiled(on_device(image, device.type), serving.tile_px, mirrored)
            bitmask = finish(logits, geometry, serving)
        images.write_png(output / "labels" / f"{name}.png", bitmask)
        reference = images.read_png(references / f"{name}.png")
        for structure in structures:
            bit = structures.value(structure)
            wanted, got = (reference & bit) != 0, (bitmask & bit) != 0
            total = int(wanted.sum()) + int(got.sum())
            dice = 2 * int((wanted & got).sum()) / total if wanted.any() else None
            rows.append({"frame": name, "structure": structure, "reference_px": int(wanted.sum()), "dice": dice})
    write_table(output / "frames.csv", ("frame", "structure", "reference_px", "dice"), rows)
    summary: dict[str, dict[str, float | int | None]] = {}
    for structure in structures:
        values = [r["dice"] for r in rows if r["structure"] == structure and r["dice"] is not None]
        summary[structure] = {"dice": float(np.mean(values)) if values else None, "frames": len(values)}
    return summary
