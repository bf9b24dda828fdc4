"""Trains the weights that come with the package and puts them into ``models/``: ``python -m tests.weights light``.

Everything is the product's own commands: synthetic frames, the recipe ``zero-shot``, training in stages that each begin with
the weights before, new frames every time. Lengths are in epochs, so that two machines learn as long; what the planner decides
by speed (the optimiser, the skeleton term) may differ. Hours on two CPU cores.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.run import ModelCard
from ercpseg.storage.arrays import encode_arrays, load_arrays
from ercpseg.storage.atomic import write_bytes
from ercpseg.storage.models import load_model, write_model
from ercpseg.storage.workspace import Workspace
from ercpseg.training.run import run_folder
from ercpseg.version import __version__
from tests.benchmarks.machine import run, script

MODELS = Path(__file__).resolve().parents[1] / "models"
LIMITS = (
    "Trained on synthetic frames only; no patient's frame was learnt from.",
    "Made beside adult ERCP with a duodenoscope, frames of about 512 px with a round field, from one hospital. What it does on "
    "other rooms, on children, after surgery or with other devices was not measured.",
    "Guidewires are marked where they are bare and not behind the endoscope; catheters, stents and branches are not. Thin "
    "or faint wires are often missed, and stones that are bubbles are not told from stones.",
    "Look at every overlay. For frames of your own, train on a handful of them first: docs/how-to/few-shot.md.",
)


@dataclass(frozen=True)
class Stage:
    """Frames of a seed, one per patient, how long they are trained on, and what of the weights before stays.

    ``parts`` of what was learnt to one of the weights before make their mean; 0: what was learnt alone. A stage ends near
    enough to where it begins that the mean of both is a network as good as either (Wortsman et al. 2022, model soups).
    ``wide_epochs``: what was learnt is the mean of two trainings from the weights before, and the second lasts so long, with
    windows of :data:`WIDE`, which show more of what a structure belongs to.
    """

    seed: int
    domains: str
    frames: int
    epochs: int
    parts: int = 0
    wide_epochs: int = 0


TUNED = ("cbd", "stone")
"""What gets thresholds and steps of its own. The endoscope was not tried; for wires synthetic frames ask for pieces that hang
on the endoscope, and on a real frame that took the one wire that was found: it was seen only beyond the hilum."""
WIDE = "patch.size_px=[384,384]"
RECIPES = {"light": "zero-shot", "realtime": "zero-shot-realtime"}
MIXED = "round-field,round-field,any-room"
ROOMS = "round-field,any-room,round-field,any-room,saint-antoine,portrait-spot"
"""Every room but two, which the benchmark keeps for rooms that were never seen."""
VARIED = "round-field,any-room,portrait-spot,any-room,round-field,any-room,saint-antoine,any-room"
"""The same with every second patient of no room in particular: what was lost elsewhere was what few frames had shown."""
STAGES: dict[str, tuple[Stage, ...]] = {
    "light": (
        Stage(101, "round-field", 1000, 62),
        Stage(202, MIXED, 1250, 260),
        Stage(303, MIXED, 600, 120, parts=1),
        Stage(404, ROOMS, 2400, 640, parts=3),
        Stage(505, ROOMS, 3000, 997, parts=3),
        Stage(606, VARIED, 3600, 883),
        Stage(707, VARIED, 4800, 1310, parts=2, wide_epochs=638),
    ),
    "realtime": (
        Stage(202, MIXED, 1250, 188),
        Stage(404, ROOMS, 2400, 570, parts=3),
        Stage(505, ROOMS, 3000, 848),
        Stage(606, VARIED, 3600, 751, parts=1),
    ),
}


def train(name: str, root: Path) -> Path:
    """Train ``name`` below ``root``; the folder of its model."""
    before = None
    for number, stage in enumerate(STAGES[name]):
        data = root / f"{name}-{number}"
        count = ["--frames", str(stage.frames), "--patients", str(stage.frames), "--seed", str(stage.seed)]
        run([script("ercpseg"), "synth", str(data), "--domain", stage.domains, *count])
        learnt = train_once(name, data, root / "workspace", stage.epochs, before)
        if stage.wide_epochs:
            wide = train_once(name, data, root / "workspace-wide", stage.wide_epochs, before, "--set", WIDE)
            learnt = write_mean([wide, learnt], root / f"{data.name}-both")
        if before and stage.parts:
            learnt = write_mean([before, *[learnt] * stage.parts], root / f"{data.name}-mean")
        before = learnt
    assert before is not None
    return tuned(before, data.name, root / "workspace")


def train_once(name: str, data: Path, workspace: Path, epochs: int, before: Path | None, *pins: str) -> Path:
    """Plan ``data`` with the recipe of ``name`` and train fold 0 from ``before``; a copy of the model.

    The copy stays when the fold's weights give way to a mean (:func:`tuned`), so that a run that was stopped goes on.
    """
    ercpseg, at = script("ercpseg"), ["--workspace", str(workspace)]
    run([ercpseg, "plan-and-preprocess", str(data), "--recipe", RECIPES[name], "--device", "cpu", *pins, *at])
    start = ["--init-from", str(before)] if before else []
    run([ercpseg, "train", data.name, "0", "--epochs", str(epochs), *start, *at])
    learnt = workspace.with_name(f"{data.name}-{workspace.name}")
    return learnt if learnt.exists() else write_mean([Workspace(workspace).model_folder(data.name)], learnt)


def tuned(model: Path, dataset: str, workspace: Path) -> Path:
    """Choose thresholds and steps for ``model`` on the frames that its last training held out; the folder with them.

    The weights take the place of the fold's own, which they are unless they are a mean. See :data:`TUNED`.
    """
    space = Workspace(workspace)
    fold = run_folder(space, dataset, "0") / "weights.safetensors"
    learnt, about = load_arrays(fold)
    (weights,) = load_model(model).weights.values()
    assert set(weights) == set(learnt), "another network"
    write_bytes(fold, encode_arrays({name: weights[name].astype(a.dtype) for name, a in learnt.items()}, about))
    run([script("ercpseg"), "tune", dataset, "--structures", ",".join(TUNED), "--workspace", str(workspace)])
    return space.model_folder(dataset)


def write_mean(models: list[Path], folder: Path, card: dict[str, Any] | None = None, *, half: bool = False) -> Path:
    """Write the mean of models, one that is named more often weighing more, with the last one's plan and card.

    ``card``: what is changed in the card; ``half``: kernels in half precision.
    """
    stored, *others = [load_model(model) for model in reversed(models)]
    weights = {}
    for entry in stored.card.folds:
        each = mean([one.weights[entry.fold] for one in (stored, *others)])
        weights[entry.file] = encode_arrays(_stored(each) if half else each, {"fold": entry.fold})
    folds = [
        entry.model_dump() | {"sha256": hashlib.sha256(weights[entry.file]).hexdigest()} for entry in stored.card.folds
    ]
    changed = ModelCard.model_validate(stored.card.model_dump(by_alias=True) | (card or {}) | {"folds": folds})
    write_model(folder, stored.plan, changed, weights)
    return folder


def ship(models: list[Path], name: str, told: str) -> Path:
    """Put the mean of trained models into ``models/`` under ``name``, with a card that says from what and with which limits."""
    card = {"name": name, "ercpseg_version": __version__, "training_data": told, "limits": LIMITS}
    return write_mean(models, MODELS / name, card, half=True)


def mean(each: list[dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """The mean of weights by name; counters are the first's, and what it lacks (auxiliary outputs) is left out.

    >>> mean([{"w": np.array([1.0]), "n": np.array(3)}, {"w": np.array([2.0]), "n": np.array(5)}])
    {'w': array([1.5]), 'n': array(3)}
    """
    first = each[0]
    return {
        name: np.mean([one[name] for one in each], axis=0, dtype=np.float64).astype(a.dtype)
        if a.dtype.kind == "f"
        else a
        for name, a in first.items()
    }


def _stored(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Kernels in half precision, which changes no mask by more than single pixels; norms and biases are few and stay."""
    return {name: a.astype(np.float16) if a.ndim >= 2 else a for name, a in arrays.items()}


def told(name: str) -> str:
    """What a card says of the training."""
    stages = "; ".join(
        f"{s.frames:,} frames, seed {s.seed}, domains {s.domains}, {50 * s.epochs:,} steps of two windows"
        + (
            f", mean with {50 * s.wide_epochs:,} steps of windows of 384 px from the same weights"
            if s.wide_epochs
            else ""
        )
        + (f", mean of one part of the weights before and {s.parts} of these" if s.parts else "")
        for s in STAGES[name]
    )
    return (
        f"synthetic frames only (ercpseg synth), training seed 1, one frame per patient, four fifths learnt from: {stages}; "
        f"thresholds and steps of {' and '.join(TUNED)} tuned on what the last training held out "
        f"(recipe {RECIPES[name]}; python -m tests.weights {name} makes the like)"
    )


def main() -> None:
    """Train and ship what is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.weights", description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(RECIPES))
    parser.add_argument("--root", type=Path, default=Path("ercpseg-weights"), help="where frames and trainings lie")
    arguments = parser.parse_args()
    for name in arguments.names:
        sys.stdout.write(f"wrote {ship([train(name, arguments.root)], name, told(name))}\n")


if __name__ == "__main__":
    main()
