"""Rules on the masks that are learnt from: how they shrink, and whether they are thickened."""

from __future__ import annotations

import math

from ercpseg.planner.rule import Advice, Choice, Context

SEEN_PX = 3.0
"""Width from which a line is seen well (R6)."""
MOST_DILATION_PX = 1
"""Martin 2022: a structuring element of 3 × 3."""


def resampling(context: Context) -> Advice:
    """R7: resampling of masks.

    Decides: the structures of which any coverage counts when a mask shrinks below 2 px.
    From: the family and the working size.
    Because: frames are resampled by anti-aliased cubic interpolation, masks structure by structure, a pixel being set where
    half of it is covered; a line thinner than 2 px would break by that, so for thin and tiny structures any coverage counts
    there. What stays wider would only grow fat.
    Source: nnU-Net issue 1390 (interpolating thin structures); sampling theorem [E2/E3]
    """
    names = tuple(
        n for n in context["heads.structures"] if context.traits[n].is_("thin") or context.traits[n].is_("tiny")
    )
    widths = {name: round(context.traits[name].width10_px, 2) for name in names}
    because = f"Thin or tiny: {', '.join(names)}." if names else "Nothing is thin or tiny."
    return Advice({"preparation.thin": Choice(names, because, {"width10_px": widths})})


def dilation(context: Context) -> Advice:
    """R23: dilation of thin masks.

    Decides: by how many working pixels on either side the training masks of a thin structure are thickened, and with what.
    From: the median width w₅₀ at working size.
    Because: below 3 px a mask that is a pixel beside the line shares next to nothing with it, so overlap terms pull a network
    both ways; r = ⌈(3 − w₅₀)/2⌉, at most 1, by a square of 2r + 1 pixels, 3 × 3. Masks that stay thick would cap Dice at
    w/(w + r), so the first step of post-processing takes the same square off again without breaking the line (or draws
    its centre-line anew: tuning decides), and scores are those of the masks as annotated.
    Source: Martin 2022 (3 × 3); geometry [E1/E3]
    """
    thin = {n: t for n, t in context.traits.items() if t.shown and t.is_("thin")}
    widths = {name: round(t.width50_px, 2) for name, t in thin.items()}
    value = {
        name: min(MOST_DILATION_PX, max(0, math.ceil((SEEN_PX - t.width50_px) / 2 - 1e-9))) for name, t in thin.items()
    }
    value = {name: radius for name, radius in value.items() if radius}
    others: list[tuple[dict[str, int], str]]
    kernel = Choice(
        "square",
        "3 × 3 pixels: Martin's structuring element.",
        {},
        [("disk", "Of a radius of 1 px it is the cross of five, which thickens slanted lines by less.")],
    )
    if not thin:
        none = Choice(value, "Nothing is thin.", {"width50_px": widths})
        return Advice({"preparation.dilate_px": none, "preparation.dilate_kernel": kernel})
    told = ", ".join(f"{name} {width:g} px" for name, width in widths.items())
    if value:
        because = f"Median width: {told}; thickened by {MOST_DILATION_PX} px: {', '.join(value)}."
        others = [({}, f"Below {SEEN_PX:g} px a line that is learnt a pixel beside its place counts as missed.")]
    else:
        because = f"Median width: {told}, at least {SEEN_PX:g} px: wide enough as they are."
        others = [(dict.fromkeys(thin, 1), "Martin 2022; its wires were wide enough before.")]
    chosen = Choice(value, because, {"width50_px": widths}, others)
    return Advice({"preparation.dilate_px": chosen, "preparation.dilate_kernel": kernel})
