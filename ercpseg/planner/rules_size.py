"""The rule on the working size: how small a frame may become."""

from __future__ import annotations

import math

from ercpseg.documents.plan import NetworkValues
from ercpseg.networks import divisor
from ercpseg.planner.families import Traits, traits_of
from ercpseg.planner.rule import Advice, Choice, Context
from ercpseg.planner.shipped import SHIPPED
from ercpseg.planner.sizes import CROP_BATCH, features_for, largest_working_size, parse_shapes, round_up, training_patch
from ercpseg.structures import StructureSet

COMMON_SIDE_PX = 512
"""Long side at which the published fluoroscopy systems work when nothing thin asks for more."""
LEAST_SIDE_PX = 256
"""Smallest long side that a lack of time may lead to (Gherardini 2020 worked at 256)."""
PADDED_TO_PX = 64
"""What the light network pads to: sizes between its multiples cost as much as the next one."""
MOST_ENLARGED = 1.5
"""Frames are never enlarged more than so: it adds no detail."""
FORWARD_SHARE = 0.7
"""Share of a frame's time for the network; the rest is for decoding, preparing and finishing. Judgement."""
LEAST_ITERATIONS = 400
"""Fewer training steps than this give nothing worth having, so pixels are given up first. Judgement."""


def working_size(context: Context) -> Advice:
    """R6: working size.

    Decides: the longer side to which every frame is resampled.
    From: the 10th percentile w₁₀ of the local width of thin structures, the frames' longer side, the time there is, the
    time that a frame may take.
    Because: a thin structure needs 3 px to be seen and 2 px at least (sampling theorem); s = min(1, max(3/w₁₀,
    512/side)), and s = min(2/w₁₀, 1.5) where w₁₀ < 2 px already. Without thin structures 512 px suffice. Where the time
    allows fewer than 400 steps of four windows half as long as the frame, or a frame would take longer than it may, the
    size shrinks towards 2 px and 256 px. Few-shot (R12) takes the size that the weights were made at, unless that leaves
    less than 2 px.
    Source: Light U-Net at 256² misses wires that FRA-Net at 512² finds; Nyquist; the time rule is judgement [E1/E3/J]
    """
    side = context.fingerprint.reference_long_side_px
    base = min(1.0, COMMON_SIDE_PX / side)
    thin = {name: t for name, t in traits_of(context.fingerprint, base).items() if t.is_("thin")}
    thinnest, width = thinnest_of(thin, base)
    scale, because = ideal_scale(side, width)
    if thinnest is not None:
        because = f"{thinnest} is {width:.1f} px wide (10th percentile) at {side} px: " + because
    wanted = min(4096, max(16, round(scale * side)))
    if context.few_shot and (width is None or width * SHIPPED[context.few_shot].long_side_px >= 2 * side):
        chosen, others = SHIPPED[context.few_shot].long_side_px, list[tuple[int, str]]()
        because, note = f"Few-shot: frames of the size that {context.few_shot} was trained at (R12).", ""
        if wanted != chosen:
            others.append((wanted, "By width and time alone; the weights know other sizes less well."))
    else:
        chosen, note, others = _affordable(context, wanted, width)
    if side not in (wanted, chosen) and not context.few_shot:
        larger = "Native size: more pixels, yet nothing that is too thin to be seen without them."
        others.append((side, larger if side > wanted else f"Native size: {thinnest} would be below 2 px."))
    inputs = {"long_side_px": side, "thinnest": thinnest, "width10_px": width and round(width, 2)}
    return Advice({"preparation.working_long_side_px": Choice(chosen, because + note, inputs, others)})


def ideal_scale(side_px: int, thin_width_px: float | None) -> tuple[float, str]:
    """Working / native length by R6, and why. ``thin_width_px`` is w₁₀ of the thinnest structure, None without one.

    >>> ideal_scale(1024, 6.0)[0], ideal_scale(512, 2.5)[0], ideal_scale(512, 1.6)[0]
    (0.5, 1.0, 1.25)
    """
    base = COMMON_SIDE_PX / side_px
    if thin_width_px is None:
        scale = min(1.0, base)
        return scale, f"nothing thin, so {COMMON_SIDE_PX} px or the native {side_px} px suffice, whichever is less."
    if thin_width_px < 2:
        scale = min(2 / thin_width_px, MOST_ENLARGED)
        return scale, f"enlarged {scale:.2f} times towards 2 px."
    scale = min(1.0, max(3 / thin_width_px, base))
    return scale, f"scale {scale:.2f} leaves it {thin_width_px * scale:.1f} px (3 wanted, 2 needed)."


