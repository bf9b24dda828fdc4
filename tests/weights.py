"""Trains the weights that come with the package and puts them into ``models/``: ``python -m tests.weights light``.

Everything is the product's own commands: synthetic frames, the recipe ``zero-shot``, training in stages that each begin with
the weights before, new frames every time. Lengths are in epochs, so that two machines do the same; hours on two CPU cores.
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
from ercpseg.storage.arrays import encode_arrays
from ercpseg.storage.models import load_model, write_model
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
    """Frames of a seed, one per patient, and how long they are trained on."""

    seed: int
    domains: str
    frames: int
    epochs: int


RECIPES = {"light": "zero-shot", "realtime": "zero-shot-realtime"}
MIXED = "round-field,round-field,any-room"
ROOMS = "round-field,any-room,round-field,any-room,saint-antoine,portrait-spot"
"""Every room but two, which the benchmark keeps for rooms that were never seen."""
STAGES: dict[str, tuple[Stage, ...]] = {
    "light": (
        Stage(101, "round-field", 1000, 62),
        Stage(202, MIXED, 1250, 260),
        Stage(303, MIXED, 600, 120),
        Stage(404, ROOMS, 2400, 640),
        Stage(505, ROOMS, 3000, 500),
    ),
    "realtime": (Stage(202, MIXED, 1250, 188), Stage(404, ROOMS, 2400, 570), Stage(505, ROOMS, 3000, 450)),
}


def train(name: str, root: Path) -> list[Path]:
    """Train ``name`` below ``root``; the model folders of its stages."""
    ercpseg, before, models = script("ercpseg"), "", []
    for number, stage in enumerate(STAGES[name]):
        data, workspace = root / f"{name}-{number}", ["--workspace", str(root / "workspace")]
        count = ["--frames", str(stage.frames), "--patients", str(stage.frames), "--seed", str(stage.seed)]
        run([ercpseg, "synth", str(data), "--domain", stage.domains, *count])
        run([ercpseg, "plan-and-preprocess", str(data), "--recipe", RECIPES[name], "--device", "cpu", *workspace])
        start = ["--init-from", before] if before else []
        run([ercpseg, "train", data.name, "0", "--epochs", str(stage.epochs), *start, *workspace])
        before = str(root / "workspace" / "models" / data.name)
        models.append(Path(before))
    return models


def ship(models: list[Path], name: str, told: str) -> Path:
    """Put the mean of trained models into ``models/`` under ``name``, with a card that says from what and with which limits.

    The last one's plan goes with it; one that is named more often weighs more. A stage that begins with the weights before
    ends near enough to them that the mean of both is a network as good as either (Wortsman et al. 2022, model soups).
    """
    stored, *others = [load_model(model) for model in reversed(models)]
    weights = {}
    for entry in stored.card.folds:
        each = [one.weights[entry.fold] for one in (stored, *others)]
        weights[entry.file] = encode_arrays(_stored(mean(each)), {"fold": entry.fold})
    folds = [
        entry.model_dump() | {"sha256": hashlib.sha256(weights[entry.file]).hexdigest()} for entry in stored.card.folds
    ]
    changed = {
        "name": name,
        "ercpseg_version": __version__,
        "training_data": told,
        "limits": LIMITS,
        "folds": folds,
    }
    card = ModelCard.model_validate(stored.card.model_dump(by_alias=True) | changed)
    write_model(MODELS / name, stored.plan, card, weights)
    return MODELS / name


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


def shares(models: list[Path]) -> list[Path]:
    """One part of the stage before and three of the last: what more rooms taught, held to what was right before."""
    return [models[-2], *[models[-1]] * 3]


def _stored(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Kernels in half precision, which changes no mask by more than single pixels; norms and biases are few and stay."""
    return {name: a.astype(np.float16) if a.ndim >= 2 else a for name, a in arrays.items()}


def told(name: str) -> str:
    """What a card says of the training."""
    stages = "; ".join(
        f"{s.frames} synthetic frames of as many patients, seed {s.seed}, domains {s.domains}, {s.epochs} epochs of 50 batches"
        for s in STAGES[name]
    )
    mixed = "mean of one part of the stage before the last and three of the last"
    return f"synthetic frames only (ercpseg synth), in {len(STAGES[name])} stages, training seed 1: {stages}; {mixed}"


def main() -> None:
    """Train and ship what is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.weights", description=__doc__)
    parser.add_argument("names", nargs="+", choices=sorted(RECIPES))
    parser.add_argument("--root", type=Path, default=Path("ercpseg-weights"), help="where frames and trainings lie")
    arguments = parser.parse_args()
    for name in arguments.names:
        sys.stdout.write(f"wrote {ship(shares(train(name, arguments.root)), name, told(name))}\n")


if __name__ == "__main__":
    main()
