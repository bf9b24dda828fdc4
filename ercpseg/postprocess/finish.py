"""From logits to the bitmask that is written: the SAME function in validation and in prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ercpseg.documents.plan import Plan, PostprocessStep
from ercpseg.frames.prepare import Geometry, restore
from ercpseg.postprocess.apply import apply_steps
from ercpseg.structures import Bitmask

if TYPE_CHECKING:
    import torch


def finish(logits: torch.Tensor, geometry: Geometry, plan: Plan) -> Bitmask:
    """Logits (heads, y, x) at working size → bitmask (y, x) at native size, thresholds and steps as planned."""
    structures = plan.structure_set
    values = plan.values.postprocess
    bits = {name: structures.value(name) for name in structures}
    bitmask, _ = restore(logits, geometry, bits, values.threshold)
    if not any(values.steps.values()):
        return bitmask
    steps = {name: [scaled(step, 1 / geometry.scale) for step in chain] for name, chain in values.steps.items()}
    masks = {name: mask for name, mask in structures.decode(bitmask).items() if mask.any()}
    return structures.encode(apply_steps(masks, steps), geometry.native)


def scaled(step: PostprocessStep, factor: float) -> PostprocessStep:
    """A step whose lengths (``_px``) grow by ``factor`` and whose areas (``_area_px``) by its square; shares stay.

    >>> scaled(PostprocessStep(name="remove_small", params={"min_area_px": 10}), 2).params
    {'min_area_px': 40.0}
    """
    if factor == 1:
        return step
    params = {
        name: value * (factor**2 if name.endswith("area_px") else factor if name.endswith("_px") else 1)
        for name, value in step.params.items()
    }
    return PostprocessStep(name=step.name, params=params)
