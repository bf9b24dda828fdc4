"""One canonical frame and its bitmask: what it shows (cheap, of every frame), and its measures (of a sample)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError
from ercpseg.fingerprint.intensity import IntensityMeasures, locate_field, measure_intensity
from ercpseg.fingerprint.structure import StructureMeasures, measure_structure
from ercpseg.storage.images import read_png, read_png_header
from ercpseg.structures import StructureSet


@dataclass(frozen=True)
class FrameContent:
    """One frame: size (y, x), bits stored, pixels per structure that it shows, annotated pixels per bitmask value."""

    frame: str
    size_px: tuple[int, int]
    bits: int
    areas_px: dict[str, int]
    bitmask_counts: NDArray[np.int64]


@dataclass(frozen=True)
class FrameMeasures:
    """One measured frame: grey values, and the structures that were measured in it."""

    content: FrameContent
    intensity: IntensityMeasures
    structures: dict[str, StructureMeasures]


def read_content(raw_folder: Path, record: FrameRecord, structures: StructureSet) -> FrameContent:
    """What a canonical frame shows, from its bitmask and the header of its picture."""
    size_px, bits = read_png_header(raw_folder / "imagesTr" / f"{record.frame}_0000.png")
    path = raw_folder / "labelsTr" / f"{record.frame}.png"
    bitmask = read_png(path)
    if size_px != bitmask.shape:
        raise DataError(
            f"the bitmask is {bitmask.shape} and the frame {size_px}",
            where=path,
            expected="equal sizes",
            todo="run plan-and-preprocess again on the original data",
        )
    # Most pixels are background: dropping them first halves the time.
    counts = np.bincount(bitmask[bitmask != 0], minlength=256)
    values = np.arange(256)
    areas = {name: int(counts[(values & structures.value(name)) != 0].sum()) for name in structures}
    return FrameContent(
        frame=record.frame,
        size_px=size_px,
        bits=record.bits or bits,
        areas_px={name: area for name, area in areas.items() if area},
        bitmask_counts=counts,
    )


def measure_frame(
    raw_folder: Path, content: FrameContent, structures: StructureSet, names: Iterable[str]
) -> FrameMeasures:
    """Measure a canonical frame, and of the structures that it shows those in ``names``."""
    pixels = read_png(raw_folder / "imagesTr" / f"{content.frame}_0000.png")
    bitmask = read_png(raw_folder / "labelsTr" / f"{content.frame}.png")
    field = locate_field(pixels)
    return FrameMeasures(
        content=content,
        intensity=measure_intensity(pixels, field, content.bits),
        structures={name: measure_structure((bitmask & structures.value(name)) != 0, pixels, field) for name in names},
    )
