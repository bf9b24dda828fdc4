"""Checks on frames, masks and augmentation against the data."""

from __future__ import annotations

from ercpseg.planner.checks import Case, Found
from ercpseg.planner.rule import percent
from ercpseg.planner.rules_frame import OUTSIDE_FRAC, STEADY_CV

NYQUIST_PX = 2.0
ONE_SIDED_FRAC = 0.1
MAX_GRADIENT = 0.15
THINNING = frozenset({"thin_back", "redraw"})


def working_size(case: Case) -> Found:
    """Thin structures below the sampling limit."""
    for name, t in case.thin().items():
        if t.width10_px < NYQUIST_PX:
            yield (
                ("preparation.working_long_side_px",),
                f"{name} is {t.width10_px:.1f} px wide at {case.values.preparation.working_long_side_px} px, below the "
                f"{NYQUIST_PX:g} px that a line needs to be seen (R6).",
            )


def filters(case: Case) -> Found:
    """A median that erases lines."""
    median, scale = case.values.preparation.median_px, case.scale
    for name, t in case.thin().items():
        native = t.width10_px / scale
        if median > 1 and native < median / 2:
            yield (
                ("preparation.median_px",),
                f"a median of {median} px erases lines narrower than {median / 2:g} px, and {name} is {native:.1f} px "
                "wide (R5).",
            )


def polarity(case: Case) -> Found:
    """Grey values turned the wrong way."""
    share, invert = case.fingerprint.bright_device_frac, case.values.preparation.invert
    devices = any(s.device and s.frames for s in case.fingerprint.structures.values())
    if devices and invert and share <= ONE_SIDED_FRAC:
        yield (
            ("preparation.invert",),
            f"grey values are turned round, but devices are dark in {percent(1 - share)} (R1).",
        )
    if devices and not invert and share >= 1 - ONE_SIDED_FRAC:
        yield (
            ("preparation.invert",),
            f"grey values stay, but devices are bright in {percent(share)} of the frames (R1).",
        )


def field(case: Case) -> Found:
    """Annotations outside the field."""
    outside = case.fingerprint.annotated_outside_field_frac
    if case.values.preparation.field_mask and outside > OUTSIDE_FRAC:
        yield (
            ("preparation.field_mask",),
            f"{percent(outside, 1)} of the annotated pixels lie outside the field that was found and would become 0 (R3).",
        )


def normalisation(case: Case) -> Found:
    """One z-score where exposure varies, or where it is not used."""
    p, i = case.values.preparation, case.fingerprint.intensity
    if p.dataset_mean_sd is None:
        return
    keys = ("preparation.dataset_mean_sd", "preparation.equalise", "preparation.sharpen")
    if p.equalise or p.sharpen > 0:
        yield keys, "equalised or sharpened frames get their own z-score; that of the dataset is not used (R2)."
    spread = max(i.mean_cv, i.sd_cv)
    if spread >= STEADY_CV:
        yield (
            keys[:1],
            f"one z-score for all frames, but their exposure varies (coefficient of variation {spread:.2f}; R2).",
        )


def dilation(case: Case) -> Found:
    """Thickened masks that stay thick, and the reverse."""
    keys = ("preparation.dilate_px", "preparation.dilate_kernel", "postprocess.steps")
    square = case.values.preparation.dilate_kernel == "square"
    for name in case.values.heads.structures:
        radius = case.values.preparation.dilate_px.get(name, 0)
        undone = any(step.name in THINNING for step in case.steps(name))
        if radius and not undone:
            yield (
                keys,
                f"training masks of {name} are {radius} px thicker on either side and no step takes that back, so its masks "
                "come out thick (R23: thin_back or redraw).",
            )
        if radius and any(s.name == "thin_back" and bool(s.params.get("square")) != square for s in case.steps(name)):
            kernel = "squares" if square else "disks"
            yield (
                keys,
                f"training masks of {name} are thickened by {kernel} and thinned back by the other kernel, so slanted lines "
                "come out too thick or too thin (R23: thin_back with square: 1 for squares).",
            )
        if undone and not radius:
            yield keys, f"{name} is thinned after prediction, but its training masks are not thickened (R23)."


def input_frames(case: Case) -> Found:
    """Frames before others where there are none."""
    frames, series = case.values.input.frames, case.fingerprint.series
    if frames > 1 and not series:
        yield (
            ("input.frames",),
            f"the network takes {frames} frames of a series, but no series is known, so every frame is repeated {frames} times "
            "(R11).",
        )


def mirroring(case: Case) -> Found:
    """Frames as no patient lies."""
    axes, sides = case.values.augmentation.mirror_axes, case.fingerprint.entry_sides
    if 0 in axes:
        yield ("augmentation.mirror_axes",), "frames are mirrored upside down, as no patient lies (R19)."
    left, right = sides.get("left", 0.0), sides.get("right", 0.0)
    if 1 in axes and sides and max(left, right) > 0 and min(left, right) < ONE_SIDED_FRAC:
        yield (
            ("augmentation.mirror_axes",),
            f"frames are mirrored, but the endoscope enters from the left in {percent(left)} and from the right in "
            f"{percent(right)} (R19).",
        )


def copies(case: Case) -> Found:
    """Copies that are what they were copied from."""
    a = case.values.augmentation
    greys = a.noise_sd > 0 or a.blur_sd_px > 0 or a.low_resolution < 1 or a.collimator_keep < 1
    greys = greys or {a.brightness, a.contrast, a.gamma} != {(1.0, 1.0)} or a.wash_in_amount != (0.0, 0.0)
    moved = a.rotation_deg > 0 or a.scale != (1.0, 1.0) or a.shift_frac > 0 or bool(a.mirror_axes)
    bent = a.elastic_prob > 0 and a.elastic_sigma_px > 0 and a.elastic_shift_px > 0
    if a.multiply and not (moved or bent or a.invert_prob > 0 or (greys and a.apply_prob > 0)):
        yield (
            ("augmentation.multiply", "augmentation.apply_prob", "augmentation.elastic_prob"),
            f"{a.multiply} copies of every frame, and no augmentation that would alter them (R30).",
        )


def elastic(case: Case) -> Found:
    """Bending that tears."""
    a = case.values.augmentation
    if a.elastic_prob > 0 and a.elastic_shift_px > MAX_GRADIENT * a.elastic_sigma_px + 1e-9:
        yield (
            ("augmentation.elastic_shift_px", "augmentation.elastic_sigma_px"),
            f"shifts of {a.elastic_shift_px:g} px within {a.elastic_sigma_px:g} px stretch by more than "
            f"{percent(MAX_GRADIENT)} (R18).",
        )


def blur(case: Case) -> Found:
    """Low resolution in which lines vanish."""
    factor = case.values.augmentation.low_resolution
    for name, t in case.thin().items():
        if factor < 1 and t.width10_px * factor < min(NYQUIST_PX, t.width10_px) - 0.05:
            yield (
                ("augmentation.low_resolution",),
                f"at {factor:g} of the resolution {name} keeps {t.width10_px * factor:.1f} px (R20).",
            )
