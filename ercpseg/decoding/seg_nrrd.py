"""3D Slicer's ``.seg.nrrd``: label values in one layer or more, and what the segments are called.

Source: 3D Slicer developer guide, "Segmentation labelmap file format (.seg.nrrd)". An axis of kind ``list`` holds the
layers; segments of different layers may overlap. The order of axes is that of :mod:`ercpseg.decoding.volume`; directions
and origin in the patient are not used, as the frames have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.reading import check_size
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused

MAX_SEGMENTS = 1000
_LAYER_KINDS = ("list", "vector")
_REPRESENTATION = ("Segmentation_MasterRepresentation", "Segmentation_SourceRepresentation")
_OFFSET = "Segmentation_ReferenceImageExtentOffset"


@dataclass(frozen=True)
class Layers:
    """``planes`` (layers, slices, y, x); ``segments`` as (name, label value, layer); ``offset`` (slice, y, x).

    The offset says where the first voxel lies in the image that was segmented, for files that were cropped. Where
    ``planes`` hold a single voxel there is no image at all: all segments are empty.
    """

    planes: NDArray[Any]
    segments: tuple[tuple[str, int, int], ...]
    offset: tuple[int, int, int]


def read_layers(source: Source) -> Layers:
    """Read a file.

    Raises
    ------
    InputRefused
        ``bad-annotation`` when it is no binary labelmap, or a segment lacks its name, value or layer (Slicer before 4.11);
        else what :func:`ercpseg.decoding.volume.read_volume` refuses.
    """
    from ercpseg.decoding.volume import read_volume

    array, fields = read_volume(source)
    for key in _REPRESENTATION:
        if fields.get(key, "Binary labelmap").strip().lower() != "binary labelmap":
            raise InputRefused("bad-annotation", "the segmentation is no binary labelmap")
    planes = _planes(array, fields.get("kinds", "").split())
    check_size(planes.shape[2], planes.shape[3])
    segments = tuple(_segment(fields, number, len(planes)) for number in _numbers(fields))
    if len({segment[1:] for segment in segments}) != len(segments):
        raise InputRefused("bad-annotation", "two segments have one value in one layer")
    i, j, k = _integers(fields.get(_OFFSET, "0 0 0"), 3)
    return Layers(planes, segments, (k, j, i))


def _planes(array: NDArray[Any], kinds: list[str]) -> NDArray[Any]:
    """(layers, slices, y, x). ``kinds`` has the file's order of axes, which is the array's in reverse."""
    layered = [axis for axis, kind in enumerate(reversed(kinds)) if kind.lower() in _LAYER_KINDS]
    if len(layered) > 1 or array.ndim - len(layered) not in (2, 3):
        raise InputRefused("bad-annotation", f"{array.ndim} axes, {len(layered)} of them of layers")
    planes = np.moveaxis(array, layered[0], 0) if layered else array[None]
    return planes if planes.ndim == 4 else planes[:, None]


def _numbers(fields: dict[str, str]) -> list[int]:
    """N of all SegmentN_…, in order."""
    found = set()
    for key in fields:
        word, mark, _ = key.partition("_")
        number = word.removeprefix("Segment")
        if mark and number.isascii() and number.isdigit() and len(number) <= 6 and number != word:
            found.add(int(number))
    if len(found) > MAX_SEGMENTS:
        raise InputRefused("too-large", f"{len(found)} segments, limit {MAX_SEGMENTS}")
    return sorted(found)


def _segment(fields: dict[str, str], number: int, layers: int) -> tuple[str, int, int]:
    name = fields.get(f"Segment{number}_Name")
    keys = (f"Segment{number}_LabelValue", f"Segment{number}_Layer")
    if name is None or any(key not in fields for key in keys):
        raise InputRefused("bad-annotation", f"segment {number} lacks its name, label value or layer")
    value, layer = (_integers(fields[key], 1)[0] for key in keys)
    if value == 0 or not 0 <= layer < layers:
        raise InputRefused("bad-annotation", f"segment {number} has value {value} in layer {layer} of {layers}")
    return name, value, layer


def _integers(text: str, count: int) -> list[int]:
    words = text.split()
    if len(words) != count or any(len(word) > 10 or not word.lstrip("-").isdecimal() for word in words):
        raise InputRefused("bad-annotation", f"a field of the segmentation is not {count} whole numbers")
    try:
        return [int(word) for word in words]
    except ValueError:
        raise InputRefused("bad-annotation", f"a field of the segmentation is not {count} whole numbers") from None
