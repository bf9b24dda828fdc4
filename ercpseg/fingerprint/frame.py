"""One canonical frame and its bitmask, read and measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError
from ercpseg.fingerprint.intensity import IntensityMeasures, locate_field, measure_intensity
from ercpseg.fingerprint.structure import StructureMeasures, measure_structure
from ercpseg.storage.images import read_png
from ercpseg.structures import StructureSet


@dataclass(frozen=True)
class FrameMeasures:
    """One frame: size (y, x), grey values, the structures it shows, and pixels per bitmask value."""

    frame: str
    size_px: tuple[int, int]
    bits: int
    intensity: IntensityMeasures
    structures: dict[str, StructureMeasures]
    bitmask_counts: NDArray[np.int64]


def measure_frame(raw_folder: Path, record: FrameRecord, structures: StructureSet) -> FrameMeasures:
    """Read and measure one canonical frame and its bitmask."""
    pixels = read_png(raw_folder / "imagesTr" / f"{record.frame}_0000.png")
    path = raw_folder / "labelsTr" / f"{record.frame}.png"
    bitmask = read_png(path)
    if pixels.shape != bitmask.shape:
        raise DataError(
            f"the bitmask is {bitmask.shape} and the frame {pixels.shape}",
            where=path,
            expected="equal sizes",
            todo="run plan-and-preprocess again on the original data",
        )
    bits = record.bits or 8 * pixels.dtype.itemsize
    field = locate_field(pixels)
    intensity = measure_intensity(pixels, field, bits)
    counts = np.bincount(bitmask.ravel(), minlength=256)
    present = int(np.bitwise_or.reduce(np.flatnonzero(counts)))
    return FrameMeasures(
        frame=record.frame,
        size_px=(pixels.shape[0], pixels.shape[1]),
        bits=bits,
        intensity=intensity,
        structures={
            name: measure_structure((bitmask & structures.value(name)) != 0, pixels, field)
            for name in structures
            if present & structures.value(name)
        },
        bitmask_counts=counts,
    )
