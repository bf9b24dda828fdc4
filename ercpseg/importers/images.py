"""Image files: one decoder per format, then the same three questions: a frame, a mask, or a label image?

The size is read from the header and checked before anything is decoded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.errors import InputRefused
from ercpseg.importers.grey import collapse, upright
from ercpseg.importers.reading import MAX_FILE_BYTES, Entry, Picture, guarded
from ercpseg.importers.scan import Kind


@dataclass(frozen=True)
class Raster:
    """What a decoder delivers: ``samples`` (y, x) or (y, x, 3), upright after ``orientation`` is applied."""

    samples: NDArray[Any]
    alpha: NDArray[Any] | None = None
    palette: NDArray[Any] | None = None
    """(n, 3): then ``samples`` are indices."""
    step: int = 1
    """Low-depth grey is stretched by the decoder; samples // step are the stored values."""
    bits: int = 8
    orientation: int = 1
    white_is_zero: bool = False
    lossy: bool = False


def entries(path: Path, kind: Kind) -> Iterator[Entry]:
    """The frames of an image file: one, or one per page of a TIFF.

    Raises
    ------
    InputRefused
        when the file as a whole is unreadable.
    """
    if kind == "tiff":
        from ercpseg.importers.tiff import count_pages

        pages = guarded(partial(count_pages, path))
        if pages > 1:
            return (Entry(partial(read_frame, path, kind, page), index=page) for page in range(pages))
    return iter([Entry(partial(read_frame, path, kind))])


def decode(path: Path, kind: Kind, page: int = 0) -> Raster:
    """Decode one image (of a multi-page TIFF: one page).

    Raises
    ------
    InputRefused
        when the header lies, the format is not supported, or the size exceeds the limit.
    Exception
        whatever a decoder throws at a damaged file; wrap with :func:`ercpseg.importers.reading.guarded`.
    """
    if kind == "tiff":
        from ercpseg.importers.tiff import decode_tiff

        return decode_tiff(path, page)
    data = read_whole(path)
    if kind == "png":
        from ercpseg.importers.png import decode_png

        return decode_png(data)
    if kind == "jpeg":
        from ercpseg.importers.jpeg import decode_jpeg

        return decode_jpeg(data)
    if kind == "bmp":
        from ercpseg.importers.bmp import decode_bmp

        return decode_bmp(data)
    raise InputRefused("unknown-format")


def read_whole(path: Path) -> bytes:
    """All bytes of a file, up to the limit."""
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise InputRefused("too-large", f"{size} bytes, limit {MAX_FILE_BYTES}")
    return path.read_bytes()


def read_frame(path: Path, kind: Kind, page: int = 0) -> Picture:
    """An X-ray frame: grey, upright, devices dark. Alpha is dropped: what was stored below it is what counts."""
    raster = decode(path, kind, page)
    samples, notes = raster.samples, []
    if raster.palette is not None:
        if samples.max(initial=0) >= len(raster.palette):
            raise InputRefused("unreadable", "a palette index has no colour")
        samples = raster.palette[samples]
        notes.append("palette resolved")
    if samples.ndim == 3:
        samples, said = collapse(samples)
        notes += said
    if raster.alpha is not None and raster.alpha.min() != np.iinfo(raster.alpha.dtype).max:
        notes.append("transparency ignored")
    if raster.white_is_zero:
        samples = samples.dtype.type(2**raster.bits - 1) - samples
        notes.append("inverted (white is zero)")
    if raster.orientation != 1:
        samples = upright(samples, raster.orientation)
        notes.append(f"orientation {raster.orientation} applied")
    return Picture(samples, raster.bits, tuple(notes))


def read_mask(path: Path, kind: Kind) -> NDArray[np.bool_]:
    """A mask (y, x): 0 (index 0, black, or transparent) is absent, anything else present.

    In JPEG, whose rounding leaves small values around every edge, present is what is at least half of white.
    """
    raster = decode(path, kind)
    samples = raster.samples
    if raster.lossy:
        samples = samples >= 128
    mask = samples != 0 if samples.ndim == 2 else (samples != 0).any(axis=-1)
    if raster.alpha is not None:
        mask = mask & (raster.alpha != 0)
    return np.ascontiguousarray(upright(mask, raster.orientation))


def read_labels(path: Path, kind: Kind) -> NDArray[Any]:
    """A label image (y, x) of stored integers: palette indices as such, low-depth grey not stretched."""
    raster = decode(path, kind)
    samples = raster.samples
    if raster.lossy:
        raise InputRefused("bad-annotation", "labels in a lossy JPEG")
    if samples.ndim == 3:
        if not (samples == samples[..., :1]).all():
            raise InputRefused("bad-annotation", "a label image in colour")
        samples = samples[..., 0]
    if raster.step != 1:
        samples = samples // raster.step
    return np.ascontiguousarray(upright(samples, raster.orientation))
