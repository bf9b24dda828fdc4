"""Real data of ``ERCPSEG_TEST_DATA``: training on vessels and on chest X-rays."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.compare import paired_difference, patient_draws, sums
from tests.benchmarks import arms
from tests.benchmarks.demo import score_table
from tests.benchmarks.machine import run, script

XCA_SEEDS = tuple(range(1, 1 + int(os.environ.get("ERCPSEG_BENCH_SEEDS", "1"))))


def data(name: str) -> Path:
    """A folder of the development data."""
    root = os.environ.get("ERCPSEG_TEST_DATA")
    if not root:
        raise SystemExit("set ERCPSEG_TEST_DATA to the folder of development data")
    return Path(root) / name


def split(source: Path, target: Path, wanted) -> None:
    """Copy the frames whose stem ``wanted`` accepts, with their masks."""
    for folder in [source / "images", *sorted((source / "masks").iterdir())]:
        for path in sorted(folder.iterdir()):
            if wanted(path.stem):
                copy = target / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, copy)


def _train_and_score(root: Path, name: str, fold: str, budget: str) -> tuple[dict, float]:
    ercpseg, workspace = script("ercpseg"), ["--workspace", str(root / "workspace")]
    start = time.perf_counter()
    run([ercpseg, "plan-and-preprocess", str(root / "train"), "--name", name, "--time-budget", budget, *workspace])
    run([ercpseg, "train", name, fold, *workspace])
    run([ercpseg, "predict", str(root / "test" / "images"), str(root / "out"), "--model", name, *workspace])
    run([ercpseg, "evaluate", str(root / "out"), str(root / "test")])
    return json.loads((root / "out" / "scores.json").read_text()), time.perf_counter() - start


def xca() -> str:
    """The 40 training angiograms, ten minutes of training, the 40 testing angiograms."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        split(data("xca-vessels"), root / "train", lambda stem: stem.startswith("training"))
        split(data("xca-vessels"), root / "test", lambda stem: stem.startswith("testing"))
        scores, seconds = _train_and_score(root, "xca", "all", "10m")
    return (
        "## Coronary angiograms (real)\n\n"
        "40 training and 40 testing frames of 300² as published (github.com/fercer/Coronary; no patient ids, so intervals "
        f"are not by patient); `train xca all`, budget 10 minutes, {seconds:.0f} s in all.\n\n" + score_table(scores)
    )


def xca_against_nnunet() -> str:
    """The same frames, ``auto`` and ``nnunet`` side by side, a core each, the same minutes."""
    with arms.folder() as root:
        split(data("xca-vessels"), root / "train", lambda stem: stem.startswith("training"))
        split(data("xca-vessels"), root / "test", lambda stem: stem.startswith("testing"))
        both = [arms.Arm(f"{name}{seed}", name, seed) for seed in XCA_SEEDS for name in ("nnunet", "auto")]

        def work(arm: arms.Arm) -> list[FrameScore]:
            arms.plan(root, arm)
            return arms.train(root, arm)

        found: dict[str, list[FrameScore]] = {"nnunet": [], "auto": []}
        for arm, scores in zip(both, arms.together(work, both), strict=True):
            found[arm.recipe] += [score.model_copy(update={"patient": score.frame}) for score in scores]
    frames = sorted({score.frame for score in found["auto"]})
    draws, rows = patient_draws(len(frames)), []
    for metric, name in (("dice", "Dice"), ("cldice", "clDice")):
        first, other = ({"": sums(found[side], frames, metric)} for side in ("nnunet", "auto"))
        gain = paired_difference(first, other, draws)
        cells = (first[""].value, other[""].value, gain.difference, gain.low, gain.high)
        rows.append("| vessel {} | {:.3f} | {:.3f} | {:+.3f} [{:+.3f}, {:+.3f}] |".format(name, *cells))
    return (
        "## Coronary angiograms (real): `auto` against `nnunet`\n\n"
        f"40 training and {len(frames)} testing frames of 300² as published; {arms.MINUTES:g} minutes a training on one "
        f"{'core' if arms.DEVICE == 'cpu' else arms.DEVICE}, {len(XCA_SEEDS)} seed(s), no mirroring in prediction; paired "
        "differences with 95 % intervals by a bootstrap of frames, since no patient is known.\n\n"
        "| | `nnunet` | `auto` | auto − nnunet |\n|---|---|---|---|\n" + "\n".join(rows)
    )


def cxr() -> str:
    """100 chest X-rays, eight overlapping structures, mixed sizes and formats: every fifth held out."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        source = data("cxr-lines")
        stems = sorted(path.stem for path in (source / "images").iterdir())
        held_out = set(stems[::5])
        split(source, root / "train", lambda stem: stem not in held_out)
        split(source, root / "test", lambda stem: stem in held_out)
        scores, seconds = _train_and_score(root, "cxr", "all", "5m")
    return (
        "## Chest X-rays with lines (real)\n\n"
        "100 images of mixed size and format with eight overlapping structures "
        "(github.com/GeneralBlockchain/covid-19-chest-xray-segmentations-dataset, annotations CC BY 4.0); every fifth image "
        f"held out, no patient ids; budget 5 minutes, {seconds:.0f} s in all.\n\n" + score_table(scores)
    )
