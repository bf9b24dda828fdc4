"""What about the data deserves a warning. Each concern is one sentence with the numbers and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ercpseg.documents.fingerprint import Fingerprint
from ercpseg.fingerprint.frame import FrameContent

DEVICE_WORDS = frozenset({"endoscope", "scope", "guidewire", "wire", "catheter", "tube", "tubings", "line", "stent"})
"""Words in structure names that mean something radio-opaque, which canonical frames show dark (R1)."""
BRIGHT_FRAC = 0.1
FULL_FRAC = 0.9
WIDE_SPREAD = 0.5
FEW_FRAMES = 10
OUTSIDE_FRAC = 0.005


def is_device(name: str) -> bool:
    """Whether the structure's name says that it is a radio-opaque device.

    >>> is_device("central_venous_line"), is_device("cbd")
    (True, False)
    """
    return not DEVICE_WORDS.isdisjoint(name.split("_"))


def find_concerns(fingerprint: Fingerprint, contents: Sequence[FrameContent]) -> tuple[str, ...]:
    """The warnings of a fingerprint, in a fixed order."""
    return (*_about_dataset(fingerprint), *_about_structures(fingerprint, contents))


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
    if f.annotated_outside_field_frac > OUTSIDE_FRAC:
        yield (
            f"{100 * f.annotated_outside_field_frac:.1f} % of the annotated pixels lie outside the exposed field that was "
            "found; the plan then does without a field mask (R3)."
        )


def _about_structures(f: Fingerprint, contents: Sequence[FrameContent]) -> Iterator[str]:
    for name, s in f.structures.items():
        if s.frames == 0:
            yield f"{name} is in no frame; it cannot be learnt."
            continue
        if s.frames < FEW_FRAMES <= f.frames:
            yield f"{name} is in {s.frames} of {f.frames} frames only; its scores will be uncertain."
        full = sum(name in c.areas_px and c.areas_px[name] > FULL_FRAC * c.size_px[0] * c.size_px[1] for c in contents)
        if full:
            yield f"{name} fills more than {100 * FULL_FRAC:.0f} % of {full} frame(s); is its mask inverted?"
    bright = {name: s.bright_frac for name, s in f.structures.items() if s.device and s.bright_frac > BRIGHT_FRAC}
    if bright:
        shares = ", ".join(f"{name} in {100 * share:.0f} %" for name, share in bright.items())
        yield f"Devices are brighter than their surroundings ({shares} of their frames); canonical frames show them dark."
