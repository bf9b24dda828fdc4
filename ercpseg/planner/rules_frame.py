"""Rules on frames: polarity, normalisation, field, network, working size."""

from __future__ import annotations

import math

from ercpseg.documents.plan import NetworkValues
from ercpseg.networks import divisor
from ercpseg.planner.families import Traits, traits_of
from ercpseg.planner.rule import Advice, Choice, Context, percent
from ercpseg.planner.sizes import CROP_BATCH, features_for, largest_working_size, parse_shapes, round_up, training_patch
from ercpseg.structures import StructureSet

COMMON_SIDE_PX = 512
"""Long side at which the published fluoroscopy systems work when nothing thin asks for more."""
LEAST_SIDE_PX = 256
"""Smallest long side that a lack of time may lead to (Gherardini 2020 worked at 256)."""
PADDED_TO_PX = 64
"""What the light network pads to: sizes between its multiples cost as much as the next one."""
MIXED_FRAC = 0.1
"""Share of the rarer polarity from which data count as mixed."""
REAL_TIME_MS = 66.0
"""Frames at 15 per second; FRA-Net took 66.5 ms."""
FORWARD_SHARE = 0.7
"""Share of a frame's time for the network; the rest is for decoding, preparing and finishing. Measured on 512²."""
RESIDUAL_MEMORY_GB, RESIDUAL_FRAMES = 10.0, 200
LEAST_ITERATIONS = 400
"""Fewer training steps than this give nothing worth having, so pixels are given up first. Judgement."""


def polarity(context: Context) -> Advice:
    """R1: polarity.

    Decides: whether grey values are turned round for training and prediction, and how often augmentation does so.
    From: the share of frames in which a structure whose name says device is brighter than its surroundings.
    Because: canonical frames show devices dark, and weights trained on dark devices do not know bright ones. Where devices
    are bright in at least 90 % of the frames all are turned round. From 10 to 90 % the network has to learn both, so
    augmentation turns half as many frames as the rarer polarity has; below 10 % nothing is done.
    Source: Martin 2022 (its grey erosion thickens wires only when they are dark); DICOM MONOCHROME2 [E2/E3]
    """
    devices = {name: s for name, s in context.fingerprint.structures.items() if s.device and s.frames}
    share = _bright_share(context)
    bright = ", ".join(name for name, s in devices.items() if s.bright_frac > MIXED_FRAC) or "no device"
    inputs = {"bright_frac": {name: s.bright_frac for name, s in devices.items()}, "bright_share": round(share, 4)}
    turned, mixed = share >= 1 - MIXED_FRAC, MIXED_FRAC < share < 1 - MIXED_FRAC
    rarer = min(share, 1 - share)
    prob = round(rarer / 2, 3) if mixed else 0.0
    said = f"Devices are bright in {percent(share)} of the frames" if devices else "No structure's name says device"
    warnings: tuple[str, ...] = ()
    if turned:
        warnings = (
            f"Polarity (R1): {bright} bright, over all devices in {percent(share)} of the frames; grey values are turned "
            "round, so the model expects frames like these and no others.",
        )
    elif mixed:
        warnings = (
            f"Polarity (R1): {bright} bright, over all devices in {percent(share)} of the frames; the network has to "
            "learn both polarities. Better: say in a descriptor which files are inverted.",
        )
    return Advice(
        {
            "preparation.invert": Choice(
                turned,
                f"{said}: {'all are turned round' if turned else 'grey values stay as they are'}.",
                inputs,
                [(not turned, "Weights know one polarity: the one that canonical frames have.")],
            ),
            "augmentation.invert_prob": Choice(
                prob, f"{said}: {'half of the rarer polarity' if mixed else 'one polarity only'}.", inputs
            ),
        },
        warnings,
    )


def _bright_share(context: Context) -> float:
    """Over the frames measured, as the fingerprint says it, else over its structures."""
    f = context.fingerprint
    devices = [s for s in f.structures.values() if s.device and s.frames]
    if f.bright_device_frac:
        return f.bright_device_frac
    frames = sum(s.frames for s in devices)
    return sum(s.bright_frac * s.frames for s in devices) / frames if frames else 0.0


