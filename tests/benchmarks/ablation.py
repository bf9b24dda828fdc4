"""The automatic plan against plain training of the same network: equal CPU minutes, several seeds, unseen patients."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path

import numpy as np

from tests.benchmarks.machine import run, script

MINUTES = float(os.environ.get("ERCPSEG_BENCH_MINUTES", "10"))
SEEDS = tuple(range(1, 1 + int(os.environ.get("ERCPSEG_BENCH_SEEDS", "3"))))
DOMAIN, SIZE = "round-field", "384"
TRAIN, TEST = ("240", "80"), ("80", "80")
"""Frames and patients; every test patient has one frame."""
PLAIN = """schema: ercpseg.recipe/1
name: plain
title: Dice and cross-entropy, nearest-neighbour targets below full resolution, no rules for what is thin or rare
set:
  preparation.thin: []
  loss.focal_alpha: {ALL_ONE}
  loss.focal_gamma: {ALL_ZERO}
  loss.fn_weight: {ALL_HALF}
  loss.skeleton_weight: {ALL_ZERO}
  loss.component_weight: {ALL_ZERO}
  loss.max_pooled: []
  sampling.oversample_frac: 0.33
  sampling.structure_share: {EVEN}
  augmentation.elastic_prob: 0.0
  augmentation.low_resolution: 1.0
"""
STRUCTURES = ("endoscope", "guidewire", "cbd", "stone")
HEADS = (*STRUCTURES, "instrument", "duct")
METRICS = {"endoscope": "dice", "guidewire": "cldice", "cbd": "dice", "stone": "dice"}
RESAMPLES = 2000


def _flow(names: tuple[str, ...], value: float) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name in names) + "}"


def _recipe(path: Path) -> Path:
    text = PLAIN.replace("{ALL_ONE}", _flow(HEADS, 1.0)).replace("{ALL_ZERO}", _flow(HEADS, 0.0))
    path.write_text(text.replace("{ALL_HALF}", _flow(HEADS, 0.5)).replace("{EVEN}", _flow(STRUCTURES, 0.25)))
    return path


def _scores(table: Path) -> dict[tuple[str, str], float]:
    """(structure, frame) → primary metric, where the structure is there or was predicted."""
    with table.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    return {(r["structure"], r["frame"]): float(value) for r in rows if (value := r[METRICS[r["structure"]]])}


def _interval(differences: list[list[float]]) -> tuple[float, float, float]:
    """Mean over frames (each its own mean over seeds), and a 95 % interval by a bootstrap."""
    means = np.array([np.mean(values) for values in differences])
    rng = np.random.default_rng(0)
    drawn = means[rng.integers(0, len(means), (RESAMPLES, len(means)))].mean(1)
    return float(means.mean()), *(float(v) for v in np.percentile(drawn, (2.5, 97.5)))


def run_benchmark() -> str:
    """Paired differences per unseen patient; every patient has one test frame."""
    ercpseg = script("ercpseg")
    found: dict[tuple[str, int], dict[tuple[str, str], float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        for name, (frames, patients), seed in (("train", TRAIN, "1"), ("test", TEST, "2")):
            run([ercpseg, "synth", str(root / name), "--frames", frames, "--patients", patients, "--domain", DOMAIN,
                 "--size", SIZE, "--seed", seed])  # fmt: skip
        plain = _recipe(root / "plain.yaml")
        for seed in SEEDS:
            for name, recipe in (("auto", "auto"), ("plain", str(plain))):
                place = ["--workspace", str(root / f"{name}{seed}")]
                run([ercpseg, "plan-and-preprocess", str(root / "train"), "--recipe", recipe, "--time-budget",
                     f"{MINUTES * 60:.0f}s", "--device", "cpu", "--set", f"schedule.seed={seed}",
                     "--set", "folds.count=1", *place])  # fmt: skip
                run([ercpseg, "train", "train", "all", *place])
                out = root / f"out-{name}{seed}"
                run([ercpseg, "predict", str(root / "test"), str(out), "--model", "train", "--no-overlays", *place])
                run([ercpseg, "evaluate", str(out), str(root / "test")])
                found[name, seed] = _scores(out / "scores.csv")
    rows = []
    for structure in STRUCTURES:
        cells, differences = [], dict[str, list[float]]()
        for name in ("plain", "auto"):
            values = [v for seed in SEEDS for (s, _), v in found[name, seed].items() if s == structure]
            cells.append(f"{np.mean(values):.3f}")
        for seed in SEEDS:
            shared = found["auto", seed].keys() & found["plain", seed].keys()
            for key in sorted(k for k in shared if k[0] == structure):
                differences.setdefault(key[1], []).append(found["auto", seed][key] - found["plain", seed][key])
        mean, low, high = _interval(list(differences.values()))
        metric = {"dice": "Dice", "cldice": "clDice"}[METRICS[structure]]
        gain = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        rows.append(f"| {structure} {metric} | {len(differences)} | {cells[0]} | {cells[1]} | {gain} |")
    return (
        "## The automatic plan against plain training\n\n"
        f"{TRAIN[0]} synthetic frames ({DOMAIN}, {SIZE} px) of {TRAIN[1]} patients, {MINUTES:g} CPU minutes a run, "
        f"{len(SEEDS)} seed(s), the same network; {TEST[0]} unseen frames of {TEST[1]} patients. *Plain*: Dice and "
        "cross-entropy, nearest-neighbour targets of the lower outputs, a third of the patches around a structure, no "
        "skeletons, no weighting. Means over frames; paired differences with 95 % intervals by a bootstrap of frames.\n\n"
        "| structure | patients | plain | auto | auto − plain |\n|---|---|---|---|---|\n" + "\n".join(rows)
    )
