"""One canonical frame and its bitmask: what it shows (cheap, of every frame), and its measures (of a sample)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.documents.dataset import FrameRecord
from ercpseg.errors import DataError
from ercpseg.fingerprint.intensity import IntensityMeasures, locate_field, measure_intensity
from ercpseg.fingerprint.names import is_scope
from ercpseg.fingerprint.scope import ScopeMeasures, find_entry
from ercpseg.fingerprint.structure import StructureMeasures, measure_structure
from ercpseg.storage.atomic import sha256_file
from ercpseg.storage.images import read_png, read_png_header
from ercpseg.structures import Bitmask, StructureSet


@dataclass(frozen=True)
class FrameContent:
    """One frame: size (y, x), bits stored, pixels per structure that it shows, hash of its bitmask's file."""

    frame: str
    size_px: tuple[int, int]
    bits: int
    areas_px: dict[str, int]
    bitmask_sha256: str


@dataclass(frozen=True)
class FrameMeasures:
    """One measured frame: grey values, the structures that were measured in it, and where the endoscope enters."""

    content: FrameContent
    intensity: IntensityMeasures
    structures: dict[str, StructureMeasures]
    scopes: dict[str, ScopeMeasures]


def image_path(raw_folder: Path, frame: str) -> Path:
    """The canonical picture of a frame."""
    return raw_folder / "imagesTr" / f"{frame}_0000.png"


def label_path(raw_folder: Path, frame: str) -> Path:
    """The bitmask of a frame."""
    return raw_folder / "labelsTr" / f"{frame}.png"


def read_content(
    raw_folder: Path, record: FrameRecord, structures: StructureSet
) -> tuple[FrameContent, Bitmask, NDArray[np.int64]]:
    """What a canonical frame shows, from its bitmask and the header of its picture.

    Returns the content, the bitmask (y, x), and how many pixels have each of the 256 bitmask values but 0.

    Raises
    ------
    DataError
        when a frame and its bitmask differ in size.
    StorageError
        when a file cannot be read.
    """
    size_px, bits = read_png_header(image_path(raw_folder, record.frame))
    path = label_path(raw_folder, record.frame)
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
    content = FrameContent(
        frame=record.frame,
        size_px=size_px,
        bits=record.bits or bits,
        areas_px={name: area for name, area in areas.items() if area},
        bitmask_sha256=sha256_file(path),
    )
    return content, bitmask, counts


def measure_frame(
    pixels: NDArray[Any], bitmask: Bitmask, content: FrameContent, structures: StructureSet, names: Collection[str]
) -> FrameMeasures:
    """Measure a canonical frame (y, x), and of the structures that its bitmask (y, x) shows those in ``names``."""
    field = locate_field(pixels)
    intensity = measure_intensity(pixels, field, content.bits)
    measured: dict[str, StructureMeasures] = {}
    scopes: dict[str, ScopeMeasures] = {}
    for name in (name for name in structures if name in names):
        value, scope = structures.value(name), is_scope(name)
        mask, others = (bitmask & value) != 0, (bitmask & ~np.uint8(value)) != 0
        found = measure_structure(mask, pixels, field, noise_grey=intensity.noise_grey, others=others, straight=scope)
        measured[name] = found
        if scope:
            scopes[name] = ScopeMeasures(*find_entry(mask, field, found.width_px), found.straight_width_px)
    return FrameMeasures(content, intensity, measured, scopes)
