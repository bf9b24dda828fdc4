"""All recipes beside each other: equal minutes, the same unseen patients, every structure.

On a CPU two recipes train side by side, a core each (14 recipes of 10 minutes: 80 minutes). With a GPU:
``ERCPSEG_BENCH_DEVICE=cuda ERCPSEG_BENCH_MINUTES=0.5 python -m tests.benchmarks recipes --write`` takes about 10 minutes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ercpseg.documents.plan import Plan
from ercpseg.documents.scores import FrameScore
from ercpseg.evaluation.compare import Sums, paired_difference, patient_draws, sums
from ercpseg.pipeline.candidates import plan_alike
from ercpseg.storage import documents
from tests.benchmarks.arms import (
    DEVICE,
    DOMAIN,
    METRICS,
    MINUTES,
    NAMES,
    SIZE,
    TEST,
    TRAIN,
    Arm,
    folder,
    make_frames,
    plan,
    together,
    train,
)

FIRST = "auto"
RECIPES = (FIRST, "realtime", "nnunet", "nnunet-resenc-m", "lip6-two-labels", "lip6-one-label", "lip6-cascade",
           "pishro", "martin-endoscope", "martin-guidewire", "fra-net", "ambrosini", "light-unet",
           "light-unet-synthetic-transfer")  # fmt: skip


def run_benchmark() -> str:
    """A table of recipes × structures, and another of their differences to ``auto``."""
    with folder() as root:
        make_frames(root)
        arms = [Arm(name, name) for name in RECIPES]
        plans: dict[str, Plan] = {}
        for arm in arms:
            plan(root, arm)
            plans[arm.name] = documents.load(next((root / arm.name).glob("datasets/*/plan.json")), Plan)
        # What plans the same is one training, as in ``compare``.
        of = {name: next(n for n in RECIPES if plan_alike(plans[n], plans[name])) for name in RECIPES}
        distinct = [arm for arm in arms if of[arm.name] == arm.name]
        trained = dict(
            zip((arm.name for arm in distinct), together(lambda arm: train(root, arm), distinct), strict=True)
        )
        found = {name: trained[of[name]] for name in RECIPES}
        about = {name: _about(root / of[name]) for name in RECIPES}
    for name in RECIPES:
        if of[name] != name:
            about[name] = (f"as `{of[name]}`", *about[name][1:])
    return _page(found, about)


def _about(workspace: Path) -> tuple[str, str, str]:
    """Network and working size, steps, parameters of what was trained."""
    plan = json.loads(next(workspace.glob("datasets/*/plan.json")).read_text())
    values = {d["key"]: d["value"] for d in plan["decisions"]}
    record = json.loads(next(workspace.rglob("fold_all/run.json")).read_text())
    network = f"{values['network.name']}, {values['preparation.working_long_side_px']} px"
    return network, f"{record['iterations']:,}", f"{record['parameters'] / 1e6:.2f} M"


def _page(found: Mapping[str, list[FrameScore]], about: Mapping[str, Sequence[Any]]) -> str:
    patients = sorted({score.patient for score in found[FIRST]})
    draws = patient_draws(len(patients))
    assert draws is not None
    tables: dict[tuple[str, str], dict[str, Sums]] = {}
    for structure, metric in METRICS:
        for name, scores in found.items():
            mine = [score for score in scores if score.structure == structure]
            if mine:
                tables.setdefault((structure, metric), {})[name] = sums(mine, patients, metric)
    heads = [f"{structure} {NAMES[metric]}" for structure, metric in METRICS]
    rows, gains = [], []
    for name in found:
        values, differences = [], []
        for column in METRICS:
            first, mine = tables[column][FIRST], tables[column].get(name)
            if mine is None or mine.value is None:
                values.append("–")
                differences.append("–")
                continue
            best = max(s.value or 0.0 for s in tables[column].values())
            low, high = np.nanpercentile(mine.drawn(draws), [2.5, 97.5])
            bold = "**" if mine.value == best else ""
            values.append(f"{bold}{mine.value:.3f}{bold} [{low:.3f}, {high:.3f}]")
            gain = paired_difference({"": first}, {"": mine}, draws)
            differences.append(
                f"{gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" + (" ▲" if gain.better else "")
            )
        rows.append(f"| {name} | {' | '.join((*about[name], *values))} |")
        if name != FIRST:
            gains.append(f"| {name} | {' | '.join(differences)} |")
    line = "|---" * (len(heads) + 1) + "|"
    return (
        "## All recipes on equal terms\n\n"
        f"{TRAIN[0]} synthetic frames ({DOMAIN}, {SIZE} px) of {TRAIN[1]} patients, {MINUTES:g} minutes a training on "
        f"{'one core' if DEVICE == 'cpu' else DEVICE} (pre-training included), one seed; {TEST[0]} unseen frames of {TEST[1]} "
        "patients, predicted without mirroring. A dash: the recipe does not segment it. Best of a column in bold; means over "
        "patients, objects pooled, with 95 % intervals by a bootstrap of patients.\n\n"
        f"| recipe | network, working size | steps | parameters | {' | '.join(heads)} |\n|---|---|---|---{line[4:]}\n"
        + "\n".join(rows)
        + f"\n\nDifference to `{FIRST}` on the same patients, 95 % interval by a bootstrap of patients; ▲ where the whole "
        f"interval lies above 0, so that the recipe beats `{FIRST}`:\n\n| recipe | {' | '.join(heads)} |\n{line}\n"
        + "\n".join(gains)
    )
