"""From colour channels to one grey channel, and from stored to upright orientation."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused

TOLERANCE = 8
"""Chroma that JPEG rounding leaves, of 255 (measured on cxr-lines: up to 8 in grey frames saved as colour JPEG)."""
MAX_TINT = 32
"""A film that was printed or photographed with a colour cast differs by up to 28 of 255 (cxr-lines, gr1_lrg)."""
EQUAL = "three equal channels; one was taken"
MAX_MARKS = 0.05
"""Share of pixels that coloured letters, arrows and logos may take (cxr-lines: up to 0.041)."""


def collapse(rgb: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """One grey channel (y, x) of three channels (y, x, 3), uint8 or uint16, and notes on what was assumed.

    Equal channels are taken as they are. Otherwise the frame still counts as grey when, but for 5 % of the pixels, each
    channel differs from luma only by an even tint (a function of luma, at most 32 of 255) and by rounding (8 of 255);
    then luma (ITU-R 601) is taken.

    Raises
    ------
    InputRefused
        ``colour`` when the channels differ by more.
    """
    first = rgb[..., 0]
    if np.array_equal(first, rgb[..., 1]) and np.array_equal(first, rgb[..., 2]):
        return first, (EQUAL,)
    unit = 257 if rgb.dtype == np.uint16 else 1
    channels = [rgb[..., c].astype(np.int32) for c in range(3)]
    luma = (299 * channels[0] + 587 * channels[1] + 114 * channels[2] + 500) // 1000
    level = (luma // unit).ravel()
    count = np.maximum(np.bincount(level, minlength=256), 1)
    marks = np.zeros(luma.shape, bool)
    tinted = False
    for channel in channels:
        chroma = channel - luma
        mild = np.clip(chroma, -MAX_TINT * unit, MAX_TINT * unit)
        tint = np.bincount(level, weights=mild.ravel(), minlength=256) / count
        marks |= np.abs(chroma - tint[level].reshape(luma.shape)) > TOLERANCE * unit
        tinted |= bool((np.abs(chroma) > TOLERANCE * unit).mean() > MAX_MARKS)
    share = float(marks.mean())
    if share > MAX_MARKS:
        raise InputRefused("colour", f"{100 * share:.0f} % of the pixels are coloured")
    notes = ["nearly grey channels; luma was taken"]
    if tinted:
        notes.append("even colour cast removed")
    if share > 0:
        notes.append(f"coloured marks on {100 * share:.2g} % of the pixels")
    return luma.astype(rgb.dtype), tuple(notes)


def upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn and mirror (y, x, …) as the EXIF or TIFF orientation 1 to 8 says; other values change nothing."""
    turned = {
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: a.swapaxes(0, 1)[:, ::-1],
        7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
        8: lambda a: a.swapaxes(0, 1)[::-1],
    }.get(orientation)
    return array if turned is None else turned(array)


def exif_orientation(block: bytes) -> int:
    """Tag 0112 of an EXIF block (a TIFF header and its first directory), 1 to 8; 0 when absent or damaged.

    Nothing else of the block is looked at.
    """
    block = block.removeprefix(b"Exif\0\0")  # some writers put the mark of JPEG into PNG too
    order: Literal["little", "big"] = "little" if block[:4] == b"II*\0" else "big"
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return 0

    def number(at: int, size: int) -> int:
        return int.from_bytes(block[at : at + size], order)

    start = number(4, 4)
    for i in range(min(number(start, 2), 1000)):
        at = start + 2 + 12 * i
        if number(at, 2) == 0x0112:
            value = number(at + 8, {3: 2, 4: 4}.get(number(at + 2, 2), 0))
            return value if 1 <= value <= 8 else 0
    return 0


def sole_orientation(exif: int, elsewhere: int) -> int:
    """The orientation by which to turn a picture; ``elsewhere`` is what XMP or a text chunk says, 0 when nothing.

    Pillow (and labelme, which is built on it) turns by XMP when EXIF does not say; browsers and others do not.

    Raises
    ------
    InputRefused
        when it is not clear whether the picture was annotated upright or lying.
    """
    if not exif and elsewhere > 1:
        raise InputRefused("unsupported-pixels", f"orientation {elsewhere} where not every program looks for it")
    return exif or 1


def xmp_orientation(block: bytes) -> int:
    """``tiff:Orientation`` of an XMP packet, 1 to 8; 0 when absent."""
    found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', block)
    return int(found[1]) if found else 0
