"""TIFF by tifffile, page by page. Every strip must lie inside the file: tifffile fills what is missing with zeros."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.images import Raster
from ercpseg.decoding.jpeg_scans import decode_whole
from ercpseg.decoding.reading import check_size
from ercpseg.decoding.source import Source
from ercpseg.decoding.tiff_pages import find_pages
from ercpseg.errors import InputRefused

# The library stays silent: without a handler, Python prints tifffile's remarks (which may quote tags) to stderr.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_WHITE_IS_ZERO, _GREY, _RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 5, 7, 8, 32946, 32773
_FAX, _ASSOCIATED = (2, 3, 4), 1
_COMPRESSIONS = {_NONE, _LZW, _JPEG, _DEFLATE, _OLD_DEFLATE, _PACKBITS, *_FAX}


class Stack:
    """The pages of one file. Listing them is one walk over the file; decoding one costs the same wherever it lies."""

    def __init__(self, source: Source):
        """Find the pages and look at the first.

        Raises
        ------
        InputRefused
            when the file as a whole cannot be used, or holds images that have no page of their own and cannot be told.
        """
        self._source = source
        with source.open() as stream:
            pages = find_pages(stream, source.size)
            if pages.composite:
                raise InputRefused("colour", "the pages are colour channels of one image")
            self._offsets = pages.offsets
            self._follow = pages.declared if pages.declared > len(pages.offsets) else 0
            page = self._page(stream, 0)
            self.lossy = int(page.compression) == _JPEG
            if self._follow:
                self._check_contiguous(page)
        self.count = self._follow or len(pages.offsets)

    def decode(self, number: int) -> Raster:
        """Decode page ``number`` from 0: grey, white-is-zero, palette or RGB(A), 1 to 16 bits unsigned.

        Raises
        ------
        InputRefused
            when the page is not supported or is not all there.
        Exception
            what tifffile throws at a damaged page.
        """
        with self._source.open() as stream:
            page = self._page(stream, 0 if self._follow else number)
            _check(page)
            if self._follow:
                return _raster(page, self._plane(stream, page, number))
            expected = page.imagelength * ((page.imagewidth * page.samplesperpixel * page.bitspersample + 7) // 8)
            _check_segments(stream, page, self._source.size, expected)
            return _raster(page, np.asarray(page.asarray(maxworkers=1)))

    def _page(self, stream: Any, number: int) -> Any:
        import tifffile

        stream.seek(0)
        file = tifffile.TiffFile(stream)
        file.filehandle.seek(self._offsets[number])
        return tifffile.TiffPage(file, number)

    def _check_contiguous(self, page: Any) -> None:
        """Images after the first must follow it in one piece, as ImageJ writes stacks that have one directory."""
        plain = page.compression == _NONE and page.bitspersample in (8, 16) and page.samplesperpixel == 1
        if len(self._offsets) != 1 or not plain or page.is_tiled or page.fillorder != 1 or page.predictor != 1:
            raise InputRefused("unsupported-pixels", f"{self._follow} images in {len(self._offsets)} pages")
        check_size(page.imagelength, page.imagewidth)
        offsets, counts, at = page.dataoffsets, page.databytecounts, page.dataoffsets[0]
        for offset, count in zip(offsets, counts, strict=True):
            if offset != at:
                raise InputRefused("unsupported-pixels", f"{self._follow} images that do not follow each other")
            at += count
        end = offsets[0] + self._follow * self._plane_bytes(page)
        if offsets[0] <= 0 or end > self._source.size:
            raise InputRefused("truncated", f"{self._source.size} of {end} bytes")

    @staticmethod
    def _plane_bytes(page: Any) -> int:
        return int(page.imagelength) * int(page.imagewidth) * int(page.bitspersample) // 8

    def _plane(self, stream: Any, page: Any, number: int) -> NDArray[Any]:
        length = self._plane_bytes(page)
        stream.seek(page.dataoffsets[0] + number * length)
        data = stream.read(length)
        if len(data) != length:
            raise InputRefused("truncated", f"{len(data)} of {length} bytes")
        dtype = np.dtype(f"{page.parent.byteorder}u{page.bitspersample // 8}")
        return np.frombuffer(data, dtype).astype(dtype.newbyteorder("=")).reshape(page.imagelength, page.imagewidth)


def _check(page: Any) -> None:
    """Refuse by the tags of a page what is no image of 1 to 16 bits, before anything is decoded."""
    bits, samples, photometric = page.bitspersample, int(page.samplesperpixel), int(page.photometric)
    check_size(int(page.imagelength), int(page.imagewidth))
    if not isinstance(bits, int) or not 1 <= bits <= 16 or int(page.sampleformat) not in (1, 4):
        raise InputRefused("unsupported-pixels", "samples are not unsigned integers of 1 to 16 bits")
    if page.imagedepth != 1 or page.tiledepth != 1 or samples > 4:
        raise InputRefused("unsupported-pixels", f"{samples} samples per pixel, depth {page.imagedepth}")
    if photometric not in (_GREY, _WHITE_IS_ZERO, _RGB, _PALETTE, _YCBCR):
        raise InputRefused("colour", f"photometric interpretation {photometric}")
    if int(page.compression) not in _COMPRESSIONS:
        raise InputRefused("unsupported-pixels", f"compression {int(page.compression)}")


def _raster(page: Any, pixels: NDArray[Any]) -> Raster:
    """Samples as tifffile delivers them to (y, x) or (y, x, 3), alpha and palette apart."""
    bits, photometric = int(page.bitspersample), int(page.photometric)
    if pixels.ndim == 3 and page.planarconfig == 2:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.shape[:2] != (page.imagelength, page.imagewidth):
        raise InputRefused("unsupported-pixels", "the page holds more than one image")
    alpha = None
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        if pixels.shape[2] - len(page.extrasamples) not in (1, 3):
            raise InputRefused("colour", f"{pixels.shape[2]} channels")
        pixels, alpha = pixels[..., :-1], pixels[..., -1]
        if int(page.extrasamples[0]) == _ASSOCIATED and (alpha != 2**bits - 1).any():
            raise InputRefused("unsupported-pixels", "samples multiplied by their transparency")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    palette = page.colormap if photometric == _PALETTE else None
    step = 1
    if pixels.dtype == np.bool_ and palette is None:
        pixels, step, bits = pixels.view(np.uint8) * np.uint8(255), 255, 8
    elif bits < 8 and palette is None:
        if 255 % (2**bits - 1):
            raise InputRefused("unsupported-pixels", f"{bits} bits")
        step = 255 // (2**bits - 1)
        pixels, bits = pixels.astype(np.uint8) * np.uint8(step), 8
    pixels = pixels.astype(np.uint8 if bits <= 8 else np.uint16, copy=False)
    if palette is not None:
        palette = np.asarray(palette).T  # (n, 3) uint16, of 65535
        palette = (palette >> 8).astype(np.uint8) if (palette > 255).any() else palette.astype(np.uint8)
    orientation = page.tags.get(274)
    return Raster(
        pixels,
        alpha=alpha,
        palette=palette,
        step=step,
        bits=8 if palette is not None else bits,
        orientation=int(orientation.value) if orientation is not None and isinstance(orientation.value, int) else 1,
        white_is_zero=photometric == _WHITE_IS_ZERO,
        lossy=int(page.compression) == _JPEG,
    )


def _check_jpeg(strip: bytes, tables: bytes | None) -> None:
    """Refuse a strip of which a part is missing: libjpeg fills it up and says nothing."""
    import imagecodecs

    if b"\xff\xd9" not in strip[-16:]:
        raise InputRefused("truncated", "a compressed strip has no end")
    decode_whole(strip, lambda data: np.asarray(imagecodecs.jpeg8_decode(data, tables=tables)))


def _check_segments(stream: Any, page: Any, size: int, expected: int) -> None:
    """Every strip or tile is there, lies inside the file, and holds what it must as far as that can be told."""
    offsets, counts = page.dataoffsets, page.databytecounts
    if not offsets or len(offsets) != len(counts) or len(offsets) != math.prod(page.chunked):
        raise InputRefused("truncated", f"{len(offsets)} of {math.prod(page.chunked)} strips")
    for offset, count in zip(offsets, counts, strict=True):
        if offset <= 0 or count <= 0 or offset + count > size:
            raise InputRefused("truncated", "a strip lies outside the file")
        if page.compression == _JPEG:
            stream.seek(offset)
            _check_jpeg(stream.read(count), page.jpegtables)
    if page.compression == _NONE:
        if sum(counts) < expected:
            raise InputRefused("truncated", f"{sum(counts)} of {expected} bytes")
        if not page.is_tiled and sum(counts) >= 2 * expected:
            raise InputRefused("surplus-data", f"{sum(counts)} bytes, {expected} expected")
