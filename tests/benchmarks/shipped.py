"""The shipped weights: on real frames that they never saw, and on synthetic patients of every domain."""

from __future__ import annotations

import collections
import csv
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.compare import Array, patient_draws, sums
from ercpseg.storage.images import read_png, write_png
from ercpseg.storage.models import load_model
from ercpseg.storage.resources import shipped_models
from ercpseg.structures import DEFAULT_STRUCTURES
from tests.benchmarks.arms import read_scores
from tests.benchmarks.demo import interval, score_table
from tests.benchmarks.machine import run, script
from tests.benchmarks.real import data

TEST_SEED, TEST_PATIENTS = 900_002, 60
"""No training and no choice used this seed; patients of it are new ones."""
MINUTES = os.environ.get("ERCPSEG_BENCH_MINUTES")
LENGTH = f"{MINUTES} minutes" if MINUTES else "200 steps"
"""Of a few-shot training."""
OWN = ("round-field", "any-room", "saint-antoine", "portrait-spot")
OTHERS = ("shiraz", "phantom-simple")


def _predicted(root: Path, source: Path, model: str) -> dict[str, int]:
    """Predict into ``root``; how many frames have which status."""
    run([script("ercpseg"), "predict", str(source), str(root), "--model", model, "--no-overlays"])
    with (root / "frames.csv").open() as handle:
        return collections.Counter(row["status"] for row in csv.DictReader(handle))


def _scores(root: Path, reference: Path) -> dict:
    run([script("ercpseg"), "evaluate", str(root), str(reference)])
    return json.loads((root / "scores.json").read_text())


def zero_shot() -> str:
    """Each shipped model on the annotated real frames, and on those without annotation, where only refusals count."""
    parts = [
        "## Shipped weights on real frames\n\n"
        "Trained on synthetic frames only. The figures are of six real frames of six patients (MIQR-CC), annotated by one "
        "non-clinical annotator: few, as the intervals show. None was trained on and no threshold set by them, but they "
        "are no test set: they were scored and looked at between trainings, scenes and recipe were changed beside them "
        "and beside 68 real frames without annotation. How much of each stage is in the mean of the weights, and for which "
        "structures thresholds and steps were tuned on synthetic frames, was decided on these figures and those of new "
        "synthetic patients."
    ]
    for name, folder in shipped_models().items():
        with tempfile.TemporaryDirectory() as scratch:
            counts = _predicted(Path(scratch) / "frames", data("ercp-frames"), name)
            _predicted(Path(scratch) / "out", data("ercp-annotated") / "images", name)
            scores = _scores(Path(scratch) / "out", data("ercp-annotated"))
        text = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        digest = load_model(folder).sha256[:12]
        parts.append(f"`{name}` ({digest}); of the frames without annotation: {text}.\n\n{score_table(scores)}")
    return "\n\n".join(parts)


def transfer() -> str:
    """Each shipped model on new synthetic patients of the domains it was trained on and of others."""
    parts = [
        "## Shipped weights on other synthetic rooms\n\n"
        f"Dice on {TEST_PATIENTS} new synthetic patients of each domain, one frame each, seed {TEST_SEED}. The first "
        f"{len(OWN)} are what the weights were trained on, the others are rooms they never learnt from; how much of which "
        "stage is shipped was decided with other patients of all six. Synthetic throughout. *Own rooms*: their mean; below "
        "it how far each other room is from that, with 95 % intervals by a bootstrap of patients within rooms."
    ]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for domain in (*OWN, *OTHERS):
            numbers = ["--frames", str(TEST_PATIENTS), "--patients", str(TEST_PATIENTS), "--seed", str(TEST_SEED)]
            run([script("ercpseg"), "synth", str(root / domain), "--domain", domain, *numbers])
        for name in shipped_models():
            rows: list[str] = []
            scores: dict[str, list[FrameScore]] = {}
            for domain in (*OWN, *OTHERS):
                out = root / name / domain
                _predicted(out, root / domain / "images", name)
                found = _scores(out, root / domain)["structures"]
                scores[domain] = read_scores(out / "scores.csv")
                if not rows:
                    rows = [f"| `{name}` on | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
                rows.append(f"| {domain} | " + " | ".join(_dice(score) for score in found.values()) + " |")
            parts.append("\n".join([*rows, *_apart(scores, list(found))]))
    return "\n\n".join(parts)


def _apart(scores: dict[str, list[FrameScore]], structures: list[str]) -> list[str]:
    """Rows of the mean of the own rooms, and of each other room's distance from it, with intervals."""
    drawn: dict[str, dict[str, tuple[float, Array]]] = {domain: {} for domain in scores}
    for seed, (domain, rows) in enumerate(scores.items()):
        patients = sorted({score.patient for score in rows})
        draws = patient_draws(len(patients), seed)
        assert draws is not None
        for structure in structures:
            found = sums([score for score in rows if score.structure == structure], patients, "dice")
            if found.value is None:
                raise SystemExit(f"no frame of {domain} shows {structure}")
            drawn[domain][structure] = found.value, found.drawn(draws)
    own = {
        s: (np.mean([drawn[d][s][0] for d in OWN]), np.mean([drawn[d][s][1] for d in OWN], axis=0)) for s in structures
    }
    lines = ["| *own rooms* | " + " | ".join(f"{own[s][0]:.3f}" for s in structures) + " |"]
    for domain in OTHERS:
        apart = [(drawn[domain][s][0] - own[s][0], drawn[domain][s][1] - own[s][1]) for s in structures]
        cells = ["{:+.3f} [{:+.3f}, {:+.3f}]".format(d, *np.nanpercentile(each, [2.5, 97.5])) for d, each in apart]
        lines.append(f"| *{domain} − own rooms* | " + " | ".join(cells) + " |")
    return lines


def few_shot() -> str:
    """Leave one out on the annotated real frames: train on five from ``light``, predict the sixth."""
    length = ["--time-budget", f"{float(MINUTES) * 60:.0f}s"] if MINUTES else ["--epochs", "4"]
    ercpseg, reference = script("ercpseg"), data("ercp-annotated")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for folder in ("images", "masks"):
            shutil.copytree(reference / folder, root / "six" / folder)
        common = ["--device", "cpu", "--workspace", str(root / "workspace")]
        run([ercpseg, "plan-and-preprocess", str(root / "six"), *common])
        folds = len(list((reference / "images").iterdir()))
        took = 0.0
        for fold in range(folds):
            took += run([ercpseg, "train", "six", str(fold), *length, "--init-from", "light", *common])
        for path in root.glob("workspace/nnunet/results/*/*/fold_*/validation/labels/*.png"):
            bits = read_png(path)
            for bit, structure in enumerate(DEFAULT_STRUCTURES):
                write_png(root / "out" / "masks" / structure / path.name, ((bits >> bit) & 1) * np.uint8(255))
        scores = _scores(root / "out", reference)
    return (
        "## A handful of real frames, beginning from the shipped weights\n\n"
        f"Leave one out on {folds} annotated real frames of {folds} patients (MIQR-CC): the automatic plan, begun from "
        f"`light` ({load_model(shipped_models()['light']).sha256[:12]}), {LENGTH} on the other {folds - 1}; "
        f"{took / folds:.0f} s for each training with its start and validation, on cores that other work shared. No "
        "weights of it were kept. Five frames of one hospital, and scenes that were changed "
        f"beside these frames: compare with the table of the shipped weights as they are.\n\n{score_table(scores)}"
    )


def _dice(score: dict) -> str:
    dice = score["metrics"]["dice"]
    return f"{interval(dice)} (n {dice['frames']})"
