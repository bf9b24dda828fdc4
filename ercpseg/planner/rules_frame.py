"""Rules on frames: polarity, filter, normalisation, field, and the network that they go through."""

from __future__ import annotations

from typing import Any

from ercpseg.planner.families import traits_of
from ercpseg.planner.rule import Advice, Choice, Context, percent
from ercpseg.planner.rules_size import COMMON_SIDE_PX, FORWARD_SHARE, forward_ms, ideal_scale, thinnest_of

OUTSIDE_FRAC = 0.005
"""Share of annotated pixels outside the field from which the field counts as found wrongly."""
STEADY_CV = 0.1
"""Coefficient of variation below which the exposure of frames counts as the same."""
MIXED_FRAC = 0.1
"""Share of the rarer polarity from which data count as mixed."""
REAL_TIME_MS = 66.0
"""Frames at 15 per second; FRA-Net took 66.5 ms."""
USUAL_FRAMES = 1
"""Frames that a network takes at a time where nobody asks for more."""
RESIDUAL_MEMORY_GB, RESIDUAL_FRAMES = 10.0, 200


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
    name, width = thinnest_of(thin, base)
    because = (
        f"{name} is {width:.1f} px wide and a median of more than {max(1, round(width - 2))} px would eat it."
        if width is not None
        else "Nothing is thin, and networks remove noise without a filter that also rounds off stones."
    )
    inputs = {"thinnest": name, "width10_px": width and round(width, 2)}
    return Advice(
        {"preparation.median_px": Choice(0, because, inputs, [(7, "Pishro 2026; lines below 3.5 px vanish.")])}
    )


def _forward(context: Context, name: str) -> float | None:
    """Milliseconds of a forward pass at the size that R6 wishes for; None without a limit or a measurement."""
    side = context.fingerprint.reference_long_side_px
    base = min(1.0, COMMON_SIDE_PX / side)
    thin = {n: t for n, t in traits_of(context.fingerprint, base).items() if t.is_("thin")}
    return forward_ms(context, name, min(4096, max(16, round(ideal_scale(side, thinnest_of(thin, base)[1])[0] * side))))


def normalisation(context: Context) -> Advice:
    """R2: normalisation.

    Decides: the percentiles inside the field at which grey values are clipped, and whether the z-score that follows uses
    the mean and standard deviation of each frame or those of the dataset.
    From: the variation of the frames' means and standard deviations; the devices; the bits stored.
    Because: half a per cent at either end holds text, markers and dead pixels, which would stretch the scale. Exposure
    control changes mean and contrast from frame to frame, so that each frame is normalised by itself; where one device
    keeps both within a coefficient of variation of 0.1, one mean and standard deviation for all leave faint contrast as
    faint as it is. Frames of another exposure then look like it, which the shift alarm (R34) tells. Few-shot (R12) keeps to
    what the weights saw: each frame by itself.
    Source: nnU-Net 2.8.1; Martin 2022 (as nnU-Net); Gherardini 2020 (dataset z-score); Pishro 2026 (0.3 % saturated) [E1/J]
    """
    f = context.fingerprint
    i, devices = f.intensity, len(f.devices)
    varies = max(i.mean_cv, i.sd_cv) >= STEADY_CV
    steady = not varies and devices == 1 and len(f.bits) == 1 and context.few_shot is None
    spread = f"coefficient of variation {i.mean_cv:.2f} of the means, {i.sd_cv:.2f} of the standard deviations"
    inputs = {"mean_cv": i.mean_cv, "sd_cv": i.sd_cv, "devices": devices, "bits": dict(f.bits)}
    common = None
    if f.bits and i.sd.p50 > 0:
        scale = 2.0 ** max(int(bits) for bits in f.bits) - 1
        common = round(i.mean.p50 * scale, 3), round(i.sd.p50 * scale, 3)
    own = f"As the weights of {context.few_shot} saw their frames (R12)" if context.few_shot else ""
    own = own or (
        f"Exposure varies ({spread})" if varies else f"{devices or 'Unknown'} devices or mixed depths ({spread})"
    )
    zscore = (
        Choice(common, f"One device whose exposure hardly varies ({spread}).", inputs, [(None, "Each frame its own.")])
        if steady
        else Choice(None, f"{own}: each frame gets its own z-score.", inputs, [(common, "One for all frames.")])
    )
    others = (((0.0, 100.0), "No clipping: text, markers and dead pixels would stretch the scale."),)
    clip = Choice((0.5, 99.5), "Half a per cent at either end holds text, markers and dead pixels.", inputs, others)
    return Advice({"preparation.clip_percentiles": clip, "preparation.dataset_mean_sd": zscore})


