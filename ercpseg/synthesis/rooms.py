"""What a domain's rooms are drawn from: beam, detector, processing, field, and who annotates."""

from __future__ import annotations

from typing import Literal

from ercpseg.synthesis.parameters import BY_EYE, Section, Spread, chance, number, spread


class FrameSettings(Section):
    """How a frame is stored."""

    height_px: int = number(512, low=64, high=4096, source="MIQR-CC: 512; Martin 2022: 1024; Pishro 2026: 576")
    aspect: float = number(1.0, low=0.25, high=4, source="width / height")
    bits: int = number(8, low=8, high=12, source="MIQR-CC 8; DICOM RF objects commonly 10 or 12")
    inverted: float = chance(0.0, "share of patients whose devices are stored bright; 5 of 8 spot films of MIQR-CC")
    pixel_aspect: Spread = spread(1.0, low=0.5, high=2, source="pixel height / width; 1 unless a frame grabber")
    spacing_missing: float = chance(0.2, "share of patients without any spacing in the header; " + BY_EYE)


class BeamSettings(Section):
    """From focus to detector."""

    scatter: Spread = spread(0.1, 0.24, low=0, high=0.9, source="scatter in the mean signal behind a grid; " + BY_EYE)
    scatter_mm: Spread = spread(18, 40, low=2, high=150, source="its spread; " + BY_EYE)
    focus_mm: Spread = spread(0.5, 1.0, low=0.1, high=3, source="nominal focal spots of C-arms")
    detector_blur_mm: Spread = spread(
        0.4, 0.56, low=0.02, high=2, source="standard deviation at the detector; edges 3 px"
    )
    heel: Spread = spread(0.05, 0.35, low=0, high=0.9, source="loss across the field, towards the lower right")
    vignetting: Spread = spread(0.05, 0.3, low=0, high=0.95, source="loss at the border of an image intensifier")
    quanta_per_mm2: Spread = spread(
        2600, 5000, 11000, low=50, high=5e6, source="detected at the isocentre plane; noise"
    )
    electronic: Spread = spread(2, 60, low=0, high=5000, source="electronic noise as quanta per px")
    noise_blur_px: Spread = spread(0.47, 0.58, low=0, high=3, source="neighbours correlate by 0.24 to 0.38 (measured)")
    noise_tail: Spread = spread(
        0.2, 0.6, low=0, high=5, source="weight of the noise smeared further; 3 to 5: spot films"
    )
    noise_reach: Spread = spread(
        2.5, low=1, high=10, source="how much further, over noise_blur_px; 6 to 8.5: spot films"
    )
    lag: Spread = spread(0.05, 0.3, low=0, high=0.95, source="share of the previous frame, series only")


class GreySettings(Section):
    """The vendor's processing: exposure control, curve and edges."""

    gamma: Spread = spread(
        0.35, 0.85, low=0.01, high=3, source="exponent of the curve on intensity; towards 0 a logarithm"
    )
    bright: Spread = spread(
        0.8, 0.96, low=0.2, high=1, source="grey that the window gives its bright end: p95 182 to 225"
    )
    bright_share: Spread = spread(
        0.02, 0.03, 0.14, low=0.001, high=0.4, source="share of the field above the bright end: skin and gas saturate"
    )
    automatic: float = number(
        0.9, low=0, high=1, source="how far the window follows the frame rather than gamma and floor"
    )
    middle: Spread = spread(
        0.3, 0.4, 0.56, low=0.05, high=0.95, source="grey of the metered middle; p50 77 to 141 of 255"
    )
    shoulder: Spread = spread(0.45, 0.75, low=0.1, high=1, source="grey above which the curve bends over")
    floor: Spread = spread(0.05, 0.3, low=0, high=0.8, source="what of the curve lies below black")
    dark: Spread = spread(0.04, 0.065, 0.11, low=0, high=0.5, source="grey of the darkest 1.5 %: p01 14 to 30 of 255")
    compression: Spread = spread(0.0, 0.45, low=0, high=0.95, source="share of the coarse contrast taken out")
    sharpen: Spread = spread(0.0, 0.3, low=0, high=5, source="amount of unsharp masking")
    sharpen_mm: Spread = spread(0.6, 1.6, low=0.05, high=20, source="its radius")


class FieldSettings(Section):
    """Where the picture is exposed."""

    shape: Literal["round", "rectangle", "full"] = "round"
    other: float = chance(0.0, "share of rooms with one of the other two shapes instead")
    radius: Spread = spread(
        0.4955, 0.4985, low=0.2, high=0.75, source="of a round field, as a share of the frame's height"
    )
    width: Spread = spread(1.0, low=0.2, high=1, source="of a rectangle, as a share of the frame's width")
    height: Spread = spread(1.0, low=0.2, high=1, source="of a rectangle, as a share of the frame's height")
    cut: float = chance(0.45, "a straight cut at the lower left")
    cut_depth: Spread = spread(
        0.0, 0.035, low=0, high=0.5, source="how far the cut reaches in, as a share of the height"
    )
    flat_bottom: float = chance(0.35)
    iris: float = chance(0.6, "a round collimator off the centre: a half-moon of shadow")
    iris_mm: Spread = spread(5, 26, low=0.1, high=80, source="width of its penumbra at the isocentre")
    blades: float = chance(0.03, "a straight collimator blade inside the field, for each of five sides")
    blade_mm: Spread = spread(1, 9, low=0.1, high=40, source="width of its penumbra at the isocentre")
    soft_edge: float = chance(0.0, "the field's own border is soft")
    marker: float = chance(0.55, "a small oval is burned in at the lower left border")
    text: float = chance(0.0, "burned-in text")


class AnnotatorSettings(Section):
    """A human annotator: what can be seen at all, and errors, put on the masks and on nothing else."""

    sees_duct: float = number(
        0.65, low=0, high=1, source="least correlation of its shadow with the picture around it; 0 marks all; " + BY_EYE
    )
    sees_stone: float = number(0.3, low=0, high=1, source="the same of a stone with the duct around it; " + BY_EYE)
    jitter_px: Spread = spread(0.0, low=0, high=20, source="standard deviation of the outline, over some 20 px")
    dilate_px: Spread = spread(0.0, low=-10, high=10)
    missed: float = chance(0.0, "share of stones and wire pieces that are left out")
