"""Image files: one decoder per format, then the same questions: a frame, a mask, a label image, or a colour map?

The size is read from the header and checked before anything is decoded. What a mask or a label image means must be the
same whichever way a viewer shows it; where that is not so, it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.grey import collapse, upright
from ercpseg.decoding.reading import Listing, Picture
from ercpseg.decoding.sniff import Kind
from ercpseg.decoding.source import Source
from ercpseg.errors import InputRefused
from ercpseg.frames.about import About


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

    @property
    def colours(self) -> NDArray[Any]:
        """The samples with the palette resolved."""
        if self.palette is None:
            return self.samples
        if self.samples.max(initial=0) >= len(self.palette):
            raise InputRefused("unreadable", "a palette index has no colour")
        resolved: NDArray[Any] = self.palette[self.samples]
        return resolved


def listing(source: Source, kind: Kind) -> Listing:
    """The frames of an image file: one, or one per page of a TIFF.

    Raises
    ------
    InputRefused
        when the file as a whole is unreadable.
    """
    if kind == "tiff":
        from ercpseg.decoding.tiff import Stack

        stack = Stack(source)
        return Listing(stack.count, lambda i: picture(stack.decode(i)), stack.count > 1, About(lossy=stack.lossy))
    about = About()
    if kind == "jpeg":
        from ercpseg.decoding.jpeg import is_lossy, read_header

        about = About(lossy=is_lossy(read_header(source.read())))
    return Listing(1, lambda _: picture(decode(source, kind)), about=about)


def decode(source: Source, kind: Kind) -> Raster:
    """Decode a file that holds one image.

    Raises
    ------
    InputRefused
        when the header lies, the format is not supported, there are several images, or the size exceeds the limit.
    Exception
        whatever a decoder throws at a damaged file; wrap with :func:`ercpseg.decoding.reading.guarded`.
    """
    if kind == "tiff":
        from ercpseg.decoding.tiff import Stack

        stack = Stack(source)
        if stack.count != 1:
            raise InputRefused("bad-annotation", f"{stack.count} pages where one image is expected")
        return stack.decode(0)
    if kind in ("nrrd", "nifti", "mha"):
        from ercpseg.decoding.volume import read_plane

        return Raster(read_plane(source))
    data = source.read()
    if kind == "png":
        from ercpseg.decoding.png import decode_png

        return decode_png(data)
    if kind == "jpeg":
        from ercpseg.decoding.jpeg import decode_jpeg

        return decode_jpeg(data)
    if kind == "bmp":
        from ercpseg.decoding.bmp import decode_bmp

        return decode_bmp(data)
    raise InputRefused("bad-annotation", "the format holds no masks or labels")


def picture(raster: Raster) -> Picture:
    """An X-ray frame: grey, upright, devices dark. Alpha is dropped: what was stored below it is what counts."""
    samples, notes = raster.colours, []
    if raster.palette is not None:
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


def read_mask(source: Source, kind: Kind) -> NDArray[np.bool_]:
    """A mask (y, x): 0 (index 0, black, or transparent) is absent, anything else present.

    In lossy JPEG, whose rounding leaves small values around every edge, present is what is at least half of white.

    Raises
    ------
    InputRefused
        ``bad-annotation`` where the stored numbers and what a viewer shows contradict each other: a palette in which
        index 0 is not black or a used index other than 0 is (programs that reduce colours number them as they come, so
        that the background may be 1), white-is-zero, black paint on a transparent ground, or all paint transparent.
    """
    raster = decode(source, kind)
    samples, visible = raster.samples, None if raster.alpha is None else raster.alpha != 0
    if raster.white_is_zero:
        raise InputRefused("bad-annotation", "white is stored as zero, so it is not clear what is present")
    if raster.palette is not None:
        _check_palette(raster, visible)
    if raster.lossy:
        samples = samples >= 2 ** (raster.bits - 1)
    mask = samples != 0 if samples.ndim == 2 else (samples != 0).any(axis=-1)
    if visible is not None:
        if raster.palette is None and not (mask & visible).any() and not visible.all() and (mask | visible).any():
            raise InputRefused("bad-annotation", "only what is transparent is not black: not clear what is present")
        mask = mask & visible
    return np.ascontiguousarray(upright(mask, raster.orientation))


def _check_palette(raster: Raster, visible: NDArray[np.bool_] | None) -> None:
    """Index and colour must say the same of every pixel: 0 is black (or transparent), all else is not black."""
    black: NDArray[np.bool_] = (raster.colours == 0).all(axis=-1)
    if visible is not None:
        black |= ~visible
    if not black[raster.samples == 0].all():
        raise InputRefused("bad-annotation", "palette index 0 is not black")
    if (black & (raster.samples != 0)).any():
        raise InputRefused("bad-annotation", "a palette index other than 0 is black or transparent")


def read_labels(source: Source, kind: Kind) -> NDArray[Any]:
    """A label image (y, x) of stored integers: palette indices as such, low-depth grey not stretched.

    Raises
    ------
    InputRefused
        ``bad-annotation`` for colours, lossy JPEG, hidden labels, and one bit with white stored as zero.
    """
    raster = decode(source, kind)
    samples = raster.samples
    if raster.lossy:
        raise InputRefused("bad-annotation", "labels in a lossy JPEG")
    if raster.white_is_zero and raster.step == 255:
        raise InputRefused("bad-annotation", "white is stored as zero, so it is not clear what is present")
    if samples.ndim == 3:
        if not (samples == samples[..., :1]).all():
            raise InputRefused("bad-annotation", "a label image in colour")
        samples = samples[..., 0]
    if raster.alpha is not None and raster.palette is None and ((raster.alpha == 0) & (samples != 0)).any():
        raise InputRefused("bad-annotation", "labels below transparency")
    if raster.step != 1:
        samples = samples // raster.step
    return np.ascontiguousarray(upright(samples, raster.orientation))


def read_colours(source: Source, kind: Kind) -> NDArray[np.uint8]:
    """A colour map (y, x, 3) as a viewer shows it: palette resolved, black where transparent.

    Raises
    ------
    InputRefused
        ``bad-annotation`` for lossy JPEG, and for 16 bits unless every sample is 257·v, which is v in 8 bits.
    """
    if kind in ("nrrd", "nifti", "mha"):
        raise InputRefused("bad-annotation", "the format holds no colours")
    raster = decode(source, kind)
    if raster.lossy:
        raise InputRefused("bad-annotation", "colours in a lossy JPEG")
    samples = raster.colours
    if samples.dtype == np.uint16:
        if raster.bits != 16 or (samples % 257).any():
            raise InputRefused("bad-annotation", f"colours of {raster.bits} bits")
        samples = samples // 257
    samples = samples.astype(np.uint8, copy=raster.alpha is not None)
    if raster.white_is_zero:
        samples = 255 - samples
    if samples.ndim == 2:
        samples = np.repeat(samples[..., None], 3, axis=-1)
    if raster.alpha is not None:
        if not raster.alpha.any() and samples.any():
            raise InputRefused("bad-annotation", "all colours are transparent")
        samples[raster.alpha == 0] = 0
    return np.ascontiguousarray(upright(samples, raster.orientation))
