"""Which network a CPU should train: the light one against the real-time one, everything else by rule, several seeds.

The two trainings of a seed run side by side, a core each, so that whatever else the machine does takes from both alike.
"""

from __future__ import annotations

from ercpseg.documents.scores import FrameScore
from tests.benchmarks.arms import (
    DOMAIN,
    METRICS,
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

FIRST, OTHER = "light", "realtime"


def run_benchmark() -> str:
    """Paired differences on unseen patients, all seeds together and each by itself."""
    found: dict[int, tuple[list[FrameScore], list[FrameScore]]] = {}
    with folder() as root:
        make_frames(root)
        for seed in SEEDS:
            arms = [Arm(f"{recipe}{seed}", recipe, seed) for recipe in (FIRST, OTHER)]
            for arm in arms:
                plan(root, arm)
            first, other = together(lambda arm, root=root: train(root, arm), arms)
            found[seed] = first, other
    sides = [[score for pair in found.values() for score in pair[side]] for side in (0, 1)]
    rows = [f"| all {line}" for line in paired_rows(*sides, METRICS)]
    rows += [f"| {seed} {line}" for seed, pair in found.items() for line in paired_rows(*pair, METRICS)]
    return (
        "## The network for a CPU\n\n"
        f"{TRAIN[0]} synthetic frames ({DOMAIN}, {SIZE} px) of {TRAIN[1]} patients, {MINUTES:g} minutes a training on one "
        f"core, {len(SEEDS)} seed(s), everything but the network by rule; {TEST[0]} unseen frames of {TEST[1]} patients. "
        "Means over patients and seeds (objects: pooled); paired differences with 95 % intervals by a bootstrap of "
        f"patients.\n\n| seed | structure | patients | {FIRST} | {OTHER} | {OTHER} − {FIRST} |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
    )
