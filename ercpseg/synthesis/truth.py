"""What is true of a synthetic frame beyond its masks: courses, sizes in mm, calibration. Written as JSON beside it.

Places are (y, x) in px of the frame, pixel centres at integers; lengths in mm are true ones, whatever the magnification.
"""

from __future__ import annotations

import json
from typing import ClassVar

from pydantic import Field

from ercpseg.documents.base import Document, Part

Point = tuple[float, float]


class Calibration(Part):
    """What a measurement should find. A length in mm is its length in px times the ``mm_per_px`` of its height."""

    mm_per_px_y: float = Field(description="at the isocentre, along y")
    mm_per_px_x: float = Field(description="at the isocentre, along x")
    magnification: float = Field(description="of the isocentre on the detector")
    endoscope_mm_per_px: float | None = Field(description="at the endoscope's height, mean of both axes")
    duct_mm_per_px: float | None = Field(description="at the duct's height, mean of both axes")
    in_header: bool = Field(description="whether a DICOM header of this patient holds a spacing")


class EndoscopeTruth(Part):
    """The endoscope. Its limbs are axes from the tip outwards; a looped one has two."""

    tip_px: Point
    exit_px: Point = Field(description="where devices leave it")
    shaft_mm: float = Field(description="outer diameter of the insertion tube")
    distal_end_mm: float = Field(description="outer diameter of the rigid end")
    limbs_px: tuple[tuple[Point, ...], ...]


class WireTruth(Part):
    """A guidewire, from the endoscope to its tip, with what the mask leaves out."""

    diameter_mm: float
    centreline_px: tuple[Point, ...]
    bare_from: int = Field(description="index of the first point that no catheter covers")
    seen: tuple[bool, ...] = Field(description="for each point, whether the mask shows it")
    tip_px: Point
    tip_in_duct: bool = Field(description="whether the tip lies in the filled duct as drawn")


class DuctTruth(Part):
    """The common duct, papilla first; ``filled_mm`` of it holds contrast, ``marked_mm`` is in the mask.

    The mask leaves out ends that cannot be seen, and goes on over gaps in the column of contrast.
    """

    centreline_px: tuple[Point, ...]
    diameter_mm: tuple[float, ...] = Field(description="for each point")
    arc_mm: tuple[float, ...] = Field(description="distance of each point from the papilla along the course")
    filled_mm: tuple[float, float] | None = Field(description="from and to, None without contrast")
    gap_mm: tuple[float, float] | None = Field(
        description="from and to, where its column is parted: at least half of what the middle of the gap lacks is gone"
    )
    marked_mm: tuple[float, float] | None = Field(description="from and to, None where none of it can be seen")
    widest_mm: float
    bend_deg: float = Field(description="turn at the first angulation; 180 − this is the distal CBD angle (Kim 2007)")
    bend_mm: float = Field(description="length of the distal arm: papilla to that angulation")
    stricture_mm: float | None = Field(description="where it is narrowed")


class StoneTruth(Part):
    """A stone whose outline is in the mask, at least in part."""

    centre_px: Point
    short_mm: float
    long_mm: float
    area_px: int = Field(description="of its outline within the filled duct")
    hidden_frac: float = Field(
        description="share that the mask leaves out: under the endoscope, or in a part of the duct that cannot be seen"
    )
    floating: bool


class Truth(Document):
    """Everything known of a frame."""

    SCHEMA: ClassVar[str] = "ercpseg.truth/3"
    domain: str
    domain_sha256: str
    seed: int
    patient: int
    frame: int
    series: bool
    time_s: float
    height_px: int
    width_px: int
    bits: int
    inverted: bool
    field_frac: float
    calibration: Calibration
    endoscope: EndoscopeTruth | None
    wires: tuple[WireTruth, ...]
    duct: DuctTruth | None
    stones: tuple[StoneTruth, ...]
    unlabelled: tuple[str, ...] = Field(description="look-alikes that are in the frame and in no mask")

    def to_bytes(self) -> bytes:
        """Compact JSON; equal documents give equal bytes."""
        data = self.model_dump(mode="json", by_alias=True)
        return (json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n").encode()
