"""The automatic plan against plain training of the same network: equal CPU minutes, several seeds, unseen patients.

The two trainings of a seed run side by side, a core each, so that whatever else the machine does takes from both alike.
"""

from __future__ import annotations

import json
from pathlib import Path

from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.compare import OBJECTS_F1
from tests.benchmarks.arms import (
    DOMAIN,
    MINUTES,
    SEEDS,
    SIZE,
    TEST,
    TRAIN,
    Arm,
    folder,
    make_frames,
    paired_rows,
    plan,
    together,
    train,
)

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
METRICS = (("endoscope", "dice"), ("guidewire", "cldice"), ("cbd", "dice"), ("stone", OBJECTS_F1), ("stone", "dice"))


def _flow(names: tuple[str, ...], value: float) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name in names) + "}"


def _recipe(path: Path) -> Path:
    text = PLAIN.replace("{ALL_ONE}", _flow(HEADS, 1.0)).replace("{ALL_ZERO}", _flow(HEADS, 0.0))
    path.write_text(text.replace("{ALL_HALF}", _flow(HEADS, 0.5)).replace("{EVEN}", _flow(STRUCTURES, 0.25)))
    return path


def _working_side(workspace: Path) -> str:
    """The working size that a plan decided: the other side gets the same."""
    plan = json.loads(next(workspace.rglob("plan.json")).read_text())
    return str(next(d["value"] for d in plan["decisions"] if d["key"] == "preparation.working_long_side_px"))


def run_benchmark() -> str:
    """Paired differences on unseen patients, with intervals by a bootstrap of patients."""
    found: dict[str, list[FrameScore]] = {"plain": [], "auto": []}
    with folder() as root:
        make_frames(root)
        plain = str(_recipe(root / "plain.yaml"))
        for seed in SEEDS:
            auto = Arm(f"auto{seed}", "auto", seed)
            side = _working_side(plan(root, auto))
            other = Arm(f"plain{seed}", plain, seed, (f"preparation.working_long_side_px={side}",))
            plan(root, other)
            results = together(lambda arm, root=root: train(root, arm), (other, auto))
            for scores, fresh in zip(found.values(), results, strict=True):
                scores += fresh
    rows = paired_rows(found["plain"], found["auto"], METRICS)
    return (
        "## The automatic plan against plain training\n\n"
        f"{TRAIN[0]} synthetic frames ({DOMAIN}, {SIZE} px) of {TRAIN[1]} patients, {MINUTES:g} minutes a training on one "
        f"core, {len(SEEDS)} seed(s), the same network and working size; {TEST[0]} unseen frames of {TEST[1]} patients. "
        "*Plain*: Dice and cross-entropy, nearest-neighbour targets of the lower outputs, a third of the patches around a "
        "structure, no skeletons, no weighting, no bending. Means over patients and seeds (objects: pooled); paired "
        "differences with 95 % intervals by a bootstrap of patients.\n\n"
        "| structure | patients | plain | auto | auto − plain |\n|---|---|---|---|---|\n" + "\n".join(rows)
    )
