"""JPEG by Pillow (8 bits) and imagecodecs (12 bits, lossless), and the header of any JPEG or JPEG-LS stream."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ercpseg.decoding.grey import exif_orientation, sole_orientation, xmp_orientation
from ercpseg.decoding.images import Raster
from ercpseg.decoding.jpeg_scans import decode_whole
from ercpseg.decoding.reading import check_size
from ercpseg.errors import InputRefused

_FRAME_MARKERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF, 0xF7}
_BARE_MARKERS = {0x01, 0xD8, *range(0xD0, 0xD8)}
_LOSSLESS = {0xC3, 0xCB}
_DCT = {0xC0, 0xC1, 0xC2}
_APPLICATION_KEPT = {0xE0, 0xEE}  # JFIF and Adobe say how colours are coded; the others may hold anything


@dataclass(frozen=True)
class JpegHeader:
    """What the first frame header says. ``marker`` is C0 baseline, C1 extended, C3 lossless, F7 JPEG-LS, …"""

    height: int
    width: int
    precision: int
    components: int
    marker: int
    orientation: int
    complete: bool
    """Whether an end marker follows the first scan: decoders fill up what is missing with grey and say nothing."""
    stripped: bytes
    """The stream without EXIF, profiles and comments."""


def read_header(data: bytes) -> JpegHeader:
    """Walk the markers up to the first scan.

    Raises
    ------
    InputRefused
        when there is no frame header, or the orientation is in doubt.
    """
    at, exif, xmp, kept, frame = 2, 0, 0, [data[:2]], None
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE_MARKERS:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (0xDA, 0xD9):
            break
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        if marker in _FRAME_MARKERS and len(body) >= 6 and frame is None:
            frame = (marker, body[0], int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"), body[5])
        if marker == 0xE1:
            exif = exif or (exif_orientation(body) if body.startswith(b"Exif\0\0") else 0)
            xmp = xmp or (xmp_orientation(body) if body.startswith(b"http://ns.adobe.com/xap/1.0/\0") else 0)
        if not (0xE0 <= marker <= 0xEF and marker not in _APPLICATION_KEPT) and marker != 0xFE:
            kept.append(data[at:end])
        at = end
    if frame is None:
        raise InputRefused("truncated" if at >= len(data) else "unreadable", "no JPEG frame header")
    marker, precision, height, width, components = frame
    kept.append(data[at:])
    complete = data.find(b"\xff\xd9", at) >= 0  # inside a scan, FF is always followed by 00 or a restart marker
    orientation = sole_orientation(exif, xmp)
    return JpegHeader(height, width, precision, components, marker, orientation, complete, b"".join(kept))


def is_lossy(header: JpegHeader) -> bool:
    """Whether the process loses something: all do but the lossless ones (ISO/IEC 10918-1, table B.1)."""
    return header.marker not in _LOSSLESS


def decode_jpeg(data: bytes) -> Raster:
    """Decode a grey or colour JPEG file of a Huffman-coded process: 8 or 12 bits by DCT, 8 to 16 bits lossless.

    Raises
    ------
    InputRefused
        ``truncated`` without an end marker, ``colour`` for anything but 1 or 3 channels (CMYK).
    """
    header = read_header(data)
    check_size(header.height, header.width)
    lossless, by_dct = header.marker == 0xC3, header.marker in _DCT
    if not (lossless and 8 <= header.precision <= 16) and not (by_dct and header.precision in (8, 12)):
        raise InputRefused("unsupported-pixels", f"JPEG of {header.precision} bits, process {header.marker:02X}")
    if header.components not in (1, 3):
        raise InputRefused("colour", f"{header.components} channels")
    if not header.complete:
        raise InputRefused("truncated", "the JPEG stream has no end")
    samples = decode_whole(header.stripped, _by_pillow if by_dct and header.precision == 8 else _by_libjpeg)
    if samples.shape[:2] != (header.height, header.width):
        raise InputRefused("unreadable", "decoded size differs from the header")
    return Raster(samples, bits=header.precision, orientation=header.orientation, lossy=not lossless)


def _by_pillow(data: bytes) -> NDArray[Any]:
    """Pillow says where a stream is damaged or ends early; libjpeg fills it up with grey."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        try:
            return np.asarray(image)
        except OSError as error:  # Pillow's only word for a stream that ends early
            raise InputRefused("truncated", "the JPEG stream ends early or is damaged") from error


def _by_libjpeg(data: bytes) -> NDArray[Any]:
    import imagecodecs

    return np.asarray(imagecodecs.jpeg8_decode(data))