def denoise(context: Context) -> Advice:
    """R5: median filter.

    Decides: the side of the median filter on native pixels before anything else; 0 means none.
    From: the 10th percentile w₁₀ of the native width of thin structures.
    Because: a median of side k erases lines narrower than about k/2 (a 7 × 7 filter removes what is below 3.5 px), so it is
    left out wherever a structure is thin; noise is what networks remove best. Text and markers (R4) lie outside the
    field, which R3 masks, and are no reason either. A recipe that had one (Pishro 2026: 7 × 7) may pin it.
    Source: Pishro 2026 (7 × 7 for ducts and stones); geometry [E3]
    """
    side = context.fingerprint.reference_long_side_px
    base = min(1.0, COMMON_SIDE_PX / side)
    thin = {name: t for name, t in traits_of(context.fingerprint, base).items() if t.is_("thin")}
    name, width = _thinnest(thin, base)
    because = (
        f"{name} is {width:.1f} px wide and a median of more than {max(1, round(width - 2))} px would eat it."
        if width is not None
        else "Nothing is thin, and networks remove noise without a filter that also rounds off stones."
    )
    inputs = {"thinnest": name, "width10_px": width and round(width, 2)}
    return Advice(
        {"preparation.median_px": Choice(0, because, inputs, [(7, "Pishro 2026; lines below 3.5 px vanish.")])}
    )


def normalisation(context: Context) -> Advice:
    """R2: normalisation.

    Decides: the percentiles inside the field at which grey values are clipped before the z-score of the frame.
    From: the variation of the frames' means and standard deviations.
    Because: half a per cent at either end holds text, markers and dead pixels, which would stretch the scale; exposure
    control changes mean and contrast from frame to frame, so that each frame is normalised by itself.
    Source: nnU-Net 2.8.1; Martin 2022 (as nnU-Net); Pishro 2026 (0.3 % saturated) [E1/J]
    """
    i = context.fingerprint.intensity
    because = (
        f"Exposure varies (coefficient of variation {i.mean_cv:.2f} of the means, {i.sd_cv:.2f} of the standard "
        "deviations), so each frame gets its own z-score after clipping half a per cent at either end."
        if max(i.mean_cv, i.sd_cv) >= 0.1
        else f"Exposure hardly varies (coefficient of variation {i.mean_cv:.2f}), but a z-score per frame also holds for "
        "the next device; half a per cent is clipped at either end."
    )
    inputs = {"mean_cv": i.mean_cv, "sd_cv": i.sd_cv}
    others = (((0.0, 100.0), "No clipping: text, markers and dead pixels would stretch the scale."),)
    return Advice({"preparation.clip_percentiles": Choice((0.5, 99.5), because, inputs, others)})


def field_mask(context: Context) -> Advice:
    """R3: field mask.

    Decides: whether statistics are taken inside the exposed field only and everything outside becomes 0.
    From: the exposed share f of the frames (10th percentile); the share of annotated pixels outside the field found.
    Because: black borders shift mean and contrast, and networks failed on them; the area tells a round field (which
    leaves 21.5 % dead), nnU-Net's bounding box does not. A field that cuts off annotations was found wrongly.
    Source: Gherardini 2020 (T6 failures by black borders); 1 − π/4 = 21.5 % [E1/E3]
    """
    f, outside = context.fingerprint.field_frac.p10, context.fingerprint.annotated_outside_field_frac
    inputs = {"field_frac_p10": f, "annotated_outside_field_frac": outside}
    if outside > 0.005:
        because = (
            f"{percent(outside, 1)} of the annotated pixels lie outside the field that was found, so it is not trusted."
        )
        other = (True, "A mask would set these annotated pixels to 0.")
        return Advice({"preparation.field_mask": Choice(False, because, inputs, (other,))})
    masked = f < 0.95
    because = (
        f"In a tenth of the frames at most {percent(f)} of the pixels are exposed (limit 95 %)."
        if masked
        else f"In nine tenths of the frames at least {percent(f)} of the pixels are exposed (limit 95 %)."
    )
    why = "Dead pixels would shift mean and contrast." if masked else "There is next to nothing to mask out."
    return Advice({"preparation.field_mask": Choice(masked, because, inputs, ((not masked, why),))})