def thinnest_of(thin: dict[str, Traits], scale: float) -> tuple[str | None, float | None]:
    """Name and native w₁₀ of the thinnest of the thin structures."""
    if not thin:
        return None, None
    name = min(thin, key=lambda n: thin[n].width10_px)
    return name, max(thin[name].width10_px / scale, 1.0)


def _affordable(
    context: Context, wanted_px: int, thin_width_px: float | None
) -> tuple[int, str, list[tuple[int, str]]]:
    """The largest working side that leaves enough steps in the time there is, a note when it is not the wanted one, and
    the sides that were tried or left untried.
    """
    side = context.fingerprint.reference_long_side_px
    least = LEAST_SIDE_PX if thin_width_px is None else max(LEAST_SIDE_PX, math.ceil(2 / thin_width_px * side))
    least = -(-least // PADDED_TO_PX) * PADDED_TO_PX
    if not context.meter or least >= wanted_px:
        return wanted_px, "", []
    middle = round((wanted_px + least) / 2 / PADDED_TO_PX) * PADDED_TO_PX
    candidates = sorted({wanted_px, middle, least}, reverse=True)
    others: list[tuple[int, str]] = []
    for candidate in candidates:
        steps, slow = _steps(context, candidate), _too_slow(context, candidate)
        few = steps is not None and steps < LEAST_ITERATIONS
        if not (few or slow) or candidate == candidates[-1]:
            break
        too_few = f"The time allows {steps} steps of it, fewer than {LEAST_ITERATIONS}."
        others.append((candidate, slow or too_few))
    left = [side for side in candidates if side < candidate]
    others += [(side, f"Not needed: {candidate} px leaves enough steps.") for side in left]
    if candidate == wanted_px:
        return wanted_px, "", others
    why = next(reason for side, reason in others if side == wanted_px)
    note = f" At {wanted_px} px: {why[0].lower()}{why[1:-1]}; so {candidate} px" + (
        f" ({steps} steps)." if steps else "."
    )
    return candidate, note, others


def _too_slow(context: Context, long_side_px: int) -> str:
    """What a tile of whole frames takes at this working side, when that is more than it may; empty otherwise."""
    taken, budget_ms = forward_ms(context, context["network.name"], long_side_px), context.budget.latency_ms
    if budget_ms is None or taken is None or taken <= FORWARD_SHARE * budget_ms:
        return ""
    return f"A forward pass takes {taken:.0f} ms here; a frame may take {budget_ms:.0f} ms."


def forward_ms(context: Context, name: str, long_side_px: int) -> float | None:
    """Milliseconds of a forward pass of a whole frame through network ``name``; None without a limit or a measurement."""
    if context.budget.latency_ms is None:
        return None
    working = largest_working_size(parse_shapes(context.fingerprint.shapes), long_side_px)
    features = features_for(name, min(working))
    heads = len(StructureSet(tuple(context.fingerprint.structures)).heads())
    network = NetworkValues(name=name, features=features, deep_supervision=0)
    return context.meter.latency_ms(network, round_up(working, divisor(name, features)), heads)


def _steps(context: Context, long_side_px: int) -> int | None:
    """Training steps of four windows, about a frame's worth of pixels, that the time allows at this working side."""
    name = context["network.name"]
    working = largest_working_size(parse_shapes(context.fingerprint.shapes), long_side_px)
    features = features_for(name, min(working))
    network = NetworkValues(name=name, features=features, deep_supervision=0)
    heads = len(StructureSet(tuple(context.fingerprint.structures)).heads())
    patch = training_patch(working, divisor(name, features), crops=True)
    return context.meter.iterations(network, patch, CROP_BATCH, heads, budget=context.budget)
