"""What about the data deserves a warning. Each concern is one sentence with the numbers and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations

from ercpseg.documents.fingerprint import Fingerprint, StructureFingerprint
from ercpseg.fingerprint.frame import FrameContent

BRIGHT_FRAC = 0.1
FULL_FRAC = 0.9
WIDE_SPREAD = 0.5
FEW_FRAMES = 10
OUTSIDE_FRAC = 0.005
SAME_FRAC = 0.995
SAME_MASK_FRAC = 0.5
FLAG_FRAC = 0.1
SPACING_RATIO = 1.25
FLAGS = {
    "holes": "holes of a few pixels, which a filled outline does not have; close them",
    "debris": "specks of up to 3 px beside larger components; remove them, or the smallest component means nothing",
    "wide": "masks at least 1.5 times as wide as the line under them; widths, Dice and measurements follow the mask",
}
"""Flag of an annotation → what it is, and what to do."""


def find_concerns(fingerprint: Fingerprint, contents: Sequence[FrameContent]) -> tuple[str, ...]:
    """The warnings of a fingerprint, in a fixed order."""
    return (
        *_about_dataset(fingerprint),
        *_about_scale(fingerprint),
        *_about_masks(contents),
        *(
            text
            for name, s in fingerprint.structures.items()
            for text in _about_structure(name, s, fingerprint, contents)
        ),
        *_about_overlap(fingerprint),
        *_about_polarity(fingerprint),
    )


def _about_dataset(f: Fingerprint) -> Iterator[str]:
    if f.groups == 1:
        yield (
            f"All {f.frames} frames count as one patient, so no split can tell how well a new patient is segmented; "
            "begin file names with the patient and a _."
        )
    elif f.patients == f.groups == f.frames > 1:
        yield (
            f"Each of the {f.frames} frames counts as its own patient; if some show the same patient, scores will be "
            "too good: begin file names with the patient and a _."
        )
    if f.frames < FEW_FRAMES:
        yield f"Only {f.frames} frames: too few to train on and to trust a score."
    if f.annotated_outside_field_frac > OUTSIDE_FRAC:
        yield (
            f"{100 * f.annotated_outside_field_frac:.1f} % of the annotated pixels lie outside the exposed field that was "
            "found; the plan then does without a field mask (R3)."
        )


def _about_scale(f: Fingerprint) -> Iterator[str]:
    if f.long_side_spread > WIDE_SPREAD:
        yield (
            f"Sizes differ widely: (largest − smallest longer side) / median = {f.long_side_spread:.2f}; all frames "
            "are resampled to one longer side, as if structures were equally large in relation to the frame."
        )
    if 0 < f.spacing_known_frac < 1:
        yield (
            f"The spacing is known for {100 * f.spacing_known_frac:.0f} % of the frames only, as one that holds in the "
            "patient; millimetres will be given for these alone."
        )
    spacing = f.spacing_mm
    if spacing is not None and spacing.p95 > SPACING_RATIO * spacing.p05:
        yield (
            f"The spacing differs from frame to frame: {spacing.p05:.3g} mm (5th percentile) to {spacing.p95:.3g} mm "
            "(95th), so the same structure is of different size in pixels; nothing is resampled by it."
        )


def _about_masks(contents: Sequence[FrameContent]) -> Iterator[str]:
    masks = Counter(c.bitmask_sha256 for c in contents if c.areas_px)
    total = masks.total()
    if not total:
        yield "No frame shows any structure; there is nothing to learn. Are the masks all zero, or do their names not fit?"
        return
    most = max(masks.values())
    if most == total > 1:
        yield f"The masks of all {total} annotated frames are the same, to the last pixel; are they copies of one file?"
    elif most > max(1, SAME_MASK_FRAC * total):
        yield f"{most} of {total} annotated frames have the same mask, to the last pixel; are they copies of one file?"
    if all(sum(c.areas_px.values()) > FULL_FRAC * c.size_px[0] * c.size_px[1] for c in contents):
        yield f"More than {100 * FULL_FRAC:.0f} % of every frame is annotated: there is hardly any background to learn from."


def _about_structure(
    name: str, s: StructureFingerprint, f: Fingerprint, contents: Sequence[FrameContent]
) -> Iterator[str]:
    if s.frames == 0:
        yield f"{name} is in no frame; it cannot be learnt."
        return
    if s.frames < FEW_FRAMES <= f.frames:
        yield f"{name} is in {s.frames} of {f.frames} frames only; its scores will be uncertain."
    areas = [(c.areas_px[name], c.size_px[0] * c.size_px[1]) for c in contents if name in c.areas_px]
    full, specks = sum(area > FULL_FRAC * size for area, size in areas), sum(area <= 1 for area, _ in areas)
    if full:
        yield f"{name} fills more than {100 * FULL_FRAC:.0f} % of {full} frame(s); is its mask inverted?"
    if specks == s.frames:
        yield f"{name} is never more than a single pixel; such a structure cannot be learnt or measured."
    elif specks:
        yield f"{name} is a single pixel in {specks} of the {s.frames} frames that show it; are these slips of the pen?"
    measured = 0 if s.foreground_frac is None else s.foreground_frac.n
    for flag, what in FLAGS.items():
        if s.flags.get(flag, 0) > FLAG_FRAC * measured:
            yield f"{name}: {s.flags[flag]} of {measured} frames looked at have {what}."


def _about_overlap(f: Fingerprint) -> Iterator[str]:
    for first, second in combinations(sorted(f.overlap), 2):
        if min(f.overlap[first].get(second, 0.0), f.overlap[second].get(first, 0.0)) > SAME_FRAC:
            yield f"The masks of {first} and {second} are the same; is one of them a copy of the other?"


def _about_polarity(f: Fingerprint) -> Iterator[str]:
    if BRIGHT_FRAC < f.bright_device_frac < 1 - BRIGHT_FRAC:
        yield (
            f"The polarity is mixed: devices are bright in {100 * f.bright_device_frac:.0f} % of the frames looked at and "
            "dark in the others; declare the polarity in a descriptor per source, or invert those files."
        )
    bright = {name: s.bright_frac for name, s in f.structures.items() if s.device and s.bright_frac > BRIGHT_FRAC}
    if bright:
        shares = ", ".join(f"{name} in {100 * share:.0f} %" for name, share in bright.items())
        yield f"Devices are brighter than their surroundings ({shares} of their frames); canonical frames show them dark."
