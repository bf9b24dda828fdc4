"""Rules on post-processing: thresholds and steps. Nothing here was tuned on held-out frames; ``tune`` does that."""

from __future__ import annotations

from typing import Any

from ercpseg.documents.plan import PostprocessStep
from ercpseg.planner.families import THIN_RATIO, Traits
from ercpseg.planner.rule import Advice, Choice, Context

SMALL_FRAC = 0.25
"""κ of R26: what is smaller than this share of the 5th percentile of the real ones is taken for noise."""
RELATIVE_FRAC = 0.1
REACH_WIDTHS = 2.0
"""A shaft breaks over bright gas or at the rim of the field; its pieces lie within so many widths of each other."""
UNTUNED_THRESHOLD = 0.5
Step = dict[str, Any]


def threshold(context: Context) -> Advice:
    """R24: thresholds.

    Decides: the probability from which a pixel belongs to a structure.
    From: nothing yet; tuning replaces it from out-of-fold probabilities, for which a handful of frames (few-shot, R12) is too
    few.
    Because: 0.5 is what Dice and focal terms are trained to; a lower one does not recover what has no response at all.
    Source: CATMIL 2026; Gherardini 2020 used 0.01, which is not to be copied untested [E2]
    """
    value = dict.fromkeys(context["heads.structures"], UNTUNED_THRESHOLD)
    low = (dict.fromkeys(value, 0.01), "Gherardini 2020: it draws every doubt, and nothing here has tested it.")
    because = "Untuned: 0.5 for every structure."
    if context.few_shot:
        because = f"0.5 for every structure; {context.fingerprint.frames} frames are too few to tune it on (R12)."
    return Advice({"postprocess.threshold": Choice(value, because, {}, (low,))})


def steps(context: Context) -> Advice:
    """R26: post-processing steps.

    Decides: the steps per structure, in working pixels.
    From: the family, the 5th percentile of component areas and skeleton lengths, the endoscope's width (R25), and whose
    training masks were thickened (R23): those are thinned back first.
    Because: only what is far smaller than anything annotated goes: components below ¼ of the 5th percentile of area
    (stones, blobs) or of length (wires), yet never a piece as large as a square of the width or ten widths long; below a
    tenth of the largest (ducts). An endoscope also gets small holes filled, never the inside of a loop, and loses what is
    below κ = ¼ of its largest part and farther than two widths from every part that is not: dark corners and gallbladders
    are that, the limbs of a loop and the pieces of a broken shaft are not (Dice + 0.000 to 0.007 on unseen synthetic
    patients of six rooms, lower in no frame). Opening and closing by its width, 0.2·w and 1.4·w, are candidates for tuning
    only: the closing is wider than the shaft, and an opening deletes any wire.
    Source: Martin 2022 (10 and 70 px at w = 50 px); CathAction (+0.0015 by dropping small parts); κ is judgement [E1/J]
    """
    traits = context.traits
    dilated = context["preparation.dilate_px"]
    square = context["preparation.dilate_kernel"] == "square"
    value = {n: _steps_for(n, traits[n], dilated.get(n, 0), square=square) for n in context["heads.structures"]}
    named = ", ".join(f"{n}: {' + '.join(s['name'] for s in v) or 'none'}" for n, v in value.items())
    inputs: dict[str, Any] = {
        name: {
            "families": list(traits[name].families),
            "area05_px": round(traits[name].area05_px, 1),
            "length05_px": round(traits[name].length05_px, 1),
        }
        for name in value
    }
    none: dict[str, list[Step]] = {name: [] for name in value}
    largest = {name: [_step("keep_largest")] for name in value}
    others = [
        (none, "No steps: specks far smaller than anything annotated would count as found."),
        (largest, "nnU-Net's rule: it would delete all stones but one, and what a gap parts from a wire."),
    ]
    if "endoscope" in value and traits["endoscope"].shown:
        opening, closing = scope_kernels(traits["endoscope"].width50_px)
        opened = value | {"endoscope": [_step("open_close", opening_px=opening, closing_px=closing)]}
        others.append((opened, "The closing is wider than the shaft and may glue a loop; a candidate for tuning."))
    return Advice({"postprocess.steps": Choice(value, f"Conservative and untuned: {named}.", inputs, others)})


def scope_kernels(width_px: float) -> tuple[int, int]:
    """Opening and closing diameters for an endoscope of this width (R25): odd(0.2·w), odd(1.4·w).

    >>> scope_kernels(25.0)
    (5, 35)
    """
    return _odd(0.2 * width_px), _odd(1.4 * width_px)


def default_steps(
    name: str, traits: Traits, dilated_px: int = 0, *, square: bool = False
) -> tuple[PostprocessStep, ...]:
    """The steps that R26 gives a structure, as the plan's values hold them."""
    return tuple(PostprocessStep.model_validate(step) for step in _steps_for(name, traits, dilated_px, square=square))


def _odd(value: float) -> int:
    """The nearest odd number, at least 1; of two equally near ones the larger."""
    return max(1, 2 * round((value - 1) / 2 + 1e-9) + 1)


def _steps_for(name: str, t: Traits, dilated_px: int = 0, *, square: bool = False) -> list[Step]:
    """What R26 gives, after what takes a thickening of the training masks back (R23)."""
    kernel: dict[str, float] = {"square": 1} if square else {}
    undo = [_step("thin_back", radius_px=dilated_px, **kernel)] if dilated_px and t.shown else []
    return undo + _clean_up(name, t)


def _clean_up(name: str, t: Traits) -> list[Step]:
    # Nothing as large as a square of the structure's width is noise, however large the annotated ones are.
    small = _step("remove_small", min_area_px=round(min(SMALL_FRAC * t.area05_px, t.width50_px**2), 1))
    # A hole of the shaft is narrower than the shaft; the inside of a loop is not.
    fill = _step("fill_holes", max_area_px=round(t.width50_px**2, 1))
    if not t.shown:
        return []
    if name == "endoscope":
        near = round(REACH_WIDTHS * t.width50_px, 1)
        return [fill, small, _step("keep_relative", min_frac=SMALL_FRAC, reach_px=near)]
    if t.is_("thin"):
        # A prediction breaks where the annotation does not, so pieces that look like a line by themselves stay.
        length = min(SMALL_FRAC * t.length05_px / max(1.0, t.components), THIN_RATIO * t.width50_px)
        return [_step("remove_short", min_length_px=round(length, 1))]
    if t.is_("multi") or t.is_("tiny"):
        return [small]
    if t.is_("tubular"):
        return [_step("keep_relative", min_frac=RELATIVE_FRAC)]
    return [fill, small] if t.is_("large") else [small]


def _step(name: str, **params: float) -> Step:
    return {"name": name, "params": params}