def network_name(context: Context) -> Advice:
    """R11: network.

    Decides: the network, by its name in the NETWORKS table.
    From: the device, its memory, the number of frames, the latency that a frame may have (R32).
    Because: on a CPU only a network with one convolution per level sees enough frames in the time there is, and so it is where
    a frame may take no more than 66 ms. A GPU can afford nnU-Net's plain U-Net, which newer architectures hardly beat once
    everything else is configured; from 10 GB and 200 frames on its residual encoder, the best of those that were
    compared on equal terms.
    Source: Gherardini 2020 (71 against 451 ms); FRA-Net 2020 (66.5 ms); nnU-Net Revisited 2024 [E1/E2]
    """
    budget, frames = context.budget, context.fingerprint.frames
    device, latency = budget.device, budget.latency_ms
    hurried = latency is not None and latency <= REAL_TIME_MS
    rich = device == "cuda" and budget.memory_gb >= RESIDUAL_MEMORY_GB and frames >= RESIDUAL_FRAMES
    others = {
        "light": "One convolution per level and a start at half resolution save time that this machine does not lack.",
        "unet": "Two convolutions per level at full resolution leave a CPU too few steps.",
        "resenc": f"It wants a GPU of {RESIDUAL_MEMORY_GB:.0f} GB and {RESIDUAL_FRAMES} frames.",
    }
    if device == "cpu":
        name = "light"
        because = "Training runs on a CPU, where the light network makes several times as many steps in the same time."
    elif hurried:
        name, because = "light", f"A frame may take {latency:.0f} ms, which is real time."
        others |= dict.fromkeys(("unet", "resenc"), "It takes several times as long per frame.")
    elif rich:
        name = "resenc"
        because = f"{frames} frames and {budget.memory_gb:.0f} GB of {device} memory can afford the residual encoder."
        others["unet"] = "The residual encoder gained about a point on equal terms."
    else:
        name, because = "unet", f"Training runs on {device}, which can afford nnU-Net's plain U-Net."
    rest = tuple((other, why) for other, why in others.items() if other != name)
    inputs = {"device": device, "memory_gb": round(budget.memory_gb, 1), "frames": frames, "latency_budget_ms": latency}
    return Advice({"network.name": Choice(name, because, inputs, rest)})


def working_size(context: Context) -> Advice:
    """R6: working size.

    Decides: the longer side to which every frame is resampled.
    From: the 10th percentile w₁₀ of the local width of thin structures, the frames' longer side, the time there is, the
    time that a frame may take.
    Because: a thin structure needs 3 px to be seen and 2 px at least (sampling theorem); s = min(1, max(3/w₁₀,
    512/side)), and s = min(2/w₁₀, 1.5) where w₁₀ < 2 px already. Without thin structures 512 px suffice. Where the time
    allows fewer than 400 steps of four windows half as long as the frame, or a frame would take longer than it may, the
    size shrinks towards 2 px and 256 px.
    Source: Light U-Net at 256² misses wires that FRA-Net at 512² finds; Nyquist; the time rule is judgement [E1/E3/J]
    """
    side = context.fingerprint.reference_long_side_px
    base = min(1.0, COMMON_SIDE_PX / side)
    thin = {name: t for name, t in traits_of(context.fingerprint, base).items() if t.is_("thin")}
    thinnest, width = _thinnest(thin, base)
    scale, because = ideal_scale(side, width)
    if thinnest is not None:
        because = f"{thinnest} is {width:.1f} px wide (10th percentile) at {side} px: " + because
    wanted = min(4096, max(16, round(scale * side)))
    chosen, note, others = _affordable(context, wanted, width)
    if side not in (wanted, chosen):
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
        scale = min(2 / thin_width_px, 1.5)
        return scale, f"enlarged {scale:.2f} times towards 2 px."
    scale = min(1.0, max(3 / thin_width_px, base))
    return scale, f"scale {scale:.2f} leaves it {thin_width_px * scale:.1f} px (3 wanted, 2 needed)."


def _thinnest(thin: dict[str, Traits], scale: float) -> tuple[str | None, float | None]:
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
    budget_ms = context.budget.latency_ms
    if budget_ms is None:
        return ""
    name = context["network.name"]
    working = largest_working_size(parse_shapes(context.fingerprint.shapes), long_side_px)
    features = features_for(name, min(working))
    heads = len(StructureSet(tuple(context.fingerprint.structures)).heads())
    network = NetworkValues(name=name, features=features, deep_supervision=0)
    taken = context.meter.latency_ms(network, round_up(working, divisor(name, features)), heads)
    if taken is None or taken <= FORWARD_SHARE * budget_ms:
        return ""
    return f"A forward pass takes {taken:.0f} ms here; a frame may take {budget_ms:.0f} ms."


def _steps(context: Context, long_side_px: int) -> int | None:
    """Training steps of four windows, about a frame's worth of pixels, that the time allows at this working side."""
    name = context["network.name"]
    working = largest_working_size(parse_shapes(context.fingerprint.shapes), long_side_px)
    features = features_for(name, min(working))
    network = NetworkValues(name=name, features=features, deep_supervision=0)
    heads = len(StructureSet(tuple(context.fingerprint.structures)).heads())
    patch = training_patch(working, divisor(name, features), crops=True)
    return context.meter.iterations(network, patch, CROP_BATCH, heads, budget=context.budget)
