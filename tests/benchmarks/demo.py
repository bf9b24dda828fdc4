"""The demo: how long it takes and what it reaches on unseen synthetic frames."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path

from tests.benchmarks.machine import run, script


@functools.cache
def finished() -> tuple[Path, float]:
    """The folder of a finished demo and its wall seconds; run once per process, removed with it."""
    scratch = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    return scratch / "demo", run([script("ercpseg"), "demo", str(scratch / "demo")])


def run_benchmark() -> str:
    """Runs ``ercpseg demo`` and reads its scores."""
    folder, seconds = finished()
    scores = json.loads((folder / "predictions" / "scores.json").read_text())
    return (
        "## The demo\n\n"
        f"240 training frames of 80 synthetic patients, 60 unseen frames of 20 others: {seconds:.0f} s in all, installation "
        "not included.\n\n" + score_table(scores)
    )


def score_table(scores: dict) -> str:
    """Dice, clDice, HD95 with intervals and counts, per structure."""
    rows = [
        "| structure | n frames (patients) | Dice [95 %] | clDice [95 %] | HD95 px | missed | invented |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, score in scores["structures"].items():
        metrics = score["metrics"]
        dice, line = metrics["dice"], metrics["cldice"]
        rows.append(
            f"| {name} | {dice['frames']} ({dice['patients']}) | {interval(dice)} | {interval(line)} | "
            f"{_number(metrics['hd95_px']['mean'], 1)} | {score['missed']} | {score['invented']} |"
        )
    return "\n".join(rows)


def interval(mean: dict) -> str:
    text = _number(mean["mean"], 3)
    return text if mean["low"] is None else f"{text} [{mean['low']:.3f}, {mean['high']:.3f}]"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
