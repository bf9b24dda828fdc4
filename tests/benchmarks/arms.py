"""Trainings that are compared: one core each, two at a time, on the same synthetic patients, resumable.

``ERCPSEG_BENCH_FOLDER`` names a folder that is kept: an arm that has scores there is not trained again.
``ERCPSEG_BENCH_DEVICE=cuda`` trains on a GPU, one arm at a time.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.compare import OBJECTS_F1, paired_difference, patient_draws, sums
from tests.benchmarks.machine import run, script

MINUTES = float(os.environ.get("ERCPSEG_BENCH_MINUTES", "10"))
DEVICE = os.environ.get("ERCPSEG_BENCH_DEVICE", "cpu")
DOMAIN, SIZE = "round-field", "384"
TRAIN, TEST = ("240", "80"), ("80", "80")
"""Frames and patients; every test patient has one frame."""
SCORES = "scores.csv"
SEEDS = tuple(range(1, 1 + int(os.environ.get("ERCPSEG_BENCH_SEEDS", "3"))))
"""Where a benchmark trains more than once."""
METRICS = (("endoscope", "dice"), ("guidewire", "dice"), ("guidewire", "cldice"), ("cbd", "dice"), ("stone", "dice"),
           ("stone", OBJECTS_F1))  # fmt: skip
"""What trainings are compared by."""
NAMES = {"dice": "Dice", "cldice": "clDice", OBJECTS_F1: "objects F1"}


@dataclass(frozen=True)
class Arm:
    """One training: ``name`` is its folder; ``pins`` are decisions that it does not leave to the recipe;
    ``init_from``: the model that it begins from."""

    name: str
    recipe: str
    seed: int = 1
    pins: tuple[str, ...] = ()
    init_from: str | None = None


@contextmanager
def folder() -> Iterator[Path]:
    """Where the benchmark works: the folder that is kept, or one that is not."""
    kept = os.environ.get("ERCPSEG_BENCH_FOLDER")
    if kept:
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def make_frames(root: Path, domain: str = DOMAIN, size: str = SIZE) -> None:
    """``root/train`` and ``root/test``: frames of patients that are on one side only."""
    for name, (frames, patients), seed in (("train", TRAIN, "1"), ("test", TEST, "2")):
        if (root / name).exists():  # a kept folder
            continue
        run([script("ercpseg"), "synth", str(root / name), "--frames", frames, "--patients", patients, "--domain",
             domain, "--size", size, "--seed", seed])  # fmt: skip


def plan(root: Path, arm: Arm, *, minutes: float = MINUTES) -> Path:
    """Plan an arm; returns its workspace."""
    workspace = root / arm.name
    if (root / f"out-{arm.name}" / SCORES).exists():
        return workspace
    command = [
        script("ercpseg"),
        "plan-and-preprocess",
        str(root / "train"),
        "--recipe",
        arm.recipe,
        "--device",
        DEVICE,
    ]
    command += ["--time-budget", f"{minutes * 60:.0f}s", "--workspace", str(workspace)]
    for pin in (f"schedule.seed={arm.seed}", "folds.count=1", *arm.pins):
        command += ["--set", pin]
    run(command, environment=_one_core())
    return workspace


def train(root: Path, arm: Arm) -> list[FrameScore]:
    """Train on all frames, predict the test frames, score them."""
    ercpseg, out, place = script("ercpseg"), root / f"out-{arm.name}", ["--workspace", str(root / arm.name)]
    if not (out / SCORES).exists():
        begin = [] if arm.init_from is None else ["--init-from", arm.init_from]
        run([ercpseg, "train", "train", "all", *begin, *place], environment=_one_core())
        run([ercpseg, "predict", str(root / "test"), str(out), "--model", "train", "--no-overlays", "--runtime", "torch",
             "--no-tta", *place], environment=_one_core())  # fmt: skip
        run([ercpseg, "evaluate", str(out), str(root / "test")], environment=_one_core())
    return read_scores(out / SCORES)


def together(work: Callable[[Arm], list[FrameScore]], arms: Sequence[Arm]) -> list[list[FrameScore]]:
    """Do the work of all arms, two at a time on a CPU; results in the order of the arms."""
    with ThreadPoolExecutor(2 if DEVICE == "cpu" else 1) as pool:
        return list(pool.map(work, arms))


def paired_rows(
    first: Sequence[FrameScore], other: Sequence[FrameScore], metrics: Sequence[tuple[str, str]]
) -> list[str]:
    """Lines of a table: what, patients, both values, other − first with its 95 % interval by a bootstrap of patients."""
    patients = sorted({score.patient for score in other})
    draws = patient_draws(len(patients))
    rows = []
    for structure, metric in metrics:
        mine, theirs = (
            {structure: sums([s for s in side if s.structure == structure], patients, metric)}
            for side in (first, other)
        )
        gain = paired_difference(mine, theirs, draws)
        cells = (mine[structure].value, theirs[structure].value, gain.difference, gain.low, gain.high)
        row = "| {} {} | {} | {:.3f} | {:.3f} | {:+.3f} [{:+.3f}, {:+.3f}] |"
        rows.append(row.format(structure, NAMES[metric], theirs[structure].patients, *cells))
    return rows


def read_scores(table: Path) -> list[FrameScore]:
    """The rows of a ``scores.csv``."""
    with table.open(newline="", encoding="utf-8") as handle:
        return [FrameScore.model_validate({k: v or None for k, v in row.items()}) for row in csv.DictReader(handle)]


def _one_core() -> dict[str, str]:
    return {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} if DEVICE == "cpu" else {}
