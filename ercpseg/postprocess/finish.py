"""From logits to the bitmask that is written: the SAME functions in validation, tuning and prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.plan import PostprocessStep
from ercpseg.documents.serving import Serving
from ercpseg.frames.arrays import Array, bounds_below, probability, to_numpy
from ercpseg.frames.prepare import Geometry
from ercpseg.frames.restore import logit, odds, restore, restore_exclusive
from ercpseg.postprocess.apply import apply_steps, reads_levels
from ercpseg.postprocess.scene import LEVELS, Levels
from ercpseg.postprocess.steps import LIMITS
from ercpseg.structures import Bitmask


def finish(logits: Array, geometry: Geometry, serving: Serving) -> Bitmask:
    """Logits (heads, y, x) at working size → bitmask (y, x) at native size, thresholds and steps as planned."""
    return finish_with_logits(logits, geometry, serving)[0]


def finish_with_logits(logits: Array, geometry: Geometry, serving: Serving) -> tuple[Bitmask, Callable[[], Array]]:
    """:func:`finish`, and what gives the logits (structures, y, x) at native size that it looked at, on the device."""
    structures, values = serving.structure_set, serving.postprocess
    bitmask, native = _restore(logits, geometry, serving)
    if not any(values.steps.values()):
        return bitmask, native
    steps = {name: at_native_size(chain, geometry) for name, chain in values.steps.items()}
    masks = {name: mask for name, mask in structures.decode(bitmask).items() if mask.any()}
    looked = {i: name for i, name in enumerate(structures) if reads_levels(steps.get(name, ()))}
    planes = native() if looked else None
    levels = {name: _levels(planes[i]) for i, name in looked.items()} if planes is not None else {}
    finished = apply_steps(masks, steps, levels=levels, thresholds=values.threshold)
    return structures.encode(finished, geometry.native), native


def native_levels(logits: Array, geometry: Geometry, serving: Serving) -> Levels:
    """Logits (heads, y, x) at working size → levels (structures, y, x) at native size.

    What :func:`finish` thresholds, in the form that tuning keeps (:mod:`ercpseg.postprocess.scene`).
    """
    return _levels(_restore(logits, geometry, serving)[1]())


def probabilities_of(native: Array) -> NDArray[np.float16]:
    """Logits (structures, y, x) at native size → probabilities, before any threshold."""
    found = probability(native)
    return found.astype(np.float16) if isinstance(found, np.ndarray) else np.asarray(to_numpy(found.half()), np.float16)


def _restore(logits: Array, geometry: Geometry, serving: Serving) -> tuple[Bitmask, Callable[[], Array]]:
    """The bitmask, and the logits at native size for those who ask: for a softmax they take longer than the bitmask."""
    if serving.activation == "softmax":
        bitmask, heads = restore_exclusive(logits, geometry, serving.bits)
        return bitmask, lambda: odds(heads, geometry, serving.bits)
    structures = serving.structure_set
    bits = {name: structures.value(name) for name in structures}
    bitmask, native = restore(logits, geometry, bits, serving.postprocess.threshold)
    return bitmask, lambda: native


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
        # What the plan may say stays allowed on any frame: a kernel below one pixel is one, a huge one the largest there is.
        low, high = LIMITS.get(name, (-math.inf, math.inf))
        params[name] = min(max(grown, low), high) if low <= value <= high else grown
    return PostprocessStep(name=step.name, params=params, of=step.of)


def _levels(logits: Array) -> Levels:
    """How many of the probabilities 0, 1/200 … 199/200 a pixel is above, by the very logits that masks are made with."""
    return bounds_below(logits, _bounds())


@cache
def _bounds() -> NDArray[np.float32]:
    return np.array([-np.inf, *(logit(level / LEVELS) for level in range(1, LEVELS))], np.float32)
