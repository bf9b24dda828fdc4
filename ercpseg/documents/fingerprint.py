"""What the data are, in numbers (reference: the quantities that rules R1–R34 read).

Lengths in ``_px`` refer to the *reference long side*: every frame is thought scaled so that its longer side has the
median length of the dataset, which makes frames of mixed sizes comparable.

Sizes, presence and overlap are counted in all frames. Grey values, the field and the shapes of each structure are measured
in a sample of at most 128 frames (that show it), the same for the same names; ``n`` says how many values there are.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from ercpseg.documents.base import Document, Part


class Percentiles(Part):
    """Five percentiles (linear interpolation) and the number of values behind them."""

    n: int
    p05: float
    p10: float
    p50: float
    p90: float
    p95: float


class StructureFingerprint(Part):
    """One structure over the frames that show it; shapes and contrast in at most 128 of them."""

    frames: int = Field(description="frames in which it is present")
    presence_frac: float = Field(description="share of all frames that show it (q)")
    foreground_frac: Percentiles | None = Field(description="share of the field's pixels, over frames that show it (p)")
    width_px: Percentiles | None = Field(
        description="local width on the skeleton; every frame counts the same (33 quantiles of each), n = frames measured"
    )
    length_px: Percentiles | None = Field(description="skeleton length per frame measured")
    components: float = Field(description="mean number of 8-connected components per frame measured")
    component_area_px: Percentiles | None
    contrast: Percentiles | None = Field(
        description="(mean inside − mean of a ring around) / in-field standard deviation; negative = darker"
    )
    bright_frac: float = Field(
        0.0, description="share of the frames measured, where it differs from its ring, in which it is brighter"
    )
    device: bool = Field(False, description="its name says that it is a radio-opaque device")


class IntensityFingerprint(Part):
    """Intensities inside the field; each list summarises one value per frame, of at most 128 frames.

    Means and standard deviations are shares of the largest value that the stored bits can hold, so that frames of
    different depth can be compared.
    """

    mean: Percentiles
    sd: Percentiles
    noise_sd: Percentiles = Field(description="robust noise estimate in units of the frame's in-field sd")
    mean_cv: float = Field(description="coefficient of variation of the frame means")
    sd_cv: float


class Fingerprint(Document):
    """What the data are. Written once per dataset; a plan records the hash of the one it was made from."""

    SCHEMA: ClassVar[str] = "ercpseg.fingerprint/1"

    dataset: str
    frames_sha256: str
    frames: int
    patients: int = Field(description="patients told apart; 0 where none is known")
    studies: int = Field(0, description="examinations told apart")
    series: int = Field(0, description="series told apart")
    grouped_by: str = Field(
        description="what told groups apart: patient, study, series, near-duplicates or frame; several where frames differ"
    )
    groups: int | None = Field(None, description="groups that no fold may tear apart; null: as many as patients")
    near_duplicates: int = Field(
        0, description="how often two groups became one because a frame of each looks almost the same"
    )
    parts: dict[str, int] = Field(
        default_factory=dict, description="part of a published split → frames; test frames are in no fingerprint"
    )
    shapes: dict[str, int] = Field(description="'height x width' → frames")
    reference_long_side_px: int = Field(description="median of the frames' longer sides")
    long_side_spread: float = Field(description="(largest − smallest longer side) / median")
    aspect: Percentiles = Field(description="width / height")
    bits: dict[str, int] = Field(description="bits stored → frames")
    spacing_known_frac: float = Field(description="share of frames whose spacing holds in the patient")
    field_frac: Percentiles = Field(description="exposed share of the frame (f)")
    annotated_outside_field_frac: float = Field(
        0.0, description="share of the annotated pixels in measured frames that lie outside the field that was found"
    )
    intensity: IntensityFingerprint
    structures: dict[str, StructureFingerprint]
    overlap: dict[str, dict[str, float]] = Field(description="overlap[a][b] = share of a's pixels that are also b")
    warnings: tuple[str, ...] = ()
