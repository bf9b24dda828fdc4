"""From logits to the bitmask that is written: the SAME functions in validation, tuning and prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.plan import Plan, PostprocessStep
from ercpseg.frames.prepare import Geometry, restore
from ercpseg.postprocess.apply import apply_steps, reads_levels
from ercpseg.postprocess.scene import LEVELS, Levels
from ercpseg.postprocess.steps import LIMITS
from ercpseg.structures import Bitmask

if TYPE_CHECKING:
    import torch


def finish(logits: torch.Tensor, geometry: Geometry, plan: Plan) -> Bitmask:
    """Logits (heads, y, x) at working size → bitmask (y, x) at native size, thresholds and steps as planned."""
    structures = plan.structure_set
    values = plan.values.postprocess
    bitmask, native = restore(logits, geometry, _bits(plan), values.threshold)
    if not any(values.steps.values()):
        return bitmask
    steps = {name: at_native_size(chain, geometry) for name, chain in values.steps.items()}
    masks = {name: mask for name, mask in structures.decode(bitmask).items() if mask.any()}
    levels = {name: _levels(native[i]) for i, name in enumerate(structures) if reads_levels(steps.get(name, ()))}
    return structures.encode(apply_steps(masks, steps, levels=levels, thresholds=values.threshold), geometry.native)


def native_levels(logits: torch.Tensor, geometry: Geometry, plan: Plan) -> Levels:
    """Logits (heads, y, x) at working size → levels (structures, y, x) at native size.

    What :func:`finish` thresholds, in the form that tuning keeps (:mod:`ercpseg.postprocess.scene`).
    """
    _, native = restore(logits, geometry, _bits(plan), plan.values.postprocess.threshold)
    return _levels(native)


def native_probabilities(logits: torch.Tensor, geometry: Geometry, plan: Plan) -> NDArray[np.float16]:
    """Logits (heads, y, x) at working size → probabilities (structures, y, x) at native size, before any threshold."""
    _, native = restore(logits, geometry, _bits(plan), plan.values.postprocess.threshold)
    return np.asarray(native.sigmoid().cpu().numpy(), np.float16)


def at_native_size(chain: tuple[PostprocessStep, ...], geometry: Geometry) -> list[PostprocessStep]:
    """The steps of a plan, which are in working pixels, in the pixels of one frame."""
    return [scaled(step, 1 / geometry.scale) for step in chain]


def scaled(step: PostprocessStep, factor: float) -> PostprocessStep:
    """A step whose lengths (``_px``) grow by ``factor`` and whose areas (``_area_px``) by its square; shares stay.

    >>> scaled(PostprocessStep(name="remove_small", params={"min_area_px": 10}), 2).params
    {'min_area_px': 40.0}
    """
    if factor == 1:
        return step
    params = {}
    for name, value in step.params.items():
        grown = value * (factor**2 if name.endswith("area_px") else factor if name.endswith("_px") else 1)
        # A kernel of one pixel changes nothing; a smaller one on a smaller frame does so, too, and is no error.
        params[name] = max(grown, LIMITS[name][0]) if name in LIMITS and value >= LIMITS[name][0] else grown
    return PostprocessStep(name=step.name, params=params, of=step.of)


def _bits(plan: Plan) -> dict[str, int]:
    structures = plan.structure_set
    return {name: structures.value(name) for name in structures}


def _levels(logits: torch.Tensor) -> Levels:
    return np.asarray((logits.sigmoid() * LEVELS).ceil().byte().cpu().numpy(), np.uint8)