def enhancement(context: Context) -> Advice:
    """R5: enhancement.

    Decides: whether devices are thickened by a grey filter, the histogram is equalised, and edges are sharpened.
    From: nothing; a recipe of a published system may pin them.
    Because: a network learns such filters where they help, and each loses something: the grey erosion closes gaps between
    lines, equalisation makes noise of flat regions visible, sharpening adds noise. Published gains with them came
    without a comparison.
    Source: Martin 2022 (erosion 3 × 3); Pishro 2026 (equalisation, Laplacian) [J]
    """
    del context
    return Advice(
        {
            "preparation.erode_px": Choice(
                0, "No filter: networks learn it.", {}, [(3, "Martin 2022, for guidewires.")]
            ),
            "preparation.equalise": Choice(False, "Noise of flat regions would be seen.", {}, [(True, "Pishro 2026.")]),
            "preparation.sharpen": Choice(0.0, "It adds noise.", {}, [(1.0, "Pishro 2026.")]),
        }
    )


def field_mask(context: Context) -> Advice:
    """R3: field mask.

    Decides: whether statistics are taken inside the exposed field only and everything outside becomes 0.
    From: the exposed share f of the frames (10th percentile); the share of annotated pixels outside the field found.
    Because: black borders shift mean and contrast, and networks failed on them; the area tells a round field (which
    leaves 21.5 % dead), nnU-Net's bounding box does not. A field that cuts off annotations was found wrongly. Few-shot (R12)
    masks as the weights' frames were.
    Source: Gherardini 2020 (T6 failures by black borders); 1 − π/4 = 21.5 % [E1/E3]
    """
    f, outside = context.fingerprint.field_frac.p10, context.fingerprint.annotated_outside_field_frac
    inputs = {"field_frac_p10": f, "annotated_outside_field_frac": outside}
    if outside > OUTSIDE_FRAC:
        because = (
            f"{percent(outside, 1)} of the annotated pixels lie outside the field that was found, so it is not trusted."
        )
        other = (True, "A mask would set these annotated pixels to 0.")
        return Advice({"preparation.field_mask": Choice(False, because, inputs, (other,))})
    masked = f < 0.95 or context.few_shot is not None
    because = (
        f"In a tenth of the frames at most {percent(f)} of the pixels are exposed (limit 95 %)."
        if masked
        else f"In nine tenths of the frames at least {percent(f)} of the pixels are exposed (limit 95 %)."
    )
    if context.few_shot and f >= 0.95:
        because = f"As the frames of the weights of {context.few_shot} were (R12)."
    why = "Dead pixels would shift mean and contrast." if masked else "There is next to nothing to mask out."
    return Advice({"preparation.field_mask": Choice(masked, because, inputs, ((not masked, why),))})


