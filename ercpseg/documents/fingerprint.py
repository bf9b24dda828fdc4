"""What the data are, in numbers (reference: the quantities that rules R1–R34 read).

Lengths in ``_px`` refer to the *reference long side*: every frame is thought scaled so that its longer side has the
median length of the dataset, which makes frames of mixed sizes comparable.

Sizes, presence and overlap are counted in all frames. Grey values, the field and the shapes of each structure are measured
in a sample of at most 128 frames (that show it), the same for the same names; ``n`` says how many values there are.
"""

from __future__ import annotations

from collections.abc import Iterable
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
    cnr: Percentiles | None = Field(
        None, description="(mean inside − mean of a ring around) / noise standard deviation; negative = darker"
    )
    elongation: Percentiles | None = Field(None, description="skeleton length / median width per frame measured (L/w)")
    tortuosity: Percentiles | None = Field(
        None,
        description="length of the longest path along the skeleton of its largest component / distance of its ends",
    )
    gap_px: Percentiles | None = Field(
        None, description="gaps between neighbouring ends of the pieces of a tubular structure; n = gaps"
    )
    gap99_px: float | None = Field(None, description="99th percentile of these gaps")
    centre_yx: tuple[float, float] | None = Field(
        None, description="mean over frames measured of its centre of mass, in shares of the frame's height and width"
    )
    spread_yx: tuple[float, float] | None = Field(
        None, description="standard deviation over frames measured of that centre, in the same shares"
    )
    flags: dict[str, int] = Field(
        default_factory=dict,
        description="doubts about the annotation → frames measured: `holes` of a few pixels, `debris` of up to 3 px beside "
        "larger components, `wide`: masks clearly wider than the line in the pixels, `speck`: not more than 1 px in all",
    )


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


class DeviceFingerprint(Part):
    """Frames of one X-ray device: of one maker, model and detector in the header, else of one depth and size."""

    frames: int
    mean: Percentiles | None = Field(None, description="mean in the field of its frames measured")
    sd: Percentiles | None = Field(None, description="standard deviation in the field of its frames measured")


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
    inner_groups: int = Field(
        0, description="groups by study, series and looks alone, for data of one patient; 0: not counted"
    )
    inner_grouped_by: str = Field("frame", description="what told these apart")
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
    devices: dict[str, DeviceFingerprint] = Field(
        default_factory=dict, description="`device 1`, `device 2`, … by falling number of frames → its grey values"
    )
    field_shapes: dict[str, float] = Field(
        default_factory=dict, description="`full`, `rectangular`, `round` or `other` → share of frames measured"
    )
    bright_device_frac: float = Field(
        0.0,
        description="share of the frames measured, where a device differs from its ring, in which the clearest one is bright",
    )
    entry_sides: dict[str, float] = Field(
        default_factory=dict,
        description="`top`, `bottom`, `left`, `right` or `none` → share of the frames measured in which the endoscope enters "
        "the field there; empty without an endoscope",
    )
    scope_axis_sd_deg: float | None = Field(
        None, description="circular standard deviation of the endoscope's direction where it enters the field"
    )
    scope_width_px: Percentiles | None = Field(
        None, description="the endoscope's median width along its straight part, per frame measured (w_S)"
    )
    series_length: Percentiles | None = Field(None, description="frames per series")
    frame_time_ms: Percentiles | None = Field(None, description="time from frame to frame, per series that says it")
    spacing_sources: dict[str, int] = Field(
        default_factory=dict, description="where the spacing comes from, or `none` → frames"
    )
    spacing_mm: Percentiles | None = Field(
        None, description="spacings that hold in the patient, mean of y and x, per frame"
    )
    ranges: dict[str, tuple[float, float]] = Field(
        default_factory=dict,
        description="quantity of one frame → its 1st and 99th percentile, over frames that show the structure (R34): "
        "`field_frac`, `mean_frac`, `sd_frac`, `noise_sd`, and `<structure>.foreground_frac`, `.width_px`, `.length_px`, "
        "`.contrast`",
    )
    measured_sha256: str = Field(
        "",
        description="hash over the version of the measures and what the import report says; another one: measure again",
    )
    warnings: tuple[str, ...] = ()

    def of_structures(self, names: Iterable[str]) -> Fingerprint:
        """The same data as if only these structures were annotated; its hash is another."""
        kept = [name for name in self.structures if name in set(names)]
        if len(kept) == len(self.structures):
            return self
        return self.model_copy(
            update={
                "structures": {name: self.structures[name] for name in kept},
                "overlap": {a: {b: self.overlap[a][b] for b in kept if b != a} for a in kept if a in self.overlap},
                "ranges": {
                    key: span for key, span in self.ranges.items() if "." not in key or key.split(".")[0] in kept
                },
            }
        )
