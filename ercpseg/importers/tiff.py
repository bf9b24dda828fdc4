"""TIFF by tifffile, page by page. Every strip must lie inside the file: tifffile fills what is missing with zeros."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np

from ercpseg.errors import InputRefused
from ercpseg.importers.images import Raster
from ercpseg.importers.reading import check_size

MAX_PAGES = 100_000
# The library stays silent: without a handler, Python prints tifffile's remarks (which may quote tags) to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_GREY, _WHITE_IS_ZERO, _RGB, _PALETTE, _YCBCR = 1, 0, 2, 3, 6


def count_pages(path: Path) -> int:
    """Number of pages of a TIFF file."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages = len(file.pages)
    if pages > MAX_PAGES:
        raise InputRefused("too-large", f"{pages} pages")
    if pages == 0:
        raise InputRefused("unreadable", "no page")
    return pages


def decode_tiff(path: Path, number: int) -> Raster:
    """Decode page ``number`` from 0: grey, white-is-zero, palette or RGB(A), 1 to 16 bits unsigned."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[number]
        height, width, bits = int(page.imagelength), int(page.imagewidth), page.bitspersample
        check_size(height, width)
        samples_per_pixel, photometric = int(page.samplesperpixel), int(page.photometric)
        if not isinstance(bits, int) or not 1 <= bits <= 16 or int(page.sampleformat) not in (1, 4):
            raise InputRefused("unsupported-pixels", "samples are not unsigned integers of 1 to 16 bits")
        if page.imagedepth != 1 or samples_per_pixel > 4:
            raise InputRefused("unsupported-pixels", f"{samples_per_pixel} samples per pixel")
        if photometric not in (_GREY, _WHITE_IS_ZERO, _RGB, _PALETTE, _YCBCR):
            raise InputRefused("colour", f"photometric interpretation {photometric}")
        _check_segments(page, file.filehandle.size, height * ((width * samples_per_pixel * bits + 7) // 8))
        pixels = np.asarray(page.asarray(maxworkers=1))
        orientation = page.tags.get(274)
        palette = page.colormap if photometric == _PALETTE else None
    if pixels.ndim == 3 and page.planarconfig == 2:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.shape[:2] != (height, width):
        raise InputRefused("unsupported-pixels", "the page holds more than one image")
    alpha = None
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        if pixels.shape[2] - len(page.extrasamples) not in (1, 3):
            raise InputRefused("colour", f"{pixels.shape[2]} channels")
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    step = 1
    if pixels.dtype == np.bool_:
        pixels, step, bits = pixels.view(np.uint8) * np.uint8(255), 255, 8
    elif bits < 8 and photometric != _PALETTE:
        step = 255 // (2**bits - 1)
        pixels, bits = pixels.astype(np.uint8) * np.uint8(step), 8
    pixels = pixels.astype(np.uint8 if bits <= 8 else np.uint16, copy=False)
    if palette is not None:
        palette = np.asarray(palette).T  # (n, 3) uint16, of 65535
        palette = (palette >> 8).astype(np.uint8) if (palette > 255).any() else palette.astype(np.uint8)
    return Raster(
        pixels,
        alpha=alpha,
        palette=palette,
        step=step,
        bits=8 if photometric == _PALETTE else bits,
        orientation=int(orientation.value) if orientation is not None and isinstance(orientation.value, int) else 1,
        white_is_zero=photometric == _WHITE_IS_ZERO,
        lossy=int(page.compression) in (6, 7, 34892),
    )


def _check_segments(page: Any, size: int, expected: int) -> None:
    """Every strip or tile lies inside the file, and uncompressed ones hold exactly enough."""
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or len(offsets) != len(counts):
        raise InputRefused("truncated", "no strips")
    for offset, count in zip(offsets, counts, strict=True):
        if offset <= 0 or count <= 0 or offset + count > size:
            raise InputRefused("truncated", "a strip lies outside the file")
    if int(page.compression) == 1 and sum(counts) < expected:
        raise InputRefused("truncated", f"{sum(counts)} of {expected} bytes")