def input_frames(context: Context) -> Advice:
    """R11: frames of the input.

    Decides: how many frames of a series the network sees at once: the frame itself, then those right before it.
    From: the number of series; nothing in the data says that more frames help, so it is one unless a person asks.
    Because: one frame did about as well as four (within 4 to 5 %) where both were tried on fluoroscopy. Every further frame has
    to be there, in training and in use, and costs time to read and to augment; on stills it only repeats what is known. Whether
    it gains is for a comparison to show (``light-unet:frames-2`` and others).
    Source: Gherardini 2020 (one frame against Ambrosini's four); Ambrosini 2017 [E1]
    """
    series = context.fingerprint.series
    others = (
        (
            4,
            "Ambrosini's network took four; Gherardini found one about as good, and four times as much has to be read.",
        ),
        (2, "The frame before alone shows what moves; no published figure says that it helps here."),
    )
    because = f"One frame did about as well as four on fluoroscopy; {series} series would have to be complete for more."
    return Advice({"input.frames": Choice(USUAL_FRAMES, because, {"series": series}, others)})


def network_name(context: Context) -> Advice:
    """R11: network.

    Decides: the network, by its name in the NETWORKS table.
    From: the device, its memory, the number of frames, the latency that a frame may have (R32) as measured here.
    Because: on a CPU only a network that begins at half resolution sees enough frames in the time there is. Of the two, the
    real-time network has two and a half times the weights of the light one, makes as many steps, and finds more wires. On a
    GPU the light one is taken where a frame may take no more than 66 ms. Else a GPU can afford nnU-Net's plain U-Net, which
    newer architectures hardly beat once everything else is configured; from 10 GB and 200 frames on its residual encoder,
    the best of those that were compared on equal terms. Where the network so chosen is measured to take longer than a frame
    may, and the other small one is faster, that one is taken. Few-shot (R12) takes the network of the shipped weights on
    every device.
    Source: Gherardini 2020 (71 against 451 ms); FRA-Net 2020 (66.5 ms); nnU-Net Revisited 2024; on a CPU docs/benchmarks.md
    [E1/E2/E3]
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
    if context.few_shot:
        name, because = context.few_shot, f"Few-shot: its weights are shipped, and {frames} frames are few (R12)."
        others |= dict.fromkeys(("unet", "resenc"), f"No weights are shipped, and {frames} frames are few for it.")
    elif device == "cpu":
        name = "realtime"
        because = "Training runs on a CPU, where it makes as many steps as the light network, with more weights."
        others["light"] = "It makes no more steps in the same time, and has two fifths of the weights."
    elif hurried:
        name, because = "light", f"A frame may take {latency:.0f} ms, which is real time."
        others |= dict.fromkeys(("unet", "resenc"), "It takes several times as long per frame.")
    elif rich:
        name = "resenc"
        because = f"{frames} frames and {budget.memory_gb:.0f} GB of {device} memory can afford the residual encoder."
        others["unet"] = "The residual encoder gained about a point on equal terms."
    else:
        name, because = "unet", f"Training runs on {device}, which can afford nnU-Net's plain U-Net."
    inputs: dict[str, Any] = {"device": device, "memory_gb": round(budget.memory_gb, 1), "frames": frames}
    inputs["latency_budget_ms"] = latency
    small = "light" if name == "realtime" else "realtime"
    taken, other_ms = _forward(context, name), _forward(context, small)
    if latency is not None and taken is not None and other_ms is not None:
        inputs["forward_ms"] = {name: round(taken, 1), small: round(other_ms, 1)}
        slow = f"A forward pass takes {taken:.0f} ms here, {other_ms:.0f} ms through {small}; {latency:.0f} ms are allowed."
        if context.few_shot:
            pass  # R12 chose between the shipped weights by time already
        elif other_ms < taken > FORWARD_SHARE * latency:
            others |= {name: slow}
            name, because = small, slow
        elif taken > FORWARD_SHARE * latency:
            others[small] = f"It is no faster here: {other_ms:.0f} ms, {name} {taken:.0f} ms."
        else:
            others[small] = f"{name} keeps to the time: {taken:.0f} ms of {latency:.0f} ms."
    rest = tuple((other, why) for other, why in others.items() if other != name)
    return Advice({"network.name": Choice(name, because, inputs, rest)})
